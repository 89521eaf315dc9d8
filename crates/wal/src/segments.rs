//! The segments of a log, as known in memory.

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number; rises with each new file, gaps are possible after failures.
    pub number: u64,
    /// Path relative to the data folder.
    pub path: String,
    /// Sequence number of its first record.
    pub first_lsn: u64,
    /// Sequence number of its last acknowledged record; `first_lsn - 1` if it has none.
    pub last_lsn: u64,
    /// Size on disk in bytes.
    pub bytes: u64,
}

/// All segments, oldest first; only the active one still grows.
#[derive(Debug, Default)]
pub(crate) struct SegmentList {
    pub(crate) closed: Vec<SegmentInfo>,
    pub(crate) active: Option<SegmentInfo>,
}

impl SegmentInfo {
    pub(crate) fn has_records(&self) -> bool {
        self.last_lsn >= self.first_lsn
    }
}

impl SegmentList {
    pub(crate) fn all(&self) -> impl Iterator<Item = &SegmentInfo> {
        self.closed.iter().chain(&self.active)
    }

    /// Takes out the closed segments whose records are all at or below `lsn`.
    pub(crate) fn take_below(&mut self, lsn: u64) -> Vec<SegmentInfo> {
        let keep_from = self.closed.iter().position(|segment| segment.last_lsn > lsn).unwrap_or(self.closed.len());
        self.closed.drain(..keep_from).collect()
    }

    /// Adds closed segments, also ones that could not be removed.
    pub(crate) fn close(&mut self, segments: impl IntoIterator<Item = SegmentInfo>) {
        self.closed.extend(segments);
        self.closed.sort_by_key(|segment| segment.number);
    }
}

/// File name of segment `number`: sorts like the number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:020}.wal")
}

/// The number in a segment's file name, or `None` for any other file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}
