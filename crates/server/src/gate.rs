//! How many queries run at once, how many may wait, and what happens to one whose client has gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Slots for running queries with a bounded queue in front.
pub(crate) struct Gate {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue_max: usize,
}

/// Why a query did not get a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GateError {
    #[error("{0} queries are already waiting; try again after a pause")]
    Full(usize),
    #[error("waited for a free query slot until the query's time was over")]
    Timeout,
}

impl Gate {
    pub(crate) fn new(slots: usize, queue_max: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), waiting: AtomicUsize::new(0), queue_max }
    }

    /// A slot, at the latest at `deadline`. The slot is free again when the permit is dropped: keep it in the thread
    /// that works, not in the future that waits, so that an abandoned query still counts until it has stopped.
    pub(crate) async fn enter(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, GateError> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.queue()?;
        match timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(GateError::Timeout),
        }
    }

    /// Queries that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Free slots.
    pub(crate) fn free(&self) -> usize {
        self.slots.available_permits()
    }

    fn queue(&self) -> Result<Place<'_>, GateError> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let place = Place(&self.waiting);
        if before >= self.queue_max { Err(GateError::Full(self.queue_max)) } else { Ok(place) }
    }
}

/// A place in the queue, given back on drop: also when the client goes away while waiting.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sets a cancel flag when dropped. hyper drops a handler's future when its connection closes.
pub(crate) struct CancelOnDrop(pub(crate) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_waits_until_the_deadline() {
        let gate = Arc::new(Gate::new(1, 1));
        let soon = Instant::now() + Duration::from_secs(1);
        let held = gate.enter(soon).await.expect("free");
        let waiter = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(soon).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(gate.waiting(), 1);
        assert_eq!(gate.enter(soon).await.map(drop), Err(GateError::Full(1)));
        assert_eq!(waiter.await.expect("no panic"), Err(GateError::Timeout));
        assert_eq!(gate.waiting(), 0);
        drop(held);
        assert!(gate.enter(soon).await.is_ok());
    }
}
