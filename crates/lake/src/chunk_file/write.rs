//! Chunk rows into a Parquet file.

use std::collections::HashSet;
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
use crate::parquet_io::FileWriter;
use crate::row::ChunkRow;

/// Rows of a row group.
const GROUP_ROWS: usize = 20_480;
/// Rows after which the size of a data page is looked at.
const PAGE_STEP_ROWS: usize = 64;
/// Bytes of a page of blobs, before compression: what reading one series costs at least, in bytes.
const BLOB_PAGE_BYTES: usize = 32 << 10;
/// The same where blobs are compressed together: neighbours share what the compressor has learnt.
const SHORT_PAGE_BYTES: usize = 128 << 10;
/// Bytes of a page of any other column.
const PAGE_BYTES: usize = 64 << 10;
/// Shared timestamp blobs go into Parquet's dictionary up to this size; it is read for every fetch of the column.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
/// Rows, or bytes of blobs, that are gathered before they are handed on; the first such batch decides the layout.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 4 << 20;
const PLACE: &str = "a chunk file";
/// Shorter chunks have no aggregates: they would take more room than the samples, and summing those is as quick as
/// reading them.
const AGGREGATED_SAMPLES_MIN: u32 = codec::PACKED_ITEMS_MIN as u32;

/// Encodes `rows`, sorted by (metric, series, first timestamp), as one chunk file.
///
/// # Errors
/// As [`ChunkFileWriter::push`] and [`ChunkFileWriter::finish`].
pub fn encode_chunk_file(rows: &[ChunkRow]) -> Result<EncodedFile, LakeError> {
    let mut file = ChunkFileWriter::new();
    for row in rows {
        file.push(row.clone())?;
    }
    file.finish()
}

/// A chunk file that grows row by row: what is held is the encoded file and one batch of rows.
#[derive(Default)]
pub struct ChunkFileWriter {
    writer: Option<FileWriter>,
    pending: Vec<ChunkRow>,
    pending_bytes: usize,
    rows: u64,
    samples: u64,
    min_ts: Option<i64>,
    max_ts: i64,
    metric_min: Option<Arc<str>>,
    last: Option<(Arc<str>, u64, i64)>,
    /// Every series, in the order of rows, to see that none comes twice.
    series: Vec<u64>,
}

impl ChunkFileWriter {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row behind the others.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] for a row out of order (metric, series, first timestamp), an empty chunk or one whose
    /// timestamps fall. The file is then unusable.
    pub fn push(&mut self, row: ChunkRow) -> Result<(), LakeError> {
        self.check(&row)?;
        self.rows += 1;
        self.samples += u64::from(row.count);
        self.min_ts = Some(self.min_ts.map_or(row.min_ts, |least| least.min(row.min_ts)));
        self.max_ts = if self.rows == 1 { row.max_ts } else { self.max_ts.max(row.max_ts) };
        self.metric_min.get_or_insert_with(|| Arc::clone(&row.metric));
        if self.series.last() != Some(&row.series_id) {
            self.series.push(row.series_id);
        }
        self.last = Some((Arc::clone(&row.metric), row.series_id, row.min_ts));
        self.pending_bytes += row.ts_chunk.len() + row.value_chunk.len();
        self.pending.push(row);
        if self.pending.len() >= BATCH_ROWS || self.pending_bytes >= BATCH_BYTES { self.hand_on() } else { Ok(()) }
    }

    fn check(&self, row: &ChunkRow) -> Result<(), LakeError> {
        let i = self.rows;
        if i >= i32::MAX as u64 {
            return Err(LakeError::invalid(PLACE, format!("more than {i} rows")));
        }
        if row.count == 0 || row.min_ts > row.max_ts || row.count as usize > codec::MAX_SAMPLES {
            let why = format!("row {i} has {} samples from {} to {}", row.count, row.min_ts, row.max_ts);
            return Err(LakeError::invalid(PLACE, why));
        }
        let before = self.last.as_ref().map(|(metric, series, at)| (&**metric, *series, *at));
        if before.is_some_and(|before| before > (&*row.metric, row.series_id, row.min_ts)) {
            return Err(LakeError::invalid(PLACE, format!("row {i} is out of order")));
        }
        Ok(())
    }

    /// Gives the gathered rows to the Parquet writer.
    fn hand_on(&mut self) -> Result<(), LakeError> {
        let rows = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let schema = schema();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(FileWriter::new(PLACE, Arc::clone(&schema), properties(&rows)?)?),
        };
        writer.write(&batch(&schema, &rows)?)
    }

    /// Number of rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] without rows, or for a series under two metrics.
    pub fn finish(mut self) -> Result<EncodedFile, LakeError> {
        if !self.pending.is_empty() {
            self.hand_on()?;
        }
        self.series.sort_unstable();
        if let Some(two) = self.series.windows(2).find(|two| two[0] == two[1]) {
            return Err(LakeError::invalid(PLACE, format!("series {:016x} is there under two metrics", two[0])));
        }
        let writer = self.writer.ok_or_else(|| LakeError::invalid(PLACE, "0 rows"))?;
        let written = writer.finish()?;
        Ok(EncodedFile {
            min_ts: self.min_ts.unwrap_or(0),
            max_ts: self.max_ts,
            rows: self.rows,
            samples: self.samples,
            metric_min: self.metric_min.map_or_else(String::new, |metric| metric.to_string()),
            metric_max: self.last.map_or_else(String::new, |(metric, _, _)| metric.to_string()),
            bytes: written.bytes,
            data_len: written.data_len,
            crc_footer: written.crc_footer,
            crc_chunks: written.crc_chunks,
        })
    }
}

