//! Points of OTLP as samples: names, labels, totals, classic buckets, native histograms, `target_info`.
//!
//! A point is taken whole or refused whole, with its reason counted. Source: opentelemetry.io, "Prometheus and
//! OpenMetrics Compatibility".

use std::borrow::Cow;
use std::sync::MutexGuard;

use series::{Batch, Exemplar, Labels, METRIC_NAME, Metadata, MetricType, Millis, STALE_NAN, Timestamp};

use super::OtlpOptions;
use super::delta::{DeltaFault, DeltaStreams, Total, Totals, ZERO_BACK_MAX};
use super::emit::{Emitter, Row};
use super::exponential;
use super::model::{Attributes, Body, Explicit, Exponential, Head, Point, PointExemplar, Scope, Shape, Temporality};
use super::names::Kind;
use super::outcome::OtlpOutcome;
use crate::error::IngestError;
use crate::limits::Limits;

/// Characters that the labels of an exemplar may have together (OpenMetrics 1.0).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// Takes resources, scopes, metrics and points in the order of the message.
pub(crate) struct Translator<'a> {
    options: &'a OtlpOptions,
    now: Timestamp,
    delta: &'a DeltaStreams,
    /// Taken at the first delta.
    totals: Option<MutexGuard<'a, Totals>>,
    emitter: Emitter<'a>,
    outcome: OtlpOutcome,
    points_max: u64,
    resource: Resource,
    scope: Vec<(String, String)>,
    metric: Metric,
}

#[derive(Default)]
struct Resource {
    /// `job`, `instance` and promoted attributes: on every series.
    shared: Vec<(String, String)>,
    /// All others: on `target_info`.
    described: Vec<(String, String)>,
    newest: Option<Timestamp>,
}

#[derive(Default)]
struct Metric {
    name: String,
    shape: Shape,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(
        options: &'a OtlpOptions,
        now: Timestamp,
        limits: &'a Limits,
        delta: &'a DeltaStreams,
        batch: &'a mut Batch,
    ) -> Self {
        Self {
            options,
            now,
            delta,
            totals: None,
            emitter: Emitter::new(batch, limits),
            outcome: OtlpOutcome::default(),
            points_max: limits.samples,
            resource: Resource::default(),
            scope: Vec::new(),
            metric: Metric::default(),
        }
    }

    /// What became of all points; the totals are kept when the whole request was `read`.
    pub(crate) fn finish(mut self, read: bool) -> OtlpOutcome {
        if let Some(mut totals) = self.totals.take() {
            if read { totals.commit() } else { totals.roll_back() }
        }
        self.outcome.series = self.emitter.n_series;
        self.outcome.samples = self.emitter.n_samples;
        self.outcome
    }

