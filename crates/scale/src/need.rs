//! From demand to replicas, before any bound.

use series::{Millis, Timestamp};

use crate::decision::{Reason, ReasonKind, short};
use crate::demand::{Curve, DemandForecast};
use crate::policy::Policy;
use crate::signals::{MetricKind, MetricReading, Reading, Signals};

/// Utilization inside ± 10 % of its target is left alone, as the HPA does.
const METRIC_TOLERANCE: f64 = 0.1;

/// Above this multiple of the two readings before, one reading is not yet believed in full.
const SPIKE: f64 = 3.0;

/// Fewest replicas that suffice (`up`) and most that can be justified (`down`); `up ≤ down`. They differ while the
/// capacity of a replica is uncertain: inside the span the present count is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Need {
    pub(crate) up: u32,
    pub(crate) down: u32,
}

impl Need {
    pub(crate) const fn exactly(replicas: u32) -> Self {
        Self { up: replicas, down: replicas }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self { up: self.up.max(other.up), down: self.down.max(other.down) }
    }
}

/// How much one replica is planned to carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capacity {
    pub(crate) up: f64,
    pub(crate) down: f64,
}

impl Capacity {
    pub(crate) fn of(policy: &Policy) -> Option<Self> {
        let (up, down) = policy.per_replica.capacities()?;
        let share = policy.target_utilization;
        (share.is_finite() && share > 0.0).then_some(Self { up: up * share, down: down * share })
    }

    pub(crate) fn need(self, demand: f64) -> Need {
        Need { up: ceil(demand / self.up), down: ceil(demand / self.down) }
    }
}

/// Rounds up to replicas; the fuzz keeps 3.0000000001 from becoming 4, and `as` saturates at both ends.
fn ceil(replicas: f64) -> u32 {
    (replicas - 1e-9).ceil() as u32
}

/// What reactive control alone would ask for, why, and whether a signal was missing.
#[derive(Debug, Default)]
pub(crate) struct Reactive {
    pub(crate) need: Option<Need>,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) gap: bool,
}

/// The need that the present readings show: the largest over demand and metrics.
pub(crate) fn reactive(now: Timestamp, signals: &Signals, policy: &Policy) -> Reactive {
    let mut out = Reactive::default();
    if !policy.demand.trim().is_empty() || signals.demand.is_some() {
        demand_need(&mut out, now, signals, policy);
    }
    for metric in &signals.metrics {
        metric_need(&mut out, now, metric, signals, policy);
    }
    out
}

fn demand_need(out: &mut Reactive, now: Timestamp, signals: &Signals, policy: &Policy) {
    let value = signals.demand.and_then(|reading| reading.fresh(now, policy.max_signal_age));
    match (value.filter(|value| *value >= 0.0), Capacity::of(policy)) {
        (None, _) => out.miss(Reason::gap("demand", signals.demand.map(|reading| reading.at), now)),
        (Some(value), None) => {
            // Not a gap of the metric: utilization may still drive the target both ways.
            let text = format!("demand is {}, but what one replica carries is not known yet", short(value));
            out.reasons
                .push(Reason { value: Some(value), ..Reason::note(ReasonKind::CapacityUnknown, "demand", text) });
        }
        (Some(value), Some(capacity)) => {
            let believed = despike(value, signals, now);
            let need = capacity.need(believed);
            out.need = Some(out.need.map_or(need, |other| other.max(need)));
            out.reasons.push(Reason::of_demand("demand now", believed, need.up, policy, now));
        }
    }
}

/// One reading far above the two before it counts up to three times the larger of them; a real surge is believed in
/// full with its second reading, a single broken scrape never multiplies the bill.
fn despike(value: f64, signals: &Signals, now: Timestamp) -> f64 {
    let at = signals.demand.map_or(now, |reading| reading.at);
    let before = |reading: &&Reading| reading.at < at && at - reading.at <= Millis::from_mins(10);
    let usable = |value: &f64| value.is_finite() && *value > 0.0;
    let last: Vec<f64> =
        signals.recent_demand.iter().rev().filter(before).map(|reading| reading.value).filter(usable).take(2).collect();
    match last[..] {
        [a, b] => value.min(SPIKE * a.max(b)),
        _ => value,
    }
}

