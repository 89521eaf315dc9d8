//! Tables of SQL that come from the control log.

use std::sync::Arc;

use control::{Control, Kind, ScanRange};
use serde::de::IgnoredAny;
use serde_json::Value;
use sql::{ColumnKind, Page, PageRequest, SystemColumn, SystemRows, SystemTable};

/// Rows read at a time; newest first.
const PAGE_ROWS: usize = 512;

const fn column(name: &'static str, kind: ColumnKind, comment: &'static str) -> SystemColumn {
    SystemColumn { name, kind, comment }
}

const RECOMMENDATIONS: &[SystemColumn] = &[
    column("id", ColumnKind::Text, "identity"),
    column("kind", ColumnKind::Text, "scale, rightsize or capacity"),
    column("target", ColumnKind::Text, "what it is about"),
    column("title", ColumnKind::Text, "one line"),
    column("status", ColumnKind::Text, "open, applied, dismissed or superseded"),
    column("severity", ColumnKind::Text, "how urgent"),
    column("current", ColumnKind::Text, "what is set now, JSON"),
    column("proposed", ColumnKind::Text, "what should be set, JSON"),
    column("reason", ColumnKind::Text, "why"),
    column("evidence_query", ColumnKind::Text, "PromQL that shows it"),
    column("confidence", ColumnKind::Float, "0 to 1"),
    column("cost_delta_monthly", ColumnKind::Float, "change of cost a month, in currency"),
    column("saving_monthly", ColumnKind::Float, "saving a month, in currency"),
    column("currency", ColumnKind::Text, "ISO 4217"),
    column("risk", ColumnKind::Text, "what would break"),
    column("undo", ColumnKind::Text, "how to take it back"),
    column("created_at", ColumnKind::Time, "when it was made"),
    column("valid_until", ColumnKind::Time, "when it stops being of use"),
    column("record", ColumnKind::Text, "the whole recommendation, JSON"),
];

const DECISIONS: &[SystemColumn] = &[
    column("id", ColumnKind::Text, "identity"),
    column("at", ColumnKind::Time, "when it was taken"),
    column("policy", ColumnKind::Text, "policy"),
    column("target", ColumnKind::Text, "target"),
    column("action", ColumnKind::Text, "hold or scale"),
    column("from", ColumnKind::Integer, "replicas before"),
    column("to", ColumnKind::Integer, "replicas wanted"),
    column("when", ColumnKind::Time, "when to act"),
    column("reasons", ColumnKind::Text, "ranked reasons, JSON"),
    column("confidence", ColumnKind::Float, "0 to 1"),
    column("record", ColumnKind::Text, "everything that a replay needs, JSON"),
];

const ANOMALIES: &[SystemColumn] = &[
    column("id", ColumnKind::Text, "identity"),
    column("stream", ColumnKind::Text, "standing query that found it"),
    column("kind", ColumnKind::Text, "spike, drop, burst, shift_up, shift_down or trend"),
    column("state", ColumnKind::Text, "open or closed"),
    column("series", ColumnKind::Text, "labels"),
    column("start", ColumnKind::Time, "since when"),
    column("end", ColumnKind::Time, "until when; null while it lasts"),
    column("score", ColumnKind::Float, "0 (normal) to 1"),
    column("expected", ColumnKind::Float, "value expected"),
    column("seen", ColumnKind::Float, "value seen"),
    column("change_point", ColumnKind::Time, "when it changed"),
    column("message", ColumnKind::Text, "one sentence"),
    column("query", ColumnKind::Text, "PromQL that shows it"),
];

const JOBS: &[SystemColumn] = &[
    column("id", ColumnKind::Text, "name"),
    column("query", ColumnKind::Text, "what is forecast"),
    column("schedule", ColumnKind::Text, "when it runs"),
    column("state", ColumnKind::Text, "waiting, failed or paused"),
    column("last_run", ColumnKind::Time, "last run"),
    column("next_run", ColumnKind::Time, "next run"),
    column("series", ColumnKind::Integer, "series of the last run"),
    column("took_ms", ColumnKind::Integer, "length of the last run"),
    column("error", ColumnKind::Text, "why the last run failed, or what it left out"),
];

