//! The disk as the log sees it: files under one root folder, named by relative paths, written once from front to back.

use std::io;

/// A folder on a disk. All names are relative to its root, with `/` between parts and no `..`.
///
/// What is durable when: file bytes after [`StorageFile::sync_data`]; the existence, name or absence of a file after
/// [`Storage::sync_dir`] of its folder; a folder when [`Storage::create_dir_all`] returns.
pub trait Storage: Send + Sync {
    /// Creates a folder and its parents, durably. An existing folder is fine.
    ///
    /// # Errors
    /// The disk's error, or `InvalidInput` for a name outside the root.
    fn create_dir_all(&self, dir: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in `dir` durable. `""` is the root.
    ///
    /// # Errors
    /// The disk's error.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Creates a new, empty file for appending.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one, or the disk's error.
    fn create(&self, path: &str) -> io::Result<Box<dyn StorageFile>>;

    /// The whole file.
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// At most `len` bytes from `offset`; shorter where the file ends.
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    fn read_range(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Size of a file in bytes.
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    fn len(&self, path: &str) -> io::Result<u64>;

    /// Names (not paths) of the files and folders directly in `dir`, sorted. A missing folder is `NotFound`.
    ///
    /// # Errors
    /// The disk's error.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Renames a file, replacing the target. Durable after [`Storage::sync_dir`] of the target's folder.
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// `NotFound`, or the disk's error.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Free bytes an ordinary user may still fill.
    ///
    /// # Errors
    /// The disk's error.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Makes later reads of a file show what the disk holds: syncs it, then drops its cached pages.
    ///
    /// After a failed `fsync` Linux keeps the unwritten bytes in its cache as if they were clean, so a reader (even in
    /// the next process) sees bytes that a power cut would take away. Recovery settles the last segment before it
    /// believes it.
    ///
    /// # Errors
    /// The sync's error; the cache is dropped all the same.
    fn settle(&self, path: &str) -> io::Result<()>;
}

/// A file being written from front to back.
pub trait StorageFile: Send {
    /// Appends all of `bytes`. After an error any part of them may be in the file: seal it, write elsewhere.
    ///
    /// # Errors
    /// The disk's error, for instance `StorageFull`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// `fdatasync`: everything appended so far is on the disk. After an error never call it again on this file.
    ///
    /// # Errors
    /// The disk's error.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Bytes appended successfully.
    fn len(&self) -> u64;

    /// Whether nothing was appended.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Replaces a small file durably and as a whole: after a crash it holds the old bytes or the new ones. `PATH.tmp` beside it
/// may be left behind and is in nobody's way.
///
/// # Errors
/// The disk's error; the old file is then untouched.
pub fn replace_file(storage: &dyn Storage, path: &str, bytes: &[u8]) -> io::Result<()> {
    let tmp = format!("{path}.tmp");
    match storage.remove(&tmp) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = storage.create(&tmp)?;
    file.append(bytes)?;
    file.sync_data()?;
    storage.rename(&tmp, path)?;
    storage.sync_dir(path.rsplit_once('/').map_or("", |(dir, _)| dir))
}
