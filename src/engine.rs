//! The engine: one data folder with everything that works on it.
//!
//! ```text
//!   HTTP write ─▶ Tee ─▶ store (durable, visible) ─▶ 204
//!                   └─▶ streams ─▶ results as series, events ─┐
//!   schedule ─▶ forecast jobs ─▶ future series ─▶ advisor ────┼─▶ control log ─▶ outbox ─▶ actuators
//!   targets, procfs ─▶ metrics                                └─▶ live events ─▶ page
//! ```
//!
//! Each arrow to the right is a supervised thread that ends with the engine.

mod advise;
mod backup;
mod core;
mod deliver;
mod disk;
mod error;
mod forecasts;
pub(crate) mod health;
mod host;
mod import;
mod insight;
pub(crate) mod jobs;
mod maintenance;
pub(crate) mod memory;
mod scrape;
mod sql_service;
mod streams;
mod system_tables;
mod tee;
mod telemetry;
mod worker;

use std::path::Path;
use std::sync::Arc;

use control::Control;
use series::{Append, Clock};
use server::Parts;
use store::{DataFolder, Store, StoreOptions};

pub(crate) use self::advise::recommendations;
pub(crate) use self::core::Core;
pub use self::error::EngineError;
pub(crate) use self::forecasts::ForecastRecord;
pub(crate) use self::scrape::check_targets;
pub(crate) use self::streams::check as check_streams;
use self::worker::Workers;
use crate::settings::Settings;

/// An open data folder with its background work.
pub struct Engine {
    core: Arc<Core>,
    tee: Arc<tee::Tee>,
    scraper: Option<Arc<scrape::Scraper>>,
    workers: Workers,
    // Declared last: the folder is unlocked after everything else is closed.
    folder: DataFolder,
}

/// What opening found, in a sentence for the log.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// What the store found.
    pub store: store::OpenReport,
    /// What the control log found.
    pub control: control::OpenReport,
}

impl Engine {
    /// Opens a folder; no background work runs until [`Engine::start`].
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open(
        data: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
    ) -> Result<(Self, Opened), EngineError> {
        let (engine, control) = Self::open_early(data, settings, clock, runtime)?;
        let store = engine.core.store.started()?;
        Ok((engine, Opened { store, control }))
    }

    /// As [`Engine::open`], but returns while the log of samples is still being read: pages and health answer then,
    /// queries wait, writes are told to come again.
    ///
    /// # Errors
    /// [`EngineError`]; what the log says comes from [`Engine::watch_start`].
    pub fn open_early(
        data: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
    ) -> Result<(Self, control::OpenReport), EngineError> {
        let folder = DataFolder::open(data)?;
        Self::open_folder(folder, settings, clock, runtime)
    }

