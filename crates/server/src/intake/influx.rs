//! Influx line protocol: `/write` (1.x), `/api/v2/write`, `/api/v3/write_lp`, and what its clients ask beside.
//!
//! 204 all durable · 400 some lines refused (the others are written), with line numbers · 413 · 415 · 429 · 503. Database,
//! organisation, bucket and credentials are read by nobody: there is one store. Each version has its own error object.

use axum::Json;
use axum::extract::{Request, State as Extract};
use axum::http::request::Parts as Head;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use ingest::{InfluxOptions, InfluxOutcome, Precision};
use series::{Appended, Batch};

use super::{Protocol, append, is_series_limit, n_rejected, read, receive, rejected_text};
use crate::fault::{Fault, set_retry_after};
use crate::form::Params;
use crate::state::{App, State};

const PROTOCOL: Protocol = Protocol::Influx;
/// Refused lines spelled out in a message; all that are known are in version 3's list.
const LINES_SHOWN: usize = 3;
/// Seconds until a sender may offer new series again.
const SERIES_LIMIT_RETRY_S: u32 = 60;
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-influxdb-version");
const BUILD_HEADER: HeaderName = HeaderName::from_static("x-influxdb-build");

/// Whose words are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V1,
    V2,
    V3,
}

/// What became of a request that could be read.
struct Written {
    outcome: InfluxOutcome,
    appended: Appended,
}

/// `POST /write?db&precision`
pub(crate) async fn v1(app: Extract<App>, request: Request) -> Response {
    write(app, request, Dialect::V1).await
}

/// `POST /api/v2/write?org&bucket&precision`
pub(crate) async fn v2(app: Extract<App>, request: Request) -> Response {
    write(app, request, Dialect::V2).await
}

/// `POST /api/v3/write_lp?db&precision&accept_partial`
pub(crate) async fn v3(app: Extract<App>, request: Request) -> Response {
    write(app, request, Dialect::V3).await
}

/// `GET|HEAD /ping`
pub(crate) async fn ping(Extract(app): Extract<App>) -> Response {
    let mut answer = StatusCode::NO_CONTENT.into_response();
    let version = HeaderValue::from_str(&app.parts.settings.version);
    answer.headers_mut().insert(VERSION_HEADER, version.unwrap_or(HeaderValue::from_static("unknown")));
    answer.headers_mut().insert(BUILD_HEADER, HeaderValue::from_static("foretide"));
    answer
}

/// `GET /health`
pub(crate) async fn health(Extract(app): Extract<App>) -> Response {
    let ready = app.parts.maintenance.ready();
    let (status, word) = if ready.ready { (StatusCode::OK, "pass") } else { (StatusCode::SERVICE_UNAVAILABLE, "fail") };
    let body = json!({
        "name": "foretide",
        "status": word,
        "message": ready.phase,
        "checks": [],
        "version": app.parts.settings.version,
    });
    (status, Json(body)).into_response()
}

async fn write(Extract(app): Extract<App>, request: Request, dialect: Dialect) -> Response {
    let (head, body) = request.into_parts();
    match written(&app, &head, body, dialect).await {
        Ok(written) => {
            let refused = written.outcome.decoded.samples_refused() + n_rejected(&written.appended);
            app.intake.metrics.wrote(PROTOCOL, written.appended.samples, refused);
            written.answer(dialect)
        }
        Err(fault) => dialect.failed(fault),
    }
}

