//! `anchored` and `smoothed` windows: the edges themselves get a value, so nothing is extrapolated.

use series::{Columns, Timestamp};

use super::window::Window;
use crate::ast::Extension;

/// Functions that take `anchored` windows; the first three also take `smoothed` ones.
const ANCHORED: [&str; 5] = ["rate", "increase", "delta", "changes", "resets"];

/// Whether `function` works on windows with this extension.
pub(super) fn allows(function: &str, extension: Extension) -> bool {
    match extension {
        Extension::Anchored => ANCHORED.contains(&function),
        Extension::Smoothed => ANCHORED[..3].contains(&function),
    }
}

/// Index of the first sample that counts: under `anchored` the last one at or before the left edge, if there is one.
/// `None` when no sample lies after the left edge.
pub(super) fn first_anchored(window: &Window<'_>) -> Option<usize> {
    if window.extension.is_none() {
        return Some(0);
    }
    let after = window.timestamps.partition_point(|t| *t <= window.start);
    (after < window.timestamps.len()).then_some(after.saturating_sub(1))
}

/// The samples strictly inside, and a value at each edge. Nothing when no sample lies after the left edge.
pub(super) fn with_edges(columns: &Columns, start: i64, end: i64, extension: Extension) -> Vec<(Timestamp, f64)> {
    let (timestamps, values) = (columns.timestamps.as_slice(), columns.values.as_slice());
    let smoothed = extension == Extension::Smoothed;
    let Some(top) = timestamps.len().checked_sub(1) else { return Vec::new() };
    let first = timestamps[..top].partition_point(|t| *t <= start).saturating_sub(1);
    let last = if smoothed { timestamps[..top].partition_point(|t| *t < end) } else { top };
    if timestamps[last] <= start {
        return Vec::new();
    }
    let line = |i: usize, at: i64| {
        let share = (at - timestamps[i]) as f64 / (timestamps[i + 1] - timestamps[i]) as f64;
        values[i] + (values[i + 1] - values[i]) * share
    };
    let left = if smoothed && timestamps[first] < start { line(first, start) } else { values[first] };
    let right = if smoothed && last > 0 && timestamps[last] > end { line(last - 1, end) } else { values[last] };
    let inside = columns.iter().filter(|(at, _)| start < at.0 && at.0 < end);
    std::iter::once((Timestamp(start), left)).chain(inside).chain([(Timestamp(end), right)]).collect()
}

/// Change between the edges, resets of a counter added back.
pub(super) fn increase(window: &Window<'_>, is_counter: bool) -> Option<f64> {
    let (timestamps, values) = (window.timestamps, window.values);
    let smoothed = window.extension == Some(Extension::Smoothed);
    let top = timestamps.len() - 1;
    let mut first = timestamps[..top].partition_point(|t| *t <= window.start).saturating_sub(1);
    let last = if smoothed { timestamps[..top].partition_point(|t| *t < window.end) } else { top };
    // Nothing inside or across the window: an edge alone has no slope.
    if timestamps[last] <= window.start || timestamps[first] > window.end {
        return None;
    }
    let line = |i: usize, at: i64| {
        // A reset between two samples is taken to start from zero.
        let from = if is_counter && values[i + 1] < values[i] { 0.0 } else { values[i] };
        from + (values[i + 1] - from) * (at - timestamps[i]) as f64 / (timestamps[i + 1] - timestamps[i]) as f64
    };
    let left = if smoothed && timestamps[first] < window.start { line(first, window.start) } else { values[first] };
    let right =
        if smoothed && last > 0 && timestamps[last] > window.end { line(last - 1, window.end) } else { values[last] };
    let mut change = right - left;
    if is_counter {
        if timestamps[first] <= window.start {
            first += 1;
        }
        let end = if timestamps[last] >= window.end { last } else { last + 1 };
        let mut before = left;
        for value in values.get(first..end).unwrap_or(&[]).iter().chain(std::iter::once(&right)) {
            if *value < before {
                change += before;
            }
            before = *value;
        }
    }
    Some(change)
}
