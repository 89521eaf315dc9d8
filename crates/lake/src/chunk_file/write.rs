//! Chunk rows into a Parquet file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::column;
use crate::entry::EncodedFile;
use crate::error::LakeError;
use crate::parquet_io;
use crate::row::ChunkRow;

/// Rows of a row group.
const GROUP_ROWS: usize = 20_480;
/// Rows of a data page: one series then costs one page of each blob column.
pub(super) const PAGE_ROWS: usize = 64;
/// Shared timestamp blobs go into Parquet's dictionary up to this size; it is read for every fetch of the column.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
const PLACE: &str = "a chunk file";

/// Encodes `rows`, sorted by (metric, series, first timestamp), as one chunk file.
///
/// # Errors
/// [`LakeError::Invalid`] without rows, for rows out of order, a series under two metrics, an empty chunk or one whose
/// timestamps fall.
pub fn encode_chunk_file(rows: &[ChunkRow]) -> Result<EncodedFile, LakeError> {
    check(rows)?;
    let schema = schema();
    let batches = rows.chunks(GROUP_ROWS).map(|rows| batch(&schema, rows));
    let written = parquet_io::write(PLACE, Arc::clone(&schema), properties(rows)?, batches)?;
    let metric = |row: Option<&ChunkRow>| row.map_or_else(String::new, |row| row.metric.to_string());
    Ok(EncodedFile {
        min_ts: rows.iter().map(|row| row.min_ts).min().unwrap_or(0),
        max_ts: rows.iter().map(|row| row.max_ts).max().unwrap_or(0),
        rows: rows.len() as u64,
        samples: rows.iter().map(|row| u64::from(row.count)).sum(),
        metric_min: metric(rows.first()),
        metric_max: metric(rows.last()),
        bytes: written.bytes,
        data_len: written.data_len,
        crc_footer: written.crc_footer,
        crc_chunks: written.crc_chunks,
    })
}

fn check(rows: &[ChunkRow]) -> Result<(), LakeError> {
    if rows.is_empty() || rows.len() > i32::MAX as usize {
        return Err(LakeError::invalid(PLACE, format!("{} rows", rows.len())));
    }
    let mut metric_of: HashMap<u64, &str> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        if row.count == 0 || row.min_ts > row.max_ts || row.count as usize > codec::MAX_SAMPLES {
            let why = format!("row {i} has {} samples from {} to {}", row.count, row.min_ts, row.max_ts);
            return Err(LakeError::invalid(PLACE, why));
        }
        let before = i.checked_sub(1).map(|i| &rows[i]);
        if before.is_some_and(|before| key(before) > key(row)) {
            return Err(LakeError::invalid(PLACE, format!("row {i} is out of order")));
        }
        if metric_of.insert(row.series_id, &row.metric).is_some_and(|metric| metric != &*row.metric) {
            let why = format!("series {:016x} of row {i} is there under two metrics", row.series_id);
            return Err(LakeError::invalid(PLACE, why));
        }
    }
    Ok(())
}

fn key(row: &ChunkRow) -> (&str, u64, i64) {
    (&row.metric, row.series_id, row.min_ts)
}

fn schema() -> SchemaRef {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field(column::METRIC, DataType::Utf8),
        field(column::SERIES_ID, DataType::Int64),
        field(column::MIN_TS, DataType::Int64),
        field(column::MAX_TS, DataType::Int64),
        field(column::COUNT, DataType::Int32),
        field(column::NUMBERS, DataType::Int32),
        field(column::SUM, DataType::Float64),
        field(column::MIN, DataType::Float64),
        field(column::MAX, DataType::Float64),
        field(column::FIRST, DataType::Float64),
        field(column::LAST, DataType::Float64),
        field(column::INCREASE, DataType::Float64),
        field(column::TS_CHUNK, DataType::Binary),
        field(column::VALUE_CHUNK, DataType::Binary),
    ]))
}

fn batch(schema: &SchemaRef, rows: &[ChunkRow]) -> Result<RecordBatch, LakeError> {
    let long = |of: fn(&ChunkRow) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let double = |of: fn(&ChunkRow) -> f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    // Counts are at most 65,536, as checked.
    let int = |of: fn(&ChunkRow) -> i32| Arc::new(Int32Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.metric))),
        long(|row| row.series_id as i64),
        long(|row| row.min_ts),
        long(|row| row.max_ts),
        int(|row| row.count as i32),
        int(|row| row.numbers as i32),
        double(|row| row.sum),
        double(|row| row.min),
        double(|row| row.max),
        double(|row| row.first),
        double(|row| row.last),
        double(|row| row.increase),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.ts_chunk))),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.value_chunk))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|why| LakeError::invalid(PLACE, why))
}

fn properties(rows: &[ChunkRow]) -> Result<WriterProperties, LakeError> {
    let path = |name: &str| ColumnPath::from(name);
    let level = ZstdLevel::try_new(1).map_err(|why| LakeError::invalid(PLACE, why))?;
    // Statistics help readers of other engines to skip pages, but on the blobs they would only repeat them.
    let mut builder = WriterProperties::builder()
        .set_created_by("foretide".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Within a metric rows follow the series id as an unsigned number, which no signed column can claim.
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]));
    for blob in [column::TS_CHUNK, column::VALUE_CHUNK] {
        builder = builder
            .set_column_compression(path(blob), Compression::UNCOMPRESSED)
            .set_column_statistics_enabled(path(blob), EnabledStatistics::None);
    }
    for key in [column::METRIC, column::SERIES_ID, column::MIN_TS, column::MAX_TS] {
        builder = builder.set_column_statistics_enabled(path(key), EnabledStatistics::Page);
    }
    for number in [column::SUM, column::MIN, column::MAX, column::FIRST, column::LAST, column::INCREASE] {
        builder = builder.set_column_dictionary_enabled(path(number), false);
    }
    Ok(builder
        .set_column_dictionary_enabled(path(column::SERIES_ID), false)
        .set_column_dictionary_enabled(path(column::VALUE_CHUNK), false)
        .set_column_dictionary_enabled(path(column::TS_CHUNK), timestamps_are_shared(rows))
        .set_column_dictionary_page_size_limit(path(column::TS_CHUNK), DICTIONARY_BYTES_MAX)
        .build())
}

/// Whether a dictionary pays for timestamp blobs: it must halve them and stay small, as every fetch reads all of it.
fn timestamps_are_shared(rows: &[ChunkRow]) -> bool {
    let all: usize = rows.iter().map(|row| row.ts_chunk.len()).sum();
    let mut seen = HashSet::new();
    let mut different = 0;
    for row in rows {
        if seen.insert(&row.ts_chunk) {
            different += row.ts_chunk.len();
        }
        if different > DICTIONARY_BYTES_MAX / 2 || different * 2 > all {
            return false;
        }
    }
    true
}
