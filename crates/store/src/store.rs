//! The store: one folder, opened, written, queried, flushed and compacted.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lake::{LakeError, Table, TableKind};
use object_store::ObjectStore;
use roaring::RoaringBitmap;
use series::{Append, Clock, Exemplar, Labels, Select, Timestamp};
use wal::{Log, LogOptions, ReplayReport, ReplayStop, Storage};

use crate::cache::ChunkCache;
use crate::damage::{Damage, DamagedFile, Part};
use crate::delete;
use crate::error::StoreError;
use crate::exemplars;
use crate::flush::{self, APP_ID};
use crate::folder::DataFolder;
use crate::metadata_file;
use crate::options::{RollupTime, StoreOptions};
use crate::payload::LogBatch;
use crate::recover;
use crate::replay::{Counts, Replayer};
use crate::retention::Retention;
use crate::rollup::{self, OpenRollup};
use crate::start::{Guard, Start};
use crate::state::Replacement;
use crate::stats::{Counters, StoreStats};
use crate::tables::Tables;
use crate::tier::{Disks, TierOptions};
use crate::tombstone;
use crate::upkeep::{Memory, Tally};
use crate::write::{Origin, WriteCounts, Writer};

/// Folder of the sample log inside the data folder.
const LOG_DIR: &str = "wal";
/// How often the background thread looks whether there is something to do.
const TICK: Duration = Duration::from_millis(500);
/// The same for files as they age.
const TIDY_TICK: Duration = Duration::from_secs(2);
/// Files that no commit names are removed when older than this: nobody can still be about to commit them.
const ORPHAN_AGE_MS: i64 = 3_600_000;

/// Where file names come from: 128 bits that must never repeat.
pub trait FileIds: Send + Sync {
    /// The next id.
    fn next(&self) -> u128;
}

/// An open store. Dropping it stops the background work; everything acknowledged is in the log or in files.
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    writer: Writer,
    workers: Vec<JoinHandle<()>>,
}

/// Exemplars that a flush has put aside, by series.
type OldExemplars = Vec<(Labels, Vec<Exemplar>)>;

/// A background thread's name and what it does.
type Work = (&'static str, fn(&Shared));

/// What the store's parts share.
pub(crate) struct Shared {
    pub(crate) tables: Arc<Tables>,
    pub(crate) disk: Arc<dyn ObjectStore>,
    pub(crate) disks: Disks,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn FileIds>,
    pub(crate) storage: Arc<dyn Storage>,
    /// Series that the series table describes.
    pub(crate) described: Mutex<RoaringBitmap>,
    start: Arc<Start>,
    /// Nothing of a folder that is only read is flushed, compacted or tidied.
    read_only: bool,
    options: StoreOptions,
    counters: Counters,
    writes: Arc<WriteCounts>,
    /// Held by whatever puts files of new log positions into the tables.
    pub(crate) flushing: Mutex<()>,
    /// Held by whatever replaces files by others: one pass at a time, beside which flushes go on.
    pub(crate) compacting: Mutex<Memory>,
    /// Held while the list of deletions is changed.
    pub(crate) deleting: Mutex<()>,
    pub(crate) tally: Tally,
    /// Until when nothing expires, after the clock jumped.
    pub(crate) expiry_held: Mutex<Option<Instant>>,
    /// When the active memtable got its first sample, seen by the background thread.
    dirty_since: Mutex<Option<Instant>>,
    stop: (Mutex<bool>, Condvar),
    stopped: AtomicBool,
}

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Known series.
    pub series: u64,
    /// Chunk files.
    pub files: u64,
    /// Samples read back from the log.
    pub replayed_samples: u64,
    /// Log records that could not be read although their checksum held.
    pub unreadable_records: u64,
    /// What the log's replay found.
    pub log: ReplayReport,
    /// Files that no commit names and that were removed.
    pub orphans: u64,
}

/// What went from memory to files, and the log position that they now cover.
pub(crate) struct Flushed {
    pub(crate) samples: u64,
    pub(crate) lsn: u64,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Samples that went from memory to files.
    pub samples: u64,
    /// Days compacted.
    pub days_merged: u64,
    /// Chunk files now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Store {
    /// Opens the store of a data folder, replays the log and starts the background threads.
    ///
    /// # Errors
    /// [`StoreError`]: a damaged commit log stops the start. Damaged data files and log records do not: they are put aside,
    /// counted and named.
    pub fn open(
        folder: &DataFolder,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn FileIds>,
    ) -> Result<(Self, OpenReport), StoreError> {
        let store = Self::open_early(folder, options, clock, ids)?;
        let report = store.started()?;
        Ok((store, report))
    }

