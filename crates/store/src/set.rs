//! Snapshots of selected series: encoded chunks and copied memory, decoded one series at a time.
//!
//! ```text
//!   series   [labels, chunks a..b, copies c..d] …      in the order asked for
//!   order    numbers of chunks, those of a series together: older file first, then by time
//!   chunks   as the files gave them
//!   memory   copies, those of a series together: older table first
//! ```
//!
//! All bytes are fetched when the set is made, one pass a file, so later flushes and compactions cannot change it;
//! decoding waits until a series is read, on whichever thread reads it. Nothing is allocated for a series alone: there may
//! be a million.

use std::collections::HashMap;
use std::sync::Arc;

use lake::ChunkBytes;
use series::{Columns, HistogramSample, Labels, SelectError, SeriesId, SeriesOrder, SeriesSet, TimeRange};

use crate::cache::{ChunkCache, ChunkKey};
use crate::histograms::{self, Samples};
use crate::memtable::MemoryRun;
use crate::merge;
use crate::tombstone;

/// Chunks shorter than this are fetched again rather than kept, where so many are wanted of a file that whole pages are
/// read anyway: keeping costs more than decoding.
const KEPT_SAMPLES_MIN: u32 = 128;
const KEPT_CHUNKS_MAX: usize = 4096;

/// The selected series.
pub(crate) struct Selection {
    series: Vec<Selected>,
    order: Vec<u32>,
    chunks: Vec<StoredChunk>,
    memory: Vec<MemoryRun>,
    /// Paths of the files, by rising log position.
    files: Vec<Arc<str>>,
    /// Ranges whose samples were deleted from a file's part of a series, by file and series.
    deleted: HashMap<(u32, SeriesId), Vec<TimeRange>>,
    cache: Arc<ChunkCache>,
}

/// What the layers hold of one series.
struct Selected {
    labels: Labels,
    id: SeriesId,
    /// Places in [`Selection::order`].
    chunks: (u32, u32),
    /// Places in [`Selection::memory`].
    memory: (u32, u32),
}

/// One chunk.
pub(crate) struct StoredChunk {
    /// Place in [`Selection::files`].
    file: u32,
    /// Whether it goes into the cache when it is decoded.
    is_kept: bool,
    min_ts: i64,
    max_ts: i64,
    key: ChunkKey,
    body: ChunkBody,
}

/// A chunk as it was found.
pub(crate) enum ChunkBody {
    /// In a file.
    Encoded(ChunkBytes),
    /// In the cache.
    Decoded(Arc<Columns>),
}

/// A selection being put together: files by rising log position, then memtables from the oldest on.
pub(crate) struct Gathering {
    series: Vec<(SeriesId, Labels)>,
    by_id: Vec<(u64, u32)>,
    chunks: Vec<StoredChunk>,
    /// Which series each chunk is of.
    owners: Vec<u32>,
    memory: Vec<(u32, MemoryRun)>,
    files: Vec<Arc<str>>,
    deleted: HashMap<(u32, SeriesId), Vec<TimeRange>>,
}

impl Gathering {
    /// For these series.
    pub(crate) fn new(series: Vec<(SeriesId, Labels)>) -> Self {
        let mut by_id: Vec<_> = series.iter().zip(0..).map(|((id, _), owner)| (id.0, owner)).collect();
        by_id.sort_unstable();
        let (chunks, owners, memory) = (Vec::new(), Vec::new(), Vec::new());
        Self { series, by_id, chunks, owners, memory, files: Vec::new(), deleted: HashMap::new() }
    }

    /// Identities of the series, rising, each with its number in the order given.
    pub(crate) fn owners(&self) -> &[(u64, u32)] {
        &self.by_id
    }

    /// Whether a chunk of `count` samples, one of `n_wanted` of its file, belongs into the cache.
    pub(crate) fn is_kept(count: u32, n_wanted: usize) -> bool {
        count >= KEPT_SAMPLES_MIN || n_wanted <= KEPT_CHUNKS_MAX
    }

    /// Opens a file; following chunks are of it.
    pub(crate) fn begin_file(&mut self, path: &str, n_chunks: usize) {
        self.files.push(Arc::from(path));
        self.chunks.reserve(n_chunks);
        self.owners.reserve(n_chunks);
    }

    /// A chunk of series `owner`; those of a series come by time.
    pub(crate) fn chunk(&mut self, owner: u32, key: ChunkKey, is_kept: bool, span: (i64, i64), body: ChunkBody) {
        let file = self.file();
        self.chunks.push(StoredChunk { file, is_kept, min_ts: span.0, max_ts: span.1, key, body });
        self.owners.push(owner);
    }

