//! What a user asks of one target: bounds, lead time, how safe, how fast.
//!
//! Read from the configuration's snake_case or from the camelCase names of older documents (`minReplicas`,
//! `scaleUpCooldown: "3m"`, `targetCPUUtilization: 70`); written as snake_case. Unknown keys are refused.

mod raw;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use series::Millis;

use crate::lenient;
use crate::target::Target;

/// Scaling policy of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "raw::RawPolicy")]
pub struct Policy {
    /// Unique name.
    pub name: String,
    /// PromQL of the demand, in the unit of [`Policy::per_replica`]; may be empty when only metrics drive the target.
    pub demand: String,
    /// What is scaled.
    pub target: Target,
    /// Demand at which one replica is full.
    pub per_replica: PerReplica,
    /// Share of a full replica that is planned for, in (0, 1].
    pub target_utilization: f64,
    /// CPU utilization to aim at besides the demand, a share in (0, 1]; needs a CPU reading in the signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_cpu_utilization: Option<f64>,
    /// Memory utilization to aim at, a share in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_memory_utilization: Option<f64>,
    /// Never fewer.
    pub min_replicas: u32,
    /// Never more, but for [`Policy::emergency_ceiling`].
    pub max_replicas: u32,
    /// Never more, when demand that is already here (not a forecast) needs more than `max_replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emergency_ceiling: Option<u32>,
    /// From the decision to a replica that serves.
    pub lead_time: LeadTime,
    /// Quantile of the demand forecast that must fit, in (0, 1).
    pub quantile: f64,
    /// Pauses after a change that was really applied.
    pub cooldown: Cooldown,
    /// A scale-down waits until no need of the last window is above it.
    #[serde(with = "lenient::span")]
    pub stabilization_down: Millis,
    /// How much may be added in a period.
    pub step_up: RateLimit,
    /// How much may be removed in a period.
    pub step_down: RateLimit,
    /// Scale-downs smaller than this share of the present replicas are not worth a change, in [0, 1).
    pub tolerance: f64,
    /// How often the policy is evaluated.
    #[serde(with = "lenient::span")]
    pub evaluation_interval: Millis,
    /// A reading older than this is a gap.
    #[serde(with = "lenient::span")]
    pub max_signal_age: Millis,
    /// A forecast older than this is not used.
    #[serde(with = "lenient::span")]
    pub max_forecast_age: Millis,
    /// What one replica costs an hour, in the currency of the configuration.
    pub cost_per_replica_hour: f64,
}

/// Demand at which one replica is full: `auto`, a number, or what was learned.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "raw::RawPerReplica", into = "raw::RawPerReplica")]
pub enum PerReplica {
    /// Not known yet: only utilization metrics can drive the target until it is learned.
    #[default]
    Auto,
    /// Told by the user.
    Given(f64),
    /// Fitted from the past; scale-ups use `capacity`, scale-downs the low end of `interval`.
    Learned {
        /// Best estimate.
        capacity: f64,
        /// 90 % interval of the estimate.
        interval: (f64, f64),
    },
}

/// From the decision to a replica that serves: `auto`, a duration, or what was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "raw::RawLeadTime", into = "raw::RawLeadTime")]
pub enum LeadTime {
    /// Not known yet: [`LeadTime::UNKNOWN`] is assumed.
    #[default]
    Auto,
    /// Told by the user.
    Given(Millis),
    /// Observed.
    Learned {
        /// 90 % of the observed starts took no longer.
        p90: Millis,
        /// How many starts were observed.
        starts: u32,
    },
}

/// Pauses counted from the last applied change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cooldown {
    /// Before the next scale-up.
    #[serde(with = "lenient::span", default)]
    pub up: Millis,
    /// Before the next scale-down.
    #[serde(with = "lenient::span", default)]
    pub down: Millis,
}

/// At most the larger of `percent` and `replicas` in each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Share of the replicas at the period's start, in percent: 100 doubles.
    pub percent: f64,
    /// Absolute number.
    pub replicas: u32,
    /// Length of the sliding window.
    #[serde(with = "lenient::span")]
    pub period: Millis,
}

/// Named sets of rates and pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behavior {
    /// Up to +300 % in 15 s, down after 1 minute.
    Aggressive,
    /// Up to +100 % or 4 replicas in 15 s, down after 5 minutes: the HPA's defaults.
    Balanced,
    /// Up to +50 % a minute, down at most 10 % a minute after 15 minutes.
    Conservative,
}

