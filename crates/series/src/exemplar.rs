//! Exemplars: single observations with labels of their own, such as a trace id, beside a series.

use crate::labels::Labels;
use crate::time::Timestamp;

/// One observation that stands for many.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels, not those of the series.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When it was observed.
    pub at: Timestamp,
}

/// A series with its exemplars, by rising time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series' labels.
    pub labels: Labels,
    /// The exemplars.
    pub exemplars: Vec<Exemplar>,
}
