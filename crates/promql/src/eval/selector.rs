//! Instant selectors, and the raw windows that an instant query of a range vector answers.

use std::ops::Range;
use std::sync::Arc;

use series::{Columns, Millis, SeriesOrder, SeriesSet, TimeRange, Timestamp, is_stale};

use super::context::{Context, Refs, Steps};
use super::error::EvalError;
use super::native_windows::NativeSample;
use super::rows::{ABSENT, Row};
use super::window::Source;
use super::{MatrixItem, extended};
use crate::ast::{Expr, Extension, VectorSelector};

/// Takes rows, a block at a time.
pub(crate) type RowSink<'a> = dyn FnMut(Vec<Row>) -> Result<(), EvalError> + 'a;

/// All rows that `run` hands out.
pub(crate) fn all_rows(run: impl FnOnce(&mut RowSink<'_>) -> Result<(), EvalError>) -> Result<Vec<Row>, EvalError> {
    let mut all = Vec::new();
    run(&mut |mut block| {
        all.append(&mut block);
        Ok(())
    })?;
    Ok(all)
}

/// Slots of a block: enough to occupy all threads, few enough to stay in their caches.
const BLOCK_SLOTS: usize = 1 << 20;

/// `0..n` in blocks of whole series of `slots` slots each.
pub(crate) fn blocks(n: usize, slots: usize) -> impl Iterator<Item = Range<usize>> {
    // A million slots of instants would be a million rows, whose labels count as well.
    let series = (BLOCK_SLOTS / slots.max(1)).clamp(64, 1 << 14);
    (0..n).step_by(series).map(move |from| from..n.min(from + series))
}

/// What an instant selector hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// The sample's value.
    Value,
    /// The sample's time in seconds.
    Time,
}

