//! What queries see: the active memtable, frozen ones on their way to disk, the files, and what was deleted from them.
//!
//! A reader clones all of it under one lock, so a flush, compaction or deletion either has happened for it or has not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lake::{ChunkFile, FileEntry};
use object_store::{ObjectStore, ObjectStoreExt};
use series::TimeRange;

use crate::memtable::Memtable;
use crate::rollup::OpenRollup;
use crate::tombstone::Tombstones;

/// Numbers open files of this process.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// The layers of the store, oldest log positions last.
#[derive(Clone)]
pub(crate) struct Layers {
    /// Filled by the log's writer.
    pub(crate) active: Arc<Memtable>,
    /// Oldest first.
    pub(crate) frozen: Vec<Arc<Memtable>>,
    /// By rising last log position.
    pub(crate) files: Vec<Arc<OpenFile>>,
    /// Roll-up files, a list a resolution in the order of [`series::Resolution::ALL`].
    pub(crate) rollups: [Vec<Arc<OpenRollup>>; 2],
    /// What is gone from the files.
    pub(crate) tombstones: Arc<Tombstones>,
}

/// A committed chunk file. Once compacted away it is deleted when its last reader lets go.
pub(crate) struct OpenFile {
    /// Its place in the table.
    pub(crate) entry: FileEntry,
    /// Its reader.
    pub(crate) file: ChunkFile,
    /// Its number in this process: never given twice.
    pub(crate) number: u64,
    /// How many queries have read from it.
    pub(crate) reads: AtomicU64,
    guard: FileGuard,
}

/// Deletes a file when dropped, once it is doomed.
pub(crate) struct FileGuard {
    path: String,
    disk: Arc<dyn ObjectStore>,
    doomed: AtomicBool,
}

/// Files that take the place of others.
#[derive(Default)]
pub(crate) struct Replacement {
    pub(crate) chunks: Swap<OpenFile>,
    /// By resolution number.
    pub(crate) rollups: [Swap<OpenRollup>; 2],
}

/// Files of one table that go, and those that come.
pub(crate) struct Swap<T> {
    pub(crate) old: Vec<Arc<T>>,
    pub(crate) new: Vec<Arc<T>>,
}

impl Replacement {
    pub(crate) fn of_chunks(chunks: Swap<OpenFile>) -> Self {
        Self { chunks, ..Self::default() }
    }

    /// Of the roll-ups with resolution number `i`.
    pub(crate) fn of_rollups(i: usize, swap: Swap<OpenRollup>) -> Self {
        let mut change = Self::default();
        change.rollups[i] = swap;
        change
    }
}

impl<T> Default for Swap<T> {
    fn default() -> Self {
        Self { old: Vec::new(), new: Vec::new() }
    }
}

/// The layers behind a lock.
pub(crate) struct State(RwLock<Layers>);

impl State {
    pub(crate) fn new(files: Vec<Arc<OpenFile>>) -> Self {
        let (frozen, rollups) = (Vec::new(), [Vec::new(), Vec::new()]);
        Self(RwLock::new(Layers { active: Arc::default(), frozen, files, rollups, tombstones: Arc::default() }))
    }

    /// A consistent view.
    pub(crate) fn layers(&self) -> Layers {
        self.read().clone()
    }

    /// The table that takes new samples.
    pub(crate) fn active(&self) -> Arc<Memtable> {
        Arc::clone(&self.read().active)
    }

    /// What is gone from the files.
    pub(crate) fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&self.read().tombstones)
    }

    /// Replaces the list of deletions, in one step for readers.
    pub(crate) fn set_tombstones(&self, tombstones: Tombstones) {
        self.write().tombstones = Arc::new(tombstones);
    }

    /// Freezes the active table unless it is empty; must run where no append is in progress.
    pub(crate) fn freeze(&self) {
        let mut layers = self.write();
        if layers.active.samples() > 0 {
            let full = std::mem::take(&mut layers.active);
            layers.frozen.push(full);
        }
    }

    /// Replaces a flushed table by its files, in one step for readers.
    pub(crate) fn flushed(&self, table: &Arc<Memtable>, files: Vec<Arc<OpenFile>>) {
        let mut layers = self.write();
        layers.frozen.retain(|frozen| !Arc::ptr_eq(frozen, table));
        layers.files.extend(files);
        layers.files.sort_by_key(|file| file.entry.lsn_hi);
    }

    /// Replaces files by their successors, in one step for readers; the former are deleted when unused.
    pub(crate) fn replace(&self, change: Replacement) {
        let mut layers = self.write();
        layers.files.retain(|file| !change.chunks.old.iter().any(|old| Arc::ptr_eq(old, file)));
        layers.files.extend(change.chunks.new);
        layers.files.sort_by_key(|file| file.entry.lsn_hi);
        for (kept, swap) in layers.rollups.iter_mut().zip(change.rollups) {
            kept.retain(|file| !swap.old.iter().any(|old| Arc::ptr_eq(old, file)));
            kept.extend(swap.new);
            kept.sort_by_key(|file| file.entry.min_ts);
            swap.old.iter().for_each(|file| file.guard.doom());
        }
        drop(layers);
        change.chunks.old.iter().for_each(|file| file.guard.doom());
    }

    /// Takes a file that cannot be read out of the view; it is not deleted.
    pub(crate) fn put_aside(&self, file: &OpenFile) {
        self.write().files.retain(|known| !std::ptr::eq(&**known, file));
    }

    /// Memory of all memtables.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let layers = self.read();
        layers.active.bytes() + layers.frozen.iter().map(|table| table.bytes()).sum::<u64>()
    }

    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl OpenFile {
    pub(crate) fn open(disk: &Arc<dyn ObjectStore>, entry: FileEntry) -> Result<Arc<Self>, lake::LakeError> {
        let file = ChunkFile::open(Arc::clone(disk), &entry)?;
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let guard = FileGuard::new(disk, &entry);
        Ok(Arc::new(Self { entry, file, number, reads: AtomicU64::new(0), guard }))
    }

    /// Whether a sample may lie in `range`.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.entry.min_ts < range.end.0 && range.start.0 <= self.entry.max_ts
    }
}

impl FileGuard {
    pub(crate) fn new(disk: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Self {
        Self { path: entry.key(), disk: Arc::clone(disk), doomed: AtomicBool::new(false) }
    }

    /// Deletes the file when its last user lets go.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if !self.doomed.load(Ordering::Relaxed) {
            return;
        }
        // Left behind by a failure, the file is an orphan that the next start collects.
        let key = object_store::path::Path::from(self.path.as_str());
        if let Err(err) = futures::executor::block_on(self.disk.delete(&key)) {
            tracing::warn!(file = %self.path, %err, "replaced file not deleted yet");
        }
    }
}
