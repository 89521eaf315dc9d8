//! Least squares of y on x from six numbers, with exact merging of parts.
//!
//! Parts are kept centred (means and centred sums), so long times with small spans do not cancel; they are joined by the
//! update of Chan, Golub, LeVeque, "Algorithms for computing the sample variance" (1983), extended to the cross sum.

use crate::error::SketchError;
use crate::student::student_t_quantile;
use crate::wire::{Reader, put_f64, put_varint};

const TAG: u8 = b'L';
const VERSION: u8 = 1;

/// Sufficient statistics of a straight line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LeastSquares {
    n: u64,
    mean_x: f64,
    mean_y: f64,
    sum_xx: f64,
    sum_xy: f64,
    sum_yy: f64,
}

/// A fitted line with a confidence interval of its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Change of y for one unit of x.
    pub slope: f64,
    /// Lower end of the slope's interval.
    pub lower: f64,
    /// Upper end of the slope's interval.
    pub upper: f64,
    /// A point on the line: the centre of x …
    pub centre_x: f64,
    /// … and the line's value there.
    pub centre_y: f64,
    /// Points used.
    pub n: u64,
}

impl Line {
    /// The line's value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.centre_y + self.slope * (x - self.centre_x)
    }
}

impl LeastSquares {
    /// Adds a point; one that is not finite is left out.
    pub fn push(&mut self, x: f64, y: f64) {
        if x.is_finite() && y.is_finite() {
            self.merge(&Self { n: 1, mean_x: x, mean_y: y, ..Self::default() });
        }
    }

    /// Adds the points of another part.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *other;
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let (dx, dy) = (other.mean_x - self.mean_x, other.mean_y - self.mean_y);
        let cross = a * b / (a + b);
        self.sum_xx += other.sum_xx + dx * dx * cross;
        self.sum_xy += other.sum_xy + dx * dy * cross;
        self.sum_yy += other.sum_yy + dy * dy * cross;
        self.mean_x += dx * b / (a + b);
        self.mean_y += dy * b / (a + b);
        self.n = self.n.saturating_add(other.n);
    }

    /// Number of points.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The line with an interval of `level` (0.95, say) for its slope under independent errors; `None` below three points or
    /// when all x agree.
    pub fn fit(&self, level: f64) -> Option<Line> {
        if self.n < 3 || self.sum_xx <= 0.0 {
            return None;
        }
        let slope = self.sum_xy / self.sum_xx;
        let freedom = self.n as f64 - 2.0;
        let residual = (self.sum_yy - slope * self.sum_xy).max(0.0);
        let error = (residual / freedom / self.sum_xx).sqrt();
        let half = student_t_quantile(0.5 + level.clamp(0.0, 0.9999) / 2.0, freedom) * error;
        Some(Line {
            slope,
            lower: slope - half,
            upper: slope + half,
            centre_x: self.mean_x,
            centre_y: self.mean_y,
            n: self.n,
        })
    }

    /// Share of y's variance that the line explains; `None` when y is constant or there is no line.
    pub fn r_squared(&self) -> Option<f64> {
        (self.n >= 2 && self.sum_xx > 0.0 && self.sum_yy > 0.0)
            .then(|| (self.sum_xy * self.sum_xy / (self.sum_xx * self.sum_yy)).clamp(0.0, 1.0))
    }

    /// Appends `L 1`, the count and five floats.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        put_varint(out, self.n);
        for value in [self.mean_x, self.mean_y, self.sum_xx, self.sum_xy, self.sum_yy] {
            put_f64(out, value);
        }
    }

    /// Reads what [`LeastSquares::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "least squares")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "least squares" };
        let n = reader.varint()?;
        let (mean_x, mean_y) = (reader.f64()?, reader.f64()?);
        let (sum_xx, sum_xy, sum_yy) = (reader.f64()?, reader.f64()?, reader.f64()?);
        let finite = [mean_x, mean_y, sum_xx, sum_xy, sum_yy].iter().all(|value| value.is_finite());
        if finite { Ok(Self { n, mean_x, mean_y, sum_xx, sum_xy, sum_yy }) } else { Err(damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn of(points: &[(f64, f64)]) -> LeastSquares {
        let mut sums = LeastSquares::default();
        points.iter().for_each(|&(x, y)| sums.push(x, y));
        sums
    }

    #[test]
    fn an_example_worked_by_hand() {
        // sxx = 10, sxy = 26, syy = 68: slope 2.6, residual sum 0.4.
        let line = of(&[(0.0, 3.0), (1.0, 5.0), (2.0, 8.0), (3.0, 11.0), (4.0, 13.0)]).fit(0.95).expect("five points");
        assert!((line.slope - 2.6).abs() < 1e-12 && (line.at(0.0) - 2.8).abs() < 1e-12);
        // s² = 0.4 / 3, sxx = 10, t(0.975; 3) = 3.182446.
        let half = 3.182_446_305 * (0.4_f64 / 3.0 / 10.0).sqrt();
        assert!((line.upper - 2.6 - half).abs() < 1e-6, "{line:?}");
    }

    proptest! {
        #[test]
        fn parts_in_any_order_give_the_whole(
            a in vec((0.0..1e3_f64, -1e3..1e3_f64), 0..50), b in vec((0.0..1e3_f64, -1e3..1e3_f64), 0..50), offset in 0.0..2e9_f64,
        ) {
            let shift = |points: &[(f64, f64)]| points.iter().map(|(x, y)| (x + offset, *y)).collect::<Vec<_>>();
            let (a, b) = (shift(&a), shift(&b));
            let (mut left, mut right) = (of(&a), of(&b));
            let kept = right;
            right.merge(&left);
            left.merge(&kept);
            let whole = of(&[a, b].concat());
            if let (Some(l), Some(r), Some(w)) = (left.fit(0.95), right.fit(0.95), whole.fit(0.95)) {
                for line in [l, r] {
                    prop_assert!((line.slope - w.slope).abs() <= 1e-6 * (1.0 + w.slope.abs()));
                    prop_assert!((line.upper - w.upper).abs() <= 1e-5 * (1.0 + w.upper.abs()));
                }
            }
            let mut bytes = Vec::new();
            whole.encode(&mut bytes);
            prop_assert_eq!(LeastSquares::decode(&mut Reader::new(&bytes)), Ok(whole));
        }
    }
}
