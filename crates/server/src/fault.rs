//! Errors of our own API: `{"error":{"code","message","hint"}}`. Prometheus' paths have their own envelope.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::parts::SqlFailure;

/// An answer that is not the one asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) retry_after_s: Option<u32>,
    pub(crate) place: Option<(Option<u64>, Option<u64>)>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None, retry_after_s: None, place: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(1)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// As one line of text, for protocols whose errors are text.
    pub(crate) fn into_text(self) -> Response {
        let mut answer = (self.status, self.message).into_response();
        set_retry_after(&mut answer, self.retry_after_s);
        answer
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message, "hint": self.hint });
        if let Some((line, column)) = self.place {
            error["line"] = json!(line);
            error["column"] = json!(column);
        }
        let mut answer = (self.status, Json(json!({ "error": error }))).into_response();
        set_retry_after(&mut answer, self.retry_after_s);
        answer
    }
}

impl From<SqlFailure> for Fault {
    fn from(failure: SqlFailure) -> Self {
        let status = StatusCode::from_u16(failure.fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let fault = Self {
            hint: failure.hint,
            place: Some((failure.line, failure.column)),
            ..Self::new(status, failure.fault.code(), failure.message)
        };
        if status == StatusCode::SERVICE_UNAVAILABLE { fault.retry_after(1) } else { fault }
    }
}

pub(crate) fn set_retry_after(answer: &mut Response, seconds: Option<u32>) {
    if let Some(seconds) = seconds {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}
