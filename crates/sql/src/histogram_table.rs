//! The table `histograms`: a row a native histogram.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatchOptions;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use serde_json::{Value, json};
use series::{Histogram, HistogramSample, Labels, METRIC_NAME, Select, SelectRequest, SeriesOrder, SeriesSet};

use crate::pushdown::{Narrowed, TIME_COLUMN, narrows};
use crate::scan::{dictionary, labels_json, text_type, time_type};

/// Rows of a batch; the last series of a batch may exceed it.
const BATCH_ROWS: usize = 1024;
/// Batches that may wait for the consumer.
const BATCHES_AHEAD: usize = 4;

/// See the module.
pub(crate) struct HistogramTable {
    select: Arc<dyn Select>,
    series_max: usize,
    schema: SchemaRef,
}

impl HistogramTable {
    pub(crate) fn new(select: Arc<dyn Select>, series_max: usize) -> Self {
        let number = |name: &str| Field::new(name, DataType::Float64, false);
        let fields = vec![
            Field::new("metric", text_type(), false),
            Field::new("labels", text_type(), false),
            Field::new("series_id", DataType::UInt64, false),
            Field::new(TIME_COLUMN, time_type(), false),
            number("count"),
            number("sum"),
            Field::new("schema", DataType::Int32, false),
            number("zero_threshold"),
            number("zero_count"),
            Field::new("buckets", DataType::Utf8, false),
        ];
        Self { select, series_max, schema: Arc::new(Schema::new(fields)) }
    }
}

impl fmt::Debug for HistogramTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HistogramTable")
    }
}

fn label_of(column: &str) -> Option<String> {
    (column == "metric").then(|| METRIC_NAME.to_owned())
}

#[async_trait::async_trait]
impl TableProvider for HistogramTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let use_of = |filter: &&Expr| match narrows(filter, &label_of) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(use_of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut narrowed = Narrowed::new(Vec::new());
        for filter in filters {
            narrowed.narrow(filter, &label_of);
        }
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let (select, series_max) = (Arc::clone(&self.select), self.series_max);
        let scan =
            Arc::new(Scan { select, series_max, narrowed, columns, schema: Arc::clone(&schema), set: OnceLock::new() });
        let parts = state.config().target_partitions().max(1);
        let partition =
            |part| -> Arc<dyn PartitionStream> { Arc::new(Partition { scan: Arc::clone(&scan), part: (part, parts) }) };
        let partitions = (0..parts).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

/// What the partitions of a scan share.
struct Scan {
    select: Arc<dyn Select>,
    series_max: usize,
    narrowed: Narrowed,
    columns: Vec<usize>,
    schema: SchemaRef,
    set: OnceLock<std::result::Result<Box<dyn SeriesSet>, String>>,
}

/// One partition of a scan: its number and the number of all.
struct Partition {
    scan: Arc<Scan>,
    part: (usize, usize),
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<_> = self.scan.narrowed.matchers.iter().map(ToString::to_string).collect();
        write!(f, "HistogramScan {{{}}} {:?}", matchers.join(", "), self.scan.narrowed.range)
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.scan.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.scan.schema), BATCHES_AHEAD);
        let send = builder.tx();
        let (scan, part) = (Arc::clone(&self.scan), self.part);
        builder.spawn_blocking(move || scan.run(part, |batch| send.blocking_send(Ok(batch)).is_ok()));
        builder.build()
    }
}

impl Scan {
    fn set(&self) -> Result<&dyn SeriesSet> {
        let made = self.set.get_or_init(|| {
            let request = SelectRequest {
                matchers: &self.narrowed.matchers,
                range: self.narrowed.range,
                series_max: self.series_max,
                order: SeriesOrder::Labels,
            };
            self.select.select(&request).map_err(|err| err.to_string())
        });
        made.as_ref().map(|set| &**set).map_err(|why| DataFusionError::Execution(why.clone()))
    }

