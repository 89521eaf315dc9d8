//! Series over a grid: labels and one slot a step.
//!
//! A slot holds a float, a native histogram or nothing. Floats are a plain column; histograms lie in a second one that is
//! made only where a series has some, so that floats cost what they did without them.

use std::collections::HashMap;
use std::sync::Arc;

use series::{Histogram, Labels, METRIC_NAME, STALE_NAN, Timestamp, is_stale};

use super::context::Steps;
use super::error::EvalError;
use super::{MatrixItem, Point};

/// Labels that say what a metric is; functions that change a value's meaning take them away.
const IDENTITY: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

/// Stands where a series has no point: the stale marker, whose bits no arithmetic yields (it is a signalling NaN).
pub(crate) const ABSENT: f64 = STALE_NAN;

#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// The native histograms of a row: nothing at all, or one slot a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Natives(Vec<Option<Arc<Histogram>>>);

impl Natives {
    /// Whether no step can have one.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<&Arc<Histogram>> {
        self.0.get(i).and_then(Option::as_ref)
    }

    /// Fills slot `i` of `n`.
    pub(crate) fn set(&mut self, i: usize, n: usize, histogram: Arc<Histogram>) {
        if self.0.is_empty() {
            self.0 = vec![None; n];
        }
        if let Some(slot) = self.0.get_mut(i) {
            *slot = Some(histogram);
        }
    }

    pub(crate) fn clear(&mut self, i: usize) {
        if let Some(slot) = self.0.get_mut(i) {
            *slot = None;
        }
    }

    /// Step and histogram, for all that are there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<Histogram>)> {
        self.0.iter().enumerate().filter_map(|(i, slot)| slot.as_ref().map(|histogram| (i, histogram)))
    }

    /// Puts `f` of each histogram in its place; `None` takes it away.
    pub(crate) fn map(&mut self, f: impl Fn(usize, &Arc<Histogram>) -> Option<Arc<Histogram>>) {
        for (i, slot) in self.0.iter_mut().enumerate() {
            *slot = slot.as_ref().and_then(|histogram| f(i, histogram));
        }
    }

    /// The first step's slot at `n` steps.
    pub(crate) fn spread(&self, n: usize) -> Self {
        Self(self.0.first().map_or_else(Vec::new, |first| vec![first.clone(); n]))
    }

    /// What the histograms count as against the limit on samples.
    pub(crate) fn weight(&self) -> usize {
        self.iter().map(|(_, histogram)| crate::native::weight(histogram)).sum()
    }
}

/// One series.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) labels: Labels,
    /// The metric's name is to be taken away at the end ("delayed name removal").
    pub(crate) drop_name: bool,
    /// A value or [`ABSENT`] a step.
    pub(crate) values: Vec<f64>,
    /// Native histograms; where one is, the value is [`ABSENT`].
    pub(crate) natives: Natives,
}

impl Row {
    /// A row of floats.
    pub(crate) fn floats(labels: Labels, drop_name: bool, values: Vec<f64>) -> Self {
        Self { labels, drop_name, values, natives: Natives::default() }
    }

    /// Applies `f` to all floats, drops histograms and marks the name for removal.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        self.drop_name = true;
        self.natives = Natives::default();
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = f(*value);
            }
        }
    }

    #[inline]
    pub(crate) fn is_present(&self, i: usize) -> bool {
        !is_absent(self.values[i]) || self.natives.get(i).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(|v| is_absent(*v)) && self.natives.iter().next().is_none()
    }

    /// Empties a slot.
    pub(crate) fn clear(&mut self, i: usize) {
        self.values[i] = ABSENT;
        self.natives.clear(i);
    }

    /// Copies slot `i` of `from`, whatever it holds.
    pub(crate) fn copy(&mut self, i: usize, from: &Self) {
        self.values[i] = from.values[i];
        if let Some(histogram) = from.natives.get(i) {
            self.natives.set(i, self.values.len(), Arc::clone(histogram));
        }
    }

    /// Fills an empty slot, if there is something to fill it with.
    pub(crate) fn put(&mut self, i: usize, point: Option<Point>) {
        match point {
            Some(Point::Float(value)) => self.values[i] = value,
            Some(Point::Histogram(histogram)) => self.natives.set(i, self.values.len(), histogram),
            None => {}
        }
    }

    /// Slots and buckets held, for the limit on samples.
    pub(crate) fn weight(&self) -> usize {
        self.values.len() + if self.natives.is_none() { 0 } else { self.natives.weight() }
    }

    /// What slot `i` holds.
    pub(crate) fn point(&self, i: usize) -> Option<Point> {
        match self.natives.get(i) {
            Some(histogram) => Some(Point::Histogram(Arc::clone(histogram))),
            None => self.values.get(i).filter(|value| !is_absent(**value)).map(|value| Point::Float(*value)),
        }
    }

    pub(crate) fn into_item(self, steps: &Steps) -> Option<MatrixItem> {
        let points: Vec<(Timestamp, f64)> = self
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| !is_absent(**value))
            .map(|(i, value)| (Timestamp(steps.time(i)), *value))
            .collect();
        let native = |(i, histogram): (usize, &Arc<Histogram>)| (Timestamp(steps.time(i)), Arc::clone(histogram));
        let histograms: Vec<_> = self.natives.iter().map(native).collect();
        let item = MatrixItem { labels: self.labels, points, histograms };
        (!item.points.is_empty() || !item.histograms.is_empty()).then_some(item)
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
        for i in 0..row.values.len() {
            if !row.is_present(i) {
                continue;
            }
            if target.is_present(i) {
                return Err(EvalError::DuplicateLabels { labels: row.labels });
            }
            target.copy(i, &row);
        }
    }
    Ok(out)
}
