//! One process per data folder: an advisory lock on a file in it (`flock`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Name of the lock file.
const LOCK_FILE: &str = "LOCK";

/// Holds a data folder for this process until dropped. The kernel releases it when the process dies in any way.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    path: PathBuf,
}

/// Why a data folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process uses it.
    #[error("`{path}` is in use by {}; stop it or choose another data folder", holder(*.pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The other process, if it wrote its number.
        pid: Option<u32>,
    },
    /// The disk answered with an error.
    #[error("lock `{path}`")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The disk's own words.
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// The lock file, which stays on disk between runs.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps writers out of the existing folder `root` while it is read, without writing to it. A folder that was never locked
/// has no lock file and needs none.
///
/// # Errors
/// [`LockError::Held`] when a writer has it.
pub fn lock_folder_to_read(root: &Path) -> Result<Option<FolderLock>, LockError> {
    let path = root.join(LOCK_FILE);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|source| LockError::Io { path: path.clone(), source })?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(FolderLock { _file: file, path })),
        Err(TryLockError::WouldBlock) => {
            let pid = read_pid(&mut file);
            Err(LockError::Held { path, pid })
        }
        Err(TryLockError::Error(source)) => Err(LockError::Io { path, source }),
    }
}

/// Locks the existing folder `root` for this process and writes its process id into the lock file.
///
/// # Errors
/// [`LockError::Held`] names the process that holds it.
pub fn lock_folder(root: &Path) -> Result<FolderLock, LockError> {
    let path = root.join(LOCK_FILE);
    let fail = |source| LockError::Io { path: path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = read_pid(&mut file);
            return Err(LockError::Held { path, pid });
        }
        Err(TryLockError::Error(source)) => return Err(fail(source)),
    }
    // The number is only for the message above: a full disk must not keep a server from starting.
    if let Err(error) = write_pid(&mut file) {
        tracing::warn!(path = %path.display(), %error, "the process id could not be written to the lock file");
    }
    Ok(FolderLock { _file: file, path })
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_with_the_holder_named() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock_folder(folder.path()).unwrap();
        let refused = lock_folder(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(matches!(lock_folder_to_read(folder.path()), Err(LockError::Held { .. })));
        drop(held);
        let readers = [lock_folder_to_read(folder.path()).unwrap(), lock_folder_to_read(folder.path()).unwrap()];
        assert!(readers.iter().all(Option::is_some) && lock_folder(folder.path()).is_err());
        drop(readers);
        lock_folder(folder.path()).unwrap();
    }
}
