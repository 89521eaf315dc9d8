//! The shared heart of a store: index, layers, metadata and the two Delta tables.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lake::{FileEntry, Table};
use roaring::RoaringBitmap;
use series::{
    Columns, Exemplar, HistogramSample, Labels, Matcher, Metadata, Resolution, RollupSet, Select, SelectError,
    SelectRequest, SeriesExemplars, SeriesId, SeriesSet, TimeRange,
};

use crate::cache::ChunkCache;
use crate::damage::{Damage, Part};
use crate::exemplars::Exemplars;
use crate::index::{SeriesIndex, SeriesNumber};
use crate::payload::LogBatch;
use crate::rollup;
use crate::set::{ChunkBody, Gathering, Selection};
use crate::start::Start;
use crate::state::{Layers, OpenFile, State};
use crate::tombstone::Tombstones;

/// Metric families whose metadata is kept; more are refused so that a sender cannot fill memory with them.
const METADATA_MAX: usize = 200_000;

/// Everything that appends, queries and background work share.
pub(crate) struct Tables {
    pub(crate) chunks: Arc<Table>,
    pub(crate) dictionary: Arc<Table>,
    /// By [`Resolution`] number.
    pub(crate) rollups: [Arc<Table>; 2],
    pub(crate) state: State,
    pub(crate) cache: Arc<ChunkCache>,
    /// Queries wait for its end.
    pub(crate) start: Arc<Start>,
    /// What cannot be read.
    pub(crate) damage: Damage,
    /// See [`series::Recall::seed`].
    pub(crate) spelling_seed: u64,
    index: RwLock<SeriesIndex>,
    metadata: RwLock<BTreeMap<String, Metadata>>,
    /// Whether metadata changed since it was last written to disk.
    metadata_is_new: AtomicBool,
    pub(crate) exemplars: Exemplars,
}

