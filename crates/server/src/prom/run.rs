//! Running a query off the runtime's threads, within its slot, its time and its client's patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::envelope::{PromFault, PromKind};
use crate::gate::CancelOnDrop;
use crate::state::State;

/// Time a query may overrun its deadline before its client is answered without it.
const OVERRUN: Duration = Duration::from_secs(1);

/// What a query must look at while it works.
pub(crate) struct Bounds {
    pub(crate) deadline: std::time::Instant,
    pub(crate) cancel: Arc<AtomicBool>,
}

impl Bounds {
    /// The fault when the client has gone or the time is over.
    pub(crate) fn check(&self) -> Result<(), PromFault> {
        if self.cancel.load(Ordering::Acquire) {
            return Err(PromFault::new(PromKind::Canceled, "the client has gone"));
        }
        if std::time::Instant::now() >= self.deadline {
            return Err(PromFault::new(PromKind::Timeout, "the query's time is over"));
        }
        Ok(())
    }
}

/// Runs `work` on a blocking thread, holding a query slot. When the returned future is dropped (the client has gone)
/// or is late, the cancel flag is set and `work` is expected to stop.
pub(crate) async fn on_blocking_thread<T: Send + 'static>(
    state: &State,
    timeout: Duration,
    work: impl FnOnce(&Bounds) -> Result<T, PromFault> + Send + 'static,
) -> Result<T, PromFault> {
    let deadline = Instant::now() + timeout;
    let permit = state.gate.enter(deadline).await?;
    let cancel = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(Arc::clone(&cancel));
    let bounds = Bounds { deadline: deadline.into_std(), cancel };
    let task = tokio::task::spawn_blocking(move || {
        let _slot = permit;
        work(&bounds)
    });
    match timeout_at(deadline + OVERRUN, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(join)) => {
            tracing::error!(error = %join, "query panicked");
            Err(PromFault::new(PromKind::Internal, "the query failed inside the server; the log has the reason"))
        }
        Err(_) => {
            let message = format!("query took longer than its time of {} s", timeout.as_secs_f64());
            Err(PromFault::new(PromKind::Timeout, message))
        }
    }
}
