//! What is sent is what is read; what contradicts itself is refused, and promises take no memory.

use super::*;
use crate::encode_histogram::put_histogram;
use crate::wire::{put_bytes, put_varint};
use proptest::prelude::*;
use series::{CUSTOM_BUCKETS, HistogramSample, STALE_NAN};

fn read_with(numbers: u64, message: &[u8]) -> Result<(ReadHistogram, u64), IngestError> {
    let mut left = numbers;
    decode_histogram(Reader::new(message), &mut left).map(|read| (read, left))
}

fn read(message: &[u8]) -> Result<Histogram, HistogramFault> {
    read_with(1 << 20, message).expect("well-formed").0.histogram
}

fn message(at: i64, histogram: Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    put_histogram(&mut out, &HistogramSample { at: Timestamp(at), histogram });
    out
}

fn varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

fn sides() -> (Buckets, Buckets) {
    let span = |offset, length| Span { offset, length };
    let positive = Buckets { spans: vec![span(0, 2), span(1, 1)], counts: vec![2.0, 3.0, 1.0] };
    (positive, Buckets { spans: vec![span(-3, 1)], counts: vec![2.0] })
}

fn a_histogram() -> Histogram {
    let (positive, negative) = sides();
    Histogram {
        reset: ResetHint::NotReset,
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 9.0,
        sum: 12.5,
        positive,
        negative,
        custom_bounds: vec![],
    }
}

#[test]
fn integers_floats_custom_bounds_and_markers_are_read() {
    let whole = a_histogram();
    let float = Histogram { count: 9.5, sum: -0.0, reset: ResetHint::Gauge, ..a_histogram() };
    let custom = Histogram {
        schema: CUSTOM_BUCKETS,
        custom_bounds: vec![0.1, 0.5, 1.0],
        positive: Buckets { spans: vec![Span { offset: 0, length: 4 }], counts: vec![2.0, 3.0, 5.0, 8.0] },
        count: 18.0,
        sum: 9.0,
        ..Histogram::default()
    };
    for histogram in [whole, float, custom, Histogram::default()] {
        let (read, left) = read_with(100, &message(-7, histogram.clone())).expect("well-formed");
        assert_eq!((read.at, read.histogram), (Timestamp(-7), Ok(histogram)));
        assert!(left >= 88);
    }
    let marker = read(&message(1, Histogram::stale())).expect("a marker");
    assert_eq!(marker.sum.to_bits(), STALE_NAN.to_bits());
}

#[test]
fn the_integer_form_is_the_shorter_one_and_single_numbers_are_read_like_packed_ones() {
    let float = Histogram { count: 9.5, ..a_histogram() };
    assert!(message(0, a_histogram()).len() < message(0, float).len());
    let mut single = Vec::new();
    varint(&mut single, 1, 3);
    put_bytes(&mut single, 11, &[0x10, 2]);
    varint(&mut single, 12, 2);
    varint(&mut single, 12, 2);
    assert_eq!(read(&single).expect("valid").positive.counts, [1.0, 2.0]);
}

#[test]
fn an_integer_count_is_the_sum_of_its_buckets_unless_the_sum_is_nan() {
    let with = |count: u64, sum: f64| {
        let mut out = Vec::new();
        varint(&mut out, 1, count);
        put_varint(&mut out, 3 << 3 | 1);
        out.extend_from_slice(&sum.to_bits().to_le_bytes());
        varint(&mut out, 6, 1);
        put_bytes(&mut out, 11, &[0x10, 2]);
        put_bytes(&mut out, 12, &[2, 2]);
        read(&out).map(|histogram| histogram.count)
    };
    assert_eq!(with(4, 1.0), Ok(4.0));
    assert_eq!(with(5, f64::NAN), Ok(5.0));
    assert_eq!(with(5, 1.0), Err(HistogramFault::Count { count: 5, buckets: 4 }));
    assert_eq!(with(3, f64::NAN), Err(HistogramFault::Count { count: 3, buckets: 4 }));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let mut below_zero = Vec::new();
    put_bytes(&mut below_zero, 11, &[0x10, 2]);
    put_bytes(&mut below_zero, 12, &[2, 3]);
    assert_eq!(read(&below_zero), Err(HistogramFault::Delta { side: "positive", bucket: 1 }));

    let mut mixed = Vec::new();
    varint(&mut mixed, 1, 0);
    put_bytes(&mut mixed, 10, &[0; 8]);
    assert_eq!(read(&mixed), Err(HistogramFault::Mixed));

    let unknown = Histogram { schema: 9, ..Histogram::default() };
    assert_eq!(read(&message(0, unknown)), Err(HistogramFault::Impossible(HistogramError::Schema(9))));

    let mut huge = Vec::new();
    put_bytes(&mut huge, 11, &[0x10, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    put_bytes(&mut huge, 12, &[0]);
    let fault = HistogramError::TooManyBuckets(u64::from(u32::MAX));
    assert_eq!(read(&huge), Err(HistogramFault::Impossible(fault)));
}

#[test]
fn long_lists_are_cut_at_the_bound_and_at_the_share_of_the_request() {
    let mut deltas = Vec::new();
    put_bytes(&mut deltas, 12, &[0; BUCKETS_MAX + 1]);
    assert_eq!(read(&deltas), Err(HistogramFault::TooMany("buckets")));
    let spans = [0x5a, 0].repeat(BUCKETS_MAX + 1);
    assert_eq!(read(&spans), Err(HistogramFault::TooMany("spans")));
    let mut bounds = Vec::new();
    put_bytes(&mut bounds, 16, &[0; 8 * (BUCKETS_MAX + 1)]);
    assert_eq!(read(&bounds), Err(HistogramFault::TooMany("bounds")));
    assert_eq!(read_with(6, &message(0, a_histogram())).expect_err("seven numbers"), IngestError::TooManyBuckets);
}

#[test]
fn wrong_types_name_the_byte() {
    for bytes in [&[0x0a, 0][..], &[0x48, 1, 0x08], &[0x52, 1, 0], &[0x40, 1], &[0x5a, 2, 0x0a, 0]] {
        assert!(matches!(read_with(9, bytes), Err(IngestError::Malformed { .. })), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn random_bytes_are_refused_or_read_in_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((read, _)) = read_with(100, &bytes)
            && let Ok(histogram) = read.histogram
        {
            prop_assert_eq!(histogram.check(), Ok(()));
        }
    }

    #[test]
    fn any_possible_histogram_is_read_as_sent(
        spans in proptest::collection::vec((0_i32..50, 0_u32..5), 0..4),
        counts in proptest::collection::vec(prop_oneof![(0_u32..1000).prop_map(f64::from), 0.0..9.0], 20),
        zero_count in 0_u32..9,
        is_integer: bool,
        sum: u64,
    ) {
        let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let n_buckets = spans.iter().map(|span| span.length as usize).sum();
        let counts: Vec<f64> =
            counts[..n_buckets].iter().map(|count| if is_integer { count.floor() } else { *count }).collect();
        let count = counts.iter().sum::<f64>() + f64::from(zero_count);
        let histogram = Histogram {
            count: if is_integer { count } else { count + 0.5 },
            sum: f64::from_bits(sum),
            zero_count: f64::from(zero_count),
            positive: Buckets { spans, counts },
            ..Histogram::default()
        };
        let got = read(&message(3, histogram.clone())).expect("possible");
        prop_assert_eq!(got.sum.to_bits(), sum);
        prop_assert_eq!(Histogram { sum: 0.0, ..got }, Histogram { sum: 0.0, ..histogram });
    }
}
