//! What every part of the engine shares, with the two query languages as plain functions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control::Control;
use control::outbox::Outbox;
use promql::{Answer, MatrixItem, Options, Point, Value, VectorItem};
use series::{
    Append, Batch, Clock, Labels, Matcher, Metadata, Millis, Select, SelectError, SelectRequest, SeriesSet, Step,
    TimeRange, Timestamp,
};
use server::LiveEvent;
use sql::{SqlEngine, SqlLimits};
use store::{DataFolder, Store};

use super::EngineError;
use super::health::{Gated, Health};
use super::memory::{self, Shares};
use super::system_tables::SystemTables;
use crate::settings::Settings;

/// Events that a slow page may fall behind by.
const LIVE_QUEUE: usize = 1024;
/// Points of one series that our own jobs may ask for: 14 days of minutes and some.
const OWN_POINTS_MAX: usize = 100_000;

/// What every part of the engine shares.
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) control: Arc<Control>,
    pub(crate) outbox: Outbox,
    pub(crate) sql: SqlEngine,
    /// The same over what can be read, for those who asked for it.
    pub(crate) sql_partial: SqlEngine,
    pub(crate) live: tokio::sync::broadcast::Sender<LiveEvent>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) started: Instant,
    pub(crate) tallies: Tallies,
    /// Held while kept advice is read and changed.
    pub(crate) advice: std::sync::Mutex<()>,
    pub(crate) health: Arc<Health>,
    /// The data folder.
    pub(crate) root: std::path::PathBuf,
    /// What the parts get of the memory; found once.
    pub(crate) memory: Shares,
    own: Arc<dyn Append>,
    disk: Arc<dyn wal::Storage>,
}

/// Counters of the background work.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) job_runs: std::sync::atomic::AtomicU64,
    pub(crate) job_failures: std::sync::atomic::AtomicU64,
    pub(crate) decisions: std::sync::atomic::AtomicU64,
    pub(crate) events: std::sync::atomic::AtomicU64,
    pub(crate) delivered: std::sync::atomic::AtomicU64,
    pub(crate) delivery_failures: std::sync::atomic::AtomicU64,
    pub(crate) stream_late: std::sync::atomic::AtomicU64,
    pub(crate) stream_groups: std::sync::atomic::AtomicU64,
    pub(crate) stream_bytes: std::sync::atomic::AtomicU64,
}

impl Core {
    pub(crate) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        store: Store,
        control: Control,
        runtime: tokio::runtime::Handle,
        folder: &DataFolder,
    ) -> Result<Self, EngineError> {
        let control = Arc::new(control);
        let outbox = Outbox::open(Arc::clone(&control))?;
        let memory = memory::shares(&settings.memory);
        let limits = SqlLimits {
            rows_max: settings.query.rows_max,
            series_max: settings.query.series_max,
            memory_bytes: (settings.query.memory_mib << 20).min(memory.query_bytes as usize),
            timeout: settings.query.timeout.duration(),
            threads: 0,
        };
        let system = Arc::new(SystemTables::new(Arc::clone(&control)));
        let sql = SqlEngine::new(store.selector(), Arc::clone(&system) as Arc<dyn sql::SystemRows>, limits)?;
        let sql_partial = sql.over(Arc::new(WhatCanBeRead(store.selector())), system);
        let health = Arc::new(Health::default());
        let own = Gated::over(store.own_appender(), &health);
        let (live, _) = tokio::sync::broadcast::channel(LIVE_QUEUE);
        let (started, tallies, advice) = (Instant::now(), Tallies::default(), std::sync::Mutex::default());
        Ok(Self {
            settings,
            clock,
            store,
            control,
            outbox,
            sql,
            sql_partial,
            live,
            runtime,
            started,
            tallies,
            advice,
            health,
            root: folder.root().to_owned(),
            own,
            memory,
            disk: folder.storage(),
        })
    }

    /// Records of the log that could not be read back at the start.
    pub(crate) fn lost_records(&self) -> u64 {
        if self.store.starting().is_some() {
            return 0;
        }
        self.store.started().map_or(0, |found| found.log.missing + found.unreadable_records)
    }

    /// What answers may lack at present, a sentence a file, in ASCII.
    pub(crate) fn lacking(&self) -> Vec<String> {
        let sentence = |lost: store::DamagedFile| {
            let text = format!("samples may be missing from this answer: {} cannot be read: {}", lost.file, lost.why);
            text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
        };
        let mut lacking: Vec<String> = self.store.damaged_files().into_iter().map(sentence).collect();
        let unknown = self.store.stats().unknown_series;
        if unknown > 0 {
            lacking.push(format!(
                "samples may be missing from this answer: {unknown} stored series have lost their labels"
            ));
        }
        lacking
    }

    /// Writes our own results, which may lie in the future.
    pub(crate) fn write(&self, batch: Batch) -> Result<(), EngineError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.own.append_wait(batch)?;
        Ok(())
    }

    /// Tells listening pages; nobody listening is fine.
    pub(crate) fn tell(&self, kind: server::LiveKind, payload: serde_json::Value) {
        drop(self.live.send(LiveEvent { kind, payload }));
    }

    /// Asks with another reach of selectors than the usual five minutes.
    pub(crate) fn looking_back(&self, lookback: Millis) -> Asking<'_> {
        Asking { core: self, lookback }
    }

    /// As [`Asking::instant`], with the usual reach.
    pub(crate) fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<VectorItem>, EngineError> {
        self.looking_back(Options::default().lookback).instant(query, at)
    }

    /// As [`Asking::range`], with the usual reach.
    pub(crate) fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step: Step,
    ) -> Result<Vec<MatrixItem>, EngineError> {
        self.looking_back(Options::default().lookback).range(query, start, end, step)
    }

    /// The one number a PromQL text gives at one time; `None` when it gives none.
    pub(crate) fn number(&self, query: &str, at: Timestamp) -> Result<Option<f64>, EngineError> {
        Ok(self.instant(query, at)?.first().and_then(|item| item.point.number()).filter(|value| value.is_finite()))
    }

    fn fault(&self, query: &str, why: &str) -> EngineError {
        EngineError::PromQl { query: query.to_owned(), why: why.to_owned() }
    }

    /// The data folder.
    pub(crate) fn disk(&self) -> &dyn wal::Storage {
        &*self.disk
    }

    /// Free bytes on the data folder's disk; 0 when they cannot be told.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.disk.free_bytes().unwrap_or(0)
    }

    /// Samples that one PromQL query may load.
    fn query_samples_max(&self) -> usize {
        self.settings.query.samples_max.min(self.memory.query_samples())
    }

    /// What the HTTP server is told about bounds.
    pub(crate) fn server_settings(&self) -> server::Settings {
        let query = &self.settings.query;
        server::Settings {
            query_timeout: query.timeout.duration(),
            query_samples_max: self.query_samples_max(),
            query_series_max: query.series_max,
            sql_rows_max: query.rows_max,
            version: env!("CARGO_PKG_VERSION").into(),
            // Only these names in `Host`: a page elsewhere cannot reach us by renaming itself (DNS rebinding).
            hosts: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(),
            otlp: self.settings.otlp.options(),
            otlp_delta_streams_max: self.settings.otlp.delta_streams_max,
            limits: self.settings.labels.limits(),
            ..server::Settings::default()
        }
    }
}

