//! What is seen of a target now.

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::lenient;

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When it was true, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// In the unit of its signal; a value that is not finite is a gap.
    #[serde(with = "lenient::float")]
    pub value: f64,
}

/// How a metric becomes a number of replicas (the kinds of the Kubernetes HPA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Mean over the ready replicas; replicas grow by value / target. Utilization, queue length a replica…
    Mean,
    /// Total over all replicas; replicas are total / target.
    Total,
}

/// A signal besides the demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricReading {
    /// As shown in reasons: `cpu`, `queue depth`…
    pub name: String,
    /// How it is turned into replicas.
    pub kind: MetricKind,
    /// The value to aim at, positive.
    #[serde(with = "lenient::float")]
    pub target: f64,
    /// The reading; `None` is a gap.
    pub reading: Option<Reading>,
}

/// Everything a step looks at, besides the forecast.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Signals {
    /// Replicas asked for at present (`spec.replicas`).
    pub current_replicas: u32,
    /// Replicas that serve at present.
    pub ready_replicas: u32,
    /// Total demand now; `None` is a gap.
    pub demand: Option<Reading>,
    /// The demand of the last minutes, oldest first, to compare with the forecast; the last 240 are used.
    pub recent_demand: Vec<Reading>,
    /// Further signals; the largest need of all wins.
    pub metrics: Vec<MetricReading>,
}

impl Reading {
    /// The value, unless it is not a finite number, older than `max_age` or more than `max_age` ahead of `now`.
    pub fn fresh(self, now: Timestamp, max_age: Millis) -> Option<f64> {
        let age = now - self.at;
        (self.value.is_finite() && age <= max_age && age.0 >= -max_age.0).then_some(self.value)
    }
}
