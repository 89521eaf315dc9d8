//! `POST /api/v1/write`: remote write 1.0 and 2.0.
//!
//! ```text
//!   Content-Length ▶ admission (bytes) ▶ body ▶ decode (own buffers, own threads) ▶ Append ▶ 204 | counts and reasons
//! ```
//!
//! Answers: 204 all durable · 400 never send again (invalid, or partly refused; the rest is written) · 413 · 415 ·
//! 429 + `Retry-After` the series limit · 503 + `Retry-After` our own trouble. Senders drop what got 400 and retry 429
//! (if told to) and 5xx, so our own trouble is never a 4xx; repeated samples are stored once.

mod admission;
mod answer;
mod decode;

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use series::{AppendError, Appended};

use crate::body::{self, BodyLimit};
use crate::fault::Fault;
use crate::state::{App, State};

pub(crate) use admission::{Admission, Admitted};
pub(crate) use answer::{Refusals, finished};
pub(crate) use decode::{DecoderPool, refusals};

/// Largest body taken without `Content-Length`.
const UNSIZED_BYTES_MAX: usize = 1 << 20;

/// `POST /api/v1/write` and `/api/v1/push`
pub(crate) async fn remote_write(Extract(app): Extract<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let with_counts = answer::wants_counts(&head.headers);
    match written(&app, &head, body).await {
        Ok((appended, refusals)) => {
            app.metrics.wrote(appended.samples, refusals.samples());
            app.metrics.wrote_beside(appended.histograms, appended.exemplars);
            finished(&appended, &refusals, with_counts)
        }
        Err(fault) => answer::failed(fault, with_counts),
    }
}

async fn written(app: &App, head: &Head, body: Body) -> Result<(Appended, Refusals), Fault> {
    let _admitted = app.admission.enter(expected_bytes(app, &head.headers)?.unwrap_or(UNSIZED_BYTES_MAX))?;
    let bytes = whole_body(app, &head.headers, body).await?;
    let handed = decode::hand_over(app, &head.headers, bytes).await?;
    let appended = handed.appended.await.unwrap_or(Err(AppendError::Closed)).map_err(append_fault)?;
    let refusals = Refusals::new(handed.refused, appended.rejected.clone());
    Ok((appended, refusals))
}

/// Largest body taken without `Content-Length`.
pub(crate) fn unsized_bytes_max() -> usize {
    UNSIZED_BYTES_MAX
}

/// `Content-Length`, refused here when it is over the bound: before the body is read.
pub(crate) fn expected_bytes(state: &State, headers: &HeaderMap) -> Result<Option<usize>, Fault> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse::<usize>().ok());
    let length = length.ok_or_else(|| Fault::bad_request("header Content-Length is not a number of bytes"))?;
    let bytes_max = state.parts.settings.write_bytes_max;
    if length > bytes_max { Err(body::too_large(bytes_max)) } else { Ok(Some(length)) }
}

pub(crate) async fn whole_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let settings = &app.parts.settings;
    let expected = expected_bytes(app, headers)?;
    let bytes_max = expected.map_or(UNSIZED_BYTES_MAX.min(settings.write_bytes_max), |_| settings.write_bytes_max);
    let limit = BodyLimit { bytes_max, timeout: settings.body_timeout };
    body::read(body, expected.unwrap_or(0), limit).await.map_err(|fault| {
        if expected.is_some() || fault.status != StatusCode::PAYLOAD_TOO_LARGE {
            return fault;
        }
        let message = format!("bodies over {UNSIZED_BYTES_MAX} bytes need a Content-Length header");
        Fault::new(StatusCode::LENGTH_REQUIRED, "length_required", message)
    })
}

pub(crate) fn append_fault(err: AppendError) -> Fault {
    let (status, code, retry_after_s) = match err {
        AppendError::Log(_) => (StatusCode::INTERNAL_SERVER_ERROR, "log", 5),
        AppendError::DiskFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "disk_full", 30),
        AppendError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", 30),
        AppendError::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", 1),
        AppendError::Starting { .. } => (StatusCode::SERVICE_UNAVAILABLE, "starting", 1),
        AppendError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed", 5),
    };
    Fault::new(status, code, err.to_string()).retry_after(retry_after_s)
}

impl Admission {
    /// Room for a body of `bytes`, or the refusal. Held until the answer is made.
    pub(crate) fn enter(&self, bytes: usize) -> Result<Admitted, Fault> {
        self.admit(bytes).ok_or_else(|| {
            let message =
                format!("write requests under way fill their {} bytes; send again after a pause", self.budget());
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message).retry_after(1)
        })
    }
}
