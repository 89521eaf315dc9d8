//! Forecasts as charts and tables show them.

use serde::Serialize;

use series::{Millis, Timestamp};

use super::advice::{AnomalyKind, Copies};
use crate::wire;

/// Coverage of a band in (0, 1): 0.95, never 95.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Level(f64);

impl Level {
    /// A coverage, or `None` unless it lies strictly between 0 and 1.
    pub fn new(coverage: f64) -> Option<Self> {
        (coverage > 0.0 && coverage < 1.0).then_some(Self(coverage))
    }

    /// The coverage as a ratio.
    pub fn ratio(self) -> f64 {
        self.0
    }

    /// Rounded per cent, for people.
    pub fn percent(self) -> u32 {
        (self.0 * 100.0).round() as u32
    }
}

/// A forecast in one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastSummary {
    /// Stable identity, safe in a path.
    pub id: String,
    /// Short title, such as `checkout requests/s`.
    pub title: String,
    /// The series or query, as PromQL writes it.
    pub series: String,
    /// Unit of the values, such as `req/s` or `bytes`; may be empty.
    pub unit: String,
    /// Model chosen.
    pub model: String,
    /// Backtest error relative to the seasonal-naive forecast (below 1 is better); `None` before the first backtest.
    #[serde(serialize_with = "wire::number_option")]
    pub relative_error: Option<f64>,
    /// Share of later values that fell into the widest band; `None` before the first backtest.
    #[serde(serialize_with = "wire::number_option")]
    pub coverage: Option<f64>,
    /// Time the forecast was made from (the "now" line).
    #[serde(serialize_with = "wire::time")]
    pub origin: Timestamp,
    /// How far it looks.
    #[serde(serialize_with = "wire::span")]
    pub horizon: Millis,
    /// Distance of points.
    #[serde(serialize_with = "wire::span")]
    pub step: Millis,
    /// Queries to copy.
    pub copies: Copies,
}

/// A forecast with its points: what a chart shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastChart {
    /// The line above the chart.
    pub summary: ForecastSummary,
    /// Measured points, rising in time; NaN is a gap.
    #[serde(serialize_with = "wire::points")]
    pub past: Vec<(Timestamp, f64)>,
    /// Median forecast, rising in time, from the origin on.
    #[serde(serialize_with = "wire::points")]
    pub median: Vec<(Timestamp, f64)>,
    /// Quantile bands on the times of `median`.
    pub bands: Vec<Band>,
    /// What an earlier forecast had said of the past, if kept.
    #[serde(serialize_with = "wire::points")]
    pub earlier: Vec<(Timestamp, f64)>,
    /// Anomalies to mark.
    pub marks: Vec<Mark>,
    /// Levels to draw as lines, such as capacity.
    pub thresholds: Vec<Threshold>,
}

/// A central interval of a forecast; `lower` and `upper` are as long as the median.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// Coverage.
    pub level: Level,
    /// Lower edge.
    #[serde(serialize_with = "wire::numbers")]
    pub lower: Vec<f64>,
    /// Upper edge.
    #[serde(serialize_with = "wire::numbers")]
    pub upper: Vec<f64>,
}

/// A point worth attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// When.
    #[serde(serialize_with = "wire::time")]
    pub at: Timestamp,
    /// Measured value.
    #[serde(serialize_with = "wire::number")]
    pub value: f64,
    /// Shape and colour of the mark.
    pub kind: AnomalyKind,
    /// One line for the reader.
    pub text: String,
}

/// A horizontal line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Threshold {
    /// What it is, such as `capacity of 12 replicas`.
    pub text: String,
    /// Where.
    #[serde(serialize_with = "wire::number")]
    pub value: f64,
}
