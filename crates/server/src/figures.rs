//! `GET /api/figures/{kind}`: charts as Plotly figures `{data, layout, config, meta}`, made with the typed `plotly` crate.
//!
//! The page hands them to `Plotly.react` as they are; reports and notebooks take the same figures. `meta` holds the title
//! and a sentence that says what the chart shows, for readers who do not see it. Texts that came from outside pass
//! [`words::plain`], because Plotly reads a subset of HTML in every text.

mod forecast;
mod lines;
mod style;
pub(crate) mod words;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};
use plotly::configuration::ModeBarButtonName;
use plotly::{Configuration, Plot};
use serde_json::{Value, json};

use crate::advice::ask;
use crate::chart_series::{Asked, WIDTH_PX, bounded, lines};
use crate::fault::Fault;
use crate::form::Params;
use crate::state::App;
use style::Theme;

/// Kinds with what they show.
const KINDS: [(&str, &str); 4] = [
    ("forecast", "past, quantile bands, now-line and anomalies of one forecast: id, width, theme"),
    ("ingest", "samples per second of the last ten minutes: theme"),
    ("host", "processor use of the last ten minutes: theme"),
    ("series", "stored series: match[], start, end, width, limit, theme"),
];
/// Widest chart in pixels.
const WIDTH_PX_MAX: usize = 4096;

/// A chart with the words around it.
struct Figure {
    plot: Plot,
    title: String,
    summary: String,
}

/// `GET /api/figures`
pub(crate) async fn list() -> Json<Value> {
    let items =
        KINDS.map(|(kind, about)| json!({ "kind": kind, "about": about, "path": format!("/api/figures/{kind}") }));
    Json(json!({ "items": items }))
}

/// `GET /api/figures/{kind}`
pub(crate) async fn figure(
    Extract(app): Extract<App>,
    kind: Result<Path<String>, PathRejection>,
    params: Result<Params, Fault>,
) -> Result<Json<Value>, Fault> {
    let Path(kind) = kind.map_err(|err| Fault::bad_request(format!("kind in the path: {err}")))?;
    let params = params?;
    let theme = theme(&params)?;
    let figure = match kind.as_str() {
        "forecast" => forecast_figure(&app, &params, theme).await?,
        "ingest" => lines::ingest(&app.pulses.history(), theme),
        "host" => lines::host(&app.pulses.history(), theme),
        "series" => {
            let (drawn, n_matched) = lines(&app, Asked::read(&app, &params)?).await?;
            lines::series(&drawn, n_matched, theme)
        }
        other => {
            let known = KINDS.map(|(kind, _)| kind).join(", ");
            return Err(Fault::not_found(format!("there is no figure `{other}`")).hint(format!("there are: {known}")));
        }
    };
    figure.into_json()
}

async fn forecast_figure(app: &App, params: &Params, theme: Theme) -> Result<Figure, Fault> {
    let width_px = bounded(params, "width", WIDTH_PX, WIDTH_PX_MAX)?;
    let id = params.get("id").map(str::to_owned);
    let asked = id.clone();
    let chart = ask(app, move |insight| {
        let id = asked.or_else(|| insight.forecasts().into_iter().next().map(|first| first.id));
        id.and_then(|id| insight.forecast(&id))
    });
    match (chart.await?, id) {
        (Some(chart), _) => Ok(forecast::figure(&chart, width_px, theme)),
        (None, Some(id)) => {
            Err(Fault::not_found(format!("there is no forecast `{id}`")).hint("GET /api/forecasts lists what there is"))
        }
        (None, None) => {
            Err(Fault::not_found("there is no forecast yet").hint("send samples; the first forecast follows"))
        }
    }
}

fn theme(params: &Params) -> Result<Theme, Fault> {
    match params.get("theme") {
        None | Some("light") => Ok(Theme::Light),
        Some("dark") => Ok(Theme::Dark),
        Some(other) => Err(Fault::bad_request(format!("parameter `theme`: `{other}` is neither light nor dark"))),
    }
}

impl Figure {
    fn into_json(mut self) -> Result<Json<Value>, Fault> {
        self.plot.set_configuration(configuration());
        let mut value = serde_json::to_value(&self.plot).map_err(|err| Fault::internal(format!("figure: {err}")))?;
        value["meta"] = json!({ "title": self.title, "summary": self.summary });
        Ok(Json(value))
    }
}

fn configuration() -> Configuration {
    Configuration::new()
        .responsive(true)
        .display_logo(false)
        // Saving as an image draws through a blob, which our content policy forbids.
        .mode_bar_buttons_to_remove(vec![
            ModeBarButtonName::ToImage,
            ModeBarButtonName::Lasso2d,
            ModeBarButtonName::Select2d,
            ModeBarButtonName::AutoScale2d,
        ])
}