    /// Deletions in the file opened last.
    pub(crate) fn deleted(&mut self, id: SeriesId, ranges: Vec<TimeRange>) {
        if !ranges.is_empty() {
            self.deleted.insert((self.file(), id), ranges);
        }
    }

    /// Takes back what came of the file opened last.
    pub(crate) fn drop_file(&mut self) {
        let file = self.file();
        let kept = self.chunks.iter().take_while(|chunk| chunk.file != file).count();
        self.chunks.truncate(kept);
        self.owners.truncate(kept);
        self.deleted.retain(|(of, _), _| *of != file);
        self.files.pop();
    }

    fn file(&self) -> u32 {
        self.files.len().saturating_sub(1) as u32
    }

    /// What a memtable held of series `owner`.
    pub(crate) fn memory(&mut self, owner: u32, run: MemoryRun) {
        self.memory.push((owner, run));
    }

    /// The set: series of which there is something, in `order`.
    pub(crate) fn finish(mut self, cache: Arc<ChunkCache>, order: SeriesOrder) -> Selection {
        // The chunks of each series together, as they came.
        let mut ends = vec![0_u32; self.series.len() + 1];
        self.owners.iter().for_each(|&owner| ends[owner as usize + 1] += 1);
        for i in 1..ends.len() {
            ends[i] += ends[i - 1];
        }
        let starts = ends.clone();
        let mut places = vec![0_u32; self.owners.len()];
        for (chunk, &owner) in self.owners.iter().enumerate() {
            places[ends[owner as usize] as usize] = chunk as u32;
            ends[owner as usize] += 1;
        }
        self.memory.sort_by_key(|(owner, _)| *owner);
        let mut taken = 0;
        let mut series = Vec::with_capacity(self.series.len());
        for (i, (id, labels)) in self.series.into_iter().enumerate() {
            let own = self.memory[taken..].iter().take_while(|(owner, _)| *owner as usize == i).count();
            let (chunks, memory) = ((starts[i], starts[i + 1]), (taken as u32, (taken + own) as u32));
            taken += own;
            if chunks.0 < chunks.1 || own > 0 {
                series.push(Selected { labels, id, chunks, memory });
            }
        }
        match order {
            SeriesOrder::Labels => series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels)),
            // As the chunks lie in memory.
            SeriesOrder::Any => series.sort_unstable_by_key(|selected| match selected.chunks {
                (from, to) if from < to => places[from as usize],
                _ => u32::MAX,
            }),
        }
        let memory = self.memory.into_iter().map(|(_, run)| run).collect();
        let (chunks, files, deleted) = (self.chunks, self.files, self.deleted);
        Selection { series, order: places, chunks, memory, files, deleted, cache }
    }
}

impl Selection {
    /// Where a series is in a set sorted by labels.
    pub(crate) fn place(&self, labels: &Labels) -> Option<usize> {
        self.series.binary_search_by(|selected| selected.labels.cmp(labels)).ok()
    }

    fn chunks(&self, i: usize) -> impl Iterator<Item = &StoredChunk> + Clone {
        let (from, to) = self.series[i].chunks;
        self.order[from as usize..to as usize].iter().map(|&chunk| &self.chunks[chunk as usize])
    }

    fn memory(&self, i: usize) -> &[MemoryRun] {
        let (from, to) = self.series[i].memory;
        &self.memory[from as usize..to as usize]
    }

    fn chunks_hold_histograms(&self, i: usize) -> bool {
        self.chunks(i).any(|chunk| chunk.histograms().is_some())
    }

    /// The chunks of series `i`, those of a file together.
    fn runs(&self, i: usize) -> impl Iterator<Item = &[u32]> {
        let (from, to) = self.series[i].chunks;
        let file = |chunk: &u32| self.chunks[*chunk as usize].file;
        self.order[from as usize..to as usize].chunk_by(move |one, other| file(one) == file(other))
    }

    fn deleted(&self, i: usize, file: u32) -> &[TimeRange] {
        if self.deleted.is_empty() {
            return &[];
        }
        self.deleted.get(&(file, self.series[i].id)).map_or(&[], Vec::as_slice)
    }

    /// Appends the floats of `chunks`, which are of one file.
    fn read_run(&self, i: usize, chunks: &[u32], range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        let start = out.len();
        let mut file = 0;
        for chunk in chunks.iter().map(|&chunk| &self.chunks[chunk as usize]) {
            file = chunk.file;
            if chunk.touches(range) && chunk.histograms().is_none() {
                self.read_chunk(chunk, range, out)?;
            }
        }
        tombstone::cut(out, start, self.deleted(i, file));
        Ok(())
    }

