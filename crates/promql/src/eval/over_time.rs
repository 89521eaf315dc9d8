//! Functions of one window, `…_over_time` and their kin, and their table.

use super::average::{Sum, Variance, mean, quantile};
use super::extended;
use super::window::Window;
use super::{rate, trend};

/// A function of a window; `None` where it yields no point.
pub(crate) type Kernel = fn(&Window<'_>) -> Option<f64>;

/// The function behind a name that takes a range vector.
pub(crate) fn kernel(name: &str) -> Option<Kernel> {
    Some(match name {
        "rate" => rate::rate,
        "increase" => rate::increase,
        "delta" => rate::delta,
        "irate" => rate::irate,
        "idelta" => rate::idelta,
        "deriv" => trend::deriv,
        "predict_linear" => trend::predict_linear,
        "double_exponential_smoothing" => trend::double_exponential_smoothing,
        "changes" => changes,
        "resets" => resets,
        "sum_over_time" => sum,
        "avg_over_time" => avg,
        "min_over_time" => |w| Some(extreme(w, |new, old| new < old).1),
        "max_over_time" => |w| Some(extreme(w, |new, old| new > old).1),
        "ts_of_min_over_time" => |w| Some(extreme(w, |new, old| new <= old).0 as f64 / 1000.0),
        "ts_of_max_over_time" => |w| Some(extreme(w, |new, old| new >= old).0 as f64 / 1000.0),
        "count_over_time" => |w| Some(w.values.len() as f64),
        "present_over_time" | "absent_over_time" => |_| Some(1.0),
        "first_over_time" => |w| w.values.first().copied(),
        "last_over_time" => |w| w.values.last().copied(),
        "ts_of_first_over_time" => |w| w.timestamps.first().map(|t| *t as f64 / 1000.0),
        "ts_of_last_over_time" => |w| w.timestamps.last().map(|t| *t as f64 / 1000.0),
        "stdvar_over_time" => |w| Some(variance(w)),
        "stddev_over_time" => |w| Some(variance(w).sqrt()),
        "quantile_over_time" => |w| Some(quantile(w.params[0], &mut w.values.to_vec())),
        "mad_over_time" => mad,
        _ => return None,
    })
}

fn sum(window: &Window<'_>) -> Option<f64> {
    let mut sum = Sum::default();
    window.values.iter().for_each(|v| sum.add(*v));
    Some(sum.value())
}

fn avg(window: &Window<'_>) -> Option<f64> {
    Some(mean(window.values))
}

fn variance(window: &Window<'_>) -> f64 {
    let mut variance = Variance::default();
    window.values.iter().for_each(|v| variance.add(*v));
    variance.value()
}

/// Time and value of the extreme; NaN gives way to any number.
fn extreme(window: &Window<'_>, wins: fn(f64, f64) -> bool) -> (i64, f64) {
    let mut best = (window.timestamps[0], window.values[0]);
    for (at, value) in window.timestamps.iter().zip(window.values) {
        if wins(*value, best.1) || best.1.is_nan() {
            best = (*at, *value);
        }
    }
    best
}

/// Median of the distances from the median.
fn mad(window: &Window<'_>) -> Option<f64> {
    let mut values = window.values.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    Some(quantile(0.5, &mut values))
}

fn changes(window: &Window<'_>) -> Option<f64> {
    let values = &window.values[extended::first_anchored(window)?..];
    let changed = |two: &&[f64]| two[0] != two[1] && !(two[0].is_nan() && two[1].is_nan());
    Some(values.windows(2).filter(changed).count() as f64)
}

fn resets(window: &Window<'_>) -> Option<f64> {
    let values = &window.values[extended::first_anchored(window)?..];
    Some(values.windows(2).filter(|two| two[1] < two[0]).count() as f64)
}
