//! What is true of a generated trace: plain structs that serialise to JSON, times in milliseconds UTC.

use serde::{Serialize, Serializer};
use series::{Step, Timestamp};

/// Everything planted in a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// Seed of the trace.
    pub seed: u64,
    /// Start of the trace.
    #[serde(serialize_with = "millis")]
    pub start: Timestamp,
    /// End of the trace, which stands for "now".
    #[serde(serialize_with = "millis")]
    pub end: Timestamp,
    /// Distance of scrapes in milliseconds.
    #[serde(serialize_with = "step_millis")]
    pub step: Step,
    /// Times at which something was wrong, oldest first.
    pub anomalies: Vec<Anomaly>,
    /// Lasting changes of a level, oldest first.
    pub change_points: Vec<ChangePoint>,
    /// When resources run out.
    pub capacity: Vec<Capacity>,
    /// Loads and replicas of each HTTP service.
    pub services: Vec<ServiceTruth>,
    /// Use against request of each workload.
    pub sizing: Vec<RightSizing>,
}

/// Kinds of anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// More requests for a short time: up fast, down slowly.
    Spike,
    /// More requests for hours, at a constant factor.
    LevelShift,
    /// Longer durations at the same load.
    Latency,
    /// Failing requests.
    ErrorBurst,
}

/// A time at which something was wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// What.
    pub kind: AnomalyKind,
    /// Where.
    pub service: String,
    /// PromQL selector of the series it shows in.
    pub selector: String,
    /// Samples after this time are affected.
    #[serde(serialize_with = "millis")]
    pub start: Timestamp,
    /// Samples after this time are not; `None`: still open at the end.
    #[serde(serialize_with = "maybe_millis")]
    pub end: Option<Timestamp>,
    /// Size: factor on requests or durations (of a spike: at its top), or share of requests that fail.
    pub factor: f64,
}

/// Why a level changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// A new version.
    Release,
    /// More visitors for good.
    Campaign,
}

/// A lasting change of a level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangePoint {
    /// Why.
    pub cause: ChangeCause,
    /// Where.
    pub service: String,
    /// PromQL selector of the series it shows in.
    pub selector: String,
    /// Samples after this time are affected.
    #[serde(serialize_with = "millis")]
    pub at: Timestamp,
    /// Version released then.
    pub version: Option<String>,
    /// Level after, as a factor on the level before (request durations for a release, requests for a campaign); 1 for a
    /// release that changed nothing.
    pub factor: f64,
}

/// When a resource reaches a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// Which, such as `db-0 /var/lib/postgresql`.
    pub resource: String,
    /// PromQL expression of the used share.
    pub used: String,
    /// Share that counts as full.
    pub limit: f64,
    /// Share used at the end, on the trend line.
    pub used_at_end: f64,
    /// Growth of the share a day, on the trend line.
    pub growth_per_day: f64,
    /// When the trend line meets the limit; `None`: never, it is emptied in time.
    #[serde(serialize_with = "maybe_millis")]
    pub true_fill_date: Option<Timestamp>,
}

/// Load and replicas of an HTTP service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceTruth {
    /// Which.
    pub service: String,
    /// Expected requests a second at the end, without noise.
    pub rps_at_end: f64,
    /// Highest expected requests a second of the 24 hours after the end.
    pub peak_rps: f64,
    /// When.
    #[serde(serialize_with = "millis")]
    pub peak_at: Timestamp,
    /// Requests a second at which one replica is saturated.
    pub rps_per_replica: f64,
    /// Utilisation aimed at.
    pub target_utilisation: f64,
    /// Replicas at the end.
    pub replicas_at_end: u32,
    /// Replicas that serve the peak at the aimed utilisation.
    pub replicas_needed_at_peak: u32,
    /// Fewest and most replicas; equal when the service is not scaled.
    pub replicas_bounds: (u32, u32),
    /// Mean seconds from a pod's creation to readiness.
    pub lead_time_s: f64,
    /// 99th percentile of request durations at the end, seconds, without noise.
    pub p99_at_end_s: f64,
    /// Version that serves at the end.
    pub version_at_end: String,
}

/// How a request compares to what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizing {
    /// Less than half of the request is used.
    Over,
    /// Half to all of it.
    Right,
    /// More than the request.
    Under,
}

/// Use of one workload's pods over the whole trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RightSizing {
    /// Deployment and container name.
    pub workload: String,
    /// Cores a pod requests.
    pub cpu_request_cores: f64,
    /// 95th percentile of the cores a ready pod uses, over all pods and steps, rounded up to a millicore.
    pub cpu_p95_cores: f64,
    /// What that means for the request.
    pub cpu: Sizing,
    /// Bytes a pod requests.
    pub memory_request_bytes: u64,
    /// Most bytes a pod had at a scrape.
    pub memory_peak_bytes: u64,
    /// What that means for the request.
    pub memory: Sizing,
    /// Containers killed for memory during the trace.
    pub oom_kills: u64,
}

impl Sizing {
    pub(crate) fn of(used: f64, request: f64) -> Self {
        if used > request {
            Self::Under
        } else if used < request * 0.5 {
            Self::Over
        } else {
            Self::Right
        }
    }
}

fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(at.0)
}

fn step_millis<S: Serializer>(step: &Step, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(step.millis())
}

fn maybe_millis<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(serializer)
}
