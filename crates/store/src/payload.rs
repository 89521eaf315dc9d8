//! Batches as records of the log.
//!
//! ```text
//!   kind 5, series   first local number (varint) · n series (varint) · bytes (varint) · one zstd frame of series*
//!   series           id (u64 LE) · length (varint) · canonical label bytes
//!   kind 6, samples  n samples (varint) · base time (zigzag varint, ms) · sample*
//!   sample           control (u8) · [local] · [time] · value
//!   control          bit 7: a local number stands here, zigzag varint of the distance to the one expected (the one
//!                    before, plus 1; from −1) · bit 6: the series of the sample before · neither: the expected one
//!                    bits 4–5, time: 0: that of the sample before (the base at first) · 1, 2: so many bytes of
//!                    zigzag(time − time before), LE · 3: the same as a varint
//!                    bits 0–3, value: so many leading bytes of the big-endian IEEE 754 bits follow, the rest is zero
//!   kinds 7, 8       histograms and exemplars, see `beside`
//!   kind 3, metadata type (u8) · metric, help, unit, each as length (varint) and UTF-8
//! ```
//!
//! Local numbers start at 0 in every segment and are described there before their first use, so a segment can be read
//! alone (rule W7). Nothing is encoded relative to another record: a lost record costs its own samples only. Scrapes
//! come in the same order again and again, so most samples are the control byte and the value; the labels of one
//! target are nearly the same, so a frame over all new series of a batch holds them in a tenth of their bytes.
//!
//! Written by earlier releases, and still read:
//!
//! ```text
//!   kind 1, series   local number (varint) · id (u64 LE) · canonical label bytes
//!   kind 2, samples  n runs (varint) · base time (zigzag varint, ms) · run*
//!   run              local number (varint) · n samples (varint) · sample*
//!   sample           Δ time to the sample before it, first to the base (zigzag varint) · value
//!   value            n bytes (u8, 0–8) · that many leading bytes of the big-endian IEEE 754 bits; the rest are zero
//! ```

mod beside;

use std::sync::Arc;

use codec::varint;
use series::{Batch, LabelsRef, Metadata, MetricType, Recall, SeriesId, Timestamp};

use crate::index::SeriesNumber;

pub(crate) use beside::{KIND_EXEMPLARS, KIND_HISTOGRAMS, read_exemplars, read_histograms};

pub(crate) const KIND_SERIES: u8 = 1;
pub(crate) const KIND_SAMPLES: u8 = 2;
pub(crate) const KIND_METADATA: u8 = 3;
pub(crate) const KIND_SERIES_FRAME: u8 = 5;
pub(crate) const KIND_SAMPLES_DENSE: u8 = 6;

/// Labels of one target repeat so much that the fastest level finds nearly all of it.
const FRAME_LEVEL: i32 = 1;
/// A series frame never unpacks to more: it holds the labels of one batch, which the log bounds.
const FRAME_BYTES_MAX: usize = wal::MAX_PAYLOAD_BYTES;

const HAS_LOCAL: u8 = 0x80;
const SAME_SERIES: u8 = 0x40;

/// A batch on its way into the log: its series are known to the index by number.
pub(crate) struct LogBatch {
    /// The samples.
    pub(crate) batch: Batch,
    /// Number of each series of the batch.
    pub(crate) numbers: Vec<SeriesNumber>,
    /// Identity of each series (differs from the hash after a collision).
    pub(crate) ids: Vec<SeriesId>,
    /// Who knows the labels of series that the batch names by number.
    pub(crate) names: Arc<dyn Recall>,
}

/// Which series the current segment describes already.
#[derive(Default)]
pub(crate) struct SegmentSeries {
    /// By series number: local number + 1, or 0.
    local: Vec<u32>,
    used: u32,
}

impl wal::Payload for LogBatch {
    type Segment = SegmentSeries;

    fn encode(&self, segment: &mut SegmentSeries, out: &mut wal::RecordWriter<'_>) {
        let first_local = segment.used;
        let new: Vec<usize> = (0..self.numbers.len()).filter(|&i| segment.describe(self.numbers[i])).collect();
        if !new.is_empty() {
            out.record(KIND_SERIES_FRAME, |buf| self.put_series(first_local, &new, buf));
        }
        for metadata in self.batch.metadata() {
            out.record(KIND_METADATA, |buf| put_metadata(metadata, buf));
        }
        if self.batch.n_samples() > 0 {
            out.record(KIND_SAMPLES_DENSE, |buf| self.put_samples(segment, buf));
        }
        beside::encode(self, segment, out);
    }

    fn bytes(&self) -> usize {
        self.batch.bytes()
    }
}

