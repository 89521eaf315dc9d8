//! A fleet that never was: Prometheus metrics of a small web shop whose truth is known.
//!
//! ```text
//!   FleetSpec ─▶ plan of events ─┐
//!     seed, start, days, step    ├─▶ simulation, one step at a time ─▶ scrape ─▶ series::Batch
//!   catalogue of services ───────┘     demand ▶ replicas ▶ load ▶ latency, errors, CPU, memory, disks
//!                                └─▶ Truth: anomalies, change points, capacity, right sizes, replicas needed
//! ```
//!
//! Everything is anchored at the end of the trace, which stands for "now": it is 16:40 of a Thursday in the shop, the
//! evening peak comes three hours later, payments has just been released with a fault, and a disk fills in weeks.
//!
//! **Bit-equal everywhere.** Only `+ − × ÷ √`, rounding and own random numbers are used: no `sin`, `exp` or `pow` of the
//! platform, no hash map, no clock. Memory is constant: a scrape emits one step and forgets it.

mod calendar;
mod catalogue;
mod demand;
mod events;
mod fleet;
mod latency;
mod metadata;
mod node;
mod noise;
mod pod;
mod scaler;
mod service;
mod spec;
mod sum_up;
mod truth;

pub use fleet::Fleet;
pub use spec::{FleetSpec, SynthError};
pub use truth::{Anomaly, AnomalyKind, Capacity, ChangeCause, ChangePoint, RightSizing, ServiceTruth, Sizing, Truth};
