//! Roll-up rows into a Parquet file.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{BATCH_ROWS, COLUMNS, GROUP_ROWS, PAGE_ROWS, PLACE, RollupRow};
use crate::entry::EncodedFile;
use crate::error::LakeError;
use crate::parquet_io::FileWriter;

/// Encodes `rows`, sorted by (metric, series, bucket) without repeats.
///
/// # Errors
/// As [`RollupFileWriter::push`] and [`RollupFileWriter::finish`].
pub fn encode_rollup_file(rows: &[RollupRow]) -> Result<EncodedFile, LakeError> {
    let mut file = RollupFileWriter::default();
    for row in rows {
        file.push(row.clone())?;
    }
    file.finish()
}

/// A roll-up file that grows row by row: what is held is the encoded file and one batch of rows.
#[derive(Default)]
pub struct RollupFileWriter {
    writer: Option<FileWriter>,
    pending: Vec<RollupRow>,
    rows: u64,
    times: Option<(i64, i64)>,
    metric_min: Option<Arc<str>>,
    last: Option<(Arc<str>, u64, i64)>,
}

impl RollupFileWriter {
    /// Adds a row behind the others.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] for a row out of order (metric, series, bucket) or a repeated one.
    pub fn push(&mut self, row: RollupRow) -> Result<(), LakeError> {
        let before = self.last.as_ref().map(|(metric, series, ts)| (&**metric, *series, *ts));
        if before.is_some_and(|before| before >= (&*row.metric, row.series_id, row.ts)) {
            return Err(LakeError::invalid(PLACE, format!("row {} is out of order", self.rows)));
        }
        self.rows += 1;
        let (first, last) = self.times.unwrap_or((row.ts, row.ts));
        self.times = Some((first.min(row.ts), last.max(row.ts)));
        self.metric_min.get_or_insert_with(|| Arc::clone(&row.metric));
        self.last = Some((Arc::clone(&row.metric), row.series_id, row.ts));
        self.pending.push(row);
        if self.pending.len() >= BATCH_ROWS { self.hand_on() } else { Ok(()) }
    }

    fn hand_on(&mut self) -> Result<(), LakeError> {
        let rows = std::mem::take(&mut self.pending);
        let schema = schema();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(FileWriter::new(PLACE, Arc::clone(&schema), properties()?)?),
        };
        writer.write(&batch(&schema, &rows)?)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] without rows.
    pub fn finish(mut self) -> Result<EncodedFile, LakeError> {
        if !self.pending.is_empty() {
            self.hand_on()?;
        }
        let (Some(writer), Some((min_ts, max_ts))) = (self.writer, self.times) else {
            return Err(LakeError::invalid(PLACE, "0 rows"));
        };
        let written = writer.finish()?;
        Ok(EncodedFile {
            min_ts,
            max_ts,
            rows: self.rows,
            samples: 0,
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
    let kind = |kind: &str| match kind {
        "string" => DataType::Utf8,
        "long" => DataType::Int64,
        "integer" => DataType::Int32,
        "double" => DataType::Float64,
        _ => DataType::Binary,
    };
    Arc::new(Schema::new(COLUMNS.iter().map(|(name, of)| Field::new(*name, kind(of), false)).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, rows: &[RollupRow]) -> Result<RecordBatch, LakeError> {
    let long = |of: fn(&RollupRow) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let int = |of: fn(&RollupRow) -> u32| {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| of(row) as i32))) as ArrayRef
    };
    let double = |of: fn(&RollupRow) -> f64| Arc::new(Float64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.metric))),
        long(|row| row.series_id as i64),
        long(|row| row.ts),
        int(|row| row.count),
        int(|row| row.numbers),
        double(|row| row.sum),
        double(|row| row.min),
        double(|row| row.max),
        double(|row| row.first),
        double(|row| row.last),
        double(|row| row.increase),
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.sketch))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|why| LakeError::invalid(PLACE, why))
}

fn properties() -> Result<WriterProperties, LakeError> {
    let level = ZstdLevel::try_new(3).map_err(|why| LakeError::invalid(PLACE, why))?;
    Ok(WriterProperties::builder()
        .set_created_by("foretide".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("sketch"), EnabledStatistics::None)
        .set_sorting_columns(Some(
            (0..3).map(|i| SortingColumn { column_idx: i, descending: false, nulls_first: false }).collect(),
        ))
        .build())
}
