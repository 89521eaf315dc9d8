//! Scheduled forecasts: query, resample, forecast, write the future back as series, remember the proof.
//!
//! A run that was missed while the program was down is made up for once, not once a missed turn. One thread runs the
//! jobs one after the other, so forecasting never takes more than one core from ingestion.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use control::Kind;
use control::schedule::{Schedule, Timer};
use forecast::{Bounds, ForecastError, ModelChoice, Request, Seasons};
use serde::{Deserialize, Serialize};
use serde_json::json;
use series::{Batch, Columns, Grid, GridFill, Labels, LabelsBuilder, METRIC_NAME, Millis, Step, TimeRange, Timestamp};

use super::worker::Stop;
use super::{Core, EngineError, ForecastRecord};
use crate::settings::{ForecastJob, Settings};

mod tracking;

/// Name of the series that forecasts are written as.
pub(crate) const FORECAST_METRIC: &str = "foretide_forecast";
/// Cells of history that a job may use.
const CELLS_MAX: usize = 50_000;
/// Longest sleep between two looks at the clock, so that a stepped clock is noticed.
const NAP_MAX: Duration = Duration::from_secs(5);

/// State of a job, kept in the control log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobState {
    pub(crate) id: String,
    pub(crate) query: String,
    pub(crate) schedule: String,
    /// `waiting`, `failed` or `paused`.
    pub(crate) state: String,
    pub(crate) last_run: Option<i64>,
    pub(crate) next_run: Option<i64>,
    pub(crate) series: usize,
    pub(crate) took_ms: u64,
    /// Why the last run failed, or what it left out.
    pub(crate) error: Option<String>,
}

impl JobState {
    fn is_paused(&self) -> bool {
        self.state == "paused"
    }
}

/// Runs jobs when they are due.
pub(crate) struct Scheduler {
    core: Arc<Core>,
    jobs: Vec<(ForecastJob, Schedule)>,
}

/// A job's place in time. It follows its schedule by what it saw itself, so neither a clock that stepped back nor a state
/// that could not be written makes it run too seldom or too often.
struct Turn<'a> {
    job: &'a ForecastJob,
    schedule: &'a Schedule,
    /// `None` before the first run of all, which does not wait for the schedule.
    timer: Option<Timer>,
}

/// What a run did.
struct Done {
    n_series: usize,
    /// What was left out, and why.
    trouble: Option<String>,
}

/// The jobs of the configuration, and one for every policy whose demand no job forecasts.
pub(crate) fn effective(settings: &Settings) -> Vec<ForecastJob> {
    let mut jobs = settings.forecast.jobs.clone();
    for policy in &settings.scaling.policies {
        let known = policy.demand.is_empty() || jobs.iter().any(|job| job.promql.as_deref() == Some(&policy.demand));
        if !known {
            jobs.push(ForecastJob::for_policy(policy));
        }
    }
    jobs
}

/// Runs every job once, now; the first error is given back after all have run.
pub(crate) fn run_all(core: &Core) -> Result<usize, EngineError> {
    let (mut n_series, mut first_error) = (0, None);
    for job in effective(&core.settings) {
        let schedule = parse_schedule(&job)?;
        match run_and_record(core, &job, &schedule) {
            Ok(n) => n_series += n,
            Err(err) => first_error = first_error.or(Some(err)),
        }
    }
    first_error.map_or(Ok(n_series), Err)
}

impl Scheduler {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self, EngineError> {
        let jobs =
            effective(&core.settings).into_iter().map(|job| parse_schedule(&job).map(|schedule| (job, schedule)));
        let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { core, jobs })
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let last_run = |job: &ForecastJob| load(&self.core, &job.name).and_then(|state| state.last_run).map(Timestamp);
        let now = self.core.clock.now();
        let mut turns: Vec<Turn<'_>> =
            self.jobs.iter().map(|(job, schedule)| Turn::new(job, schedule, last_run(job), now)).collect();
        loop {
            for turn in &mut turns {
                let job = turn.job;
                let paused = load(&self.core, &job.name).is_some_and(|state| state.is_paused());
                if !paused
                    && turn.is_due(self.core.clock.now())
                    && let Err(err) = run_and_record(&self.core, job, turn.schedule)
                {
                    tracing::warn!(job = %job.name, %err, "forecast job failed; it runs again at its next turn");
                }
                if stop.wait(Duration::ZERO) {
                    return;
                }
            }
            if stop.wait(NAP_MAX) {
                return;
            }
        }
    }
}

impl<'a> Turn<'a> {
    fn new(job: &'a ForecastJob, schedule: &'a Schedule, last_run: Option<Timestamp>, now: Timestamp) -> Self {
        Self { job, schedule, timer: last_run.map(|last| Timer::new(schedule.clone(), Some(last), now)) }
    }

