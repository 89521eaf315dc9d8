//! Snapshots of selected series: encoded chunks and copied memory, decoded one series at a time.
//!
//! All bytes are fetched when the set is made, one pass a file, so later flushes and compactions cannot change it;
//! decoding waits until a series is read, on whichever thread reads it.

use std::sync::Arc;

use lake::ChunkBytes;
use series::{Columns, HistogramSample, Labels, SelectError, SeriesSet, TimeRange};

use crate::cache::{ChunkCache, ChunkKey};
use crate::histograms::{self, Samples};
use crate::merge;
use crate::tombstone;

/// The selected series, sorted by labels.
pub(crate) struct Selection {
    pub(crate) series: Vec<Selected>,
    pub(crate) cache: Arc<ChunkCache>,
}

/// What the layers hold of one series.
pub(crate) struct Selected {
    pub(crate) labels: Labels,
    /// Runs of chunks, one a file, by rising log position.
    pub(crate) stored: Vec<StoredRun>,
    /// Copies from memtables, by rising log position.
    pub(crate) memory: Vec<Samples>,
}

impl Selected {
    fn has_histograms(&self) -> bool {
        self.memory.iter().any(|copy| !copy.histograms.is_empty())
            || self.stored.iter().flat_map(|run| &run.chunks).any(|chunk| chunk.histograms().is_some())
    }

    /// Both kinds inside `range`, a run a layer, each time in one run and of one kind.
    fn settled(&self, range: TimeRange, cache: &ChunkCache) -> Result<Vec<Samples>, SelectError> {
        let mut runs = Vec::with_capacity(self.stored.len() + self.memory.len());
        for stored in &self.stored {
            runs.push(Samples {
                floats: decode_run(stored, range, cache)?,
                histograms: decode_histograms(stored, range)?,
            });
        }
        runs.extend(self.memory.iter().map(|copy| Samples {
            floats: clip(copy.floats.clone(), range),
            histograms: histograms::part(&copy.histograms, range).to_vec(),
        }));
        histograms::settle(&mut runs);
        Ok(runs)
    }
}

/// The chunks of one series in one file, in order of time.
pub(crate) struct StoredRun {
    pub(crate) file: std::sync::Arc<str>,
    /// Ranges whose samples were deleted from this file's part of the series.
    pub(crate) deleted: Vec<TimeRange>,
    pub(crate) chunks: Vec<StoredChunk>,
}

/// One chunk.
pub(crate) struct StoredChunk {
    pub(crate) min_ts: i64,
    pub(crate) max_ts: i64,
    pub(crate) key: ChunkKey,
    pub(crate) body: ChunkBody,
}

/// A chunk as it was found.
pub(crate) enum ChunkBody {
    /// In a file.
    Encoded(ChunkBytes),
    /// In the cache.
    Decoded(Arc<Columns>),
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.series[i].labels
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        let selected = &self.series[i];
        if selected.has_histograms() {
            merge::merge(selected.settled(range, &self.cache)?.into_iter().map(|run| run.floats).collect(), out);
            return Ok(());
        }
        let mut runs = Vec::with_capacity(selected.stored.len() + selected.memory.len());
        for stored in &selected.stored {
            runs.push(decode_run(stored, range, &self.cache)?);
        }
        runs.extend(selected.memory.iter().map(|copy| clip(copy.floats.clone(), range)));
        merge::merge(runs, out);
        Ok(())
    }

    fn has_histograms(&self, i: usize) -> bool {
        self.series[i].has_histograms()
    }

    fn read_histograms(&self, i: usize, range: TimeRange, out: &mut Vec<HistogramSample>) -> Result<(), SelectError> {
        let selected = &self.series[i];
        if selected.has_histograms() {
            let runs = selected.settled(range, &self.cache)?;
            out.append(&mut histograms::merge(runs.into_iter().map(|run| run.histograms).collect()));
        }
        Ok(())
    }
}

fn decode_run(stored: &StoredRun, range: TimeRange, cache: &ChunkCache) -> Result<Columns, SelectError> {
    let mut run = Columns::default();
    for chunk in stored.inside(range).filter(|chunk| chunk.histograms().is_none()) {
        match &chunk.body {
            ChunkBody::Decoded(columns) => append_part(&mut run, columns, range),
            ChunkBody::Encoded(bytes) => {
                let mut columns = Columns::default();
                decode_chunk(bytes, &mut columns)
                    .map_err(|why| SelectError::Damaged { file: stored.file.to_string(), why })?;
                if cache.is_on() {
                    let columns = Arc::new(columns);
                    append_part(&mut run, &columns, range);
                    cache.put(chunk.key, &columns);
                } else {
                    append_part(&mut run, &columns, range);
                }
            }
        }
    }
    tombstone::cut(&mut run, &stored.deleted);
    Ok(run)
}

fn decode_histograms(stored: &StoredRun, range: TimeRange) -> Result<Vec<HistogramSample>, SelectError> {
    let mut run = Vec::new();
    for bytes in stored.inside(range).filter_map(StoredChunk::histograms) {
        histograms::decode_chunk(bytes, &mut run)
            .map_err(|why| SelectError::Damaged { file: stored.file.to_string(), why })?;
    }
    run.retain(|sample| range.contains(sample.at));
    tombstone::cut_histograms(&mut run, &stored.deleted);
    Ok(run)
}

impl StoredChunk {
    /// Its bytes if it holds histograms; these are not kept decoded.
    fn histograms(&self) -> Option<&ChunkBytes> {
        match &self.body {
            ChunkBody::Encoded(bytes) => histograms::holds_histograms(bytes).then_some(bytes),
            ChunkBody::Decoded(_) => None,
        }
    }
}

impl StoredRun {
    fn inside(&self, range: TimeRange) -> impl Iterator<Item = &StoredChunk> {
        self.chunks.iter().filter(move |chunk| chunk.min_ts < range.end.0 && range.start.0 <= chunk.max_ts)
    }
}

/// Appends a chunk's samples of either kind.
pub(crate) fn decode_either(bytes: &ChunkBytes, out: &mut Samples) -> Result<(), String> {
    if histograms::holds_histograms(bytes) {
        histograms::decode_chunk(bytes, &mut out.histograms)
    } else {
        decode_chunk(bytes, &mut out.floats)
    }
}

/// Appends a chunk's floats.
pub(crate) fn decode_chunk(bytes: &ChunkBytes, out: &mut Columns) -> Result<(), String> {
    codec::decode_samples(&bytes.ts, &bytes.values, &mut out.timestamps, &mut out.values).map_err(|err| err.to_string())
}

fn append_part(run: &mut Columns, chunk: &Columns, range: TimeRange) {
    let end = chunk.timestamps.partition_point(|&at| at < range.end.0);
    let start = chunk.timestamps.partition_point(|&at| at < range.start.0).min(end);
    run.timestamps.extend_from_slice(&chunk.timestamps[start..end]);
    run.values.extend_from_slice(&chunk.values[start..end]);
}

fn clip(mut run: Columns, range: TimeRange) -> Columns {
    let end = run.timestamps.partition_point(|&at| at < range.end.0);
    let start = run.timestamps.partition_point(|&at| at < range.start.0).min(end);
    run.timestamps.truncate(end);
    run.values.truncate(end);
    if start > 0 {
        run.timestamps.drain(..start);
        run.values.drain(..start);
    }
    run
}
