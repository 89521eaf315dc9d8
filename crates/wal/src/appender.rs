//! Creates segments and appends encoded records to the active one.

use std::sync::Arc;

use crate::error::LogError;
use crate::format::Header;
use crate::options::SyncMode;
use crate::segments::{SegmentInfo, file_name};
use crate::stats::Counters;
use crate::storage::{Storage, StorageFile};

/// The writing end of a log's folder. Owned by the writer thread; decides nothing about retries.
pub(crate) struct Appender {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: String,
    pub(crate) next_number: u64,
    pub(crate) epoch: u64,
    pub(crate) last_crc: u32,
    pub(crate) active: Option<Active>,
    /// Files without acknowledged records that could not be removed; truncation tries again.
    pub(crate) leftovers: Vec<SegmentInfo>,
}

/// The segment being written.
pub(crate) struct Active {
    file: Box<dyn StorageFile>,
    /// Covers acknowledged records only.
    pub(crate) info: SegmentInfo,
    /// Bytes were appended that no sync has covered.
    dirty: bool,
    /// A sync failed: this file must never be synced again.
    sync_failed: bool,
}

impl Appender {
    /// Creates a segment whose first record will be `first_lsn` and makes it the active one. The file, its header and
    /// its name are durable when this returns.
    pub(crate) fn start(&mut self, first_lsn: u64, counters: &Counters) -> Result<(), LogError> {
        let number = self.next_number;
        self.next_number += 1;
        let path = format!("{}/{}", self.dir, file_name(number));
        let header = Header { number, epoch: self.epoch, first_lsn, previous_crc: self.last_crc };
        let created = self.create(&path, &header.encode());
        match created {
            Ok(file) => {
                Counters::add(&counters.syncs, 1);
                let bytes = file.len();
                let info = SegmentInfo { number, path, first_lsn, last_lsn: first_lsn.saturating_sub(1), bytes };
                self.active = Some(Active { file, info, dirty: false, sync_failed: false });
                Ok(())
            }
            Err(error) => {
                self.discard(SegmentInfo { number, path, first_lsn, last_lsn: first_lsn.saturating_sub(1), bytes: 0 });
                Err(error)
            }
        }
    }

    fn create(&self, path: &str, header: &[u8]) -> Result<Box<dyn StorageFile>, LogError> {
        let fail = |action| move |error| LogError::io(action, path, error);
        let mut file = self.storage.create(path).map_err(fail("create segment"))?;
        file.append(header).map_err(fail("append to"))?;
        file.sync_data().map_err(fail("sync"))?;
        self.storage.sync_dir(&self.dir).map_err(|error| LogError::io("sync folder", &self.dir, error))?;
        Ok(file)
    }

    /// Appends encoded records to the active segment. After an error it must be sealed.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        active.file.append(bytes).map_err(|error| LogError::io("append to", &active.info.path, error))?;
        active.dirty = true;
        Ok(())
    }

    /// Syncs what was appended. After an error the segment must be sealed, and is never synced again.
    pub(crate) fn sync(&mut self, counters: &Counters) -> Result<(), LogError> {
        let Some(active) = self.active.as_mut().filter(|active| active.dirty && !active.sync_failed) else {
            return Ok(());
        };
        if let Err(error) = active.file.sync_data() {
            active.sync_failed = true;
            return Err(LogError::io("sync", &active.info.path, error));
        }
        active.dirty = false;
        Counters::add(&counters.syncs, 1);
        Ok(())
    }

    /// The one sync that the unsynced end of a segment gets before it is sealed in interval mode. With a sync before
    /// every answer nothing unsynced was promised, so there is nothing to save.
    pub(crate) fn sync_if_buffered(&mut self, mode: SyncMode, counters: &Counters) -> Result<(), LogError> {
        if mode == SyncMode::Always { Ok(()) } else { self.sync(counters) }
    }

    /// Notes that everything appended up to `last_lsn` counts.
    pub(crate) fn confirm(&mut self, last_lsn: u64, crc: u32) {
        if let Some(active) = &mut self.active {
            active.info.last_lsn = last_lsn;
            active.info.bytes = active.file.len();
            self.last_crc = crc;
        }
    }

    /// Gives up the active segment, for good. One that holds nothing acknowledged is removed, any other is answered.
    pub(crate) fn seal(&mut self) -> Option<SegmentInfo> {
        let active = self.active.take()?;
        if active.info.has_records() {
            return Some(active.info);
        }
        self.discard(active.info);
        None
    }

    /// Removes a file that holds nothing acknowledged. What is left if that fails is harmless (FORMAT.md, "Where a
    /// segment ends"), but takes space.
    fn discard(&mut self, mut info: SegmentInfo) {
        match self.storage.remove(&info.path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => {
                info.bytes = self.storage.len(&info.path).unwrap_or(0);
                self.leftovers.push(info);
            }
        }
    }

    /// Whether the active segment has reached `limit` bytes.
    pub(crate) fn is_full(&self, limit: u64) -> bool {
        self.active.as_ref().is_some_and(|active| active.info.has_records() && active.info.bytes >= limit)
    }
}
