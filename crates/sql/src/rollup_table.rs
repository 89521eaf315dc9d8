//! The tables `rollup_5m` and `rollup_1h`: a row a bucket of a series.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray, UInt64Array,
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
use series::{Labels, METRIC_NAME, Resolution, Rollup, RollupSet, Select, SelectRequest, SeriesOrder};

use crate::pushdown::{Narrowed, TIME_COLUMN, narrows};
use crate::scan::{dictionary, labels_json, text_type, time_type};

/// Rows of a batch; the last series of a batch may exceed it.
const BATCH_ROWS: usize = 8192;
/// Batches that may wait for the consumer.
const BATCHES_AHEAD: usize = 4;

/// A table of roll-ups.
pub(crate) struct RollupTable {
    select: Arc<dyn Select>,
    resolution: Resolution,
    series_max: usize,
    schema: SchemaRef,
}

impl RollupTable {
    pub(crate) fn new(select: Arc<dyn Select>, resolution: Resolution, series_max: usize) -> Self {
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let fields = vec![
            Field::new("metric", text_type(), false),
            Field::new("labels", text_type(), false),
            Field::new("series_id", DataType::UInt64, false),
            Field::new(TIME_COLUMN, time_type(), false),
            Field::new("count", DataType::Int64, false),
            Field::new("numbers", DataType::Int64, false),
            number("sum"),
            number("min"),
            number("max"),
            number("first"),
            number("last"),
            number("increase"),
            Field::new("sketch", DataType::Binary, true),
        ];
        Self { select, resolution, series_max, schema: Arc::new(Schema::new(fields)) }
    }
}

impl fmt::Debug for RollupTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RollupTable({})", self.resolution.table())
    }
}

fn label_of(column: &str) -> Option<String> {
    (column == "metric").then(|| METRIC_NAME.to_owned())
}

#[async_trait::async_trait]
impl TableProvider for RollupTable {
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
        let scan = Arc::new(Scan {
            select: Arc::clone(&self.select),
            resolution: self.resolution,
            series_max: self.series_max,
            narrowed,
            columns,
            schema: Arc::clone(&schema),
            set: OnceLock::new(),
        });
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
    resolution: Resolution,
    series_max: usize,
    narrowed: Narrowed,
    columns: Vec<usize>,
    schema: SchemaRef,
    set: OnceLock<std::result::Result<Box<dyn RollupSet>, String>>,
}

/// One partition of a scan: its number and the number of all.
struct Partition {
    scan: Arc<Scan>,
    part: (usize, usize),
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<_> = self.scan.narrowed.matchers.iter().map(ToString::to_string).collect();
        let table = self.scan.resolution.table();
        write!(f, "RollupScan {table} {{{}}} {:?}", matchers.join(", "), self.scan.narrowed.range)
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
    fn set(&self) -> Result<&dyn RollupSet> {
        let made = self.set.get_or_init(|| {
            let request = SelectRequest {
                matchers: &self.narrowed.matchers,
                range: self.narrowed.range,
                series_max: self.series_max,
                order: SeriesOrder::Labels,
            };
            self.select.rollups(self.resolution, &request).map_err(|err| err.to_string())
        });
        made.as_ref().map(|set| &**set).map_err(|why| DataFusionError::Execution(why.clone()))
    }

    /// Sends batches until done or until `send` says that nobody listens.
    fn run(&self, (part, parts): (usize, usize), mut send: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let set = self.set()?;
        let (mut rows, mut runs) = (Vec::new(), Vec::<(Labels, usize)>::new());
        let mut failure = None;
        let mine = set.len() * part / parts..set.len() * (part + 1) / parts;
        let scanned = set.scan(mine, &mut |i, some| {
            runs.push((set.labels(i).clone(), some.len()));
            rows.extend(some);
            if rows.len() < BATCH_ROWS {
                return true;
            }
            match self.batch(&std::mem::take(&mut rows), &std::mem::take(&mut runs)) {
                Ok(batch) => send(batch),
                Err(err) => {
                    failure = Some(err);
                    false
                }
            }
        });
        scanned.map_err(|err| DataFusionError::Execution(err.to_string()))?;
        if let Some(err) = failure {
            return Err(err);
        }
        if !rows.is_empty() {
            send(self.batch(&rows, &runs)?);
        }
        Ok(())
    }

    fn batch(&self, rows: &[Rollup], runs: &[(Labels, usize)]) -> Result<RecordBatch> {
        let arrays = self.columns.iter().map(|&column| column_of(column, rows, runs)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

fn column_of(column: usize, rows: &[Rollup], runs: &[(Labels, usize)]) -> Result<ArrayRef> {
    let whole = |of: fn(&Rollup) -> u32| {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(of(row))))) as ArrayRef
    };
    // A bucket without numbers has no sum of them either.
    let float = |of: fn(&Rollup) -> f64| {
        let cells = rows.iter().map(|row| (row.numbers > 0).then(|| of(row)));
        Arc::new(cells.collect::<Float64Array>()) as ArrayRef
    };
    Ok(match column {
        0 => dictionary(runs, |labels| Some(labels.metric().to_owned()))?,
        1 => dictionary(runs, |labels| Some(labels_json(labels)))?,
        2 => {
            let ids = runs.iter().flat_map(|(labels, n)| std::iter::repeat_n(labels.id().0, *n));
            Arc::new(UInt64Array::from_iter_values(ids))
        }
        3 => {
            let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.ts));
            Arc::new(times.with_timezone("UTC"))
        }
        4 => whole(|row| row.count),
        5 => whole(|row| row.numbers),
        6 => float(|row| row.sum),
        7 => float(|row| row.min),
        8 => float(|row| row.max),
        9 => float(|row| row.first),
        10 => float(|row| row.last),
        11 => float(|row| row.increase),
        _ => {
            let cells = rows.iter().map(|row| (!row.sketch.is_empty()).then_some(&row.sketch[..]));
            Arc::new(BinaryArray::from_iter(cells))
        }
    })
}
