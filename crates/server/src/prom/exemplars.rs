//! `query_exemplars`: the exemplars of the series that a query reads.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use serde_json::{Value, json};

use promql::format_number;
use series::{Exemplar, Matcher, SeriesExemplars, TimeRange};

use super::discover::{object, selectors_and_range};
use super::envelope::{PromFault, success};
use super::query::required;
use super::run::on_blocking_thread;
use crate::fault::Fault;
use crate::form::Params;
use crate::state::App;

/// `GET|POST /api/v1/query_exemplars`
pub(crate) async fn exemplars(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let query = required(&params, "query")?;
    let expr = promql::parse(query).map_err(|err| PromFault::bad_data(format!("parameter `query`: {err}")))?;
    let selectors: Vec<Vec<Matcher>> = promql::selectors(&expr).into_iter().map(<[Matcher]>::to_vec).collect();
    let (_, range) = selectors_and_range(&params)?;
    let (state, timeout) = (Arc::clone(&app), app.parts.settings.query_timeout);
    let found = on_blocking_thread(&app, timeout, move |bounds| {
        bounds.check()?;
        // Without a selector nothing is asked for, while the store would take an empty list for everything.
        let found = if selectors.is_empty() { Vec::new() } else { select(&state, &selectors, range)? };
        Ok(found.iter().map(item).collect::<Vec<_>>())
    });
    Ok(success(found.await?))
}

fn select(state: &App, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Vec<SeriesExemplars>, PromFault> {
    Ok(state.parts.select.exemplars(selectors, range)?)
}

fn item(found: &SeriesExemplars) -> Value {
    let exemplar = |one: &Exemplar| {
        let seconds = one.at.0 as f64 / 1000.0;
        json!({ "labels": object(&one.labels), "value": format_number(one.value), "timestamp": seconds })
    };
    let exemplars: Vec<Value> = found.exemplars.iter().map(exemplar).collect();
    json!({ "seriesLabels": object(&found.labels), "exemplars": exemplars })
}
