//! Tables that the application fills: jobs, recommendations, decisions, anomalies, audit and the like.
//!
//! Their rows come as JSON objects, so the rooms that own them need not know arrow. Rows are made anew for each scan.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use serde_json::Value;

use crate::scan::time_type;

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

    /// All rows of one table as JSON objects; a missing member is NULL.
    ///
    /// # Errors
    /// A sentence for the user.
    fn rows(&self, table: &str) -> std::result::Result<Vec<Value>, String>;
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
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows.rows(self.table.name).map_err(DataFusionError::Execution)?;
        let arrays = self.table.columns.iter().map(|column| array_of(column, &rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)?;
        let table = MemTable::try_new(Arc::clone(&self.schema), vec![vec![batch]])?;
        table.scan(state, projection, filters, limit).await
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
