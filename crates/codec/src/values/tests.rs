//! Every bit of every value survives, and hostile bytes are refused in bounded memory.

use proptest::prelude::*;

use super::*;
use crate::{decode_timestamps, encode_timestamps};

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn round_trip(values: &[f64]) -> usize {
    let mut bytes = vec![7];
    encode_values(values, &mut bytes);
    let mut back = vec![-1.0];
    decode_values(&bytes[1..], &mut back).expect("own blob");
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back[1..]), bits(values));
    bytes.len() - 1
}

#[test]
fn constants_cost_a_few_bytes() {
    assert_eq!(round_trip(&[]), 1);
    for value in [0.0, -0.0, 42.5, STALE, f64::NAN, f64::INFINITY] {
        assert_eq!(round_trip(&vec![value; 1000]), 11);
    }
}

#[test]
fn gauges_with_decimals_are_short_and_stale_markers_exact() {
    let mut gauge: Vec<f64> = (0..480).map(|i| f64::from(20_000 + (i * 7919) % 64) / 100.0).collect();
    gauge.push(STALE);
    assert!(round_trip(&gauge) < 480, "below a byte a sample");
    let counter: Vec<f64> = (0..1440).map(|i| f64::from(i) * 15.0).collect();
    assert!(round_trip(&counter) < 100);
}

#[test]
fn short_runs_do_not_pay_for_tables() {
    let short: Vec<f64> = (0..22).map(|i| f64::from(100 + (i * 7) % 5)).collect();
    assert!(round_trip(&short) <= 22 + 6);
}

#[test]
fn every_encoding_is_reached() {
    let noise = |n: u64| (0..n).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect::<Vec<_>>();
    let thirds: Vec<f64> = (0..300).map(|i| f64::from(i) / 3.0).collect();
    let steps: Vec<f64> = (0..400).map(|i| f64::from(i / 100)).collect();
    let tag = |values: &[f64]| {
        let mut bytes = Vec::new();
        encode_values(values, &mut bytes);
        bytes[0]
    };
    assert_eq!(tag(&[1.0, 2.0]), DECIMAL_VARINTS);
    assert!([DECIMAL_ZSTD, DECIMAL_PCO].contains(&tag(&steps)));
    assert_eq!(tag(&(0..1000).map(|i| f64::from(i * i % 777)).collect::<Vec<_>>()), DECIMAL_PCO);
    assert_eq!(tag(&thirds), FLOAT_PCO);
    assert_eq!(tag(&noise(3)), RAW);
    for values in [thirds, steps, noise(3), noise(500)] {
        round_trip(&values);
    }
}

#[test]
fn the_bound_on_items_is_kept_on_both_sides() {
    let most: Vec<f64> = (0..MAX_SAMPLES).map(|i| (i % 10) as f64).collect();
    round_trip(&most);
    let mut bytes = vec![CONSTANT];
    varint::put_u64(MAX_SAMPLES as u64 + 1, &mut bytes);
    bytes.extend_from_slice(&[0; 8]);
    assert_eq!(decode_values(&bytes, &mut Vec::new()), Err(CodecError::TooMany(MAX_SAMPLES as u64 + 1)));
}

/// Values as they come: short decimals mostly, now and then anything.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-100_000_i64..100_000, 0_usize..6).prop_map(|(m, e)| m as f64 / 10_f64.powi(e as i32)),
        2 => (-1000_i64..1000).prop_map(|m| m as f64),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![Just(STALE), Just(f64::NAN), Just(-0.0), Just(f64::INFINITY), Just(f64::MIN_POSITIVE / 3.0)],
    ]
}

/// A blob of this crate with a few bytes changed, cut or appended.
fn hurt(mut bytes: Vec<u8>, edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for &(at, mask) in edits {
        let len = bytes.len();
        bytes[at % len] ^= mask;
    }
    bytes.truncate(bytes.len().saturating_sub(cut).max(1));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bits_round_trip(bits in proptest::collection::vec(any::<u64>(), 0..300)) {
        round_trip(&bits.iter().map(|&b| f64::from_bits(b)).collect::<Vec<_>>());
    }

    #[test]
    fn any_mix_round_trips(values in proptest::collection::vec(value(), 0..700)) {
        round_trip(&values);
    }

    #[test]
    fn decimals_with_exceptions_round_trip(
        mut values in proptest::collection::vec((0_i64..5000).prop_map(|m| m as f64 / 100.0), 64..400),
        at in proptest::collection::vec(any::<usize>(), 0..4),
    ) {
        for position in at {
            let n = values.len();
            values[position % n] = STALE;
        }
        round_trip(&values);
    }

    #[test]
    fn random_bytes_are_refused_or_decoded_in_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..400), tag in 0_u8..8) {
        let mut tagged = bytes;
        tagged.insert(0, tag);
        let (mut values, mut timestamps) = (Vec::new(), Vec::new());
        let _ = decode_values(&tagged, &mut values);
        let _ = decode_timestamps(&tagged, &mut timestamps);
        prop_assert!(values.len() <= MAX_SAMPLES && timestamps.len() <= MAX_SAMPLES);
    }

    #[test]
    fn damaged_blobs_never_panic(
        values in proptest::collection::vec(value(), 1..600),
        edits in proptest::collection::vec((any::<usize>(), 1_u8..), 0..4),
        cut in 0_usize..20,
    ) {
        let mut bytes = Vec::new();
        encode_values(&values, &mut bytes);
        let mut out = Vec::new();
        let _ = decode_values(&hurt(bytes, &edits, cut), &mut out);
        prop_assert!(out.len() <= MAX_SAMPLES);

        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        encode_timestamps(&values.iter().map(|v| v.to_bits() as i64 >> 30).collect::<Vec<_>>(), &mut bytes);
        let _ = decode_timestamps(&hurt(bytes, &edits, cut), &mut out);
        prop_assert!(out.len() <= MAX_SAMPLES);
    }
}
