//! What queries see: the active memtable, frozen ones on their way to disk, and the files.
//!
//! A reader clones the three under one lock, so a flush or compaction either has happened for it or has not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lake::{ChunkFile, FileEntry};
use object_store::{ObjectStore, ObjectStoreExt};
use series::TimeRange;

use crate::memtable::Memtable;

/// The layers of the store, oldest log positions last.
#[derive(Clone)]
pub(crate) struct Layers {
    /// Filled by the log's writer.
    pub(crate) active: Arc<Memtable>,
    /// Oldest first.
    pub(crate) frozen: Vec<Arc<Memtable>>,
    /// By rising last log position.
    pub(crate) files: Vec<Arc<OpenFile>>,
}

/// A committed chunk file. Once compacted away it is deleted when its last reader lets go.
pub(crate) struct OpenFile {
    /// Its place in the table.
    pub(crate) entry: FileEntry,
    /// Its reader.
    pub(crate) file: ChunkFile,
    disk: Arc<dyn ObjectStore>,
    doomed: AtomicBool,
}

/// The layers behind a lock.
pub(crate) struct State(RwLock<Layers>);

impl State {
    pub(crate) fn new(files: Vec<Arc<OpenFile>>) -> Self {
        Self(RwLock::new(Layers { active: Arc::default(), frozen: Vec::new(), files }))
    }

    /// A consistent view.
    pub(crate) fn layers(&self) -> Layers {
        self.read().clone()
    }

    /// The table that takes new samples.
    pub(crate) fn active(&self) -> Arc<Memtable> {
        Arc::clone(&self.read().active)
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

    /// Replaces compacted files by their successors; the inputs are deleted when unused.
    pub(crate) fn compacted(&self, inputs: &[Arc<OpenFile>], outputs: Vec<Arc<OpenFile>>) {
        let mut layers = self.write();
        layers.files.retain(|file| !inputs.iter().any(|input| Arc::ptr_eq(input, file)));
        layers.files.extend(outputs);
        layers.files.sort_by_key(|file| file.entry.lsn_hi);
        drop(layers);
        for input in inputs {
            input.doomed.store(true, Ordering::Relaxed);
        }
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
        Ok(Arc::new(Self { entry, file, disk: Arc::clone(disk), doomed: AtomicBool::new(false) }))
    }

    /// Whether a sample may lie in `range`.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.entry.min_ts < range.end.0 && range.start.0 <= self.entry.max_ts
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.doomed.load(Ordering::Relaxed) {
            return;
        }
        // Left behind by a failure, the file is an orphan that the next start collects.
        let key = object_store::path::Path::from(self.entry.key());
        if let Err(err) = futures::executor::block_on(self.disk.delete(&key)) {
            tracing::warn!(file = %self.entry.path, %err, "compacted file not deleted yet");
        }
    }
}