/// Why a policy cannot be used; each names the field, the value and the rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// The name is empty, too long or has control characters.
    #[error("policy name {0:?}: use 1 to 128 printable characters")]
    Name(String),
    /// Bounds contradict each other.
    #[error("policy `{policy}`: min_replicas {min} is above max_replicas {max}")]
    Bounds {
        /// Policy name.
        policy: String,
        /// Lower bound.
        min: u32,
        /// Upper bound.
        max: u32,
    },
    /// The emergency ceiling is below the ordinary maximum.
    #[error("policy `{policy}`: emergency_ceiling {ceiling} is below max_replicas {max}")]
    Ceiling {
        /// Policy name.
        policy: String,
        /// Emergency ceiling.
        ceiling: u32,
        /// Ordinary maximum.
        max: u32,
    },
    /// A number is outside its range.
    #[error("policy `{policy}`: {field} is {value}, it must be {rule}")]
    Range {
        /// Policy name.
        policy: String,
        /// Field name.
        field: &'static str,
        /// What was given.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
    /// A span is outside its range.
    #[error("policy `{policy}`: {field} is {value}, it must be {rule}")]
    Duration {
        /// Policy name.
        policy: String,
        /// Field name.
        field: &'static str,
        /// What was given.
        value: Millis,
        /// What is allowed.
        rule: &'static str,
    },
    /// Nothing to scale on.
    #[error("policy `{policy}`: give `demand` (PromQL) or a target utilization")]
    NoSignal {
        /// Policy name.
        policy: String,
    },
}

impl LeadTime {
    /// Assumed while nothing was observed: ten minutes, a slow image on a new node.
    pub const UNKNOWN: Millis = Millis::from_mins(10);

    /// The span to plan with, never negative.
    pub fn span(self) -> Millis {
        let span = match self {
            Self::Auto => Self::UNKNOWN,
            Self::Given(span) | Self::Learned { p90: span, .. } => span,
        };
        Millis(span.0.max(0))
    }
}

impl PerReplica {
    /// `(for scale-ups, for scale-downs)`: demand at which a replica is full; `None` while unknown or not positive.
    pub fn capacities(self) -> Option<(f64, f64)> {
        let (capacity, low) = match self {
            Self::Auto => return None,
            Self::Given(capacity) => (capacity, capacity),
            Self::Learned { capacity, interval } => (capacity, interval.0.min(capacity)),
        };
        let usable = |value: f64| value.is_finite() && value > 0.0;
        // A fit whose low end is nowhere near its centre would block every scale-down; half is the least believed.
        usable(capacity).then(|| (capacity, if usable(low) { low.max(capacity / 2.0) } else { capacity / 2.0 }))
    }
}

impl Behavior {
    /// The rates, the stabilization window and the pauses of the set, in the order up, down, window, cooldown.
    pub fn limits(self) -> (RateLimit, RateLimit, Millis, Cooldown) {
        let rate = |percent, replicas, secs| RateLimit { percent, replicas, period: Millis::from_secs(secs) };
        let pause = |up, down| Cooldown { up: Millis::from_secs(up), down: Millis::from_secs(down) };
        match self {
            Self::Aggressive => (rate(300.0, 10, 15), rate(100.0, 10, 15), Millis::from_mins(1), pause(0, 60)),
            Self::Balanced => (rate(100.0, 4, 15), rate(100.0, 4, 15), Millis::from_mins(5), pause(0, 0)),
            Self::Conservative => (rate(50.0, 2, 60), rate(10.0, 1, 60), Millis::from_mins(15), pause(60, 300)),
        }
    }
}

impl Policy {
    /// A policy with the defaults of [`Behavior::Balanced`]: 1 to 10 replicas, quantile 0.9, utilization 0.8.
    pub fn new(name: impl Into<String>, demand: impl Into<String>, target: Target) -> Self {
        let (step_up, step_down, stabilization_down, cooldown) = Behavior::Balanced.limits();
        Self {
            name: name.into(),
            demand: demand.into(),
            target,
            per_replica: PerReplica::Auto,
            target_utilization: 0.8,
            target_cpu_utilization: None,
            target_memory_utilization: None,
            min_replicas: 1,
            max_replicas: 10,
            emergency_ceiling: None,
            lead_time: LeadTime::Auto,
            quantile: 0.9,
            cooldown,
            stabilization_down,
            step_up,
            step_down,
            tolerance: 0.02,
            evaluation_interval: Millis::from_secs(15),
            max_signal_age: Millis::from_mins(2),
            max_forecast_age: Millis::from_hours(3),
            cost_per_replica_hour: 0.0,
        }
    }

