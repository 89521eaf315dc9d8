//! The words every other room speaks: labels, matchers, timestamps, batches, and the traits that join the rooms.
//!
//! ```text
//!   ingest ──▶ Batch ──▶ Append (store) ──▶ durable
//!   store  ──▶ Select ──▶ SeriesSet ──▶ Columns ──▶ promql, sql, forecast, stream
//! ```
//!
//! This room does no I/O, knows no wire format and starts no thread. Time is [`Timestamp`], milliseconds UTC, and the
//! present comes in through [`Clock`].

mod append;
mod batch;
mod clock;
mod exemplar;
mod grid;
mod histogram;
mod known;
mod labels;
mod matcher;
mod metadata;
mod rollup;
mod select;
mod start;
mod time;
mod value;

pub use append::{Append, AppendError, Appended, Rejection, RejectionReason};
pub use batch::{Batch, BatchSeries, BatchTooLarge};
pub use clock::{Clock, ManualClock, SystemClock};
pub use exemplar::{Exemplar, SeriesExemplars};
pub use grid::{Grid, GridFill};
pub use histogram::{
    BUCKETS_MAX, Buckets, CUSTOM_BUCKETS, Histogram, HistogramError, HistogramSample, ResetHint, Span,
};
pub use known::{KnownSeries, Recall, Spelling};
pub use labels::{LabelError, Labels, LabelsBuilder, LabelsRef, METRIC_NAME, put_canonical};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use metadata::{Metadata, MetricType};
pub use rollup::{Resolution, Rollup, RollupSet};
pub use select::{Columns, Select, SelectError, SelectRequest, SeriesOrder, SeriesSet};
pub use start::StartTime;
pub use time::{DurationParseError, Millis, Step, TimeRange, Timestamp};
pub use value::{STALE_NAN, SeriesId, is_stale};
