//! The index: a sled database that can be thrown away at any time, or the same in memory while the disk takes nothing.
//!
//! Every batch also writes what the whole must look like: the last record applied, the hash chain of the log up to it,
//! the number of rows of each kind and a sum over all rows (each row's BLAKE3, added modulo 2^128, so that rows can be
//! added and taken away one by one). Opening reads every row and compares.

mod meta;
mod rows;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::change::{RawChange, checked_value};
use crate::kind::Kind;
pub(crate) use meta::{Chain, ENCODED_BYTES as META_BYTES, Meta};
use rows::{Batch, Rows};

/// Below all kinds' keys.
const META_KEY: &[u8] = b"\0meta";

/// A reason not to believe the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doubt(pub(crate) String);

impl From<sled::Error> for Doubt {
    fn from(error: sled::Error) -> Self {
        Self(format!("sled: {error}"))
    }
}

pub(crate) struct Index {
    rows: Rows,
    meta: Mutex<Meta>,
}

/// Which rows to read, see [`crate::ScanRange`].
pub(crate) struct RowRange {
    pub(crate) low: Vec<u8>,
    /// Exclusive.
    pub(crate) high: Vec<u8>,
    pub(crate) reverse: bool,
    pub(crate) limit: usize,
}

/// A row: key and value, from a scan without kind and checksum.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

impl Index {
    /// An empty index in a new folder, standing at `meta`'s record.
    pub(crate) fn create(path: &Path, applied_lsn: u64, chain: Chain) -> Result<Self, Doubt> {
        careful(|| {
            let rows = Rows::open(path)?;
            if !rows.is_empty() {
                return Err(Doubt("a new index is not empty".to_owned()));
            }
            Ok(Self { rows, meta: Mutex::new(Meta::empty_at(applied_lsn, chain)) })
        })
    }

    /// An empty index in memory.
    pub(crate) fn in_memory(applied_lsn: u64, chain: Chain) -> Self {
        Self { rows: Rows::in_memory(), meta: Mutex::new(Meta::empty_at(applied_lsn, chain)) }
    }

    /// Whether it goes with the process.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.rows.is_in_memory()
    }

    /// Opens an index and checks every row of it.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, Doubt> {
        if !path.exists() {
            return Err(Doubt("there is none".to_owned()));
        }
        careful(|| {
            let rows = Rows::open(path)?;
            let stored = rows.get(META_KEY)?.ok_or_else(|| Doubt("it does not say what it holds".to_owned()))?;
            let meta = Meta::decode(&stored).ok_or_else(|| Doubt("its summary is damaged".to_owned()))?;
            let mut found = Meta::empty_at(meta.applied_lsn, meta.chain);
            rows.scan(&[], None, false, |key, value| {
                if *key != *META_KEY {
                    checked_value(key, value).ok_or_else(|| Doubt("a row's checksum fails".to_owned()))?;
                    found.add(key, value);
                }
                Ok::<_, Doubt>(true)
            })?;
            if found != meta {
                return Err(Doubt(format!("it holds {} rows where {} should be", found.rows(), meta.rows())));
            }
            Ok(Self { rows, meta: Mutex::new(meta) })
        })
    }

    /// What it stands at.
    pub(crate) fn meta(&self) -> Meta {
        self.lock().clone()
    }

    /// Applies the changes of one record in one transaction. Records at or below the last applied one are passed over.
    pub(crate) fn apply(&self, lsn: u64, record: &[u8], changes: &[RawChange<'_>]) -> Result<(), Doubt> {
        careful(|| {
            let mut meta = self.lock();
            if lsn <= meta.applied_lsn {
                return Ok(());
            }
            let mut next = meta.clone();
            next.applied_lsn = lsn;
            next.chain = next.chain.after(record);
            self.write(changes, &mut next)?;
            *meta = next;
            Ok(())
        })
    }

    /// Loads rows of a snapshot, whose keys must all be new; the record number stays.
    pub(crate) fn load(&self, rows: &[Row]) -> Result<(), Doubt> {
        careful(|| {
            let mut meta = self.lock();
            let mut batch = Batch::new();
            for (key, value) in rows {
                meta.add(key, value);
                batch.insert(key.clone(), Some(value.clone()));
            }
            batch.insert(META_KEY.to_vec(), Some(meta.encode()));
            self.rows.write(batch)
        })
    }

    fn write(&self, changes: &[RawChange<'_>], meta: &mut Meta) -> Result<(), Doubt> {
        // What earlier changes of this batch have made of a key is in the batch.
        let mut batch = Batch::new();
        for change in changes {
            match batch.get(change.key) {
                Some(Some(old)) => meta.remove(change.key, old),
                Some(None) => {}
                None => {
                    if let Some(old) = self.rows.get(change.key)? {
                        meta.remove(change.key, &old);
                    }
                }
            }
            if let Some(value) = change.value {
                meta.add(change.key, value);
            }
            batch.insert(change.key.to_vec(), change.value.map(<[u8]>::to_vec));
        }
        batch.insert(META_KEY.to_vec(), Some(meta.encode()));
        self.rows.write(batch)
    }

    /// The JSON at a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Doubt> {
        careful(|| {
            let Some(stored) = self.rows.get(key)? else { return Ok(None) };
            let json = checked_value(key, &stored).ok_or_else(|| Doubt("a row's checksum fails".to_owned()))?;
            Ok(Some(json.to_vec()))
        })
    }

    /// Rows of one kind.
    pub(crate) fn scan(&self, range: &RowRange) -> Result<Vec<Row>, Doubt> {
        careful(|| {
            let mut rows = Vec::new();
            if range.limit == 0 {
                return Ok(rows);
            }
            self.rows.scan(&range.low, Some(&range.high), range.reverse, |key, value| {
                let json = checked_value(key, value).ok_or_else(|| Doubt("a row's checksum fails".to_owned()))?;
                rows.push((key[1..].to_vec(), json.to_vec()));
                Ok::<_, Doubt>(rows.len() < range.limit)
            })?;
            Ok(rows)
        })
    }

    /// All rows as stored, in order of keys.
    pub(crate) fn dump<E: From<Doubt>>(&self, mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        self.rows.scan(&[], None, false, |key, value| {
            if *key != *META_KEY {
                visit(key, value)?;
            }
            Ok(true)
        })
    }

    /// Entries of a kind.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.lock().count(kind.number())
    }

    /// Writes what sled still holds in memory; only makes the next start quicker.
    pub(crate) fn flush(&self) {
        if let Err(Doubt(error)) = self.rows.flush() {
            tracing::warn!(error, "the control index could not be flushed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// sled panics on some damage; that is doubt, not a reason to die.
pub(crate) fn careful<T, E: From<Doubt>>(f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(Doubt("sled panicked".to_owned()).into()))
}