const JOB_RUNS: &[SystemColumn] = &[
    column("id", ColumnKind::Text, "name of the job"),
    column("last_run", ColumnKind::Time, "when it ran"),
    column("state", ColumnKind::Text, "state afterwards: waiting, failed or paused"),
    column("series", ColumnKind::Integer, "series forecast"),
    column("took_ms", ColumnKind::Integer, "length of the run"),
    column("error", ColumnKind::Text, "why it failed, or what it left out"),
];

const AUDIT: &[SystemColumn] = &[
    column("at", ColumnKind::Time, "when"),
    column("actor", ColumnKind::Text, "who"),
    column("verb", ColumnKind::Text, "what was done"),
    column("object", ColumnKind::Text, "to what"),
    column("result", ColumnKind::Text, "with which result"),
    column("hash", ColumnKind::Text, "hash over this and all records before"),
];

const TABLES: &[SystemTable] = &[
    SystemTable { name: "recommendations", columns: RECOMMENDATIONS },
    SystemTable { name: "decisions", columns: DECISIONS },
    SystemTable { name: "anomalies", columns: ANOMALIES },
    SystemTable { name: "jobs", columns: JOBS },
    SystemTable { name: "job_runs", columns: JOB_RUNS },
    SystemTable { name: "audit", columns: AUDIT },
];

/// The control log as tables.
pub(crate) struct SystemTables {
    control: Arc<Control>,
}

impl SystemTables {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }
}

impl SystemRows for SystemTables {
    fn tables(&self) -> &'static [SystemTable] {
        TABLES
    }

    fn page(&self, request: &PageRequest<'_>) -> Result<Page, String> {
        let table = request.table;
        let kind = match table {
            "recommendations" => Kind::Recommendation,
            "decisions" => Kind::Decision,
            "anomalies" => Kind::Anomaly,
            "jobs" => Kind::Job,
            "job_runs" => Kind::JobRun,
            "audit" => Kind::Audit,
            _ => return Err(format!("no table {table}")),
        };
        // One more than a page: its key is where the next one begins.
        let range = ScanRange { from: request.from.map(str::to_owned), ..ScanRange::newest(PAGE_ROWS + 1) };
        let fault = |err: control::ControlError| format!("{table}: {err}");
        if request.columns.is_empty() {
            let found = self.control.scan::<IgnoredAny>(kind, &range).map_err(fault)?;
            return Ok(page(found, |_| Value::Null));
        }
        let with_record = request.columns.contains(&"record");
        let found = self.control.scan::<Value>(kind, &range).map_err(fault)?;
        Ok(page(found, |row| flattened(row, with_record)))
    }
}

fn page<T>(mut found: Vec<(String, T)>, shown: impl Fn(T) -> Value) -> Page {
    let next = if found.len() > PAGE_ROWS { found.pop().map(|(key, _)| key) } else { None };
    Page { rows: found.into_iter().map(|(_, row)| shown(row)).collect(), next }
}

/// Columns as the tables name them: members of `entry` at the top, times without their unit in the name.
fn flattened(row: Value, with_record: bool) -> Value {
    let whole = with_record.then(|| row.clone());
    let Value::Object(mut fields) = row else { return row };
    if let Some(whole) = whole {
        fields.entry("record").or_insert(whole);
    }
    if let Some(Value::Object(entry)) = fields.remove("entry") {
        fields.extend(entry);
    }
    let times: Vec<_> = fields
        .iter()
        .filter_map(|(name, value)| name.strip_suffix("_ms").map(|plain| (plain.to_owned(), value.clone())))
        .collect();
    for (name, value) in times {
        fields.entry(name).or_insert(value);
    }
    Value::Object(fields)
}