    fn read_chunk(&self, chunk: &StoredChunk, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        let fault = |why| SelectError::Damaged { file: self.files[chunk.file as usize].to_string(), why };
        match &chunk.body {
            ChunkBody::Decoded(columns) => merge::append_inside(columns, range, out),
            ChunkBody::Encoded(bytes) if self.cache.is_on() && chunk.is_kept => {
                let mut columns = Columns::default();
                decode_chunk(bytes, &mut columns).map_err(fault)?;
                let columns = Arc::new(columns);
                merge::append_inside(&columns, range, out);
                self.cache.put(chunk.key, &columns);
            }
            ChunkBody::Encoded(bytes) => {
                let start = out.len();
                decode_chunk(bytes, out).map_err(fault)?;
                merge::clip_tail(out, start, range);
            }
        }
        Ok(())
    }

    /// Whether what layers hold of series `i` follows each other in time, oldest layer first: then nothing is to be merged.
    fn is_in_order(&self, i: usize) -> bool {
        let mut last = i64::MIN;
        let mut rises = self.chunks(i).all(|chunk| std::mem::replace(&mut last, chunk.max_ts) < chunk.min_ts);
        for run in self.memory(i) {
            rises &= run.first().is_none_or(|first| last < first);
            last = i64::MAX;
        }
        rises
    }

    /// Both kinds inside `range`, a run a layer, each time in one run and of one kind.
    fn settled(&self, i: usize, range: TimeRange) -> Result<Vec<Samples>, SelectError> {
        let mut runs = Vec::new();
        for chunks in self.runs(i) {
            let mut run = Samples::default();
            self.read_run(i, chunks, range, &mut run.floats)?;
            run.histograms = self.read_histogram_run(i, chunks, range)?;
            runs.push(run);
        }
        runs.extend(self.memory(i).iter().map(|copy| {
            let mut run = Samples::default();
            copy.read(range, &mut run);
            run
        }));
        histograms::settle(&mut runs);
        Ok(runs)
    }

    fn read_histogram_run(
        &self,
        i: usize,
        chunks: &[u32],
        range: TimeRange,
    ) -> Result<Vec<HistogramSample>, SelectError> {
        let (mut run, mut file) = (Vec::new(), 0);
        for chunk in chunks.iter().map(|&chunk| &self.chunks[chunk as usize]) {
            file = chunk.file;
            if let Some(bytes) = chunk.histograms().filter(|_| chunk.touches(range)) {
                histograms::decode_chunk(bytes, &mut run)
                    .map_err(|why| SelectError::Damaged { file: self.files[file as usize].to_string(), why })?;
            }
        }
        run.retain(|sample| range.contains(sample.at));
        tombstone::cut_histograms(&mut run, self.deleted(i, file));
        Ok(run)
    }
}

impl SeriesSet for Selection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.series[i].labels
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        if self.has_histograms(i) {
            merge::merge(self.settled(i, range)?.into_iter().map(|run| run.floats).collect(), out);
            return Ok(());
        }
        if self.is_in_order(i) {
            for chunks in self.runs(i) {
                self.read_run(i, chunks, range, out)?;
            }
            self.memory(i).iter().for_each(|copy| copy.read_floats(range, out));
            return Ok(());
        }
        let mut runs: Vec<Columns> = Vec::new();
        for chunks in self.runs(i) {
            let mut run = Columns::default();
            self.read_run(i, chunks, range, &mut run)?;
            runs.push(run);
        }
        runs.extend(self.memory(i).iter().map(|copy| {
            let mut run = Columns::default();
            copy.read_floats(range, &mut run);
            run
        }));
        merge::merge(runs, out);
        Ok(())
    }

    fn has_histograms(&self, i: usize) -> bool {
        self.memory(i).iter().any(MemoryRun::has_histograms) || self.chunks_hold_histograms(i)
    }

    fn read_histograms(&self, i: usize, range: TimeRange, out: &mut Vec<HistogramSample>) -> Result<(), SelectError> {
        if self.has_histograms(i) {
            let runs = self.settled(i, range)?;
            out.append(&mut histograms::merge(runs.into_iter().map(|run| run.histograms).collect()));
        }
        Ok(())
    }
}

impl StoredChunk {
    /// Its bytes if it holds histograms; these are not kept decoded.
    fn histograms(&self) -> Option<&ChunkBytes> {
        match &self.body {
            ChunkBody::Encoded(bytes) => histograms::holds_histograms(bytes).then_some(bytes),
            ChunkBody::Decoded(_) => None,
        }
    }

    fn touches(&self, range: TimeRange) -> bool {
        self.min_ts < range.end.0 && range.start.0 <= self.max_ts
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
