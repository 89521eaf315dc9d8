//! Where the index keeps its rows: in sled, or in memory while the disk takes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::Doubt;

/// sled's default cache is 1 GiB. Building a million rows anew takes half as long again with 32 MiB as with 512 MiB.
const CACHE_BYTES: u64 = 128 << 20;
/// How often, and after which pause, an index that is still locked is tried again.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Keys and values in order of keys.
pub(super) enum Rows {
    /// On disk.
    Sled(sled::Db),
    /// Gone with the process; the log has everything.
    Memory(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>),
}

/// Rows to put (`Some`) or to take away, all or none.
pub(super) type Batch = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

impl Rows {
    pub(super) fn open(path: &Path) -> Result<Self, Doubt> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let mut pauses = LOCK_TRIES;
        loop {
            match config.open() {
                // Whoever had it may be letting go: sled's threads end a moment after the last handle.
                Err(sled::Error::Io(err)) if pauses > 0 && err.to_string().contains("could not acquire lock") => {
                    pauses -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                opened => return Ok(Self::Sled(opened?)),
            }
        }
    }

    pub(super) fn in_memory() -> Self {
        Self::Memory(RwLock::default())
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Sled(db) => db.is_empty(),
            Self::Memory(rows) => rows.read().unwrap_or_else(PoisonError::into_inner).is_empty(),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        match self {
            Self::Sled(db) => Ok(db.get(key)?.map(|value| value.to_vec())),
            Self::Memory(rows) => Ok(rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()),
        }
    }

    pub(super) fn write(&self, batch: Batch) -> Result<(), Doubt> {
        match self {
            Self::Sled(db) => {
                let mut changes = sled::Batch::default();
                for (key, value) in batch {
                    match value {
                        Some(value) => changes.insert(key, value),
                        None => changes.remove(key),
                    }
                }
                db.apply_batch(changes)?;
            }
            Self::Memory(rows) => {
                let mut rows = rows.write().unwrap_or_else(PoisonError::into_inner);
                for (key, value) in batch {
                    match value {
                        Some(value) => drop(rows.insert(key, value)),
                        None => drop(rows.remove(&key)),
                    }
                }
            }
        }
        Ok(())
    }

    /// Visits the rows of `[low, high)` (to the end without `high`), from the largest key down when `reverse`, until
    /// `visit` answers false.
    pub(super) fn scan<E: From<Doubt>>(
        &self,
        low: &[u8],
        high: Option<&[u8]>,
        reverse: bool,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        if high.is_some_and(|high| low >= high) {
            return Ok(());
        }
        let bounds = (Included(low), high.map_or(Unbounded, Excluded));
        match self {
            Self::Sled(db) => {
                let mut rows = db.range::<&[u8], _>(bounds);
                while let Some(row) = if reverse { rows.next_back() } else { rows.next() } {
                    let (key, value) = row.map_err(Doubt::from)?;
                    if !visit(&key, &value)? {
                        break;
                    }
                }
            }
            Self::Memory(rows) => {
                let rows = rows.read().unwrap_or_else(PoisonError::into_inner);
                let mut range = rows.range::<[u8], _>(bounds);
                while let Some((key, value)) = if reverse { range.next_back() } else { range.next() } {
                    if !visit(key, value)? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what sled still holds in memory.
    pub(super) fn flush(&self) -> Result<(), Doubt> {
        if let Self::Sled(db) = self {
            db.flush()?;
        }
        Ok(())
    }
}
