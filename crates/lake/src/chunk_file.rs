//! Chunk files: many series' chunks in one Parquet file, and finding one of them in a tenth of a millisecond.
//!
//! Rows are sorted by (metric, series, first timestamp). One row group holds up to 20,480 rows and a page of blobs 32 KiB,
//! so that one series is a page or two of each blob column. Long blobs are packed already and not compressed again; short
//! ones are compressed together, a page at a time, and have no aggregates beside them.
//! [`ChunkFile`] keeps the footer and, once asked for, the key columns in memory; a fetch then reads exactly the pages
//! that hold the wanted rows.

mod keys;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use keys::ChunkKeys;
pub use read::{ChunkBytes, ChunkFile, MetricRows};
pub use write::{ChunkFileWriter, encode_chunk_file};

/// Names of the columns that other files of this room refer to; [`crate::log`] declares the same to Delta readers.
pub(crate) mod column {
    pub(crate) const METRIC: &str = "metric";
    pub(crate) const SERIES_ID: &str = "series_id";
    pub(crate) const MIN_TS: &str = "min_ts";
    pub(crate) const MAX_TS: &str = "max_ts";
    pub(crate) const COUNT: &str = "count";
    pub(crate) const NUMBERS: &str = "numbers";
    pub(crate) const SUM: &str = "sum";
    pub(crate) const MIN: &str = "min";
    pub(crate) const MAX: &str = "max";
    pub(crate) const FIRST: &str = "first";
    pub(crate) const LAST: &str = "last";
    pub(crate) const INCREASE: &str = "increase";
    pub(crate) const TS_CHUNK: &str = "ts_chunk";
    pub(crate) const VALUE_CHUNK: &str = "value_chunk";
}
