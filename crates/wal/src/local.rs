//! The machine's own disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use crate::storage::{Storage, StorageFile};

/// A folder of the machine. Files are created with mode 0600, folders with 0700.
#[derive(Debug, Clone)]
pub struct LocalStorage {
    root: PathBuf,
}

struct LocalFile {
    file: File,
    len: u64,
}

impl LocalStorage {
    /// Opens `root`, creating it (and its parents) durably if missing: every created folder's parent is synced.
    ///
    /// # Errors
    /// The disk's error, or `NotADirectory`.
    pub fn open(root: &Path) -> io::Result<Self> {
        create_durably(root)?;
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", root.display())));
        }
        Ok(Self { root })
    }

    /// Opens an existing `root` and makes nothing.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory` or the disk's error.
    pub fn open_existing(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", root.display())));
        }
        Ok(Self { root })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not a name inside the root")));
        }
        Ok(self.root.join(name))
    }
}

impl Storage for LocalStorage {
    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        create_durably(&self.path(dir)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir)?)?.sync_all()
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(self.path(path)?)?;
        Ok(Box::new(LocalFile { file, len: 0 }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(path)?)
    }

    fn read_range(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(path)?)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut out = Vec::new();
        file.take(len as u64).read_to_end(&mut out)?;
        Ok(out)
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(path)?)?.len())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(dir)?)? {
            // A name that is not UTF-8 was not written by us.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path)?)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        crate::space::disk_space(&self.root).map(|space| space.free_bytes)
    }

    fn settle(&self, path: &str) -> io::Result<()> {
        let path = self.path(path)?;
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Nobody can have written to it, so what is read is what the disk holds.
            Err(error) if crate::space::is_read_only(&error) => File::open(&path)?,
            opened => opened?,
        };
        let synced = file.sync_all();
        drop_cached_pages(&file);
        synced
    }
}

impl StorageFile for LocalFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Creates `dir` with its parents, syncing the parent of each folder it creates.
fn create_durably(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_durably(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    File::open(parent)?.sync_all()
}

/// Only a hint: where the kernel ignores it, recovery reads the cache as it would have without.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "posix_fadvise has no safe wrapper in std")]
fn drop_cached_pages(file: &File) {
    // SAFETY: the descriptor is open during the call; the advice touches no memory of ours.
    let refused = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if refused != 0 {
        tracing::debug!(error = refused, "posix_fadvise was refused");
    }
}

#[cfg(not(target_os = "linux"))]
fn drop_cached_pages(file: &File) {
    let _ = file.as_raw_fd();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_listed_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(&folder.path().join("a/b")).unwrap();
        storage.create_dir_all("log/quarantine").unwrap();
        let mut file = storage.create("log/1.wal").unwrap();
        file.append(b"hello").unwrap();
        file.sync_data().unwrap();
        storage.sync_dir("log").unwrap();
        storage.settle("log/1.wal").unwrap();
        assert_eq!(storage.read("log/1.wal").unwrap(), b"hello");
        assert_eq!(storage.read_range("log/1.wal", 3, 100).unwrap(), b"lo");
        assert_eq!(storage.list("log").unwrap(), ["1.wal", "quarantine"]);
        assert_eq!(storage.create("log/1.wal").err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
        storage.rename("log/1.wal", "log/2.wal").unwrap();
        storage.remove("log/2.wal").unwrap();
        assert!(storage.free_bytes().unwrap() > 0);
    }

    #[test]
    fn names_outside_the_root_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::open(folder.path()).unwrap();
        for name in ["../x", "/etc/passwd", "a/../../b"] {
            assert_eq!(storage.read(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
