//! Counters: `rate`, `increase`, `delta` with extrapolation to the window's edges, `irate`, `idelta`.
//!
//! Extrapolation follows Prometheus: towards an edge nearer than 1.1 average sample distances the whole way, else half a
//! distance; a counter is never extrapolated below zero.

use super::extended;
use super::window::Window;

/// Increase a second.
pub(super) fn rate(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true).map(|increase| increase / seconds(window))
}

/// Increase over the window.
pub(super) fn increase(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, true)
}

/// Difference over the window of a gauge.
pub(super) fn delta(window: &Window<'_>) -> Option<f64> {
    extrapolated(window, false)
}

/// Increase a second between the last two samples.
pub(super) fn irate(window: &Window<'_>) -> Option<f64> {
    last_two(window, true)
}

/// Difference between the last two samples.
pub(super) fn idelta(window: &Window<'_>) -> Option<f64> {
    last_two(window, false)
}

fn seconds(window: &Window<'_>) -> f64 {
    (window.end - window.start) as f64 / 1000.0
}

fn extrapolated(window: &Window<'_>, is_counter: bool) -> Option<f64> {
    if window.extension.is_some() {
        return extended::increase(window, is_counter);
    }
    let (timestamps, values) = (window.timestamps, window.values);
    let last = values.len() - 1;
    if last == 0 {
        return None;
    }
    let mut change = values[last] - values[0];
    if is_counter && !window.rises {
        change += values.windows(2).filter(|two| two[1] < two[0]).fold(0.0, |sum, two| sum + two[0]);
    }
    let sampled = (timestamps[last] - timestamps[0]) as f64 / 1000.0;
    let zero = (is_counter && change > 0.0 && values[0] >= 0.0).then(|| sampled * (values[0] / change));
    Some(change * stretch(window, timestamps[0], timestamps[last], last, zero))
}

/// By which factor a change between samples at `first` and `last` grows when it is extrapolated to the window's edges.
/// There are `gaps` distances between samples; a counter was zero `zero` seconds before its first sample at this slope.
pub(super) fn stretch(window: &Window<'_>, first: i64, last: i64, gaps: usize, zero: Option<f64>) -> f64 {
    let sampled = (last - first) as f64 / 1000.0;
    let distance = sampled / gaps as f64;
    let threshold = distance * 1.1;
    let mut to_start = (first - window.start) as f64 / 1000.0;
    let mut to_end = (window.end - last) as f64 / 1000.0;
    if to_start >= threshold {
        to_start = distance / 2.0;
    }
    if let Some(zero) = zero {
        to_start = to_start.min(zero);
    }
    if to_end >= threshold {
        to_end = distance / 2.0;
    }
    (sampled + to_start + to_end) / sampled
}

fn last_two(window: &Window<'_>, is_rate: bool) -> Option<f64> {
    let last = window.values.len() - 1;
    let before = last.checked_sub(1)?;
    let (old, new) = (window.values[before], window.values[last]);
    // After a counter's reset all of the new value is increase.
    let change = if is_rate && new < old { new } else { new - old };
    let elapsed = (window.timestamps[last] - window.timestamps[before]) as f64 / 1000.0;
    Some(if is_rate { change / elapsed } else { change })
}
