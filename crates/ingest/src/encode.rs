//! A batch as a remote write 1.0 body: what the demo's replay and the tests send.

use series::{Batch, BatchSeries, Exemplar, Metadata};

use crate::encode_histogram::put_histogram;
use crate::wire::{put_bytes, put_varint, varint_len};

/// The message is larger than a snappy block can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message has {bytes} bytes, more than the {limit} a snappy block holds; split the batch")]
pub struct EncodeError {
    /// Bytes of the message.
    pub bytes: u64,
    /// Bytes a snappy block holds.
    pub limit: u64,
}

/// The body of a remote write 1.0 request: protobuf in one snappy block. Send it with [`crate::CONTENT_TYPE`],
/// `Content-Encoding: snappy` and [`crate::VERSION`].
///
/// # Errors
/// [`EncodeError`] beyond 4 GiB.
pub fn encode_write_request(batch: &Batch) -> Result<Vec<u8>, EncodeError> {
    let mut message = Vec::new();
    encode_message(batch, &mut message);
    pack(&message)
}

/// One snappy block.
pub(crate) fn pack(message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    snap::raw::Encoder::new()
        .compress_vec(message)
        .map_err(|_| EncodeError { bytes: message.len() as u64, limit: u64::from(u32::MAX) })
}

/// Appends the protobuf message alone.
pub fn encode_message(batch: &Batch, out: &mut Vec<u8>) {
    for series in batch.iter() {
        put_series(out, &series);
    }
    for metadata in batch.metadata() {
        put_metadata(out, metadata);
    }
}

fn put_series(out: &mut Vec<u8>, series: &BatchSeries<'_>) {
    let labels: usize = series.labels.iter().map(|(name, value)| field_len(label_len(name, value))).sum();
    let samples: usize = series.timestamps.iter().map(|&at| field_len(sample_len(at))).sum();
    let rare = exemplars_and_histograms(series);
    put_varint(out, 1 << 3 | 2);
    put_varint(out, (labels + samples + rare.len()) as u64);
    for (name, value) in series.labels.iter() {
        put_varint(out, 1 << 3 | 2);
        put_varint(out, label_len(name, value) as u64);
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    }
    for (&at, &value) in series.timestamps.iter().zip(series.values) {
        put_varint(out, 2 << 3 | 2);
        put_varint(out, sample_len(at) as u64);
        put_varint(out, 1 << 3 | 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        put_varint(out, 2 << 3);
        put_varint(out, at as u64);
    }
    out.extend_from_slice(&rare);
}

fn exemplars_and_histograms(series: &BatchSeries<'_>) -> Vec<u8> {
    let (mut rare, mut message) = (Vec::new(), Vec::new());
    for exemplar in series.exemplars {
        message.clear();
        for (name, value) in exemplar.labels.iter() {
            put_varint(&mut message, 1 << 3 | 2);
            put_varint(&mut message, label_len(name, value) as u64);
            put_bytes(&mut message, 1, name.as_bytes());
            put_bytes(&mut message, 2, value.as_bytes());
        }
        put_observation(&mut message, exemplar);
        put_bytes(&mut rare, 3, &message);
    }
    for sample in series.histograms {
        message.clear();
        put_histogram(&mut message, sample);
        put_bytes(&mut rare, 4, &message);
    }
    rare
}

/// An exemplar's value and time.
pub(crate) fn put_observation(message: &mut Vec<u8>, exemplar: &Exemplar) {
    put_double(message, 2, exemplar.value);
    put_varint(message, 3 << 3);
    put_varint(message, exemplar.at.0 as u64);
}

/// Appends field `number` (below 16) with a double.
pub(crate) fn put_double(message: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(message, u64::from(number) << 3 | 1);
    message.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Bytes of a length-delimited field (of a number below 16) with `len` bytes of content.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

fn label_len(name: &str, value: &str) -> usize {
    field_len(name.len()) + field_len(value.len())
}

fn sample_len(at: i64) -> usize {
    1 + 8 + 1 + varint_len(at as u64)
}

fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    let mut entry = Vec::new();
    put_varint(&mut entry, 1 << 3);
    put_varint(&mut entry, metadata.kind as u64);
    put_bytes(&mut entry, 2, metadata.metric.as_bytes());
    put_bytes(&mut entry, 4, metadata.help.as_bytes());
    put_bytes(&mut entry, 5, metadata.unit.as_bytes());
    put_bytes(out, 3, &entry);
}
