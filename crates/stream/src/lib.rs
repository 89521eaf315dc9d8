//! Standing queries: percentiles, trends and anomalies kept up to date while samples arrive.
//!
//! ```text
//!   Batch ─▶ route by SeriesId ─▶ per query: pending samples of a series ─▶ watermark passes a pane's end
//!            (labels matched once)                                            │ sort, drop repeats, fold
//!                                                                             ▼
//!             Emission::Sample ◀─ window of panes: percentiles, mean, trend ◀─ pane of a group ─▶ detector ─▶ Emission::Event
//! ```
//!
//! A pure state machine: time comes in as `now`, results go out through `out`, nothing is spawned, nothing is read. What it
//! says does not depend on how the samples were cut into batches or, within the lateness allowed, on their order: samples
//! wait until their pane can be closed and are then folded in a fixed order, so the results equal a batch computation bit
//! for bit. [`Streams::checkpoint`] carries everything that is needed to go on as if nothing had happened.
//!
//! Time is cut as PromQL cuts it: a pane or window that ends at `t` holds the samples of `(t − length, t]`, and `t` is the
//! time of its results. Pane ends are multiples of the slide since the epoch.

mod checkpoint;
mod detector;
mod emission;
mod error;
mod histogram;
mod promql;
mod route;
mod spec;
mod standing;
mod streams;

pub use detector::{Assessment, Detector, score_series};
pub use emission::{Emission, Event, EventKind};
pub use error::StreamError;
pub use histogram::{Bucket, bucket_quantile};
pub use spec::{Operator, Sensitivity, StreamSpec, ValueKind};
pub use streams::{StreamLimits, StreamStats, Streams};
