//! `admin/tsdb/*`: deleting series. Off unless the configuration says otherwise.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::discover::selectors_and_range;
use super::envelope::{PromFault, PromKind};
use crate::fault::Fault;
use crate::form::Params;
use crate::parts::{AdminError, Maintenance};
use crate::state::App;

/// `POST|PUT /api/v1/admin/tsdb/delete_series?match[]=…[&start][&end]`
pub(crate) async fn delete_series(
    Extract(app): Extract<App>,
    params: Result<Params, Fault>,
) -> Result<Response, PromFault> {
    let (selectors, range) = selectors_and_range(&params?)?;
    if selectors.is_empty() {
        return Err(PromFault::bad_data(
            "no match[] parameter provided; give at least one selector such as up{job=\"api\"}",
        ));
    }
    // A selector that matches the empty label set would delete everything.
    if selectors.iter().any(|matchers| matchers.iter().all(series::Matcher::matches_absent)) {
        return Err(PromFault::bad_data(
            "a selector must contain at least one matcher that does not match the empty text",
        ));
    }
    work(&app, move |maintenance| maintenance.delete_series(&selectors, range)).await
}

/// `POST|PUT /api/v1/admin/tsdb/clean_tombstones`
pub(crate) async fn clean_tombstones(Extract(app): Extract<App>) -> Result<Response, PromFault> {
    work(&app, |maintenance| maintenance.clean_tombstones()).await
}

/// Not cancelled when the client goes away: half a deletion helps nobody.
async fn work(
    app: &App,
    call: impl FnOnce(&dyn Maintenance) -> Result<(), AdminError> + Send + 'static,
) -> Result<Response, PromFault> {
    let state = Arc::clone(app);
    match tokio::task::spawn_blocking(move || call(&*state.parts.maintenance)).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(Err(err @ AdminError::Off)) => Err(PromFault::new(PromKind::Unavailable, err.to_string())),
        Ok(Err(err)) => Err(PromFault::new(PromKind::Internal, err.to_string())),
        Err(join) => {
            tracing::error!(error = %join, "administrative call panicked");
            Err(PromFault::new(PromKind::Internal, "the call failed inside the server; the log has the reason"))
        }
    }
}