    /// Whether it is to run now; asking takes the turn.
    fn is_due(&mut self, now: Timestamp) -> bool {
        match &mut self.timer {
            Some(timer) => timer.poll(now).is_some(),
            None => {
                self.timer = Some(Timer::new(self.schedule.clone(), None, now));
                true
            }
        }
    }
}

/// Runs one job now; `None` when there is no such job.
pub(crate) fn run_named(core: &Core, name: &str) -> Result<Option<usize>, EngineError> {
    let Some(job) = effective(&core.settings).into_iter().find(|job| job.name == name) else { return Ok(None) };
    let schedule = parse_schedule(&job)?;
    run_and_record(core, &job, &schedule).map(Some)
}

/// Sets or lifts the pause of a job; false when there is no such job.
pub(crate) fn set_paused(core: &Core, name: &str, paused: bool) -> Result<bool, EngineError> {
    let Some(job) = effective(&core.settings).into_iter().find(|job| job.name == name) else { return Ok(false) };
    let mut state = load(core, name).unwrap_or_else(|| fresh(&job));
    state.state = if paused { "paused".into() } else { "waiting".into() };
    core.control.put(Kind::Job, name, &state)?;
    Ok(true)
}

/// States of all jobs, also of those that never ran.
pub(crate) fn states(core: &Core) -> Vec<JobState> {
    effective(&core.settings).iter().map(|job| load(core, &job.name).unwrap_or_else(|| fresh(job))).collect()
}

fn fresh(job: &ForecastJob) -> JobState {
    JobState {
        id: job.name.clone(),
        query: job.promql.clone().or_else(|| job.sql.clone()).unwrap_or_default(),
        schedule: job.schedule.clone(),
        state: "waiting".into(),
        ..JobState::default()
    }
}

fn load(core: &Core, name: &str) -> Option<JobState> {
    core.control.get(Kind::Job, name).unwrap_or_else(|err| {
        tracing::warn!(job = name, %err, "state of the job not readable");
        None
    })
}

fn parse_schedule(job: &ForecastJob) -> Result<Schedule, EngineError> {
    Schedule::parse(&job.schedule, "UTC")
        .map_err(|err| EngineError::Job { job: job.name.clone(), why: err.to_string() })
}

/// Runs a job and keeps what became of it.
pub(crate) fn run_and_record(core: &Core, job: &ForecastJob, schedule: &Schedule) -> Result<usize, EngineError> {
    let (started, now) = (Instant::now(), core.clock.now());
    let outcome = run(core, job, now);
    core.tallies.job_runs.fetch_add(1, Ordering::Relaxed);
    let mut state = fresh(job);
    if load(core, &job.name).is_some_and(|before| before.is_paused()) {
        // Run by hand: the pause is for its turns, and stays.
        state.state = "paused".into();
    }
    state.last_run = Some(now.0);
    state.next_run = schedule.next_after(now).map(|at| at.0);
    state.took_ms = started.elapsed().as_millis() as u64;
    match &outcome {
        Ok(done) => {
            if let Some(trouble) = &done.trouble {
                tracing::warn!(job = %job.name, %trouble, "forecast job left something out");
            }
            state.series = done.n_series;
            state.error.clone_from(&done.trouble);
        }
        Err(err) => {
            core.tallies.job_failures.fetch_add(1, Ordering::Relaxed);
            if !state.is_paused() {
                state.state = "failed".into();
            }
            state.error = Some(err.to_string());
        }
    }
    core.control.put(Kind::Job, &job.name, &state)?;
    core.control.put(Kind::JobRun, &format!("{:013}/{}", now.0.max(0), job.name), &state)?;
    core.tell(server::LiveKind::Job, json!(state));
    outcome.map(|done| done.n_series)
}

fn run(core: &Core, job: &ForecastJob, now: Timestamp) -> Result<Done, EngineError> {
    let fault = |why: String| EngineError::Job { job: job.name.clone(), why };
    let step = Step::new(job.step.0.0).ok_or_else(|| fault("the step must be positive".into()))?;
    let series = history(core, job, now, step)?;
    if series.is_empty() {
        let why = "its query answers no series; check the query or wait for data".into();
        return Err(EngineError::TooLittle { job: job.name.clone(), why });
    }
    let (found, several) = (series.len(), series.len() > 1);
    let (mut written, mut failed, mut first_error) = (0, 0, None);
    for (labels, columns) in series.into_iter().take(job.series_max) {
        match forecast_one(core, job, (labels, &columns), now, step, several) {
            Ok(()) => written += 1,
            Err(err) => {
                failed += 1;
                first_error = first_error.or(Some(err));
            }
        }
    }
    match first_error {
        Some(err) if written == 0 => Err(err),
        first_error => Ok(Done { n_series: written, trouble: trouble(job, found, failed, first_error) }),
    }
}

