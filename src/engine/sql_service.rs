//! SQL as the HTTP server sees it.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use server::{SqlAnswer, SqlFailure, SqlFault, SqlFormat, SqlRequest, SqlService, TableColumn, TableInfo};
use sql::{Format, SqlError};

use super::Core;

/// SQL over the engine's store and tables.
pub(crate) struct Sql {
    core: Arc<Core>,
}

impl Sql {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl SqlService for Sql {
    fn query(&self, request: SqlRequest) -> BoxFuture<'static, Result<SqlAnswer, SqlFailure>> {
        let core = Arc::clone(&self.core);
        async move {
            let own = sql::SqlRequest {
                sql: request.sql,
                format: format_of(request.format),
                rows_max: Some(request.limit),
                truncate: request.truncate,
                timeout: Some(request.deadline.saturating_duration_since(Instant::now())),
            };
            let (engine, warnings) =
                if request.partial { (&core.sql_partial, core.lacking()) } else { (&core.sql, Vec::new()) };
            let answer = engine.query(own).await.map_err(failure)?;
            let body = answer.chunks.map(|c| c.map_err(failure)).boxed();
            Ok(SqlAnswer { content_type: answer.content_type, body, warnings })
        }
        .boxed()
    }

    fn tables(&self) -> BoxFuture<'static, Result<Vec<TableInfo>, SqlFailure>> {
        let core = Arc::clone(&self.core);
        async move {
            let tables = core.sql.tables().await.map_err(failure)?;
            let info = |table: sql::TableSummary| TableInfo {
                name: table.name,
                description: table.description,
                columns: table.columns.into_iter().map(|(name, kind)| TableColumn { name, kind }).collect(),
            };
            Ok(tables.into_iter().map(info).collect())
        }
        .boxed()
    }
}

fn format_of(format: SqlFormat) -> Format {
    match format {
        SqlFormat::Json => Format::Json,
        SqlFormat::Jsonl => Format::Jsonl,
        SqlFormat::Csv => Format::Csv,
        SqlFormat::Arrow => Format::Arrow,
        SqlFormat::Parquet => Format::Parquet,
        SqlFormat::Markdown => Format::Markdown,
    }
}

fn failure(err: SqlError) -> SqlFailure {
    let (line, column) = err.place();
    let fault = match &err {
        SqlError::Parse { .. } => SqlFault::Parse,
        SqlError::Plan { .. } | SqlError::Refused(_) => SqlFault::Plan,
        SqlError::Timeout { .. } => SqlFault::Timeout,
        SqlError::TooManyRows { .. } | SqlError::Memory(_) => SqlFault::TooLarge,
        SqlError::Execution(_) => SqlFault::Execution,
    };
    SqlFailure { fault, message: err.to_string(), hint: err.hint(), line, column }
}
