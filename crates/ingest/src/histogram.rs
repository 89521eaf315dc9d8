//! One native histogram of remote write, 1.0 and 2.0 alike.
//!
//! ```text
//!   Histogram{count_int = 1 | count_float = 2, sum = 3, schema = 4, zero_threshold = 5, zero_count_int = 6 |
//!             zero_count_float = 7, negative_spans = 8, negative_deltas = 9, negative_counts = 10, positive_spans = 11,
//!             positive_deltas = 12, positive_counts = 13, reset_hint = 14, timestamp = 15, custom_values = 16,
//!             start_timestamp = 17 (2.0)}
//!   BucketSpan{offset = 1 sint32, length = 2 uint32}
//! ```
//!
//! Integer counts come as differences between neighbouring buckets and are summed up here. Memory is taken for what the
//! message holds, never for what a span promises. Source: prometheus.io, "Remote write 2.0", and "Native histograms".

use series::{BUCKETS_MAX, Buckets, Histogram, HistogramError, ResetHint, Span, Timestamp};

use crate::error::IngestError;
use crate::wire::{Payload, Reader, WireError};

#[cfg(test)]
mod tests;

/// A histogram as it came, readable but not necessarily possible.
#[derive(Debug)]
pub(crate) struct ReadHistogram {
    pub(crate) at: Timestamp,
    /// Milliseconds; 0 when it names none.
    pub(crate) start: i64,
    pub(crate) histogram: Result<Histogram, HistogramFault>,
}

