//! Straight lines and smoothed trends through a window.

use super::average::Sum;
use super::window::Window;

/// Slope a second by least squares.
pub(super) fn deriv(window: &Window<'_>) -> Option<f64> {
    // Times count from the first sample, which keeps the squares small.
    regression(window, *window.timestamps.first()?).map(|(slope, _)| slope)
}

/// Value of the line `params[0]` seconds after the evaluation time.
pub(super) fn predict_linear(window: &Window<'_>) -> Option<f64> {
    regression(window, window.now).map(|(slope, intercept)| slope * window.params[0] + intercept)
}

/// Slope, and the line's value at `origin`.
fn regression(window: &Window<'_>, origin: i64) -> Option<(f64, f64)> {
    let values = window.values;
    if values.len() < 2 {
        return None;
    }
    if values.iter().all(|v| *v == values[0]) {
        return Some(if values[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, values[0]) });
    }
    let [mut x, mut y, mut xy, mut xx] = [Sum::default(); 4];
    for (at, value) in window.timestamps.iter().zip(values) {
        let seconds = (at - origin) as f64 / 1000.0;
        x.add(seconds);
        y.add(*value);
        xy.add(seconds * value);
        xx.add(seconds * seconds);
    }
    let n = values.len() as f64;
    let (x, y) = (x.value(), y.value());
    let slope = (xy.value() - x * y / n) / (xx.value() - x * x / n);
    Some((slope, y / n - slope * x / n))
}

/// Holt's linear method: smoothing factor `params[0]`, trend factor `params[1]`.
pub(super) fn double_exponential_smoothing(window: &Window<'_>) -> Option<f64> {
    let ([level_factor, trend_factor], values) = (window.params, window.values);
    if values.len() < 2 {
        return None;
    }
    let (mut before, mut level, mut trend) = (0.0, values[0], values[1] - values[0]);
    for (i, value) in values.iter().enumerate().skip(1) {
        if i > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = level_factor * value + (1.0 - level_factor) * (level + trend);
        before = std::mem::replace(&mut level, next);
    }
    Some(level)
}
