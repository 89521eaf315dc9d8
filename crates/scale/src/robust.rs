//! Order statistics that a few wild samples cannot move.

/// The `q`-quantile of values sorted in rising order, linear between neighbours (Hyndman & Fan 1996, type 7).
/// `None` for an empty slice.
pub(crate) fn quantile_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// The `q`-quantile of `values`, which need not be sorted and must be finite.
pub(crate) fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_sorted(&sorted, q)
}

/// The median.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The median by selection, O(n); reorders `values`.
fn median_of(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, &mut above, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let partner = below.iter().copied().max_by(f64::total_cmp).filter(|_| is_even);
    Some(partner.map_or(above, |below| below + (above - below) * 0.5))
}

/// The least value that carries at least the share `q` of the total weight; `(value, weight)` pairs, weights ≥ 0.
pub(crate) fn weighted_quantile(pairs: &mut [(f64, f64)], q: f64) -> Option<f64> {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = pairs.iter().map(|pair| pair.1).sum();
    let mut running = 0.0;
    for &(value, weight) in pairs.iter() {
        running += weight;
        if running >= q * total {
            return Some(value);
        }
    }
    pairs.last().map(|pair| pair.0)
}

/// A line fitted by the median of all pairwise slopes (Theil 1950, Sen 1968): up to 29 % of the points may be wild.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Line {
    pub(crate) intercept: f64,
    pub(crate) slope: f64,
}

impl Line {
    pub(crate) fn at(self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }
}

/// Fits [`Line`] to `(x, y)` points. `None` unless two points differ in `x`. Cost O(n²): callers bin to ≤ 128 points.
pub(crate) fn theil_sen(points: &[(f64, f64)]) -> Option<Line> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (at, a) in points.iter().enumerate() {
        for b in &points[at + 1..] {
            if b.0 != a.0 {
                slopes.push((b.1 - a.1) / (b.0 - a.0));
            }
        }
    }
    let slope = median_of(&mut slopes)?;
    let mut offsets: Vec<f64> = points.iter().map(|p| p.1 - slope * p.0).collect();
    Some(Line { intercept: median_of(&mut offsets)?, slope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0], 0.9), Some(1.9));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 1.0), Some(7.0));
        for values in [&[3.0, 1.0, 2.0][..], &[4.0, 1.0, 3.0, 2.0], &[5.0], &[]] {
            assert_eq!(median_of(&mut values.to_vec()), median(values));
        }
    }

    #[test]
    fn weights_decide_the_quantile() {
        assert_eq!(weighted_quantile(&mut [(1.0, 1.0), (10.0, 9.0)], 0.5), Some(10.0));
        assert_eq!(weighted_quantile(&mut [(1.0, 9.0), (10.0, 1.0)], 0.5), Some(1.0));
    }

    #[test]
    fn a_quarter_of_wild_points_does_not_move_the_line() {
        let points: Vec<(f64, f64)> =
            (0..40).map(|i| (f64::from(i), if i % 4 == 0 { 1e6 } else { 3.0 + 2.0 * f64::from(i) })).collect();
        let line = theil_sen(&points).expect("many points");
        assert!((line.slope - 2.0).abs() < 0.6, "{line:?}");
        assert_eq!(theil_sen(&[(1.0, 1.0), (1.0, 2.0)]), None);
    }
}
