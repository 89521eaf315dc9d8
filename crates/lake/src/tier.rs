//! Data files in a second object store: copied and checked first, then named by a commit, then removed where they were.
//!
//! A file elsewhere has an absolute path in the log (`<base>/<table>/date=…/….parquet`), as Delta allows; inside either
//! store its key is the same. What a crash leaves behind is a file that no version names, in one store or the other.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::blocking::wait;
use crate::chunk_file::ChunkFile;
use crate::entry::FileEntry;
use crate::error::LakeError;
use crate::log;
use crate::orphans::Orphans;
use crate::table::Table;

/// A second object store and its address, without a slash at the end.
#[derive(Clone)]
pub struct FarStore {
    /// Such as `file:///mnt/slow/metrics`.
    pub base: String,
    /// The store at that address.
    pub store: Arc<dyn ObjectStore>,
}

impl std::fmt::Debug for FarStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FarStore").field("base", &self.base).finish()
    }
}

/// Opens the store at `url`. `file://` and an absolute path is known; the path's characters are letters, digits and
/// `-._~/`, since they stand in the log as they are.
///
/// # Errors
/// [`LakeError::Invalid`] for an address that is not understood, [`LakeError::Io`] when the folder cannot be used.
pub fn open_far(url: &str) -> Result<FarStore, LakeError> {
    let base = url.trim_end_matches('/').to_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    match base.strip_prefix("file://") {
        Some(path) if path.starts_with('/') && path.chars().all(plain) => {
            let store = crate::durable_local(std::path::Path::new(path))?;
            Ok(FarStore { base, store })
        }
        Some(_) => Err(LakeError::invalid(url, "its path must be absolute, of letters, digits and -._~/ alone")),
        None => Err(LakeError::invalid(url, "only file:// addresses are known")),
    }
}

/// Copies the chunk file `entry` from one store into the other under a new name made from `uuid` (`base` is the other's
/// address, `None` for the table's own store), reads the copy back in full, and answers its entry.
///
/// # Errors
/// [`LakeError::Missing`], [`LakeError::Damaged`] (the copy is then removed), [`LakeError::Io`].
pub fn copy_chunk_file(
    entry: &FileEntry,
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    base: Option<&str>,
    uuid: u128,
) -> Result<FileEntry, LakeError> {
    let date = entry.date.as_deref().unwrap_or_default();
    let name = format!("date={date}/{}-{}-{}.parquet", entry.level, entry.min_ts, log::uuid_text(uuid));
    let path = base.map_or_else(|| name.clone(), |base| format!("{base}/{}/{name}", entry.root));
    let copy = FileEntry { path, ..entry.clone() };
    let source = Path::from(entry.key().as_str());
    let bytes: Bytes = match wait(async { from.get(&source).await?.bytes().await }) {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound { .. }) => return Err(LakeError::Missing { file: entry.path.clone() }),
        Err(error) => return Err(LakeError::Io { action: "read", file: entry.path.clone(), why: error.to_string() }),
    };
    let target = Path::from(copy.key().as_str());
    wait(to.put_opts(&target, PutPayload::from(bytes), PutMode::Create.into())).map_err(|error| LakeError::Io {
        action: "write",
        file: copy.path.clone(),
        why: error.to_string(),
    })?;
    if let Err(fault) = ChunkFile::open(Arc::clone(to), &copy).and_then(|file| file.verify()) {
        // Whether it goes now or as a stray later: no version names it.
        drop(wait(to.delete(&target)));
        return Err(fault);
    }
    Ok(copy)
}

/// Deletes data files of `table` in `far` that no live version names and that were last written more than `age_millis`
/// before `now`.
///
/// # Errors
/// [`LakeError::Io`] when listing or deleting fails, [`LakeError::Damaged`] when the log cannot be read: then nothing is
/// deleted.
pub fn remove_strays(table: &Table, far: &FarStore, now: i64, age_millis: i64) -> Result<Orphans, LakeError> {
    let fault = |action, file: &Path, error: StoreError| LakeError::Io {
        action,
        file: format!("{}/{file}", far.base),
        why: error.to_string(),
    };
    let root = Path::from(table.root());
    // Listed first: a file that is committed in between is then in the snapshot.
    let listed: Vec<ObjectMeta> =
        wait(far.store.list(Some(&root)).try_collect()).map_err(|error| fault("list", &root, error))?;
    let snapshot = table.refresh()?;
    let mut found = Orphans::default();
    for object in listed {
        let path = format!("{}/{}", far.base, object.location);
        if !path.ends_with(".parquet") || snapshot.files.contains_key(&path) {
            continue;
        }
        if object.last_modified.timestamp_millis() >= now.saturating_sub(age_millis) {
            found.waiting += 1;
            continue;
        }
        match wait(far.store.delete(&object.location)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {
                found.removed += 1;
                found.removed_bytes += object.size;
            }
            Err(error) => return Err(fault("delete", &object.location, error)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChunkRow, Commit, TableKind};

    const FOREVER: i64 = i64::MAX / 2;

    fn commit(table: &Table, adds: Vec<FileEntry>, removes: Vec<String>, id: u128) {
        let commit = Commit { adds, removes, txns: vec![], operation: "OPTIMIZE", at: 5, id, data_change: false };
        table.commit(commit).expect("committed");
    }

    #[test]
    fn a_file_moves_away_and_back_and_strays_are_collected() {
        let (near, far) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let store = crate::durable_local(near.path()).expect("opens");
        let table = Table::open_or_create(Arc::clone(&store), "t/chunks", TableKind::Chunks).expect("created");
        let row = ChunkRow::encode(Arc::from("up"), 7, &[1, 2, 3], &[1.0, 2.0, 3.0]);
        let file = crate::encode_chunk_file(&[row]).expect("encodes");
        let here = table.put_file(Some("1970-01-01"), 2, 1, 1, file, 1, 2).expect("written");
        commit(&table, vec![here.clone()], vec![], 1);

        let away = open_far(&format!("file://{}/", far.path().display())).expect("opens");
        let there = copy_chunk_file(&here, &store, &away.store, Some(&away.base), 2).expect("copied");
        assert!(there.is_far() && !here.is_far());
        assert!(there.path.starts_with("file:///") && there.key().starts_with("t/chunks/date=1970-01-01/2-1-"));
        let stray = copy_chunk_file(&here, &store, &away.store, Some(&away.base), 3).expect("copied");
        commit(&table, vec![there.clone()], vec![here.path.clone()], 2);
        assert_eq!(remove_strays(&table, &away, FOREVER, 0).expect("swept").removed, 1);
        assert!(ChunkFile::open(Arc::clone(&away.store), &stray).is_err());

        // Another handle reads the same from the log.
        let again = Table::open_or_create(Arc::clone(&store), "t/chunks", TableKind::Chunks).expect("opens");
        let known = again.snapshot().files[&there.path].clone();
        let file = ChunkFile::open(Arc::clone(&away.store), &known).expect("opens");
        assert_eq!(file.fetch(&[0]).expect("read").len(), 1);
        let back = copy_chunk_file(&known, &away.store, &store, None, 4).expect("copied");
        commit(&table, vec![back.clone()], vec![there.path.clone()], 3);
        assert!(!back.is_far());
        assert_eq!(remove_strays(&table, &away, FOREVER, 0).expect("swept").removed, 1);
    }

    #[test]
    fn addresses_that_are_not_understood_are_named() {
        for url in ["s3://bucket/x", "file://relative", "file:///with space", "/plain"] {
            assert!(matches!(open_far(url), Err(LakeError::Invalid { .. })), "{url}");
        }
    }
}
