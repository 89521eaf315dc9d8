//! `GET /api/series`: stored series as chart columns, decimated to the width of the chart.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use serde::Serialize;
use serde_json::{Value, json};

use series::{Columns, Matcher, Millis, SelectRequest, SeriesOrder, SeriesSet, TimeRange, Timestamp};

use crate::decimate::Decimator;
use crate::fault::Fault;
use crate::form::Params;
use crate::prom::{self, PromFault, PromKind, time};
use crate::state::{App, State};
use crate::wire;

/// Width of a chart when none is named, and at most.
pub(crate) const WIDTH_PX: usize = 800;
const WIDTH_PX_MAX: usize = 4096;
/// Series of one chart when no limit is named, and at most.
const SERIES: usize = 20;
const SERIES_MAX: usize = 200;
/// Time shown when no start is named.
const SPAN: Millis = Millis::from_hours(1);
/// Samples of at most this much time are in memory at once.
const WINDOW: Millis = Millis::from_days(2);
/// Most such windows: with an enormous range they grow instead of becoming many.
const WINDOWS_MAX: i64 = 64;

/// One series of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ChartLine {
    /// As PromQL writes it.
    pub(crate) name: String,
    #[serde(serialize_with = "wire::points")]
    pub(crate) points: Vec<(Timestamp, f64)>,
}

/// What is asked of the store.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    selectors: Vec<Vec<Matcher>>,
    pub(crate) range: TimeRange,
    pub(crate) width_px: usize,
    limit: usize,
}

/// `GET /api/series?match[]=&start=&end=&width=&limit=`
pub(crate) async fn columns(Extract(app): Extract<App>, params: Result<Params, Fault>) -> Result<Json<Value>, Fault> {
    let asked = Asked::read(&app, &params?)?;
    let (range, pixel_ms) = (asked.range, Decimator::new(asked.range, asked.width_px).pixel_ms());
    let (lines, n_matched) = lines(&app, asked).await?;
    Ok(Json(json!({
        "start": range.start.0, "end": range.end.0, "pixel_ms": pixel_ms, "matched": n_matched, "series": lines,
    })))
}

/// The decimated lines and how many series matched.
pub(crate) async fn lines(app: &App, asked: Asked) -> Result<(Vec<ChartLine>, usize), Fault> {
    let (state, timeout) = (Arc::clone(app), app.parts.settings.query_timeout);
    Ok(prom::on_blocking_thread(app, timeout, move |bounds| read_all(&state, &asked, bounds)).await?)
}

impl Asked {
    pub(crate) fn read(state: &State, params: &Params) -> Result<Self, Fault> {
        let texts = params.all("match[]").chain(params.all("match"));
        let selectors = texts.map(prom::selector).collect::<Result<Vec<_>, _>>()?;
        if selectors.is_empty() {
            let fault = Fault::bad_request("parameter `match[]` is missing");
            return Err(fault.hint("give a selector such as http_requests_total{job=\"api\"}"));
        }
        let end = time::time(params, "end")?.unwrap_or_else(|| state.parts.clock.now());
        let start = time::time(params, "start")?.unwrap_or(end - SPAN);
        let range = TimeRange::new(start, end);
        if range.is_empty() {
            return Err(Fault::bad_request(format!("parameter `end`: {end} is not after the start {start}")));
        }
        let width_px = bounded(params, "width", WIDTH_PX, WIDTH_PX_MAX)?;
        Ok(Self { selectors, range, width_px, limit: bounded(params, "limit", SERIES, SERIES_MAX)? })
    }
}

/// A number from 1 to `most`.
pub(crate) fn bounded(params: &Params, name: &str, default: usize, most: usize) -> Result<usize, Fault> {
    let value = params.number(name)?.unwrap_or(default);
    if value == 0 || value > most {
        return Err(Fault::bad_request(format!("parameter `{name}`: {value} is not between 1 and {most}")));
    }
    Ok(value)
}

fn read_all(state: &State, asked: &Asked, bounds: &prom::Bounds) -> Result<(Vec<ChartLine>, usize), PromFault> {
    let (mut lines, mut n_matched, mut n_samples) = (Vec::new(), 0, 0);
    for matchers in &asked.selectors {
        let series_max = state.parts.settings.query_series_max;
        let set = state.parts.select.select(&SelectRequest {
            matchers,
            range: asked.range,
            series_max,
            order: SeriesOrder::Labels,
        })?;
        n_matched += set.len();
        for i in 0..set.len().min(asked.limit.saturating_sub(lines.len())) {
            let points = read_one(set.as_ref(), i, asked, bounds, &mut n_samples)?;
            lines.push(ChartLine { name: set.labels(i).to_string(), points });
            if n_samples > state.parts.settings.query_samples_max {
                let message = format!("more than {n_samples} samples to read; choose a shorter range or fewer series");
                return Err(PromFault::new(PromKind::Execution, message));
            }
        }
    }
    Ok((lines, n_matched))
}

fn read_one(
    set: &dyn SeriesSet,
    i: usize,
    asked: &Asked,
    bounds: &prom::Bounds,
    n_samples: &mut usize,
) -> Result<Vec<(Timestamp, f64)>, PromFault> {
    let (mut decimator, mut samples) = (Decimator::new(asked.range, asked.width_px), Columns::default());
    let window = Millis(WINDOW.0.max((asked.range.end - asked.range.start).0 / WINDOWS_MAX));
    let mut from = asked.range.start;
    while from < asked.range.end {
        bounds.check()?;
        let to = (from + window).min(asked.range.end);
        samples.clear();
        set.read(i, TimeRange::new(from, to), &mut samples)?;
        *n_samples += samples.len();
        samples.iter().for_each(|(at, value)| decimator.push(at, value));
        from = to;
    }
    Ok(decimator.finish())
}
