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
use crate::parts::ScrapeTarget;
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

/// `GET /api/v1/targets[?state=active|dropped|any][&scrapePool=]`
pub(crate) async fn targets(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let is_wanted = match params.get("state") {
        None | Some("active" | "any") => true,
        Some("dropped") => false,
        Some(other) => {
            let message = format!("parameter `state`: `{other}` is not one of active, dropped, any");
            return Err(PromFault::bad_data(message));
        }
    };
    let all = app.parts.targets.as_ref().filter(|_| is_wanted).map(|targets| targets.targets()).unwrap_or_default();
    let pool = params.get("scrapePool");
    let active = all.iter().filter(|target| pool.is_none_or(|pool| pool == target.pool)).map(target_json);
    Ok(success(json!({ "activeTargets": active.collect::<Vec<_>>(), "droppedTargets": [] })))
}

fn target_json(target: &ScrapeTarget) -> serde_json::Value {
    let labels: BTreeMap<_, _> = target.labels.iter().map(|(name, value)| (name, value)).collect();
    json!({
        "discoveredLabels": labels,
        "labels": labels,
        "scrapePool": target.pool,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": target.last_error,
        // A target that was never scraped has the zero time of Prometheus' own language.
        "lastScrape": target.last_scrape.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string()),
        "lastScrapeDuration": target.last_duration.as_secs_f64(),
        "health": target.health.as_str(),
        "scrapeInterval": target.interval.to_string(),
        "scrapeTimeout": target.timeout.to_string(),
    })
}
