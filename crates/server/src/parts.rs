//! The parts a server is made of, handed in by the application as traits, so that no arrow points upwards.
//!
//! ```text
//!   Append, Select, Clock (series) ─┐
//!   SqlService, Maintenance,        ├─▶ Parts ─▶ router / serve
//!   Insight, Telemetry, LiveEvent ──┘
//! ```
//!
//! Methods that are not futures are called on a blocking thread unless their documentation says that they must be quick.

mod advice;
mod charts;
mod live;
mod maintenance;
mod sql;
mod targets;
mod telemetry;

use std::sync::Arc;

use series::{Append, Clock, Select};

use crate::settings::Settings;

pub use advice::{AdviceError, Anomaly, AnomalyKind, Confidence, Copies, Filter, Recommendation, Saving, Verdict};
pub use charts::{Band, ForecastChart, ForecastSummary, Level, Mark, Threshold};
pub use live::{LiveEvent, LiveKind};
pub use maintenance::{
    AdminError, Alarm, FlushReport, HostLoad, IngestStats, Maintenance, MaintenanceError, Readiness, SeriesStats, Tally,
};
pub use sql::{
    BytesStream, SqlAnswer, SqlFailure, SqlFault, SqlFormat, SqlRequest, SqlService, TableColumn, TableInfo,
};
pub use targets::{Health, ScrapeTarget, Targets};
pub use telemetry::{MetricFamily, MetricKind, MetricSample, Telemetry};

/// Everything the server talks to. Cheap to clone: all parts are shared.
#[derive(Clone)]
pub struct Parts {
    /// Where decoded samples go.
    pub append: Arc<dyn Append>,
    /// Where imported samples go: they may be older than the out-of-order window.
    pub import: Arc<dyn Append>,
    /// Where stored samples come from.
    pub select: Arc<dyn Select>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// SQL over the same data.
    pub sql: Arc<dyn SqlService>,
    /// Readiness, flush and the store's own numbers.
    pub maintenance: Arc<dyn Maintenance>,
    /// Forecasts, anomalies, recommendations, jobs.
    pub insight: Arc<dyn Insight>,
    /// The application's own metrics.
    pub telemetry: Arc<dyn Telemetry>,
    /// What is scraped; `None` when nothing is.
    pub targets: Option<Arc<dyn Targets>>,
    /// Events for `/api/live`; the application sends, the server subscribes once a client.
    pub live: tokio::sync::broadcast::Sender<LiveEvent>,
    /// Limits and texts.
    pub settings: Settings,
}

/// What the product has concluded. Lists come newest or most urgent first; the server pages them.
pub trait Insight: Send + Sync {
    /// Recommendations that pass `filter`.
    fn recommendations(&self, filter: &Filter) -> Vec<Recommendation>;

    /// One recommendation.
    fn recommendation(&self, id: &str) -> Option<Recommendation>;

    /// Notes a person's verdict on a recommendation, durably and with an audit record; the recommendation as it is then.
    ///
    /// # Errors
    /// [`AdviceError`]; nothing changed.
    fn judge(&self, id: &str, verdict: Verdict) -> Result<Recommendation, AdviceError>;

    /// Anomalies that pass `filter`.
    fn anomalies(&self, filter: &Filter) -> Vec<Anomaly>;

    /// One anomaly.
    fn anomaly(&self, id: &str) -> Option<Anomaly>;

    /// The forecasts there are, the most interesting first: the page opens with the first one.
    fn forecasts(&self) -> Vec<ForecastSummary>;

    /// One forecast with its points. The server decimates for `width_px`, so points may come as stored.
    fn forecast(&self, id: &str) -> Option<ForecastChart>;

    /// Jobs as JSON objects with at least `id`; their other fields are the application's.
    fn jobs(&self) -> Vec<serde_json::Value>;

    /// Scaling policies as JSON objects with at least `id`.
    fn policies(&self) -> Vec<serde_json::Value>;
}
