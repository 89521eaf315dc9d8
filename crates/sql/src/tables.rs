//! The list of tables with their columns, for editors and pages.

use datafusion::prelude::SessionContext;

use crate::catalog::{CATALOG, MAIN, METRICS};
use crate::cells::type_name;
use crate::engine::SqlEngine;
use crate::error::SqlError;

/// Tables listed at most.
const TABLES_MAX: usize = 10_000;

/// A table with its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// As written after FROM.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// Name and type of each column.
    pub columns: Vec<(String, String)>,
}

impl SqlEngine {
    /// All tables, sorted by name; metrics beyond ten thousand are left out.
    ///
    /// # Errors
    /// [`SqlError`] when the index cannot be read.
    pub async fn tables(&self) -> Result<Vec<TableSummary>, SqlError> {
        // Each metric is looked up in the index: not on a thread that serves connections.
        let context = self.context().clone();
        self.on_threads(async move { summaries(&context).await }).await
    }
}

async fn summaries(context: &SessionContext) -> Result<Vec<TableSummary>, SqlError> {
    let mut found = Vec::new();
    let Some(catalog) = context.catalog(CATALOG) else { return Ok(found) };
    for schema_name in [MAIN, METRICS] {
        let Some(schema) = catalog.schema(schema_name) else { continue };
        for table in schema.table_names().into_iter().take(TABLES_MAX) {
            let Some(provider) = schema.table(&table).await? else { continue };
            let fields = provider.schema();
            let columns = fields.fields().iter().map(|f| (f.name().clone(), type_name(f.data_type()))).collect();
            let (name, description) = if schema_name == METRICS {
                (format!("metrics.\"{}\"", table.replace('"', "\"\"")), "samples of one metric".to_owned())
            } else {
                (table.clone(), describe(&table).to_owned())
            };
            found.push(TableSummary { name, description, columns });
            // A listing of thousands must end when its client has gone.
            tokio::task::yield_now().await;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn describe(table: &str) -> &'static str {
    match table {
        "samples" => "samples of all metrics",
        "histograms" => "native histograms of all metrics",
        "series" => "one row a series, labels as a map",
        "forecasts" => "forecasts, with times in the future",
        "rollup_5m" => "what samples come to in five minutes",
        "rollup_1h" => "what samples come to in an hour",
        "recommendations" => "advice with reason, cost and undo",
        "decisions" => "scaling decisions with what a replay needs",
        "anomalies" => "what standing queries found unusual",
        "jobs" => "scheduled jobs and how their last run went",
        "job_runs" => "every run of a job",
        "audit" => "who changed what",
        _ => "",
    }
}
