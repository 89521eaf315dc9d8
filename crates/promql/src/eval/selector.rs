//! Instant selectors, and the raw windows that an instant query of a range vector answers.

use series::{Columns, Millis, Timestamp, is_stale};

use super::MatrixItem;
use super::context::{Context, Refs, Steps};
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent};
use super::window::Source;
use crate::ast::{Expr, ExprKind, Extension, VectorSelector};

/// What an instant selector hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// The sample's value.
    Value,
    /// The sample's time in seconds.
    Time,
}

impl Context<'_> {
    /// The newest sample of each series in `(t - lookback, t]`, unless it is a stale marker.
    pub(crate) fn vector(&self, selector: &VectorSelector, steps: &Steps, pick: Pick) -> Result<Vec<Row>, EvalError> {
        let refs = self.refs(steps, selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback;
        let smoothed = selector.extension == Some(Extension::Smoothed);
        let first = refs.first().saturating_sub(lookback.0).saturating_add(1);
        let last = if smoothed { refs.last().saturating_add(lookback.0) } else { refs.last() };
        let (set, range) = self.select(&selector.matchers, first, last)?;
        let rows = self.each(set.len(), steps.n, |i| {
            let mut columns = Columns::default();
            set.read(i, range, &mut columns)?;
            self.charge_read(columns.len())?;
            let values = if smoothed {
                interpolated(&columns, &refs, lookback)
            } else {
                newest(&columns, &refs, lookback, pick)
            };
            if values.iter().all(|v| is_absent(*v)) {
                return Ok(None);
            }
            self.charge_held(values.len())?;
            Ok(Some(Row { labels: set.labels(i).clone(), drop_name: false, values }))
        })?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The windows of a range vector at one instant, as they are.
    pub(crate) fn matrix(&self, expr: &Expr, steps: &Steps) -> Result<Vec<MatrixItem>, EvalError> {
        if let ExprKind::Matrix(matrix) = &expr.kind
            && let Some(extension) = matrix.selector.extension
        {
            let feature = format!("an {extension:?} range vector without a function").to_lowercase();
            return Err(EvalError::Unsupported { feature });
        }
        let source = self.source(expr, steps)?;
        let mut items = self.each(source.len(), 1, |i| {
            let columns = self.columns(&source, i)?;
            let end = source.refs.time(0);
            let start = end.saturating_sub(source.range.0);
            let inside = columns.iter().filter(|(at, _)| start < at.0 && at.0 <= end);
            let points: Vec<(Timestamp, f64)> = inside.collect();
            let (labels, _) = source.labels(i);
            Ok((!points.is_empty()).then_some(MatrixItem { labels, points }))
        })?;
        let mut items: Vec<MatrixItem> = items.drain(..).flatten().collect();
        items.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(items)
    }

    /// The samples of series `i`, stale markers left out.
    pub(crate) fn columns(&self, source: &Source, i: usize) -> Result<Columns, EvalError> {
        let mut columns = Columns::default();
        source.read(i, &mut columns)?;
        self.charge_read(columns.len())?;
        if columns.values.iter().any(|v| is_stale(*v)) {
            let kept: Vec<usize> = (0..columns.len()).filter(|&k| !is_stale(columns.values[k])).collect();
            columns = Columns {
                timestamps: kept.iter().map(|&k| columns.timestamps[k]).collect(),
                values: kept.iter().map(|&k| columns.values[k]).collect(),
            };
        }
        Ok(columns)
    }
}

fn newest(columns: &Columns, refs: &Refs, lookback: Millis, pick: Pick) -> Vec<f64> {
    let (timestamps, values) = (&columns.timestamps, &columns.values);
    let mut next = 0;
    let pick_at = |i: usize| {
        let at = refs.time(i);
        next += timestamps[next..].iter().take_while(|t| **t <= at).count();
        match next.checked_sub(1) {
            Some(k) if timestamps[k] > at.saturating_sub(lookback.0) && !is_stale(values[k]) => match pick {
                Pick::Value => values[k],
                Pick::Time => timestamps[k] as f64 / 1000.0,
            },
            _ => ABSENT,
        }
    };
    (0..refs.len()).map(pick_at).collect()
}

/// `smoothed`: the straight line between the neighbours; the last sample alone stands for what follows it.
fn interpolated(columns: &Columns, refs: &Refs, lookback: Millis) -> Vec<f64> {
    let live: Vec<(i64, f64)> = columns.iter().filter(|(_, v)| !is_stale(*v)).map(|(t, v)| (t.0, v)).collect();
    let at_step = |i: usize| {
        let at = refs.time(i);
        let next = live.partition_point(|(t, _)| *t < at);
        let after = live.get(next).filter(|(t, _)| *t <= at.saturating_add(lookback.0));
        let before = next.checked_sub(1).map(|k| live[k]).filter(|(t, _)| *t > at.saturating_sub(lookback.0));
        match (before, after) {
            (_, Some(&(t, value))) if t == at => value,
            (Some((t0, v0)), Some(&(t1, v1))) => v0 + (v1 - v0) * (at - t0) as f64 / (t1 - t0) as f64,
            (Some((_, value)), None) => value,
            (None, _) => ABSENT,
        }
    };
    (0..refs.len()).map(at_step).collect()
}
