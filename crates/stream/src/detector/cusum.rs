//! When did the level begin to move? Two cumulative sums of standardised residuals.
//!
//! Source: Page, "Continuous inspection schemes" (Biometrika 1954); the estimate of the change point is the time the sum last
//! left zero (Hinkley 1970).

use series::Timestamp;
use sketch::SketchError;
use sketch::wire::{Reader, put_f32, put_signed};

/// Drift allowed each value, in deviations.
const SLACK: f64 = 1.0;
/// z counts at most this much.
const Z_CAP: f64 = 6.0;
/// Sums stop here, so that an incident is soon forgotten: they only tell when they began.
const SUM_MAX: f64 = 25.0;

/// Sums upward and downward with the times they left zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cusum {
    up: f32,
    down: f32,
    up_since: i64,
    down_since: i64,
}

impl Cusum {
    pub(crate) fn push(&mut self, at: Timestamp, z: f64) {
        let z = z.clamp(-Z_CAP, Z_CAP);
        step(&mut self.up, &mut self.up_since, at.0, z);
        step(&mut self.down, &mut self.down_since, at.0, -z);
    }

    /// When the sum in the direction of `residual` left zero, if it is above.
    pub(crate) fn since(&self, residual: f64) -> Option<Timestamp> {
        let (sum, since) = if residual > 0.0 { (self.up, self.up_since) } else { (self.down, self.down_since) };
        (sum > 0.0).then_some(Timestamp(since))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_f32(out, self.up);
        put_f32(out, self.down);
        put_signed(out, self.up_since);
        put_signed(out, self.down_since);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        Ok(Self { up: reader.f32()?, down: reader.f32()?, up_since: reader.signed()?, down_since: reader.signed()? })
    }
}

fn step(sum: &mut f32, since: &mut i64, at: i64, z: f64) {
    let next = (f64::from(*sum) + z - SLACK).clamp(0.0, SUM_MAX);
    if *sum == 0.0 && next > 0.0 {
        *since = at;
    }
    *sum = next as f32;
}
