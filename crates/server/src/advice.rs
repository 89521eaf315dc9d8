//! Recommendations, anomalies, forecasts, jobs and policies: lists by page, items by id.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::form::Params;
use crate::parts::{AdviceError, Filter, Insight, Verdict};
use crate::state::App;

/// Items of a page when the caller names no limit, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;
/// Longest id looked up.
const ID_BYTES_MAX: usize = 256;

type Answer = Result<Json<Value>, Fault>;
type Id = Result<Path<String>, PathRejection>;
type Query = Result<Params, Fault>;

/// `GET /api/recommendations?kind=&state=&namespace=&target=&limit=&cursor=`
pub(crate) async fn recommendations(app: Extract<App>, params: Query) -> Answer {
    let params = params?;
    let filter = filter(&params);
    paged(app, &params, move |insight| insight.recommendations(&filter), |item| item.id.clone()).await
}

/// `GET /api/recommendations/{id}`
pub(crate) async fn recommendation(app: Extract<App>, id: Id) -> Answer {
    one(app, id, "recommendation", |insight, id| insight.recommendation(id)).await
}

/// `POST /api/recommendations/{id}/apply`: it has been carried out, by whoever did it.
pub(crate) async fn apply(app: Extract<App>, id: Id) -> Answer {
    judge(app, id, Verdict::Applied).await
}

/// `POST /api/recommendations/{id}/dismiss`: it is not wanted.
pub(crate) async fn dismiss(app: Extract<App>, id: Id) -> Answer {
    judge(app, id, Verdict::Dismissed).await
}

/// `GET /api/anomalies?kind=&state=&…`
pub(crate) async fn anomalies(app: Extract<App>, params: Query) -> Answer {
    let params = params?;
    let filter = filter(&params);
    paged(app, &params, move |insight| insight.anomalies(&filter), |item| item.id.clone()).await
}

/// `GET /api/anomalies/{id}`
pub(crate) async fn anomaly(app: Extract<App>, id: Id) -> Answer {
    one(app, id, "anomaly", |insight, id| insight.anomaly(id)).await
}

/// `GET /api/forecasts`
pub(crate) async fn forecasts(app: Extract<App>, params: Query) -> Answer {
    paged(app, &params?, |insight| insight.forecasts(), |item| item.id.clone()).await
}

/// `GET /api/forecasts/{id}`
pub(crate) async fn forecast(app: Extract<App>, id: Id) -> Answer {
    one(app, id, "forecast", |insight, id| insight.forecast(id)).await
}

/// `GET /api/jobs`
pub(crate) async fn jobs(app: Extract<App>, params: Query) -> Answer {
    paged(app, &params?, |insight| insight.jobs(), id_field).await
}

/// `GET /api/scaling/policies`
pub(crate) async fn policies(app: Extract<App>, params: Query) -> Answer {
    paged(app, &params?, |insight| insight.policies(), id_field).await
}

/// Runs on a blocking thread: the application may have to read.
pub(crate) async fn ask<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn Insight) -> T + Send + 'static,
) -> Result<T, Fault> {
    let state = Arc::clone(app);
    tokio::task::spawn_blocking(move || question(state.parts.insight.as_ref())).await.map_err(|join| {
        tracing::error!(error = %join, "insight panicked");
        Fault::internal("the request failed inside the server; the log has the reason")
    })
}

/// One page of a list: `{items, next, total}`; `next` is the `cursor` of the following page, or null.
async fn paged<T: Serialize + Send + 'static>(
    Extract(app): Extract<App>,
    params: &Params,
    list: impl FnOnce(&dyn Insight) -> Vec<T> + Send + 'static,
    id: fn(&T) -> String,
) -> Answer {
    let limit = params.number("limit")?.unwrap_or(PAGE);
    if limit == 0 || limit > PAGE_MAX {
        return Err(Fault::bad_request(format!("parameter `limit`: {limit} is not between 1 and {PAGE_MAX}")));
    }
    let cursor = params.get("cursor").map(str::to_owned);
    let items = ask(&app, list).await?;
    let from = match &cursor {
        None => 0,
        Some(cursor) => items.iter().position(|item| id(item) == *cursor).map(|at| at + 1).ok_or_else(|| {
            Fault::bad_request(format!("parameter `cursor`: `{cursor}` is no longer in the list"))
                .hint("start again without it")
        })?,
    };
    let page: Vec<&T> = items.iter().skip(from).take(limit).collect();
    let next = (from + page.len() < items.len()).then(|| page.last().map(|item| id(item))).flatten();
    Ok(Json(json!({ "items": page, "next": next, "total": items.len() })))
}

async fn one<T: Serialize + Send + 'static>(
    Extract(app): Extract<App>,
    id: Id,
    what: &str,
    find: impl FnOnce(&dyn Insight, &str) -> Option<T> + Send + 'static,
) -> Answer {
    let id = checked(id)?;
    let asked = id.clone();
    let found = ask(&app, move |insight| find(insight, &asked)).await?;
    Ok(Json(json!(found.ok_or_else(|| unknown(what, &id))?)))
}

async fn judge(Extract(app): Extract<App>, id: Id, verdict: Verdict) -> Answer {
    let id = checked(id)?;
    let asked = id.clone();
    let judged = ask(&app, move |insight| insight.judge(&asked, verdict)).await?;
    match judged {
        Ok(recommendation) => Ok(Json(json!(recommendation))),
        Err(AdviceError::Unknown) => Err(unknown("recommendation", &id)),
        Err(AdviceError::Over(why)) => Err(Fault::new(StatusCode::CONFLICT, "over", why)),
        Err(AdviceError::Failed(why)) => Err(Fault::busy(why)),
    }
}

fn checked(id: Id) -> Result<String, Fault> {
    let Path(id) = id.map_err(|err| Fault::bad_request(format!("id in the path: {err}")))?;
    if id.len() > ID_BYTES_MAX {
        return Err(Fault::bad_request(format!("id in the path is longer than {ID_BYTES_MAX} bytes")));
    }
    Ok(id)
}

fn unknown(what: &str, id: &str) -> Fault {
    Fault::not_found(format!("there is no {what} `{id}`")).hint("the list without an id shows what there is")
}

fn filter(params: &Params) -> Filter {
    let text = |name: &str| params.get(name).map(str::to_owned);
    Filter { kind: text("kind"), state: text("state"), namespace: text("namespace"), target: text("target") }
}

fn id_field(item: &Value) -> String {
    item["id"].as_str().unwrap_or_default().to_owned()
}
