//! Tables that the application fills: jobs, recommendations, decisions, anomalies, audit and the like.
//!
//! Their rows come as JSON objects, so the rooms that own them need not know arrow. A scan reads them a page at a time and
//! hands batches over a bounded channel: tables may be larger than memory, and none is cut.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use serde_json::Value;

use crate::scan::time_type;

/// Pages that may wait for the consumer.
const BATCHES_AHEAD: usize = 2;

/// Type of a column of a system table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// UTF-8 text; arrays and objects are shown as JSON.
    Text,
    /// 64-bit float.
    Float,
    /// 64-bit integer.
    Integer,
    /// Milliseconds UTC.
    Time,
    /// True or false.
    Flag,
}

/// A column: name, type, and a comment with its unit.
#[derive(Debug, Clone, Copy)]
pub struct SystemColumn {
    /// Name in SQL and in the rows' JSON.
    pub name: &'static str,
    /// Type.
    pub kind: ColumnKind,
    /// What it is and in which unit.
    pub comment: &'static str,
}

/// A table with its columns.
#[derive(Debug, Clone, Copy)]
pub struct SystemTable {
    /// Name in SQL.
    pub name: &'static str,
    /// Columns in order.
    pub columns: &'static [SystemColumn],
}

/// Where the rows come from.
pub trait SystemRows: Send + Sync {
    /// The tables there are.
    fn tables(&self) -> &'static [SystemTable];

    /// The next rows of a table; called on a blocking thread.
    ///
    /// # Errors
    /// A sentence for the user.
    fn page(&self, request: &PageRequest<'_>) -> std::result::Result<Page, String>;
}

/// Which rows of a table are wanted.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// The table.
    pub table: &'a str,
    /// The columns that will be looked at; others need not be filled. None for a mere count.
    pub columns: &'a [&'a str],
    /// [`Page::next`] of the page before; `None` for the first.
    pub from: Option<&'a str>,
}

/// Some rows of a table.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// JSON objects; a missing member is NULL.
    pub rows: Vec<Value>,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<String>,
}

pub(crate) struct SystemTableProvider {
    table: SystemTable,
    rows: Arc<dyn SystemRows>,
    schema: SchemaRef,
}

impl SystemTableProvider {
    pub(crate) fn new(table: SystemTable, rows: Arc<dyn SystemRows>) -> Self {
        let fields: Vec<_> = table.columns.iter().map(field_of).collect();
        Self { table, rows, schema: Arc::new(Schema::new(fields)) }
    }
}

impl fmt::Debug for SystemTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemTable({})", self.table.name)
    }
}

#[async_trait::async_trait]
impl TableProvider for SystemTableProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Arc<[SystemColumn]> = match projection {
            Some(kept) => kept.iter().map(|&i| self.table.columns[i]).collect(),
            None => self.table.columns.into(),
        };
        let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(field_of).collect::<Vec<_>>()));
        let (table, rows) = (self.table.name, Arc::clone(&self.rows));
        let pages = Pages { table, columns, rows, schema: Arc::clone(&schema) };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(pages)], None, [], false, limit)?))
    }
}

/// The pages of a table as batches.
#[derive(Clone)]
struct Pages {
    table: &'static str,
    columns: Arc<[SystemColumn]>,
    rows: Arc<dyn SystemRows>,
    schema: SchemaRef,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemTable({})", self.table)
    }
}

impl PartitionStream for Pages {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_AHEAD);
        let (send, pages) = (builder.tx(), self.clone());
        builder.spawn_blocking(move || pages.read(|batch| send.blocking_send(Ok(batch)).is_ok()));
        builder.build()
    }
}

impl Pages {
    /// Sends batches until done or until `send` says that nobody listens.
    fn read(&self, mut send: impl FnMut(RecordBatch) -> bool) -> Result<()> {
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let mut from: Option<String> = None;
        loop {
            let request = PageRequest { table: self.table, columns: &columns, from: from.as_deref() };
            let page = self.rows.page(&request).map_err(DataFusionError::Execution)?;
            let arrays = self.columns.iter().map(|column| array_of(column, &page.rows)).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(page.rows.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
            let listening = page.rows.is_empty() || send(batch);
            match page.next {
                Some(next) if listening => from = Some(next),
                _ => return Ok(()),
            }
        }
    }
}

fn field_of(column: &SystemColumn) -> Field {
    let data_type = match column.kind {
        ColumnKind::Text => DataType::Utf8,
        ColumnKind::Float => DataType::Float64,
        ColumnKind::Integer => DataType::Int64,
        ColumnKind::Time => time_type(),
        ColumnKind::Flag => DataType::Boolean,
    };
    let comment = [("comment".to_owned(), column.comment.to_owned())];
    Field::new(column.name, data_type, true).with_metadata(comment.into())
}

fn array_of(column: &SystemColumn, rows: &[Value]) -> ArrayRef {
    let cells = rows.iter().map(|row| row.get(column.name).unwrap_or(&Value::Null));
    match column.kind {
        ColumnKind::Text => {
            let mut builder = StringBuilder::new();
            cells.for_each(|cell| builder.append_option(text_of(cell)));
            Arc::new(builder.finish())
        }
        ColumnKind::Float => {
            let mut builder = Float64Builder::new();
            cells.for_each(|cell| builder.append_option(cell.as_f64()));
            Arc::new(builder.finish())
        }
        ColumnKind::Integer => {
            let mut builder = Int64Builder::new();
            cells.for_each(|cell| builder.append_option(cell.as_i64()));
            Arc::new(builder.finish())
        }
        ColumnKind::Time => {
            let mut builder = TimestampMillisecondBuilder::new().with_timezone("UTC");
            cells.for_each(|cell| builder.append_option(cell.as_i64()));
            Arc::new(builder.finish())
        }
        ColumnKind::Flag => {
            let mut builder = BooleanBuilder::new();
            cells.for_each(|cell| builder.append_option(cell.as_bool()));
            Arc::new(builder.finish())
        }
    }
}

fn text_of(cell: &Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
