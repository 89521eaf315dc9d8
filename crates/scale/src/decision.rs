//! A decision and everything one may ask about it.

use serde::{Deserialize, Serialize};
use series::Timestamp;

use crate::constrain::Constraint;
use crate::lenient;
use crate::policy::Policy;
use crate::target::Target;
use crate::trust::Distrust;

/// Whether replicas change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing changes.
    Hold,
    /// Replicas go from `from` to `to`.
    Scale,
}

/// What one step decided. A plain record: equal inputs give an equal one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// 32 hex digits of BLAKE3 over policy, target, instant, `from` and `to`.
    pub id: String,
    /// 32 hex digits over target, policy, window and action: the same intent inside one window has the same key.
    pub idempotency_key: String,
    /// When it was made, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// Name of the policy.
    pub policy: String,
    /// What is scaled.
    pub target: Target,
    /// Whether replicas change.
    pub action: Action,
    /// Replicas asked for now.
    pub from: u32,
    /// Replicas to ask for.
    pub to: u32,
    /// When to act: now, or earlier than now had the need been seen in time (then the act is late).
    #[serde(with = "lenient::instant", rename = "when_ms")]
    pub when: Timestamp,
    /// When replicas started now serve: `at` + lead time.
    #[serde(with = "lenient::instant", rename = "effective_ms")]
    pub effective: Timestamp,
    /// Why, the strongest first.
    pub reasons: Vec<Reason>,
    /// The forecast at `effective`; absent in reactive control.
    pub band: Option<Band>,
    /// What kept the decision from the need.
    pub constraint: Option<Constraint>,
    /// Why the forecast was not used, if there was one.
    pub distrust: Option<Distrust>,
    /// What reactive control alone would have done.
    pub counterfactual: Counterfactual,
    /// The next scale-up the forecast asks for, later than this decision.
    pub upcoming: Option<Upcoming>,
    /// From 0 (do not trust) to 1.
    pub confidence: f64,
    /// Change of cost, in the currency of the configuration.
    pub cost_delta_per_hour: f64,
    /// How to take it back.
    pub undo: String,
    /// PromQL that shows the evidence.
    pub evidence_query: String,
}

/// The kind of a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// A quantile of the forecast.
    Forecast,
    /// The demand now.
    Demand,
    /// Another signal.
    Metric,
    /// A signal is missing.
    Gap,
    /// The forecast is not used.
    Reactive,
    /// What one replica carries is not known.
    CapacityUnknown,
    /// A bound, a pause or a rate held the need back.
    Constraint,
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// Kind.
    pub kind: ReasonKind,
    /// `demand now`, `forecast`, `cpu`…
    pub signal: String,
    /// Forecast quantile, for [`ReasonKind::Forecast`].
    pub quantile: Option<f64>,
    /// Value of the signal in its unit.
    pub value: Option<f64>,
    /// Demand a replica is planned to carry.
    pub per_replica: Option<f64>,
    /// Replicas this reason alone asks for.
    pub replicas: Option<u32>,
    /// When the value holds, milliseconds UTC.
    #[serde(with = "lenient::instant_opt", rename = "at_ms")]
    pub at: Option<Timestamp>,
    /// For people.
    pub text: String,
}

/// The forecast at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The instant, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// 10 % of futures lie below.
    pub p10: f64,
    /// Median.
    pub p50: f64,
    /// 90 % of futures lie below.
    pub p90: f64,
}

/// Reactive control alone, under the same bounds, pauses and rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counterfactual {
    /// Replicas it would ask for.
    pub to: u32,
    /// What would have held it back.
    pub constraint: Option<Constraint>,
}

/// A scale-up that is foreseen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Upcoming {
    /// Replicas that will be needed, inside the bounds.
    pub to: u32,
    /// When to act: `needed_ms` less the lead time, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "when_ms")]
    pub when: Timestamp,
    /// When the forecast quantile first needs more, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "needed_ms")]
    pub needed: Timestamp,
    /// The demand at that instant.
    pub demand: f64,
}

impl Reason {
    pub(crate) fn note(kind: ReasonKind, signal: &str, text: String) -> Self {
        let signal = signal.to_owned();
        Self { kind, signal, quantile: None, value: None, per_replica: None, replicas: None, at: None, text }
    }

    pub(crate) fn gap(signal: &str, last: Option<Timestamp>, now: Timestamp) -> Self {
        let text = match last {
            Some(last) if last <= now => format!("{signal} has had no usable reading for {}", now - last),
            _ => format!("{signal} has no usable reading"),
        };
        Self { at: last, ..Self::note(ReasonKind::Gap, signal, format!("{text}; nothing is scaled down")) }
    }

    pub(crate) fn of_demand(signal: &str, value: f64, replicas: u32, policy: &Policy, at: Timestamp) -> Self {
        let capacity = policy.per_replica.capacities().map_or(f64::NAN, |(capacity, _)| capacity);
        let share = policy.target_utilization;
        let (demand, full) = (short(value), short(capacity));
        let text = format!("{signal} {demand} / ({full} × {share:.2} a replica) needs {replicas} replicas");
        Self {
            value: Some(value),
            per_replica: Some(capacity * share),
            replicas: Some(replicas),
            at: Some(at),
            ..Self::note(ReasonKind::Demand, signal, text)
        }
    }
}

/// A number for people: no decimals from a thousand on, three below ten.
pub(crate) fn short(value: f64) -> String {
    let decimals = if value.abs() >= 1000.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// 32 hex digits over length-prefixed parts, so that no two lists of parts collide by concatenation.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