fn metric_need(out: &mut Reactive, now: Timestamp, metric: &MetricReading, signals: &Signals, policy: &Policy) {
    let value = metric.reading.and_then(|reading| reading.fresh(now, policy.max_signal_age));
    let target_is_sound = metric.target.is_finite() && metric.target > 0.0;
    let Some(value) = value.filter(|value| *value >= 0.0 && target_is_sound) else {
        return out.miss(Reason::gap(&metric.name, metric.reading.map(|reading| reading.at), now));
    };
    let current = signals.current_replicas;
    let (ratio, wanted) = match metric.kind {
        MetricKind::Mean => (value / metric.target, ceil(value / metric.target * f64::from(signals.ready_replicas))),
        MetricKind::Total => (value / (metric.target * f64::from(current.max(1))), ceil(value / metric.target)),
    };
    // Starting replicas have no reading yet, so a hot mean over few ready ones must not shrink the target, nor a cool
    // one grow it.
    let replicas = match ratio {
        r if (r - 1.0).abs() <= METRIC_TOLERANCE => current,
        r if r > 1.0 => wanted.max(current),
        _ => wanted.min(current),
    };
    let need = Need::exactly(replicas);
    out.need = Some(out.need.map_or(need, |other| other.max(need)));
    out.reasons.push(Reason {
        value: Some(value),
        replicas: Some(replicas),
        ..Reason::note(
            ReasonKind::Metric,
            &metric.name,
            format!(
                "{} is {} against a target of {}: {replicas} replicas",
                metric.name,
                short(value),
                short(metric.target)
            ),
        )
    });
}

impl Reactive {
    fn miss(&mut self, reason: Reason) {
        self.gap = true;
        self.reasons.push(reason);
    }
}

/// The need a forecast shows in the windows that matter now.
#[derive(Debug)]
pub(crate) struct Ahead<'a> {
    forecast: &'a DemandForecast,
    curve: Curve<'a>,
    capacity: Capacity,
}

/// The largest value of a window and where its interval starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Peak {
    pub(crate) value: f64,
    pub(crate) at: Timestamp,
}

impl<'a> Ahead<'a> {
    pub(crate) fn new(forecast: &'a DemandForecast, policy: &Policy) -> Option<Self> {
        Some(Self { forecast, curve: forecast.curve(policy.quantile)?, capacity: Capacity::of(policy)? })
    }

    /// The peak over the intervals that touch `(from, until]`.
    pub(crate) fn peak(&self, from: Timestamp, until: Timestamp) -> Option<Peak> {
        let first = self.forecast.index(from + Millis(1)).or_else(|| (from < self.forecast.origin).then_some(0))?;
        let beyond = if until > self.forecast.origin { self.forecast.len().saturating_sub(1) } else { 0 };
        let last = self.forecast.index(until).unwrap_or(beyond);
        let mut peak: Option<Peak> = None;
        for index in first..=last {
            let value = self.curve.at(index)?;
            if peak.is_none_or(|peak| value > peak.value) {
                peak = Some(Peak { value, at: self.forecast.start_of(index).max(from) });
            }
        }
        peak
    }

    pub(crate) fn need(&self, demand: f64) -> Need {
        self.capacity.need(demand)
    }

    /// The first interval after `from` that needs more than `have` replicas.
    pub(crate) fn first_above(&self, from: Timestamp, have: u32) -> Option<Peak> {
        let first = self.forecast.index(from + Millis(1))?;
        // One comparison a step: `need.up > have` is `value > have · capacity` up to the rounding that `need` repeats.
        let limit = f64::from(have) * self.capacity.up;
        (first..self.forecast.len()).find_map(|index| {
            let value = self.curve.at(index)?;
            (value > limit && self.need(value).up > have)
                .then(|| Peak { value, at: self.forecast.start_of(index).max(from) })
        })
    }
}

/// Whether the demand can be turned into replicas at all.
pub(crate) fn knows_capacity(policy: &Policy) -> bool {
    Capacity::of(policy).is_some()
}
