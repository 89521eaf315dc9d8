//! Series to record batches: one run of rows a series, label columns as dictionaries.
//!
//! A scan has several partitions that share one snapshot of series, made when the first of them runs. Each partition
//! reads its part of the series on a blocking thread and hands batches over a bounded channel, so a slow consumer slows
//! the scan and nothing piles up.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use series::{Columns, Labels, Select, SelectRequest, SeriesOrder, SeriesSet};

use crate::pushdown::{Narrowed, TIME_COLUMN, VALUE_COLUMN};

/// Rows of a batch; the last series of a batch may exceed it.
const BATCH_ROWS: usize = 8192;
/// Batches that may wait for the consumer.
const BATCHES_AHEAD: usize = 4;

/// What one column shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Time of the sample.
    Time,
    /// Its value.
    Value,
    /// A label of its series.
    Label(String),
    /// All labels but the name, as a JSON object with sorted keys.
    LabelsJson,
    /// Identity of the series.
    SeriesId,
}

/// A column with its name.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) shown: Shown,
}

impl Column {
    pub(crate) fn time() -> Self {
        Self { name: TIME_COLUMN.into(), shown: Shown::Time }
    }

    pub(crate) fn value() -> Self {
        Self { name: VALUE_COLUMN.into(), shown: Shown::Value }
    }

    /// A label column; a label called `ts` or `value` gets an underscore in front.
    pub(crate) fn label(label: &str) -> Self {
        let clash = label == TIME_COLUMN || label == VALUE_COLUMN;
        let name = if clash { format!("_{label}") } else { label.to_owned() };
        Self { name, shown: Shown::Label(label.to_owned()) }
    }

    fn field(&self) -> Field {
        match self.shown {
            Shown::Time => Field::new(&self.name, time_type(), false),
            Shown::Value => Field::new(&self.name, DataType::Float64, false),
            Shown::SeriesId => Field::new(&self.name, DataType::UInt64, false),
            Shown::LabelsJson => Field::new(&self.name, text_type(), false),
            Shown::Label(_) => Field::new(&self.name, text_type(), true),
        }
    }
}

pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub(crate) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn schema_of(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()))
}

/// The series of a scan, selected once for all partitions.
pub(crate) struct Selection {
    select: Arc<dyn Select>,
    narrowed: Narrowed,
    series_max: usize,
    set: OnceLock<std::result::Result<Arc<dyn SeriesSet>, String>>,
}

impl Selection {
    pub(crate) fn new(select: Arc<dyn Select>, narrowed: Narrowed, series_max: usize) -> Arc<Self> {
        Arc::new(Self { select, narrowed, series_max, set: OnceLock::new() })
    }

    fn set(&self) -> Result<Arc<dyn SeriesSet>> {
        let made = self.set.get_or_init(|| {
            let request = SelectRequest {
                matchers: &self.narrowed.matchers,
                range: self.narrowed.range,
                series_max: self.series_max,
                order: SeriesOrder::Labels,
            };
            self.select.select(&request).map(Arc::from).map_err(|err| err.to_string())
        });
        made.clone().map_err(DataFusionError::Execution)
    }
}

/// One partition of a scan.
pub(crate) struct ScanPartition {
    pub(crate) selection: Arc<Selection>,
    pub(crate) columns: Arc<[Column]>,
    pub(crate) schema: SchemaRef,
    /// This partition's number and the number of all.
    pub(crate) part: (usize, usize),
}

impl fmt::Debug for ScanPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<_> = self.selection.narrowed.matchers.iter().map(ToString::to_string).collect();
        write!(f, "SeriesScan {{{}}} {:?}", matchers.join(", "), self.selection.narrowed.range)
    }
}

impl PartitionStream for ScanPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let send = builder.tx();
        let work = Work {
            selection: Arc::clone(&self.selection),
            columns: Arc::clone(&self.columns),
            schema: Arc::clone(&self.schema),
        };
        let part = self.part;
        builder.spawn_blocking(move || work.run(part, |batch| send.blocking_send(Ok(batch)).is_ok()));
        builder.build()
    }
}

struct Work {
    selection: Arc<Selection>,
    columns: Arc<[Column]>,
    schema: SchemaRef,
}

