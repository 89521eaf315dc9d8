//! What the engine has concluded, as the HTTP server shows it.

use std::sync::Arc;

use control::{Kind, ScanRange};
use scale::{Details, Field, Recommendation, Status};
use serde_json::{Map, Value, json};
use series::{Millis, Step, Timestamp};
use server::{
    AdviceError, Anomaly, AnomalyKind, Band, Confidence, Copies, Filter, ForecastChart, ForecastSummary, Insight,
    Level, Mark, Saving, Verdict,
};

use super::jobs;
use super::{Core, ForecastRecord};

/// Anomalies looked at for a list.
const ANOMALIES_MAX: usize = 10_000;
/// Forecasts listed at most.
const FORECASTS_MAX: usize = 10_000;
/// Longest past that a chart shows.
const PAST_MAX: Millis = Millis::from_days(14);

/// Conclusions from the control log.
pub(crate) struct Insights {
    core: Arc<Core>,
}

impl Insights {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    fn records(&self) -> Vec<ForecastRecord> {
        let rows = self
            .core
            .control
            .scan::<ForecastRecord>(Kind::Forecast, &ScanRange { limit: FORECASTS_MAX, ..ScanRange::default() });
        let mut records: Vec<_> = logged(rows).into_iter().map(|(_, record)| record).collect();
        // In the order of the configuration: the first job is the one that its author cares for most.
        let order: Vec<String> = jobs::effective(&self.core.settings).into_iter().map(|job| job.name).collect();
        records.sort_by_key(|r| (order.iter().position(|job| *job == r.job).unwrap_or(usize::MAX), r.id.clone()));
        records
    }

    fn past(&self, record: &ForecastRecord) -> Vec<(Timestamp, f64)> {
        let Some(step) = Step::new(record.step_ms) else { return Vec::new() };
        let job = jobs::effective(&self.core.settings).into_iter().find(|job| job.name == record.job);
        let reach = job.as_ref().map_or(PAST_MAX, |job| Millis(job.horizon.0.0.saturating_mul(3)).min(PAST_MAX));
        let end = self.core.clock.now().max(Timestamp(record.origin_ms)).floor(step);
        let start = (end - reach).floor(step);
        let own = |labels: &series::Labels| {
            let labels = labels.iter().filter(|(name, _)| *name != series::METRIC_NAME);
            labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>() == record.labels
        };
        // The record keeps its query: a chart must not lose its past when the job has left the configuration.
        if promql::parse(&record.query).is_ok() {
            let items = logged(self.core.range(&record.query, start, end, step));
            return items.into_iter().find(|item| own(&item.labels)).map(|item| item.points).unwrap_or_default();
        }
        let series = logged(self.core.runtime.block_on(self.core.sql.series(&record.query)));
        let found = series.into_iter().find(|(labels, _)| own(labels));
        found.map(|(_, columns)| columns.iter().filter(|(at, _)| *at >= start).collect()).unwrap_or_default()
    }
}

impl Insight for Insights {
    fn recommendations(&self, filter: &Filter) -> Vec<server::Recommendation> {
        let all = logged(super::advise::recommendations(&self.core));
        let mut shown: Vec<_> = all.into_iter().filter(|advice| advice.changes()).collect();
        shown.sort_by(|a, b| {
            let urgency = |advice: &Recommendation| (advice.status != Status::Open, std::cmp::Reverse(advice.severity));
            urgency(a).cmp(&urgency(b)).then_with(|| b.saving_monthly.total_cmp(&a.saving_monthly))
        });
        shown.iter().map(recommendation).filter(|advice| passes(filter, &advice.kind, &advice.state, advice)).collect()
    }

    fn recommendation(&self, id: &str) -> Option<server::Recommendation> {
        let found =
            logged(self.core.control.get::<Recommendation>(Kind::Recommendation, id).map(|f| f.into_iter().collect()));
        found.first().map(recommendation)
    }

