//! The one reader: finds the segments of a log, reads them in order and accounts for every sequence number.
//!
//! A segment ends where the next one begins: its header names the first sequence number, and records at or above that
//! number in the older file are leftovers of a failed commit, written again in the newer one. Numbers have no gaps, so
//! whatever lies between the last good record and the next is missing, exactly. Only in the last segment, with no good
//! record after it, are bad bytes a torn tail: a commit that was never acknowledged.

mod found;
mod report;

use std::ops::Range;

use crate::error::LogError;
use crate::format::{self, HEADER_BYTES, RawRecord};
use crate::segments::SegmentInfo;
use crate::storage::Storage;
use found::Found;
pub use report::{Damage, ReplayReport, TornTail};

/// Damaged places named one by one; beyond, only [`ReplayReport::missing`] counts.
const DAMAGE_MAX: usize = 1000;

/// A valid record, as replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its sequence number.
    pub lsn: u64,
    /// Its kind, as given to [`crate::RecordWriter::record`].
    pub kind: u8,
    /// Its payload.
    pub payload: &'a [u8],
    /// Number of its segment: what earlier records of the same segment said holds only while this stays the same.
    pub segment: u64,
    /// Whether it is the first record delivered from its segment.
    pub first_in_segment: bool,
}

/// Asks the log to stop replaying and fail to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStop {
    /// Why, for the person who reads the error.
    pub reason: String,
}

/// Receives the records of a replay.
pub type Replay<'a> = dyn FnMut(Record<'_>) -> Result<(), ReplayStop> + 'a;

/// Whether reading may change the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Settle the end of the log and copy damaged bytes aside.
    Open,
    /// Change nothing.
    Verify,
}

/// What a log needs to go on after a replay.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) report: ReplayReport,
    pub(crate) segments: Vec<SegmentInfo>,
    pub(crate) next_number: u64,
    pub(crate) epoch: u64,
    pub(crate) last_crc: u32,
}

/// Reads the log in `dir`; see [`crate::Log::open`] for what is delivered.
pub(crate) fn recover(
    storage: &dyn Storage,
    dir: &str,
    from_lsn: u64,
    purpose: Purpose,
    replay: &mut Replay<'_>,
) -> Result<Recovered, LogError> {
    let found = found::segments(storage, dir, purpose)?;
    let next_number = found.iter().map(|segment| segment.number).max().unwrap_or(0).saturating_add(1);
    let last_epoch = found.iter().filter_map(|segment| segment.header).map(|header| header.epoch).max().unwrap_or(0);
    let epoch = last_epoch.saturating_add(1);
    let mut reader = Reader {
        storage,
        dir,
        from_lsn,
        purpose,
        replay,
        report: ReplayReport::default(),
        expected: 0,
        last_crc: 0,
        chain_known: false,
    };
    let segments = reader.all(&found)?;
    let Reader { mut report, expected, last_crc, .. } = reader;
    report.last_lsn = expected.saturating_sub(1).max(from_lsn);
    Ok(Recovered { report, segments, next_number, epoch, last_crc })
}

struct Reader<'a, 'r> {
    storage: &'a dyn Storage,
    dir: &'a str,
    from_lsn: u64,
    purpose: Purpose,
    replay: &'a mut Replay<'r>,
    report: ReplayReport,
    /// The number the next record must have.
    expected: u64,
    /// Checksum of the last good record, and whether it is really the record before `expected`.
    last_crc: u32,
    chain_known: bool,
}

impl Reader<'_, '_> {
    fn all(&mut self, found: &[Found]) -> Result<Vec<SegmentInfo>, LogError> {
        let mut infos = Vec::with_capacity(found.len());
        if let Some(first) = found.iter().find_map(|segment| segment.first_lsn) {
            self.lost("", 0, &[], self.from_lsn.saturating_add(1)..first);
            self.expected = first;
        }
        for (index, segment) in found.iter().enumerate() {
            let limit = found[index + 1..].iter().find_map(|later| later.first_lsn);
            let first_lsn = segment.first_lsn.unwrap_or(self.expected);
            if segment.first_lsn.is_some() {
                self.segment(segment, limit)?;
            }
            infos.push(SegmentInfo {
                number: segment.number,
                path: segment.path.clone(),
                first_lsn,
                last_lsn: self.expected.max(first_lsn).saturating_sub(1),
                bytes: segment.bytes,
            });
        }
        Ok(infos)
    }

