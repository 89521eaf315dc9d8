//! Samples of one series as bytes that only grow, in the order of their arrival.
//!
//! ```text
//!   sample   control (u8) · time · value
//!   control  time code in the high four bits, value code in the low four
//!   time     0: the same step as before · 1–3: so many bytes of zigzag(step − step before), LE · 4: the time, i64 LE
//!   value    0: the bits before · 1–7: so many bytes of zigzag(mantissa − mantissa before), LE · 8: the bits, u64 LE
//!            9: exponent (u8), mantissa (i64 LE); later mantissas count in this exponent
//! ```
//!
//! Most metrics are short decimals on an even step, so a sample takes one to four bytes instead of sixteen. The bytes
//! live in memory only; nothing on disk looks like this.

use codec::decimal_value as decimal;
use codec::varint::{unzigzag, zigzag};
use series::Columns;

/// Room that one sample may need.
pub(super) const SAMPLE_BYTES_MAX: usize = 24;
/// Decoders load eight bytes at a time: so many bytes of any value must stand behind the last sample.
pub(super) const PADDING: usize = 16;

/// More digits behind the point make differences as long as the value itself.
const EXPONENT_MAX: u8 = 9;
/// A series whose values keep being no decimals is no longer asked.
const MISFITS_MAX: u8 = 8;

const TIME_WHOLE: u8 = 4;
const VALUE_BITS: u8 = 8;
const VALUE_RESCALED: u8 = 9;

/// What the next sample of a series is a difference to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tail {
    at: i64,
    step: i64,
    mantissa: i64,
    bits: u64,
    exponent: u8,
    misfits: u8,
}

/// Where a sample's bytes are written, and how many there are. What lies behind them may be overwritten.
struct Packer<'a> {
    bytes: &'a mut [u8; SAMPLE_BYTES_MAX],
    len: usize,
}

impl Packer<'_> {
    #[inline]
    fn put(&mut self, value: u64, n_bytes: usize) {
        self.bytes[self.len..self.len + 8].copy_from_slice(&value.to_le_bytes());
        self.len += n_bytes;
    }
}

impl Tail {
    /// Time of the sample packed last.
    pub(super) fn at(&self) -> i64 {
        self.at
    }

    /// Packs the next sample into the front of `bytes`; answers how many of them it takes.
    #[inline]
    pub(super) fn pack(&mut self, at: i64, value: f64, bytes: &mut [u8; SAMPLE_BYTES_MAX]) -> usize {
        let mut packed = Packer { bytes, len: 1 };
        let time = self.pack_time(at, &mut packed);
        let value = self.pack_value(value, &mut packed);
        packed.bytes[0] = time << 4 | value;
        packed.len
    }

    #[inline]
    fn pack_time(&mut self, at: i64, packed: &mut Packer<'_>) -> u8 {
        let step = at.wrapping_sub(self.at);
        let change = zigzag(step.wrapping_sub(self.step));
        (self.at, self.step) = (at, step);
        match bytes_of(change) {
            n @ 0..=3 => {
                packed.put(change, n);
                n as u8
            }
            _ => {
                packed.put(at as u64, 8);
                TIME_WHOLE
            }
        }
    }

    #[inline]
    fn pack_value(&mut self, value: f64, packed: &mut Packer<'_>) -> u8 {
        let bits = value.to_bits();
        if bits == self.bits {
            return 0;
        }
        self.bits = bits;
        if let Some(mantissa) = decimal::mantissa(value, self.exponent) {
            let change = zigzag(mantissa.wrapping_sub(self.mantissa));
            let n = bytes_of(change).max(1);
            if n < 8 {
                self.mantissa = mantissa;
                packed.put(change, n);
                return n as u8;
            }
        } else if let Some((exponent, mantissa)) = self.rescaled(value) {
            (self.exponent, self.mantissa) = (exponent, mantissa);
            packed.put(u64::from(exponent), 1);
            packed.put(mantissa as u64, 8);
            return VALUE_RESCALED;
        }
        packed.put(bits, 8);
        VALUE_BITS
    }

