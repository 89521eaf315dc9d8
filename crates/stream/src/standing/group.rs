//! One group of a standing query: the panes in its window and the state of its operators.

use std::collections::VecDeque;

use series::{Labels, Millis, Timestamp};
use sketch::wire::{Reader, put_bytes, put_f64, put_signed, put_varint};
use sketch::{Ewma, QuantileSketch, SketchError};

use crate::detector::{Assessment, Report, Watch};
use crate::emission::{Emission, Event, EventKind, event_id, result_labels};
use crate::histogram::{Bucket, bucket_quantile, sum_by_bound};
use crate::promql::group_query;
use crate::spec::{Operator, StreamSpec, ValueKind};
use crate::standing::pane::{PaneFold, PaneTotals};
use crate::standing::trend::{Trend, limit_score};

/// A trend event closes when its limit is this much further away than where it opened.
const TREND_RELEASE: f64 = 1.25;
/// Trends speak of limits nearer than this unless told otherwise.
const TREND_WITHIN: Millis = Millis::from_days(7);

/// State of a group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) labels: Labels,
    /// Slots of its series, in rising order of their ids: the order of folding.
    pub(crate) members: Vec<u32>,
    /// Panes of the window that have a value, oldest first.
    panes: VecDeque<Pane>,
    /// Newest pane that had a value.
    last_pane: i64,
    ewma: Option<Ewma>,
    watch: Option<Box<Watch>>,
    trend_open: Option<TrendOpen>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pane {
    index: i64,
    totals: PaneTotals,
    /// Encoded sketch, or (bound, increase) pairs; empty without percentiles.
    body: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct TrendOpen {
    start: Timestamp,
    score: f64,
}

/// Scratch for joining the panes of a window, and where results go.
pub(crate) struct Close<'a> {
    pub(crate) spec: &'a StreamSpec,
    /// Pane that ends now.
    pub(crate) index: i64,
    pub(crate) sketch: &'a mut QuantileSketch,
    pub(crate) buckets: &'a mut Vec<Bucket>,
    pub(crate) out: &'a mut Vec<Emission>,
}

impl Close<'_> {
    fn end(&self) -> Timestamp {
        Timestamp(self.index.saturating_mul(self.spec.slide.0))
    }

    fn say(&mut self, metric: &str, group: &Labels, quantile: Option<f64>, value: f64) {
        let quantile = quantile.map(|q| q.to_string());
        let labels = result_labels(metric, &self.spec.name, group, quantile.as_deref());
        self.out.push(Emission::Sample { labels, at: self.end(), value });
    }
}

impl Group {
    pub(crate) fn new(labels: Labels, spec: &StreamSpec) -> Self {
        let mut group = Self {
            labels,
            members: Vec::new(),
            panes: VecDeque::new(),
            last_pane: i64::MIN,
            ewma: None,
            watch: None,
            trend_open: None,
        };
        for operator in &spec.operators {
            match operator {
                Operator::Ewma { half_life } => group.ewma = Some(Ewma::new(half_life.as_secs_f64())),
                Operator::Anomaly { sensitivity, season } => {
                    group.watch = Some(Box::new(Watch::new(spec.slide, *season, *sensitivity)));
                }
                _ => {}
            }
        }
        group
    }

    /// Whether its window holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Newest pane that had a value.
    pub(crate) fn last_pane(&self) -> i64 {
        self.last_pane
    }

    /// Closes a pane: takes what was folded, drops what left the window, says the results.
    pub(crate) fn close(&mut self, fold: &mut PaneFold, close: &mut Close<'_>) {
        let oldest = close.index - close.spec.window.0 / close.spec.slide.0 + 1;
        while self.panes.front().is_some_and(|pane| pane.index < oldest) {
            self.panes.pop_front();
        }
        let totals = fold.totals(close.spec.value, close.spec.headline_quantile());
        if let Some(totals) = totals {
            let body = encode_body(fold, close.spec);
            self.panes.push_back(Pane { index: close.index, totals, body });
            self.last_pane = close.index;
        }
        if self.panes.is_empty() {
            return;
        }
        let spec = close.spec;
        for operator in &spec.operators {
            self.run(operator, totals, close);
        }
    }

    fn run(&mut self, operator: &Operator, totals: Option<PaneTotals>, close: &mut Close<'_>) {
        let fresh = totals.map(|totals| totals.value).filter(|value| value.is_finite());
        match operator {
            Operator::Percentiles(qs) => self.percentiles(qs, close),
            Operator::Trend { limit, within } => self.trend(*limit, within.unwrap_or(TREND_WITHIN), close),
            Operator::Anomaly { .. } => self.anomaly(fresh, close),
            Operator::Rate => self.rate(close),
            Operator::Count => {
                let count = self.panes.iter().map(|pane| pane.totals.count).sum();
                close.say("foretide_stream_count", &self.labels, None, count);
            }
            Operator::Mean => {
                if let Some(mean) = self.mean() {
                    close.say("foretide_stream_mean", &self.labels, None, mean);
                }
            }
            Operator::Ewma { .. } => self.smooth(fresh, close),
        }
    }

