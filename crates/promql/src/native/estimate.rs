//! Estimates from buckets: quantiles, fractions, variance.
//!
//! Inside of an exponential bucket observations are taken to lie evenly on a logarithmic scale, inside of custom buckets
//! and of the zero bucket evenly. In a histogram with one side only, the zero bucket ends at zero.

use series::Histogram;

use super::layout::{HistogramBucket, buckets, middle};
use crate::eval::average::Sum;

/// What must be said about an estimate when some observations were not numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The quantile lies among them.
    NoQuantile,
    /// They count as higher than all others.
    SkewedQuantile,
    /// They are in no fraction.
    LeftOut,
}

/// The φ-quantile. NaN without observations or for a NaN φ, the infinities for φ outside of [0, 1].
pub(crate) fn quantile(phi: f64, histogram: &Histogram) -> (f64, Option<Doubt>) {
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || phi.is_nan() {
        return (f64::NAN, None);
    }
    let all = buckets(histogram);
    // Observations that are no numbers are in `count` but in no bucket, so ranks are exact from below only.
    let forward = histogram.sum.is_nan() || phi < 0.5;
    let rank = histogram.count * if forward { phi } else { 1.0 - phi };
    let mut below = 0.0;
    let mut found = None;
    let count_to = |bucket: &HistogramBucket| {
        found = Some(*bucket);
        below += bucket.count;
        below >= rank
    };
    let mut populated = all.iter().filter(|bucket| bucket.count != 0.0);
    let mut populated_down = all.iter().rev().filter(|bucket| bucket.count != 0.0);
    if forward {
        populated.any(count_to)
    } else {
        populated_down.any(count_to)
    };
    let Some(bucket) = found else { return (f64::NAN, None) };
    let custom = histogram.has_custom_buckets();
    let bucket = match limited(bucket, histogram) {
        bucket if custom && bucket.lower == f64::NEG_INFINITY => return (bucket.upper, None),
        bucket if custom && bucket.upper == f64::INFINITY => return (bucket.lower, None),
        bucket => bucket,
    };
    let reached = below.min(histogram.count);
    if reached < rank {
        return if histogram.sum.is_nan() { (f64::NAN, Some(Doubt::NoQuantile)) } else { (bucket.upper, None) };
    }
    let inside = if forward { rank - (reached - bucket.count) } else { reached - rank };
    let value = at_share(&bucket, inside / bucket.count, custom);
    let counted: f64 = all.iter().map(|bucket| bucket.count).sum();
    (value, (histogram.sum.is_nan() && counted < histogram.count).then_some(Doubt::SkewedQuantile))
}

/// Share of the observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Option<Doubt>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let all = buckets(histogram);
    let counted: f64 = all.iter().map(|bucket| bucket.count).sum();
    let has_nan = histogram.sum.is_nan() && counted < histogram.count;
    let most = if has_nan { counted } else { histogram.count };
    let rank = |value: f64| rank(value, &all, histogram).map_or(most, |rank| rank.min(most));
    ((rank(upper) - rank(lower)) / histogram.count, has_nan.then_some(Doubt::LeftOut))
}

/// Estimated number of observations up to `value`; `None` above all buckets.
fn rank(value: f64, all: &[HistogramBucket], histogram: &Histogram) -> Option<f64> {
    let custom = histogram.has_custom_buckets();
    let mut below = 0.0;
    for bucket in all {
        let bucket = limited(*bucket, histogram);
        if bucket.lower >= value {
            return Some(below);
        }
        if bucket.upper > value {
            return Some(if bucket.lower == f64::NEG_INFINITY {
                // Nothing is known about where observations lie in a bucket without an end.
                below + bucket.count
            } else {
                below + bucket.count * share_below(value, &bucket, custom)
            });
        }
        below += bucket.count;
    }
    None
}

/// Variance from the middles of the buckets.
pub(crate) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Sum::default();
    for bucket in buckets(histogram).iter().filter(|bucket| bucket.count != 0.0) {
        let delta = middle(bucket, histogram.has_custom_buckets()) - mean;
        squares.add(bucket.count * delta * delta);
    }
    squares.value() / histogram.count
}

/// The bucket as far as observations may be expected in it: with one side only, none lie beyond zero.
fn limited(mut bucket: HistogramBucket, histogram: &Histogram) -> HistogramBucket {
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
            bucket.lower = 0.0;
        }
    } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        match (histogram.negative.counts.is_empty(), histogram.positive.counts.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            _ => {}
        }
    }
    bucket
}

fn is_even(bucket: &HistogramBucket, custom: bool) -> bool {
    custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0)
}

/// The value below which `share` of the bucket's observations lie.
fn at_share(bucket: &HistogramBucket, share: f64, custom: bool) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if is_even(bucket, custom) {
        return lower + (upper - lower) * share;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * share).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2()
    }
}

/// The share of the bucket's observations below `value`, which lies inside.
pub(super) fn share_below(value: f64, bucket: &HistogramBucket, custom: bool) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if is_even(bucket, custom) {
        return (value - lower) / (upper - lower);
    }
    let (log_lower, log_upper, log_value) = (lower.abs().log2(), upper.abs().log2(), value.abs().log2());
    if value > 0.0 {
        (log_value - log_lower) / (log_upper - log_lower)
    } else {
        1.0 - (log_value - log_upper) / (log_lower - log_upper)
    }
}
