//! Timestamps: regular ones as three numbers, others by second differences or pco.

use crate::block::{self, Order, Packing};
use crate::error::CodecError;
use crate::{MAX_SAMPLES, varint};

const EMPTY: u8 = 0;
const REGULAR: u8 = 1;
const VARINTS: u8 = 2;
const ZSTD: u8 = 3;
const PCO: u8 = 4;
/// The blob of values holds the times.
pub(crate) const IN_VALUES: u8 = 5;

/// Appends a blob of `timestamps` (any integers in any order; rising ones with an even step are shortest) to `out`.
///
/// # Panics
/// With more than [`MAX_SAMPLES`] items: callers cut chunks far below, and a longer blob could not be decoded again.
pub fn encode_timestamps(timestamps: &[i64], out: &mut Vec<u8>) {
    assert!(timestamps.len() <= MAX_SAMPLES, "a chunk has at most {MAX_SAMPLES} timestamps, not {}", timestamps.len());
    let Some(&first) = timestamps.first() else {
        out.push(EMPTY);
        return;
    };
    if let Some(step) = even_step(timestamps) {
        out.push(REGULAR);
        varint::put_u64(timestamps.len() as u64, out);
        varint::put_i64(first, out);
        varint::put_i64(step, out);
        return;
    }
    let (packing, bytes) = block::pack(timestamps, Order::Second);
    out.push(match packing {
        Packing::Varints => VARINTS,
        Packing::Zstd => ZSTD,
        Packing::Pco => PCO,
    });
    varint::put_u64(timestamps.len() as u64, out);
    out.extend_from_slice(&bytes);
}

/// Appends the timestamps of a blob to `out`; on an error `out` is unchanged.
///
/// # Errors
/// [`CodecError`] when `bytes` are not a blob of [`encode_timestamps`].
pub fn decode_timestamps(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), CodecError> {
    let start = out.len();
    let result = decode(bytes, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn decode(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), CodecError> {
    let packing = match *bytes.first().ok_or(CodecError::Empty)? {
        EMPTY if bytes.len() == 1 => return Ok(()),
        EMPTY => return Err(CodecError::Trailing(bytes.len() - 1)),
        REGULAR => return decode_regular(bytes, out),
        VARINTS => Packing::Varints,
        ZSTD => Packing::Zstd,
        PCO => Packing::Pco,
        IN_VALUES => return Err(CodecError::malformed("timestamps", "they are in the blob of values")),
        tag => return Err(CodecError::UnknownTag(tag)),
    };
    let mut at = 1;
    let n = get_count(bytes, &mut at)?;
    block::unpack(packing, &bytes[at..], n, Order::Second, out)
}

fn decode_regular(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), CodecError> {
    let mut at = 1;
    let n = get_count(bytes, &mut at)?;
    let mut next = varint::get_i64(bytes, &mut at)?;
    let step = varint::get_i64(bytes, &mut at)?;
    if at != bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - at));
    }
    out.extend((0..n).map(|_| {
        let item = next;
        next = next.wrapping_add(step);
        item
    }));
    Ok(())
}

/// The count of items behind the tag, between 1 and [`MAX_SAMPLES`].
pub(crate) fn get_count(bytes: &[u8], at: &mut usize) -> Result<usize, CodecError> {
    match varint::get_u64(bytes, at)? {
        0 => Err(CodecError::malformed("count", "zero items need no block")),
        n if n > MAX_SAMPLES as u64 => Err(CodecError::TooMany(n)),
        n => Ok(n as usize),
    }
}

/// The common distance of neighbours; 0 for a single item.
fn even_step(timestamps: &[i64]) -> Option<i64> {
    let [first, second, ..] = timestamps else { return Some(0) };
    let step = second.wrapping_sub(*first);
    timestamps.windows(2).all(|two| two[1].wrapping_sub(two[0]) == step).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(timestamps: &[i64]) -> usize {
        let mut bytes = vec![7];
        encode_timestamps(timestamps, &mut bytes);
        let mut back = vec![-1];
        decode_timestamps(&bytes[1..], &mut back).expect("own blob");
        assert_eq!(&back[1..], timestamps);
        bytes.len() - 1
    }

    #[test]
    fn regular_runs_cost_a_few_bytes() {
        let day: Vec<i64> = (0..5760).map(|i| 1_795_244_846_123 + i * 15_000).collect();
        assert_eq!(round_trip(&day), 12);
        assert_eq!(round_trip(&[]), 1);
        assert!(round_trip(&[i64::MIN]) <= 13);
        round_trip(&[i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN]);
    }

    #[test]
    fn jittered_scrapes_cost_less_than_a_byte_a_sample() {
        let day: Vec<i64> = (0..1440_i64).map(|i| 1_795_244_846_123 + i * 15_000 + (i * 7919 % 5)).collect();
        assert!(round_trip(&day) < 1440);
    }

    #[test]
    fn faults_are_named_and_leave_the_output_alone() {
        let mut out = vec![5];
        for (bytes, fault) in [
            (&[][..], CodecError::Empty),
            (&[99], CodecError::UnknownTag(99)),
            (&[EMPTY, 0], CodecError::Trailing(1)),
            (&[REGULAR, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], CodecError::TooMany(u64::from(u32::MAX))),
            (&[VARINTS, 3, 2, 2], CodecError::Truncated { len: 2, what: "differences" }),
            (&[VARINTS, 1, 2, 2], CodecError::Trailing(1)),
        ] {
            assert_eq!(decode_timestamps(bytes, &mut out), Err(fault));
            assert_eq!(out, [5]);
        }
    }

    proptest! {
        #[test]
        fn any_integers_round_trip(timestamps in proptest::collection::vec(any::<i64>(), 0..200)) {
            round_trip(&timestamps);
        }

        #[test]
        fn any_run_of_scrapes_round_trips(first: i64, steps in proptest::collection::vec(-3_i64..60_000, 0..600)) {
            let mut at = first;
            let run: Vec<i64> = steps.iter().map(|step| { at = at.wrapping_add(*step); at }).collect();
            round_trip(&run);
        }
    }
}
