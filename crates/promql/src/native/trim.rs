//! `h </ x` and `h >/ x`: only the observations below or above a value.
//!
//! The bucket that holds the value is split by the estimate that quantiles use. The sum is made anew from the middles of
//! what remains, unless nothing was cut off. Of a bucket without an end nothing is known inside; custom buckets only.

use series::Histogram;

use super::estimate::share_below;
use super::layout::{HistogramBucket, edges, pack, zero_bucket};

/// Which observations stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those below the value.
    Below,
    /// Those above it.
    Above,
}

/// What stays of a bucket: count, and the value that stands for it in the sum.
type Kept = (f64, f64);

/// The observations of `histogram` on the kept side of `at`.
pub(crate) fn trim(mut histogram: Histogram, keep: Keep, at: f64) -> Histogram {
    let custom = histogram.has_custom_buckets();
    let populated = |counts: &[f64]| counts.iter().any(|count| *count != 0.0);
    let (has_positive, has_negative) = (populated(&histogram.positive.counts), populated(&histogram.negative.counts));
    let (mut total, mut sum, mut cut) = (0.0, 0.0, false);
    let mut tally = |before: f64, (count, middle): Kept| {
        total += count;
        sum += middle * count;
        cut |= count != before;
        count
    };
    let mut sides = [(1.0, &histogram.positive), (-1.0, &histogram.negative)].map(|(sign, side)| {
        let mut flat: Vec<(i64, f64)> = side.iter().collect();
        for (index, count) in flat.iter_mut().filter(|(_, count)| *count != 0.0) {
            let (near, far) = edges(&histogram, *index);
            let (lower, upper) = if sign > 0.0 { (near, far) } else { (-far, -near) };
            let bucket = HistogramBucket { lower, upper, lower_inclusive: false, upper_inclusive: true, count: *count };
            *count = tally(*count, kept(&bucket, keep, at, custom));
        }
        flat
    });
    if histogram.zero_count > 0.0 {
        let mut bucket = zero_bucket(&histogram);
        if has_negative && !has_positive {
            bucket.upper = 0.0;
        }
        if has_positive && !has_negative {
            bucket.lower = 0.0;
        }
        histogram.zero_count = tally(bucket.count, kept(&bucket, keep, at, true));
    }
    if cut {
        histogram.count = total;
        histogram.sum = sum;
        sides.iter_mut().for_each(|side| side.retain(|(_, count)| *count != 0.0));
        let [positive, negative] = sides;
        (histogram.positive, histogram.negative) = (pack(positive), pack(negative));
    }
    histogram
}

/// `even`: observations lie evenly, not evenly on a logarithmic scale.
fn kept(bucket: &HistogramBucket, keep: Keep, at: f64, even: bool) -> Kept {
    let (lower, upper) = (bucket.lower, bucket.upper);
    let (all, none) = match keep {
        Keep::Below => (upper <= at, lower >= at),
        Keep::Above => (lower >= at, upper <= at),
    };
    if all {
        return (bucket.count, middle(lower, upper, even));
    }
    if none {
        return (0.0, 0.0);
    }
    if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
        return of_endless(bucket, keep, at);
    }
    let below = bucket.count * share_below(at, bucket, even);
    match keep {
        Keep::Below => (below, middle(lower, at, even)),
        Keep::Above => (bucket.count - below, middle(at, upper, even)),
    }
}

/// `at` lies inside. A lowest bucket that ends above zero is taken to begin at zero. Else its observations count as −∞,
/// and those of the highest bucket as +∞.
fn of_endless(bucket: &HistogramBucket, keep: Keep, at: f64) -> Kept {
    let (lower, upper, count) = (bucket.lower, bucket.upper, bucket.count);
    let from_zero = lower == f64::NEG_INFINITY && upper > 0.0 && upper < f64::INFINITY;
    match keep {
        Keep::Below if from_zero && at > 0.0 => (count * at / upper, at / 2.0),
        Keep::Below if lower == f64::NEG_INFINITY && upper <= 0.0 => (count, at),
        Keep::Above if from_zero && at >= 0.0 => (count * (1.0 - at / upper), (at + upper) / 2.0),
        Keep::Above if lower > f64::NEG_INFINITY => (count, at),
        _ => (0.0, 0.0),
    }
}

/// The value that stands for observations between two bounds.
fn middle(lower: f64, upper: f64, even: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if even => (lower + upper) / 2.0,
        (false, false) => {
            let size = (lower * upper).abs().sqrt();
            if upper > 0.0 { size } else { -size }
        }
    }
}
