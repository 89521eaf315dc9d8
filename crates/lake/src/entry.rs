//! What the log knows about a data file, and a data file before it is written.

use std::sync::Arc;

use bytes::Bytes;

/// One live data file of a table, as its `add` action describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    /// Folder of the table, such as `default/chunks`.
    pub root: Arc<str>,
    /// Path inside the table, such as `date=2026-11-21/0-1795244846123-….parquet`, or the whole address of a file in another
    /// store; the key in [`crate::Snapshot::files`].
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Partition value of chunk tables (UTC day); `None` in tables without partitions.
    pub date: Option<String>,
    /// Smallest timestamp in the file, milliseconds.
    pub min_ts: i64,
    /// Largest timestamp in the file, milliseconds.
    pub max_ts: i64,
    /// Number of rows (chunks, or series).
    pub rows: u64,
    /// Number of samples in all chunks; 0 in series files.
    pub samples: u64,
    /// Compaction level: 0 flushed, 1 hourly, 2 daily.
    pub level: u8,
    /// First log position that the file covers.
    pub lsn_lo: u64,
    /// Last log position that the file covers; of two files with the same sample the higher one wins.
    pub lsn_hi: u64,
    /// First metric in sort order.
    pub metric_min: String,
    /// Last metric in sort order.
    pub metric_max: String,
    /// Offset at which row data ends and page indexes and footer begin.
    pub data_len: u64,
    /// crc32c of `[data_len, size)`.
    pub crc_footer: u32,
    /// crc32c of every column chunk, row group by row group.
    pub crc_chunks: Vec<u32>,
    /// Newest deletion (its number) whose samples this file no longer holds; 0 when none was applied while writing it.
    pub cleaned: u64,
    /// When the file was committed, milliseconds.
    pub committed_at: i64,
}

impl FileEntry {
    /// The object's full key, in whichever store it is.
    pub fn key(&self) -> String {
        let inside = if self.is_far() { self.path.rfind("/date=").map(|at| &self.path[at + 1..]) } else { None };
        format!("{}/{}", self.root, inside.unwrap_or(&self.path))
    }

    /// Whether the file is in another store than the table's.
    pub fn is_far(&self) -> bool {
        self.path.contains("://")
    }

    /// Whether a sample of the closed range `[first, last]` may be inside.
    pub fn overlaps(&self, first: i64, last: i64) -> bool {
        self.min_ts <= last && first <= self.max_ts
    }

    /// Whether chunks of `metric` may be inside.
    pub fn may_hold(&self, metric: &str) -> bool {
        self.metric_min.as_str() <= metric && metric <= self.metric_max.as_str()
    }
}

/// A Parquet file in memory, ready for [`crate::Table::put_file`].
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// The whole file.
    pub bytes: Bytes,
    /// Smallest timestamp, milliseconds.
    pub min_ts: i64,
    /// Largest timestamp, milliseconds.
    pub max_ts: i64,
    /// Rows.
    pub rows: u64,
    /// Samples.
    pub samples: u64,
    /// First metric.
    pub metric_min: String,
    /// Last metric.
    pub metric_max: String,
    /// End of row data.
    pub data_len: u64,
    /// crc32c of everything after `data_len`.
    pub crc_footer: u32,
    /// crc32c of every column chunk.
    pub crc_chunks: Vec<u32>,
}
