//! The written forms of a policy, before they become one [`Policy`].

use serde::{Deserialize, Serialize};

use super::{Behavior, Cooldown, LeadTime, PerReplica, Policy, RateLimit};
use crate::lenient::Span;
use crate::target::Target;
use series::Millis;

/// Every key a policy may be written with; the later of two spellings of one key is refused by serde.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    name: String,
    #[serde(default, alias = "query", alias = "demandQuery")]
    demand: String,
    target: Target,
    #[serde(default, alias = "perReplica")]
    per_replica: PerReplica,
    #[serde(alias = "targetUtilization")]
    target_utilization: Option<f64>,
    headroom: Option<f64>,
    #[serde(alias = "targetCPUUtilization", alias = "targetCpuUtilization")]
    target_cpu_utilization: Option<f64>,
    #[serde(alias = "targetMemoryUtilization")]
    target_memory_utilization: Option<f64>,
    #[serde(alias = "minReplicas")]
    min_replicas: Option<u32>,
    #[serde(alias = "maxReplicas")]
    max_replicas: Option<u32>,
    #[serde(alias = "emergencyCeiling")]
    emergency_ceiling: Option<u32>,
    #[serde(default, alias = "leadTime")]
    lead_time: LeadTime,
    quantile: Option<f64>,
    behavior: Option<Behavior>,
    cooldown: Option<Cooldown>,
    #[serde(alias = "scaleUpCooldown")]
    scale_up_cooldown: Option<Span>,
    #[serde(alias = "scaleDownCooldown")]
    scale_down_cooldown: Option<Span>,
    #[serde(alias = "stabilizationWindow", alias = "stabilizationDown", alias = "stabilization_window")]
    stabilization_down: Option<Span>,
    #[serde(alias = "stepUp")]
    step_up: Option<RateLimit>,
    #[serde(alias = "stepDown")]
    step_down: Option<RateLimit>,
    tolerance: Option<f64>,
    #[serde(alias = "evaluationInterval")]
    evaluation_interval: Option<Span>,
    #[serde(alias = "maxSignalAge")]
    max_signal_age: Option<Span>,
    #[serde(alias = "maxForecastAge")]
    max_forecast_age: Option<Span>,
    #[serde(alias = "costPerReplicaHour")]
    cost_per_replica_hour: Option<f64>,
}

impl TryFrom<RawPolicy> for Policy {
    type Error = String;

    fn try_from(raw: RawPolicy) -> Result<Self, String> {
        let mut policy = Self::new(raw.name, raw.demand, raw.target);
        if let Some(behavior) = raw.behavior {
            (policy.step_up, policy.step_down, policy.stabilization_down, policy.cooldown) = behavior.limits();
        }
        policy.cooldown = cooldown(raw.cooldown, raw.scale_up_cooldown, raw.scale_down_cooldown, policy.cooldown)?;
        policy.target_utilization = match (raw.target_utilization, raw.headroom) {
            (Some(_), Some(_)) => return Err("give `target_utilization` or `headroom`, not both".into()),
            (Some(share), None) => percent_or_share(share),
            // Headroom 0.25 means: 25 % more than the load, so a replica is planned for 1 / 1.25 of what it can do.
            (None, Some(headroom)) => 1.0 / (1.0 + headroom),
            (None, None) => policy.target_utilization,
        };
        policy.per_replica = raw.per_replica;
        policy.lead_time = raw.lead_time;
        policy.emergency_ceiling = raw.emergency_ceiling;
        policy.target_cpu_utilization = raw.target_cpu_utilization.map(percent_or_share);
        policy.target_memory_utilization = raw.target_memory_utilization.map(percent_or_share);
        fn put<T>(place: &mut T, given: Option<T>) {
            if let Some(value) = given {
                *place = value;
            }
        }
        put(&mut policy.min_replicas, raw.min_replicas);
        put(&mut policy.max_replicas, raw.max_replicas);
        put(&mut policy.quantile, raw.quantile);
        put(&mut policy.stabilization_down, raw.stabilization_down.map(|span| span.0));
        put(&mut policy.step_up, raw.step_up);
        put(&mut policy.step_down, raw.step_down);
        put(&mut policy.tolerance, raw.tolerance);
        put(&mut policy.evaluation_interval, raw.evaluation_interval.map(|span| span.0));
        put(&mut policy.max_signal_age, raw.max_signal_age.map(|span| span.0));
        put(&mut policy.max_forecast_age, raw.max_forecast_age.map(|span| span.0));
        put(&mut policy.cost_per_replica_hour, raw.cost_per_replica_hour);
        Ok(policy)
    }
}

/// Older documents write utilization in percent: 70 is 0.7. A share above 1 has no other meaning.
fn percent_or_share(value: f64) -> f64 {
    if value > 1.0 { value / 100.0 } else { value }
}

fn cooldown(
    both: Option<Cooldown>,
    up: Option<Span>,
    down: Option<Span>,
    default: Cooldown,
) -> Result<Cooldown, String> {
    if both.is_some() && (up.is_some() || down.is_some()) {
        return Err("give `cooldown: {up, down}` or `scale_up_cooldown` and `scale_down_cooldown`, not both".into());
    }
    let base = both.unwrap_or(default);
    Ok(Cooldown { up: up.map_or(base.up, |span| span.0), down: down.map_or(base.down, |span| span.0) })
}

/// `auto`, a number, or a learned fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "`auto`, a number, or {capacity, interval: [low, high]}")]
pub(super) enum RawPerReplica {
    Given(f64),
    Learned { capacity: f64, interval: (f64, f64) },
    Auto(Auto),
}

/// `auto`, a duration, or a learned fit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "`auto`, a duration such as 10m, or {p90_ms, starts}")]
pub(super) enum RawLeadTime {
    Auto(Auto),
    Given(WrittenSpan),
    Learned { p90_ms: i64, starts: u32 },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auto {
    Auto,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct WrittenSpan(#[serde(with = "crate::lenient::span")] Millis);

impl From<RawPerReplica> for PerReplica {
    fn from(raw: RawPerReplica) -> Self {
        match raw {
            RawPerReplica::Auto(_) => Self::Auto,
            RawPerReplica::Given(capacity) => Self::Given(capacity),
            RawPerReplica::Learned { capacity, interval } => Self::Learned { capacity, interval },
        }
    }
}

impl From<PerReplica> for RawPerReplica {
    fn from(written: PerReplica) -> Self {
        match written {
            PerReplica::Auto => Self::Auto(Auto::Auto),
            PerReplica::Given(capacity) => Self::Given(capacity),
            PerReplica::Learned { capacity, interval } => Self::Learned { capacity, interval },
        }
    }
}

impl From<RawLeadTime> for LeadTime {
    fn from(raw: RawLeadTime) -> Self {
        match raw {
            RawLeadTime::Auto(_) => Self::Auto,
            RawLeadTime::Given(WrittenSpan(span)) => Self::Given(span),
            RawLeadTime::Learned { p90_ms, starts } => Self::Learned { p90: Millis(p90_ms), starts },
        }
    }
}

impl From<LeadTime> for RawLeadTime {
    fn from(written: LeadTime) -> Self {
        match written {
            LeadTime::Auto => Self::Auto(Auto::Auto),
            LeadTime::Given(span) => Self::Given(WrittenSpan(span)),
            LeadTime::Learned { p90, starts } => Self::Learned { p90_ms: p90.0, starts },
        }
    }
}
