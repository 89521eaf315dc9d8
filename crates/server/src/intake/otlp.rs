//! OpenTelemetry metrics: `POST /v1/metrics` (also Prometheus' path) and gRPC's `MetricsService/Export`, on one port.
//!
//! 200 with what was refused, if anything, as partial success: such points must not be sent again. 400 malformed · 413 ·
//! 415 · 429 and 503 + `Retry-After` try again. Errors are `google.rpc.Status` in the encoding of the request.

use axum::extract::{Request, State as Extract};
use axum::http::request::Parts as Head;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use ingest::{IngestError, OtlpEncoding, OtlpOutcome};
use series::{Appended, Batch};

use super::{Protocol, append, is_series_limit, n_rejected, read, receive, rejected_text};
use crate::fault::{Fault, set_retry_after};
use crate::form::media_type;
use crate::state::{App, State};

const PROTOCOL: Protocol = Protocol::Otlp;
/// Seconds until a sender may offer new series again.
const SERIES_LIMIT_RETRY_S: u32 = 60;

/// What a sender is told of a request that was taken.
pub(crate) struct Taken {
    pub(crate) rejected: u64,
    pub(crate) message: String,
}

/// `POST /v1/metrics`, `/api/v1/otlp/v1/metrics`
pub(crate) async fn http(Extract(app): Extract<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let media = media_type(&head.headers);
    let Some(encoding) = OtlpEncoding::of(&media) else {
        app.intake.metrics.refused_request(PROTOCOL, "content_type");
        let message =
            format!("content type {media:?} is not accepted; send application/x-protobuf or application/json");
        return Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message).into_text();
    };
    match exported(&app, &head, body, encoding).await {
        Ok(taken) => answer(StatusCode::OK, encoding, encoding.response(taken.rejected, &taken.message)),
        Err(fault) => {
            let body = encoding.status(grpc_code(fault.status), &fault.message);
            let mut answer = answer(fault.status, encoding, body);
            set_retry_after(&mut answer, fault.retry_after_s);
            answer
        }
    }
}

async fn exported(app: &App, head: &Head, body: axum::body::Body, encoding: OtlpEncoding) -> Result<Taken, Fault> {
    let (_admitted, bytes) = receive(app, &head.headers, body).await?;
    let headers = head.headers.clone();
    let n_bytes = bytes.len();
    let work = move |state: &State| {
        let plain = state.intake.plain(&headers, &bytes)?;
        decode(state, encoding, &plain)
    };
    let (outcome, batch) = read(app, PROTOCOL, n_bytes, work).await?;
    finish(app, outcome, batch).await
}

/// A message that came by gRPC, unpacked already.
pub(crate) async fn export_message(app: &App, message: Bytes) -> Result<Taken, Fault> {
    let n_bytes = message.len();
    let work = move |state: &State| decode(state, OtlpEncoding::Protobuf, &message);
    let (outcome, batch) = read(app, PROTOCOL, n_bytes, work).await?;
    finish(app, outcome, batch).await
}

fn decode(state: &State, encoding: OtlpEncoding, message: &[u8]) -> Result<(OtlpOutcome, Batch), IngestError> {
    let mut batch = Batch::default();
    let (options, now) = (&state.parts.settings.otlp, state.parts.clock.now());
    let limits = state.intake.limits();
    let outcome = ingest::decode_otlp(encoding, message, options, now, limits, &state.intake.delta, &mut batch)?;
    Ok((outcome, batch))
}

async fn finish(app: &App, outcome: OtlpOutcome, batch: Batch) -> Result<Taken, Fault> {
    let appended = append(&app.parts.append, batch).await?;
    app.intake.metrics.wrote(
        PROTOCOL,
        appended.samples + appended.histograms,
        outcome.points_refused + n_rejected(&appended),
    );
    taken(&outcome, &appended)
}

fn taken(outcome: &OtlpOutcome, appended: &Appended) -> Result<Taken, Fault> {
    let (refused, rejected) = (outcome.to_string(), rejected_text(appended));
    // Nothing fitted: later it may. When a part was written, repeating all of it would not help the rest.
    if appended.samples + appended.histograms == 0 && is_series_limit(appended) {
        let fault = Fault::new(StatusCode::TOO_MANY_REQUESTS, "series_limit", rejected);
        return Err(fault.retry_after(SERIES_LIMIT_RETRY_S));
    }
    let parts = [refused, rejected];
    let told: Vec<_> = parts.into_iter().filter(|text| !text.is_empty()).collect();
    Ok(Taken { rejected: outcome.points_refused + n_rejected(appended), message: told.join("; ") })
}

fn answer(status: StatusCode, encoding: OtlpEncoding, body: Vec<u8>) -> Response {
    let mut answer = (status, body).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    answer
}

/// The code of gRPC for a status of HTTP: 3 final, 8 too much, 14 try again.
pub(crate) fn grpc_code(status: StatusCode) -> u32 {
    match status.as_u16() {
        408 => 4,
        411 | 413 => 8,
        415 => 12,
        429 | 500..=599 => 14,
        _ => 3,
    }
}
