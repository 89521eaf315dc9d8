//! Magnitude ⇄ bucket number, by a cubic interpolation of log2 between powers of two.
//!
//! With x = 2^e (1 + s), 0 ≤ s < 1: log2~ x = e + P(s), P(s) = 6/35 s³ − 3/5 s² + 10/7 s. P(0) = 0 and P(1) = 1, so it is
//! continuous; d log2~ x / d ln x = (1 + s) P'(s) ≥ 10/7, hence `n` buckets an octave give neighbouring bounds a ratio of at
//! most exp(7 / (10 n)), and the harmonic middle of a bucket is within (ratio − 1) / (ratio + 1) of all of it.

use crate::error::SketchError;

const A: f64 = 6.0 / 35.0;
const B: f64 = -3.0 / 5.0;
const C: f64 = 10.0 / 7.0;
const MANTISSA: u64 = (1 << 52) - 1;

/// Number of buckets an octave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Mapping {
    per_octave: u16,
}

impl Mapping {
    /// Relative error 1 %.
    pub(crate) const DEFAULT: Self = Self { per_octave: 35 };

    /// The coarsest mapping within `relative_error`.
    pub(crate) fn with_error(relative_error: f64) -> Result<Self, SketchError> {
        if !(0.0005..=0.2).contains(&relative_error) {
            let millionths = (relative_error.clamp(0.0, 4000.0) * 1e6) as u32;
            return Err(SketchError::Accuracy { millionths });
        }
        let ratio_ln = ((1.0 + relative_error) / (1.0 - relative_error)).ln();
        // A hair of slack: 1 % asks for 34.998 buckets, which must not become 36 by a rounding of `ln`.
        let exact = 0.7 / ratio_ln;
        Ok(Self { per_octave: (exact - 1e-9).ceil().max(1.0) as u16 })
    }

    /// With a given number of buckets an octave, if that is one this code could have made.
    pub(crate) fn with_buckets(per_octave: u16) -> Option<Self> {
        (1..=1000).contains(&per_octave).then_some(Self { per_octave })
    }

    pub(crate) fn per_octave(self) -> u16 {
        self.per_octave
    }

    pub(crate) fn relative_error(self) -> f64 {
        (0.35 / f64::from(self.per_octave)).tanh()
    }

    /// Bucket of a positive, normal magnitude.
    #[inline]
    pub(crate) fn bucket(self, magnitude: f64) -> i32 {
        let bits = magnitude.to_bits();
        let exponent = (bits >> 52) as i32 - 1023;
        let s = f64::from_bits((bits & MANTISSA) | 1.0_f64.to_bits()) - 1.0;
        let log2 = ((A * s + B) * s + C) * s;
        // The mantissa's part is below one octave, so both terms stay exact in `i32`; the min guards the rounding at s → 1.
        let per_octave = i32::from(self.per_octave);
        exponent * per_octave + ((log2 * f64::from(per_octave)) as i32).min(per_octave - 1)
    }

    /// The value that stands for a bucket: within the relative error of everything in it.
    pub(crate) fn middle(self, bucket: i32) -> f64 {
        let (low, high) = (self.lower(bucket), self.lower(bucket.saturating_add(1)));
        if !high.is_finite() {
            return low;
        }
        // 2ab / (a + b) without the overflow of a · b.
        low * (2.0 / (1.0 + low / high))
    }

    /// Lower bound of a bucket.
    fn lower(self, bucket: i32) -> f64 {
        let per_octave = i32::from(self.per_octave);
        let (exponent, step) = (bucket.div_euclid(per_octave), bucket.rem_euclid(per_octave));
        let s = invert(f64::from(step) / f64::from(per_octave));
        (1.0 + s) * 2.0_f64.powi(exponent)
    }
}

/// s with P(s) = y, by Newton's method (P is monotone with slope in [0.74, 1.43]; four steps reach the last bits).
fn invert(y: f64) -> f64 {
    let mut s = y;
    for _ in 0..8 {
        let error = ((A * s + B) * s + C) * s - y;
        s -= error / ((3.0 * A * s + 2.0 * B) * s + C);
    }
    s.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_percent_takes_35_buckets_an_octave() {
        assert_eq!(Mapping::with_error(0.01), Ok(Mapping::DEFAULT));
        assert!(Mapping::DEFAULT.relative_error() <= 0.01);
        assert!(Mapping::with_error(f64::NAN).is_err() && Mapping::with_error(0.5).is_err());
    }

    proptest! {
        #[test]
        fn the_middle_is_within_the_error(bits in 1_u64 << 52..0x7ff0_0000_0000_0000, error in 0.001..0.1_f64) {
            let value = f64::from_bits(bits);
            for mapping in [Mapping::DEFAULT, Mapping::with_error(error).expect("in range")] {
                let middle = mapping.middle(mapping.bucket(value));
                prop_assert!((middle - value).abs() <= value * mapping.relative_error() * (1.0 + 1e-9), "{value} {middle}");
            }
        }

        #[test]
        fn buckets_rise_with_the_value(a in 1e-300..1e300_f64, b in 1e-300..1e300_f64) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(Mapping::DEFAULT.bucket(low) <= Mapping::DEFAULT.bucket(high));
        }
    }
}
