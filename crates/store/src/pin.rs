//! The store at one moment, as files that stay until they are copied.

use std::sync::Arc;

use lake::Table;

use crate::error::StoreError;
use crate::flush::{APP_ID, flushed_lsn};
use crate::rollup::OpenRollup;
use crate::state::OpenFile;
use crate::store::{Shared, Store, lock};

/// The store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePin {
    /// Version of the chunk table.
    pub chunks_version: u64,
    /// Last log position in its files.
    pub flushed_lsn: u64,
    /// Last log position in `segments`.
    pub log_lsn: u64,
    /// Data files of all tables: key and size. Those that cannot be read are left out.
    pub files: Vec<(String, u64)>,
    /// Data files that the tables name and that cannot be read: key and size.
    pub damaged: Vec<(String, u64)>,
    /// Files that lie in the second object store: they are not copied, the tables name them where they are.
    pub far: u64,
    /// Folders of the tables.
    pub tables: Vec<String>,
    /// Segments of the log, with the bytes that count.
    pub segments: Vec<wal::SegmentInfo>,
}

/// Keeps the data files of a pin on the disk, also when they are compacted away meanwhile.
pub struct PinnedFiles {
    _chunks: Vec<Arc<OpenFile>>,
    _rollups: [Vec<Arc<OpenRollup>>; 2],
}

impl Store {
    /// Calls `copy` while nothing is flushed, compacted or cut from the log; it must take what grows or is replaced (log,
    /// commit logs). The data files stay until the second value is dropped.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the log is not open.
    pub fn pinned<T>(&self, copy: impl FnOnce(&StorePin) -> T) -> Result<(T, StorePin, PinnedFiles), StoreError> {
        let shared: &Shared = &self.shared;
        let log = shared.log()?;
        // In the order in which deletions take them.
        let _no_pass = lock(&shared.compacting);
        let _no_flush = lock(&shared.flushing);
        let layers = shared.tables.state.layers();
        let pin = pin(shared, log.segments());
        Ok((copy(&pin), pin, PinnedFiles { _chunks: layers.files, _rollups: layers.rollups }))
    }
}

fn pin(shared: &Shared, segments: Vec<wal::SegmentInfo>) -> StorePin {
    let tables = &shared.tables;
    let all: Vec<&Arc<Table>> = [&tables.dictionary, &tables.chunks].into_iter().chain(&tables.rollups).collect();
    let chunks = tables.chunks.snapshot();
    let broken: Vec<String> = shared.tables.damage.files().into_iter().map(|file| file.file).collect();
    let snapshots: Vec<_> = all.iter().map(|table| table.snapshot()).collect();
    let entries = snapshots.iter().flat_map(|snapshot| snapshot.files.values());
    // Files in the second object store stay there: the restored table finds them by the same address.
    let far = entries.clone().filter(|entry| entry.is_far()).count() as u64;
    let near = entries.filter(|entry| !entry.is_far()).map(|entry| (entry.key(), entry.size));
    let (damaged, files) = near.partition(|(key, _)| broken.contains(key));
    StorePin {
        chunks_version: chunks.version,
        flushed_lsn: chunks.txns.get(APP_ID).map_or(0, |&version| flushed_lsn(version)),
        log_lsn: segments.last().map_or(0, |segment| segment.last_lsn),
        files,
        damaged,
        far,
        tables: all.iter().map(|table| table.root().to_owned()).collect(),
        segments,
    }
}
