//! `query`, `query_range`, `query_exemplars`, `format_query`.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;

use promql::{Answer, Expr, Options};
use series::{Millis, Step, Timestamp};

use super::envelope::{PromFault, success, success_bytes};
use super::render;
use super::run::{Bounds, on_blocking_thread};
use super::time;
use crate::fault::Fault;
use crate::form::Params;
use crate::state::{App, State};

/// `GET|POST /api/v1/query`
pub(crate) async fn instant(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let asked = Asked::read(&app, &params)?;
    let at = time::time(&params, "time")?.unwrap_or_else(|| app.parts.clock.now());
    answer(app, asked, move |state, expr, options| promql::instant(state.parts.select.as_ref(), expr, at, options))
        .await
}

/// `GET|POST /api/v1/query_range`
pub(crate) async fn range(app: Extract<App>, params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let (Extract(app), params) = (app, params?);
    let asked = Asked::read(&app, &params)?;
    let (start, end, step) = grid(&params, app.parts.settings.query_points_max)?;
    answer(app, asked, move |state, expr, options| {
        promql::range(state.parts.select.as_ref(), expr, start, end, step, options)
    })
    .await
}

/// `GET|POST /api/v1/format_query`
pub(crate) async fn format(params: Result<Params, Fault>) -> Result<Response, PromFault> {
    let params = params?;
    Ok(success(parse(required(&params, "query")?)?.to_string()))
}

/// What both kinds of query take.
struct Asked {
    text: Arc<str>,
    expr: Expr,
    timeout: std::time::Duration,
    lookback: Millis,
    limit: Option<usize>,
    stats: bool,
    partial: bool,
}

impl Asked {
    fn read(state: &State, params: &Params) -> Result<Self, PromFault> {
        let settings = &state.parts.settings;
        let lookback = match time::duration(params, "lookback_delta")? {
            Some(span) if span.0 > 0 => span,
            Some(span) => {
                return Err(PromFault::bad_data(format!("parameter `lookback_delta`: {span} is not positive")));
            }
            None => Millis(settings.lookback.as_millis() as i64),
        };
        let text = required(params, "query")?;
        Ok(Self {
            expr: parse(text)?,
            text: Arc::from(text),
            timeout: time::timeout(params, settings.query_timeout)?,
            lookback,
            limit: params.number("limit")?,
            stats: params.get("stats").is_some(),
            partial: params.flag("partial_ok").map_err(PromFault::from)?,
        })
    }
}

async fn answer(
    app: App,
    asked: Asked,
    eval: impl FnOnce(&State, &Expr, &Options) -> Result<Answer, promql::EvalError> + Send + 'static,
) -> Result<Response, PromFault> {
    let state = Arc::clone(&app);
    let timeout = asked.timeout;
    let body = on_blocking_thread(&app, timeout, move |bounds| {
        let options = options(&state, &asked, bounds);
        let started = std::time::Instant::now();
        let answer = eval(&state, &asked.expr, &options)?;
        let stats = asked.stats.then(|| stats(&answer, started.elapsed()));
        Ok(render::answer(&answer, asked.limit, stats))
    });
    Ok(success_bytes(body.await?))
}

fn options(state: &State, asked: &Asked, bounds: &Bounds) -> Options {
    let settings = &state.parts.settings;
    Options {
        lookback: asked.lookback,
        samples_max: settings.query_samples_max as u64,
        series_max: settings.query_series_max,
        // A range of n steps has n + 1 points; the API's limit is on steps.
        points_max: settings.query_points_max.saturating_add(1),
        deadline: Some(bounds.deadline),
        cancel: Some(Arc::clone(&bounds.cancel)),
        threads: state.threads,
        text: Some(Arc::clone(&asked.text)),
        partial: asked.partial,
    }
}

/// Prometheus' shape of query statistics.
fn stats(answer: &Answer, elapsed: std::time::Duration) -> serde_json::Value {
    serde_json::json!({
        "timings": { "evalTotalTime": elapsed.as_secs_f64() },
        "samples": { "totalQueryableSamples": answer.stats.samples_read, "peakSamples": answer.stats.samples_read },
    })
}

fn parse(query: &str) -> Result<Expr, PromFault> {
    promql::parse(query).map_err(|err| PromFault::bad_data(format!("parameter `query`: {err}")))
}

pub(super) fn required<'a>(params: &'a Params, name: &str) -> Result<&'a str, PromFault> {
    params.get(name).ok_or_else(|| PromFault::bad_data(format!("parameter `{name}` is missing")))
}

/// Start, end and step of a range query, with the bound on points checked before any work.
fn grid(params: &Params, points_max: usize) -> Result<(Timestamp, Timestamp, Step), PromFault> {
    let missing = |name| PromFault::bad_data(format!("parameter `{name}` is missing"));
    let start = time::time(params, "start")?.ok_or_else(|| missing("start"))?;
    let end = time::time(params, "end")?.ok_or_else(|| missing("end"))?;
    let span = time::duration(params, "step")?.ok_or_else(|| missing("step"))?;
    if end < start {
        return Err(PromFault::bad_data(format!("parameter `end`: {end} is before the start {start}")));
    }
    let step = Step::new(span.0)
        .ok_or_else(|| PromFault::bad_data(format!("parameter `step`: {span} is not positive; try 15s")))?;
    let n_steps = (end - start).0 / step.millis();
    if usize::try_from(n_steps).unwrap_or(usize::MAX) > points_max {
        let message = format!(
            "{n_steps} steps of {span} between start and end exceed the limit of {points_max} points a series; use a larger step"
        );
        return Err(PromFault::bad_data(message));
    }
    Ok((start, end, step))
}
