//! The envelope `{"status", "data", "errorType", "error", "warnings", "infos"}`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use promql::{ErrorKind, EvalError};
use series::SelectError;

use crate::fault::{Fault, set_retry_after};
use crate::gate::GateError;

/// Words of `errorType`, each with its status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromKind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    Unavailable,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PromFault {
    pub(crate) kind: PromKind,
    pub(crate) message: String,
}

impl PromKind {
    fn word(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadData => StatusCode::BAD_REQUEST,
            Self::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            // 499 "client closed request" has no name in the standard.
            Self::Canceled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl PromFault {
    pub(crate) fn new(kind: PromKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(PromKind::BadData, message)
    }
}

impl IntoResponse for PromFault {
    fn into_response(self) -> Response {
        let body = json!({ "status": "error", "errorType": self.kind.word(), "error": self.message });
        let mut answer = (self.kind.status(), axum::Json(body)).into_response();
        if self.kind == PromKind::Timeout {
            set_retry_after(&mut answer, Some(1));
        }
        answer
    }
}

impl From<Fault> for PromFault {
    fn from(fault: Fault) -> Self {
        let kind = match fault.status.as_u16() {
            408 | 503 => PromKind::Timeout,
            500..=599 => PromKind::Internal,
            _ => PromKind::BadData,
        };
        Self::new(kind, fault.message)
    }
}

/// For routes of our own that run PromQL.
impl From<PromFault> for Fault {
    fn from(fault: PromFault) -> Self {
        Self::new(fault.kind.status(), fault.kind.word(), fault.message)
    }
}

impl From<GateError> for PromFault {
    fn from(err: GateError) -> Self {
        Self::new(PromKind::Timeout, err.to_string())
    }
}

impl From<SelectError> for PromFault {
    fn from(err: SelectError) -> Self {
        let kind = match err {
            SelectError::TooManySeries { .. } => PromKind::Execution,
            SelectError::Damaged { .. } | SelectError::Io { .. } => PromKind::Internal,
        };
        Self::new(kind, err.to_string())
    }
}

impl From<EvalError> for PromFault {
    fn from(err: EvalError) -> Self {
        let kind = match err.kind() {
            ErrorKind::BadData => PromKind::BadData,
            ErrorKind::Execution => PromKind::Execution,
            ErrorKind::Timeout => PromKind::Timeout,
            ErrorKind::Canceled => PromKind::Canceled,
            ErrorKind::Internal => PromKind::Internal,
        };
        Self::new(kind, err.to_string())
    }
}

/// A success with data that serde writes.
pub(crate) fn success(data: impl Serialize) -> Response {
    success_with(data, &[])
}

/// A success with warnings; the field is left out when there are none.
pub(crate) fn success_with(data: impl Serialize, warnings: &[String]) -> Response {
    let mut body = json!({ "status": "success", "data": data });
    if !warnings.is_empty() {
        body["warnings"] = json!(warnings);
    }
    axum::Json(body).into_response()
}

/// A success whose body was written by hand.
pub(crate) fn success_bytes(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
