//! What a replay found, for people and for tests.

/// One damaged place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's path; empty when the oldest records have no file at all.
    pub path: String,
    /// Offset of the first bad byte.
    pub offset: u64,
    /// Bad bytes; 0 when records are missing without a trace.
    pub bytes: u64,
    /// First missing sequence number (where `missing > 0`).
    pub first_missing: u64,
    /// How many records above `from_lsn` are missing here.
    pub missing: u64,
    /// Where the bad bytes were copied to.
    pub quarantined: Option<String>,
}

/// Bad bytes at the very end of the log: what a crash in the middle of an unacknowledged commit leaves. Damage to the
/// last record looks the same; the file keeps the bytes until it is truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The last segment's path.
    pub path: String,
    /// Offset of the first bad byte.
    pub offset: u64,
    /// Bytes from there to the end of the file.
    pub bytes: u64,
}

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// The last sequence number in use: of the last valid record, or `from_lsn` if that is later.
    pub last_lsn: u64,
    /// Records delivered.
    pub records: u64,
    /// Bytes of segments read.
    pub bytes: u64,
    /// Segments read.
    pub segments_read: usize,
    /// Segments not read, because all their records are at or below `from_lsn`.
    pub segments_skipped: usize,
    /// Records above `from_lsn` that cannot be read any more. Exact: sequence numbers have no gaps.
    pub missing: u64,
    /// The damaged places, at most 1,000 of them.
    pub damage: Vec<Damage>,
    /// The unfinished end, if there is one.
    pub torn_tail: Option<TornTail>,
    /// Segments whose header names another checksum than the last record before them has: files of another history.
    pub chain_breaks: usize,
}