    /// Reads one segment up to `limit`, the first number of the next one.
    fn segment(&mut self, segment: &Found, limit: Option<u64>) -> Result<(), LogError> {
        if let Some(limit) = limit.filter(|&limit| limit <= self.from_lsn.saturating_add(1)) {
            self.report.segments_skipped += 1;
            self.expected = limit;
            self.chain_known = false;
            return Ok(());
        }
        let path = &segment.path;
        let bytes = self.storage.read(path).map_err(|error| LogError::io("read segment", path, error))?;
        self.report.segments_read += 1;
        self.report.bytes += bytes.len() as u64;
        self.check_chain(segment, &bytes);
        let mut offset = HEADER_BYTES.min(bytes.len());
        let mut first_in_segment = true;
        while limit != Some(self.expected) && offset < bytes.len() {
            let here = format::record_at(&bytes, offset).filter(|record| record.lsn == self.expected);
            match here {
                Some(record) => {
                    self.deliver(&record, segment.number, first_in_segment)?;
                    first_in_segment = false;
                    offset = record.end;
                }
                None => offset = self.skip_damage(path, &bytes, offset, limit),
            }
        }
        if let Some(limit) = limit.filter(|&limit| self.expected < limit) {
            self.lost(path, offset, &[], self.expected..limit);
            self.expected = limit;
        }
        Ok(())
    }

    fn deliver(&mut self, record: &RawRecord<'_>, segment: u64, first_in_segment: bool) -> Result<(), LogError> {
        let (lsn, kind, payload) = (record.lsn, record.kind, record.payload);
        (self.replay)(Record { lsn, kind, payload, segment, first_in_segment })
            .map_err(|stop| LogError::ReplayStopped { lsn, reason: stop.reason })?;
        self.report.records += 1;
        self.expected = lsn.saturating_add(1);
        self.last_crc = record.crc;
        self.chain_known = true;
        Ok(())
    }

    /// Accounts for bad bytes at `offset` and answers where reading goes on.
    fn skip_damage(&mut self, path: &str, bytes: &[u8], offset: usize, limit: Option<u64>) -> usize {
        let next = format::next_record(bytes, offset, self.expected, limit.unwrap_or(u64::MAX));
        let end = next.map_or(bytes.len(), |record| record.offset);
        match (next.map(|record| record.lsn), limit) {
            (Some(resume), _) | (None, Some(resume)) => {
                self.lost(path, offset, &bytes[offset..end], self.expected..resume);
                self.expected = resume;
            }
            (None, None) => {
                let (path, bytes) = (path.to_owned(), (end - offset) as u64);
                self.report.torn_tail = Some(TornTail { path, offset: offset as u64, bytes });
            }
        }
        end
    }

    /// Compares what the header says about the segment before it with what was read there.
    fn check_chain(&mut self, segment: &Found, bytes: &[u8]) {
        let Some(header) = segment.header else {
            let damaged = &bytes[..HEADER_BYTES.min(bytes.len())];
            self.lost(&segment.path, 0, damaged, self.expected..self.expected);
            return;
        };
        if self.chain_known && header.previous_crc != self.last_crc {
            self.report.chain_breaks += 1;
            tracing::error!(segment = segment.path, "segment does not continue the one before it");
        }
        self.last_crc = header.previous_crc;
    }

    /// Notes bad `bytes` at `offset` and the loss of the records `missing`.
    fn lost(&mut self, path: &str, offset: usize, bytes: &[u8], missing: Range<u64>) {
        let first_missing = missing.start.max(self.from_lsn.saturating_add(1));
        let count = missing.end.saturating_sub(first_missing);
        if !missing.is_empty() {
            self.chain_known = false;
        }
        if count == 0 && bytes.is_empty() {
            return;
        }
        self.report.missing += count;
        tracing::error!(segment = path, offset, bytes = bytes.len(), missing = count, "the log is damaged");
        if self.report.damage.len() < DAMAGE_MAX {
            let quarantined = self.quarantine(path, offset, bytes);
            let (path, offset, bytes) = (path.to_owned(), offset as u64, bytes.len() as u64);
            self.report.damage.push(Damage { path, offset, bytes, first_missing, missing: count, quarantined });
        }
    }

    /// Copies bad bytes aside, since truncation will remove the segment. A full disk must not stop the start.
    fn quarantine(&self, path: &str, offset: usize, bytes: &[u8]) -> Option<String> {
        if bytes.is_empty() || self.purpose == Purpose::Verify {
            return None;
        }
        let dir = format!("{}/quarantine", self.dir);
        let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".wal");
        let copy = format!("{dir}/{name}-{offset}.bad");
        match write_copy(self.storage, &dir, &copy, bytes) {
            Ok(()) => Some(copy),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Some(copy),
            Err(error) => {
                tracing::warn!(path = copy, %error, "damaged bytes could not be copied aside");
                None
            }
        }
    }
}

fn write_copy(storage: &dyn Storage, dir: &str, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    storage.create_dir_all(dir)?;
    let mut file = storage.create(path)?;
    file.append(bytes)?;
    file.sync_data()?;
    storage.sync_dir(dir)
}
