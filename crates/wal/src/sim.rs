//! A disk for simulations: page cache, power cuts, errors, a size. Seeded, in memory, nothing of it is real.
//!
//! Two views of every file are kept: what the process sees (the page cache) and what a power cut would leave. Rules,
//! each at least as harsh as a Linux file system:
//! - Bytes reach the disk only by `sync_data`; a [`SimStorage::crash`] keeps an arbitrary subset of the 512-byte sectors
//!   written since, and an arbitrary file size between the old and the new one.
//! - Creations, renames and removals reach the disk only by `sync_dir`; a crash keeps a prefix of the pending ones of
//!   each folder, however the file's own bytes were synced.
//! - A failed `sync_data` writes some sectors, then forgets that the rest was dirty: the process still reads the new
//!   bytes, the next sync succeeds, the disk never gets them (as Linux does, see `Storage::settle`).
//! - A failed or short append leaves part of its bytes.
//! - With the power off ([`SimStorage::cut_power_after`]) every call fails until [`SimStorage::crash`].

mod disk;
mod random;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Storage, StorageFile};
use disk::Disk;
pub use random::SimRandom;

/// How often which call fails, as probabilities in `[0, 1]`. The default never fails.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// An append writes a part and answers `EIO`.
    pub append: f64,
    /// A `sync_data` answers `EIO` and drops what was dirty.
    pub sync: f64,
    /// A `sync_dir` answers `EIO`.
    pub sync_dir: f64,
    /// A creation answers `EIO`.
    pub create: f64,
    /// A read answers `EIO`.
    pub read: f64,
}

/// Counts of what was asked of a simulated disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Calls of any kind.
    pub operations: u64,
    /// `sync_data` calls, successful or not.
    pub syncs: u64,
    /// `sync_data` calls on a file on which one had failed before: a log must never do that.
    pub syncs_after_failure: u64,
    /// Calls answered with an injected error.
    pub faults: u64,
}

/// A simulated disk; clones share it.
#[derive(Debug, Clone)]
pub struct SimStorage {
    disk: Arc<Mutex<Disk>>,
}

struct SimFile {
    disk: Arc<Mutex<Disk>>,
    inode: usize,
    /// Handles do not outlive a power cut.
    boot: u64,
    len: u64,
}

impl SimStorage {
    /// An empty disk without faults and without a size.
    pub fn new(seed: u64) -> Self {
        Self { disk: Arc::new(Mutex::new(Disk::new(seed))) }
    }

    /// Changes which calls fail from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.disk().faults = faults;
    }

    /// Makes the next `n` calls of `sync_data` fail.
    pub fn fail_next_syncs(&self, n: u32) {
        self.disk().failing_syncs = n;
    }

    /// Makes the next `n` appends fail half-way.
    pub fn fail_next_appends(&self, n: u32) {
        self.disk().failing_appends = n;
    }

    /// Gives the disk a size in bytes (`None`: endless). Above it appends answer `StorageFull` after a part.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// Bytes in all files, as the process sees them.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used()
    }

    /// Turns the power off after `operations` more calls; the call that hits it may have a part of its effect.
    pub fn cut_power_after(&self, operations: u64) {
        self.disk().power_left = Some(operations);
    }

    /// Whether a planned power cut has happened.
    pub fn is_off(&self) -> bool {
        self.disk().power_left == Some(0)
    }

    /// Power cut and restart: what was not synced is lost or torn, all open files become useless, power is on again.
    pub fn crash(&self) {
        self.disk().crash();
    }

    /// What was asked so far.
    pub fn counts(&self) -> SimCounts {
        self.disk().counts
    }

    /// Inverts one bit of a file, in cache and on disk. `false` if there is no such byte.
    pub fn flip_bit(&self, path: &str, byte: usize, bit: u8) -> bool {
        self.disk().edit(path, |data| match data.get_mut(byte) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        })
    }

    /// Cuts a file to `len` bytes, in cache and on disk. `false` if it is missing or shorter.
    pub fn cut(&self, path: &str, len: usize) -> bool {
        self.disk().edit(path, |data| {
            let enough = data.len() >= len;
            data.truncate(len);
            enough
        })
    }

    /// Creates or replaces a file, durably, past all faults.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.disk().put(path, bytes);
    }

    /// A disk with the same durable and cached content, its own seed and no faults.
    pub fn fork(&self, seed: u64) -> Self {
        Self { disk: Arc::new(Mutex::new(self.disk().fork(seed))) }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for SimStorage {
    fn create_dir_all(&self, dir: &str) -> io::Result<()> {
        self.disk().create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk().sync_dir(dir)
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut disk = self.disk();
        let inode = disk.create(path)?;
        Ok(Box::new(SimFile { disk: Arc::clone(&self.disk), inode, boot: disk.boot, len: 0 }))
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.disk().read(path)
    }

    fn read_range(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let data = self.disk().read(path)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        Ok(data[start..start.saturating_add(len).min(data.len())].to_vec())
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        self.disk().read(path).map(|data| data.len() as u64)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk().list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk().rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk().remove(path)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk().free_bytes()
    }

    fn settle(&self, path: &str) -> io::Result<()> {
        self.disk().settle(path)
    }
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        if disk.boot != self.boot {
            return Err(io::Error::other("the file was opened before the power cut"));
        }
        act(&mut disk)
    }
}

impl StorageFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|disk| disk.append(self.inode, bytes))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.with(|disk| disk.sync(self.inode))
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests;
