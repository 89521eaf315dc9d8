//! What happens between opening a folder and serving it: the log is read back on a thread of its own.
//!
//! ```text
//!   open ─▶ tables, files, index        (done when open returns: the process can listen)
//!        └▶ thread: replay ─▶ log open ─▶ started        writes: refused for a moment, told how far it is
//!                                                        queries, flushes: wait here
//! ```
//!
//! A query that did not wait would answer with less than was acknowledged, and nothing in the answer would say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use wal::Log;

use crate::error::StoreError;
use crate::payload::LogBatch;
use crate::store::OpenReport;

/// The log once it is open, and how far it is until then.
#[derive(Default)]
pub(crate) struct Start {
    log: OnceLock<Arc<Log<LogBatch>>>,
    bytes_done: AtomicU64,
    bytes_all: AtomicU64,
    outcome: Mutex<Outcome>,
    over: Condvar,
}

#[derive(Default)]
enum Outcome {
    #[default]
    Pending,
    Started(Box<OpenReport>),
    /// The reason in words, and once as an error for whoever asks first.
    Failed(String, Option<StoreError>),
}

impl Start {
    /// Says how many bytes the log has on disk.
    pub(crate) fn expect(&self, bytes: u64) {
        self.bytes_all.store(bytes, Ordering::Relaxed);
    }

    /// Notes that bytes of the log were read.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The log, if it is open.
    pub(crate) fn log(&self) -> Option<&Arc<Log<LogBatch>>> {
        self.log.get()
    }

    /// The share of the log that is read, from 0 to 1; `None` when the start is over.
    pub(crate) fn progress(&self) -> Option<f64> {
        if self.log().is_some() {
            return None;
        }
        let (done, all) = (self.bytes_done.load(Ordering::Relaxed), self.bytes_all.load(Ordering::Relaxed));
        Some(if all == 0 { 0.0 } else { (done as f64 / all as f64).min(1.0) })
    }

    /// Ends the start, once.
    pub(crate) fn finish(&self, outcome: Result<(Arc<Log<LogBatch>>, OpenReport), StoreError>) {
        let mut slot = self.lock();
        *slot = match outcome {
            Ok((log, report)) => {
                // A second end would be a fault of the program; the first log stays.
                drop(self.log.set(log));
                Outcome::Started(Box::new(report))
            }
            Err(err) => Outcome::Failed(err.to_string(), Some(err)),
        };
        drop(slot);
        self.over.notify_all();
    }

    /// Waits for the end of the start and answers the log, or why it failed.
    pub(crate) fn wait(&self) -> Result<&Arc<Log<LogBatch>>, String> {
        if let Some(log) = self.log() {
            return Ok(log);
        }
        let slot = self.waited();
        match (&*slot, self.log()) {
            (Outcome::Failed(why, _), _) => Err(why.clone()),
            (_, Some(log)) => Ok(log),
            (_, None) => Err("the log is not open".to_owned()),
        }
    }

    /// As [`Start::wait`] with what was found; the error itself goes to the first who asks.
    pub(crate) fn report(&self) -> Result<OpenReport, StoreError> {
        match &mut *self.waited() {
            Outcome::Started(report) => Ok((**report).clone()),
            Outcome::Failed(_, err) => Err(err.take().unwrap_or(StoreError::Closed)),
            Outcome::Pending => Err(StoreError::Closed),
        }
    }

    fn waited(&self) -> MutexGuard<'_, Outcome> {
        let is_pending = |outcome: &mut Outcome| matches!(outcome, Outcome::Pending);
        self.over.wait_while(self.lock(), is_pending).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails a start whose thread ends without an outcome: a panic must not leave everybody waiting.
pub(crate) struct Guard(pub(crate) Arc<Start>);

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(*self.0.lock(), Outcome::Pending) {
            self.0.finish(Err(StoreError::Closed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_share_and_a_lost_thread_is_a_failure() {
        let start = Arc::new(Start::default());
        assert_eq!(start.progress(), Some(0.0));
        start.expect(200);
        start.advance(50);
        assert_eq!(start.progress(), Some(0.25));
        start.advance(500);
        assert_eq!(start.progress(), Some(1.0));
        drop(Guard(Arc::clone(&start)));
        assert!(start.wait().is_err());
        assert!(matches!(start.report(), Err(StoreError::Closed)));
    }
}