    /// As [`Store::open`], but returns while the log is still being read on a thread of its own. Until that is over,
    /// writes are answered [`series::AppendError::Starting`], and queries, flushes and background work wait.
    ///
    /// # Errors
    /// As [`Store::open`]; those of the log come from [`Store::started`].
    pub fn open_early(
        folder: &DataFolder,
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn FileIds>,
    ) -> Result<Self, StoreError> {
        let disk = open_disk(folder)?;
        let chunks = open_table(folder, &disk, "default/chunks", TableKind::Chunks)?;
        let series_table = open_table(folder, &disk, "default/series", TableKind::Series)?;
        let storage = folder.storage();
        let damage = Damage::new(Arc::clone(&storage));
        let dictionary = recover::read_dictionary(&disk, &series_table, &damage);
        let disks = Disks::open(Arc::clone(&disk), options.tiers.as_ref())?;
        let files = recover::open_files(&disks, &chunks, &dictionary.index, &damage)?;
        let rollups = open_rollups(folder, &disk)?;
        let flushed = chunks.snapshot().txns.get(APP_ID).map_or(0, |&version| flush::flushed_lsn(version));
        let tables = Arc::new(Tables::new(
            chunks,
            series_table,
            rollups,
            dictionary.index,
            files,
            ChunkCache::new(options.cache_bytes),
            options.exemplars_max,
            damage,
            options.spelling_seed,
        ));
        let start = Arc::clone(&tables.start);
        let kept = metadata_file::read(&*storage);
        tables.add_metadata(&kept.map_err(|source| StoreError::Folder { path: folder.root().to_owned(), source })?);
        tables.take_metadata_is_new();
        open_aged(&disk, &*storage, &tables)?;
        let old_exemplars = exemplars::read(&*storage)
            .map_err(|source| StoreError::Folder { path: folder.root().to_owned(), source })?;

        let described = Mutex::new(dictionary.described);
        let shared = Shared {
            read_only: folder.is_read_only(),
            tables,
            disk,
            disks,
            clock,
            ids,
            storage,
            described,
            start,
            options,
            counters: Counters::default(),
            writes: Arc::default(),
            flushing: Mutex::new(()),
            compacting: Mutex::default(),
            deleting: Mutex::new(()),
            tally: Tally::default(),
            expiry_held: Mutex::new(None),
            dirty_since: Mutex::new(None),
            stop: (Mutex::new(false), Condvar::new()),
            stopped: AtomicBool::new(false),
        };
        Self::start(shared, flushed, old_exemplars)
    }