/// Why a histogram is refused alone.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum HistogramFault {
    #[error(transparent)]
    Impossible(#[from] HistogramError),
    #[error("count is {count}, but its buckets hold {buckets}")]
    Count { count: u64, buckets: u64 },
    #[error("{side} bucket {bucket} is below zero or beyond 2^63")]
    Delta { side: &'static str, bucket: usize },
    #[error("integer and float counts are mixed")]
    Mixed,
    #[error("more than {BUCKETS_MAX} {0}")]
    TooMany(&'static str),
}

/// Fields of the message.
#[derive(Default)]
struct Parts {
    at: i64,
    start: i64,
    count: u64,
    zero_count: u64,
    histogram: Histogram,
    has_integers: bool,
    has_floats: bool,
    positive: Side,
    negative: Side,
    fault: Option<HistogramFault>,
}

/// One side as it came.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads one message. What it holds of spans, buckets and bounds is taken off `numbers_left`, the request's share.
///
/// # Errors
/// [`IngestError::Malformed`] for bytes that are not the message, [`IngestError::TooMany`] when the share is used up.
pub(crate) fn decode_histogram(message: Reader<'_>, numbers_left: &mut u64) -> Result<ReadHistogram, IngestError> {
    let mut parts = Parts::default();
    parts.read(message)?;
    let numbers = parts.positive.numbers() + parts.negative.numbers() + parts.histogram.custom_bounds.len();
    *numbers_left = numbers_left.checked_sub(numbers as u64).ok_or(IngestError::TooManyBuckets)?;
    Ok(ReadHistogram { at: Timestamp(parts.at), start: parts.start, histogram: parts.finish() })
}

impl Parts {
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), WireError> {
        while let Some((number, payload)) = message.field()? {
            match (number, payload) {
                (1, Payload::Varint(count)) => (self.count, self.has_integers) = (count, true),
                (2, Payload::Fixed64(bits)) => (self.histogram.count, self.has_floats) = (f64::from_bits(bits), true),
                (3, Payload::Fixed64(bits)) => self.histogram.sum = f64::from_bits(bits),
                (4, Payload::Varint(schema)) => self.histogram.schema = unzigzag(schema) as i32,
                (5, Payload::Fixed64(bits)) => self.histogram.zero_threshold = f64::from_bits(bits),
                (6, Payload::Varint(count)) => (self.zero_count, self.has_integers) = (count, true),
                (7, Payload::Fixed64(bits)) => {
                    (self.histogram.zero_count, self.has_floats) = (f64::from_bits(bits), true);
                }
                (8..=10, payload) => self.fault(|parts| parts.negative.read(number - 8, payload, &message))?,
                (11..=13, payload) => self.fault(|parts| parts.positive.read(number - 11, payload, &message))?,
                (14, Payload::Varint(hint)) => self.histogram.reset = ResetHint::from_number(hint),
                (15, Payload::Varint(millis)) => self.at = millis as i64,
                (16, payload) => {
                    self.fault(|parts| read_doubles(payload, &mut parts.histogram.custom_bounds, "bounds", &message))?;
                }
                (17, Payload::Varint(millis)) => self.start = millis as i64,
                (1..=7 | 14 | 15 | 17, _) => return Err(message.fault("a histogram's field has the wrong type")),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps the first fault and reads on: the rest of the message must be well-formed too.
    fn fault(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Result<(), HistogramFault>, WireError>,
    ) -> Result<(), WireError> {
        let fault = read(self)?.err();
        if self.fault.is_none() {
            self.fault = fault;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Histogram, HistogramFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let has_integers = self.has_integers || !(self.positive.deltas.is_empty() && self.negative.deltas.is_empty());
        let has_floats = self.has_floats || !(self.positive.counts.is_empty() && self.negative.counts.is_empty());
        if has_integers && has_floats {
            return Err(HistogramFault::Mixed);
        }
        if !has_floats {
            let in_buckets = [self.positive.sum_up("positive")?, self.negative.sum_up("negative")?];
            let buckets = in_buckets.iter().fold(self.zero_count, |sum, &side| sum.saturating_add(side));
            // Observations of NaN are in no bucket, and make the sum NaN.
            let fits = if self.histogram.sum.is_nan() { buckets <= self.count } else { buckets == self.count };
            if !fits {
                return Err(HistogramFault::Count { count: self.count, buckets });
            }
            self.histogram.count = self.count as f64;
            self.histogram.zero_count = self.zero_count as f64;
        }
        self.histogram.positive = self.positive.into_buckets();
        self.histogram.negative = self.negative.into_buckets();
        self.histogram.check()?;
        Ok(self.histogram)
    }
}

impl Side {
    /// Reads spans (`which` = 0), deltas (1) or counts (2).
    fn read(
        &mut self,
        which: u32,
        payload: Payload<'_>,
        message: &Reader<'_>,
    ) -> Result<Result<(), HistogramFault>, WireError> {
        match (which, payload) {
            (0, Payload::Bytes(span)) => {
                let span = read_span(span)?;
                Ok(push(&mut self.spans, span, "spans"))
            }
            (1, Payload::Bytes(mut packed)) => {
                let mut fits = Ok(());
                while !packed.is_at_end() {
                    let delta = unzigzag(packed.varint()?);
                    fits = fits.and_then(|()| push(&mut self.deltas, delta, "buckets"));
                }
                Ok(fits)
            }
            (1, Payload::Varint(delta)) => Ok(push(&mut self.deltas, unzigzag(delta), "buckets")),
            (2, payload) => read_doubles(payload, &mut self.counts, "buckets", message),
            _ => Err(message.fault("a histogram's field has the wrong type")),
        }
    }

    fn numbers(&self) -> usize {
        self.spans.len() + self.deltas.len() + self.counts.len()
    }

    /// Makes absolute counts of the deltas; their sum is returned.
    fn sum_up(&mut self, side: &'static str) -> Result<u64, HistogramFault> {
        let (mut count, mut sum) = (0_i64, 0_u64);
        self.counts.reserve_exact(self.deltas.len());
        for (bucket, &delta) in self.deltas.iter().enumerate() {
            let next = count.checked_add(delta).filter(|&next| next >= 0);
            count = next.ok_or(HistogramFault::Delta { side, bucket })?;
            sum = sum.saturating_add(count as u64);
            self.counts.push(count as f64);
        }
        Ok(sum)
    }

    fn into_buckets(self) -> Buckets {
        Buckets { spans: self.spans, counts: self.counts }
    }
}

fn read_span(mut message: Reader<'_>) -> Result<Span, WireError> {
    let mut span = Span::default();
    while let Some((number, payload)) = message.field()? {
        match (number, payload) {
            (1, Payload::Varint(offset)) => span.offset = unzigzag(offset) as i32,
            (2, Payload::Varint(length)) => span.length = length as u32,
            (1 | 2, _) => return Err(message.fault("a span is two integers")),
            _ => {}
        }
    }
    Ok(span)
}

/// Appends packed or single doubles.
fn read_doubles(
    payload: Payload<'_>,
    out: &mut Vec<f64>,
    what: &'static str,
    message: &Reader<'_>,
) -> Result<Result<(), HistogramFault>, WireError> {
    match payload {
        Payload::Fixed64(bits) => Ok(push(out, f64::from_bits(bits), what)),
        Payload::Bytes(packed) => {
            let (numbers, rest) = packed.bytes().as_chunks::<8>();
            if !rest.is_empty() {
                return Err(packed.fault("packed doubles are cut off"));
            }
            if out.len() + numbers.len() > BUCKETS_MAX {
                return Ok(Err(HistogramFault::TooMany(what)));
            }
            out.extend(numbers.iter().map(|bits| f64::from_le_bytes(*bits)));
            Ok(Ok(()))
        }
        _ => Err(message.fault("a histogram's field has the wrong type")),
    }
}

fn push<T>(list: &mut Vec<T>, item: T, what: &'static str) -> Result<(), HistogramFault> {
    if list.len() >= BUCKETS_MAX {
        return Err(HistogramFault::TooMany(what));
    }
    list.push(item);
    Ok(())
}

/// Protobuf's `sint`: 0, 1, 2, 3 … ↦ 0, −1, 1, −2 …
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