/// PromQL over the engine's store, with the bounds of our own work.
pub(crate) struct Asking<'a> {
    core: &'a Core,
    lookback: Millis,
}

impl Asking<'_> {
    /// Evaluates a PromQL text at one time; scalars come as one item without labels.
    pub(crate) fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<VectorItem>, EngineError> {
        let answer = self.ask(query, |select, expr, options| promql::instant(select, expr, at, options))?;
        match answer.value {
            Value::Vector(items) => Ok(items),
            Value::Scalar(at, value) => {
                Ok(vec![VectorItem { labels: Labels::empty(), at, point: Point::Float(value) }])
            }
            _ => Err(self.core.fault(query, "answers neither numbers nor a vector")),
        }
    }

    /// Evaluates a PromQL text over `[start, end]`.
    pub(crate) fn range(
        &self,
        query: &str,
        start: Timestamp,
        end: Timestamp,
        step: Step,
    ) -> Result<Vec<MatrixItem>, EngineError> {
        let answer = self.ask(query, |select, expr, options| promql::range(select, expr, start, end, step, options))?;
        match answer.value {
            Value::Matrix(items) => Ok(items),
            _ => Err(self.core.fault(query, "does not answer a matrix")),
        }
    }

    fn ask(
        &self,
        query: &str,
        evaluate: impl Fn(&dyn Select, &promql::Expr, &Options) -> Result<Answer, promql::EvalError>,
    ) -> Result<Answer, EngineError> {
        let expr = promql::parse(query).map_err(|err| self.core.fault(query, &err.to_string()))?;
        let options = self.options();
        let select = self.core.store.selector();
        evaluate(&*select, &expr, &options).map_err(|err| self.core.fault(query, &err.to_string()))
    }

    fn options(&self) -> Options {
        Options {
            samples_max: self.core.query_samples_max() as u64,
            series_max: self.core.settings.query.series_max,
            points_max: OWN_POINTS_MAX,
            lookback: self.lookback,
            deadline: Some(Instant::now() + self.core.settings.query.timeout.duration().max(Duration::from_secs(60))),
            ..Options::default()
        }
    }
}

/// A selector that leaves out what cannot be read; who asks through it is told so elsewhere.
struct WhatCanBeRead(Arc<dyn Select>);

impl Select for WhatCanBeRead {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        Ok(self.0.select_partial(request)?.0)
    }

    fn series(&self, selectors: &[Vec<Matcher>], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SelectError> {
        self.0.series(selectors, range, limit)
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        self.0.label_names(selectors, range, limit)
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        self.0.label_values(name, selectors, range, limit)
    }

    fn metadata(&self, metric: Option<&str>) -> Vec<Metadata> {
        self.0.metadata(metric)
    }
}
