//! Quantiles of classic histogram buckets, by the rules of PromQL's `histogram_quantile`.

/// Observations at or below an upper bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Upper bound (`le`); the last one is +Inf.
    pub upper: f64,
    /// Number of observations ≤ `upper`, as an increase or a rate.
    pub count: f64,
}

/// The `q`-quantile of cumulative buckets in rising order of bounds. NaN without a +Inf bucket, without a second bucket,
/// without observations or for a NaN `q`; −Inf below 0 and +Inf above 1. Inside a bucket values count as evenly spread; the
/// lowest begins at 0 if its bound is positive; in the +Inf bucket the answer is the highest finite bound. Counts that fall
/// (races between scrapes of one histogram) are lifted to the count before.
pub fn bucket_quantile(q: f64, buckets: &[Bucket]) -> f64 {
    let Some(last) = buckets.last() else { return f64::NAN };
    if q.is_nan() || buckets.len() < 2 || last.upper != f64::INFINITY {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let total = buckets.iter().map(|bucket| bucket.count).fold(0.0, f64::max);
    if total <= 0.0 {
        return f64::NAN;
    }
    let rank = q * total;
    let (mut before, mut below) = (0.0_f64, f64::NEG_INFINITY);
    for bucket in buckets {
        let count = bucket.count.max(before);
        if count >= rank {
            return inside(rank, (below, before), (bucket.upper, count));
        }
        (before, below) = (count, bucket.upper);
    }
    below
}

/// Interpolates between the bucket's bounds `(upper, cumulative count)`.
fn inside(rank: f64, (lower, before): (f64, f64), (upper, count): (f64, f64)) -> f64 {
    if upper == f64::INFINITY {
        return lower;
    }
    if lower == f64::NEG_INFINITY {
        return if upper <= 0.0 {
            upper
        } else if count > 0.0 {
            upper * (rank / count)
        } else {
            0.0
        };
    }
    let share = if count > before { (rank - before) / (count - before) } else { 1.0 };
    lower + (upper - lower) * share
}

/// Adds up the counts of equal bounds; the result rises. Counts are added in the order given, so equal inputs give equal bits.
pub(crate) fn sum_by_bound(buckets: &mut Vec<Bucket>) {
    buckets.sort_by(|a, b| a.upper.total_cmp(&b.upper));
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// The bound a label value names; Prometheus writes `+Inf`.
pub(crate) fn parse_bound(le: &str) -> Option<f64> {
    let bound: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().ok()? };
    (!bound.is_nan()).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|&(upper, count)| Bucket { upper, count }).collect()
    }

    #[test]
    fn prometheus_rules() {
        let inf = f64::INFINITY;
        let plain = buckets(&[(0.1, 50.0), (0.2, 90.0), (inf, 100.0)]);
        assert!((bucket_quantile(0.25, &plain) - 0.05).abs() < 1e-12);
        assert!((bucket_quantile(0.7, &plain) - 0.15).abs() < 1e-12);
        assert_eq!(bucket_quantile(0.95, &plain), 0.2);
        assert_eq!(bucket_quantile(-1.0, &plain), f64::NEG_INFINITY);
        assert_eq!(bucket_quantile(2.0, &plain), inf);
        assert!(bucket_quantile(0.5, &plain[..2]).is_nan());
        assert!(bucket_quantile(0.5, &buckets(&[(0.1, 0.0), (inf, 0.0)])).is_nan());
        assert!(bucket_quantile(0.5, &buckets(&[(inf, 3.0)])).is_nan());
        assert_eq!(bucket_quantile(0.1, &buckets(&[(-1.0, 50.0), (inf, 100.0)])), -1.0);
    }

    #[test]
    fn falling_counts_are_lifted() {
        let torn = buckets(&[(1.0, 10.0), (2.0, 8.0), (f64::INFINITY, 20.0)]);
        assert_eq!(bucket_quantile(0.5, &torn), 1.0);
        assert_eq!(bucket_quantile(0.75, &torn), 2.0);
    }

    #[test]
    fn bounds_are_summed_and_parsed() {
        let mut both = buckets(&[(1.0, 1.0), (f64::INFINITY, 2.0), (1.0, 3.0)]);
        sum_by_bound(&mut both);
        assert_eq!(both, buckets(&[(1.0, 4.0), (f64::INFINITY, 2.0)]));
        assert_eq!(
            (parse_bound("+Inf"), parse_bound("0.5"), parse_bound("x"), parse_bound("NaN")),
            (Some(f64::INFINITY), Some(0.5), None, None)
        );
    }
}
