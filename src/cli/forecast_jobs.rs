//! `foretide jobs`.

use super::args::{Common, Format, JobsAction, JobsArgs};
use super::local::Local;
use super::{CliError, output, sql_query};
use crate::engine::jobs;

const ONLY_LISTED: &str = "jobs of a running server can be listed only";

pub(super) fn run(common: &Common, args: &JobsArgs) -> Result<(), CliError> {
    match &args.action {
        JobsAction::List { format } => list(common, *format),
        JobsAction::Run { name } => run_one(common, name),
        JobsAction::Pause { name } => pause(common, name, true),
        JobsAction::Resume { name } => pause(common, name, false),
    }
}

fn list(common: &Common, format: Format) -> Result<(), CliError> {
    if common.url.is_some() || format != Format::Table {
        let statement =
            "SELECT id, query, schedule, state, last_run, next_run, series, took_ms, error FROM jobs ORDER BY id";
        let asked = if format == Format::Table { Format::Csv } else { format };
        return output::put(&sql_query::answer(common, statement, asked)?, None);
    }
    let local = Local::open(common)?;
    let header = ["JOB", "SCHEDULE", "STATE", "LAST RUN", "NEXT RUN", "SERIES", "TOOK", "ERROR"].map(str::to_owned);
    let time = |at: Option<i64>| at.map_or_else(|| "–".into(), |at| series::Timestamp(at).to_string());
    let row = |state: jobs::JobState| {
        vec![
            state.id,
            state.schedule,
            state.state,
            time(state.last_run),
            time(state.next_run),
            state.series.to_string(),
            format!("{} ms", state.took_ms),
            state.error.unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = jobs::states(local.engine.core()).into_iter().map(row).collect();
    if rows.is_empty() {
        return output::line("no jobs; add one under forecast.jobs of the configuration");
    }
    output::put(output::table(&header, &rows).as_bytes(), None)
}

fn run_one(common: &Common, name: &str) -> Result<(), CliError> {
    let local = Local::alone(common, ONLY_LISTED)?;
    let n = jobs::run_named(local.engine.core(), name)?.ok_or_else(|| unknown(name))?;
    output::line(&format!("job {name}: {n} series forecast"))
}

fn pause(common: &Common, name: &str, paused: bool) -> Result<(), CliError> {
    let local = Local::alone(common, ONLY_LISTED)?;
    if !jobs::set_paused(local.engine.core(), name, paused)? {
        return Err(unknown(name));
    }
    output::line(&format!("job {name}: {}", if paused { "paused" } else { "resumed" }))
}

fn unknown(name: &str) -> CliError {
    CliError::Usage { argument: name.to_owned(), why: "no such job; `foretide jobs list` shows them".into() }
}
