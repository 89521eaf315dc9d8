//! `status/*`, `rules`, `alerts`, `targets`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use serde_json::json;

use super::envelope::{PromFault, success};
use super::run::on_blocking_thread;
use crate::fault::Fault;
use crate::form::Params;
use crate::state::App;

/// The Prometheus release whose API we follow. Clients compare it: below 2.24 Grafana falls back to old calls. There is
/// no `features` field, which would make Grafana take us for a Mimir with an editable ruler.
const PROMETHEUS_VERSION: &str = "3.12.0";
/// Entries of each cardinality list when the caller names none, and at most.
const TSDB_LIMIT: usize = 10;
const TSDB_LIMIT_MAX: usize = 10_000;

/// `GET /api/v1/status/buildinfo`
pub(crate) async fn build_info(Extract(app): Extract<App>) -> Response {
    let settings = &app.parts.settings;
    success(json!({
        "version": PROMETHEUS_VERSION,
        "revision": settings.revision,
        "branch": "",
        "buildUser": format!("foretide {}", settings.version),
        "buildDate": "",
        "goVersion": "",
    }))
}

/// `GET /api/v1/status/runtimeinfo`
pub(crate) async fn runtime_info(Extract(app): Extract<App>) -> Response {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    success(json!({
        "startTime": app.started.to_string(),
        "CWD": "",
        "hostname": "",
        "serverTime": app.parts.clock.now().to_string(),
        "reloadConfigSuccess": true,
        "lastConfigTime": app.started.to_string(),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": app.parts.maintenance.retention(),
    }))
}

/// `GET /api/v1/status/flags`
pub(crate) async fn flags(Extract(app): Extract<App>) -> Response {
    success(app.parts.maintenance.flags().into_iter().collect::<BTreeMap<_, _>>())
}

/// `GET /api/v1/status/tsdb`
pub(crate) async fn tsdb(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let limit = params.number("limit")?.unwrap_or(TSDB_LIMIT);
    if limit == 0 || limit > TSDB_LIMIT_MAX {
        return Err(PromFault::bad_data(format!("parameter `limit`: {limit} is not between 1 and {TSDB_LIMIT_MAX}")));
    }
    let (state, timeout) = (Arc::clone(&app), app.parts.settings.query_timeout);
    let stats = on_blocking_thread(&app, timeout, move |_| Ok(state.parts.maintenance.series_stats(limit))).await?;
    let last = stats.range.end.0.saturating_sub(1).max(stats.range.start.0);
    Ok(success(json!({
        "headStats": {
            "numSeries": stats.series,
            "numLabelPairs": stats.label_pairs,
            "chunkCount": stats.chunks,
            "minTime": stats.range.start.0,
            "maxTime": last,
        },
        "seriesCountByMetricName": stats.by_metric,
        "labelValueCountByLabelName": stats.values_by_label,
        "memoryInBytesByLabelName": stats.bytes_by_label,
        "seriesCountByLabelValuePair": stats.by_pair,
    })))
}

/// `GET /api/v1/rules`
pub(crate) async fn rules() -> Response {
    success(json!({ "groups": [] }))
}

/// `GET /api/v1/alerts`
pub(crate) async fn alerts() -> Response {
    success(json!({ "alerts": [] }))
}

/// `GET /api/v1/targets`
pub(crate) async fn targets() -> Response {
    success(json!({ "activeTargets": [], "droppedTargets": [] }))
}
