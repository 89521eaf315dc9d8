//! Parquet files of samples, a row a sample: `metric`, `labels` (JSON object), `ts` (ms), `value`.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use series::{Batch, Labels, Timestamp};

/// Samples handed on at a time.
const BATCH_SAMPLES: usize = 50_000;

/// Why a file of samples cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplesFileError {
    /// Not Parquet, or damaged.
    #[error("not a readable Parquet file: {0}")]
    Parquet(String),
    /// A column is missing or of another type.
    #[error("column `{column}`: {why}; the columns are metric, labels (JSON), ts (UTC ms) and value")]
    Column {
        /// Which one.
        column: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Labels that cannot be read.
    #[error("row {row}: labels {text:?}: {why}")]
    Labels {
        /// Row, from 0.
        row: usize,
        /// The text.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The receiver asked to stop.
    #[error("{0}")]
    Stopped(String),
}

/// Reads a file; `take` gets batches of about 50,000 samples in the file's order and may stop the reading.
///
/// # Errors
/// [`SamplesFileError`].
pub fn read_samples(file: Bytes, mut take: impl FnMut(Batch) -> Result<(), String>) -> Result<u64, SamplesFileError> {
    let fault = |err: &dyn std::fmt::Display| SamplesFileError::Parquet(err.to_string());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|err| fault(&err))?;
    let reader = builder.with_batch_size(BATCH_SAMPLES).build().map_err(|err| fault(&err))?;
    let mut n_samples = 0;
    for rows in reader {
        let rows = rows.map_err(|err| fault(&err))?;
        let batch = batch_of(&rows, n_samples as usize)?;
        n_samples += batch.n_samples() as u64;
        take(batch).map_err(SamplesFileError::Stopped)?;
    }
    Ok(n_samples)
}

fn batch_of(rows: &RecordBatch, first_row: usize) -> Result<Batch, SamplesFileError> {
    let metrics = column(rows, "metric", &DataType::Utf8)?;
    let labels = column(rows, "labels", &DataType::Utf8)?;
    let times = column(rows, "ts", &DataType::Timestamp(TimeUnit::Millisecond, None));
    let times = match times {
        Ok(times) => cast(&times, &DataType::Int64).map_err(|err| column_fault("ts", &err))?,
        Err(_) => column(rows, "ts", &DataType::Int64)?,
    };
    let values = column(rows, "value", &DataType::Float64)?;
    let (metrics, labels) = (metrics.as_string::<i32>(), labels.as_string::<i32>());
    let mut batch = Batch::default();
    let mut open: Option<(&str, &str)> = None;
    for row in 0..rows.num_rows() {
        let key = (metrics.value(row), labels.value(row));
        if open != Some(key) {
            let labels = parse(key.0, key.1, first_row + row)?;
            // The arena of one batch of rows stays far below the limit of 4 GiB.
            batch.begin_labels(&labels).map_err(|err| SamplesFileError::Stopped(err.to_string()))?;
            open = Some(key);
        }
        let at = times.as_primitive::<Int64Type>().value(row);
        batch.push(Timestamp(at), values.as_primitive::<Float64Type>().value(row));
    }
    Ok(batch)
}

fn column(
    rows: &RecordBatch,
    name: &'static str,
    wanted: &DataType,
) -> Result<arrow::array::ArrayRef, SamplesFileError> {
    let found = rows.column_by_name(name).ok_or_else(|| column_fault(name, &"missing"))?;
    if found.null_count() > 0 {
        return Err(column_fault(name, &"has nulls"));
    }
    // Integers are milliseconds; casting them to a timestamp type of another unit would scale them.
    if matches!(wanted, DataType::Timestamp(..)) && !matches!(found.data_type(), DataType::Timestamp(..)) {
        return Err(column_fault(name, &"is not a timestamp"));
    }
    cast(found, wanted).map_err(|err| column_fault(name, &err))
}

fn column_fault(column: &'static str, why: &dyn std::fmt::Display) -> SamplesFileError {
    SamplesFileError::Column { column, why: why.to_string() }
}

fn parse(metric: &str, text: &str, row: usize) -> Result<Labels, SamplesFileError> {
    let fault = |why: String| SamplesFileError::Labels { row, text: text.to_owned(), why };
    let pairs: std::collections::BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|err| fault(err.to_string()))?;
    let own = [(series::METRIC_NAME.to_owned(), metric.to_owned())];
    Labels::from_pairs(own.into_iter().chain(pairs)).map_err(|err| fault(err.to_string()))
}
