//! Batches as records of the log.
//!
//! ```text
//!   kind 1, series   local number (varint) · id (u64 LE) · canonical label bytes
//!   kind 2, samples  n runs (varint) · base time (zigzag varint, ms) · run*
//!   run              local number (varint) · n samples (varint) · sample*
//!   sample           Δ time to the sample before it, first to the base (zigzag varint) · value
//!   value            n bytes (u8, 0–8) · that many leading bytes of the big-endian IEEE 754 bits; the rest are zero
//!   kind 3, metadata type (u8) · metric, help, unit, each as length (varint) and UTF-8
//! ```
//!
//! Local numbers start at 0 in every segment and are described there before their first use, so a segment can be read
//! alone (rule W7). Nothing is encoded relative to another record: a lost record costs its own samples only.

use codec::varint;
use series::{Batch, LabelsRef, Metadata, MetricType, SeriesId, Timestamp};

use crate::index::SeriesNumber;

pub(crate) const KIND_SERIES: u8 = 1;
pub(crate) const KIND_SAMPLES: u8 = 2;
pub(crate) const KIND_METADATA: u8 = 3;

/// A batch on its way into the log: its series are known to the index by number.
pub(crate) struct LogBatch {
    /// The samples.
    pub(crate) batch: Batch,
    /// Number of each series of the batch.
    pub(crate) numbers: Vec<SeriesNumber>,
    /// Identity of each series (differs from the hash after a collision).
    pub(crate) ids: Vec<SeriesId>,
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
        for (i, &number) in self.numbers.iter().enumerate() {
            if let Some(local) = segment.describe(number) {
                out.record(KIND_SERIES, |buf| {
                    varint::put_u64(u64::from(local), buf);
                    buf.extend_from_slice(&self.ids[i].0.to_le_bytes());
                    buf.extend_from_slice(self.batch.series(i).labels.canonical());
                });
            }
        }
        for metadata in self.batch.metadata() {
            out.record(KIND_METADATA, |buf| put_metadata(metadata, buf));
        }
        if self.batch.n_samples() > 0 {
            out.record(KIND_SAMPLES, |buf| self.put_samples(segment, buf));
        }
    }

    fn bytes(&self) -> usize {
        self.batch.bytes()
    }
}

impl LogBatch {
    fn put_samples(&self, segment: &SegmentSeries, buf: &mut Vec<u8>) {
        let base = self.batch.iter().find_map(|run| run.timestamps.first().copied()).unwrap_or(0);
        varint::put_u64(self.numbers.len() as u64, buf);
        varint::put_i64(base, buf);
        for (run, &number) in self.batch.iter().zip(&self.numbers) {
            varint::put_u64(u64::from(segment.local[number as usize] - 1), buf);
            varint::put_u64(run.timestamps.len() as u64, buf);
            let mut before = base;
            for (&at, &value) in run.timestamps.iter().zip(run.values) {
                varint::put_i64(at.wrapping_sub(before), buf);
                put_value(value, buf);
                before = at;
            }
        }
    }
}

impl SegmentSeries {
    /// Gives `number` a local number unless it has one; the new one is returned.
    fn describe(&mut self, number: SeriesNumber) -> Option<u32> {
        let at = number as usize;
        if self.local.len() <= at {
            self.local.resize(at + 1, 0);
        }
        if self.local[at] != 0 {
            return None;
        }
        self.used += 1;
        self.local[at] = self.used;
        Some(self.used - 1)
    }
}

fn put_value(value: f64, buf: &mut Vec<u8>) {
    let bits = value.to_bits();
    let n = 8 - (bits.trailing_zeros() as usize / 8).min(8);
    buf.push(n as u8);
    buf.extend_from_slice(&bits.to_be_bytes()[..n]);
}

fn put_metadata(metadata: &Metadata, buf: &mut Vec<u8>) {
    buf.push(metadata.kind as u8);
    for text in [&metadata.metric, &metadata.help, &metadata.unit] {
        varint::put_u64(text.len() as u64, buf);
        buf.extend_from_slice(text.as_bytes());
    }
}

/// Reads a series record: local number, identity, labels.
pub(crate) fn read_series(payload: &[u8]) -> Option<(u64, SeriesId, LabelsRef<'_>)> {
    let mut rest = payload;
    let local = take_u64(&mut rest)?;
    let id = u64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
    let labels = LabelsRef::checked(&rest[8..]).ok()?;
    Some((local, SeriesId(id), labels))
}

/// Reads a samples record: `run` gets each run's local number, timestamps and values. `None` when the bytes do not fit
/// the format, which a valid checksum rules out but for a fault of the writer.
pub(crate) fn read_samples(payload: &[u8], mut run: impl FnMut(u64, &[i64], &[f64])) -> Option<()> {
    let mut rest = payload;
    let n_runs = take_u64(&mut rest)?;
    let base = take_i64(&mut rest)?;
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    for _ in 0..n_runs {
        let local = take_u64(&mut rest)?;
        let n_samples = take_u64(&mut rest)?;
        let mut before = base;
        timestamps.clear();
        values.clear();
        for _ in 0..n_samples {
            before = before.wrapping_add(take_i64(&mut rest)?);
            timestamps.push(before);
            values.push(take_value(&mut rest)?);
        }
        run(local, &timestamps, &values);
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

/// Whether a sample's time can be stored at all: the far ends are kept free so that sums of spans never overflow.
pub(crate) fn storable(at: Timestamp) -> bool {
    const EDGE: i64 = i64::MAX / 4;
    (-EDGE..=EDGE).contains(&at.0)
}
