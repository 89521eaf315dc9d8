//! `series`, `labels`, `label/{name}/values`, `metadata`: what there is to query.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use promql::{ExprKind, VectorSelector};
use series::{Labels, Matcher, Metadata, TimeRange, Timestamp};

use super::envelope::{PromFault, success, success_with};
use super::escape::unescape_name;
use super::run::on_blocking_thread;
use super::time;
use crate::fault::Fault;
use crate::form::Params;
use crate::state::{App, State};

/// `GET|POST /api/v1/series`
pub(crate) async fn series(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let asked = Asked::read(&app, &params?)?;
    if asked.selectors.is_empty() {
        return Err(PromFault::bad_data(
            "parameter `match[]` is missing; give at least one selector such as {job=\"api\"}",
        ));
    }
    listed(app, asked, |state, asked, limit| {
        let found = state.parts.select.series(&asked.selectors, asked.range, limit)?;
        Ok(found.iter().map(object).collect::<Vec<_>>())
    })
    .await
}

/// `GET|POST /api/v1/labels`
pub(crate) async fn labels(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let asked = Asked::read(&app, &params?)?;
    listed(app, asked, |state, asked, limit| {
        Ok(state.parts.select.label_names(&asked.selectors, asked.range, limit)?)
    })
    .await
}

/// `GET /api/v1/label/{name}/values`
pub(crate) async fn label_values(
    app: Extract<App>,
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
    params: Result<Params, Fault>,
) -> Result<Response, PromFault> {
    let Path(segment) = name.map_err(|err| PromFault::bad_data(format!("label name in the path: {err}")))?;
    let name = unescape_name(&segment);
    if name.is_empty() {
        return Err(PromFault::bad_data("label name in the path is empty"));
    }
    let asked = Asked::read(&app, &params?)?;
    listed(app, asked, move |state, asked, limit| {
        Ok(state.parts.select.label_values(&name, &asked.selectors, asked.range, limit)?)
    })
    .await
}

/// `GET /api/v1/metadata`
pub(crate) async fn metadata(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let limit = params.number("limit")?.unwrap_or(usize::MAX);
    let per_metric = params.number("limit_per_metric")?.filter(|n| *n > 0).unwrap_or(usize::MAX);
    let metric = params.get("metric").map(str::to_owned);
    let timeout = app.parts.settings.query_timeout;
    let state = Arc::clone(&app);
    let families = on_blocking_thread(&app, timeout, move |_| {
        Ok(families(state.parts.select.metadata(metric.as_deref()), limit, per_metric))
    });
    Ok(success(families.await?))
}

/// The matchers of one `match[]` text: a plain vector selector.
pub(crate) fn selector(text: &str) -> Result<Vec<Matcher>, PromFault> {
    let expr = promql::parse(text).map_err(|err| PromFault::bad_data(format!("selector `{text}`: {err}")))?;
    match expr.kind {
        ExprKind::Vector(VectorSelector { matchers, offset: None, at: None, extension: None }) => Ok(matchers),
        _ => Err(PromFault::bad_data(format!(
            "selector `{text}` is more than a selector; write for instance up{{job=\"api\"}}"
        ))),
    }
}

/// `match[]`, `start` and `end`.
pub(super) fn selectors_and_range(params: &Params) -> Result<(Vec<Vec<Matcher>>, TimeRange), PromFault> {
    let selectors = params.all("match[]").map(selector).collect::<Result<Vec<_>, _>>()?;
    let start = time::time(params, "start")?.unwrap_or(Timestamp::MIN);
    // The API's end is inclusive, ours is not.
    let end = time::time(params, "end")?.map_or(Timestamp::MAX, |end| Timestamp(end.0.saturating_add(1)));
    if end <= start {
        return Err(PromFault::bad_data(format!("parameter `end`: {end} is before the start {start}")));
    }
    Ok((selectors, TimeRange::new(start, end)))
}

/// What the three lists take.
struct Asked {
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    limit: usize,
    timeout: std::time::Duration,
}

impl Asked {
    fn read(state: &State, params: &Params) -> Result<Self, PromFault> {
        let (selectors, range) = selectors_and_range(params)?;
        let settings = &state.parts.settings;
        let limit = params.number("limit")?.filter(|n| *n > 0).unwrap_or(usize::MAX).min(settings.discovery_max);
        Ok(Self { selectors, range, limit, timeout: settings.query_timeout })
    }
}

/// Asks for one item more than allowed, to know whether something was left out.
async fn listed<T: Serialize + Send + 'static>(
    Extract(app): Extract<App>,
    asked: Asked,
    list: impl FnOnce(&State, &Asked, usize) -> Result<Vec<T>, PromFault> + Send + 'static,
) -> Result<Response, PromFault> {
    let (state, timeout) = (Arc::clone(&app), asked.timeout);
    let answer = on_blocking_thread(&app, timeout, move |_| {
        let mut items = list(&state, &asked, asked.limit.saturating_add(1))?;
        let cut = items.len() > asked.limit;
        items.truncate(asked.limit);
        let warnings = if cut { vec!["results truncated due to limit".to_owned()] } else { Vec::new() };
        Ok(success_with(items, &warnings))
    });
    answer.await
}

/// Labels as a JSON object, names in rising order.
pub(super) fn object(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn families(list: Vec<Metadata>, limit: usize, per_metric: usize) -> Value {
    let mut families: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for item in list {
        if families.len() >= limit && !families.contains_key(&item.metric) {
            continue;
        }
        let entries = families.entry(item.metric).or_default();
        if entries.len() < per_metric {
            entries.push(json!({ "type": item.kind.as_str(), "help": item.help, "unit": item.unit }));
        }
    }
    json!(families)
}
