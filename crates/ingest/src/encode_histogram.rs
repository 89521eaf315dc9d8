//! A native histogram as a message of remote write, 1.0 and 2.0 alike: what the tests and our own senders send.

use series::{Buckets, Histogram, HistogramSample};

use crate::encode::put_double;
use crate::wire::{put_bytes, put_varint};

/// Largest count that is exact as a float and so can be sent as an integer.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends the message of `sample`: with integer counts where they are whole and add up, with float counts otherwise.
pub(crate) fn put_histogram(out: &mut Vec<u8>, sample: &HistogramSample) {
    let histogram = &sample.histogram;
    let is_integer = is_integer(histogram);
    put_count(out, 1, histogram.count, is_integer);
    put_double(out, 3, histogram.sum);
    put_varint(out, 4 << 3);
    put_varint(out, zigzag(i64::from(histogram.schema)));
    put_double(out, 5, histogram.zero_threshold);
    put_count(out, 6, histogram.zero_count, is_integer);
    put_side(out, 8, &histogram.negative, is_integer);
    put_side(out, 11, &histogram.positive, is_integer);
    put_varint(out, 14 << 3);
    put_varint(out, histogram.reset as u64);
    put_varint(out, 15 << 3);
    put_varint(out, sample.at.0 as u64);
    put_doubles(out, 16, &histogram.custom_bounds);
}

fn is_integer(histogram: &Histogram) -> bool {
    let counts = histogram.positive.counts.iter().chain(&histogram.negative.counts).chain([&histogram.zero_count]);
    let whole = |count: &f64| (0.0..=WHOLE_MAX).contains(count) && count.fract() == 0.0 && count.is_sign_positive();
    let sum: f64 = counts.clone().sum();
    let fits = if histogram.sum.is_nan() { sum <= histogram.count } else { sum == histogram.count };
    counts.chain([&histogram.count]).all(whole) && fits
}

/// Field `number` with an integer, or the one after it with a float.
fn put_count(out: &mut Vec<u8>, number: u32, count: f64, is_integer: bool) {
    if is_integer {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, count as u64);
    } else {
        put_double(out, number + 1, count);
    }
}

/// Spans, deltas and counts as fields `number` and the two after it.
fn put_side(out: &mut Vec<u8>, number: u32, side: &Buckets, is_integer: bool) {
    let mut span_message = Vec::new();
    for span in &side.spans {
        span_message.clear();
        put_varint(&mut span_message, 1 << 3);
        put_varint(&mut span_message, zigzag(i64::from(span.offset)));
        put_varint(&mut span_message, 2 << 3);
        put_varint(&mut span_message, u64::from(span.length));
        put_bytes(out, number, &span_message);
    }
    if !is_integer {
        put_doubles(out, number + 2, &side.counts);
    } else if !side.counts.is_empty() {
        let (mut packed, mut before) = (Vec::new(), 0);
        for &count in &side.counts {
            put_varint(&mut packed, zigzag(count as i64 - before));
            before = count as i64;
        }
        put_bytes(out, number + 1, &packed);
    }
}

fn put_doubles(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    if !values.is_empty() {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
        put_bytes(out, number, &packed);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
