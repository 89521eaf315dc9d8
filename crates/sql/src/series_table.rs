//! The table `series`: one row a series, labels as a map.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, MapBuilder, StringArray, StringBuilder, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use series::{Labels, METRIC_NAME, Matcher, Select, TimeRange};

use crate::pushdown::{Narrowed, narrows};

const BATCH_ROWS: usize = 8192;

pub(crate) struct SeriesTable {
    select: Arc<dyn Select>,
    schema: SchemaRef,
}

impl SeriesTable {
    pub(crate) fn new(select: Arc<dyn Select>) -> Self {
        let fields = vec![
            Field::new("series_id", DataType::UInt64, false),
            Field::new("metric", DataType::Utf8, false),
            Field::new("labels", map_type(), false),
            Field::new("type", DataType::Utf8, true),
            Field::new("unit", DataType::Utf8, true),
            Field::new("help", DataType::Utf8, true),
        ];
        Self { select, schema: Arc::new(Schema::new(fields)) }
    }

    fn batches(&self, matchers: Vec<Matcher>) -> Result<Vec<RecordBatch>> {
        let labels = self
            .select
            .series(&[matchers], TimeRange::ALL, 0)
            .map_err(|e| DataFusionError::Execution(e.to_string()))?;
        labels.chunks(BATCH_ROWS).map(|some| self.batch(some)).collect()
    }

    fn batch(&self, labels: &[Labels]) -> Result<RecordBatch> {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for set in labels {
            for (name, value) in set.iter().filter(|(name, _)| *name != METRIC_NAME) {
                maps.keys().append_value(name);
                maps.values().append_value(value);
            }
            maps.append(true)?;
        }
        let metadata: Vec<_> = labels.iter().map(|set| self.select.metadata(Some(set.metric())).pop()).collect();
        let column = |text: fn(&series::Metadata) -> String| -> ArrayRef {
            let cells = metadata.iter().map(|m| m.as_ref().map(text).filter(|text| !text.is_empty()));
            Arc::new(cells.collect::<StringArray>())
        };
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(labels.iter().map(|set| set.id().0))),
            Arc::new(StringArray::from_iter_values(labels.iter().map(Labels::metric))),
            Arc::new(maps.finish()),
            column(|m| m.kind.as_str().to_owned()),
            column(|m| m.unit.clone()),
            column(|m| m.help.clone()),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

impl fmt::Debug for SeriesTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeriesTable")
    }
}

#[async_trait::async_trait]
impl TableProvider for SeriesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
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
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![self.batches(narrowed.matchers)?])?;
        table.scan(state, projection, &[], limit.filter(|_| filters.is_empty())).await
    }
}

fn label_of(column: &str) -> Option<String> {
    (column == "metric").then(|| METRIC_NAME.to_owned())
}

fn map_type() -> DataType {
    let key = Field::new("keys", DataType::Utf8, false);
    let value = Field::new("values", DataType::Utf8, true);
    let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
    DataType::Map(Arc::new(entries), false)
}