impl Tables {
    #[expect(clippy::too_many_arguments, reason = "the parts of a store, each of a type of its own")]
    pub(crate) fn new(
        chunks: Arc<Table>,
        dictionary: Arc<Table>,
        rollups: [Arc<Table>; 2],
        index: SeriesIndex,
        files: Vec<Arc<OpenFile>>,
        cache: ChunkCache,
        exemplars_max: usize,
        damage: Damage,
        spelling_seed: u64,
    ) -> Self {
        Self {
            chunks,
            dictionary,
            rollups,
            state: State::new(files),
            cache: Arc::new(cache),
            start: Arc::default(),
            damage,
            spelling_seed,
            index: RwLock::new(index),
            metadata: RwLock::default(),
            metadata_is_new: AtomicBool::new(false),
            exemplars: Exemplars::new(exemplars_max),
        }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, SeriesIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, SeriesIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a logged batch visible; runs in the log's writer thread, in log order.
    pub(crate) fn apply(&self, logged: &LogBatch, first_lsn: u64, last_lsn: u64) {
        let active = self.state.active();
        {
            let index = self.index();
            let mut filler = active.filler();
            for (i, &number) in logged.numbers.iter().enumerate() {
                let run = logged.batch.series(i);
                insert(&mut filler, &index, number, run.timestamps, run.values);
                insert_histograms(&mut filler, &index, number, run.histograms);
                if !run.exemplars.is_empty() {
                    self.exemplars.add(number, run.exemplars.iter().cloned());
                }
            }
        }
        active.cover(first_lsn, last_lsn);
        self.add_metadata(logged.batch.metadata());
    }

    /// Exemplars that were written to disk, for the series that are still known.
    pub(crate) fn restore_exemplars(&self, older: Vec<(Labels, Vec<Exemplar>)>) {
        let index = self.index();
        let mut known = Vec::new();
        for (labels, exemplars) in older {
            match index.find(labels.id(), labels.as_ref()) {
                Some(number) => known.extend(exemplars.into_iter().map(|exemplar| (number, exemplar))),
                None => self.exemplars.drop_homeless(exemplars.len() as u64),
            }
        }
        self.exemplars.restore(known);
    }

    /// Remembers metadata, newest wins.
    pub(crate) fn add_metadata(&self, new: &[Metadata]) {
        if new.is_empty() {
            return;
        }
        let mut known = self.metadata.write().unwrap_or_else(PoisonError::into_inner);
        for metadata in new {
            let room = known.len() < METADATA_MAX || known.contains_key(&metadata.metric);
            if room && known.get(&metadata.metric) != Some(metadata) {
                known.insert(metadata.metric.clone(), metadata.clone());
                self.metadata_is_new.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether metadata changed since the last call.
    pub(crate) fn take_metadata_is_new(&self) -> bool {
        self.metadata_is_new.swap(false, Ordering::Relaxed)
    }

    /// Takes [`Tables::take_metadata_is_new`] back.
    pub(crate) fn set_metadata_is_new(&self) {
        self.metadata_is_new.store(true, Ordering::Relaxed);
    }

    pub(crate) fn metadata_of(&self, metric: &str) -> Option<Metadata> {
        self.metadata.read().unwrap_or_else(PoisonError::into_inner).get(metric).cloned()
    }

    fn numbers(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> RoaringBitmap {
        let index = self.index();
        if selectors.is_empty() {
            return index.select(&[], range);
        }
        selectors.iter().fold(RoaringBitmap::new(), |found, matchers| found | index.select(matchers, range))
    }

    /// The series that match any of `selectors`, with samples or without; `None` for all there are.
    fn among(&self, selectors: &[Vec<Matcher>]) -> Option<RoaringBitmap> {
        let index = self.index();
        let matching = selectors.iter().map(|matchers| index.matching(matchers));
        matching.reduce(|found, more| found | more)
    }

    /// Labels and identities of the series that match all of `matchers`, with samples or without.
    pub(crate) fn named(&self, matchers: &[Matcher]) -> Vec<(Labels, SeriesId)> {
        let index = self.index();
        let numbers = index.matching(matchers);
        numbers.into_iter().map(|n| index.entry(n)).map(|entry| (entry.labels.clone(), entry.id)).collect()
    }

    /// Selects from layers that were taken before: a series that a layer holds is then in the index for certain, and a file
    /// that has left the layers is among the damaged ones. With `notes`, what cannot be read is left out and named there.
    pub(crate) fn select_in(
        &self,
        layers: &Layers,
        request: &SelectRequest<'_>,
        mut notes: Option<&mut Vec<String>>,
    ) -> Result<Selection, SelectError> {
        self.damage.find_again(&self.index());
        for lacking in self.damage.lacking(request.matchers, request.range) {
            note(lacking, notes.as_deref_mut())?;
        }
        let (numbers, mut gathering) = {
            let index = self.index();
            let numbers: Vec<_> = index.select(request.matchers, request.range).into_iter().collect();
            if request.series_max > 0 && numbers.len() > request.series_max {
                return Err(SelectError::TooManySeries { found: numbers.len(), limit: request.series_max });
            }
            let entries = numbers.iter().map(|&number| index.entry(number));
            let series = entries.map(|entry| (entry.id, entry.labels.clone())).collect();
            (numbers, Gathering::new(series))
        };
        for file in layers.files.iter().filter(|file| file.overlaps(request.range)) {
            if let Err(err) = gather_chunks(file, request.range, &layers.tombstones, &self.cache, &mut gathering) {
                self.put_aside_if_damaged(file, &err);
                note(lake_fault(&file.entry, &err), notes.as_deref_mut())?;
            }
        }
        gather_memory(layers, request.range, &numbers, &mut gathering);
        Ok(gathering.finish(Arc::clone(&self.cache), request.order))
    }
}

impl Tables {
    /// Until the log has been read an answer would lack acknowledged samples without saying so.
    fn wait_for_log(&self) -> Result<(), SelectError> {
        self.start.wait().map(drop).map_err(|why| SelectError::Io { file: "wal".to_owned(), why })
    }

    /// Puts a file aside that has been found damaged, after a second look: memory and cables fail as well as disks.
    pub(crate) fn put_aside_if_damaged(&self, file: &OpenFile, err: &lake::LakeError) {
        let is_damage = matches!(err, lake::LakeError::Damaged { .. } | lake::LakeError::Missing { .. });
        if is_damage && let Err(err) = file.file.verify() {
            self.damage.put_aside(&file.entry, &err, Part::Chunks);
            self.state.put_aside(file);
        }
    }
}

/// Notes what lacks, or fails with it where nobody takes notes.
fn note(lacking: SelectError, notes: Option<&mut Vec<String>>) -> Result<(), SelectError> {
    let Some(notes) = notes else { return Err(lacking) };
    notes.push(format!("samples are missing from this answer: {lacking}"));
    Ok(())
}

impl Select for Tables {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        self.wait_for_log()?;
        Ok(Box::new(self.select_in(&self.state.layers(), request, None)?))
    }

    fn select_partial(&self, request: &SelectRequest<'_>) -> Result<(Box<dyn SeriesSet>, Vec<String>), SelectError> {
        self.wait_for_log()?;
        let mut notes = Vec::new();
        let set = self.select_in(&self.state.layers(), request, Some(&mut notes))?;
        Ok((Box::new(set), notes))
    }

    fn rollups(&self, resolution: Resolution, request: &SelectRequest<'_>) -> Result<Box<dyn RollupSet>, SelectError> {
        self.wait_for_log()?;
        rollup::select(self, resolution, request)
    }

    fn series(&self, selectors: &[Vec<Matcher>], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SelectError> {
        self.wait_for_log()?;
        let numbers = self.numbers(selectors, range);
        let index = self.index();
        let mut labels: Vec<_> = numbers.into_iter().map(|number| index.entry(number).labels.clone()).collect();
        labels.sort_unstable();
        Ok(cut(labels, limit))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        self.wait_for_log()?;
        let among = self.among(selectors);
        Ok(cut(self.index().names_of(among.as_ref(), range), limit))
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        self.wait_for_log()?;
        let among = self.among(selectors);
        Ok(cut(self.index().values_of(name, among.as_ref(), range), limit))
    }

    fn metadata(&self, metric: Option<&str>) -> Vec<Metadata> {
        match metric {
            Some(metric) => self.metadata_of(metric).into_iter().collect(),
            None => self.metadata.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect(),
        }
    }

    fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Vec<SeriesExemplars>, SelectError> {
        // An exemplar may lie outside the span of its series' samples.
        let numbers = self.numbers(selectors, TimeRange::ALL);
        Ok(self.exemplars.select(&numbers, range, &self.index()))
    }
}

/// Puts samples into a memtable and widens the series' span.
pub(crate) fn insert(
    filler: &mut crate::memtable::Filler<'_>,
    index: &SeriesIndex,
    number: SeriesNumber,
    timestamps: &[i64],
    values: &[f64],
) {
    let (Some(first), Some(last)) = (timestamps.iter().min(), timestamps.iter().max()) else { return };
    filler.add(number, timestamps, values);
    index.entry(number).widen(*first, *last);
}

/// As [`insert`] for native histograms.
pub(crate) fn insert_histograms(
    filler: &mut crate::memtable::Filler<'_>,
    index: &SeriesIndex,
    number: SeriesNumber,
    samples: &[HistogramSample],
) {
    let times = || samples.iter().map(|sample| sample.at.0);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
    filler.add_histograms(number, samples);
    index.entry(number).widen(first, last);
}

/// Fetches the chunks of the series that lie in `range` from one file, in one pass. After an error nothing of the file is
/// in `gathering`.
fn gather_chunks(
    file: &OpenFile,
    range: TimeRange,
    tombstones: &Tombstones,
    cache: &ChunkCache,
    gathering: &mut Gathering,
) -> Result<(), lake::LakeError> {
    let keys = file.file.keys()?;
    let mut wanted: Vec<(u32, u32)> = Vec::new();
    keys.each_of(gathering.owners(), |rows, owner| {
        for row in rows {
            let i = row as usize;
            if keys.min_ts[i] < range.end.0 && range.start.0 <= keys.max_ts[i] {
                wanted.push((row, owner));
            }
        }
    });
    if wanted.is_empty() {
        return Ok(());
    }
    wanted.sort_unstable();
    file.reads.fetch_add(1, Ordering::Relaxed);
    let n_wanted = wanted.len();
    let is_kept = |row: u32| Gathering::is_kept(keys.count[row as usize], n_wanted);
    let mut decoded: Vec<(usize, Arc<Columns>)> = Vec::new();
    let mut rows: Vec<u32> = Vec::with_capacity(wanted.len());
    for (i, &(row, _)) in wanted.iter().enumerate() {
        match is_kept(row).then(|| cache.get((file.number, row))).flatten() {
            Some(columns) => decoded.push((i, columns)),
            None => rows.push(row),
        }
    }
    let mut fetched = file.file.fetch(&rows)?.into_iter();
    let mut decoded = decoded.into_iter().peekable();
    gathering.begin_file(&file.entry.path, n_wanted);
    let mut last_owner = None;
    for (i, (row, owner)) in wanted.into_iter().enumerate() {
        let found = decoded.next_if(|(at, _)| *at == i).map(|(_, columns)| ChunkBody::Decoded(columns));
        let Some(body) = found.or_else(|| fetched.next().map(ChunkBody::Encoded)) else {
            gathering.drop_file();
            return Err(lake::LakeError::Damaged {
                file: file.entry.path.clone(),
                why: "fewer chunks than rows".into(),
            });
        };
        let at = row as usize;
        gathering.chunk(owner, (file.number, row), is_kept(row), (keys.min_ts[at], keys.max_ts[at]), body);
        if last_owner != Some(owner) && !tombstones.list.is_empty() {
            let id = series::SeriesId(keys.series_id[at]);
            gathering.deleted(id, tombstones.ranges_of(&file.entry, id.0));
        }
        last_owner = Some(owner);
    }
    Ok(())
}

fn gather_memory(layers: &Layers, range: TimeRange, numbers: &[SeriesNumber], gathering: &mut Gathering) {
    let tables = layers.frozen.iter().chain([&layers.active]);
    for table in tables.filter(|table| table.overlaps(range)) {
        for (owner, &number) in numbers.iter().enumerate() {
            if let Some(run) = table.copy(number, range) {
                gathering.memory(owner as u32, run);
            }
        }
    }
}

pub(crate) fn lake_fault(file: &FileEntry, err: &lake::LakeError) -> SelectError {
    let (file, why) = (file.key(), err.to_string());
    if matches!(err, lake::LakeError::Damaged { .. } | lake::LakeError::Missing { .. }) {
        SelectError::Damaged { file, why }
    } else {
        SelectError::Io { file, why }
    }
}

fn cut<T>(mut list: Vec<T>, limit: usize) -> Vec<T> {
    if limit > 0 {
        list.truncate(limit);
    }
    list
}
