//! Choices and sample values from a seed.

use std::time::Duration;

use series::{Clock, Millis, STALE_NAN, SystemClock, Timestamp};

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Another `stream` gives other numbers for the same seed.
    pub fn new(seed: u64, stream: &str) -> Self {
        let stream = stream
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(mix(seed ^ stream))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high - low + 1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.bits().is_multiple_of(n)
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time from `low` to `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }
}

/// The value that series `series` has at `at` in the run with this seed: counters, noise, and everything odd that an f64
/// can be. NaN payloads, the stale marker, −0, infinities and subnormal numbers must survive like any other.
pub fn value_at(seed: u64, series: u64, at: i64) -> f64 {
    let bits = mix(mix(seed ^ series.rotate_left(32)) ^ at as u64);
    let payload = bits >> 13;
    match bits % 16 {
        0 => f64::from_bits(0x7ff8_0000_0000_0000 | payload),
        1 => f64::from_bits(0xfff0_0000_0000_0001 | payload),
        2 => STALE_NAN,
        3 => -0.0,
        4 => [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0][payload as usize % 4],
        5 => f64::from_bits(payload),
        6..=9 => (payload % 1_000_000) as f64 / 100.0,
        10..=12 => (payload % 1_000_000_000) as f64,
        _ => f64::from_bits(bits & 0xbfef_ffff_ffff_ffff),
    }
}

/// Twenty hours ago: inside every window, and most likely on yesterday's date, so that days have more than one file.
pub fn start_of_time() -> Timestamp {
    SystemClock.now() - Millis::from_hours(20)
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
