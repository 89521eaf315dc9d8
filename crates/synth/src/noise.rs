//! Random numbers that are the same on every machine and in every release.
//!
//! SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter through a
//! mixing function, so a stream is 8 bytes and its output can never change with a dependency.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    /// The stream called `name` of a seed: streams do not disturb each other when one draws more.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut state = mix(seed ^ GOLDEN);
        for byte in name.bytes() {
            state = mix(state ^ u64::from(byte)).wrapping_add(GOLDEN);
        }
        Self(state)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `[0, 1)` with 53 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Nearly normal, mean 0 and deviation 1: the sum of four 16-bit uniforms (Irwin–Hall), within ±3.5. One draw.
    pub(crate) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum = (0..4).map(|i| (bits >> (16 * i) & 0xffff) as f64 / 65_536.0).sum::<f64>();
        // The variance of a uniform is 1/12, so that of four is 1/3.
        (sum + 2.0 / 65_536.0 - 2.0) * 1.732_050_807_568_877_2
    }

    /// A count of events with mean `mean`: Poisson's variance, rounded, never negative.
    pub(crate) fn count(&mut self, mean: f64) -> f64 {
        let (normal, dither) = (self.normal(), self.uniform());
        (mean + mean.sqrt() * normal + dither - 0.5).round().max(0.0)
    }

    /// `len` characters as Kubernetes puts behind the names of pods.
    pub(crate) fn suffix(&mut self, len: usize) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..len).map(|_| char::from(ALPHABET[(self.bits() % 27) as usize])).collect()
    }
}

/// A first-order autoregressive wobble around 0 with deviation `sigma`, which forgets within `memory_s` seconds.
#[derive(Debug, Clone)]
pub(crate) struct Wobble {
    noise: Noise,
    keep: f64,
    fresh: f64,
    now: f64,
}

impl Wobble {
    pub(crate) fn new(mut noise: Noise, sigma: f64, memory_s: f64, step_s: f64) -> Self {
        let keep = (1.0 - step_s / memory_s).max(0.0);
        let now = noise.normal() * sigma;
        Self { noise, keep, fresh: sigma * (1.0 - keep * keep).sqrt(), now }
    }

    pub(crate) fn step(&mut self) -> f64 {
        self.now = self.now * self.keep + self.noise.normal() * self.fresh;
        self.now
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_apart() {
        let draw = |seed, name: &str| {
            let mut noise = Noise::new(seed, name);
            [noise.bits(), noise.bits()]
        };
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // First outputs of SplitMix64 for the state 1234567.
        let mut noise = Noise(1_234_567);
        assert_eq!(noise.bits(), 6_457_827_717_110_365_317);
        assert_eq!(noise.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn moments_are_right() {
        let mut noise = Noise::new(7, "moments");
        let (n, mut sum, mut squares, mut counted) = (100_000, 0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = noise.normal();
            sum += x;
            squares += x * x;
            counted += noise.count(3.0);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02 && (squares / n - 1.0).abs() < 0.02 && (counted / n - 3.0).abs() < 0.05);
    }

    #[test]
    fn a_wobble_keeps_its_deviation_whatever_the_step() {
        for step_s in [10.0, 120.0] {
            let mut wobble = Wobble::new(Noise::new(3, "wobble"), 0.1, 1800.0, step_s);
            let squares: f64 = (0..200_000).map(|_| wobble.step()).map(|x| x * x).sum();
            let sigma = (squares / 200_000.0).sqrt();
            assert!((sigma - 0.1).abs() < 0.015, "{sigma}");
        }
    }
}
