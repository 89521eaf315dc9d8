//! A uniform sample of points of bounded size whose merge is exact: the points with the smallest hashed priorities.
//!
//! Source: bottom-k sampling, Cohen and Kaplan, "Summarizing data using bottom-k sketches" (PODC 2007). The priority is a hash
//! of the point itself, so no random numbers are drawn and equal points are sampled once (sampling of distinct points).

use std::collections::BTreeMap;

use crate::error::SketchError;
use crate::wire::{Reader, mix, put_f64, put_varint};

const TAG: u8 = b'R';
const VERSION: u8 = 1;

/// At most `points_max` points, a uniform sample of the distinct ones pushed.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservoir {
    points_max: usize,
    /// Priority, then the bits of x and y: an order without ties.
    points: BTreeMap<(u64, u64, u64), ()>,
}

impl Reservoir {
    /// With room for `points_max` (1 to 65,536) points.
    ///
    /// # Errors
    /// [`SketchError::Size`].
    pub fn new(points_max: usize) -> Result<Self, SketchError> {
        if !(1..=65_536).contains(&points_max) {
            return Err(SketchError::Size { what: "point limit", found: points_max as u64, min: 1, max: 65_536 });
        }
        Ok(Self { points_max, points: BTreeMap::new() })
    }

    /// Offers a point; one that is not finite is left out.
    pub fn push(&mut self, x: f64, y: f64) {
        if x.is_finite() && y.is_finite() {
            let (x, y) = (x.to_bits(), y.to_bits());
            self.keep((mix(mix(x ^ 0x9e37_79b9_7f4a_7c15) ^ y), x, y));
        }
    }

    fn keep(&mut self, point: (u64, u64, u64)) {
        if self.points.len() >= self.points_max && self.points.last_key_value().is_some_and(|(last, ())| *last < point)
        {
            return;
        }
        self.points.insert(point, ());
        if self.points.len() > self.points_max {
            self.points.pop_last();
        }
    }

    /// The sampled points in rising x.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> =
            self.points.keys().map(|&(_, x, y)| (f64::from_bits(x), f64::from_bits(y))).collect();
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points
    }

    /// Adds the points of another reservoir, exactly as if all had been pushed here.
    ///
    /// # Errors
    /// [`SketchError::Shape`] unless the limits agree.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        if self.points_max != other.points_max {
            let (left, right) = (self.points_max as u64, other.points_max as u64);
            return Err(SketchError::Shape { what: "point limit", left, right });
        }
        other.points.keys().for_each(|&point| self.keep(point));
        Ok(())
    }

    /// Appends `R 1`, the limit and the points.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        put_varint(out, self.points_max as u64);
        put_varint(out, self.points.len() as u64);
        for &(_, x, y) in self.points.keys() {
            put_f64(out, f64::from_bits(x));
            put_f64(out, f64::from_bits(y));
        }
    }

    /// Reads what [`Reservoir::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "reservoir")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "reservoir" };
        let mut sample = usize::try_from(reader.varint()?).ok().and_then(|n| Self::new(n).ok()).ok_or(damaged)?;
        for _ in 0..reader.len(16)? {
            sample.push(reader.f64()?, reader.f64()?);
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn of(points: &[(f64, f64)]) -> Reservoir {
        let mut sample = Reservoir::new(16).expect("in range");
        points.iter().for_each(|&(x, y)| sample.push(x, y));
        sample
    }

    proptest! {
        #[test]
        fn merging_is_exact_in_any_order(a in vec((0.0..9.0_f64, 0.0..9.0_f64), 0..60), b in vec((0.0..9.0_f64, 0.0..9.0_f64), 0..60)) {
            let (mut left, mut right) = (of(&a), of(&b));
            let kept = right.clone();
            right.merge(&left).expect("same");
            left.merge(&kept).expect("same");
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(&left, &of(&[a, b].concat()));
            let mut bytes = Vec::new();
            left.encode(&mut bytes);
            prop_assert_eq!(Reservoir::decode(&mut Reader::new(&bytes)), Ok(left));
        }
    }

    #[test]
    fn the_sample_is_spread_over_the_input() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 0.0)).collect();
        let early = of(&points).points().iter().filter(|p| p.0 < 5000.0).count();
        assert!((3..=13).contains(&early), "{early} of 16 from the first half");
    }
}