impl LogBatch {
    fn put_series(&self, first_local: u32, new: &[usize], buf: &mut Vec<u8>) {
        let mut plain = Vec::with_capacity(new.len() * 256);
        for &i in new {
            // Every number comes from the index, which forgets none.
            let Some(labels) = self.names.labels_of(self.numbers[i]) else { continue };
            let labels = labels.canonical();
            plain.extend_from_slice(&self.ids[i].0.to_le_bytes());
            varint::put_u64(labels.len() as u64, &mut plain);
            plain.extend_from_slice(labels);
        }
        varint::put_u64(u64::from(first_local), buf);
        varint::put_u64(new.len() as u64, buf);
        varint::put_u64(plain.len() as u64, buf);
        // Fails only without memory for zstd's context. The log's writer turns the panic into a stop, and nothing of
        // this batch is acknowledged.
        codec::compress(&plain, FRAME_LEVEL, buf).unwrap_or_else(|why| panic!("labels cannot be packed: {why}"));
    }

    fn put_samples(&self, segment: &SegmentSeries, buf: &mut Vec<u8>) {
        let base = self.batch.first_timestamp().unwrap_or(0);
        varint::put_u64(self.batch.n_samples() as u64, buf);
        varint::put_i64(base, buf);
        buf.reserve(self.batch.n_samples() * 10);
        let (mut expected, mut before) = (0_i64, base);
        for (i, &number) in self.numbers.iter().enumerate() {
            let run = self.batch.series(i);
            let local = i64::from(segment.local[number as usize]) - 1;
            let mut series = if local == expected { 0 } else { HAS_LOCAL };
            for (&at, &value) in run.timestamps.iter().zip(run.values) {
                put_sample(series, local - expected, at.wrapping_sub(before), value, buf);
                (series, before) = (SAME_SERIES, at);
            }
            if series == SAME_SERIES {
                expected = local + 1;
            }
        }
    }
}

#[inline]
fn put_sample(series: u8, distance: i64, since: i64, value: f64, buf: &mut Vec<u8>) {
    let bits = value.to_bits();
    let n_value = 8 - (bits.trailing_zeros() as usize / 8).min(8);
    let since = varint::zigzag(since);
    let time = match since {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    };
    buf.push(series | time << 4 | n_value as u8);
    if series == HAS_LOCAL {
        varint::put_i64(distance, buf);
    }
    match time {
        3 => varint::put_u64(since, buf),
        n => buf.extend_from_slice(&since.to_le_bytes()[..usize::from(n)]),
    }
    buf.extend_from_slice(&bits.to_be_bytes()[..n_value]);
}

impl SegmentSeries {
    /// The local number of a series that is described.
    fn local_of(&self, number: SeriesNumber) -> u64 {
        u64::from(self.local[number as usize]) - 1
    }

    /// Gives `number` a local number; false when it has one already.
    fn describe(&mut self, number: SeriesNumber) -> bool {
        let at = number as usize;
        if self.local.len() <= at {
            self.local.resize(at + 1, 0);
        }
        if self.local[at] != 0 {
            return false;
        }
        self.used += 1;
        self.local[at] = self.used;
        true
    }
}

fn put_metadata(metadata: &Metadata, buf: &mut Vec<u8>) {
    buf.push(metadata.kind as u8);
    for text in [&metadata.metric, &metadata.help, &metadata.unit] {
        varint::put_u64(text.len() as u64, buf);
        buf.extend_from_slice(text.as_bytes());
    }
}

