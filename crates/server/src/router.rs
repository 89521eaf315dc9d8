//! The route table.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, DefaultPredicate};

use crate::intake::{grpc, import, influx, otlp};
use crate::parts::Parts;
use crate::state::{App, State};
use crate::{advice, assets, chart_series, figures, guard, live, manage, missing, prom, sql, write};

/// Answers under this size are not worth compressing.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// All routes over `parts`. [`crate::serve`] adds what belongs to sockets; this alone is enough for tests.
pub fn router(parts: Parts) -> Router {
    routes(State::new(parts))
}

pub(crate) fn routes(app: App) -> Router {
    let compress = DefaultPredicate::new()
        .and(SizeAbove::new(COMPRESS_BYTES_MIN))
        .and(NotForContentType::const_new("application/vnd.apache"));
    Router::new()
        .merge(protocols())
        .nest("/prometheus", protocols())
        .merge(own())
        .merge(line_protocol())
        .route("/v1/metrics", post(otlp::http))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(grpc::export))
        .merge(page())
        .fallback(missing::not_found)
        .method_not_allowed_fallback(missing::wrong_method)
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(compress))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .layer(CatchPanicLayer::custom(guard::Panicked(Arc::clone(&app))))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), guard::finish))
        .with_state(app)
}

/// Routes of Prometheus' protocols: the same with and without a prefix.
fn protocols() -> Router<App> {
    prom::routes()
        .route("/api/v1/write", post(write::remote_write))
        .route("/api/v1/push", post(write::remote_write))
        .route("/api/v1/import/prometheus", post(import::text))
        .route("/api/v1/otlp/v1/metrics", post(otlp::http))
        .route("/-/healthy", get(manage::healthy))
        .route("/-/ready", get(manage::ready))
        .route("/metrics", get(manage::metrics))
}

/// Routes of InfluxDB's writers.
fn line_protocol() -> Router<App> {
    Router::new()
        .route("/write", post(influx::v1))
        .route("/api/v2/write", post(influx::v2))
        .route("/api/v3/write_lp", post(influx::v3))
        .route("/ping", get(influx::ping))
        .route("/health", get(influx::health))
}

/// Our own API.
fn own() -> Router<App> {
    Router::new()
        .route("/-/flush", post(manage::flush))
        .route("/api/v1/import/write", post(import::message))
        .route("/-/backup", post(manage::backup))
        .route("/api/sql", get(sql::by_get).post(sql::by_post))
        .route("/api/tables", get(sql::tables))
        .route("/api/series", get(chart_series::columns))
        .route("/api/recommendations", get(advice::recommendations))
        .route("/api/recommendations/{id}", get(advice::recommendation))
        .route("/api/recommendations/{id}/apply", post(advice::apply))
        .route("/api/recommendations/{id}/dismiss", post(advice::dismiss))
        .route("/api/anomalies", get(advice::anomalies))
        .route("/api/anomalies/{id}", get(advice::anomaly))
        .route("/api/forecasts", get(advice::forecasts))
        .route("/api/forecasts/{id}", get(advice::forecast))
        .route("/api/jobs", get(advice::jobs))
        .route("/api/scaling/policies", get(advice::policies))
        .route("/api/figures", get(figures::list))
        .route("/api/figures/{kind}", get(figures::figure))
        .route("/api/pulse", get(live::pulse))
        .route("/api/live", get(live::events))
}

/// The page and what it loads.
fn page() -> Router<App> {
    Router::new().route("/", get(assets::index)).route("/assets/{*path}", get(assets::asset))
}
