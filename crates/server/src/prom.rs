//! The Prometheus HTTP API: the same routes under no prefix and under `/prometheus`.
//!
//! Envelope, error words and number texts follow the documented API, so that Grafana and other clients of Prometheus
//! work unchanged.

mod admin;
mod discover;
mod envelope;
mod escape;
mod exemplars;
mod query;
mod render;
mod run;
mod status;
pub(crate) mod time;

use axum::Router;
use axum::routing::{get, post};

use crate::state::App;

pub(crate) use discover::selector;
pub(crate) use envelope::{PromFault, PromKind};
pub use render::promql_value;
pub(crate) use run::{Bounds, on_blocking_thread};

/// Routes below `/api/v1`.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route("/api/v1/admin/tsdb/clean_tombstones", post(admin::clean_tombstones).put(admin::clean_tombstones))
        .route("/api/v1/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/api/v1/format_query", get(query::format).post(query::format))
        .route("/api/v1/series", get(discover::series).post(discover::series))
        .route("/api/v1/labels", get(discover::labels).post(discover::labels))
        .route("/api/v1/label/{name}/values", get(discover::label_values))
        .route("/api/v1/metadata", get(discover::metadata))
        .route("/api/v1/rules", get(status::rules))
        .route("/api/v1/alerts", get(status::alerts))
        .route("/api/v1/targets", get(status::targets))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/tsdb", get(status::tsdb))
}
