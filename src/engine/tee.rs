//! The write path's fork: what the store acknowledged goes on to the streams, without making a sender wait.
//!
//! The queue is bounded. A batch that does not fit is not lost: its span of time is noted, and the stream runner reads
//! it back from the store, so results come late but complete. Until it has caught up, newer batches are noted as well
//! instead of queued: they must not overtake the older ones, which would then be late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use series::{Append, AppendError, Appended, Batch, TimeRange, Timestamp};

/// Batches that may wait for the streams.
const QUEUE: usize = 256;

/// An [`Append`] that copies what was written to the streams.
pub(crate) struct Tee {
    store: Arc<dyn Append>,
    send: SyncSender<Arc<Batch>>,
    receive: Mutex<Option<Receiver<Arc<Batch>>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Span of the batches that did not fit.
    missed: Mutex<Option<TimeRange>>,
    sent: AtomicU64,
    done: AtomicU64,
    overflows: AtomicU64,
}

/// The streams' end.
pub(crate) struct Feed {
    receive: Receiver<Arc<Batch>>,
    shared: Arc<Shared>,
}

impl Tee {
    pub(crate) fn new(store: Arc<dyn Append>) -> Self {
        let (send, receive) = sync_channel(QUEUE);
        Self { store, send, receive: Mutex::new(Some(receive)), shared: Arc::default() }
    }

    /// The streams' end; there is one, so a second call gives `None`.
    pub(crate) fn feed(&self) -> Option<Feed> {
        let receive = self.receive.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Feed { receive, shared: Arc::clone(&self.shared) })
    }

    /// Batches waiting for the streams.
    pub(crate) fn lag(&self) -> u64 {
        let (sent, done) = (self.shared.sent.load(Ordering::SeqCst), self.shared.done.load(Ordering::SeqCst));
        sent.saturating_sub(done)
    }

    /// Batches that did not fit and were or will be read back from the store.
    pub(crate) fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    /// Waits while the queue is more than half full.
    pub(crate) fn wait_for_room(&self) {
        while self.lag() > QUEUE as u64 / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until nothing is queued or missed, at most `patience`.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while self.lag() > 0 || self.shared.has_missed() {
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Append for Tee {
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        self.append_by(&*self.store, batch, done);
    }
}

impl Tee {
    /// As [`Append::append`], written by another write side of the same store.
    pub(crate) fn append_by(
        &self,
        store: &dyn Append,
        batch: Batch,
        done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>,
    ) {
        let copy = Arc::new(batch.clone());
        let (send, shared) = (self.send.clone(), Arc::clone(&self.shared));
        store.append(
            batch,
            Box::new(move |outcome| {
                if outcome.is_ok() {
                    shared.offer(&send, copy);
                }
                done(outcome);
            }),
        );
    }
}

impl Shared {
    fn offer(&self, send: &SyncSender<Arc<Batch>>, batch: Arc<Batch>) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = if missed.is_some() {
            Some(batch)
        } else {
            self.sent.fetch_add(1, Ordering::SeqCst);
            match send.try_send(batch) {
                Err(TrySendError::Full(batch)) => {
                    self.sent.fetch_sub(1, Ordering::SeqCst);
                    Some(batch)
                }
                _ => None,
            }
        };
        if let Some(batch) = refused {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            *missed = widened(*missed, &batch);
        }
    }

    fn has_missed(&self) -> bool {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// `span` with the batch's times inside.
fn widened(span: Option<TimeRange>, batch: &Batch) -> Option<TimeRange> {
    let times = || batch.iter().flat_map(|series| series.timestamps.iter().copied());
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return span };
    let own = TimeRange::new(Timestamp(first), Timestamp(last.saturating_add(1)));
    let join = |span: TimeRange| TimeRange::new(span.start.min(own.start), span.end.max(own.end));
    Some(span.map_or(own, join))
}

impl Feed {
    /// The next batch, or `None` when nothing came for `patience` (or the write side is gone).
    pub(crate) fn next(&self, patience: Duration) -> Option<Arc<Batch>> {
        self.receive.recv_timeout(patience).ok()
    }

    /// Notes that the batch last taken has been worked on.
    pub(crate) fn done(&self) {
        self.shared.done.fetch_add(1, Ordering::SeqCst);
    }

    /// The span that has to be read back from the store. It counts as missed until [`Feed::caught_up`].
    pub(crate) fn missed(&self) -> Option<TimeRange> {
        *self.shared.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `range` was read back; what was missed since begins where it ended.
    pub(crate) fn caught_up(&self, range: TimeRange) {
        let mut missed = self.shared.missed.lock().unwrap_or_else(PoisonError::into_inner);
        // A late batch may have moved the start back: then all of it is read again, which changes nothing twice.
        let rest = |now: TimeRange| {
            let start = if now.start == range.start { range.end } else { now.start };
            TimeRange::new(start, now.end)
        };
        *missed = missed.filter(|now| *now != range).map(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sink;

    impl Append for Sink {
        fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
            done(Ok(Appended { samples: batch.n_samples() as u64, ..Appended::default() }));
        }
    }

    fn batch(at: i64) -> Batch {
        let mut batch = Batch::default();
        batch.begin([("__name__", "up")]).expect("small");
        batch.push(Timestamp(at), 1.0);
        batch
    }

    #[test]
    fn what_does_not_fit_is_noted_with_its_span() {
        let tee = Tee::new(Arc::new(Sink));
        let feed = tee.feed().expect("first");
        for at in 0..QUEUE as i64 + 3 {
            tee.append_wait(batch(at)).expect("written");
        }
        assert_eq!((tee.lag(), tee.overflows()), (QUEUE as u64, 3));
        let missed = feed.missed().expect("three batches");
        assert_eq!((missed.start.0, missed.end.0), (QUEUE as i64, QUEUE as i64 + 3));
        while feed.next(Duration::ZERO).is_some() {
            feed.done();
        }
        feed.caught_up(missed);
        assert!(tee.drain(Duration::ZERO) && tee.feed().is_none());
    }
}
