//! HTTP: remote write, the Prometheus API, SQL, our own API, the page and its charts.
//!
//! ```text
//!   socket ─▶ serve (limits, time-outs, drain) ─▶ guard ─▶ router ─┬─▶ write ─▶ ingest ─▶ Append
//!                                                                  ├─▶ prom ──▶ promql ─▶ Select
//!                                                                  ├─▶ sql ───▶ SqlService
//!                                                                  ├─▶ advice, charts, live ─▶ Insight, Maintenance
//!                                                                  └─▶ assets (embedded page and chart script)
//! ```
//!
//! This room translates and decides nothing: what it serves comes through [`Parts`]. Every body, queue, answer and
//! connection is bounded by [`Settings`]; a panic becomes a 500; a client that goes away cancels its query.

mod advice;
mod assets;
mod body;
mod chart_series;
mod decimate;
mod exposition;
mod fault;
mod figures;
mod form;
mod gate;
mod guard;
mod idle;
mod intake;
mod live;
mod manage;
mod missing;
mod own_metrics;
mod parts;
mod preface;
mod prom;
mod pulse;
mod router;
mod serve;
mod settings;
mod sql;
mod state;
mod wire;
mod write;

pub use parts::{
    AdminError, AdviceError, Alarm, Anomaly, AnomalyKind, Band, BytesStream, Confidence, Copies, Filter, FlushReport,
    ForecastChart, ForecastSummary, Health, HostLoad, IngestStats, Insight, Level, LiveEvent, LiveKind, Maintenance,
    MaintenanceError, Mark, MetricFamily, MetricKind, MetricSample, Parts, Readiness, Recommendation, Saving,
    ScrapeTarget, SeriesStats, SqlAnswer, SqlFailure, SqlFault, SqlFormat, SqlRequest, SqlService, TableColumn,
    TableInfo, Tally, Targets, Telemetry, Threshold, Verdict,
};
pub use prom::promql_value;
pub use router::router;
pub use serve::{ServerError, serve};
pub use settings::Settings;
