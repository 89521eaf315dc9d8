//! What the writer thread and the readers share: the index, its health, how to build it anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use wal::Storage;

use crate::change::decode_record;
use crate::error::ControlError;
use crate::index::{Chain, Doubt, Index};
use crate::snapshot::{self, Snapshot};

use super::record::{CHANGES, Heads};

/// Folders below `control/`.
pub(crate) const LOG_DIR: &str = "control/log";
pub(crate) const SNAPSHOT_DIR: &str = "control/snapshots";
const INDEX_DIR: &str = "control/index";
const QUARANTINE_DIR: &str = "control/quarantine";
/// Doubtful indexes kept for whoever wants to look.
const QUARANTINE_KEPT: usize = 3;

/// The index, or why there is none to believe.
enum State {
    Sound(Box<Index>),
    Doubtful(String),
}

pub(crate) struct Core {
    storage: Arc<dyn Storage>,
    root: PathBuf,
    state: RwLock<State>,
    heads: Mutex<Heads>,
    rebuilds: AtomicU64,
}

impl Core {
    pub(super) fn new(storage: Arc<dyn Storage>, root: &Path) -> Self {
        Self {
            storage,
            root: root.to_owned(),
            state: RwLock::new(State::Doubtful("it is not open yet".to_owned())),
            heads: Mutex::default(),
            rebuilds: AtomicU64::new(0),
        }
    }

    pub(super) fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rebuilds(&self) -> u64 {
        self.rebuilds.load(Ordering::Relaxed)
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.root.join(INDEX_DIR)
    }

