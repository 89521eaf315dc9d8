//! Why a well-formed query has no answer.

use series::{Labels, Millis, SelectError};

use crate::ast::ValueType;
use crate::parse::duration::DurationError;

/// A failed evaluation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// A part of PromQL that this version does not evaluate.
    #[error("{feature} is not supported yet")]
    Unsupported {
        /// What was asked for.
        feature: String,
    },
    /// The deadline passed.
    #[error("query timed out after {after}; narrow the time range or the selectors")]
    Timeout {
        /// Time spent.
        after: Millis,
    },
    /// The caller gave up.
    #[error("query was canceled")]
    Canceled,
    /// More samples read and points held than allowed.
    #[error("query needs {read} samples, more than the limit of {limit}; narrow the time range or the selectors")]
    TooManySamples {
        /// Samples counted when the limit was passed.
        read: u64,
        /// The limit.
        limit: u64,
    },
    /// More steps than allowed.
    #[error("{points} points per series asked for, more than the limit of {limit}; use a longer step")]
    TooManyPoints {
        /// Steps asked for.
        points: u64,
        /// The limit.
        limit: u64,
    },
    /// `end` before `start`.
    #[error("end of the query range lies before its start")]
    EndBeforeStart,
    /// A query range cannot answer this type.
    #[error("a range query needs a scalar or an instant vector, not {}", .found.with_article())]
    WrongType {
        /// Type of the expression.
        found: ValueType,
    },
    /// Several series of the "one" side share a match.
    #[error(
        "duplicate series for the match group {group} on the {side} side: {first} and {second}; many-to-many matching is not allowed: matching labels must be unique on one side"
    )]
    ManyToMany {
        /// Values of the matching labels.
        group: Labels,
        /// `left` or `right`.
        side: &'static str,
        /// One of the series.
        first: Labels,
        /// The other.
        second: Labels,
    },
    /// Several series on the side that must have one.
    #[error("multiple matches for {group}: many-to-one matching must be explicit (group_left or group_right)")]
    ManyToOne {
        /// Values of the matching labels.
        group: Labels,
    },
    /// Two results with the same labels.
    #[error("the result would hold {labels} twice at the same time")]
    DuplicateLabels {
        /// The label set in question.
        labels: Labels,
    },
    /// A number outside of what an operator takes.
    #[error("{place} must be {wanted}, not {found}")]
    BadParameter {
        /// Operator and parameter.
        place: &'static str,
        /// What is allowed.
        wanted: &'static str,
        /// What was given.
        found: f64,
    },
    /// A text that cannot be a label name.
    #[error("{found:?} is not a label name")]
    BadLabelName {
        /// The text.
        found: String,
    },
    /// A pattern that does not compile.
    #[error("pattern {pattern:?} of label_replace: {why}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// The compiler's reason.
        why: String,
    },
    /// `info` found two info series that disagree about a label.
    #[error("info series of {labels} disagree about label {name}")]
    InfoConflict {
        /// The series that is enriched.
        labels: Labels,
        /// The label.
        name: String,
    },
    /// `info` found two info series of one metric, sampled at the same time.
    #[error("info metric {name} has two series for {labels} at the same time; they must differ in instance or job")]
    InfoTwice {
        /// The series that is enriched.
        labels: Labels,
        /// Name of the info metric.
        name: String,
    },
    /// A function cannot work on an extended selector.
    #[error("{function} does not take {extension} selectors")]
    BadExtension {
        /// The function.
        function: &'static str,
        /// `anchored` or `smoothed`.
        extension: &'static str,
    },
    /// An extended selector met a native histogram.
    #[error("anchored and smoothed selectors do not take native histograms; select floats only")]
    HistogramExtension,
    /// A duration has no value on this grid.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The store could not answer.
    #[error(transparent)]
    Storage(#[from] SelectError),
}

/// What an error means to a client: the `errorType` of the Prometheus API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is at fault.
    BadData,
    /// The data do not allow this operation, or a limit was met.
    Execution,
    /// Out of time.
    Timeout,
    /// Stopped by the caller.
    Canceled,
    /// The store failed.
    Internal,
}

impl EvalError {
    /// The class of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Canceled => ErrorKind::Canceled,
            Self::TooManyPoints { .. } | Self::EndBeforeStart | Self::WrongType { .. } => ErrorKind::BadData,
            Self::Storage(SelectError::TooManySeries { .. }) => ErrorKind::Execution,
            Self::Storage(_) => ErrorKind::Internal,
            _ => ErrorKind::Execution,
        }
    }
}