impl Context<'_> {
    /// The newest sample of each series in `(t - lookback, t]`, unless it is a stale marker; sorted by labels.
    pub(crate) fn vector(&self, selector: &VectorSelector, steps: &Steps, pick: Pick) -> Result<Vec<Row>, EvalError> {
        all_rows(|sink| self.vector_blocks(selector, steps, pick, SeriesOrder::Labels, sink))
    }

    /// As [`Context::vector`], a block at a time and in any order: for who keeps nothing of them.
    pub(crate) fn vector_blocks(
        &self,
        selector: &VectorSelector,
        steps: &Steps,
        pick: Pick,
        order: SeriesOrder,
        sink: &mut RowSink<'_>,
    ) -> Result<(), EvalError> {
        let refs = self.refs(steps, selector.at, selector.offset.as_ref())?;
        let lookback = self.options.lookback;
        let smoothed = selector.extension == Some(Extension::Smoothed);
        let first = refs.first().saturating_sub(lookback.0).saturating_add(1);
        let last = if smoothed { refs.last().saturating_add(lookback.0) } else { refs.last() };
        let (set, range) = self.select(&selector.matchers, first, last, order)?;
        let work = |i: usize, columns: &mut Columns| {
            columns.clear();
            set.read(i, range, columns)?;
            self.charge_read(columns.len())?;
            let mut row = Row::floats(set.labels(i).clone(), false, Vec::new());
            if set.has_histograms(i) && self.newest_natives(&*set, (i, range), columns, &refs, pick, &mut row)? {
                if smoothed {
                    return Err(EvalError::HistogramExtension);
                }
            } else if smoothed {
                row.values = interpolated(columns, &refs, lookback);
            } else {
                row.values = newest(columns, &refs, lookback, pick);
            }
            if row.is_empty() {
                return Ok(None);
            }
            self.charge_held(row.weight())?;
            Ok(Some(row))
        };
        for block in blocks(set.len(), steps.n) {
            sink(self.each_of(block, steps.n, work)?.into_iter().flatten().collect())?;
        }
        Ok(())
    }

    /// Fills the slots of a series with native histograms; false when it has none there after all.
    fn newest_natives(
        &self,
        set: &dyn SeriesSet,
        (i, range): (usize, TimeRange),
        columns: &Columns,
        refs: &Refs,
        pick: Pick,
        row: &mut Row,
    ) -> Result<bool, EvalError> {
        let natives = self.hints().read(set, i, range)?;
        if natives.is_empty() {
            return Ok(false);
        }
        self.charge_natives(&natives)?;
        row.values = vec![ABSENT; refs.len()];
        for step in 0..refs.len() {
            let at = refs.time(step);
            let float = columns.timestamps.partition_point(|t| *t <= at).checked_sub(1);
            let native = natives.partition_point(|sample| sample.at <= at).checked_sub(1).map(|k| &natives[k]);
            let (float_at, native_at) = (float.map(|k| columns.timestamps[k]), native.map(|sample| sample.at));
            let Some(newest) =
                float_at.max(native_at).filter(|newest| *newest > at.saturating_sub(self.options.lookback.0))
            else {
                continue;
            };
            let live = match (native.filter(|sample| sample.at == newest), float) {
                (Some(native), _) if native.histogram.is_stale() => continue,
                (Some(native), _) if pick == Pick::Value => {
                    row.natives.set(step, refs.len(), Arc::clone(&native.histogram));
                    continue;
                }
                (Some(_), _) => ABSENT,
                (None, Some(k)) if is_stale(columns.values[k]) => continue,
                (None, float) => float.map_or(ABSENT, |k| columns.values[k]),
            };
            row.values[step] = if pick == Pick::Value { live } else { newest as f64 / 1000.0 };
        }
        Ok(true)
    }

    /// The windows of a range vector at one instant, as they are; those with an extension get values at their edges.
    pub(crate) fn matrix(&self, expr: &Expr, steps: &Steps) -> Result<Vec<MatrixItem>, EvalError> {
        let source = self.source(expr, steps, SeriesOrder::Labels)?;
        let items = self.each_of(0..source.len(), 1, |i, columns| {
            self.columns(&source, i, columns)?;
            let natives = self.natives(&source, i)?;
            let end = source.refs.time(0);
            let start = end.saturating_sub(source.range.0);
            let inside = |at: Timestamp| start < at.0 && at.0 <= end;
            let points: Vec<(Timestamp, f64)> = match source.extension {
                None => columns.iter().filter(|(at, _)| inside(*at)).collect(),
                Some(extension) => extended::with_edges(columns, start, end, extension),
            };
            let histograms: Vec<_> = natives
                .iter()
                .map(|sample| (Timestamp(sample.at), Arc::clone(&sample.histogram)))
                .filter(|(at, _)| inside(*at))
                .collect();
            let (labels, _) = source.labels(i);
            let found = !points.is_empty() || !histograms.is_empty();
            Ok(found.then_some(MatrixItem { labels, points, histograms }))
        })?;
        let mut items: Vec<MatrixItem> = items.into_iter().flatten().collect();
        items.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(items)
    }

    /// The native histograms of series `i`, stale markers left out. Windows with values at their edges take none.
    pub(crate) fn natives(&self, source: &Source, i: usize) -> Result<Vec<NativeSample>, EvalError> {
        let natives = source.read_natives(i)?;
        if !natives.is_empty() {
            if source.extension.is_some() {
                return Err(EvalError::HistogramExtension);
            }
            self.charge_natives(&natives)?;
        }
        Ok(natives)
    }

    fn charge_natives(&self, natives: &[NativeSample]) -> Result<(), EvalError> {
        self.charge_read(natives.iter().map(|sample| crate::native::weight(&sample.histogram)).sum())
    }

    /// The samples of series `i`, stale markers left out, in place of what is in `columns`.
    pub(crate) fn columns(&self, source: &Source, i: usize, columns: &mut Columns) -> Result<(), EvalError> {
        columns.clear();
        source.read(i, columns)?;
        self.charge_read(columns.len())?;
        if columns.values.iter().any(|v| is_stale(*v)) {
            let mut live = columns.values.iter().map(|v| !is_stale(*v));
            columns.timestamps.retain(|_| live.next().unwrap_or(false));
            columns.values.retain(|v| !is_stale(*v));
        }
        Ok(())
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
