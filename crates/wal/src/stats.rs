//! Counters of a log, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::LogError;

/// A snapshot of a log's counters; they start at zero when the log is opened.
#[derive(Debug, Clone, Default)]
pub struct LogStats {
    /// Commits that succeeded.
    pub commits: u64,
    /// Successful `fdatasync` calls on segments.
    pub syncs: u64,
    /// Payloads acknowledged. `payloads / commits` is the mean size of a group.
    pub payloads: u64,
    /// Records acknowledged.
    pub records: u64,
    /// Bytes of acknowledged records.
    pub bytes: u64,
    /// Writes, syncs and creations that failed.
    pub failures: u64,
    /// Payloads refused: queue full, read-only, too large.
    pub refused: u64,
    /// Payloads waiting now.
    pub queued: usize,
    /// Bytes waiting now.
    pub queued_bytes: usize,
    /// Segments on disk.
    pub segments: usize,
    /// Why the log refuses writes at present, if it does.
    pub refusing: Option<LogError>,
}

/// The live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) payloads: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LogStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            commits: get(&self.commits),
            syncs: get(&self.syncs),
            payloads: get(&self.payloads),
            records: get(&self.records),
            bytes: get(&self.bytes),
            failures: get(&self.failures),
            refused: get(&self.refused),
            ..LogStats::default()
        }
    }
}