    /// Opens a folder for questions only: as [`Engine::open`] where it can be written, else without writing to it.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn open_to_ask(
        data: &Path,
        settings: Settings,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
    ) -> Result<(Self, Opened), EngineError> {
        let folder = match DataFolder::open(data) {
            Err(store::StoreError::ReadOnly { .. }) => DataFolder::open_to_read(data)?,
            opened => opened?,
        };
        let (engine, control) = Self::open_folder(folder, settings, clock, runtime)?;
        let store = engine.core.store.started()?;
        Ok((engine, Opened { store, control }))
    }

    fn open_folder(
        folder: DataFolder,
        settings: Settings,
        clock: Arc<dyn Clock>,
        runtime: tokio::runtime::Handle,
    ) -> Result<(Self, control::OpenReport), EngineError> {
        let data = folder.root().to_owned();
        let ids = Arc::new(crate::ids::Ids::new(clock.now()));
        let store = Store::open_early(&folder, store_options(&settings)?, Arc::clone(&clock), ids)?;
        let (control, control_report) = Control::open(folder.storage(), &data, control::ControlOptions::default())?;
        let core = Arc::new(Core::new(settings, clock, store, control, runtime, &folder)?);
        let store = health::Gated::over(core.store.appender(), &core.health);
        let tee = Arc::new(tee::Tee::new(store, streams::selectors(&core.settings.streams)?));
        let engine = Self { core, tee, scraper: None, workers: Workers::default(), folder };
        Ok((engine, control_report))
    }

    /// Calls `done` with what reading the log found, on a thread of its own.
    ///
    /// # Errors
    /// [`EngineError::Thread`].
    pub fn watch_start(
        &self,
        done: impl FnOnce(Result<store::OpenReport, EngineError>) + Send + 'static,
    ) -> Result<(), EngineError> {
        let core = Arc::clone(&self.core);
        let watch = move || done(core.store.started().map_err(EngineError::from));
        let thread = std::thread::Builder::new().name("start".into()).spawn(watch);
        thread.map(drop).map_err(|source| EngineError::Thread { name: "start", source })
    }

    /// Starts all background work.
    ///
    /// # Errors
    /// [`EngineError`] for a job, stream or receiver that cannot be started.
    pub fn start(&mut self) -> Result<(), EngineError> {
        self.start_streams()?;
        self.start_rest()
    }

    /// Starts the standing queries alone.
    ///
    /// # Errors
    /// [`EngineError::Stream`].
    pub fn start_streams(&mut self) -> Result<(), EngineError> {
        let streams = streams::Runner::new(&self.core, &self.tee)?;
        self.workers.spawn("streams", move |stop| streams.run(stop))
    }

    /// Starts what [`Engine::start_streams`] leaves out: jobs, advice, delivery, host metrics.
    ///
    /// # Errors
    /// [`EngineError`] for a job or receiver that cannot be started.
    pub fn start_rest(&mut self) -> Result<(), EngineError> {
        let jobs = jobs::Scheduler::new(Arc::clone(&self.core))?;
        let deliver = deliver::Deliverer::new(Arc::clone(&self.core))?;
        let advisor = advise::Advisor::new(Arc::clone(&self.core));
        let guard = disk::Guard::new(Arc::clone(&self.core), self.folder.root());
        self.workers.spawn("disk", move |stop| guard.run(stop))?;
        self.workers.spawn("jobs", move |stop| jobs.run(stop))?;
        self.workers.spawn("advisor", move |stop| advisor.run(stop))?;
        self.workers.spawn("deliver", move |stop| deliver.run(stop))?;
        if self.core.settings.host.enabled {
            let host = host::Recorder::new(Arc::clone(&self.core), self.appender());
            self.workers.spawn("host", move |stop| host.run(stop))?;
        }
        self.start_scraping()
    }

    fn start_scraping(&mut self) -> Result<(), EngineError> {
        let settings = &self.core.settings.scrape;
        if settings.jobs.is_empty() {
            return Ok(());
        }
        let (limits, clock) = (self.core.settings.labels.limits(), Arc::clone(&self.core.clock));
        let scraper = Arc::new(scrape::Scraper::new(settings, &limits, self.appender(), clock)?);
        for _ in 0..settings.concurrency.min(scraper.n_targets()) {
            let own = Arc::clone(&scraper);
            self.workers.spawn("scrape", move |stop| own.run(stop))?;
        }
        self.scraper = Some(scraper);
        Ok(())
    }

    /// The write side: the store, with what was written handed on to the streams.
    pub fn appender(&self) -> Arc<dyn Append> {
        Arc::clone(&self.tee) as Arc<dyn Append>
    }

    /// The write side for imports, which may be of any age; only what is recent is handed on to the streams.
    pub fn importer(&self) -> Arc<dyn Append> {
        Arc::new(import::Importer::new(&self.core, Arc::clone(&self.tee)))
    }

    /// What the HTTP server needs.
    pub fn parts(&self) -> Parts {
        Parts {
            append: self.appender(),
            import: self.importer(),
            select: self.core.store.selector(),
            clock: Arc::clone(&self.core.clock),
            sql: Arc::new(sql_service::Sql::new(Arc::clone(&self.core))),
            maintenance: Arc::new(maintenance::Upkeep::new(Arc::clone(&self.core))),
            insight: self.insight(),
            telemetry: Arc::new(telemetry::OwnMetrics::new(
                Arc::clone(&self.core),
                Arc::clone(&self.tee),
                self.scraper.clone(),
            )),
            targets: self.scraper.clone().map(|scraper| scraper as Arc<dyn server::Targets>),
            live: self.core.live.clone(),
            settings: self.core.server_settings(),
        }
    }

    /// What the engine has concluded.
    pub fn insight(&self) -> Arc<dyn server::Insight> {
        Arc::new(insight::Insights::new(Arc::clone(&self.core)))
    }

    /// Waits until the streams' queue has room, so that a fast sender does not outrun them.
    pub(crate) fn wait_for_streams(&self) {
        self.tee.wait_for_room();
    }

    /// Backs the folder up into `dir` (absolute; empty, missing or an earlier backup), while it is written to.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn backup(&self, dir: &Path) -> Result<::backup::BackupReport, EngineError> {
        backup::run(&self.core, dir)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Runs every due forecast job once, now, and returns how many series were forecast.
    ///
    /// # Errors
    /// [`EngineError`] of the first job that failed; the others have run.
    pub fn run_jobs(&self) -> Result<usize, EngineError> {
        jobs::run_all(&self.core)
    }

    /// Evaluates all advice once, now, and returns how many recommendations are open.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn advise(&self) -> Result<usize, EngineError> {
        advise::evaluate_all(&self.core)
    }

    /// Waits until the streams have seen everything written so far, for at most `patience`; false if they have not.
    pub fn drain_streams(&self, patience: std::time::Duration) -> bool {
        self.tee.drain(patience)
    }

    /// Ends the background work and closes the store. Everything acknowledged is durable already.
    pub fn close(mut self) {
        self.workers.stop();
    }
}

fn store_options(settings: &Settings) -> Result<StoreOptions, EngineError> {
    let retention = settings.retention.resolve().map_err(|why| EngineError::Setting { key: "retention.rules", why })?;
    let memory = memory::shares(&settings.memory);
    Ok(StoreOptions {
        index_bytes: memory.index_bytes,
        fresh_bytes: memory.fresh_bytes,
        ooo_window: settings.store.ooo_window.0,
        ahead_max: settings.store.ahead_max.0,
        series_max: settings.store.series_max,
        memtable_bytes: settings.store.memtable_mib.max(1) << 20,
        memtable_age: settings.store.memtable_age.0,
        cache_bytes: (settings.store.cache_mib << 20).min(memory.cache_bytes),
        tiers: settings.tiers.as_ref().map(crate::settings::TierSettings::options),
        retention,
        rollups: settings.retention.rollups.into(),
        spelling_seed: crate::ids::secret(),
        ..StoreOptions::default()
    })
}
