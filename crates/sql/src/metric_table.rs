//! Tables of samples: one a metric with a column per label, and `samples` over all metrics.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use series::{METRIC_NAME, Matcher, Select};

use crate::pushdown::{Narrowed, narrows};
use crate::scan::{Column, ScanPartition, Selection, Shown, schema_of};

/// A table of samples.
pub(crate) struct MetricTable {
    select: Arc<dyn Select>,
    matchers: Vec<Matcher>,
    columns: Vec<Column>,
    schema: SchemaRef,
    series_max: usize,
}

impl MetricTable {
    /// The table of one metric: `ts`, `value`, then `labels` as columns.
    pub(crate) fn metric(select: Arc<dyn Select>, metric: &str, labels: &[String], series_max: usize) -> Self {
        let names = labels.iter().filter(|name| *name != METRIC_NAME);
        let columns = [Column::time(), Column::value()].into_iter().chain(names.map(|name| Column::label(name)));
        Self::new(select, vec![Matcher::equal(METRIC_NAME, metric)], columns.collect(), series_max)
    }

    /// All metrics: `metric`, `labels` (JSON), `series_id`, `ts`, `value`.
    pub(crate) fn samples(select: Arc<dyn Select>, series_max: usize) -> Self {
        let columns = vec![
            Column { name: "metric".into(), shown: Shown::Label(METRIC_NAME.into()) },
            Column { name: "labels".into(), shown: Shown::LabelsJson },
            Column { name: "series_id".into(), shown: Shown::SeriesId },
            Column::time(),
            Column::value(),
        ];
        Self::new(select, Vec::new(), columns, series_max)
    }

    fn new(select: Arc<dyn Select>, matchers: Vec<Matcher>, columns: Vec<Column>, series_max: usize) -> Self {
        let schema = schema_of(&columns);
        Self { select, matchers, columns, schema, series_max }
    }

    fn label_of(&self, column: &str) -> Option<String> {
        self.columns.iter().find(|c| c.name == column).and_then(|c| match &c.shown {
            Shown::Label(label) => Some(label.clone()),
            _ => None,
        })
    }
}

impl fmt::Debug for MetricTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MetricTable({})", self.matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
}

#[async_trait::async_trait]
impl TableProvider for MetricTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let use_of = |filter: &&Expr| {
            if narrows(filter, &|column| self.label_of(column)) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
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
        let mut narrowed = Narrowed::new(self.matchers.clone());
        for filter in filters {
            narrowed.narrow(filter, &|column| self.label_of(column));
        }
        let columns: Arc<[Column]> = match projection {
            Some(kept) => kept.iter().map(|&i| self.columns[i].clone()).collect(),
            None => self.columns.iter().cloned().collect(),
        };
        let schema = schema_of(&columns);
        let selection = Selection::new(Arc::clone(&self.select), narrowed, self.series_max);
        let parts = state.config().target_partitions().max(1);
        let partition = |part| -> Arc<dyn PartitionStream> {
            Arc::new(ScanPartition {
                selection: Arc::clone(&selection),
                columns: Arc::clone(&columns),
                schema: Arc::clone(&schema),
                part: (part, parts),
            })
        };
        let partitions = (0..parts).map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}