    fn judge(&self, id: &str, verdict: Verdict) -> Result<server::Recommendation, AdviceError> {
        super::advise::judge(&self.core, id, verdict).map(|advice| recommendation(&advice))
    }

    fn anomalies(&self, filter: &Filter) -> Vec<Anomaly> {
        let range = ScanRange::newest(ANOMALIES_MAX);
        let rows = logged(self.core.control.scan::<Value>(Kind::Anomaly, &range));
        let mut found: Vec<_> = rows.iter().filter_map(|(_, row)| anomaly(row)).collect();
        found.retain(|a: &Anomaly| {
            filter.kind.as_ref().is_none_or(|kind| kind == a.kind.as_str())
                && filter.state.as_ref().is_none_or(|state| *state == a.state)
                && filter.target.as_ref().is_none_or(|target| a.series.contains(target.as_str()))
        });
        found.sort_by(|a, b| {
            let closed = |a: &Anomaly| a.state != "open";
            closed(a).cmp(&closed(b)).then_with(|| b.score.total_cmp(&a.score)).then_with(|| b.start.cmp(&a.start))
        });
        found
    }

    fn anomaly(&self, id: &str) -> Option<Anomaly> {
        let found =
            self.core.control.get::<Value>(Kind::Anomaly, id).map(|found| found.into_iter().collect::<Vec<_>>());
        logged(found).first().and_then(anomaly)
    }

    fn forecasts(&self) -> Vec<ForecastSummary> {
        self.records().iter().map(summary).collect()
    }

    fn forecast(&self, id: &str) -> Option<ForecastChart> {
        let found =
            self.core.control.get::<ForecastRecord>(Kind::Forecast, id).map(|f| f.into_iter().collect::<Vec<_>>());
        let record = logged(found).into_iter().next()?;
        let timed = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (record.time(i), *v)).collect::<Vec<_>>();
        let earlier = record.earlier.as_ref().map(|(origin, values)| {
            let at = |i: usize| Timestamp(origin + (i as i64 + 1) * record.step_ms);
            values.iter().enumerate().map(|(i, v)| (at(i), *v)).filter(|(at, _)| at.0 <= record.origin_ms).collect()
        });
        let past = self.past(&record);
        Some(ForecastChart {
            summary: summary(&record),
            marks: self.marks(&record, &past),
            past,
            median: timed(record.median()),
            bands: bands(&record),
            earlier: earlier.unwrap_or_default(),
            thresholds: Vec::new(),
        })
    }

    fn jobs(&self) -> Vec<Value> {
        jobs::states(&self.core).iter().map(|state| json!(state)).collect()
    }

    fn policies(&self) -> Vec<Value> {
        let policy = |policy: &scale::Policy| {
            let mut value = json!(policy);
            if let Value::Object(fields) = &mut value {
                fields.insert("id".into(), json!(policy.name));
            }
            value
        };
        self.core.settings.scaling.policies.iter().map(policy).collect()
    }
}

impl Insights {
    /// Anomalies of the same service, put on the measured line.
    fn marks(&self, record: &ForecastRecord, past: &[(Timestamp, f64)]) -> Vec<Mark> {
        let (Some(first), Some(last)) = (past.first(), past.last()) else { return Vec::new() };
        let inside = |a: &Anomaly| first.0 <= a.start && a.start <= last.0;
        let about = |a: &Anomaly| {
            let service = a.more.get("service").and_then(Value::as_str).unwrap_or("\u{0}");
            record.query.contains(&format!("\"{service}\""))
        };
        let nearest = |at: Timestamp| past.iter().min_by_key(|(t, _)| (t.0 - at.0).abs()).map_or(f64::NAN, |p| p.1);
        let all = self.anomalies(&Filter::default());
        let mark = |a: Anomaly| Mark { at: a.start, value: nearest(a.start), kind: a.kind, text: a.explanation };
        all.into_iter().filter(|a| inside(a) && about(a)).take(50).map(mark).collect()
    }
}