    /// Checks every field against its range and the fields against each other.
    ///
    /// # Errors
    /// The first [`PolicyError`] in field order.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.name.is_empty() || self.name.len() > 128 || self.name.chars().any(char::is_control) {
            return Err(PolicyError::Name(self.name.chars().take(128).collect()));
        }
        let policy = || self.name.clone();
        if self.demand.trim().is_empty()
            && self.target_cpu_utilization.is_none()
            && self.target_memory_utilization.is_none()
        {
            return Err(PolicyError::NoSignal { policy: policy() });
        }
        if self.min_replicas > self.max_replicas {
            return Err(PolicyError::Bounds { policy: policy(), min: self.min_replicas, max: self.max_replicas });
        }
        if let Some(ceiling) = self.emergency_ceiling.filter(|ceiling| *ceiling < self.max_replicas) {
            return Err(PolicyError::Ceiling { policy: policy(), ceiling, max: self.max_replicas });
        }
        self.validate_numbers()?;
        self.validate_spans()
    }

    fn validate_numbers(&self) -> Result<(), PolicyError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let (capacity, low, high) = match self.per_replica {
            PerReplica::Auto => (1.0, 1.0, 1.0),
            PerReplica::Given(capacity) => (capacity, capacity, capacity),
            PerReplica::Learned { capacity, interval } => (capacity, interval.0, interval.1),
        };
        let optional = |value: Option<f64>| value.unwrap_or(1.0);
        let rate = |limit: RateLimit| limit.percent.is_finite() && limit.percent >= 0.0;
        let rules: [(&'static str, f64, bool, &'static str); 12] = [
            ("max_replicas", f64::from(self.max_replicas), self.max_replicas >= 1, "at least 1"),
            ("per_replica", capacity, positive(capacity), "a positive number or `auto`"),
            ("per_replica.interval", low, positive(low) && low <= capacity, "positive and not above the capacity"),
            ("per_replica.interval", high, high.is_finite() && high >= capacity, "not below the capacity"),
            ("target_utilization", self.target_utilization, share(self.target_utilization), "in (0, 1]"),
            (
                "target_cpu_utilization",
                optional(self.target_cpu_utilization),
                share(optional(self.target_cpu_utilization)),
                "in (0, 1]",
            ),
            (
                "target_memory_utilization",
                optional(self.target_memory_utilization),
                share(optional(self.target_memory_utilization)),
                "in (0, 1]",
            ),
            (
                "quantile",
                self.quantile,
                self.quantile > 0.0 && self.quantile < 1.0,
                "between 0 and 1, for instance 0.9",
            ),
            ("tolerance", self.tolerance, (0.0..1.0).contains(&self.tolerance), "in [0, 1)"),
            ("step_up.percent", self.step_up.percent, rate(self.step_up), "a number from 0 on"),
            ("step_down.percent", self.step_down.percent, rate(self.step_down), "a number from 0 on"),
            (
                "cost_per_replica_hour",
                self.cost_per_replica_hour,
                self.cost_per_replica_hour.is_finite() && self.cost_per_replica_hour >= 0.0,
                "a number from 0 on",
            ),
        ];
        match rules.into_iter().find(|rule| !rule.2) {
            Some((field, value, _, rule)) => Err(PolicyError::Range { policy: self.name.clone(), field, value, rule }),
            None => Ok(()),
        }
    }

    fn validate_spans(&self) -> Result<(), PolicyError> {
        let lead = match self.lead_time {
            LeadTime::Auto => LeadTime::UNKNOWN,
            LeadTime::Given(span) | LeadTime::Learned { p90: span, .. } => span,
        };
        let day = Millis::from_days(1);
        let (zero, second) = (Millis(0), Millis::from_secs(1));
        let rules: [(&'static str, Millis, Millis, &'static str); 9] = [
            ("lead_time", lead, zero, "from 0s to 1d"),
            ("cooldown.up", self.cooldown.up, zero, "from 0s to 1d"),
            ("cooldown.down", self.cooldown.down, zero, "from 0s to 1d"),
            ("stabilization_down", self.stabilization_down, zero, "from 0s to 1d"),
            ("step_up.period", self.step_up.period, second, "from 1s to 1d"),
            ("step_down.period", self.step_down.period, second, "from 1s to 1d"),
            ("evaluation_interval", self.evaluation_interval, second, "from 1s to 1d"),
            ("max_signal_age", self.max_signal_age, second, "from 1s to 1d"),
            ("max_forecast_age", Millis(self.max_forecast_age.0.min(day.0)), second, "at least 1s"),
        ];
        match rules.into_iter().find(|(_, span, least, _)| span < least || *span > day) {
            Some((field, value, _, rule)) => {
                Err(PolicyError::Duration { policy: self.name.clone(), field, value, rule })
            }
            None => Ok(()),
        }
    }
}