/// What a run left out, for its state.
fn trouble(job: &ForecastJob, found: usize, failed: usize, first_error: Option<EngineError>) -> Option<String> {
    let failures = first_error.map(|err| format!("{failed} of {found} series failed, the first: {err}"));
    let beyond = found > job.series_max;
    let beyond = beyond.then(|| format!("{found} series found, series_max lets {} be forecast", job.series_max));
    let parts: Vec<String> = failures.into_iter().chain(beyond).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The past of every series of the job.
fn history(core: &Core, job: &ForecastJob, now: Timestamp, step: Step) -> Result<Vec<(Labels, Columns)>, EngineError> {
    if let Some(query) = &job.promql {
        let end = now.floor(step);
        let start = (end - job.history.0).floor(step);
        let items = core.range(query, start, end, step)?;
        let columns = |points: Vec<(Timestamp, f64)>| Columns {
            timestamps: points.iter().map(|point| point.0.0).collect(),
            values: points.iter().map(|point| point.1).collect(),
        };
        return Ok(items.into_iter().map(|item| (item.labels, columns(item.points))).collect());
    }
    let sql = job.sql.clone().unwrap_or_default();
    Ok(core.runtime.block_on(core.sql.series(&sql))?)
}

fn forecast_one(
    core: &Core,
    job: &ForecastJob,
    (labels, columns): (Labels, &Columns),
    now: Timestamp,
    step: Step,
    several: bool,
) -> Result<(), EngineError> {
    let fault = |why: String| EngineError::Job { job: job.name.clone(), why };
    // PromQL's value at a time looks back from it, so the one at the last full step is whole; a bucket of SQL begins at
    // its time, so the last one is still filling and left out.
    let end = now.floor(step) + Millis(i64::from(job.promql.is_some()));
    let range = TimeRange::new(end - job.history.0, end);
    let grid = Grid::from_columns(columns, range, step, GridFill::Last, CELLS_MAX);
    let horizon = (job.horizon.0.0 / step.millis()).max(1) as usize;
    let seasons = match job.seasons.as_slice() {
        [] => Seasons::Auto,
        given => Seasons::Given(given.iter().map(|season| (season.0.0 / step.millis()) as usize).collect()),
    };
    let request = Request {
        seasons,
        quantiles: &job.quantiles,
        model: if job.model == "auto" { ModelChoice::Auto } else { ModelChoice::Named(job.model.clone()) },
        bounds: Bounds { lower: job.lower, upper: job.upper },
        ..Request::new(&grid.values, step.millis(), horizon)
    };
    let found = forecast::forecast(&request).map_err(|err| {
        let why = format!("series {labels}: {err}");
        match err {
            ForecastError::Empty { .. } | ForecastError::AllGaps { .. } | ForecastError::TooShort { .. } => {
                EngineError::TooLittle { job: job.name.clone(), why }
            }
            _ => fault(why),
        }
    })?;
    let plain = without_name(&labels);
    let id = if several { format!("{}-{:016x}", job.name, plain.id().0) } else { job.name.clone() };
    let mut record = ForecastRecord::new(job, id, &plain, grid.end() - Millis(step.millis()), found);
    if let Some(before) = core.control.get::<ForecastRecord>(Kind::Forecast, &record.id)? {
        tracking::track(core, &before, &mut record, columns, step)?;
    }
    core.write(as_batch(&record, &plain))?;
    core.control.put(Kind::Forecast, &record.id, &record)?;
    core.tell(server::LiveKind::Forecast, json!({"id": record.id, "model": record.model}));
    Ok(())
}

fn without_name(labels: &Labels) -> Labels {
    labels.to_builder().remove(METRIC_NAME).build()
}

/// The record as series with future timestamps: one a quantile.
fn as_batch(record: &ForecastRecord, labels: &Labels) -> Batch {
    let mut batch = Batch::default();
    for (level, values) in &record.quantiles {
        let mut builder: LabelsBuilder = labels.to_builder();
        builder.set(METRIC_NAME, FORECAST_METRIC).set("job", &record.job).set("quantile", &level.to_string());
        builder.set("model", &record.model).set("origin", &Timestamp(record.origin_ms).to_string());
        // A forecast is at most a few megabytes, far below what a batch holds.
        if batch.begin_labels(&builder.build()).is_ok() {
            for (i, &value) in values.iter().enumerate() {
                batch.push(record.time(i), value);
            }
        }
    }
    batch
}

impl ForecastJob {
    /// The forecast of a policy's demand that no job of the configuration makes.
    fn for_policy(policy: &scale::Policy) -> Self {
        Self {
            name: policy.name.clone(),
            title: format!("{} demand", policy.name),
            promql: Some(policy.demand.clone()),
            quantiles: demand_quantiles(policy.quantile),
            ..Self::default()
        }
    }
}

/// The quantile that a policy plans for, within a band for people.
fn demand_quantiles(quantile: f64) -> Vec<f64> {
    let mut levels = vec![0.1, 0.5, 0.9, quantile];
    levels.sort_by(f64::total_cmp);
    levels.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
    levels
}

#[cfg(test)]
mod tests;
