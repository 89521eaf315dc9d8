//! A small seeded generator (SplitMix64; Steele, Lea and Flood, OOPSLA 2014), so that this room needs no crate for it.

/// A stream of pseudo-random numbers, the same for the same seed.
#[derive(Debug, Clone)]
pub struct SimRandom(u64);

impl SimRandom {
    /// Starts a stream.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `[0, end)`; 0 for an empty range. The bias below 2^-32 for small ranges does not matter here.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next_u64() % end as u64) as usize }
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && ((self.next_u64() >> 11) as f64) < p * (1_u64 << 53) as f64
    }
}
