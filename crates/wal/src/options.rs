//! How a log behaves: sizes, windows, bounds.

use std::time::Duration;

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// `fdatasync` before every acknowledgement (group commit).
    Always,
    /// Acknowledged when written; synced at this interval. A power cut loses at most that long, and the next replay
    /// counts what it misses.
    Interval(Duration),
}

/// Settings of one log. The default is the product's for samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment is closed at the first commit that reaches this size, in bytes. Default 64 MiB.
    pub segment_bytes: u64,
    /// Longest gathering of waiters before a commit when several writers are active. A lone writer never waits.
    /// Default 2 ms.
    pub commit_window: Duration,
    /// A commit is closed when its payloads reach this many bytes. Default 1 MiB.
    pub commit_bytes: usize,
    /// A commit is closed at this many payloads. Default 64.
    pub waiters_max: usize,
    /// Bytes of payloads that may wait; a payload larger than that is taken only by an empty queue. Default 64 MiB.
    pub queue_bytes_max: usize,
    /// When an append counts as durable. Default [`SyncMode::Always`].
    pub sync: SyncMode,
    /// How often a refusing log tries to write again. Default 1 s.
    pub probe_interval: Duration,
    /// Free bytes a full disk must have before writing resumes. Default 4 MiB.
    pub resume_free_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            commit_window: Duration::from_millis(2),
            commit_bytes: 1 << 20,
            waiters_max: 64,
            queue_bytes_max: 64 << 20,
            sync: SyncMode::Always,
            probe_interval: Duration::from_secs(1),
            resume_free_bytes: 4 << 20,
        }
    }
}
