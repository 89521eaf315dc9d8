//! The data folder: made and synced once, locked while open, marked with its format.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wal::{FolderLock, LocalStorage, Storage};

use crate::error::StoreError;

/// Newest folder format that this program writes and reads.
pub const FORMAT: u32 = 1;
const MARK: &str = "FORMAT";
const MARK_TEXT: &str = "foretide data folder, format ";

/// An open, locked data folder. The lock lasts as long as this value.
pub struct DataFolder {
    root: PathBuf,
    storage: Arc<dyn Storage>,
    read_only: bool,
    _lock: Option<FolderLock>,
}

impl DataFolder {
    /// Opens or makes the folder.
    ///
    /// # Errors
    /// [`StoreError::Folder`], [`StoreError::Locked`], [`StoreError::NewerFormat`] or [`StoreError::BadFormat`]; the
    /// folder is then as it was.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let fault = |source| StoreError::Folder { path: root.to_owned(), source };
        let storage = LocalStorage::open(root).map_err(fault)?;
        let lock = wal::lock_folder(root).map_err(|err| lock_fault(root, err))?;
        check_mark(root, &storage)?;
        Ok(Self { root: root.to_owned(), storage: Arc::new(storage), read_only: false, _lock: Some(lock) })
    }

    /// Opens an existing folder to read it: nothing in it is made, changed or removed, and writers are kept out.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_to_read(root: &Path) -> Result<Self, StoreError> {
        let fault = |source| StoreError::Folder { path: root.to_owned(), source };
        let storage = LocalStorage::open_existing(root).map_err(fault)?;
        let lock = wal::lock_folder_to_read(root).map_err(|err| lock_fault(root, err))?;
        if storage.len(MARK).is_ok() {
            check_mark(root, &storage)?;
        }
        Ok(Self { root: root.to_owned(), storage: Arc::new(storage), read_only: true, _lock: lock })
    }

    /// Whether it was opened by [`DataFolder::open_to_read`].
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk below it.
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage)
    }
}

fn lock_fault(root: &Path, err: wal::LockError) -> StoreError {
    let path = root.to_owned();
    match err {
        wal::LockError::Held { pid, .. } => StoreError::Locked { path, holder: holder(pid) },
        wal::LockError::Io { source, .. } if wal::is_read_only(&source) && is_ours(root) => {
            StoreError::ReadOnly { path, source }
        }
        wal::LockError::Io { source, .. } => StoreError::Folder { path, source },
    }
}

/// Whether this program has used the folder before.
fn is_ours(root: &Path) -> bool {
    root.join(MARK).is_file()
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "its number is not known".to_owned(), |pid| format!("number {pid}"))
}

fn check_mark(root: &Path, storage: &dyn Storage) -> Result<(), StoreError> {
    let path = root.join(MARK);
    let fault = |source| StoreError::Folder { path: path.clone(), source };
    match storage.read(MARK) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            let found = text.strip_prefix(MARK_TEXT).and_then(|rest| rest.trim().parse().ok());
            match found {
                Some(found) if found > FORMAT => {
                    Err(StoreError::NewerFormat { path: root.to_owned(), found, supported: FORMAT })
                }
                Some(_) => Ok(()),
                None => Err(StoreError::BadFormat { path, text }),
            }
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => write_mark(storage).map_err(fault),
        Err(err) => Err(fault(err)),
    }
}

/// Written under another name first: a crash must not leave half a mark that the next start would refuse.
fn write_mark(storage: &dyn Storage) -> io::Result<()> {
    wal::replace_file(storage, MARK, format!("{MARK_TEXT}{FORMAT}\n").as_bytes())
}