    fn percentiles(&self, qs: &[f64], close: &mut Close<'_>) {
        if close.spec.value == ValueKind::HistogramBuckets {
            close.buckets.clear();
            self.panes.iter().for_each(|pane| decode_buckets(&pane.body, close.buckets));
            sum_by_bound(close.buckets);
        } else {
            close.sketch.clear();
            for pane in &self.panes {
                // Bytes made by this very code a moment ago, or checked when a checkpoint was read.
                let merged = close.sketch.merge_encoded(&pane.body);
                debug_assert!(merged.is_ok(), "own bytes: {merged:?}");
            }
        }
        for &q in qs {
            let value = match close.spec.value {
                ValueKind::HistogramBuckets => Some(bucket_quantile(q, close.buckets)).filter(|value| !value.is_nan()),
                _ => close.sketch.quantile(q),
            };
            if let Some(value) = value {
                close.say("foretide_stream_quantile", &self.labels, Some(q), value);
            }
        }
    }

    fn mean(&self) -> Option<f64> {
        let values = self.panes.iter().map(|pane| pane.totals.value).filter(|value| value.is_finite());
        let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
        (n > 0).then(|| sum / f64::from(n))
    }

    fn rate(&self, close: &mut Close<'_>) {
        let rate = match close.spec.value {
            ValueKind::HistogramBuckets => {
                let seconds = close.spec.slide.as_secs_f64() * self.panes.len() as f64;
                Some(self.panes.iter().map(|pane| pane.totals.count).sum::<f64>() / seconds)
            }
            _ => self.mean(),
        };
        if let Some(rate) = rate {
            close.say("foretide_stream_rate", &self.labels, None, rate);
        }
    }

    fn smooth(&mut self, fresh: Option<f64>, close: &mut Close<'_>) {
        let (Some(ewma), Some(value)) = (&mut self.ewma, fresh) else { return };
        ewma.push(close.end().as_secs_f64(), value);
        if let Some(mean) = ewma.mean() {
            close.say("foretide_stream_ewma", &self.labels, None, mean);
        }
    }

    fn trend(&mut self, limit: Option<f64>, within: Millis, close: &mut Close<'_>) {
        let (slide, end) = (close.spec.slide.0, close.end());
        let panes_max = (close.spec.window.0 / slide) as usize;
        let points = self.panes.iter().map(|pane| (Timestamp(pane.index.saturating_mul(slide)), pane.totals.value));
        let Some(trend) = Trend::fit(points, end, panes_max) else { return };
        close.say("foretide_stream_trend_slope", &self.labels, None, trend.slope);
        close.say("foretide_stream_trend_slope_lower", &self.labels, None, trend.lower);
        close.say("foretide_stream_trend_slope_upper", &self.labels, None, trend.upper);
        if let Some(limit) = limit {
            close.say("foretide_stream_days_to_limit", &self.labels, None, trend.days_to(limit));
            self.trend_event(&trend, limit, within, close);
        }
    }

    /// Opens, worsens (by a tenth of the score) or closes the event of a limit that comes near.
    fn trend_event(&mut self, trend: &Trend, limit: f64, within: Millis, close: &mut Close<'_>) {
        let days = trend.days_to(limit);
        let score = limit_score(days, within);
        let end = match self.trend_open {
            None if score < 0.5 => return,
            None => {
                self.trend_open = Some(TrendOpen { start: close.end(), score });
                None
            }
            Some(open) if 1.0 - score > 0.5 * TREND_RELEASE => {
                self.trend_open = Some(TrendOpen { score: open.score.max(score), ..open });
                Some(close.end())
            }
            Some(open) if score >= open.score + 0.1 => {
                self.trend_open = Some(TrendOpen { score, ..open });
                None
            }
            Some(_) => return,
        };
        let Some(open) = self.trend_open else { return };
        let message = match end {
            Some(_) => format!(
                "{}{} no longer moves towards {limit} (now {})",
                close.spec.name,
                self.labels,
                short(trend.level)
            ),
            None => format!(
                "{}{} is at {} and meets {limit} in {} days at {} a day",
                close.spec.name,
                self.labels,
                short(trend.level),
                short(days),
                short(trend.slope * 86_400.0)
            ),
        };
        close.out.push(Emission::Event(Event {
            id: event_id(&close.spec.name, &self.labels, "trend", open.start),
            stream: close.spec.name.clone(),
            kind: EventKind::Trend,
            labels: self.labels.clone(),
            start: open.start,
            end,
            score: open.score,
            expected: limit,
            seen: trend.level,
            change_point: None,
            message,
            query: group_query(close.spec, &self.labels),
        }));
        if end.is_some() {
            self.trend_open = None;
        }
    }

    fn anomaly(&mut self, fresh: Option<f64>, close: &mut Close<'_>) {
        let (Some(watch), Some(value)) = (&mut self.watch, fresh) else { return };
        let (judged, report) = watch.push(close.end(), value);
        self.say_assessment(&judged, close);
        if let Some(report) = report {
            let event = self.event(&report, close.spec);
            close.out.push(Emission::Event(event));
        }
    }

