//! The state behind a simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use super::{Faults, SimCounts, SimRandom};

const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What the process reads.
    cache: Vec<u8>,
    /// What a power cut leaves.
    disk: Vec<u8>,
    /// Parts of `cache` that the next sync will write.
    dirty: Vec<Range<usize>>,
    sync_failed: bool,
}

#[derive(Debug, Clone)]
enum DirChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

/// See the module page of [`super`] for the rules.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    random: SimRandom,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
    pending: Vec<(String, DirChange)>,
    pub(super) boot: u64,
    pub(super) faults: Faults,
    pub(super) failing_syncs: u32,
    pub(super) failing_appends: u32,
    pub(super) capacity: Option<u64>,
    pub(super) power_left: Option<u64>,
    pub(super) counts: SimCounts,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: SimRandom::new(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dirs: BTreeSet::from([String::new()]),
            pending: Vec::new(),
            boot: 0,
            faults: Faults::default(),
            failing_syncs: 0,
            failing_appends: 0,
            capacity: None,
            power_left: None,
            counts: SimCounts::default(),
        }
    }

    pub(super) fn fork(&self, seed: u64) -> Self {
        let mut copy = self.clone();
        copy.random = SimRandom::new(seed);
        copy.faults = Faults::default();
        (copy.failing_syncs, copy.failing_appends, copy.power_left) = (0, 0, None);
        copy.counts = SimCounts::default();
        copy
    }

    /// Counts a call. `Ok(true)`: this is the call during which the power goes.
    fn tick(&mut self) -> io::Result<bool> {
        self.counts.operations += 1;
        match self.power_left {
            None => Ok(false),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                self.power_left = Some(left - 1);
                Ok(left == 1)
            }
        }
    }

    fn fault(&mut self, what: &'static str) -> io::Error {
        self.counts.faults += 1;
        io::Error::other(what)
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().filter_map(|&inode| self.inodes.get(inode)).map(|inode| inode.cache.len() as u64).sum()
    }

    pub(super) fn free_bytes(&mut self) -> io::Result<u64> {
        self.tick()?;
        Ok(self.capacity.map_or(u64::MAX, |size| size.saturating_sub(self.used())))
    }

    pub(super) fn create_dir_all(&mut self, dir: &str) -> io::Result<()> {
        if self.tick()? {
            return Err(io::Error::other("the power went off"));
        }
        for (at, _) in dir.match_indices('/').chain([(dir.len(), "")]) {
            self.dirs.insert(dir[..at].to_owned());
        }
        Ok(())
    }

    pub(super) fn list(&mut self, dir: &str) -> io::Result<Vec<String>> {
        self.tick()?;
        if !self.dirs.contains(dir) {
            return Err(missing(dir));
        }
        let inside = |path: &str| (parent(path) == dir && path != dir).then(|| file_name(path).to_owned());
        let mut names: Vec<String> = self.names.keys().filter_map(|path| inside(path)).collect();
        names.extend(self.dirs.iter().filter_map(|path| inside(path)));
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn create(&mut self, path: &str) -> io::Result<usize> {
        let last = self.tick()?;
        if self.random.chance(self.faults.create) {
            return Err(self.fault("injected: create"));
        }
        if !self.dirs.contains(parent(path)) {
            return Err(missing(parent(path)));
        }
        if self.names.contains_key(path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{path}` exists")));
        }
        let inode = self.new_inode(Inode::default());
        self.names.insert(path.to_owned(), inode);
        self.pending.push((parent(path).to_owned(), DirChange::Link(path.to_owned(), inode)));
        if last { Err(io::Error::other("the power went off")) } else { Ok(inode) }
    }

    pub(super) fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        self.tick()?;
        if self.random.chance(self.faults.read) {
            return Err(self.fault("injected: read"));
        }
        let inode = self.names.get(path).and_then(|&inode| self.inodes.get(inode));
        inode.map(|inode| inode.cache.clone()).ok_or_else(|| missing(path))
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let last = self.tick()?;
        let inode = self.names.remove(from).ok_or_else(|| missing(from))?;
        self.names.insert(to.to_owned(), inode);
        self.pending.push((parent(to).to_owned(), DirChange::Rename(from.to_owned(), to.to_owned(), inode)));
        if last { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let last = self.tick()?;
        self.names.remove(path).ok_or_else(|| missing(path))?;
        self.pending.push((parent(path).to_owned(), DirChange::Unlink(path.to_owned())));
        if last { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }

    pub(super) fn append(&mut self, inode: usize, bytes: &[u8]) -> io::Result<()> {
        let last = self.tick()?;
        let free = self.capacity.map_or(usize::MAX, |size| size.saturating_sub(self.used()) as usize);
        let (take, error) = if free < bytes.len() {
            (free, Some(io::Error::from(io::ErrorKind::StorageFull)))
        } else if last {
            (self.random.below(bytes.len() + 1), Some(io::Error::other("the power went off")))
        } else if self.failing_appends > 0 || self.random.chance(self.faults.append) {
            self.failing_appends = self.failing_appends.saturating_sub(1);
            (self.random.below(bytes.len() + 1), Some(self.fault("injected: append")))
        } else {
            (bytes.len(), None)
        };
        if let Some(inode) = self.inodes.get_mut(inode) {
            let start = inode.cache.len();
            inode.cache.extend_from_slice(&bytes[..take]);
            inode.dirty.push(start..start + take);
        }
        error.map_or(Ok(()), Err)
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        let last = self.tick()?;
        self.counts.syncs += 1;
        if self.inodes.get(inode).is_some_and(|inode| inode.sync_failed) {
            self.counts.syncs_after_failure += 1;
        }
        if last {
            // The crash that follows decides what arrived.
            return Err(io::Error::other("the power went off"));
        }
        if self.failing_syncs > 0 || self.random.chance(self.faults.sync) {
            self.failing_syncs = self.failing_syncs.saturating_sub(1);
            if let Some(inode) = self.inodes.get_mut(inode) {
                inode.sync_failed = true;
                inode.write_some_sectors(&mut self.random);
            }
            return Err(self.fault("injected: sync"));
        }
        if let Some(inode) = self.inodes.get_mut(inode) {
            inode.write_dirty();
        }
        Ok(())
    }

    pub(super) fn settle(&mut self, path: &str) -> io::Result<()> {
        if self.tick()? {
            return Err(io::Error::other("the power went off"));
        }
        let inode = self.names.get(path).copied().ok_or_else(|| missing(path))?;
        let failed = self.random.chance(self.faults.sync);
        let error = failed.then(|| self.fault("injected: sync"));
        if let Some(inode) = self.inodes.get_mut(inode) {
            if failed {
                inode.write_some_sectors(&mut self.random);
            } else {
                inode.write_dirty();
            }
            inode.cache.clone_from(&inode.disk);
        }
        error.map_or(Ok(()), Err)
    }

    pub(super) fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        let last = self.tick()?;
        if last {
            return Err(io::Error::other("the power went off"));
        }
        if self.random.chance(self.faults.sync_dir) {
            return Err(self.fault("injected: sync_dir"));
        }
        let (now, later) = std::mem::take(&mut self.pending).into_iter().partition(|(of, _)| of == dir);
        self.pending = later;
        for (_, change) in now {
            change.apply(&mut self.durable_names);
        }
        Ok(())
    }

    pub(super) fn crash(&mut self) {
        let dirs: BTreeSet<String> = self.pending.iter().map(|(dir, _)| dir.clone()).collect();
        for dir in dirs {
            let changes: Vec<_> = self.pending.iter().filter(|(of, _)| *of == dir).map(|(_, c)| c.clone()).collect();
            let kept = self.random.below(changes.len() + 1);
            for change in changes.into_iter().take(kept) {
                change.apply(&mut self.durable_names);
            }
        }
        self.pending.clear();
        for inode in &mut self.inodes {
            inode.write_some_sectors(&mut self.random);
            inode.cache.clone_from(&inode.disk);
            inode.sync_failed = false;
        }
        self.names.clone_from(&self.durable_names);
        self.power_left = None;
        (self.failing_syncs, self.failing_appends) = (0, 0);
        self.boot += 1;
    }

    pub(super) fn edit(&mut self, path: &str, change: impl Fn(&mut Vec<u8>) -> bool) -> bool {
        let Some(inode) = self.names.get(path).and_then(|&inode| self.inodes.get_mut(inode)) else { return false };
        let done = change(&mut inode.cache);
        inode.disk.clone_from(&inode.cache);
        inode.dirty.clear();
        done
    }

    pub(super) fn put(&mut self, path: &str, bytes: &[u8]) {
        let inode = self.new_inode(Inode {
            cache: bytes.to_vec(),
            disk: bytes.to_vec(),
            dirty: Vec::new(),
            sync_failed: false,
        });
        self.names.insert(path.to_owned(), inode);
        self.durable_names.insert(path.to_owned(), inode);
    }

    fn new_inode(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }
}

impl Inode {
    fn write_dirty(&mut self) {
        for range in std::mem::take(&mut self.dirty) {
            self.write(range);
        }
    }

    /// Writes an arbitrary part of what is dirty, sector by sector and in any order, and forgets the rest.
    fn write_some_sectors(&mut self, random: &mut SimRandom) {
        if self.dirty.is_empty() {
            return;
        }
        let size = self.disk.len() + random.below(self.cache.len().saturating_sub(self.disk.len()) + 1);
        self.disk.resize(size.max(self.disk.len()), 0);
        for range in std::mem::take(&mut self.dirty) {
            let mut start = range.start;
            while start < range.end.min(size) {
                let end = ((start / SECTOR + 1) * SECTOR).min(range.end).min(size);
                if random.chance(0.7) {
                    self.write(start..end);
                }
                start = end;
            }
        }
    }

    fn write(&mut self, range: Range<usize>) {
        if self.disk.len() < range.end {
            self.disk.resize(range.end, 0);
        }
        self.disk[range.clone()].copy_from_slice(&self.cache[range]);
    }
}

impl DirChange {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path, inode);
            }
            Self::Unlink(path) => {
                names.remove(&path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

fn file_name(path: &str) -> &str {
    path.rfind('/').map_or(path, |at| &path[at + 1..])
}

fn missing(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("`{path}` does not exist"))
}