/// The trait has no errors, so a failing control log shows as an empty list and in the log, not as a wrong answer.
fn logged<T, E: std::fmt::Display>(outcome: Result<Vec<T>, E>) -> Vec<T> {
    outcome.unwrap_or_else(|err| {
        tracing::error!(%err, "conclusions not readable");
        Vec::new()
    })
}

fn passes(filter: &Filter, kind: &str, state: &str, advice: &server::Recommendation) -> bool {
    filter.kind.as_ref().is_none_or(|wanted| wanted == kind)
        && filter.state.as_ref().is_none_or(|wanted| wanted == state)
        && filter.namespace.is_none_or_matches(advice.namespace.as_deref())
        && filter.target.as_ref().is_none_or(|wanted| advice.target.contains(wanted.as_str()))
}

trait Wanted {
    fn is_none_or_matches(&self, found: Option<&str>) -> bool;
}

impl Wanted for Option<String> {
    fn is_none_or_matches(&self, found: Option<&str>) -> bool {
        self.as_deref().is_none_or(|wanted| Some(wanted) == found)
    }
}

fn recommendation(advice: &Recommendation) -> server::Recommendation {
    let due = match &advice.details {
        Details::Scale(decision) => Some(match (decision.action, decision.upcoming) {
            (scale::Action::Hold, Some(upcoming)) => upcoming.when,
            _ => decision.at.max(decision.when),
        }),
        Details::Capacity(runway) => runway.add_before,
        Details::Rightsize(_) => None,
    };
    let mut more = Map::new();
    more.insert("title".into(), json!(advice.title));
    more.insert("severity".into(), json!(advice.severity));
    more.insert("valid_until".into(), json!(advice.valid_until.to_string()));
    more.insert("details".into(), json!(advice.details));
    server::Recommendation {
        id: advice.id.clone(),
        kind: word(&advice.kind),
        state: word(&advice.status),
        target: advice.target.clone(),
        namespace: advice
            .target
            .split('/')
            .nth(1)
            .filter(|_| advice.target.matches('/').count() == 2)
            .map(str::to_owned),
        current: fields(&advice.current),
        proposed: fields(&advice.proposed),
        reason: advice.reason.clone(),
        confidence: Confidence {
            level: word(&advice.confidence_word),
            probability: (advice.confidence > 0.0).then_some(advice.confidence),
            basis: basis(advice),
        },
        saving: (advice.cost_delta_monthly != 0.0).then(|| Saving {
            amount: -advice.cost_delta_monthly,
            currency: advice.currency.clone(),
            per: "month".into(),
        }),
        risk: advice.risk.clone(),
        undo: advice.undo.clone(),
        due,
        created: advice.created_at,
        evidence: Copies { promql: Some(advice.evidence_query.clone()), ..Copies::default() },
        more,
    }
}

fn basis(advice: &Recommendation) -> String {
    match &advice.details {
        Details::Scale(decision) if decision.band.is_some() => "back-tested forecast of the demand".into(),
        Details::Scale(_) => "demand as it is now".into(),
        Details::Rightsize(sizing) => format!("{:.1} days of usage", sizing.days),
        Details::Capacity(runway) => format!("{:.0} days of history", runway.history_days),
    }
}

/// The word that serde writes.
fn word<T: serde::Serialize>(value: &T) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

