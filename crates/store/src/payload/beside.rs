//! Records of what comes beside floats.
//!
//! ```text
//!   kind 7, histograms  part*      part := local number · length · timestamp blob · length · histogram blob
//!   kind 8, exemplars   exemplar*  exemplar := local number · time (zigzag) · value (f64, LE) · length · label bytes
//! ```
//!
//! Numbers are varints; blobs are those of the crate `codec`. A batch with many of them makes several records.

use codec::varint;
use series::{Exemplar, HistogramSample, Labels, Timestamp};

use super::{LogBatch, SegmentSeries, take_i64, take_u64};
use crate::histograms;

pub(crate) const KIND_HISTOGRAMS: u8 = 7;
pub(crate) const KIND_EXEMPLARS: u8 = 8;

/// A record that has more bytes is ended; the largest single part stays far below the log's bound.
const RECORD_BYTES: usize = 1 << 20;

/// Appends the records of a batch's histograms and exemplars.
pub(super) fn encode(logged: &LogBatch, segment: &SegmentSeries, out: &mut wal::RecordWriter<'_>) {
    if logged.batch.n_histograms() > 0 {
        records(KIND_HISTOGRAMS, histogram_parts(logged, segment), out);
    }
    if logged.batch.n_exemplars() > 0 {
        records(KIND_EXEMPLARS, exemplar_parts(logged, segment), out);
    }
}

fn records(kind: u8, parts: impl Iterator<Item = Vec<u8>>, out: &mut wal::RecordWriter<'_>) {
    let mut record = Vec::new();
    for part in parts {
        if !record.is_empty() && record.len() + part.len() > RECORD_BYTES {
            out.record(kind, |buf| buf.append(&mut record));
        }
        record.extend_from_slice(&part);
    }
    out.record(kind, |buf| buf.append(&mut record));
}

fn histogram_parts<'b>(logged: &'b LogBatch, segment: &'b SegmentSeries) -> impl Iterator<Item = Vec<u8>> + 'b {
    logged.batch.iter().zip(&logged.numbers).flat_map(move |(run, &number)| {
        let local = segment.local_of(number);
        histograms::cut_by_numbers(run.histograms).into_iter().map(move |samples| {
            let mut part = Vec::new();
            varint::put_u64(local, &mut part);
            let (ts, values) = histograms::encode(samples);
            for blob in [ts, values] {
                varint::put_u64(blob.len() as u64, &mut part);
                part.extend_from_slice(&blob);
            }
            part
        })
    })
}

fn exemplar_parts<'b>(logged: &'b LogBatch, segment: &'b SegmentSeries) -> impl Iterator<Item = Vec<u8>> + 'b {
    logged.batch.iter().zip(&logged.numbers).flat_map(move |(run, &number)| {
        let local = segment.local_of(number);
        run.exemplars.iter().map(move |exemplar| {
            let mut part = Vec::new();
            varint::put_u64(local, &mut part);
            varint::put_i64(exemplar.at.0, &mut part);
            part.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            varint::put_u64(exemplar.labels.canonical().len() as u64, &mut part);
            part.extend_from_slice(exemplar.labels.canonical());
            part
        })
    })
}

/// Reads a record of histograms: `each` gets each part's local number and samples. `None` when the bytes do not fit the
/// format, which a valid checksum rules out but for a fault of the writer.
pub(crate) fn read_histograms(payload: &[u8], mut each: impl FnMut(u64, &[HistogramSample])) -> Option<()> {
    let (mut rest, mut samples) = (payload, Vec::new());
    while !rest.is_empty() {
        let local = take_u64(&mut rest)?;
        let ts = take_blob(&mut rest)?;
        let values = take_blob(&mut rest)?;
        samples.clear();
        histograms::decode(ts, values, &mut samples).ok()?;
        each(local, &samples);
    }
    Some(())
}

/// Reads a record of exemplars, as [`read_histograms`].
pub(crate) fn read_exemplars(payload: &[u8], mut each: impl FnMut(u64, Exemplar)) -> Option<()> {
    let mut rest = payload;
    while !rest.is_empty() {
        let local = take_u64(&mut rest)?;
        let at = Timestamp(take_i64(&mut rest)?);
        let (bits, tail) = rest.split_first_chunk::<8>()?;
        rest = tail;
        let labels = Labels::from_canonical(take_blob(&mut rest)?).ok()?;
        each(local, Exemplar { labels, value: f64::from_le_bytes(*bits), at });
    }
    Some(())
}

fn take_blob<'p>(rest: &mut &'p [u8]) -> Option<&'p [u8]> {
    let len = usize::try_from(take_u64(rest)?).ok()?;
    let (blob, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(blob)
}
