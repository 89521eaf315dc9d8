//! Exponentially weighted mean and deviation of samples at irregular times.
//!
//! The weight of what was seen before is 2^(−Δt / half-life); the first sample starts the mean. Until the decayed weight is
//! full the mean is the weighted mean of what there is, so the start is not biased towards the first value. Source: Müller,
//! "Specially weighted moving averages with repeated application of the EMA operator" (2000), previous-point form; variance by
//! West's incremental update (1979).

use crate::error::SketchError;
use crate::wire::{Reader, put_f64};

const TAG: u8 = b'E';
const VERSION: u8 = 1;
const VALUE_MAX: f64 = 1e150;

/// A decayed mean and variance. Times and half-life share any one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ewma {
    half_life: f64,
    at: f64,
    weight: f64,
    mean: f64,
    sum_squares: f64,
}

impl Ewma {
    /// An empty mean; a half-life that is not positive and finite forgets everything at each sample.
    pub fn new(half_life: f64) -> Self {
        let half_life = if half_life.is_finite() && half_life > 0.0 { half_life } else { 0.0 };
        Self { half_life, at: f64::NEG_INFINITY, weight: 0.0, mean: 0.0, sum_squares: 0.0 }
    }

    /// Adds a sample of time `at`; earlier times than the newest count as the newest. Values that are not finite, or so large
    /// that their squares are not (1e150), are left out.
    pub fn push(&mut self, at: f64, value: f64) {
        if !value.is_finite() || value.abs() > VALUE_MAX || !at.is_finite() {
            return;
        }
        let elapsed = (at - self.at).max(0.0);
        let keep = if self.weight == 0.0 || self.half_life == 0.0 && elapsed > 0.0 {
            0.0
        } else if elapsed == 0.0 {
            1.0
        } else {
            (-elapsed / self.half_life).exp2()
        };
        self.at = self.at.max(at);
        let weight = self.weight * keep + 1.0;
        let delta = value - self.mean;
        self.mean += delta / weight;
        self.sum_squares = self.sum_squares * keep + delta * (value - self.mean);
        self.weight = weight;
    }

    /// The decayed mean; `None` before the first sample.
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.mean)
    }

    /// The decayed standard deviation; `None` before the second sample.
    pub fn deviation(&self) -> Option<f64> {
        (self.weight > 1.0).then(|| (self.sum_squares / self.weight).max(0.0).sqrt())
    }

    /// Appends `E 1` and five floats.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        for value in [self.half_life, self.at, self.weight, self.mean, self.sum_squares] {
            put_f64(out, value);
        }
    }

    /// Reads what [`Ewma::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "decayed mean")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "decayed mean" };
        let mut read = Self::new(reader.f64()?);
        (read.at, read.weight) = (reader.f64()?, reader.f64()?);
        (read.mean, read.sum_squares) = (reader.f64()?, reader.f64()?);
        let sound = !read.at.is_nan() && read.weight >= 0.0 && read.mean.is_finite() && read.sum_squares.is_finite();
        if sound { Ok(read) } else { Err(damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_weighted_mean(samples in vec((0.0..50.0_f64, -100.0..100.0_f64), 1..60), half_life in 1.0..500.0_f64) {
            let (mut ewma, mut at, mut seen) = (Ewma::new(half_life), 0.0, Vec::new());
            for (gap, value) in samples {
                at += gap;
                ewma.push(at, value);
                seen.push((at, value));
            }
            let weight = |t: f64| (-(at - t) / half_life).exp2();
            let total: f64 = seen.iter().map(|s| weight(s.0)).sum();
            let mean = seen.iter().map(|s| weight(s.0) * s.1).sum::<f64>() / total;
            prop_assert!((ewma.mean().expect("pushed") - mean).abs() < 1e-8);
            if let Some(deviation) = ewma.deviation() {
                let variance = seen.iter().map(|s| weight(s.0) * (s.1 - mean).powi(2)).sum::<f64>() / total;
                prop_assert!((deviation.powi(2) - variance).abs() < 1e-6 * (1.0 + variance));
            }
            let mut bytes = Vec::new();
            ewma.encode(&mut bytes);
            prop_assert_eq!(Ewma::decode(&mut Reader::new(&bytes)), Ok(ewma));
        }
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let mut ewma = Ewma::new(10.0);
        ewma.push(0.0, f64::NAN);
        assert_eq!(ewma.mean(), None);
        ewma.push(1.0, 3.0);
        assert_eq!((ewma.mean(), ewma.deviation()), (Some(3.0), None));
    }
}
