//! How rare is what was just seen? Tail probabilities of three signals, each against its own decayed law.
//!
//! ```text
//!   z  = residual / robust deviation          a single point far off
//!   z̄₁ = fast mean of z / its deviation       some points off to one side
//!   z̄₂ = slow mean of z / its deviation       many points a little off
//!   surprise = root of the sum of squares of −log10 P(|signal| ≥ seen), the means counting 0.7 and 0.8
//! ```
//!
//! Each probability comes from what this series did before, so a series that spikes every hour is not surprised by a spike,
//! whatever the shape of its noise: calibration without a distribution. Compare Ahmad et al., "Unsupervised real-time anomaly
//! detection for streaming data" (Neurocomputing 2017), whose anomaly likelihood assumes a normal law, and Siffer et al.,
//! "Anomaly detection in streams with extreme value theory" (KDD 2017).

use sketch::wire::{Reader, put_f32};
use sketch::{RobustLevel, SketchError, TailSketch};

/// Time constants of the means, in values.
const MEAN_VALUES: [f64; 2] = [6.0, 40.0];
/// How much the means' surprise counts.
const MEAN_WEIGHTS: [f64; 2] = [0.7, 0.8];
/// z beyond this counts as this in the means.
const Z_CAP: f64 = 20.0;
/// A mean's deviation is never taken smaller.
const MEAN_DEVIATION_MIN: f64 = 0.05;

/// The laws of the three signals.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Surprise {
    point: TailSketch,
    means: [Mean; 2],
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Mean {
    mean: f32,
    spread: RobustLevel,
    tail: TailSketch,
}

/// What a value was worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rarity {
    /// The joined −log10 of the tail probabilities.
    pub(crate) surprise: f64,
    /// The largest of the signals in deviations: rare is not yet large.
    pub(crate) size: f64,
}

impl Surprise {
    pub(crate) fn new() -> Self {
        Self { point: TailSketch::default(), means: [Mean::default(), Mean::default()] }
    }

    /// Judges `z` against the past and then adds it; `rate` is one over the memory of deviations in values, `keep` what the
    /// laws keep at each value. Before `lawful` only the means learn: the first deviations are too rough to be remembered.
    pub(crate) fn push(&mut self, z: f64, rate: f64, keep: f64, lawful: bool) -> Rarity {
        let mut squares = self.point.survival(z.abs()).log10().powi(2);
        let mut size = z.abs();
        if lawful {
            self.point.push(z.abs(), keep);
        }
        let capped = z.clamp(-Z_CAP, Z_CAP);
        for ((mean, values), weight) in self.means.iter_mut().zip(MEAN_VALUES).zip(MEAN_WEIGHTS) {
            mean.mean += ((capped - f64::from(mean.mean)) / values) as f32;
            let signal = (f64::from(mean.mean) / mean.spread.deviation().max(MEAN_DEVIATION_MIN)).abs();
            squares += (weight * mean.tail.survival(signal).log10()).powi(2);
            size = size.max(signal);
            if lawful {
                mean.tail.push(signal, keep);
            }
            mean.spread.push(f64::from(mean.mean), rate);
        }
        Rarity { surprise: squares.sqrt(), size }
    }

    /// Forgets the running means: after a gap they speak of another time.
    pub(crate) fn restart_means(&mut self) {
        self.means.iter_mut().for_each(|mean| mean.mean = 0.0);
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.point.encode(out);
        for mean in &self.means {
            put_f32(out, mean.mean);
            mean.spread.encode(out);
            mean.tail.encode(out);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let mut surprise = Self { point: TailSketch::decode(reader)?, ..Self::new() };
        for mean in &mut surprise.means {
            mean.mean = reader.f32()?;
            mean.spread = RobustLevel::decode(reader)?;
            mean.tail = TailSketch::decode(reader)?;
        }
        Ok(surprise)
    }
}
