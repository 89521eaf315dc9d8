//! Advice: how many replicas, how large a container, how long until a disk is full.
//!
//! ```text
//!  Signals ─┐
//!  DemandForecast ─┼─▶ step(now, …, Policy, State) ─▶ Decision ─┐
//!  Policy ─┘                                                    │
//!  ContainerUsage ──▶ rightsize ─▶ Sizing ──────────────────────┼─▶ Recommendation ─▶ Markdown, CSV, table,
//!  ResourceHistory ─▶ runway ────▶ Runway ──────────────────────┘                    manifests, metrics
//! ```
//!
//! Everything here is a pure function of its arguments: no clock, no randomness, no I/O. The same arguments give the
//! same record bit for bit, also after a trip through JSON ([`Record::replay`]).

mod constrain;
mod cost;
mod decision;
mod demand;
mod learn;
mod lenient;
mod need;
mod policy;
mod quantity;
mod random;
mod recommendation;
mod record;
mod rightsize;
mod robust;
mod runway;
mod signals;
mod state;
mod step;
mod target;
mod trust;
mod vpa;

pub use constrain::Constraint;
pub use cost::Prices;
pub use decision::{Action, Band, Counterfactual, Decision, Reason, ReasonKind, Upcoming};
pub use demand::DemandForecast;
pub use learn::{
    CapacityFit, LatencySample, LeadTimeFit, StartSample, UtilizationSample, capacity_from_latency,
    capacity_from_utilization, lead_time_from_starts,
};
pub use policy::{Behavior, Cooldown, LeadTime, PerReplica, Policy, PolicyError, RateLimit};
pub use quantity::{format_bytes, format_cpu, parse_quantity};
pub use recommendation::{
    Confidence, Details, Field, Kind, MetricLine, Recommendation, Severity, Status, Table, plan_yaml, table, to_csv,
    to_exposition, to_markdown, to_metrics,
};
pub use record::{Record, ReplayMismatch};
pub use rightsize::{
    Advice, ContainerUsage, OomEvent, Resources, RightsizePolicy, Sizing, SizingError, UsageSample, rightsize,
};
pub use runway::{ResourceHistory, Runway, RunwayError, RunwayPolicy, runway};
pub use signals::{MetricKind, MetricReading, Reading, Signals};
pub use state::{Proposal, ReplicaChange, State};
pub use step::step;
pub use target::{Target, TargetParseError};
pub use trust::{Distrust, distrust};
pub use vpa::{DecayingHistogram, VpaEstimate, VpaRecommendation, VpaRecommender};
