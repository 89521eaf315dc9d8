//! How rare is a magnitude of this size? A decayed histogram with a fitted tail beyond what was seen.
//!
//! ```text
//!   magnitude ──▶ 32 buckets, a third of an octave each, 1 … 1,600    counts fade by forward decay
//!   survival(x) = share above x, interpolated in log–log; beyond the data a power law through the top of the histogram
//! ```
//!
//! Sources: forward decay, Cormode et al. (ICDE 2009): new values weigh more instead of old ones less, so a push costs one
//! addition. The power law's exponent is Hill's estimator (1975) over the upper tail, floored so that a light tail is not
//! trusted to be light for ever. Merging adds counts at equal decay.

use crate::error::SketchError;
use crate::wire::{Reader, put_f32};

const TAG: u8 = b'T';
const VERSION: u8 = 1;
const BUCKETS: usize = 32;
const PER_OCTAVE: f64 = 3.0;
/// Rescale before single floats lose the small counts.
const WEIGHT_MAX: f32 = 1e6;

/// A decayed law of magnitudes in 136 bytes; below 1 they are not told apart.
#[derive(Debug, Clone, PartialEq)]
pub struct TailSketch {
    weight: f32,
    total: f32,
    counts: [f32; BUCKETS],
}

impl Default for TailSketch {
    fn default() -> Self {
        Self { weight: 1.0, total: 0.0, counts: [0.0; BUCKETS] }
    }
}

impl TailSketch {
    /// Adds a magnitude ≥ 0; what came before keeps the share `keep` (0.999 forgets half in 693 values). NaN is left out.
    pub fn push(&mut self, magnitude: f64, keep: f64) {
        if magnitude.is_nan() {
            return;
        }
        self.weight = (f64::from(self.weight) / keep.clamp(0.5, 1.0)) as f32;
        self.counts[bucket(magnitude)] += self.weight;
        self.total += self.weight;
        if self.weight > WEIGHT_MAX {
            let scale = 1.0 / self.weight;
            self.counts.iter_mut().for_each(|count| *count *= scale);
            self.total *= scale;
            self.weight = 1.0;
        }
    }

    /// Decayed number of values.
    pub fn effective_n(&self) -> f64 {
        f64::from(self.total / self.weight)
    }

    /// Estimated probability of a magnitude of at least `x`; 1 before anything was seen.
    pub fn survival(&self, x: f64) -> f64 {
        let n = self.effective_n();
        if x.is_nan() || n <= 0.0 {
            return 1.0;
        }
        let at = bucket(x);
        let above: f32 = self.counts[at + 1..].iter().sum();
        let inside = f64::from(self.counts[at]) * (1.0 - position(x, at));
        let seen = (f64::from(above) + inside) / f64::from(self.total);
        // Never below what the tail's law says, never above one: half a value is what an empty tail may hide.
        let (knee, share, exponent) = self.tail();
        let beyond = if x > knee { share * (x / knee).powf(-exponent) } else { 1.0 };
        seen.max(beyond.min(0.5 / n)).min(1.0)
    }

    /// Adds what `other` holds, as if its newest value were as old as this one's newest.
    pub fn merge(&mut self, other: &Self) {
        let scale = self.weight / other.weight;
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs * scale;
        }
        self.total += other.total * scale;
    }

    /// Where the upper tail begins, its share, and the exponent of its power law.
    fn tail(&self) -> (f64, f64, f64) {
        // The top two per cent, but at least a few values.
        let share = 0.02_f64.max(8.0 / self.effective_n().max(8.0));
        let (mut above, mut at) = (0.0_f32, BUCKETS);
        while at > 0 && f64::from(above) < share * f64::from(self.total) {
            at -= 1;
            above += self.counts[at];
        }
        let knee = lower(at);
        let (mut logs, mut n) = (0.0, 0.0);
        for (i, &count) in self.counts.iter().enumerate().skip(at) {
            logs += f64::from(count) * (std::f64::consts::LN_2 / PER_OCTAVE) * (i - at) as f64;
            n += f64::from(count);
        }
        // Half a bucket of mean excess is the resolution; two prior values at exponent 4 steady the estimate.
        let half = 0.5 * std::f64::consts::LN_2 / PER_OCTAVE;
        let prior = 2.0 * f64::from(self.weight);
        let exponent = (n + prior) / (logs + n * half + prior * 0.25);
        (knee, (n / f64::from(self.total)).min(1.0), exponent.clamp(1.0, 8.0))
    }

    /// Appends `T 1` and 34 single floats.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        put_f32(out, self.weight);
        put_f32(out, self.total);
        self.counts.iter().for_each(|&count| put_f32(out, count));
    }

    /// Reads what [`TailSketch::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "tail law")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "tail law" };
        let mut read = Self { weight: reader.f32()?, total: reader.f32()?, counts: [0.0; BUCKETS] };
        for count in &mut read.counts {
            *count = reader.f32()?;
        }
        let sound = read.counts.iter().all(|count| *count >= 0.0 && count.is_finite());
        if sound && read.weight >= 1.0 && read.total >= 0.0 && read.total.is_finite() && read.weight.is_finite() {
            Ok(read)
        } else {
            Err(damaged)
        }
    }
}

fn bucket(magnitude: f64) -> usize {
    if magnitude <= 1.0 {
        return 0;
    }
    (magnitude.log2() * PER_OCTAVE).min((BUCKETS - 1) as f64) as usize
}

/// How far `x` lies into its bucket, 0 to 1, by logarithm.
fn position(x: f64, at: usize) -> f64 {
    if x <= 0.0 { 0.0 } else { (x.log2() * PER_OCTAVE - at as f64).clamp(0.0, 1.0) }
}

fn lower(at: usize) -> f64 {
    (at as f64 / PER_OCTAVE).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pareto(n: u64) -> TailSketch {
        let mut tail = TailSketch::default();
        for i in 0..n {
            let u = (i as f64 + 0.5) / n as f64;
            tail.push(u.powf(-1.0 / 3.0), 1.0);
        }
        tail
    }

    #[test]
    fn a_power_law_is_recovered_inside_and_beyond_the_data() {
        let tail = pareto(20_000);
        for (x, p) in [(2.0_f64, 0.125), (5.0, 0.008), (40.0, 1.5625e-5), (200.0, 1.25e-7)] {
            let got = tail.survival(x);
            assert!(got > p / 4.0 && got < p * 4.0, "{x}: {got} for {p}");
        }
    }

    #[test]
    fn the_past_fades() {
        let mut tail = TailSketch::default();
        (0..5000).for_each(|_| tail.push(100.0, 0.99));
        (0..5000).for_each(|_| tail.push(1.0, 0.99));
        assert!(tail.survival(50.0) < 0.01);
        assert!((tail.effective_n() - 100.0).abs() < 1.0, "{}", tail.effective_n());
    }

    proptest! {
        #[test]
        fn survival_falls_with_size(values in proptest::collection::vec(0.0..500.0_f64, 1..200), a in 0.0..5000.0_f64, b in 0.0..5000.0_f64) {
            let mut tail = TailSketch::default();
            values.iter().for_each(|&v| tail.push(v, 0.995));
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(tail.survival(low) >= tail.survival(high) - 1e-6);
            let mut bytes = Vec::new();
            tail.encode(&mut bytes);
            prop_assert_eq!(TailSketch::decode(&mut Reader::new(&bytes)), Ok(tail));
        }
    }
}
