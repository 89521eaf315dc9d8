//! Chunks of samples as Parquet files, committed as Delta tables, on any object store.
//!
//! ```text
//!   series' samples ─▶ ChunkRow ─▶ ChunkFileWriter ─▶ Table::put_file ─▶ Table::commit
//!                                                            │                  │
//!                                  <root>/date=…/….parquet ◀─┘                  └─▶ <root>/_delta_log/N.json
//!   Table::snapshot ─▶ FileEntry ─▶ ChunkFile::open ─▶ keys ─▶ fetch ─▶ codec ─▶ samples
//! ```
//!
//! - A file is written durably under its final key first, then named by a commit; what no commit names does not exist.
//! - Every byte that is read is checked: data in blocks of 16 KiB, the footer and every commit with crc32c. Damage is an
//!   error that names the file, never a number.
//! - Whether a commit happened is *done*, *refused* or *unknown*; unknown is resolved by reading, nothing is deleted.
//! - Everything blocks the calling thread. Inside a tokio runtime the local store hands its work to the blocking pool.
//!
//! Times are milliseconds as 64-bit integers, in memory and in the files: microseconds would overflow at the ends of the
//! range that samples may have. Arrow and Parquet do not show in this interface.

mod blocking;
mod checksum;
mod chunk_file;
mod durable;
mod entry;
mod error;
#[cfg(test)]
mod fault_store;
mod log;
mod orphans;
mod parquet_io;
mod rollup_file;
mod row;
mod series_file;
mod table;
mod tier;
mod verify;

pub use chunk_file::{ChunkBytes, ChunkFile, ChunkFileWriter, ChunkKeys, MetricRows, encode_chunk_file};
pub use durable::{durable_local, local_to_read};
pub use entry::{EncodedFile, FileEntry};
pub use error::LakeError;
pub use log::Snapshot;
pub use orphans::{Orphans, remove_orphans};
pub use rollup_file::{RollupFile, RollupFileWriter, RollupRow, encode_rollup_file};
pub use row::{ChunkAggregates, ChunkRow};
pub use series_file::{
    SeriesFileWriter, SeriesLabels, SeriesRef, SeriesRow, encode_series_file, read_series_file, scan_series_file,
};
pub use table::{Commit, RetryPolicy, Table, TableKind};
pub use tier::{FarStore, copy_chunk_file, open_far, remove_strays};
pub use verify::{FileFacts, verify_file};
