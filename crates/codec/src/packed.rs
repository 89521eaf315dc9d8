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
//! Most metrics are short decimals on an even step, so a sample takes one to four bytes instead of sixteen. Memory holds
//! samples so, and fresh files take them as they are: packing anew is left to the merge that rewrites them anyway.

use crate::decimal::single as decimal;
use crate::error::CodecError;
use crate::timestamps::{self, get_count};
use crate::varint::{self, unzigzag, zigzag};

/// Room that one sample may need.
pub const SAMPLE_BYTES_MAX: usize = 24;
/// Decoders load eight bytes at a time: so many bytes of any value must stand behind the last sample.
pub const PADDING: usize = 16;

/// Tag of a blob of values that holds the times as well.
pub(crate) const PACKED: u8 = 9;
/// The blob of timestamps beside it.
const TIMES_ARE_PACKED: [u8; 1] = [timestamps::IN_VALUES];

/// More digits behind the point make differences as long as the value itself.
const EXPONENT_MAX: u8 = 9;
/// A series whose values keep being no decimals is no longer asked.
const MISFITS_MAX: u8 = 8;

const TIME_WHOLE: u8 = 4;
const VALUE_BITS: u8 = 8;
const VALUE_RESCALED: u8 = 9;

/// What the next sample of a series is a difference to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tail {
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
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Packs the next sample into the front of `bytes`; answers how many of them it takes.
    #[inline(always)]
    pub fn pack(&mut self, at: i64, value: f64, bytes: &mut [u8; SAMPLE_BYTES_MAX]) -> usize {
        let mut packed = Packer { bytes, len: 1 };
        let time = self.pack_time(at, &mut packed);
        let value = self.pack_value(value, &mut packed);
        packed.bytes[0] = time << 4 | value;
        packed.len
    }

    #[inline(always)]
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

    #[inline(always)]
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
    #[cold]
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

/// Time of the first sample in `bytes[..len]`, behind which [`PADDING`] more bytes must stand.
pub fn first_time(bytes: &[u8], len: usize) -> Option<i64> {
    let control = *bytes.get(..len)?.first()?;
    Some(match control >> 4 {
        TIME_WHOLE => load(bytes, 1, 8) as i64,
        n => unzigzag(load(bytes, 1, usize::from(n))),
    })
}

/// Appends the samples in `bytes[..len]`, behind which [`PADDING`] more bytes must stand; answers where the last one ends,
/// which is `len` unless the bytes are damaged.
pub fn unpack(bytes: &[u8], len: usize, timestamps: &mut Vec<i64>, values: &mut Vec<f64>) -> usize {
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
        timestamps.push(tail.at);
        values.push(f64::from_bits(tail.bits));
    }
    i
}

/// Makes the blobs of a run that is packed already: those of its timestamps and of its values. `packed` holds `count`
/// samples, 1 to [`crate::MAX_SAMPLES`].
pub fn wrap(count: usize, packed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut values = Vec::with_capacity(packed.len() + 4);
    values.push(PACKED);
    varint::put_u64(count as u64, &mut values);
    values.extend_from_slice(packed);
    (TIMES_ARE_PACKED.to_vec(), values)
}

/// Whether a blob of values holds the times as well.
pub fn is_packed(values: &[u8]) -> bool {
    values.first() == Some(&PACKED)
}

/// Appends the samples of two blobs, whichever way they were made.
///
/// # Errors
/// [`CodecError`]; nothing is appended then.
pub fn decode_samples(
    time_blob: &[u8],
    value_blob: &[u8],
    timestamps: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), CodecError> {
    let (n_timestamps, n_values) = (timestamps.len(), values.len());
    let decoded = match (is_packed(value_blob), time_blob == TIMES_ARE_PACKED) {
        (true, true) => decode_packed(value_blob, timestamps, values),
        (true, false) => Err(CodecError::malformed("timestamps", "the values hold others")),
        (false, _) => crate::decode_timestamps(time_blob, timestamps)
            .and_then(|()| crate::decode_values(value_blob, values))
            .and_then(|()| match (timestamps.len() - n_timestamps, values.len() - n_values) {
                (times, values) if times != values => {
                    Err(CodecError::malformed("run", format!("{times} timestamps but {values} values")))
                }
                _ => Ok(()),
            }),
    };
    if decoded.is_err() {
        timestamps.truncate(n_timestamps);
        values.truncate(n_values);
    }
    decoded
}

/// Appends both columns of a packed blob; on an error there may be too many.
pub(crate) fn decode_packed(blob: &[u8], timestamps: &mut Vec<i64>, values: &mut Vec<f64>) -> Result<(), CodecError> {
    let mut at = 1;
    let n = get_count(blob, &mut at)?;
    let packed = blob.get(at..).unwrap_or_default();
    // Every sample has a control byte, so no more than a valid blob needs is read.
    if packed.len() < n || packed.len() > n * SAMPLE_BYTES_MAX {
        return Err(CodecError::malformed("packed run", format!("{} bytes for {n} samples", packed.len())));
    }
    let (mut padded, before) = (Vec::with_capacity(packed.len() + PADDING), timestamps.len());
    padded.extend_from_slice(packed);
    padded.resize(packed.len() + PADDING, 0);
    timestamps.reserve(n);
    values.reserve(n);
    let end = unpack(&padded, packed.len(), timestamps, values);
    let found = timestamps.len() - before;
    if end != packed.len() || found != n {
        return Err(CodecError::malformed("packed run", format!("{found} samples instead of {n}")));
    }
    Ok(())
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
        let (mut timestamps, mut values) = (Vec::new(), Vec::new());
        assert_eq!(unpack(&bytes, len, &mut timestamps, &mut values), len);
        timestamps.into_iter().zip(values.iter().map(|value| value.to_bits())).collect()
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
            Just(f64::from_bits(0x7ff0_0000_0000_0002)),
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

        #[test]
        fn blobs_come_back_and_damage_is_no_panic(
            samples in proptest::collection::vec((prop_oneof![any::<i64>(), 0_i64..100_000], value()), 1..80),
            flip in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let (times, mut blob) = wrap(samples.len(), &pack(&samples));
            if let Some((at, byte)) = flip {
                let at = at.index(blob.len());
                blob[at] = byte;
            }
            let (mut timestamps, mut values) = (vec![7], vec![7.0]);
            match decode_samples(&times, &blob, &mut timestamps, &mut values) {
                Ok(()) => prop_assert_eq!(timestamps.len(), values.len()),
                Err(_) => prop_assert_eq!((timestamps.len(), values.len()), (1, 1)),
            }
            if flip.is_none() {
                let found: Vec<_> =
                    timestamps[1..].iter().zip(&values[1..]).map(|(at, value)| (*at, value.to_bits())).collect();
                prop_assert_eq!(found, samples.iter().map(|&(at, value)| (at, value.to_bits())).collect::<Vec<_>>());
                let mut alone = Vec::new();
                crate::decode_values(&blob, &mut alone).expect("own blob");
                prop_assert_eq!(alone.len(), samples.len());
            }
        }
    }
}
