//! Removing files that no version names any more.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};

use crate::blocking::wait;
use crate::error::LakeError;
use crate::log::Snapshot;
use crate::table::Table;

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orphans {
    /// Files removed.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Files in no live version that are still too young.
    pub waiting: u64,
}

/// Deletes data files of `table` that are in no live version and older than `age_millis` at `now` (milliseconds): files
/// that were never committed, by their last modification, and removed ones, by the time of their removal. `age_millis`
/// must be longer than the longest flush and the longest query; a day is usual.
///
/// # Errors
/// [`LakeError::Io`] when listing or deleting fails, [`LakeError::Damaged`] when the log cannot be read: then nothing is
/// deleted.
pub fn remove_orphans(table: &Table, now: i64, age_millis: i64) -> Result<Orphans, LakeError> {
    // Listed first: a file that is committed in between is then in the snapshot, one written in between not in the list.
    let root = Path::from(table.root());
    let listed: Vec<ObjectMeta> =
        wait(table.store().list(Some(&root)).try_collect()).map_err(|error| fault("list", &root, error))?;
    let snapshot = table.refresh()?;
    let oldest = now.saturating_sub(age_millis);
    let mut result = Orphans::default();
    for object in listed {
        let Some(path) = data_path(table.root(), &object) else { continue };
        if snapshot.files.contains_key(&path) {
            continue;
        }
        if dead_since(&snapshot, &path, &object) >= oldest {
            result.waiting += 1;
            continue;
        }
        match wait(table.store().delete(&object.location)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {
                result.removed += 1;
                result.removed_bytes += object.size;
            }
            Err(error) => return Err(fault("delete", &object.location, error)),
        }
    }
    Ok(result)
}

/// Path inside the table, for data files only.
fn data_path(root: &str, object: &ObjectMeta) -> Option<String> {
    let path = object.location.as_ref().strip_prefix(root)?.strip_prefix('/')?;
    (path.ends_with(".parquet") && !path.starts_with("_delta_log/")).then(|| path.to_owned())
}

fn dead_since(snapshot: &Snapshot, path: &str, object: &ObjectMeta) -> i64 {
    snapshot.removed.get(path).copied().unwrap_or_else(|| object.last_modified.timestamp_millis())
}

fn fault(action: &'static str, path: &Path, error: StoreError) -> LakeError {
    LakeError::Io { action, file: path.to_string(), why: error.to_string() }
}