async fn written(app: &App, head: &Head, body: axum::body::Body, dialect: Dialect) -> Result<Written, Fault> {
    let params = Params::parse(head.uri.query().unwrap_or(""))?;
    let options = InfluxOptions { precision: dialect.precision(&params)?, default_at: app.parts.clock.now() };
    let (_admitted, bytes) = receive(app, &head.headers, body).await?;
    let (headers, n_bytes) = (head.headers.clone(), bytes.len());
    let work = move |state: &State| {
        let plain = state.intake.plain(&headers, &bytes)?;
        let mut batch = Batch::default();
        let outcome = ingest::parse_lines(&plain, options, state.intake.limits(), &mut batch)?;
        Ok((outcome, batch))
    };
    let (outcome, batch) = read(app, PROTOCOL, n_bytes, work).await?;
    if outcome.lines_refused > 0 && params.get("accept_partial") == Some("false") {
        return Ok(Written { outcome, appended: Appended::default() });
    }
    let appended = append(&app.parts.append, batch).await?;
    Ok(Written { outcome, appended })
}

impl Written {
    fn answer(&self, dialect: Dialect) -> Response {
        if self.outcome.lines_refused == 0 && self.appended.rejected.is_empty() {
            return StatusCode::NO_CONTENT.into_response();
        }
        let series_limit = is_series_limit(&self.appended);
        let status = if series_limit { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
        let body = dialect.error(status, &self.message(), &self.outcome);
        let mut answer = (status, Json(body)).into_response();
        set_retry_after(&mut answer, series_limit.then_some(SERIES_LIMIT_RETRY_S));
        answer
    }

    /// `partial write: 2 of 5 lines refused: line 3: there are no fields: "m"; …; 7 samples written`.
    fn message(&self) -> String {
        let InfluxOutcome { lines, lines_refused, faults, .. } = &self.outcome;
        let mut parts = Vec::new();
        if *lines_refused > 0 {
            parts.push(format!("{lines_refused} of {lines} lines refused"));
        }
        parts.extend(faults.iter().take(LINES_SHOWN).map(|fault| {
            let text: String = fault.text.chars().take(80).collect();
            format!("line {}: {}: {text:?}", fault.line, fault.why)
        }));
        if !self.appended.rejected.is_empty() {
            parts.push(rejected_text(&self.appended));
        }
        parts.push(format!("{} samples written", self.appended.samples));
        format!("partial write: {}", parts.join("; "))
    }
}

impl Dialect {
    fn precision(self, params: &Params) -> Result<Precision, Fault> {
        let default = if self == Self::V3 { Precision::Auto } else { Precision::Nanoseconds };
        let Some(word) = params.get("precision") else { return Ok(default) };
        Precision::of(word).ok_or_else(|| {
            let known = match self {
                Self::V1 => "n, u, ms, s, m, h",
                Self::V2 => "ns, us, ms, s",
                Self::V3 => "auto, nanosecond, microsecond, millisecond, second",
            };
            Fault::bad_request(format!("parameter `precision`: `{word}` is not one of {known}"))
        })
    }

    /// The answer when nothing was written.
    fn failed(self, fault: Fault) -> Response {
        let body = self.error(fault.status, &fault.message, &InfluxOutcome::default());
        let mut answer = (fault.status, Json(body)).into_response();
        set_retry_after(&mut answer, fault.retry_after_s);
        answer
    }

    fn error(self, status: StatusCode, message: &str, outcome: &InfluxOutcome) -> Value {
        let faults = &outcome.faults;
        match self {
            Self::V1 => json!({ "error": message }),
            Self::V2 => {
                let mut body = json!({ "code": code(status), "message": message });
                if let Some(first) = faults.first() {
                    body["line"] = json!(first.line);
                }
                body
            }
            Self::V3 if faults.is_empty() => json!({ "error": message }),
            Self::V3 => {
                let item = |fault: &ingest::LineFault| json!({ "original_line": fault.text, "line_number": fault.line, "error_message": fault.why });
                json!({
                    "error": "partial write of line protocol occurred",
                    "data": faults.iter().map(item).collect::<Vec<_>>(),
                })
            }
        }
    }
}

/// Version 2's word for a status.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 411 | 415 => "invalid",
        413 => "request too large",
        429 => "too many requests",
        503 => "unavailable",
        _ => "internal error",
    }
}
