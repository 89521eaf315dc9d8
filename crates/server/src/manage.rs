//! Health, readiness, flush and `/metrics`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::exposition;
use crate::fault::{Fault, set_retry_after};
use crate::form::Params;
use crate::parts::{FlushReport, MaintenanceError};
use crate::state::App;

/// `GET|HEAD /-/healthy`: the process answers.
pub(crate) async fn healthy() -> &'static str {
    "foretide is healthy\n"
}

/// `GET|HEAD /-/ready`: 200 when requests are served, else 503 with what is being done.
pub(crate) async fn ready(Extract(app): Extract<App>) -> Response {
    let readiness = app.parts.maintenance.ready();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut answer = (status, Json(&readiness)).into_response();
    set_retry_after(&mut answer, (!readiness.ready).then_some(1));
    answer
}

/// `POST /-/flush[?merge=true]`
pub(crate) async fn flush(
    Extract(app): Extract<App>,
    params: Result<Params, Fault>,
) -> Result<Json<FlushReport>, Fault> {
    let merge = params?.flag("merge")?;
    let state = Arc::clone(&app);
    // Not cancelled when the client goes away: half a flush helps nobody.
    let task = tokio::task::spawn_blocking(move || state.parts.maintenance.flush(merge));
    match task.await {
        Ok(report) => report.map(Json).map_err(maintenance_fault),
        Err(join) => {
            tracing::error!(error = %join, "flush panicked");
            Err(Fault::internal("the flush failed inside the server; the log has the reason"))
        }
    }
}

/// `POST /-/backup?to=FOLDER`: an absolute path on the server's machine.
pub(crate) async fn backup(
    Extract(app): Extract<App>,
    params: Result<Params, Fault>,
) -> Result<Json<serde_json::Value>, Fault> {
    let params = params?;
    let to =
        params.get("to").ok_or_else(|| Fault::bad_request("parameter `to` is missing: a folder on this machine"))?;
    let (state, to) = (Arc::clone(&app), std::path::PathBuf::from(to));
    match tokio::task::spawn_blocking(move || state.parts.maintenance.backup(&to)).await {
        Ok(report) => report.map(Json).map_err(|err| match err {
            MaintenanceError::Failed(why) => Fault::new(StatusCode::UNPROCESSABLE_ENTITY, "backup_failed", why),
            err => maintenance_fault(err),
        }),
        Err(join) => {
            tracing::error!(error = %join, "backup panicked");
            Err(Fault::internal("the backup failed inside the server; the log has the reason"))
        }
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(Extract(app): Extract<App>) -> Result<Response, Fault> {
    let state = Arc::clone(&app);
    // Some of what is gathered is read from disk.
    let gathered = tokio::task::spawn_blocking(move || state.parts.telemetry.gather()).await;
    let mut families = gathered.map_err(|join| {
        tracing::error!(error = %join, "gathering metrics panicked");
        Fault::internal("gathering metrics failed inside the server; the log has the reason")
    })?;
    families.extend(app.metrics.gather(&app));
    Ok(([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], exposition::text(families)).into_response())
}

fn maintenance_fault(err: MaintenanceError) -> Fault {
    let (status, code, retry_after_s) = match err {
        MaintenanceError::Busy => (StatusCode::CONFLICT, "busy", 1),
        MaintenanceError::DiskFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, "disk_full", 30),
        MaintenanceError::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "flush_failed", 5),
        MaintenanceError::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed", 5),
    };
    Fault::new(status, code, err.to_string()).retry_after(retry_after_s)
}
