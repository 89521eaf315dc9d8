//! The control plane's public face: open, change, read, snapshot, maintain.

mod core;
mod open;
mod record;

pub(crate) use self::core::{LOG_DIR, SNAPSHOT_DIR};
pub(crate) use self::record::CHANGES;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use series::{Millis, Timestamp};
use wal::{Log, LogError, LogOptions, LogStats, ReplayReport, Storage};

use self::core::Core;
use crate::audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict, key_of, verify_chain};
use crate::change::{CHANGES_MAX, Change, index_key};
use crate::error::ControlError;
use crate::index::{Index, RowRange};
use crate::kind::{Kind, Retention};
use crate::snapshot::Snapshot;
use record::Commit;

/// Log above the newest snapshot at which the next one is taken: 64 MiB.
const SNAPSHOT_LOG_BYTES: u64 = 64 << 20;
const SNAPSHOT_EVERY: Millis = Millis::from_days(1);
/// How long the audit trail is kept.
const AUDIT_KEPT: Millis = Millis::from_days(400);
/// Entries removed in one call of retention.
const TRIM_MAX: usize = 5000;
/// Where the removed beginning of the audit trail ends.
const AUDIT_ANCHOR: &str = "audit/anchor";

/// How the control plane behaves.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// Its log; the default fits: small segments, a sync before every answer.
    pub log: LogOptions,
}

/// What opening found.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// The log's replay, with exact losses if there is damage.
    pub replay: ReplayReport,
    /// Record of the newest snapshot, 0 if there is none.
    pub snapshot_lsn: u64,
    /// Why the index was built anew, if it was. `None` also for a first start.
    pub rebuilt: Option<String>,
    /// Where the doubtful index was put.
    pub quarantined: Option<PathBuf>,
    /// Snapshots that cannot be read.
    pub damaged_snapshots: Vec<String>,
    /// Records of the log that are sound but make no sense to this build; raise an alarm.
    pub unreadable_records: u64,
    /// Entries held.
    pub entries: u64,
}

/// Which entries of a kind to read, in order of keys. The default reads the first 1,000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRange {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys at or after this (at or before it when reading in reverse).
    pub from: Option<String>,
    /// From the largest key down.
    pub reverse: bool,
    /// At most so many; never more than 100,000.
    pub limit: usize,
}

/// The control plane at one record, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPin {
    /// Number of the last record.
    pub lsn: u64,
    /// Segments of the log and snapshots.
    pub files: Vec<PinnedFile>,
}

/// A file of a pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedFile {
    /// Relative to the data folder.
    pub path: String,
    /// How many of its bytes count; `None`: all, and the file never changes.
    pub bytes: Option<u64>,
}

/// What a round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Record of the snapshot taken, if one was due.
    pub snapshot_lsn: Option<u64>,
    /// Entries removed because of their age or number.
    pub removed: usize,
}

/// The control plane. All methods take `&self`; share it in an [`Arc`].
pub struct Control {
    core: Arc<Core>,
    log: Log<Commit>,
    snapshots: Mutex<Snapshots>,
}

#[derive(Debug, Default)]
struct Snapshots {
    /// Newest first, at most two.
    kept: Vec<Snapshot>,
    /// Size of the log when the newest was taken.
    log_bytes: u64,
}

impl Default for ControlOptions {
    fn default() -> Self {
        let log = LogOptions { segment_bytes: 8 << 20, queue_bytes_max: 64 << 20, ..LogOptions::default() };
        Self { log }
    }
}

impl Default for ScanRange {
    fn default() -> Self {
        Self { prefix: String::new(), from: None, reverse: false, limit: 1000 }
    }
}

impl ScanRange {
    /// Keys that begin with `prefix`.
    pub fn prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    /// The `limit` largest keys, largest first.
    pub fn newest(limit: usize) -> Self {
        Self { reverse: true, limit, ..Self::default() }
    }

    fn rows(&self, kind: Kind) -> RowRange {
        let mut low = index_key(kind, &self.prefix);
        let mut high = low.clone();
        // The first key after all that begin with the prefix. Keys are UTF-8 and kinds small, so no byte is 0xFF.
        if let Some(last) = high.last_mut() {
            *last = last.saturating_add(1);
        }
        if let Some(from) = &self.from {
            let mut from = index_key(kind, from);
            if self.reverse {
                from.push(0);
                high = high.min(from);
            } else {
                low = low.max(from);
            }
        }
        RowRange { low, high, reverse: self.reverse, limit: self.limit.min(100_000) }
    }
}

