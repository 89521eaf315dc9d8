//! Where buckets lie: bounds by schema, order, coarser schemas, empty buckets.

use series::{Buckets, Histogram, Span};

/// A bucket of a native histogram with its place on the line of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramBucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound itself belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound itself belongs to the bucket.
    pub upper_inclusive: bool,
    /// Observations inside.
    pub count: f64,
}

/// All present buckets from the lowest to the highest, the zero bucket among them if it holds anything. A bucket that
/// reaches into the zero bucket ends where that begins.
pub fn buckets(histogram: &Histogram) -> Vec<HistogramBucket> {
    let mut out = Vec::with_capacity(histogram.positive.counts.len() + histogram.negative.counts.len() + 1);
    let threshold = histogram.zero_threshold;
    let beyond_zero = |edge: f64| if edge > 0.0 && edge < threshold { threshold } else { edge };
    for (index, count) in histogram.negative.iter() {
        let (near, far) = edges(histogram, index);
        out.push(HistogramBucket {
            lower: -far,
            upper: -beyond_zero(near),
            lower_inclusive: true,
            upper_inclusive: false,
            count,
        });
    }
    out.reverse();
    if histogram.zero_count > 0.0 {
        out.push(zero_bucket(histogram));
    }
    let custom = histogram.has_custom_buckets();
    for (index, count) in histogram.positive.iter() {
        let (lower, upper) = edges(histogram, index);
        out.push(HistogramBucket {
            lower: if custom { lower } else { beyond_zero(lower) },
            upper,
            lower_inclusive: custom && lower == f64::NEG_INFINITY,
            upper_inclusive: true,
            count,
        });
    }
    out
}

/// The bucket around zero.
pub(crate) fn zero_bucket(histogram: &Histogram) -> HistogramBucket {
    HistogramBucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        lower_inclusive: true,
        upper_inclusive: true,
        count: histogram.zero_count,
    }
}

/// Bounds of bucket `index` of the positive side; mirrored they are those of the negative side.
pub(crate) fn edges(histogram: &Histogram, index: i64) -> (f64, f64) {
    if histogram.has_custom_buckets() {
        let bounds = histogram.custom_bounds.as_slice();
        let at =
            |i: i64| usize::try_from(i).ok().map_or(f64::NEG_INFINITY, |i| *bounds.get(i).unwrap_or(&f64::INFINITY));
        (at(index - 1), at(index))
    } else {
        (bound(histogram.schema, index - 1), bound(histogram.schema, index))
    }
}

/// Upper bound of bucket `index` in an exponential schema: `2^(index · 2^-schema)`. The bucket that holds the largest
/// numbers ends with the largest number, the one after it at infinity.
pub(crate) fn bound(schema: i32, index: i64) -> f64 {
    let per_octave = 1_i64 << schema.max(0);
    let (octave, part) = (index.div_euclid(per_octave), index.rem_euclid(per_octave));
    let exponent = octave.saturating_mul(1 << (-schema).max(0));
    if part == 0 && exponent == 1024 {
        return f64::MAX;
    }
    let fraction = (part as f64 / per_octave as f64).exp2();
    // In two halves, because a power beyond the range of numbers may still meet a fraction that brings it back.
    let exponent = exponent.clamp(-2200, 2200);
    fraction * ((exponent / 2) as f64).exp2() * ((exponent - exponent / 2) as f64).exp2()
}

/// Index in a schema that is coarser by `steps` of the bucket that holds all of bucket `index`.
pub(crate) fn coarser(index: i64, steps: u32) -> i64 {
    ((index - 1) >> steps) + 1
}

/// The number in the middle of a bucket: the zero bucket's is zero, custom buckets' the mean, others' the geometric mean.
pub(crate) fn middle(bucket: &HistogramBucket, custom: bool) -> f64 {
    if custom {
        return (bucket.upper + bucket.lower) / 2.0;
    }
    if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        return 0.0;
    }
    let size = (bucket.upper * bucket.lower).sqrt();
    if bucket.upper < 0.0 { -size } else { size }
}

/// Buckets by index as spans; indices rise.
pub(crate) fn pack(flat: impl IntoIterator<Item = (i64, f64)>) -> Buckets {
    let mut out = Buckets::default();
    let mut next = 0_i64;
    for (index, count) in flat {
        match out.spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => {
                // Indices come from spans whose offsets are 32 bits wide, so gaps fit except for nonsense.
                let offset = i32::try_from(index - next).unwrap_or(i32::MAX);
                out.spans.push(Span { offset, length: 1 });
            }
        }
        out.counts.push(count);
        next = index + 1;
    }
    out
}

/// Without empty buckets.
pub(crate) fn compact(mut histogram: Histogram) -> Histogram {
    for side in [&mut histogram.positive, &mut histogram.negative] {
        if side.counts.contains(&0.0) || side.spans.iter().any(|span| span.length == 0) {
            *side = pack(side.iter().filter(|(_, count)| *count != 0.0).collect::<Vec<_>>());
        }
    }
    histogram
}
