//! What both encodings of OTLP say, point by point: the readers make these, the translation takes them.

use std::borrow::Cow;

/// Attributes of one point, resource or scope.
pub(crate) const ATTRIBUTES_MAX: usize = 1024;
/// Exemplars of one point.
pub(crate) const EXEMPLARS_MAX: usize = 64;
/// Quantiles of one summary.
pub(crate) const QUANTILES_MAX: usize = 1024;

/// Names and values; values are texts already, as labels want them.
pub(crate) type Attributes<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// The instrumentation that made a metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scope<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) version: Cow<'a, str>,
    pub(crate) attributes: Attributes<'a>,
}

/// A metric without its points.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Head<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Cow<'a, str>,
    pub(crate) unit: Cow<'a, str>,
    pub(crate) shape: Shape,
}

/// Which kind of metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// None that is known.
    #[default]
    Unknown,
    Gauge,
    Sum {
        temporality: Temporality,
        monotonic: bool,
    },
    Histogram {
        temporality: Temporality,
    },
    Exponential {
        temporality: Temporality,
    },
    Summary,
}

/// What a number counts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Temporality {
    #[default]
    Unspecified,
    /// From the point before.
    Delta,
    /// From a fixed start.
    Cumulative,
}

/// One point; `body` fits the metric's shape when both come from one message.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Point<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
    /// Flag `NO_RECORDED_VALUE`: the series has ended.
    pub(crate) is_stale: bool,
    pub(crate) body: Body,
    pub(crate) exemplars: Vec<PointExemplar<'a>>,
}

/// A point's numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    /// `None` without a value.
    Number(Option<f64>),
    Histogram(Explicit),
    Exponential(Box<Exponential>),
    Summary {
        count: u64,
        sum: f64,
        quantiles: Vec<(f64, f64)>,
    },
}

/// A histogram with given bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Explicit {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    /// Not cumulative; one more than bounds, or none.
    pub(crate) counts: Vec<u64>,
    pub(crate) bounds: Vec<f64>,
}

/// A histogram whose bounds follow from `scale`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Exponential {
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) scale: i32,
    pub(crate) zero_count: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Side,
    pub(crate) negative: Side,
}

/// Neighbouring buckets; the first has index `offset`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Side {
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

/// An exemplar as it was sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PointExemplar<'a> {
    pub(crate) attributes: Attributes<'a>,
    pub(crate) time_ns: u64,
    pub(crate) value: f64,
    /// In hexadecimal.
    pub(crate) trace_id: String,
    /// In hexadecimal.
    pub(crate) span_id: String,
}

impl Temporality {
    pub(crate) fn of_number(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Number(None)
    }
}
