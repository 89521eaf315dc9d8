//! Series over a grid: labels and one slot a step.

use std::collections::HashMap;

use series::{Labels, METRIC_NAME, STALE_NAN, Timestamp, is_stale};

use super::MatrixItem;
use super::context::Steps;
use super::error::EvalError;

/// Labels that say what a metric is; functions that change a value's meaning take them away.
const IDENTITY: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Stands where a series has no point: the stale marker, whose bits no arithmetic yields (it is a signalling NaN).
pub(crate) const ABSENT: f64 = STALE_NAN;

#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// The metric's name is to be taken away at the end ("delayed name removal").
    pub(crate) drop_name: bool,
    /// A value or [`ABSENT`] a step.
    pub(crate) values: Vec<f64>,
}

impl Row {
    /// Applies `f` to all points and marks the name for removal.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        self.drop_name = true;
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }

    pub(crate) fn is_present(&self, i: usize) -> bool {
        !is_absent(self.values[i])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|v| is_absent(*v))
    }

    pub(crate) fn into_item(self, steps: &Steps) -> Option<MatrixItem> {
        let points: Vec<(Timestamp, f64)> = self
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| !is_absent(**value))
            .map(|(i, value)| (Timestamp(steps.time(i)), *value))
            .collect();
        (!points.is_empty()).then_some(MatrixItem { labels: self.labels, points })
    }
}

/// Without the labels that name the metric.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    if !IDENTITY.iter().any(|name| labels.get(name).is_some()) {
        return labels.clone();
    }
    let mut builder = labels.to_builder();
    for name in IDENTITY {
        builder.remove(name);
    }
    builder.build()
}

/// Removes names marked for removal and joins series that are equal then.
pub(crate) fn drop_names(mut rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    rows.retain(|row| !row.is_empty());
    for row in rows.iter_mut().filter(|row| row.drop_name) {
        row.labels = without_name(&row.labels);
        row.drop_name = false;
    }
    join_equal(rows)
}

/// Joins rows of equal labels whose points never meet; the first row keeps its place.
pub(crate) fn join_equal(rows: Vec<Row>) -> Result<Vec<Row>, EvalError> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(rows.len());
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(&place) = places.get(&row.labels) else {
            places.insert(row.labels.clone(), out.len());
            out.push(row);
            continue;
        };
        let target = &mut out[place];
        for (slot, value) in target.values.iter_mut().zip(&row.values) {
            if is_absent(*value) {
                continue;
            }
            if !is_absent(*slot) {
                return Err(EvalError::DuplicateLabels { labels: row.labels });
            }
            *slot = *value;
        }
    }
    Ok(out)
}
