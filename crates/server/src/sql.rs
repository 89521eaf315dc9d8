//! `GET|POST /api/sql` and `/api/tables`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use crate::body::{self, BodyLimit};
use crate::fault::Fault;
use crate::form::{Params, media_type};
use crate::gate::{CancelOnDrop, GateError};
use crate::parts::{BytesStream, SqlAnswer, SqlFormat, SqlRequest};
use crate::prom::time;
use crate::state::{App, State};

/// Longest statement.
const SQL_BYTES_MAX: usize = 64 << 10;

/// `GET /api/sql?q=…`: read-only like every statement here.
pub(crate) async fn by_get(
    app: Extract<App>,
    headers: HeaderMap,
    params: Result<Params, Fault>,
) -> Result<Response, Fault> {
    answer(&app, &headers, Asked::from_params(&params?)?).await
}

/// `POST /api/sql`: a form, a JSON object with the same names, or the bare statement.
pub(crate) async fn by_post(Extract(app): Extract<App>, request: Request) -> Result<Response, Fault> {
    let headers = request.headers().clone();
    let asked = match media_type(&headers).as_str() {
        "application/x-www-form-urlencoded" => Asked::from_params(&Params::from_request(request, &app).await?)?,
        "application/json" => from_json(&text(&app, request).await?)?,
        "application/sql" | "text/plain" | "" => {
            let params = Params::parse(request.uri().query().unwrap_or(""))?;
            Asked { q: Some(text(&app, request).await?), ..Asked::from_params(&params)? }
        }
        other => {
            let message = format!("content type {other} is not understood");
            let fault = Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message);
            return Err(fault.hint("send application/json, application/sql or a form"));
        }
    };
    answer(&app, &headers, asked).await
}

/// `GET /api/tables`
pub(crate) async fn tables(Extract(app): Extract<App>) -> Result<Json<Value>, Fault> {
    let tables = tokio::time::timeout(app.parts.settings.query_timeout, app.parts.sql.tables()).await;
    let tables = tables.map_err(|_| Fault::busy("listing tables took too long"))??;
    Ok(Json(json!({ "items": tables })))
}

/// Parameters, named alike in a query string, a form and JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(alias = "query", alias = "sql")]
    q: Option<String>,
    format: Option<String>,
    limit: Option<usize>,
    timeout: Option<String>,
}

impl Asked {
    fn from_params(params: &Params) -> Result<Self, Fault> {
        let text = |name: &str| params.get(name).map(str::to_owned);
        let q = text("q").or_else(|| text("query")).or_else(|| text("sql"));
        Ok(Self { q, format: text("format"), limit: params.number("limit")?, timeout: text("timeout") })
    }
}

fn from_json(text: &str) -> Result<Asked, Fault> {
    serde_json::from_str(text).map_err(|err| {
        Fault::bad_request(format!("body: {err}")).hint(r#"send {"q": "SELECT 1", "format": "json", "limit": 100}"#)
    })
}

async fn text(app: &State, request: Request) -> Result<String, Fault> {
    // JSON escapes may double a statement.
    let limit = BodyLimit { bytes_max: 2 * SQL_BYTES_MAX, timeout: app.parts.settings.body_timeout };
    let bytes = body::read(request.into_body(), 0, limit).await?;
    String::from_utf8(bytes.into()).map_err(|_| Fault::bad_request("body is not UTF-8"))
}

async fn answer(app: &App, headers: &HeaderMap, asked: Asked) -> Result<Response, Fault> {
    let settings = &app.parts.settings;
    let timeout = match asked.timeout.as_deref() {
        None => settings.query_timeout,
        Some(text) => time::timeout(&Params::parse(&format!("timeout={text}"))?, settings.query_timeout)?,
    };
    let deadline = tokio::time::Instant::now() + timeout;
    let cancel = Arc::new(AtomicBool::new(false));
    let request = SqlRequest {
        sql: statement(asked.q)?,
        format: format(asked.format.as_deref(), headers)?,
        limit: asked.limit.unwrap_or(usize::MAX).min(settings.sql_rows_max),
        truncate: asked.limit.is_some_and(|limit| limit <= settings.sql_rows_max),
        deadline: deadline.into_std(),
        cancel: Arc::clone(&cancel),
    };
    let held = Held { _slot: app.gate.enter(deadline).await.map_err(gate_fault)?, _cancel: CancelOnDrop(cancel) };
    let started = tokio::time::timeout_at(deadline, async {
        let mut answer = app.parts.sql.query(request).await?;
        // The first chunk is awaited before the head is sent, so that early faults still have a status of their own.
        let first = answer.body.next().await.transpose()?;
        Ok::<_, Fault>((answer, first))
    });
    let late = || {
        Fault::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            format!("query took longer than {} s", timeout.as_secs_f64()),
        )
    };
    let (SqlAnswer { content_type, body }, first) = started.await.map_err(|_| late())??;
    let first = futures::stream::iter(first.map(Ok));
    let body = Body::from_stream(held_by(first.chain(body).boxed(), held));
    let mut answer = body.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(answer)
}

/// What lives as long as the answer is being sent: the slot, and the flag that its end sets.
struct Held {
    _slot: OwnedSemaphorePermit,
    _cancel: CancelOnDrop,
}

fn held_by(body: BytesStream, held: Held) -> BytesStream {
    body.map(move |chunk| {
        let _alive = &held;
        chunk
    })
    .boxed()
}

fn statement(text: Option<String>) -> Result<String, Fault> {
    let sql = text.unwrap_or_default();
    if sql.trim().is_empty() {
        return Err(Fault::bad_request("parameter `q` is missing").hint("for instance /api/sql?q=SELECT+1"));
    }
    if sql.len() > SQL_BYTES_MAX {
        return Err(Fault::bad_request(format!(
            "statement has {} bytes; at most {SQL_BYTES_MAX} are taken",
            sql.len()
        )));
    }
    Ok(sql)
}

/// `format=` wins over `Accept`; an `Accept` without a known type means JSON.
fn format(word: Option<&str>, headers: &HeaderMap) -> Result<SqlFormat, Fault> {
    let Some(word) = word else {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        return Ok(SqlFormat::from_accept(accept).unwrap_or_default());
    };
    SqlFormat::from_word(word).ok_or_else(|| {
        Fault::bad_request(format!("parameter `format`: `{word}` is unknown"))
            .hint("json, jsonl, csv, arrow, parquet or md")
    })
}

fn gate_fault(err: GateError) -> Fault {
    Fault::busy(err.to_string())
}