/// Reads a series frame: `each` gets each series' local number, identity and labels. `None` when the bytes do not fit
/// the format, which a valid checksum rules out but for a fault of the writer.
pub(crate) fn read_series_frame(payload: &[u8], mut each: impl FnMut(u64, SeriesId, LabelsRef<'_>)) -> Option<()> {
    let mut rest = payload;
    let (first_local, n_series, n_bytes) = (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
    let n_bytes = usize::try_from(n_bytes).ok().filter(|&n| n <= FRAME_BYTES_MAX)?;
    let plain = codec::decompress(rest, n_bytes).ok()?;
    let mut rest = plain.as_slice();
    for i in 0..n_series {
        let (id, tail) = rest.split_first_chunk::<8>()?;
        rest = tail;
        let len = usize::try_from(take_u64(&mut rest)?).ok()?;
        let labels = LabelsRef::checked(rest.get(..len)?).ok()?;
        rest = &rest[len..];
        each(first_local.checked_add(i)?, SeriesId(u64::from_le_bytes(*id)), labels);
    }
    rest.is_empty().then_some(())
}

/// Reads a dense samples record: `each` gets every sample's local number, time and value. `None` as in
/// [`read_series_frame`].
pub(crate) fn read_samples_dense(payload: &[u8], mut each: impl FnMut(u64, i64, f64)) -> Option<()> {
    let mut rest = payload;
    let n_samples = take_u64(&mut rest)?;
    let mut at = take_i64(&mut rest)?;
    let mut local = -1_i64;
    for _ in 0..n_samples {
        let (&control, tail) = rest.split_first()?;
        rest = tail;
        let distance = if control & HAS_LOCAL == 0 { 0 } else { take_i64(&mut rest)? };
        if control & SAME_SERIES == 0 {
            local = local.checked_add(1)?.checked_add(distance)?;
        }
        let since = match control >> 4 & 3 {
            0 => 0,
            3 => take_u64(&mut rest)?,
            n => take_bytes(&mut rest, usize::from(n))?,
        };
        at = at.wrapping_add(varint::unzigzag(since));
        let value = take_value_of(&mut rest, usize::from(control & 15))?;
        each(u64::try_from(local).ok()?, at, value);
    }
    rest.is_empty().then_some(())
}

/// The next `n` (at most 8) bytes as a little-endian number.
#[inline]
fn take_bytes(rest: &mut &[u8], n: usize) -> Option<u64> {
    let mut eight = [0_u8; 8];
    eight.get_mut(..n)?.copy_from_slice(rest.get(..n)?);
    *rest = &rest[n..];
    Some(u64::from_le_bytes(eight))
}

#[inline]
fn take_value_of(rest: &mut &[u8], n: usize) -> Option<f64> {
    if n > 8 {
        return None;
    }
    // Shifting a whole word in is quicker than copying a few bytes; only the end of a record lacks a whole word.
    let bits = match rest.first_chunk::<8>() {
        Some(_) if n == 0 => 0,
        Some(eight) => u64::from_be_bytes(*eight) & (u64::MAX << (64 - 8 * n)),
        None => take_bytes(&mut &**rest, n)?.swap_bytes(),
    };
    *rest = rest.get(n..)?;
    Some(f64::from_bits(bits))
}

/// Reads a series record of kind 1: local number, identity, labels.
pub(crate) fn read_series(payload: &[u8]) -> Option<(u64, SeriesId, LabelsRef<'_>)> {
    let mut rest = payload;
    let local = take_u64(&mut rest)?;
    let id = u64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
    let labels = LabelsRef::checked(&rest[8..]).ok()?;
    Some((local, SeriesId(id), labels))
}

/// Reads a samples record of kind 2, as [`read_samples_dense`].
pub(crate) fn read_samples(payload: &[u8], mut each: impl FnMut(u64, i64, f64)) -> Option<()> {
    let mut rest = payload;
    let n_runs = take_u64(&mut rest)?;
    let base = take_i64(&mut rest)?;
    for _ in 0..n_runs {
        let local = take_u64(&mut rest)?;
        let n_samples = take_u64(&mut rest)?;
        let mut before = base;
        for _ in 0..n_samples {
            before = before.wrapping_add(take_i64(&mut rest)?);
            each(local, before, take_value(&mut rest)?);
        }
    }
    rest.is_empty().then_some(())
}

/// Reads a metadata record.
pub(crate) fn read_metadata(payload: &[u8]) -> Option<Metadata> {
    let (&kind, mut rest) = payload.split_first()?;
    let mut text = || -> Option<String> {
        let len = usize::try_from(take_u64(&mut rest)?).ok()?;
        let text = std::str::from_utf8(rest.get(..len)?).ok()?.to_owned();
        rest = &rest[len..];
        Some(text)
    };
    let (metric, help, unit) = (text()?, text()?, text()?);
    Some(Metadata { metric, kind: MetricType::from_number(u64::from(kind)), help, unit })
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let mut used = 0;
    let value = varint::get_u64(rest, &mut used).ok()?;
    *rest = rest.get(used..)?;
    Some(value)
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let mut used = 0;
    let value = varint::get_i64(rest, &mut used).ok()?;
    *rest = rest.get(used..)?;
    Some(value)
}

fn take_value(rest: &mut &[u8]) -> Option<f64> {
    let (&n, tail) = rest.split_first()?;
    let n = usize::from(n);
    let mut bits = [0_u8; 8];
    bits.get_mut(..n)?.copy_from_slice(tail.get(..n)?);
    *rest = &tail[n..];
    Some(f64::from_bits(u64::from_be_bytes(bits)))
}

/// Whether a sample's time can be stored at all: days are partitions of tables, and dates have four digits of years.
pub(crate) fn storable(at: Timestamp) -> bool {
    const FIRST: i64 = -62_135_596_800_000; // 0001-01-01
    const LAST: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999
    (FIRST..=LAST).contains(&at.0)
}

#[cfg(test)]
mod tests;