impl Control {
    /// Opens the control plane: log and snapshots below `control/` of `storage`, the index in `root/control/index`.
    ///
    /// The index is checked row by row and against the log; on any doubt it is moved to `root/control/quarantine` (the
    /// newest three are kept) and built anew. Damage is no error; it is in the report.
    ///
    /// # Errors
    /// [`ControlError::Log`] (for instance a newer format, untouched), [`ControlError::Disk`], [`ControlError::Index`].
    pub fn open(
        storage: Arc<dyn Storage>,
        root: &Path,
        options: ControlOptions,
    ) -> Result<(Self, OpenReport), ControlError> {
        open::open(storage, root, options)
    }

    /// Creates or replaces one entry; durable when this returns. Answers the number of its record.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn put<T: Serialize + ?Sized>(&self, kind: Kind, key: &str, value: &T) -> Result<u64, ControlError> {
        self.apply(vec![Change::put(kind, key, value)?], None)
    }

    /// Removes one entry, durably; a missing one is fine.
    ///
    /// # Errors
    /// As [`Control::apply`].
    pub fn delete(&self, kind: Kind, key: &str) -> Result<u64, ControlError> {
        self.apply(vec![Change::delete(kind, key)], None)
    }

    /// Makes all `changes`, and writes the audit entry, or nothing: one record of the log. Durable when this returns;
    /// calls from several threads share syncs.
    ///
    /// # Errors
    /// Bounds on keys, values and counts; [`ControlError::Full`]; [`ControlError::Log`] when the disk refuses (nothing
    /// is acknowledged, the change may still be found after a restart).
    pub fn apply(&self, changes: Vec<Change>, audit: Option<AuditEntry>) -> Result<u64, ControlError> {
        if changes.len() > CHANGES_MAX || (changes.is_empty() && audit.is_none()) {
            return Err(ControlError::ChangeCount { count: changes.len(), max: CHANGES_MAX });
        }
        for change in &changes {
            self.check(change)?;
        }
        let mut kinds: Vec<Kind> = changes.iter().map(|change| change.target().0).collect();
        let lsn = self.log.append(Commit::new(changes, audit, Arc::clone(&self.core)))?;
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            self.trim(kind, false)?;
        }
        Ok(lsn)
    }

    fn check(&self, change: &Change) -> Result<(), ControlError> {
        change.check()?;
        let (kind, key) = change.target();
        if kind == Kind::Audit {
            return Err(ControlError::AuditIsAppendOnly { key: key.to_owned() });
        }
        if let (Change::Put { .. }, Retention::Refuse(max)) = (change, kind.retention()) {
            let count = self.count(kind)?;
            if count >= max && self.read(|index| index.get(&index_key(kind, key)))?.is_none() {
                return Err(ControlError::Full { kind: kind.name(), count, max });
            }
        }
        Ok(())
    }

    /// The value at a key.
    ///
    /// # Errors
    /// [`ControlError::Json`] if it is not a `T`; [`ControlError::Index`].
    pub fn get<T: DeserializeOwned>(&self, kind: Kind, key: &str) -> Result<Option<T>, ControlError> {
        let json = self.read(|index| index.get(&index_key(kind, key)))?;
        json.map(|json| from_json(kind, key, &json)).transpose()
    }

    /// Entries of a kind in order of keys.
    ///
    /// # Errors
    /// As [`Control::get`].
    pub fn scan<T: DeserializeOwned>(&self, kind: Kind, range: &ScanRange) -> Result<Vec<(String, T)>, ControlError> {
        let rows = self.read(|index| index.scan(&range.rows(kind)))?;
        let entry = |(key, json): (Vec<u8>, Vec<u8>)| {
            let key = String::from_utf8_lossy(&key).into_owned();
            let value = from_json(kind, &key, &json)?;
            Ok((key, value))
        };
        rows.into_iter().map(entry).collect()
    }

    /// How many entries a kind has.
    ///
    /// # Errors
    /// [`ControlError::Index`].
    pub fn count(&self, kind: Kind) -> Result<u64, ControlError> {
        self.read(|index| Ok(index.count(kind)))
    }

    /// Number of the last durable record.
    pub fn last_lsn(&self) -> u64 {
        self.log.last_lsn()
    }

    /// Counters and state of the log.
    pub fn log_stats(&self) -> LogStats {
        self.log.stats()
    }

    /// How often the index was built anew since opening.
    pub fn rebuilds(&self) -> u64 {
        self.core.rebuilds()
    }

    /// Whether the index lives in memory because the disk takes nothing; [`Control::maintain`] tries to put it on disk.
    pub fn index_is_in_memory(&self) -> bool {
        self.core.is_in_memory()
    }

    /// The last audit record's number and hash, to be signed and kept elsewhere.
    pub fn audit_head(&self) -> AuditHead {
        self.core.heads().committed()
    }

    /// Checks the audit trail from its beginning (or where retention has cut it) and names the first bad record.
    ///
    /// # Errors
    /// [`ControlError::Index`].
    pub fn verify_audit(&self) -> Result<AuditVerdict, ControlError> {
        let anchor: AuditHead = self.get(Kind::Setting, AUDIT_ANCHOR)?.unwrap_or_default();
        let mut verdict = verify_chain(&anchor, []);
        loop {
            let from = Some(key_of(verdict.head.seq + 1));
            let page: Vec<(String, AuditRecord)> =
                self.scan(Kind::Audit, &ScanRange { from, ..ScanRange::default() })?;
            if page.is_empty() {
                break;
            }
            let part = verify_chain(&verdict.head, page.into_iter().map(|(_, record)| record));
            verdict = AuditVerdict { good: verdict.good + part.good, ..part };
            if verdict.first_bad.is_some() {
                return Ok(verdict);
            }
        }
        let head = self.audit_head();
        if verdict.head != head {
            let reason = format!("the trail ends before its last record, {}", head.seq);
            verdict.first_bad = Some(crate::audit::BadAuditRecord { seq: verdict.head.seq + 1, reason });
        }
        Ok(verdict)
    }

    /// Writes a snapshot of everything and lets the log go that the older of the two newest snapshots covers. Changes
    /// wait meanwhile. Answers the number of the record it stands at.
    ///
    /// # Errors
    /// [`ControlError::Disk`] or [`ControlError::Index`]; the old snapshots and the log stay.
    pub fn snapshot(&self, now: Timestamp) -> Result<u64, ControlError> {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let core = Arc::clone(&self.core);
        let snapshot = self.alone(move || core.snapshot(now.0))??;
        let lsn = snapshot.meta.applied_lsn;
        // An index that a kill leaves behind the newest snapshot would have to be built anew.
        self.core.flush();
        snapshots.kept.retain(|kept| kept.meta.applied_lsn != lsn);
        snapshots.kept.insert(0, snapshot);
        while snapshots.kept.len() > 2
            && let Some(old) = snapshots.kept.pop()
        {
            self.core.remove_snapshot(&old.path);
        }
        if let [_, older] = snapshots.kept.as_slice() {
            self.log.truncate_below(older.meta.applied_lsn)?;
        }
        snapshots.log_bytes = self.log.bytes();
        Ok(lsn)
    }

    /// Calls `copy` with everything that makes up the control plane at one record: the files are not removed and not
    /// changed meanwhile, and only the given number of bytes of each belongs to it. Changes go on.
    ///
    /// # Errors
    /// [`ControlError::Log`] when the log is closed.
    pub fn pinned<T>(&self, copy: impl FnOnce(&ControlPin) -> T) -> Result<T, ControlError> {
        // Snapshots are made, and the log is cut, under this lock only.
        let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, receiver) = mpsc::sync_channel(1);
        self.log.exclusive(Box::new(move |lsn| {
            let _ = sender.try_send(lsn);
        }));
        let lsn = receiver.recv().map_err(|_| ControlError::Log(LogError::Closed))?;
        let segments = self
            .log
            .segments()
            .into_iter()
            .map(|segment| PinnedFile { path: segment.path, bytes: Some(segment.bytes) });
        let snapshots = snapshots.kept.iter().map(|kept| PinnedFile { path: kept.path.clone(), bytes: None });
        Ok(copy(&ControlPin { lsn, files: segments.chain(snapshots).collect() }))
    }

    /// To be called every minute or so: takes a snapshot daily or after 64 MiB of log, removes audit records older than
    /// 400 days and entries beyond their kind's number. A wrong clock only moves when, never what.
    ///
    /// # Errors
    /// As [`Control::snapshot`] and [`Control::apply`].
    pub fn maintain(&self, now: Timestamp) -> Result<Maintenance, ControlError> {
        let mut done = Maintenance::default();
        if self.core.is_in_memory() {
            let core = Arc::clone(&self.core);
            self.alone(move || core.settle())?;
        }
        for kind in Kind::ALL {
            done.removed += self.trim(kind, true)?;
        }
        done.removed += self.trim_audit(now)?;
        if self.snapshot_due(now) {
            done.snapshot_lsn = Some(self.snapshot(now)?);
        } else {
            self.core.flush();
        }
        Ok(done)
    }

    fn snapshot_due(&self, now: Timestamp) -> bool {
        let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = snapshots.kept.first();
        if newest.map_or(0, |newest| newest.meta.applied_lsn) == self.last_lsn() {
            return false;
        }
        let aged = newest.is_none_or(|newest| (now - Timestamp(newest.taken_at)).0.abs() >= SNAPSHOT_EVERY.0);
        aged || self.log.bytes().saturating_sub(snapshots.log_bytes) >= SNAPSHOT_LOG_BYTES
    }

    /// Removes the smallest keys of a kind that keeps only its newest; unless `exactly`, not before a tenth too many.
    fn trim(&self, kind: Kind, exactly: bool) -> Result<usize, ControlError> {
        let Retention::Newest(max) = kind.retention() else { return Ok(0) };
        let count = self.count(kind)?;
        let allowed = if exactly { max } else { max + max / 10 };
        if count <= allowed {
            return Ok(0);
        }
        let limit = usize::try_from(count - max).unwrap_or(TRIM_MAX).min(TRIM_MAX);
        let range = ScanRange { limit, ..ScanRange::default() };
        let oldest = self.read(|index| index.scan(&range.rows(kind)))?;
        let changes: Vec<_> =
            oldest.iter().map(|(key, _)| Change::delete(kind, &String::from_utf8_lossy(key))).collect();
        let removed = changes.len();
        self.log.append(Commit::new(changes, None, Arc::clone(&self.core)))?;
        Ok(removed)
    }

    /// Removes old audit records from the front; the last one always stays. Where the trail now begins is noted.
    fn trim_audit(&self, now: Timestamp) -> Result<usize, ControlError> {
        let range = ScanRange { limit: TRIM_MAX, ..ScanRange::default() };
        let oldest: Vec<(String, AuditRecord)> = self.scan(Kind::Audit, &range)?;
        let (last, too_old) = (self.audit_head().seq, now - AUDIT_KEPT);
        let expired = |record: &AuditRecord| Timestamp(record.entry.at) < too_old && record.seq != last;
        let due: Vec<_> = oldest.into_iter().map(|(_, record)| record).take_while(expired).collect();
        let Some(newest_due) = due.last() else { return Ok(0) };
        let mut changes = vec![Change::put(Kind::Setting, AUDIT_ANCHOR, &newest_due.head())?];
        changes.extend(due.iter().map(|record| Change::delete(Kind::Audit, &record.key())));
        self.log.append(Commit::new(changes, None, Arc::clone(&self.core)))?;
        Ok(due.len())
    }

    /// Reads from the index; on doubt builds it anew and reads again.
    fn read<T>(&self, f: impl Fn(&Index) -> Result<T, crate::index::Doubt>) -> Result<T, ControlError> {
        if let Some(value) = self.core.read(&f) {
            return Ok(value);
        }
        let core = Arc::clone(&self.core);
        self.alone(move || core.heal())??;
        self.core.read(&f).ok_or_else(|| self.core.broken())
    }

    /// Runs `f` in the log's writer thread, when nothing is being written or applied.
    fn alone<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T, ControlError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.log.exclusive(Box::new(move |_| {
            let _ = sender.try_send(f());
        }));
        receiver.recv().map_err(|_| ControlError::Log(LogError::Closed))
    }

    /// Commits what is under way and takes nothing more. Dropping does the same.
    pub fn close(&self) {
        self.log.close();
        self.core.flush();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close();
    }
}

fn from_json<T: DeserializeOwned>(kind: Kind, key: &str, json: &[u8]) -> Result<T, ControlError> {
    serde_json::from_slice(json).map_err(|source| ControlError::Json { kind: kind.name(), key: key.to_owned(), source })
}

#[cfg(test)]
mod tests;