fn fields(fields: &std::collections::BTreeMap<String, Field>) -> String {
    let text = |(name, value): (&String, &Field)| match (name.as_str(), value) {
        ("replicas", Field::Count(1)) => "1 replica".to_owned(),
        ("replicas", Field::Count(n)) => format!("{n} replicas"),
        ("capacity", Field::Text(text)) => text.clone(),
        (name, Field::Count(n)) => format!("{} {n}", name.replace('_', " ")),
        (name, Field::Number(n)) => format!("{} {n}", name.replace('_', " ")),
        (name, Field::Text(text)) => format!("{} {text}", name.replace('_', " ")),
    };
    fields.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// What an event of a standing query is called, in SQL as in the API.
pub(crate) fn anomaly_kind(kind: stream::EventKind) -> AnomalyKind {
    match kind {
        stream::EventKind::Spike => AnomalyKind::Spike,
        stream::EventKind::Drop => AnomalyKind::Drop,
        stream::EventKind::Burst => AnomalyKind::Burst,
        stream::EventKind::LevelShiftUp => AnomalyKind::ShiftUp,
        stream::EventKind::LevelShiftDown => AnomalyKind::ShiftDown,
        stream::EventKind::Trend => AnomalyKind::Trend,
    }
}

/// The kind of a row; older rows call shifts of the level by the stream's own words.
fn kind_of_word(word: &str) -> AnomalyKind {
    let known = AnomalyKind::ALL.into_iter().find(|kind| kind.as_str() == word);
    known.unwrap_or(match word {
        "level shift up" => AnomalyKind::ShiftUp,
        "level shift down" => AnomalyKind::ShiftDown,
        _ => AnomalyKind::Spike,
    })
}

fn anomaly(row: &Value) -> Option<Anomaly> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let number = |name: &str| row.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let time = |name: &str| row.get(name).and_then(Value::as_i64).map(Timestamp);
    let kind = kind_of_word(&text("kind")?);
    let labels = row.get("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut more = Map::new();
    for (name, key) in [("stream", "stream"), ("stream_change_point", "change_point")] {
        more.insert(name.into(), row.get(key).cloned().unwrap_or_default());
    }
    if let Some(service) = labels.get("service") {
        more.insert("service".into(), service.clone());
    }
    let group: Vec<&str> = labels.values().filter_map(Value::as_str).collect();
    Some(Anomaly {
        id: text("id")?,
        kind,
        state: text("state")?,
        series: text("series")?,
        title: format!("{} {}", group.join(" "), text("stream")?.replace('_', " ")).trim().to_owned(),
        start: time("start")?,
        end: time("end"),
        value: number("seen"),
        expected: number("expected"),
        score: number("score"),
        explanation: text("message")?,
        evidence: Copies { promql: text("query"), ..Copies::default() },
        more,
    })
}

fn summary(record: &ForecastRecord) -> ForecastSummary {
    let selector = format!("foretide_forecast{{job=\"{}\"}}", record.job);
    ForecastSummary {
        id: record.id.clone(),
        title: titled(record),
        series: record.query.clone(),
        unit: record.unit.clone(),
        model: record.model.clone(),
        relative_error: record.relative_error,
        coverage: record.widest_coverage().map(|pair| pair.1),
        origin: Timestamp(record.origin_ms),
        horizon: Millis(record.step_ms * record.mean.len() as i64),
        step: Millis(record.step_ms),
        copies: Copies {
            promql: Some(selector),
            sql: Some(format!("SELECT ts, quantile, value FROM forecasts WHERE job = '{}' ORDER BY ts", record.job)),
            cli: Some(format!("foretide jobs run {}", record.job)),
        },
    }
}

/// The title, with what tells the series of one job apart.
fn titled(record: &ForecastRecord) -> String {
    let labels: Vec<&str> = record.labels.iter().map(|(_, value)| value.as_str()).collect();
    if labels.is_empty() { record.title.clone() } else { format!("{} · {}", record.title, labels.join(" ")) }
}

/// Central intervals among the record's quantiles, widest first.
fn bands(record: &ForecastRecord) -> Vec<Band> {
    let mut bands: Vec<Band> = record
        .quantiles
        .iter()
        .filter(|(level, _)| *level < 0.5)
        .filter_map(|(level, lower)| {
            let upper = record.quantile(1.0 - level)?;
            Some(Band { level: Level::new(1.0 - 2.0 * level)?, lower: lower.clone(), upper: upper.to_vec() })
        })
        .collect();
    bands.sort_by(|a, b| b.level.ratio().total_cmp(&a.level.ratio()));
    bands
}
