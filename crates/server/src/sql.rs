//! `GET|POST /api/sql` and `/api/tables`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use crate::body::{self, BodyLimit};
use crate::fault::Fault;
use crate::form::{Params, media_type};
use crate::gate::GateError;
use crate::parts::{BytesStream, SqlAnswer, SqlFailure, SqlFault, SqlFormat, SqlRequest};
use crate::prom::time;
use crate::state::{App, State};

/// What an answer that was asked for with `partial_ok` may lack, a header a file.
const WARNING: &str = "x-foretide-warning";
const WARNINGS_MAX: usize = 20;
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
    #[serde(default)]
    partial_ok: bool,
}

impl Asked {
    fn from_params(params: &Params) -> Result<Self, Fault> {
        let text = |name: &str| params.get(name).map(str::to_owned);
        let q = text("q").or_else(|| text("query")).or_else(|| text("sql"));
        Ok(Self {
            q,
            format: text("format"),
            limit: params.number("limit")?,
            timeout: text("timeout"),
            partial_ok: params.flag("partial_ok")?,
        })
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
    let deadline = Instant::now() + timeout;
    let request = SqlRequest {
        sql: statement(asked.q)?,
        format: format(asked.format.as_deref(), headers)?,
        limit: asked.limit.unwrap_or(usize::MAX).min(settings.sql_rows_max),
        partial: asked.partial_ok,
        truncate: asked.limit.is_some_and(|limit| limit <= settings.sql_rows_max),
        deadline: deadline.into_std(),
    };
    let slot = app.gate.enter(deadline).await.map_err(gate_fault)?;
    let started = tokio::time::timeout_at(deadline, async {
        let mut answer = app.parts.sql.query(request).await?;
        // The first chunk is awaited before the head is sent, so that early faults still have a status of their own.
        let first = answer.body.next().await.transpose()?;
        Ok::<_, Fault>((answer, first))
    });
    let (SqlAnswer { content_type, body, warnings }, first) = started.await.map_err(|_| late(timeout))??;
    let first = futures::stream::iter(first.map(Ok));
    let body = Body::from_stream(ended_at(deadline, timeout, first.chain(body).boxed(), slot));
    let mut answer = body.into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for warning in warnings.iter().take(WARNINGS_MAX) {
        if let Ok(value) = HeaderValue::from_str(warning) {
            answer.headers_mut().append(WARNING, value);
        }
    }
    Ok(answer)
}

fn late(timeout: Duration) -> Fault {
    let message = format!("query took longer than {} s", timeout.as_secs_f64());
    Fault::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
}

/// The same body, cut with an error at the deadline. Query and slot are held by a task of their own and not by the answer:
/// a client that stops reading must not keep them.
fn ended_at(
    deadline: Instant,
    timeout: Duration,
    mut body: BytesStream,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, SqlFailure>> + Send {
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let (whole, ended) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let _slot = slot;
        let pump = async {
            while let Some(chunk) = body.next().await {
                if send.send(chunk).await.is_err() {
                    return;
                }
            }
            // Nobody left to tell: then nobody takes a part for the whole.
            let _ = whole.send(());
        };
        tokio::select! {
            () = pump => {}
            () = send.closed() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    });
    let cut = async move {
        ended.await.is_err().then(|| {
            let message = late(timeout).message;
            Err(SqlFailure { fault: SqlFault::Timeout, message, hint: None, line: None, column: None })
        })
    };
    ReceiverStream::new(receive).chain(futures::stream::once(cut).filter_map(std::future::ready))
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