    fn start(shared: Shared, flushed: u64, old_exemplars: OldExemplars) -> Result<Self, StoreError> {
        let writer = Writer {
            start: Arc::clone(&shared.start),
            tables: Arc::clone(&shared.tables),
            options: shared.options.clone(),
            clock: Arc::clone(&shared.clock),
            counts: Arc::clone(&shared.writes),
            origin: Origin::Sender,
        };
        let shared = Arc::new(shared);
        let work: [Work; 2] = [("store-flush", Shared::work), ("store-tidy", Shared::work_on_files)];
        let spawn = |(name, work): Work| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(name.into()).spawn(move || shared.supervise(name, work))
        };
        let replaying = Arc::clone(&shared);
        let replay = move || replaying.replay(flushed, old_exemplars);
        let replay = std::thread::Builder::new().name("store-replay".into()).spawn(replay);
        let fault = |source| StoreError::Folder { path: "the store's threads".into(), source };
        let mut workers = vec![replay.map_err(fault)?];
        for wanted in work.into_iter().filter(|_| shared.options.background && !shared.read_only) {
            workers.push(spawn(wanted).map_err(fault)?);
        }
        Ok(Self { shared, writer, workers })
    }

    /// The share of the log that has been read, from 0 to 1; `None` once everything is served.
    pub fn starting(&self) -> Option<f64> {
        self.shared.start.progress()
    }

    /// Waits until the log has been read and answers what opening found.
    ///
    /// # Errors
    /// [`StoreError`] of the log, once; [`StoreError::Closed`] to whoever asks again.
    pub fn started(&self) -> Result<OpenReport, StoreError> {
        self.shared.start.report()
    }

    /// The write side for samples from outside.
    pub fn appender(&self) -> Arc<dyn Append> {
        Arc::new(self.writer.clone())
    }

    /// The write side for imports, which may be older than the out-of-order window.
    pub fn import_appender(&self) -> Arc<dyn Append> {
        Arc::new(Writer { origin: Origin::Import, ..self.writer.clone() })
    }

    /// The write side for our own results, which may lie in the future.
    pub fn own_appender(&self) -> Arc<dyn Append> {
        Arc::new(Writer { origin: Origin::Own, ..self.writer.clone() })
    }

    /// The read side.
    pub fn selector(&self) -> Arc<dyn Select> {
        Arc::clone(&self.shared.tables) as Arc<dyn Select>
    }

    /// Returns when everything acknowledged before the call is in files, and with `merge` also compacted.
    ///
    /// # Errors
    /// [`StoreError`]; the samples then stay in the log and in memory.
    pub fn flush(&self, merge: bool) -> Result<FlushReport, StoreError> {
        self.shared.flush(merge)
    }

    /// Does now what the background thread does to files as they age: merges what is due, drops what has expired, cleans
    /// what was deleted.
    ///
    /// # Errors
    /// [`StoreError`] of the first day that failed, after the others had their turn.
    pub fn tidy(&self) -> Result<(), StoreError> {
        let mut memory = lock(&self.shared.compacting);
        memory.forget_pauses();
        self.shared.tidy(&mut memory)
    }

    /// Tries a log that refuses writes at once, instead of at its next probe.
    ///
    /// # Errors
    /// [`StoreError::Log`]: why it still refuses.
    pub fn resume(&self) -> Result<(), StoreError> {
        Ok(self.shared.log()?.resume()?)
    }

    /// Segments of the log on disk, relative to the data folder.
    pub fn log_segments(&self) -> Vec<wal::SegmentInfo> {
        self.shared.start.log().map_or_else(Vec::new, |log| log.segments())
    }

    /// Files that cannot be read, with what is wrong with each.
    pub fn damaged_files(&self) -> Vec<DamagedFile> {
        self.shared.tables.damage.files()
    }

    /// Figures for `/metrics` and the status pages.
    pub fn stats(&self) -> StoreStats {
        self.shared.stats()
    }

    /// Metric names with their number of series, largest first.
    pub fn cardinality(&self, label: &str) -> Vec<(String, u64)> {
        let mut counts = self.shared.tables.index().cardinality(label);
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Label names with their number of values, largest first.
    pub fn values_per_label(&self) -> Vec<(String, u64)> {
        let mut counts = self.shared.tables.index().values_per_name();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Stops background work and the log; called by drop as well.
    pub fn close(&mut self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        *lock(&self.shared.stop.0) = true;
        self.shared.stop.1.notify_all();
        for worker in self.workers.drain(..) {
            // A panic of the worker was logged by its hook; there is nothing left to stop.
            drop(worker.join());
        }
        if let Some(log) = self.shared.start.log() {
            log.close();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// The replay thread: reads the log back, then lets everybody in.
    fn replay(&self, flushed: u64, old_exemplars: OldExemplars) {
        let guard = Guard(Arc::clone(&self.start));
        let opened = self.read_log(flushed).map(|(log, log_report, read)| {
            self.tables.restore_exemplars(old_exemplars);
            self.tables.damage.find_again(&self.tables.index());
            let report = OpenReport {
                series: self.tables.index().len() as u64,
                files: self.tables.state.layers().files.len() as u64,
                replayed_samples: read.samples,
                unreadable_records: read.unreadable,
                log: log_report,
                orphans: if self.read_only { 0 } else { remove_orphans(&self.tables, &self.disks, self.clock.now()) },
            };
            (log, report)
        });
        self.start.finish(opened);
        drop(guard);
    }

    fn read_log(&self, flushed: u64) -> Result<(Arc<Log<LogBatch>>, ReplayReport, Counts), StoreError> {
        let replayer = Replayer::new(&self.tables, flushed);
        let mut replayer =
            replayer.map_err(|source| StoreError::Folder { path: "the replay's threads".into(), source })?;
        let opened = self.open_log(flushed, &mut replayer);
        let read = replayer.finish();
        opened.map(|(log, report)| (log, report, read))
    }

    fn open_log(
        &self,
        flushed: u64,
        replayer: &mut Replayer,
    ) -> Result<(Arc<Log<LogBatch>>, ReplayReport), StoreError> {
        let log_options =
            LogOptions { sync: self.options.sync, queue_bytes_max: self.options.queue_bytes, ..LogOptions::default() };
        self.start.expect(log_bytes(&*self.storage));
        let visible = Arc::clone(&self.tables);
        let (log, report) = Log::open(
            Arc::clone(&self.storage),
            LOG_DIR,
            log_options,
            flushed,
            &mut |record| {
                if self.is_stopped() {
                    return Err(ReplayStop { reason: "the store is closing".to_owned() });
                }
                self.start.advance((record.payload.len() + wal::RECORD_HEADER_BYTES) as u64);
                replayer.record(&record);
                Ok(())
            },
            Box::new(move |batch: &LogBatch, lsns| visible.apply(batch, lsns.first, lsns.last)),
        )?;
        Ok((Arc::new(log), report))
    }

    /// The log, once it is open.
    pub(crate) fn log(&self) -> Result<&Arc<Log<LogBatch>>, StoreError> {
        self.start.wait().map_err(|_| StoreError::Closed)
    }

    fn flush(&self, merge: bool) -> Result<FlushReport, StoreError> {
        let started = Instant::now();
        let samples = {
            let _one = lock(&self.flushing);
            self.flush_memory()?.samples
        };
        self.counters.flushed(samples, started.elapsed());
        let mut report = FlushReport { samples, ..FlushReport::default() };
        if merge {
            report.days_merged = self.merge_everything()?;
        }
        let layers = self.tables.state.layers();
        report.files = layers.files.len() as u64;
        report.bytes = layers.files.iter().map(|file| file.entry.size).sum();
        Ok(report)
    }

    /// Puts everything up to this moment into files; the flush lock must be held.
    pub(crate) fn flush_memory(&self) -> Result<Flushed, StoreError> {
        self.freeze()?;
        self.keep_exemplars()?;
        self.keep_metadata()?;
        let mut samples = 0;
        for table in self.tables.state.layers().frozen {
            flush::flush_table(self, &table)?;
            samples += table.samples();
        }
        let flushed = self.tables.chunks.snapshot().txns.get(APP_ID).map_or(0, |&v| flush::flushed_lsn(v));
        self.log()?.truncate_below(flushed)?;
        Ok(Flushed { samples, lsn: flushed })
    }

    /// Before the commit that says which part of the log is no longer read at a start.
    fn keep_exemplars(&self) -> Result<(), StoreError> {
        let labels_of = |number| self.tables.index().entry(number).labels.clone();
        let fault = |source| StoreError::Folder { path: "exemplars.json".into(), source };
        self.tables.exemplars.keep(&*self.storage, labels_of).map_err(fault)
    }

    /// Before the commit behind which a start no longer reads the log that holds new metadata.
    fn keep_metadata(&self) -> Result<(), StoreError> {
        if !self.tables.take_metadata_is_new() {
            return Ok(());
        }
        metadata_file::write(&*self.storage, &self.tables.metadata(None)).map_err(|source| {
            self.tables.set_metadata_is_new();
            StoreError::Folder { path: "metadata.json".into(), source }
        })
    }

    /// Runs `work` until it returns by itself: a panic is counted and said, and the work taken up again.
    fn supervise(&self, name: &str, work: fn(&Self)) {
        while std::panic::catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.counters.failed(false);
            tracing::error!(thread = name, "panicked; samples stay in the log, it is tried again");
            if self.wait(TICK * 10) {
                return;
            }
        }
    }

    /// Freezes the active memtable between two commits of the log.
    fn freeze(&self) -> Result<(), StoreError> {
        let (send, receive) = sync_channel(1);
        let tables = Arc::clone(&self.tables);
        self.log()?.exclusive(Box::new(move |_| {
            tables.state.freeze();
            let _ = send.send(()); // The caller waits below; if it is gone, nobody is left to tell.
        }));
        *lock(&self.dirty_since) = None;
        receive.recv().map_err(|_| StoreError::Closed)
    }

    fn work(&self) {
        if self.log().is_err() {
            return;
        }
        while !self.wait(if self.counters.failing() { TICK * 10 } else { TICK }) {
            let outcome = if self.is_due() { self.flush(false).map(drop) } else { Ok(()) };
            if let Err(err) = outcome {
                self.counters.failed(is_disk_full(&err));
                self.put_damaged_aside(&err);
                tracing::error!(%err, "flush failed; samples stay in the log, it is tried again");
            }
        }
    }

    fn work_on_files(&self) {
        if self.log().is_err() {
            return;
        }
        let mut pause = TIDY_TICK;
        while !self.wait(pause) {
            pause = TIDY_TICK;
            let mut memory = lock(&self.compacting);
            self.watch_clock(&mut memory);
            if let Err(err) = self.tidy(&mut memory) {
                pause = TIDY_TICK * 10;
                self.counters.compaction_failed();
                self.put_damaged_aside(&err);
                tracing::error!(%err, "compaction failed; the files stay as they are, it is tried again");
            }
        }
    }

    /// A file that fails its checksum would stop every later compaction of its day.
    fn put_damaged_aside(&self, err: &StoreError) {
        let StoreError::Lake(err @ (LakeError::Damaged { file, .. } | LakeError::Missing { file })) = err else {
            return;
        };
        let layers = self.tables.state.layers();
        if let Some(open) = layers.files.iter().find(|open| open.entry.key() == *file || open.entry.path == *file) {
            self.tables.put_aside_if_damaged(open, err);
        }
    }

    /// How long samples and roll-ups are kept.
    pub(crate) fn retention(&self) -> &Retention {
        &self.options.retention
    }

    /// When roll-ups are written.
    pub(crate) fn rollups(&self) -> RollupTime {
        self.options.rollups
    }

    /// Where and when files move.
    pub(crate) fn tiers(&self) -> Option<&TierOptions> {
        self.options.tiers.as_ref()
    }

    /// Whether the store closes: long work then ends at its next step.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Sleeps; true when the store closes.
    fn wait(&self, pause: Duration) -> bool {
        let stop = lock(&self.stop.0);
        let (stop, _) =
            self.stop.1.wait_timeout_while(stop, pause, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *stop
    }

    fn is_due(&self) -> bool {
        let layers = self.tables.state.layers();
        let is_large = layers.active.bytes() >= self.options.memtable_bytes.min(self.options.fresh_bytes / 2);
        let log_is_long = layers.active.samples() > 0 && self.log_bytes() >= self.options.log_bytes;
        if !layers.frozen.is_empty() || is_large || log_is_long {
            return true;
        }
        let mut since = lock(&self.dirty_since);
        if layers.active.samples() == 0 {
            *since = None;
            return false;
        }
        let age = since.get_or_insert_with(Instant::now).elapsed();
        age.as_millis() as i64 >= self.options.memtable_age.0
    }

    fn log_bytes(&self) -> u64 {
        self.start.log().map_or(0, |log| log.bytes())
    }

    fn stats(&self) -> StoreStats {
        let layers = self.tables.state.layers();
        let mut stats = StoreStats {
            series: self.tables.index().len() as u64,
            index_bytes: self.tables.index().bytes(),
            memtable_bytes: self.tables.state.memory_bytes(),
            memtable_samples: layers.active.samples() + layers.frozen.iter().map(|table| table.samples()).sum::<u64>(),
            log_bytes: self.log_bytes(),
            log: self.start.log().map(|log| log.stats()).unwrap_or_default(),
            files: layers.files.len() as u64,
            file_bytes: layers.files.iter().map(|file| file.entry.size).sum(),
            file_samples: layers.files.iter().map(|file| file.entry.samples).sum(),
            appended_samples: self.writes.samples.load(Ordering::Relaxed),
            appended_histograms: self.writes.histograms.load(Ordering::Relaxed),
            appended_exemplars: self.writes.exemplars.load(Ordering::Relaxed),
            exemplars: self.tables.exemplars.len() as u64,
            dropped_exemplars: self.tables.exemplars.dropped(),
            rejected_samples: self.writes.rejected.load(Ordering::Relaxed),
            failed_batches: self.writes.failed_batches.load(Ordering::Relaxed),
            damaged_files: self.tables.damage.files().len() as u64,
            unknown_series: self.tables.damage.unknown_series(),
            ..StoreStats::default()
        };
        let far = || layers.files.iter().map(|file| &file.entry).filter(|entry| entry.is_far());
        stats.described_series = lock(&self.described).len();
        stats.series_files = self.tables.dictionary.snapshot().files.len() as u64;
        stats.far_files = far().count() as u64;
        stats.far_bytes = far().map(|entry| entry.size).sum();
        let rollups = || layers.rollups.iter().flatten().map(|file| &file.entry);
        stats.rollup_files = rollups().count() as u64;
        stats.rollup_bytes = rollups().map(|entry| entry.size).sum();
        stats.rollup_rows = rollups().map(|entry| entry.rows).sum();
        stats.cache = self.tables.cache.stats();
        stats.tombstones = layers.tombstones.list.len() as u64;
        self.counters.fill(&mut stats);
        self.tally.fill(&mut stats);
        stats
    }
}

fn open_rollups(folder: &DataFolder, disk: &Arc<dyn ObjectStore>) -> Result<[Arc<Table>; 2], StoreError> {
    let open = |prefix| open_table(folder, disk, prefix, TableKind::Rollup);
    Ok([open(rollup::FOLDERS[0])?, open(rollup::FOLDERS[1])?])
}

fn open_disk(folder: &DataFolder) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let open = if folder.is_read_only() { lake::local_to_read } else { lake::durable_local };
    Ok(open(folder.root())?)
}

fn open_table(
    folder: &DataFolder,
    disk: &Arc<dyn ObjectStore>,
    prefix: &str,
    kind: TableKind,
) -> Result<Arc<Table>, StoreError> {
    if !folder.is_read_only() {
        return Ok(Arc::new(Table::open_or_create(Arc::clone(disk), prefix, kind)?));
    }
    let table = Table::open_existing(Arc::clone(disk), prefix, kind)?;
    table.map(Arc::new).ok_or_else(|| StoreError::Lake(LakeError::Missing { file: format!("{prefix}/_delta_log") }))
}

/// Whether the disk has no room. The object store hands the system's words on and not its code.
fn is_disk_full(err: &StoreError) -> bool {
    match err {
        StoreError::Log(wal::LogError::DiskFull { .. }) => true,
        StoreError::Folder { source, .. } => wal::is_disk_full(source),
        err => err.to_string().contains("No space left"),
    }
}

/// Opens what files have come to with age: roll-ups, and what was deleted from them.
fn open_aged(disk: &Arc<dyn ObjectStore>, storage: &dyn Storage, tables: &Tables) -> Result<(), StoreError> {
    let mut change = Replacement::default();
    for (table, swap) in tables.rollups.iter().zip(&mut change.rollups) {
        for entry in table.snapshot().files.values() {
            match OpenRollup::open(disk, entry.clone()) {
                Ok(file) => swap.new.push(file),
                Err(err) => tables.damage.put_aside(entry, &err, Part::Rollups),
            }
        }
    }
    tables.state.replace(change);
    tables.state.set_tombstones(tombstone::read(storage, |selectors| delete::ids_of(tables, selectors))?);
    Ok(())
}

/// Bytes of the log's segments; 0 when they cannot be told, which only costs the progress.
fn log_bytes(storage: &dyn Storage) -> u64 {
    let names = storage.list(LOG_DIR).unwrap_or_default();
    names.iter().filter_map(|name| storage.len(&format!("{LOG_DIR}/{name}")).ok()).sum()
}

/// A failure to tidy up is logged and tried again at the next start: it must not keep the store from opening.
fn remove_orphans(tables: &Tables, disks: &Disks, now: Timestamp) -> u64 {
    let mut removed = 0;
    for table in [&tables.chunks, &tables.dictionary, &tables.rollups[0], &tables.rollups[1]] {
        match lake::remove_orphans(table, now.0, ORPHAN_AGE_MS) {
            Ok(orphans) => removed += orphans.removed,
            Err(err) => tracing::warn!(%err, "unnamed files not collected"),
        }
    }
    if let Some(far) = &disks.far {
        match lake::remove_strays(&tables.chunks, far, now.0, ORPHAN_AGE_MS) {
            Ok(orphans) => removed += orphans.removed,
            Err(err) => tracing::warn!(%err, "unnamed files of the second store not collected"),
        }
    }
    removed
}

/// The guarded values stay consistent at every step, so a panic elsewhere does not make them unusable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
