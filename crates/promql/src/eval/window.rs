//! Range vectors: where the samples come from, and the window that slides over them.

use std::sync::Arc;

use series::{Columns, Labels, Millis, SeriesOrder, SeriesSet, TimeRange, Timestamp};

use super::Point;
use super::context::{Context, Hints, Refs, Steps};
use super::error::EvalError;
use super::native_windows::{Mixed, NativeSample};
use super::rows::{ABSENT, Natives, Row, is_absent};
use crate::ast::{Expr, ExprKind, Extension, MatrixSelector, Subquery, ValueType};

/// Most grid points of one subquery.
const SUBQUERY_STEPS_MAX: u64 = 1_000_000;

/// Step of a subquery that names none.
const SUBQUERY_STEP: Millis = Millis::from_mins(1);

/// The series behind a range vector.
pub(crate) struct Source {
    samples: Samples,
    pub(crate) refs: Refs,
    pub(crate) range: Millis,
    pub(crate) extension: Option<Extension>,
    lookback: Millis,
    hints: Hints,
}

enum Samples {
    Stored(Box<dyn SeriesSet>, TimeRange),
    Computed(Vec<Row>, Steps),
}

/// One window of one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Milliseconds, rising; under an extension also samples beyond the edges.
    pub(crate) timestamps: &'a [i64],
    /// Values beside them; never empty, except beside histograms.
    pub(crate) values: &'a [f64],
    /// Left edge, outside.
    pub(crate) start: i64,
    /// Right edge, inside.
    pub(crate) end: i64,
    /// Evaluation time of the step.
    pub(crate) now: i64,
    /// How edges are treated.
    pub(crate) extension: Option<Extension>,
    /// Nowhere in the series does a value fall below the one before: no counter resets to look for.
    pub(crate) rises: bool,
    /// Further arguments of the function at this step.
    pub(crate) params: [f64; 2],
}

impl Source {
    pub(crate) fn len(&self) -> usize {
        match &self.samples {
            Samples::Stored(set, _) => set.len(),
            Samples::Computed(rows, _) => rows.len(),
        }
    }

    /// Labels, and whether their name is to be removed already.
    pub(crate) fn labels(&self, i: usize) -> (Labels, bool) {
        match &self.samples {
            Samples::Stored(set, _) => (set.labels(i).clone(), false),
            Samples::Computed(rows, _) => (rows[i].labels.clone(), rows[i].drop_name),
        }
    }