    /// A larger exponent that fits `value`. Stale markers and infinities say nothing about a series' digits.
    fn rescaled(&mut self, value: f64) -> Option<(u8, i64)> {
        if !value.is_finite() || self.misfits >= MISFITS_MAX {
            return None;
        }
        let found = (self.exponent + 1..=EXPONENT_MAX).find_map(|e| decimal::mantissa(value, e).map(|m| (e, m)));
        if found.is_none() {
            self.misfits += 1;
        }
        found
    }
}

/// Bytes that hold `value`: 0 for 0.
#[inline]
fn bytes_of(value: u64) -> usize {
    (71 - value.leading_zeros() as usize) / 8
}

/// Appends the samples in `bytes[..len]`, behind which [`PADDING`] more bytes must stand.
pub(super) fn unpack(bytes: &[u8], len: usize, out: &mut Columns) {
    let (mut i, mut tail) = (0, Tail::default());
    while i < len {
        let control = bytes[i];
        i += 1;
        match control >> 4 {
            TIME_WHOLE => {
                let at = load(bytes, i, 8) as i64;
                (tail.step, tail.at) = (at.wrapping_sub(tail.at), at);
                i += 8;
            }
            n => {
                let n = usize::from(n);
                tail.step = tail.step.wrapping_add(unzigzag(load(bytes, i, n)));
                tail.at = tail.at.wrapping_add(tail.step);
                i += n;
            }
        }
        match control & 15 {
            0 => {}
            VALUE_BITS => {
                tail.bits = load(bytes, i, 8);
                i += 8;
            }
            VALUE_RESCALED => {
                tail.exponent = bytes[i];
                tail.mantissa = load(bytes, i + 1, 8) as i64;
                tail.bits = decimal::value(tail.mantissa, tail.exponent).to_bits();
                i += 9;
            }
            n => {
                let n = usize::from(n);
                tail.mantissa = tail.mantissa.wrapping_add(unzigzag(load(bytes, i, n)));
                tail.bits = decimal::value(tail.mantissa, tail.exponent).to_bits();
                i += n;
            }
        }
        out.timestamps.push(tail.at);
        out.values.push(f64::from_bits(tail.bits));
    }
}

/// The `n` bytes at `i` as a number; `n` is at most 8.
#[inline]
fn load(bytes: &[u8], i: usize, n: usize) -> u64 {
    const MASKS: [u64; 9] =
        [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xff_ffff_ffff, 0xffff_ffff_ffff, 0xff_ffff_ffff_ffff, u64::MAX];
    let eight = bytes.get(i..i + 8).and_then(|eight| eight.try_into().ok());
    eight.map_or(0, u64::from_le_bytes) & MASKS[n.min(8)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(samples: &[(i64, f64)]) -> Vec<u8> {
        let (mut tail, mut bytes) = (Tail::default(), Vec::new());
        for &(at, value) in samples {
            let mut packed = [0; SAMPLE_BYTES_MAX];
            let len = tail.pack(at, value, &mut packed);
            bytes.extend_from_slice(&packed[..len]);
        }
        bytes
    }

    fn unpacked(mut bytes: Vec<u8>) -> Vec<(i64, u64)> {
        let len = bytes.len();
        bytes.resize(len + PADDING, 0xff);
        let mut out = Columns::default();
        unpack(&bytes, len, &mut out);
        out.iter().map(|(at, value)| (at.0, value.to_bits())).collect()
    }

    #[test]
    fn usual_metrics_take_a_few_bytes() {
        let counter: Vec<_> =
            (0..1000).map(|i| (1_795_000_000_000 + i * 15_000, 5000.0 + (i * 37) as f64 / 100.0)).collect();
        assert!(pack(&counter).len() < 2100, "{}", pack(&counter).len());
        let constant: Vec<_> = (0..1000).map(|i| (1_795_000_000_000 + i * 15_000, 17.0)).collect();
        assert!(pack(&constant).len() < 1030);
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-1_000_000_i64..1_000_000, 0_u8..12).prop_map(|(m, e)| m as f64 / 10_f64.powi(i32::from(e))),
            Just(series::STALE_NAN),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(9_007_199_254_740_992.0),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_survives(samples in proptest::collection::vec((prop_oneof![any::<i64>(), 0_i64..100_000], value()), 0..80)) {
            let expected: Vec<_> = samples.iter().map(|&(at, value)| (at, value.to_bits())).collect();
            prop_assert_eq!(unpacked(pack(&samples)), expected);
        }
    }
}
