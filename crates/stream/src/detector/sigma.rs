//! The simple rule: so many standard deviations from a moving mean.

use series::Timestamp;
use sketch::wire::{Reader, put_f64};
use sketch::{Ewma, SketchError};

use crate::detector::{Assessment, WARM_UP};

/// A moving mean and deviation with a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SigmaRule {
    sigma: f64,
    seen: f64,
    last_at: f64,
    moving: Ewma,
}

impl SigmaRule {
    /// `sigma` deviations; past values weigh half after `half_life` milliseconds.
    pub(crate) fn new(sigma: f64, half_life: f64) -> Self {
        Self { sigma, seen: 0.0, last_at: f64::NEG_INFINITY, moving: Ewma::new(half_life) }
    }

    /// Score 1 − 2^−(z/σ)²: 0.5 at the limit.
    pub(crate) fn push(&mut self, at: Timestamp, value: f64) -> Assessment {
        let expected = self.moving.mean().unwrap_or(value);
        let deviation = self.moving.deviation().unwrap_or(0.0);
        if !value.is_finite() || at.0 as f64 <= self.last_at {
            return Assessment::silent(expected);
        }
        let warming_up = self.seen < WARM_UP;
        let z = (value - expected) / deviation.max(1e-9 * (1e-3 + expected.abs()));
        let score = if warming_up { 0.0 } else { 1.0 - (-(z / self.sigma).powi(2)).exp2() };
        self.seen += 1.0;
        self.last_at = at.0 as f64;
        self.moving.push(self.last_at, value);
        let half = self.sigma * deviation;
        Assessment {
            score,
            expected,
            lower: expected - half,
            upper: expected + half,
            warming_up,
            usual: None,
            moving_since: None,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        [self.sigma, self.seen, self.last_at].into_iter().for_each(|field| put_f64(out, field));
        self.moving.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let (sigma, seen, last_at) = (reader.f64()?, reader.f64()?, reader.f64()?);
        Ok(Self { sigma, seen, last_at, moving: Ewma::decode(reader)? })
    }
}