    /// Sends batches until done or until `send` says that nobody listens.
    fn run(&self, (part, parts): (usize, usize), mut send: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let set = self.set()?;
        let (mut rows, mut runs) = (Vec::new(), Vec::<(Labels, usize)>::new());
        let own = set.len() * part / parts..set.len() * (part + 1) / parts;
        for i in own.filter(|&i| set.has_histograms(i)) {
            let before = rows.len();
            set.read_histograms(i, self.narrowed.range, &mut rows)
                .map_err(|err| DataFusionError::Execution(err.to_string()))?;
            if rows.len() > before {
                runs.push((set.labels(i).clone(), rows.len() - before));
            }
            if rows.len() >= BATCH_ROWS {
                if !send(self.batch(&rows, &runs)?) {
                    return Ok(());
                }
                rows.clear();
                runs.clear();
            }
        }
        if !rows.is_empty() {
            send(self.batch(&rows, &runs)?);
        }
        Ok(())
    }

    fn batch(&self, rows: &[HistogramSample], runs: &[(Labels, usize)]) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(|&column| column_of(column, rows, runs)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

fn column_of(column: usize, rows: &[HistogramSample], runs: &[(Labels, usize)]) -> Result<ArrayRef> {
    let float = |of: fn(&Histogram) -> f64| {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| of(&row.histogram)))) as ArrayRef
    };
    Ok(match column {
        0 => dictionary(runs, |labels| Some(labels.metric().to_owned()))?,
        1 => dictionary(runs, |labels| Some(labels_json(labels)))?,
        2 => {
            let ids = runs.iter().flat_map(|(labels, n)| std::iter::repeat_n(labels.id().0, *n));
            Arc::new(UInt64Array::from_iter_values(ids))
        }
        3 => {
            let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.at.0));
            Arc::new(times.with_timezone("UTC"))
        }
        4 => float(|histogram| histogram.count),
        5 => float(|histogram| histogram.sum),
        6 => Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.histogram.schema))),
        7 => float(|histogram| histogram.zero_threshold),
        8 => float(|histogram| histogram.zero_count),
        _ => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| buckets_json(&row.histogram)))),
    })
}

/// `[[lower, upper, count], …]` by rising bounds, without the zero bucket; infinite bounds are the texts `-Inf`, `+Inf`.
fn buckets_json(histogram: &Histogram) -> String {
    let bucket = |lower: f64, upper: f64, count: f64| json!([bound(lower), bound(upper), bound(count)]);
    let negative = histogram.negative.iter().map(|(i, count)| {
        let (inner, outer) = (exponential(histogram.schema, i - 1), exponential(histogram.schema, i));
        bucket(-outer, -inner, count)
    });
    let mut all: Vec<Value> = negative.collect();
    all.reverse();
    let custom = |i: i64| usize::try_from(i).ok().and_then(|i| histogram.custom_bounds.get(i)).copied();
    all.extend(histogram.positive.iter().map(|(i, count)| {
        if histogram.has_custom_buckets() {
            bucket(custom(i - 1).unwrap_or(f64::NEG_INFINITY), custom(i).unwrap_or(f64::INFINITY), count)
        } else {
            bucket(exponential(histogram.schema, i - 1), exponential(histogram.schema, i), count)
        }
    }));
    Value::Array(all).to_string()
}

/// Upper bound of bucket `i`: 2 to the power of `i` · 2^(−schema).
fn exponential(schema: i32, i: i64) -> f64 {
    (i as f64 * f64::from(-schema).exp2()).exp2()
}

fn bound(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None => Value::from(if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::{Buckets, CUSTOM_BUCKETS, Span};

    #[test]
    fn buckets_are_shown_by_rising_bounds() {
        let side = |offset, counts: &[f64]| Buckets {
            spans: vec![Span { offset, length: counts.len() as u32 }],
            counts: counts.to_vec(),
        };
        let exponential = Histogram {
            schema: -1,
            positive: side(0, &[2.0, 3.0]),
            negative: side(1, &[1.0, 4.0]),
            ..Histogram::default()
        };
        assert_eq!(buckets_json(&exponential), "[[-16.0,-4.0,4.0],[-4.0,-1.0,1.0],[0.25,1.0,2.0],[1.0,4.0,3.0]]");
        let custom = Histogram {
            schema: CUSTOM_BUCKETS,
            custom_bounds: vec![0.5],
            positive: side(0, &[7.0, 1.0]),
            ..Histogram::default()
        };
        assert_eq!(buckets_json(&custom), "[[\"-Inf\",0.5,7.0],[0.5,\"+Inf\",1.0]]");
        assert_eq!(buckets_json(&Histogram::stale()), "[]");
    }
}
