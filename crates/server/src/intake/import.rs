//! `POST /api/v1/import/…`: samples of any age, as text or as remote-write messages.
//!
//! What is imported may be older than the out-of-order window allows and is still stored once: a repeat replaces. Answers
//! as remote write: 204 all durable, 400 partly refused with counts and reasons, 413, 415, 429, 503.

use axum::extract::{Request, State as Extract};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use bytes::Bytes;

use ingest::{Decoded, Decoder, IngestError, RequestHead, TextFormat, TextOptions};
use series::{Appended, Batch, Timestamp};

use super::{Protocol, append, read, receive};
use crate::fault::Fault;
use crate::form::Params;
use crate::state::{App, State};
use crate::write::{self, Refusals};

const PROTOCOL: Protocol = Protocol::Import;

/// What the query string of a text import says.
struct TextRequest {
    format: TextFormat,
    default_at: Timestamp,
    extra_labels: Vec<(String, String)>,
}

/// `POST /api/v1/import/prometheus`: the Prometheus text format or OpenMetrics, by content type.
pub(crate) async fn text(Extract(app): Extract<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    answer(&app, imported_text(&app, &head, body).await)
}

/// `POST /api/v1/import/write`: a remote write 1.0 message.
pub(crate) async fn message(Extract(app): Extract<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    answer(&app, imported_message(&app, &head, body).await)
}

fn answer(app: &App, imported: Result<(Appended, Refusals), Fault>) -> Response {
    match imported {
        Ok((appended, refusals)) => {
            app.intake.metrics.wrote(PROTOCOL, appended.samples, refusals.samples());
            write::finished(&appended, &refusals, false)
        }
        Err(fault) => fault.into_text(),
    }
}

async fn imported_text(app: &App, head: &Head, body: axum::body::Body) -> Result<(Appended, Refusals), Fault> {
    let asked = TextRequest::of(app, head)?;
    let (_admitted, bytes) = receive(app, &head.headers, body).await?;
    let (headers, n_bytes) = (head.headers.clone(), bytes.len());
    let work = move |state: &State| decode_text(state, &headers, &asked, &bytes);
    let (decoded, batch) = read(app, PROTOCOL, n_bytes, work).await?;
    finish(app, decoded, batch).await
}

async fn imported_message(app: &App, head: &Head, body: axum::body::Body) -> Result<(Appended, Refusals), Fault> {
    let (_admitted, bytes) = receive(app, &head.headers, body).await?;
    let (headers, n_bytes) = (head.headers.clone(), bytes.len());
    let work = move |state: &State| decode_message(state, &headers, &bytes);
    let (decoded, batch) = read(app, PROTOCOL, n_bytes, work).await?;
    finish(app, decoded, batch).await
}

async fn finish(app: &App, decoded: Decoded, batch: Batch) -> Result<(Appended, Refusals), Fault> {
    let appended = append(&app.parts.import, batch).await?;
    let refusals = Refusals::new(write::refusals(decoded), appended.rejected.clone());
    Ok((appended, refusals))
}

fn decode_text(
    state: &State,
    headers: &HeaderMap,
    asked: &TextRequest,
    body: &Bytes,
) -> Result<(Decoded, Batch), IngestError> {
    let plain = state.intake.plain(headers, body)?;
    let text = std::str::from_utf8(&plain).map_err(|err| IngestError::NotUtf8 { offset: err.valid_up_to() })?;
    let options = TextOptions::new(asked.format, asked.default_at, &asked.extra_labels);
    let mut batch = Batch::default();
    let decoded = ingest::parse_text(text, &options, state.intake.limits(), &mut batch)?;
    Ok((decoded, batch))
}

fn decode_message(state: &State, headers: &HeaderMap, body: &Bytes) -> Result<(Decoded, Batch), IngestError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let head = RequestHead {
        content_type: text(header::CONTENT_TYPE),
        content_encoding: text(header::CONTENT_ENCODING),
        version: text(HeaderName::from_static("x-prometheus-remote-write-version")),
    };
    let mut batch = Batch::default();
    let decoded = Decoder::new(state.intake.limits().clone()).decode(&head, body, &mut batch)?;
    Ok((decoded, batch))
}

impl TextRequest {
    fn of(app: &App, head: &Head) -> Result<Self, Fault> {
        let params = Params::parse(head.uri.query().unwrap_or(""))?;
        let default_at = match params.get("timestamp") {
            None => app.parts.clock.now(),
            Some(text) => text.parse().map(Timestamp).map_err(|_| {
                Fault::bad_request(format!("parameter `timestamp`: `{text}` is not a whole number of milliseconds"))
            })?,
        };
        let mut extra_labels = Vec::new();
        for text in params.all("extra_label") {
            let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) =
                pair.ok_or_else(|| Fault::bad_request(format!("parameter `extra_label`: `{text}` is not name=value")))?;
            extra_labels.push((name.to_owned(), value.to_owned()));
        }
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Self { format: TextFormat::of(content_type), default_at, extra_labels })
    }
}
