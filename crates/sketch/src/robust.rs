//! Level and scale of a stream that single outliers cannot drag.
//!
//! Source: Gelper, Fried, Croux, "Robust forecasting with exponential and Holt–Winters smoothing" (J. Forecasting 2010): each
//! value is first cleaned by Huber's ψ around the level, the scale follows bounded squared residuals (τ²-scale with a biweight
//! ρ). Here the scale follows bounded absolute residuals, which costs one comparison and no logarithm, and both rates start at
//! 1/n so that the first values weigh alike.

use crate::error::SketchError;
use crate::wire::{Reader, put_f32};

const TAG: u8 = b'V';
const VERSION: u8 = 1;
const VALUE_MAX: f64 = 1e30;
/// Residuals beyond this many scales are cut off.
const CLIP: f64 = 3.0;
/// Mean absolute deviation to standard deviation under a normal law clipped at [`CLIP`].
const TO_SIGMA: f64 = 1.2556;

/// A decayed robust level and scale in twelve bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RobustLevel {
    level: f32,
    scale: f32,
    seen: f32,
}

impl RobustLevel {
    /// Adds a value; after a start the newest value weighs `rate` (0 to 1). What is not finite, or beyond 1e30
    /// (single floats end soon after), is left out.
    pub fn push(&mut self, value: f64, rate: f64) {
        if !value.is_finite() || value.abs() > VALUE_MAX {
            return;
        }
        self.seen = (self.seen + 1.0).min(1e6);
        if self.seen == 1.0 {
            self.level = value as f32;
            return;
        }
        let rate = rate.max(1.0 / f64::from(self.seen)).min(1.0);
        let residual = value - f64::from(self.level);
        // The second value alone makes the first scale: there is nothing yet to call it an outlier of.
        let bound = if self.seen == 2.0 { f64::INFINITY } else { CLIP * self.deviation().max(f64::MIN_POSITIVE) };
        // A scale of zero (constant so far) must be able to leave zero, so it accepts a little of any change.
        let size = if self.scale == 0.0 { residual.abs() * 0.1 } else { residual.abs().min(bound) };
        self.scale += ((size - f64::from(self.scale)) * rate) as f32;
        let pull = if f64::from(self.scale) > 0.0 { residual.clamp(-bound, bound) } else { residual };
        self.level += (pull * rate) as f32;
    }

    /// The level; `None` before the first value.
    pub fn level(&self) -> Option<f64> {
        (self.seen > 0.0).then_some(f64::from(self.level))
    }

    /// The scale as the standard deviation of a normal law; zero before the second value.
    pub fn deviation(&self) -> f64 {
        f64::from(self.scale) * TO_SIGMA
    }

    /// Values seen (at most a million are told apart).
    pub fn seen(&self) -> f64 {
        f64::from(self.seen)
    }

    /// Appends `V 1` and three single floats.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        [self.level, self.scale, self.seen].into_iter().for_each(|value| put_f32(out, value));
    }

    /// Reads what [`RobustLevel::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "robust level")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "robust level" };
        let read = Self { level: reader.f32()?, scale: reader.f32()?, seen: reader.f32()? };
        if read.scale >= 0.0 && read.seen >= 0.0 && !read.level.is_nan() { Ok(read) } else { Err(damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed, even spread of normal quantiles.
    fn normal(i: u64) -> f64 {
        let u = (crate::wire::mix(i) >> 11) as f64 / (1_u64 << 53) as f64;
        let v = (crate::wire::mix(i ^ 0xabcd_ef01) >> 11) as f64 / (1_u64 << 53) as f64;
        (-2.0 * u.max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    #[test]
    fn level_and_scale_of_a_normal_law_survive_five_percent_of_outliers() {
        let mut robust = RobustLevel::default();
        for i in 0..20_000 {
            let value = if i % 20 == 7 { 1e6 } else { 100.0 + 5.0 * normal(i) };
            robust.push(value, 0.01);
        }
        let (level, deviation) = (robust.level().expect("seen"), robust.deviation());
        assert!((level - 100.0).abs() < 4.0 && (4.0..8.0).contains(&deviation), "{level} {deviation}");
    }

    #[test]
    fn a_constant_stream_has_no_scale_and_can_leave_it() {
        let mut robust = RobustLevel::default();
        (0..50).for_each(|_| robust.push(7.0, 0.05));
        assert_eq!((robust.level(), robust.deviation()), (Some(7.0), 0.0));
        (0..400).for_each(|i| robust.push(20.0 + f64::from(i % 2), 0.05));
        assert!((robust.level().expect("seen") - 20.5).abs() < 1.0, "{robust:?}");
        let mut bytes = Vec::new();
        robust.encode(&mut bytes);
        assert_eq!(RobustLevel::decode(&mut Reader::new(&bytes)), Ok(robust));
    }
}
