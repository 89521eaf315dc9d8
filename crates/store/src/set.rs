//! Snapshots of selected series: encoded chunks and copied memory, decoded one series at a time.
//!
//! All bytes are fetched when the set is made, one pass a file, so later flushes and compactions cannot change it;
//! decoding waits until a series is read, on whichever thread reads it.

use std::sync::Arc;

use lake::ChunkBytes;
use series::{Columns, Labels, SelectError, SeriesSet, TimeRange};

use crate::cache::{ChunkCache, ChunkKey};
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
    pub(crate) memory: Vec<Columns>,
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
        let mut runs = Vec::with_capacity(selected.stored.len() + selected.memory.len());
        for stored in &selected.stored {
            runs.push(decode_run(stored, range, &self.cache)?);
        }
        runs.extend(selected.memory.iter().map(|copy| clip(copy.clone(), range)));
        merge::merge(runs, out);
        Ok(())
    }
}

fn decode_run(stored: &StoredRun, range: TimeRange, cache: &ChunkCache) -> Result<Columns, SelectError> {
    let mut run = Columns::default();
    let wanted = |chunk: &&StoredChunk| chunk.min_ts < range.end.0 && range.start.0 <= chunk.max_ts;
    for chunk in stored.chunks.iter().filter(wanted) {
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

/// Appends a chunk's samples.
pub(crate) fn decode_chunk(bytes: &ChunkBytes, out: &mut Columns) -> Result<(), String> {
    codec::decode_timestamps(&bytes.ts, &mut out.timestamps).map_err(|err| format!("timestamps: {err}"))?;
    codec::decode_values(&bytes.values, &mut out.values).map_err(|err| format!("values: {err}"))?;
    if out.timestamps.len() != out.values.len() {
        return Err(format!("{} timestamps but {} values", out.timestamps.len(), out.values.len()));
    }
    Ok(())
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