    fn say_assessment(&self, judged: &Assessment, close: &mut Close<'_>) {
        if judged.warming_up {
            return;
        }
        close.say("foretide_anomaly_score", &self.labels, None, judged.score);
        close.say("foretide_anomaly_expected", &self.labels, None, judged.expected);
        close.say("foretide_anomaly_expected_lower", &self.labels, None, judged.lower);
        close.say("foretide_anomaly_expected_upper", &self.labels, None, judged.upper);
    }

    fn event(&self, report: &Report, spec: &StreamSpec) -> Event {
        let tense = if report.end.is_some() { "was" } else { "is" };
        let message = format!(
            "{}{} {tense} {}, expected {}: {} since {}",
            spec.name,
            self.labels,
            short(report.seen),
            short(report.expected),
            report.kind.as_str(),
            report.change_point.unwrap_or(report.start)
        );
        Event {
            id: event_id(&spec.name, &self.labels, "anomaly", report.start),
            stream: spec.name.clone(),
            kind: report.kind,
            labels: self.labels.clone(),
            start: report.start,
            end: report.end,
            score: report.score,
            expected: report.expected,
            seen: report.seen,
            change_point: report.change_point,
            message,
            query: group_query(spec, &self.labels),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let panes =
            self.panes.capacity() * size_of::<Pane>() + self.panes.iter().map(|pane| pane.body.len()).sum::<usize>();
        let watch = self.watch.as_ref().map_or(0, |watch| watch.bytes());
        size_of::<Self>() + 2 * self.labels.canonical().len() + self.members.capacity() * 4 + panes + watch
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.labels.canonical());
        put_signed(out, self.last_pane);
        put_varint(out, self.panes.len() as u64);
        for pane in &self.panes {
            put_signed(out, pane.index);
            put_f64(out, pane.totals.value);
            put_f64(out, pane.totals.count);
            put_bytes(out, &pane.body);
        }
        if let Some(ewma) = &self.ewma {
            ewma.encode(out);
        }
        if let Some(watch) = &self.watch {
            watch.encode(out);
        }
        out.push(u8::from(self.trend_open.is_some()));
        if let Some(open) = self.trend_open {
            put_signed(out, open.start.0);
            put_f64(out, open.score);
        }
    }

    /// Reads a group of `spec`; members are added by the caller.
    pub(crate) fn decode(reader: &mut Reader<'_>, spec: &StreamSpec) -> Result<Self, SketchError> {
        let at = reader.at();
        let labels =
            Labels::from_canonical(reader.bytes()?).map_err(|_| SketchError::Damaged { at, what: "label set" })?;
        let mut group = Self::new(labels, spec);
        group.last_pane = reader.signed()?;
        for _ in 0..reader.len(18)? {
            let index = reader.signed()?;
            let totals = PaneTotals { value: reader.f64()?, count: reader.f64()? };
            let body: Box<[u8]> = reader.bytes()?.into();
            check_body(&body, spec)?;
            group.panes.push_back(Pane { index, totals, body });
        }
        if group.ewma.is_some() {
            group.ewma = Some(Ewma::decode(reader)?);
        }
        if group.watch.is_some() {
            group.watch = Some(Box::new(Watch::decode(reader)?));
        }
        if reader.u8()? != 0 {
            group.trend_open = Some(TrendOpen { start: Timestamp(reader.signed()?), score: reader.f64()? });
        }
        Ok(group)
    }
}

fn wants_percentiles(spec: &StreamSpec) -> bool {
    spec.operators.iter().any(|operator| matches!(operator, Operator::Percentiles(_)))
}

fn encode_body(fold: &PaneFold, spec: &StreamSpec) -> Box<[u8]> {
    let mut body = Vec::new();
    if !wants_percentiles(spec) {
    } else if spec.value == ValueKind::HistogramBuckets {
        for bucket in &fold.buckets {
            put_f64(&mut body, bucket.upper);
            put_f64(&mut body, bucket.count);
        }
    } else {
        fold.sketch.encode(&mut body);
    }
    body.into_boxed_slice()
}

fn decode_buckets(body: &[u8], buckets: &mut Vec<Bucket>) {
    let mut reader = Reader::new(body);
    while let (Ok(upper), Ok(count)) = (reader.f64(), reader.f64()) {
        buckets.push(Bucket { upper, count });
    }
}

fn check_body(body: &[u8], spec: &StreamSpec) -> Result<(), SketchError> {
    if !wants_percentiles(spec) || spec.value == ValueKind::HistogramBuckets {
        return Ok(());
    }
    QuantileSketch::decode(&mut Reader::new(body)).map(|_| ())
}

/// Three significant digits, for people.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_short() {
        assert_eq!([short(0.0), short(1234.5), short(12.345), short(-0.012345)], ["0", "1234", "12.3", "-0.0123"]);
    }
}
