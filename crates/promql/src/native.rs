//! Arithmetic of native histograms: what PromQL does to a [`Histogram`] beyond storing it.
//!
//! ```text
//!   layout   bounds of buckets by schema, buckets in rising order, coarser schemas
//!   total    a running compensated sum; reconciles schemas, zero buckets and custom bounds on the way
//!   reset    whether a counter began anew between two samples
//!   estimate quantiles, fractions, variance
//!   trim     observations beyond a value cut off
//! ```
//!
//! Semantics are those of Prometheus 3.12. Nothing here keeps a text, a label or a time.

mod estimate;
mod layout;
mod reset;
mod text;
mod total;
mod trim;

pub use layout::{HistogramBucket, buckets};

pub(crate) use estimate::{Doubt, fraction, quantile, variance};
pub(crate) use layout::compact;
pub(crate) use reset::is_reset;
pub(crate) use text::describe;
pub(crate) use total::{Total, mean, sum};
pub(crate) use trim::{Keep, trim};

use series::{Buckets, Histogram, ResetHint};

/// Every count and the sum times `factor`; a negative factor makes a gauge.
pub(crate) fn times(mut histogram: Histogram, factor: f64) -> Histogram {
    scale(&mut histogram, |value| value * factor);
    if factor < 0.0 {
        histogram.reset = ResetHint::Gauge;
    }
    histogram
}

/// Every count and the sum divided by `divisor`; zero leaves no bucket standing.
pub(crate) fn divided(mut histogram: Histogram, divisor: f64) -> Histogram {
    if divisor == 0.0 {
        histogram.positive = Buckets::default();
        histogram.negative = Buckets::default();
    }
    scale(&mut histogram, |value| value / divisor);
    if divisor < 0.0 {
        histogram.reset = ResetHint::Gauge;
    }
    histogram
}

fn scale(histogram: &mut Histogram, change: impl Fn(f64) -> f64) {
    for value in [&mut histogram.zero_count, &mut histogram.count, &mut histogram.sum] {
        *value = change(*value);
    }
    for count in histogram.positive.counts.iter_mut().chain(&mut histogram.negative.counts) {
        *count = change(*count);
    }
}

/// Whether two histograms are the same data: same buckets, also empty ones, with the same bits. Hints do not count.
pub(crate) fn same(a: &Histogram, b: &Histogram) -> bool {
    let side = |a: &Buckets, b: &Buckets| {
        a.counts.len() == b.counts.len()
            && a.iter().zip(b.iter()).all(|((i, n), (j, m))| i == j && n.to_bits() == m.to_bits())
    };
    let bits = |h: &Histogram| [h.count, h.sum, h.zero_count].map(f64::to_bits);
    a.schema == b.schema
        && bits(a) == bits(b)
        && a.zero_threshold == b.zero_threshold
        && a.custom_bounds == b.custom_bounds
        && side(&a.positive, &b.positive)
        && side(&a.negative, &b.negative)
}

/// What a histogram counts as against the limit on samples: itself and its buckets.
pub(crate) fn weight(histogram: &Histogram) -> usize {
    1 + histogram.positive.counts.len() + histogram.negative.counts.len()
}

#[cfg(test)]
mod tests;