    pub(crate) fn begin_resource(&mut self, attributes: &Attributes<'_>) {
        let value = |name: &str| {
            attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref()).filter(|v| !v.is_empty())
        };
        self.resource = Resource::default();
        if let Some(service) = value("service.name") {
            let job = value("service.namespace").map_or_else(|| service.to_owned(), |ns| format!("{ns}/{service}"));
            self.resource.shared.push(("job".into(), job));
        }
        if let Some(instance) = value("service.instance.id") {
            self.resource.shared.push(("instance".into(), instance.to_owned()));
        }
        let promoted = attributes.iter().filter(|(key, _)| self.options.promote.iter().any(|name| name == key));
        for (key, value) in promoted {
            push_label(&mut self.resource.shared, self.options.naming.label(key), value);
        }
        for (key, value) in attributes {
            if !matches!(key.as_ref(), "service.name" | "service.namespace" | "service.instance.id") {
                push_label(&mut self.resource.described, self.options.naming.label(key), value);
            }
        }
    }

    /// Describes the resource, once for all its points.
    pub(crate) fn end_resource(&mut self) -> Result<(), IngestError> {
        let Resource { shared, described, newest } = std::mem::take(&mut self.resource);
        let is_known = shared.iter().any(|(name, _)| name == "job" || name == "instance");
        let Some(at) = newest.filter(|_| is_known && !described.is_empty()) else { return Ok(()) };
        let mut labels = described;
        for (name, value) in shared {
            labels.retain(|(other, _)| *other != name);
            labels.push((name, value));
        }
        let row = Row { metric: "target_info", labels: &labels, extra: None };
        // A resource that does not fit is told by its points, which carry the same labels or fewer.
        if self.emitter.check(row).is_ok() {
            self.emitter.sample(row, at, 1.0)?;
        }
        Ok(())
    }

    pub(crate) fn begin_scope(&mut self, scope: &Scope<'_>) {
        self.scope.clear();
        if !self.options.scope_labels {
            return;
        }
        self.scope.push(("otel_scope_name".into(), scope.name.clone().into_owned()));
        self.scope.push(("otel_scope_version".into(), scope.version.clone().into_owned()));
        for (key, value) in &scope.attributes {
            let name = format!("otel_scope_{}", self.options.naming.label(key));
            push_label(&mut self.scope, name.into(), value);
        }
    }

    pub(crate) fn begin_metric(&mut self, head: &Head<'_>) {
        let (kind, metric_type) = match head.shape {
            Shape::Sum { monotonic: true, .. } => (Kind::Counter, MetricType::Counter),
            Shape::Gauge => (Kind::Gauge, MetricType::Gauge),
            Shape::Sum { monotonic: false, .. } => (Kind::Other, MetricType::Gauge),
            Shape::Histogram { .. } | Shape::Exponential { .. } => (Kind::Other, MetricType::Histogram),
            Shape::Summary => (Kind::Other, MetricType::Summary),
            Shape::Unknown => (Kind::Other, MetricType::Unknown),
        };
        self.metric.name = self.options.naming.metric(&head.name, &head.unit, kind);
        self.metric.shape = head.shape;
        self.emitter.metadata(Metadata {
            metric: self.metric.name.clone(),
            kind: metric_type,
            help: head.description.clone().into_owned(),
            unit: head.unit.clone().into_owned(),
        });
    }

    pub(crate) fn point(&mut self, point: Point<'_>) -> Result<(), IngestError> {
        self.outcome.points += 1;
        if self.outcome.points > self.points_max {
            let (found, limit) = (self.outcome.points, self.points_max);
            return Err(IngestError::TooMany { what: "data points", found, limit });
        }
        match self.taken(point)? {
            Ok(()) => {}
            Err(why) => self.outcome.refuse(why, &self.metric.name),
        }
        Ok(())
    }

    /// The inner error refuses the point alone.
    fn taken(&mut self, point: Point<'_>) -> Result<Result<(), Cow<'static, str>>, IngestError> {
        if self.metric.name.is_empty() {
            return Ok(Err("a metric has no name".into()));
        }
        if point.time_ns == 0 {
            return Ok(Err("a point has no time".into()));
        }
        let mut labels = self.labels(&point.attributes);
        let extra = match point.body {
            Body::Number(_) | Body::Exponential(_) => None,
            Body::Histogram(_) => Some(("le", "+Inf")),
            Body::Summary { .. } => Some(("quantile", "0.99")),
        };
        if let Some((name, _)) = extra {
            labels.retain(|(other, _)| other != name);
        }
        if let Err(reason) = self.emitter.check(Row { metric: &self.metric.name, labels: &labels, extra }) {
            return Ok(Err(reason.to_string().into()));
        }
        let times = match self.total_of(&labels, &point) {
            Ok(times) => times,
            Err(why) => return Ok(Err(why)),
        };
        let newest = self.resource.newest.get_or_insert(times.at);
        *newest = (*newest).max(times.at);
        self.write(&labels, &point, times)?;
        Ok(Ok(()))
    }

    /// What is written of a point: its own numbers, or with delta temporality the total they lead to.
    fn total_of(&mut self, labels: &[(String, String)], point: &Point<'_>) -> Result<Times, Cow<'static, str>> {
        let at = millis(point.time_ns);
        let total = match &point.body {
            Body::Number(None) if !point.is_stale => return Err("a point has no value".into()),
            Body::Number(value) => Total::Number(value.unwrap_or(STALE_NAN)),
            Body::Histogram(histogram) => {
                check_explicit(histogram)?;
                Total::Explicit(histogram.clone())
            }
            Body::Exponential(histogram) => {
                exponential::native(histogram, point.is_stale)?;
                Total::Exponential(histogram.clone())
            }
            Body::Summary { .. } => return Ok(Times { at, zero_at: None, total: None }),
        };
        match self.metric.shape.temporality() {
            // What has ended has nothing to add.
            _ if point.is_stale => Ok(Times { at, zero_at: None, total: Some(total) }),
            Some(Temporality::Unspecified) => Err("the aggregation temporality is not specified".into()),
            Some(Temporality::Delta) => self.summed(labels, point, total),
            Some(Temporality::Cumulative) | None => Ok(Times { at, zero_at: None, total: Some(total) }),
        }
    }

    fn summed(
        &mut self,
        labels: &[(String, String)],
        point: &Point<'_>,
        delta: Total,
    ) -> Result<Times, Cow<'static, str>> {
        let at = millis(point.time_ns);
        let own = std::iter::once((METRIC_NAME, self.metric.name.as_str()));
        let pairs = own.chain(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let key = Labels::from_pairs(pairs).map_err(|err| Cow::from(err.to_string()))?;
        let totals = self.totals.get_or_insert_with(|| self.delta.lock());
        let summed = totals.add(key, point.time_ns, delta, self.now).map_err(|fault| match fault {
            DeltaFault::Older => Cow::from("a delta is older than the newest of its stream"),
            DeltaFault::NoRoom { limit } => format!("more than {limit} streams of deltas are added up").into(),
        })?;
        // One millisecond later than the start: there the stream before, if we were restarted, has its last point.
        let start = millis(point.start_ns) + Millis(1);
        let has_start = point.start_ns > 0 && start < at && at - start <= ZERO_BACK_MAX;
        Ok(Times { at, zero_at: (summed.is_first && has_start).then_some(start), total: Some(summed.total) })
    }

    fn write(&mut self, labels: &[(String, String)], point: &Point<'_>, times: Times) -> Result<(), IngestError> {
        let Times { at, zero_at, total } = times;
        let exemplars: Vec<_> = point.exemplars.iter().filter_map(|exemplar| self.exemplar(exemplar, at)).collect();
        match (total, &point.body) {
            (None, Body::Summary { count, sum, quantiles }) => {
                self.summary(labels, at, point.is_stale, (*count, *sum), quantiles)
            }
            (None, _) => Ok(()),
            (Some(total), _) => {
                if let Some(zero_at) = zero_at {
                    self.total(labels, zero_at, &total.zero(), false, &[])?;
                }
                self.total(labels, at, &total, point.is_stale, &exemplars)
            }
        }
    }

    fn total(
        &mut self,
        labels: &[(String, String)],
        at: Timestamp,
        total: &Total,
        is_stale: bool,
        exemplars: &[Exemplar],
    ) -> Result<(), IngestError> {
        match total {
            Total::Number(value) => {
                let row = Row { metric: &self.metric.name, labels, extra: None };
                self.emitter.sample(row, at, if is_stale { STALE_NAN } else { *value })?;
                self.emitter.exemplars(exemplars.iter().cloned());
                Ok(())
            }
            Total::Explicit(histogram) => self.explicit(labels, at, histogram, is_stale, exemplars),
            Total::Exponential(histogram) => self.exponential(labels, at, histogram, is_stale, exemplars),
        }
    }

    /// Classic series; exemplars go to the bucket they fell into.
    fn explicit(
        &mut self,
        labels: &[(String, String)],
        at: Timestamp,
        histogram: &Explicit,
        is_stale: bool,
        exemplars: &[Exemplar],
    ) -> Result<(), IngestError> {
        let value = |value: f64| if is_stale { STALE_NAN } else { value };
        let bucket = format!("{}_bucket", self.metric.name);
        let (mut below, mut lower) = (0_u64, f64::NEG_INFINITY);
        for (i, &bound) in histogram.bounds.iter().chain([&f64::INFINITY]).enumerate() {
            below = below.saturating_add(histogram.counts.get(i).copied().unwrap_or(0));
            let is_last = i == histogram.bounds.len();
            let le = if is_last { "+Inf".to_owned() } else { bound.to_string() };
            let count = if is_last { histogram.count } else { below };
            let row = Row { metric: &bucket, labels, extra: Some(("le", &le)) };
            self.emitter.sample(row, at, value(count as f64))?;
            let inside = exemplars.iter().filter(|exemplar| lower < exemplar.value && exemplar.value <= bound);
            self.emitter.exemplars(inside.cloned());
            lower = bound;
        }
        let count = format!("{}_count", self.metric.name);
        self.emitter.sample(Row { metric: &count, labels, extra: None }, at, value(histogram.count as f64))?;
        if let Some(sum) = histogram.sum {
            let name = format!("{}_sum", self.metric.name);
            self.emitter.sample(Row { metric: &name, labels, extra: None }, at, value(sum))?;
        }
        Ok(())
    }

    fn exponential(
        &mut self,
        labels: &[(String, String)],
        at: Timestamp,
        histogram: &Exponential,
        is_stale: bool,
        exemplars: &[Exemplar],
    ) -> Result<(), IngestError> {
        // Checked when the point was taken; a total is never finer than its deltas.
        if let Ok(native) = exponential::native(histogram, is_stale) {
            self.emitter.histogram(Row { metric: &self.metric.name, labels, extra: None }, at, native)?;
            self.emitter.exemplars(exemplars.iter().cloned());
        }
        Ok(())
    }

    fn summary(
        &mut self,
        labels: &[(String, String)],
        at: Timestamp,
        is_stale: bool,
        (count, sum): (u64, f64),
        quantiles: &[(f64, f64)],
    ) -> Result<(), IngestError> {
        let value = |value: f64| if is_stale { STALE_NAN } else { value };
        for (level, quantile) in quantiles {
            let level = level.to_string();
            let row = Row { metric: &self.metric.name, labels, extra: Some(("quantile", &level)) };
            self.emitter.sample(row, at, value(*quantile))?;
        }
        for (suffix, number) in [("count", count as f64), ("sum", sum)] {
            let name = format!("{}_{suffix}", self.metric.name);
            self.emitter.sample(Row { metric: &name, labels, extra: None }, at, value(number))?;
        }
        Ok(())
    }

    /// `None` (and counted) when its labels are too long.
    fn exemplar(&mut self, sent: &PointExemplar<'_>, at: Timestamp) -> Option<Exemplar> {
        let ids = [("trace_id", sent.trace_id.as_str()), ("span_id", sent.span_id.as_str())];
        let mut pairs: Vec<(String, String)> = ids
            .iter()
            .filter(|(_, id)| !id.is_empty())
            .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
            .collect();
        for (key, value) in &sent.attributes {
            push_label(&mut pairs, self.options.naming.label(key), value);
        }
        let n_chars: usize = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
        let labels = Labels::from_pairs(pairs).ok().filter(|_| n_chars <= EXEMPLAR_CHARS_MAX);
        if labels.is_none() {
            self.outcome.exemplars_skipped += 1;
        }
        let at = if sent.time_ns > 0 { millis(sent.time_ns) } else { at };
        labels.map(|labels| Exemplar { labels, value: sent.value, at })
    }

    /// A point's labels: its attributes, then what its resource and scope put on every series.
    fn labels(&self, attributes: &Attributes<'_>) -> Vec<(String, String)> {
        let shared = self.resource.shared.iter().chain(&self.scope);
        let mut labels = Vec::with_capacity(attributes.len() + self.resource.shared.len() + self.scope.len());
        for (key, value) in attributes {
            push_label(&mut labels, self.options.naming.label(key), value);
        }
        for (name, value) in shared {
            labels.retain(|(other, _)| other != name);
            labels.push((name.clone(), value.clone()));
        }
        labels
    }
}

/// When a point is written and with which numbers.
struct Times {
    at: Timestamp,
    /// Where the zero before the first delta goes.
    zero_at: Option<Timestamp>,
    /// `None` for summaries, which are written as they are.
    total: Option<Total>,
}

impl Shape {
    fn temporality(self) -> Option<Temporality> {
        match self {
            Self::Sum { temporality, .. } | Self::Histogram { temporality } | Self::Exponential { temporality } => {
                Some(temporality)
            }
            Self::Gauge | Self::Summary | Self::Unknown => None,
        }
    }
}

fn check_explicit(histogram: &Explicit) -> Result<(), Cow<'static, str>> {
    let Explicit { counts, bounds, .. } = histogram;
    if counts.len() != bounds.len() + 1 && !(counts.is_empty() && bounds.is_empty()) {
        return Err("a histogram's counts do not fit its bounds".into());
    }
    if bounds.iter().any(|bound| bound.is_nan()) || bounds.windows(2).any(|two| two[0] >= two[1]) {
        return Err("a histogram's bounds do not rise".into());
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err("a histogram's last bound is infinite; it is implied".into());
    }
    Ok(())
}

/// Adds a label; names that became the same are joined with `;`, as Prometheus does.
fn push_label(labels: &mut Vec<(String, String)>, name: Cow<'_, str>, value: &str) {
    match labels.iter_mut().find(|(other, _)| *other == *name) {
        Some((_, joined)) => {
            joined.push(';');
            joined.push_str(value);
        }
        None => labels.push((name.into_owned(), value.to_owned())),
    }
}

fn millis(ns: u64) -> Timestamp {
    Timestamp((ns / 1_000_000) as i64)
}