impl Work {
    /// Sends batches until done or until `send` says that nobody listens.
    fn run(&self, (part, parts): (usize, usize), mut send: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let set = self.selection.set()?;
        let (first, end) = (set.len() * part / parts, set.len() * (part + 1) / parts);
        let needs_samples = self.columns.iter().any(|c| matches!(c.shown, Shown::Time | Shown::Value));
        let mut rows = Rows::new(&self.columns, needs_samples);
        for i in first..end {
            rows.read(&*set, i, self.selection.narrowed.range)?;
            if rows.n_rows >= BATCH_ROWS && !send(rows.take(&self.schema)?) {
                return Ok(());
            }
        }
        if rows.n_rows > 0 {
            send(rows.take(&self.schema)?);
        }
        Ok(())
    }
}

/// Rows of several series on their way into a batch.
struct Rows<'a> {
    columns: &'a [Column],
    keep_samples: bool,
    samples: Columns,
    scratch: Columns,
    /// Labels of each series with its number of rows.
    runs: Vec<(Labels, usize)>,
    n_rows: usize,
}

impl<'a> Rows<'a> {
    fn new(columns: &'a [Column], keep_samples: bool) -> Self {
        let (samples, scratch) = (Columns::default(), Columns::default());
        Self { columns, keep_samples, samples, scratch, runs: Vec::new(), n_rows: 0 }
    }

    fn read(&mut self, set: &dyn SeriesSet, i: usize, range: series::TimeRange) -> Result<()> {
        self.scratch.clear();
        set.read(i, range, &mut self.scratch).map_err(|err| DataFusionError::Execution(err.to_string()))?;
        let mut n_rows = 0;
        // A stale marker says that a series ended; it is not a measurement, so SQL does not show it.
        for (at, value) in self.scratch.iter().filter(|(_, value)| !series::is_stale(*value)) {
            n_rows += 1;
            if self.keep_samples {
                self.samples.push(at, value);
            }
        }
        if n_rows > 0 {
            self.runs.push((set.labels(i).clone(), n_rows));
            self.n_rows += n_rows;
        }
        Ok(())
    }

    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let samples = std::mem::take(&mut self.samples);
        let runs = std::mem::take(&mut self.runs);
        let n_rows = std::mem::take(&mut self.n_rows);
        let times = TimestampMillisecondArray::from(samples.timestamps).with_timezone("UTC");
        let (times, values): (ArrayRef, ArrayRef) = (Arc::new(times), Arc::new(Float64Array::from(samples.values)));
        let arrays = self.columns.iter().map(|column| match &column.shown {
            Shown::Time => Ok(Arc::clone(&times)),
            Shown::Value => Ok(Arc::clone(&values)),
            Shown::SeriesId => Ok(series_ids(&runs)),
            Shown::Label(label) => dictionary(&runs, |labels| labels.get(label).map(str::to_owned)),
            Shown::LabelsJson => dictionary(&runs, |labels| Some(labels_json(labels))),
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

fn series_ids(runs: &[(Labels, usize)]) -> ArrayRef {
    let ids = runs.iter().flat_map(|(labels, n)| std::iter::repeat_n(labels.id().0, *n));
    Arc::new(UInt64Array::from_iter_values(ids))
}

/// A dictionary column that repeats one text a run; texts are listed once.
pub(crate) fn dictionary(runs: &[(Labels, usize)], text: impl Fn(&Labels) -> Option<String>) -> Result<ArrayRef> {
    let mut numbers = std::collections::HashMap::new();
    let mut texts: Vec<String> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(runs.iter().map(|(_, n)| n).sum());
    for (labels, n) in runs {
        let key = text(labels).map(|text| {
            *numbers.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone());
                texts.len() as i32 - 1
            })
        });
        keys.extend(std::iter::repeat_n(key, *n));
    }
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), Arc::new(StringArray::from(texts)))?;
    Ok(Arc::new(array))
}

/// `{"job":"api",…}` without the metric's name.
pub(crate) fn labels_json(labels: &Labels) -> String {
    let pairs: serde_json::Map<String, serde_json::Value> = labels
        .iter()
        .filter(|(name, _)| *name != series::METRIC_NAME)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::Value::Object(pairs).to_string()
}