    pub(crate) fn read(&self, i: usize, out: &mut Columns) -> Result<(), EvalError> {
        match &self.samples {
            Samples::Stored(set, range) => set.read(i, *range, out)?,
            Samples::Computed(rows, steps) => {
                for (k, value) in rows[i].values.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
                    out.push(Timestamp(steps.time(k)), *value);
                }
            }
        }
        Ok(())
    }

    /// The native histograms of series `i`, stale markers left out.
    pub(crate) fn read_natives(&self, i: usize) -> Result<Vec<NativeSample>, EvalError> {
        match &self.samples {
            Samples::Stored(set, range) if set.has_histograms(i) => {
                let mut natives = self.hints.read(&**set, i, *range)?;
                natives.retain(|sample| !sample.histogram.is_stale());
                Ok(natives)
            }
            Samples::Stored(..) => Ok(Vec::new()),
            Samples::Computed(rows, steps) => Ok(rows[i]
                .natives
                .iter()
                .map(|(k, histogram)| NativeSample {
                    at: steps.time(k),
                    // The grid may leave out the sample that a hint speaks of, or show it several times.
                    histogram: Hints::forgotten(Arc::clone(histogram)),
                    resets: false,
                })
                .collect()),
        }
    }

    /// Calls `kernel` with the window of each step that holds a sample.
    pub(crate) fn slide(
        &self,
        columns: &Columns,
        steps: &Steps,
        params: [&[f64]; 2],
        kernel: impl Fn(&Window<'_>) -> Option<f64>,
    ) -> Vec<f64> {
        let before = if self.extension.is_some() { self.lookback.0 } else { 0 };
        let after = if self.extension == Some(Extension::Smoothed) { self.lookback.0 } else { 0 };
        let timestamps = &columns.timestamps;
        let rises = columns.values.windows(2).all(|two| !matches!(two, [old, new] if new < old));
        let (mut low, mut high) = (0, 0);
        let mut out = Vec::with_capacity(steps.n);
        for i in 0..steps.n {
            let end = self.refs.time(i);
            let start = end.saturating_sub(self.range.0);
            while low < timestamps.len() && timestamps[low] <= start.saturating_sub(before) {
                low += 1;
            }
            high = high.max(low);
            while high < timestamps.len() && timestamps[high] <= end.saturating_add(after) {
                high += 1;
            }
            if low == high {
                out.push(ABSENT);
                continue;
            }
            let window = Window {
                timestamps: &timestamps[low..high],
                values: &columns.values[low..high],
                start,
                end,
                now: steps.time(i),
                extension: self.extension,
                rises,
                params: params.map(|param| param.get(i).copied().unwrap_or(f64::NAN)),
            };
            out.push(kernel(&window).unwrap_or(ABSENT));
        }
        out
    }

    /// As [`Source::slide`] for a series with native histograms; `floats` gets the windows without one.
    pub(crate) fn slide_mixed(
        &self,
        (columns, natives): (&Columns, &[NativeSample]),
        steps: &Steps,
        params: [&[f64]; 2],
        floats: impl Fn(&Window<'_>) -> Option<f64>,
        mixed: impl Fn(&Mixed<'_>) -> Option<Point>,
    ) -> (Vec<f64>, Natives) {
        let (mut values, mut histograms) = (vec![ABSENT; steps.n], Natives::default());
        for (i, slot) in values.iter_mut().enumerate() {
            let end = self.refs.time(i);
            let start = end.saturating_sub(self.range.0);
            let inside = |ats: &[i64]| ats.partition_point(|at| *at <= start)..ats.partition_point(|at| *at <= end);
            let own = inside(&columns.timestamps);
            let first = natives.partition_point(|sample| sample.at <= start);
            let last = natives.partition_point(|sample| sample.at <= end);
            let window = Window {
                timestamps: &columns.timestamps[own.clone()],
                values: &columns.values[own],
                start,
                end,
                now: steps.time(i),
                extension: None,
                rises: false,
                params: params.map(|param| param.get(i).copied().unwrap_or(f64::NAN)),
            };
            let point = match (first < last, window.values.is_empty()) {
                (true, _) => mixed(&Mixed { floats: window, natives: &natives[first..last] }),
                (false, false) => floats(&window).map(Point::Float),
                (false, true) => None,
            };
            match point {
                Some(Point::Float(value)) => *slot = value,
                Some(Point::Histogram(histogram)) => histograms.set(i, steps.n, histogram),
                None => {}
            }
        }
        (values, histograms)
    }
}

impl Context<'_> {
    /// What `expr`, a range vector, reads for the windows of `steps`.
    pub(crate) fn source(&self, expr: &Expr, steps: &Steps, order: SeriesOrder) -> Result<Source, EvalError> {
        match &expr.unparen().kind {
            ExprKind::Matrix(matrix) => self.stored(matrix, steps, order),
            ExprKind::Subquery(subquery) => self.computed(subquery, steps),
            _ => Err(EvalError::WrongType { found: ValueType::Vector }),
        }
    }

    fn stored(&self, matrix: &MatrixSelector, steps: &Steps, order: SeriesOrder) -> Result<Source, EvalError> {
        let selector = &matrix.selector;
        let range = self.length(&matrix.range)?;
        let refs = self.refs(steps, selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback;
        let before = if selector.extension.is_some() { lookback.0 } else { 0 };
        let after = if selector.extension == Some(Extension::Smoothed) { lookback.0 } else { 0 };
        let first = refs.first().saturating_sub(range.0).saturating_sub(before).saturating_add(1);
        let (set, read) = self.select(&selector.matchers, first, refs.last().saturating_add(after), order)?;
        let samples = Samples::Stored(set, read);
        Ok(Source { samples, refs, range, extension: selector.extension, lookback, hints: self.hints() })
    }

    /// A subquery's grid holds the multiples of its step in `(first - range, last]`.
    fn computed(&self, subquery: &Subquery, steps: &Steps) -> Result<Source, EvalError> {
        let range = self.length(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.length(step)?,
            None => SUBQUERY_STEP,
        };
        let refs = self.refs(steps, subquery.at, subquery.offset.as_ref())?;
        let open = refs.first().saturating_sub(range.0);
        let start = open.div_euclid(step.0).saturating_add(1).saturating_mul(step.0);
        let n = if start > refs.last() { 0 } else { (refs.last().saturating_sub(start) / step.0) as u64 + 1 };
        if n > SUBQUERY_STEPS_MAX {
            return Err(EvalError::TooManyPoints { points: n, limit: SUBQUERY_STEPS_MAX });
        }
        let grid = Steps { start, step: step.0, n: n as usize };
        // Inside of a subquery nothing that asks for hints stands above the selectors any more.
        let rows =
            if n == 0 { Vec::new() } else { self.with_hints(Hints::Forgotten, || self.rows(&subquery.expr, &grid))? };
        let (lookback, hints) = (self.options.lookback, Hints::Forgotten);
        Ok(Source { samples: Samples::Computed(rows, grid), refs, range, extension: None, lookback, hints })
    }
}