fn schema() -> SchemaRef {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    // Empty where a chunk is short: see `AGGREGATED_SAMPLES_MIN`.
    let aggregate = |name: &str, kind: DataType| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![
        field(column::METRIC, DataType::Utf8),
        field(column::SERIES_ID, DataType::Int64),
        field(column::MIN_TS, DataType::Int64),
        field(column::MAX_TS, DataType::Int64),
        field(column::COUNT, DataType::Int32),
        aggregate(column::NUMBERS, DataType::Int32),
        aggregate(column::SUM, DataType::Float64),
        aggregate(column::MIN, DataType::Float64),
        aggregate(column::MAX, DataType::Float64),
        aggregate(column::FIRST, DataType::Float64),
        aggregate(column::LAST, DataType::Float64),
        aggregate(column::INCREASE, DataType::Float64),
        field(column::TS_CHUNK, DataType::Binary),
        field(column::VALUE_CHUNK, DataType::Binary),
    ]))
}

fn batch(schema: &SchemaRef, rows: &[ChunkRow]) -> Result<RecordBatch, LakeError> {
    let long = |of: fn(&ChunkRow) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let double = |of: fn(&ChunkRow) -> f64| {
        Arc::new(rows.iter().map(|row| is_aggregated(row.count).then(|| of(row))).collect::<Float64Array>()) as ArrayRef
    };
    let numbers = rows.iter().map(|row| is_aggregated(row.count).then_some(row.numbers as i32));
    // Counts are at most 65,536, as checked.
    let int = |of: fn(&ChunkRow) -> i32| Arc::new(Int32Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.metric))),
        long(|row| row.series_id as i64),
        long(|row| row.min_ts),
        long(|row| row.max_ts),
        int(|row| row.count as i32),
        Arc::new(numbers.collect::<Int32Array>()),
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

/// Whether a chunk of `count` samples is stored with its aggregates.
pub(super) fn is_aggregated(count: u32) -> bool {
    count >= AGGREGATED_SAMPLES_MIN
}

/// The layout of a file that begins with `rows`.
fn properties(rows: &[ChunkRow]) -> Result<WriterProperties, LakeError> {
    let path = |name: &str| ColumnPath::from(name);
    let zstd = |level| ZstdLevel::try_new(level).map(Compression::ZSTD).map_err(|why| LakeError::invalid(PLACE, why));
    let is_short =
        rows.iter().map(|row| u64::from(row.count)).sum::<u64>() < rows.len() as u64 * codec::PACKED_ITEMS_MIN as u64;
    // Short blobs are left plain by the codec: a page of them is compressed together. Long ones are packed already; those
    // that came as they lay in memory would lose a seventh, and are merged within the hour.
    let (blob_compression, blob_page_bytes) =
        if is_short { (zstd(3)?, SHORT_PAGE_BYTES) } else { (Compression::UNCOMPRESSED, BLOB_PAGE_BYTES) };
    // Statistics help readers of other engines to skip pages, but on the blobs they would only repeat them.
    let mut builder = WriterProperties::builder()
        .set_created_by("foretide".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(GROUP_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(PAGE_STEP_ROWS)
        .set_compression(zstd(1)?)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(
            (0..3).map(|i| SortingColumn { column_idx: i, descending: false, nulls_first: false }).collect(),
        ));
    for blob in [column::TS_CHUNK, column::VALUE_CHUNK] {
        builder = builder
            .set_column_compression(path(blob), blob_compression)
            .set_column_data_page_size_limit(path(blob), blob_page_bytes)
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
/// Judged by the first rows of a file; where later ones differ, Parquet gives the dictionary up at its bound.
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