    pub(super) fn set_index(&self, index: Index) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Sound(Box::new(index));
    }

    /// Reads from a sound index. A doubt that comes up is noted; `None` asks the caller to have it healed.
    pub(super) fn read<T>(&self, f: impl Fn(&Index) -> Result<T, Doubt>) -> Option<T> {
        let doubt = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sound(index) => match f(index) {
                Ok(value) => return Some(value),
                Err(Doubt(reason)) => reason,
            },
            State::Doubtful(_) => return None,
        };
        self.doubt(doubt);
        None
    }

    /// A durable record: the index follows. If it cannot, the next reader has it built anew from the log.
    pub(super) fn apply(&self, lsn: u64, record: &[u8]) {
        self.heads().commit(lsn);
        let changes = decode_record(record).unwrap_or_default();
        self.read(|index| index.apply(lsn, record, &changes));
    }

    fn doubt(&self, reason: String) {
        tracing::error!(reason, "the control index is in doubt and will be built anew");
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Doubtful(reason);
    }

    pub(super) fn broken(&self) -> ControlError {
        let reason = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sound(_) => "it failed again right after".to_owned(),
            State::Doubtful(reason) => reason.clone(),
        };
        ControlError::Index { reason, path: self.index_path().display().to_string() }
    }

    /// Builds the index anew unless it is sound. Only where nothing is being written: before the log is shared, or in
    /// its writer thread. Answers where the old one was put.
    pub(super) fn heal(&self) -> Result<Option<PathBuf>, ControlError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Sound(_)) {
            return Ok(None);
        }
        self.rebuilds.fetch_add(1, Ordering::Relaxed);
        let (snapshots, _) = snapshot::list(&*self.storage, SNAPSHOT_DIR)?;
        let mut quarantined = None;
        let mut reason = String::new();
        // The log alone comes last: it is complete as long as no snapshot was ever taken, and else better than nothing.
        for from in snapshots.iter().map(Some).chain([None]) {
            let on_disk = self.quarantine().map_err(|error| Doubt(error.to_string())).and_then(|moved| {
                quarantined = quarantined.take().or(moved);
                self.build_on_disk(from)
            });
            // Where the disk takes nothing (full, read-only), snapshot and log still make an index for this process.
            let built = on_disk.or_else(|Doubt(why)| {
                tracing::warn!(why, "the control index cannot be built on disk; trying in memory");
                self.build(from, Index::in_memory)
            });
            match built {
                Ok(index) => {
                    *state = State::Sound(Box::new(index));
                    return Ok(quarantined);
                }
                Err(Doubt(why)) => reason = why,
            }
        }
        *state = State::Doubtful(reason.clone());
        Err(ControlError::Index { reason, path: self.index_path().display().to_string() })
    }

    /// Builds an index in an empty folder; a half-built one is taken away again.
    fn build_on_disk(&self, from: Option<&Snapshot>) -> Result<Index, Doubt> {
        let mut index = None;
        let built = self.build_with(from, |lsn, chain| Index::create(&self.index_path(), lsn, chain), &mut index);
        match (built, index) {
            (Ok(()), Some(index)) => Ok(index),
            (built, index) => {
                drop(index);
                let _ = fs::remove_dir_all(self.index_path());
                Err(built.err().unwrap_or_else(|| Doubt("it was not made".to_owned())))
            }
        }
    }

    /// Puts an index that lives in memory on disk, if the disk takes it again. Only where nothing is being written.
    pub(super) fn settle(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*state, State::Sound(index) if index.is_in_memory()) {
            return;
        }
        let Ok((snapshots, _)) = snapshot::list(&*self.storage, SNAPSHOT_DIR) else { return };
        let moved = self.quarantine().map_err(|error| Doubt(error.to_string()));
        match moved.and_then(|_| self.build_on_disk(snapshots.first())) {
            Ok(index) => {
                tracing::info!("the control index is on disk again");
                *state = State::Sound(Box::new(index));
            }
            Err(Doubt(why)) => tracing::debug!(why, "the control index stays in memory"),
        }
    }

    /// Whether the index lives in memory because the disk takes nothing.
    pub(super) fn is_in_memory(&self) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        matches!(&*state, State::Sound(index) if index.is_in_memory())
    }

    fn build(&self, from: Option<&Snapshot>, make: impl FnOnce(u64, Chain) -> Index) -> Result<Index, Doubt> {
        let mut index = None;
        self.build_with(from, |lsn, chain| Ok(make(lsn, chain)), &mut index)?;
        index.ok_or_else(|| Doubt("it was not made".to_owned()))
    }

    fn build_with(
        &self,
        from: Option<&Snapshot>,
        make: impl FnOnce(u64, Chain) -> Result<Index, Doubt>,
        made: &mut Option<Index>,
    ) -> Result<(), Doubt> {
        let (lsn, chain) = from.map_or((0, Chain::default()), |from| (from.meta.applied_lsn, from.meta.chain));
        let index = &*made.insert(make(lsn, chain)?);
        if let Some(from) = from {
            snapshot::load(&*self.storage, from, index)?;
        }
        let mut failed = None;
        let read = wal::read(&*self.storage, LOG_DIR, lsn, &mut |record| {
            let changes = decode_record(record.payload).filter(|_| record.kind == CHANGES).unwrap_or_default();
            index.apply(record.lsn, record.payload, &changes).map_err(|Doubt(reason)| {
                failed = Some(Doubt(reason.clone()));
                wal::ReplayStop { reason }
            })
        });
        match (failed, read) {
            (Some(doubt), _) => Err(doubt),
            (None, Err(error)) => Err(Doubt(format!("the control log cannot be read: {error}"))),
            (None, Ok(_)) => Ok(()),
        }
    }

    /// Moves the index folder aside, if there is one.
    fn quarantine(&self) -> Result<Option<PathBuf>, ControlError> {
        let path = self.index_path();
        if !path.exists() {
            return Ok(None);
        }
        let fail = |error: io::Error| ControlError::disk("quarantine", &path.display().to_string(), error);
        let dir = self.root.join(QUARANTINE_DIR);
        fs::create_dir_all(&dir).map_err(fail)?;
        let mut old = numbered(&dir).map_err(fail)?;
        let number = old.last().map_or(1, |(number, _)| number + 1);
        let target = dir.join(format!("index-{number:06}"));
        fs::rename(&path, &target).map_err(fail)?;
        old.push((number, target.clone()));
        for (_, path) in &old[..old.len().saturating_sub(QUARANTINE_KEPT)] {
            let _ = fs::remove_dir_all(path);
        }
        tracing::warn!(path = %target.display(), "a doubtful control index was put aside");
        Ok(Some(target))
    }

    /// Writes a snapshot. Only where nothing is being written.
    pub(super) fn snapshot(&self, taken_at: i64) -> Result<Snapshot, ControlError> {
        for _ in 0..2 {
            self.heal()?;
            let written = match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
                State::Sound(index) => snapshot::write(&*self.storage, SNAPSHOT_DIR, index, taken_at)?,
                State::Doubtful(reason) => Err(Doubt(reason.clone())),
            };
            match written {
                Ok(snapshot) => return Ok(snapshot),
                Err(Doubt(reason)) => self.doubt(reason),
            }
        }
        Err(self.broken())
    }

    pub(super) fn remove_snapshot(&self, path: &str) {
        if let Err(error) = self.storage.remove(path).and_then(|()| self.storage.sync_dir(SNAPSHOT_DIR)) {
            tracing::warn!(path, %error, "an old control snapshot could not be removed");
        }
    }

    pub(super) fn flush(&self) {
        if let State::Sound(index) = &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            index.flush();
        }
    }
}

/// Quarantined indexes by number.
fn numbered(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_prefix("index-")?.parse().ok()) {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
