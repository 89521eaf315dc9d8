//! Request durations: a log-logistic distribution cut into histogram buckets.
//!
//! Its distribution function `x⁴ / (m⁴ + x⁴)` needs only products, has a heavy tail like real services, and its quantiles
//! are the median times a constant: p95 = 19^¼ · m, p99 = 99^¼ · m.

/// Upper bounds of the finite buckets in seconds.
pub(crate) const BOUNDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5];
/// The bounds as label values, `+Inf` last.
pub(crate) const BOUND_LABELS: [&str; 10] = ["0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "+Inf"];
/// 99^¼.
pub(crate) const P99_OF_MEDIAN: f64 = 3.154_342_145_529_904_6;
/// (π/4) / sin(π/4).
const MEAN_OF_MEDIAN: f64 = 1.110_720_734_539_591_6;

/// Share of requests that take at most `seconds`.
pub(crate) fn share_within(median: f64, seconds: f64) -> f64 {
    let (square, bound) = (median * median, seconds * seconds);
    let (fourth, bound) = (square * square, bound * bound);
    bound / (fourth + bound)
}

/// The cumulative buckets, the count and the sum of one service's requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durations {
    /// Requests within each of [`BOUNDS`], then all of them.
    pub(crate) buckets: [f64; 10],
    /// Seconds spent, in whole milliseconds.
    pub(crate) sum: f64,
}

impl Durations {
    /// Adds `n` requests. One `dither` in `[0, 1)` rounds all buckets, so they stay in order and are right on average.
    pub(crate) fn observe(&mut self, n: f64, median: f64, dither: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += (n * share_within(median, bound) + dither).floor().min(n);
        }
        self.buckets[9] += n;
        self.sum = ((self.sum + n * median * MEAN_OF_MEDIAN) * 1000.0).round() / 1000.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_constants_times_the_median() {
        assert!((share_within(0.08, 0.08) - 0.5).abs() < 1e-12);
        assert!((share_within(0.08, 0.08 * P99_OF_MEDIAN) - 0.99).abs() < 1e-12);
    }

    #[test]
    fn buckets_rise_and_labels_match() {
        let mut durations = Durations::default();
        for i in 0..1000 {
            durations.observe(f64::from(i % 37), 0.06, f64::from(i % 10) / 10.0);
            assert!(durations.buckets.windows(2).all(|two| two[0] <= two[1]));
        }
        for (bound, label) in BOUNDS.iter().zip(BOUND_LABELS) {
            assert_eq!(label.parse(), Ok(*bound));
        }
        let total = durations.buckets[9];
        let share = durations.buckets[3] / total;
        assert!((share - share_within(0.06, 0.1)).abs() < 0.01, "{share}");
        assert!((durations.sum / total - 0.06 * MEAN_OF_MEDIAN).abs() < 1e-4);
    }
}
