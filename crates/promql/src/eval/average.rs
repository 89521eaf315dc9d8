//! Sums and means with compensation for what rounding loses (Kahan–Babuška), and quantiles of a list.

/// A compensated sum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// A sum of one value.
    #[inline]
    pub(crate) fn of(value: f64) -> Self {
        Self { sum: value, lost: 0.0 }
    }

    /// Adds another sum with what it had lost.
    #[inline]
    pub(crate) fn absorb(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// Times `factor`.
    #[inline]
    pub(crate) fn scale(&mut self, factor: f64) {
        self.sum *= factor;
        self.lost *= factor;
    }

    /// Divided by `divisor`.
    #[inline]
    pub(crate) fn divide(&mut self, divisor: f64) {
        self.sum /= divisor;
        self.lost /= divisor;
    }

    /// The rounding error of each addition is found without a branch (Knuth's two-sum, the same number as Neumaier's).
    /// Where the sum is infinite the error is NaN, but an infinite sum stays one and its error is not looked at.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let taken = sum - self.sum;
        self.lost += (self.sum - (sum - taken)) + (value - taken);
        self.sum = sum;
    }

    #[inline]
    pub(crate) fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

/// A mean by direct summation that turns to the incremental mean where the sum would overflow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            // The first value is taken as it is: an infinity there is no overflow.
            self.sum = Sum { sum: value, lost: 0.0 };
            return;
        }
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.incremental = true;
            let before = self.count - 1.0;
            self.sum = Sum { sum: self.sum.sum / before, lost: self.sum.lost / before };
        }
        let kept = (self.count - 1.0) / self.count;
        self.sum = Sum { sum: kept * self.sum.sum, lost: kept * self.sum.lost };
        self.sum.add(value / self.count);
    }

    #[inline]
    pub(crate) fn value(&self) -> f64 {
        if self.incremental {
            self.sum.value()
        } else if self.sum.sum.is_infinite() {
            self.sum.sum
        } else {
            self.sum.sum / self.count + self.sum.lost / self.count
        }
    }
}

/// The mean of many values. As [`Mean`] added one by one, but looks for an overflow only once.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let Some((first, rest)) = values.split_first() else { return f64::NAN };
    let mut sum = Sum::of(*first);
    rest.iter().for_each(|value| sum.add(*value));
    if sum.sum.is_finite() {
        let n = values.len() as f64;
        return sum.sum / n + sum.lost / n;
    }
    let mut mean = Mean::default();
    values.iter().for_each(|value| mean.add(*value));
    mean.value()
}

/// Variance of the whole by Welford's method, compensated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.sum + self.mean.lost);
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - (self.mean.sum + self.mean.lost)));
    }

    #[inline]
    pub(crate) fn value(&self) -> f64 {
        (self.squares.sum + self.squares.lost) / self.count
    }
}

/// The φ-quantile with linear interpolation; reorders `values`, NaN lowest. NaN for an empty list or a NaN φ, the
/// infinities for φ outside of [0, 1].
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let rank = phi * (values.len() - 1) as f64;
    let low = (rank.floor() as usize).min(values.len() - 1);
    let weight = rank - rank.floor();
    // Two neighbours are wanted, not the whole order: the upper one is the least of what lies above the lower one.
    let order = |a: &f64, b: &f64| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b));
    let (_, &mut lower, above) = values.select_nth_unstable_by(low, order);
    let upper = above.iter().copied().min_by(order).unwrap_or(lower);
    lower * (1.0 - weight) + upper * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(values: &[f64]) -> f64 {
        let mut mean = Mean::default();
        values.iter().for_each(|v| mean.add(*v));
        mean.value()
    }

    #[test]
    fn lost_digits_are_kept() {
        let mut sum = Sum::default();
        [1e100, 1.0, -1e100, 1.0].into_iter().for_each(|v| sum.add(v));
        assert_eq!(sum.value(), 2.0);
    }

    #[test]
    fn means_do_not_overflow() {
        assert_eq!(mean(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(mean(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(mean(&[1.0, 2.0, 3.0]), 2.0);
        for values in [&[0.1, 0.2, 0.3, 1e100, -1e100][..], &[f64::MAX, 1.0, f64::MAX, -f64::MAX], &[f64::INFINITY]] {
            assert_eq!(mean(values), one_by_one(values));
        }
        let mut sum = Sum::default();
        [1.0, f64::INFINITY, 1.0].into_iter().for_each(|v| sum.add(v));
        assert_eq!(sum.value(), f64::INFINITY);
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(quantile(1.5, &mut [1.0]), f64::INFINITY);
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.0, &mut [1.0, 7.0, f64::NAN]), 7.0);
        assert_eq!(quantile(0.7, &mut [4.0]), 4.0);
    }
}
