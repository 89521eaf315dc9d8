//! Remarks about native histograms. A window or a group notes them in a set; the texts are made once a series.

use std::cell::Cell;

use super::context::Context;
use crate::ast::Span;

/// Operations between histograms that a remark names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `+`, or a counter's reset.
    Addition,
    /// `-`, or a difference.
    Subtraction,
    /// `sum`, `avg` and the like over time.
    Aggregation,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// One remark. Warnings come first: a result is missing or doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    /// Floats and histograms in one range.
    MixedRange,
    /// Floats and histograms in one group.
    MixedGroup,
    /// Exponential and custom buckets.
    MixedSchemas,
    /// A gauge where a counter is needed.
    NotCounter,
    /// A counter where a gauge is needed.
    NotGauge,
    /// Hints that contradict each other.
    CollidedAdding,
    CollidedSubtracting,
    CollidedAggregating,
    /// Histograms beside floats that were left out.
    IgnoredInRange,
    /// Only the bounds that all custom buckets share were kept.
    ReconciledAdding,
    ReconciledSubtracting,
    ReconciledAggregating,
}

impl Note {
    const ALL: [Self; 12] = [
        Self::MixedRange,
        Self::MixedGroup,
        Self::MixedSchemas,
        Self::NotCounter,
        Self::NotGauge,
        Self::CollidedAdding,
        Self::CollidedSubtracting,
        Self::CollidedAggregating,
        Self::IgnoredInRange,
        Self::ReconciledAdding,
        Self::ReconciledSubtracting,
        Self::ReconciledAggregating,
    ];

    pub(crate) fn collided(operation: Operation) -> Self {
        match operation {
            Operation::Addition => Self::CollidedAdding,
            Operation::Subtraction => Self::CollidedSubtracting,
            Operation::Aggregation => Self::CollidedAggregating,
        }
    }

    pub(crate) fn reconciled(operation: Operation) -> Self {
        match operation {
            Operation::Addition => Self::ReconciledAdding,
            Operation::Subtraction => Self::ReconciledSubtracting,
            Operation::Aggregation => Self::ReconciledAggregating,
        }
    }

    fn is_warning(self) -> bool {
        (self as u8) < Self::IgnoredInRange as u8
    }

    fn text(self, metric: &str) -> String {
        let collided =
            |operation: Operation| format!("conflicting counter resets during histogram {}", operation.name());
        let reconciled =
            |operation: Operation| format!("mismatched custom buckets were reconciled during {}", operation.name());
        match self {
            Self::MixedRange => {
                format!("encountered a mix of histograms and floats for metric name {metric:?}")
            }
            Self::MixedGroup => "encountered a mix of histograms and floats for aggregation".to_owned(),
            Self::MixedSchemas => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
            ),
            Self::NotCounter => format!("this native histogram metric is not a counter: {metric:?}"),
            Self::NotGauge => format!("this native histogram metric is not a gauge: {metric:?}"),
            Self::CollidedAdding => collided(Operation::Addition),
            Self::CollidedSubtracting => collided(Operation::Subtraction),
            Self::CollidedAggregating => collided(Operation::Aggregation),
            Self::IgnoredInRange => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {metric:?}"
            ),
            Self::ReconciledAdding => reconciled(Operation::Addition),
            Self::ReconciledSubtracting => reconciled(Operation::Subtraction),
            Self::ReconciledAggregating => reconciled(Operation::Aggregation),
        }
    }
}

/// Remarks met so far.
#[derive(Debug, Default)]
pub(crate) struct Seen(Cell<u32>);

impl Seen {
    pub(crate) fn add(&self, note: Note) {
        self.0.set(self.0.get() | 1 << note as u8);
    }
}

impl Context<'_> {
    /// Tells what was met at series of `metric`.
    pub(crate) fn tell(&self, seen: &Seen, metric: &str, span: Span) {
        let bits = seen.0.get();
        for note in Note::ALL.into_iter().filter(|note| bits & (1 << *note as u8) != 0) {
            if note.is_warning() {
                self.warn(span, note.text(metric));
            } else {
                self.inform(span, note.text(metric));
            }
        }
    }

    /// Tells that an operator found a combination of samples that it does not take.
    pub(crate) fn inform_types(&self, symbol: &str, left: &str, right: &str, span: Span) {
        let note =
            format!("incompatible sample types encountered for binary operator {symbol:?}: {left} {symbol} {right}");
        self.inform(span, note);
    }

    /// Tells that an aggregation left histograms out.
    pub(crate) fn inform_ignored(&self, aggregation: &str, span: Span) {
        self.inform(span, format!("ignored histogram in {aggregation} aggregation"));
    }
}

/// ` for metric name "x"`, or nothing where there is no name.
pub(crate) fn of_metric(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {metric:?}") }
}
