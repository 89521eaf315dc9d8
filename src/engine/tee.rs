//! The write path's fork: what the store acknowledged and a standing query wants goes on to the streams, without making
//! a sender wait.
//!
//! The queue is bounded. A batch that does not fit is not lost: its span of time is noted, and the stream runner reads
//! it back from the store, so results come late but complete. So is a batch of which the store refused a part: only the
//! store knows which samples it kept. Until reading back begins, newer batches are noted as well instead of queued: they
//! must not overtake the older ones, which would then be late. What comes while it is being read is queued behind it.

mod wants;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use series::{
    Append, AppendError, Appended, Batch, KnownSeries, Labels, Matcher, Millis, Recall, TimeRange, Timestamp,
};

use wants::Wants;

/// Batches that may wait for the streams, and their bytes.
const QUEUE: usize = 1024;
const QUEUE_BYTES: u64 = 32 << 20;

/// An [`Append`] that copies what was written to the streams.
pub(crate) struct Tee {
    store: Arc<dyn Append>,
    send: SyncSender<Arc<Batch>>,
    receive: Mutex<Option<Receiver<Arc<Batch>>>>,
    wants: Arc<Wants>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    missed: Mutex<Missed>,
    sent: AtomicU64,
    done: AtomicU64,
    /// Bytes of the batches in the queue.
    queued_bytes: AtomicU64,
    overflows: AtomicU64,
}

/// What has to be read back.
#[derive(Default)]
struct Missed {
    /// Span of the batches noted and not yet being read.
    span: Option<TimeRange>,
    /// Whether an earlier span is being read.
    reading: bool,
}

impl Missed {
    fn note(&mut self, more: Option<TimeRange>) {
        self.span = joined(self.span, more);
    }
}

/// The streams' end.
pub(crate) struct Feed {
    receive: Receiver<Arc<Batch>>,
    wants: Arc<Wants>,
    shared: Arc<Shared>,
}

impl Tee {
    /// Over `store`, for standing queries with these `selectors`.
    pub(crate) fn new(store: Arc<dyn Append>, selectors: Vec<Vec<Matcher>>) -> Self {
        let (send, receive) = sync_channel(QUEUE);
        let wants = Arc::new(Wants::new(selectors, store.recall()));
        Self { store, send, receive: Mutex::new(Some(receive)), wants, shared: Arc::default() }
    }

    /// The streams' end; there is one, so a second call gives `None`.
    pub(crate) fn feed(&self) -> Option<Feed> {
        let receive = self.receive.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(Feed { receive, wants: Arc::clone(&self.wants), shared: Arc::clone(&self.shared) })
    }

    /// Batches waiting for the streams.
    pub(crate) fn lag(&self) -> u64 {
        let (sent, done) = (self.shared.sent.load(Ordering::SeqCst), self.shared.done.load(Ordering::SeqCst));
        sent.saturating_sub(done)
    }

    /// Batches that were or will be read back from the store.
    pub(crate) fn overflows(&self) -> u64 {
        self.shared.overflows.load(Ordering::Relaxed)
    }

    /// Waits while the queue is more than half full.
    pub(crate) fn wait_for_room(&self) {
        while self.lag() > QUEUE as u64 / 2 || self.shared.queued_bytes.load(Ordering::SeqCst) > QUEUE_BYTES / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_idle(&self) -> bool {
        let missed = self.shared.missed();
        self.lag() == 0 && missed.span.is_none() && !missed.reading
    }

    /// Waits until nothing is queued or missed, at most `patience`.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let start = Instant::now();
        while !self.is_idle() {
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

    fn recall(&self) -> Option<Arc<dyn Recall>> {
        self.store.recall()
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
        // Labels that do not fit are not copied: what is missing is read back, as after a refusal.
        let (copy, fits) = self.wants.of(&batch).map_or_else(|_| (batch.clone(), false), |copy| (copy, true));
        if copy.n_series() == 0 {
            return store.append(batch, done);
        }
        let (copy, send, shared) = (Arc::new(copy), self.send.clone(), Arc::clone(&self.shared));
        store.append(
            batch,
            Box::new(move |outcome| {
                if let Ok(appended) = &outcome {
                    // Zeros at the starts of counters are read back with the batch they came with.
                    let whole = fits && appended.rejected.is_empty() && appended.zeros == 0;
                    shared.offer(&send, copy, whole, appended.zeros_since);
                }
                done(outcome);
            }),
        );
    }
}

impl Shared {
    /// Queues the batch, or notes it when it does not fit, is not `whole` in the store or would overtake what is noted. The
    /// store may have put zeros before it, from `zeros_since` on.
    fn offer(&self, send: &SyncSender<Arc<Batch>>, batch: Arc<Batch>, whole: bool, zeros_since: Option<Timestamp>) {
        let mut missed = self.missed();
        let bytes = batch.bytes() as u64;
        let queued_bytes = self.queued_bytes.load(Ordering::SeqCst);
        let is_full = queued_bytes > 0 && queued_bytes + bytes > QUEUE_BYTES;
        let left = if missed.span.is_some() || !whole || is_full {
            Some(batch)
        } else {
            self.sent.fetch_add(1, Ordering::SeqCst);
            self.queued_bytes.fetch_add(bytes, Ordering::SeqCst);
            match send.try_send(batch) {
                Err(TrySendError::Full(batch)) => {
                    self.sent.fetch_sub(1, Ordering::SeqCst);
                    self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
                    Some(batch)
                }
                _ => None,
            }
        };
        if let Some(batch) = left {
            self.overflows.fetch_add(1, Ordering::Relaxed);
            missed.note(span_of(&batch));
            missed.note(zeros_since.map(|since| TimeRange::new(since, since + Millis(1))));
        }
    }

    fn missed(&self) -> MutexGuard<'_, Missed> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The times of a batch.
fn span_of(batch: &Batch) -> Option<TimeRange> {
    let times = || batch.iter().flat_map(|series| series.timestamps.iter().copied());
    Some(TimeRange::new(Timestamp(times().min()?), Timestamp(times().max()?.saturating_add(1))))
}

fn joined(one: Option<TimeRange>, other: Option<TimeRange>) -> Option<TimeRange> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    Some(TimeRange::new(one.start.min(other.start), one.end.max(other.end)))
}

impl Feed {
    /// The next batch, or `None` when nothing came for `patience` (or the write side is gone), or at once when there is
    /// something to be read back: until then nothing is queued, and what comes makes it more.
    pub(crate) fn next(&self, patience: Duration) -> Option<Arc<Batch>> {
        let is_awaited = self.shared.missed().span.is_some();
        let patience = if is_awaited { Duration::ZERO } else { patience };
        let batch = self.receive.recv_timeout(patience).ok()?;
        self.shared.queued_bytes.fetch_sub(batch.bytes() as u64, Ordering::SeqCst);
        Some(batch)
    }

    /// Labels of a series that a batch names by number.
    pub(crate) fn labels_of(&self, known: KnownSeries) -> Option<Labels> {
        self.wants.labels_of(known)
    }

    /// Notes that the batch last taken has been worked on.
    pub(crate) fn done(&self) {
        self.shared.done.fetch_add(1, Ordering::SeqCst);
    }

    /// Begins, or begins again, with a state that lacks `span`: what is queued is in the store already and is noted with
    /// it instead, so that it cannot overtake older samples.
    pub(crate) fn restart(&self, span: TimeRange) {
        let mut missed = self.shared.missed();
        missed.reading = false;
        missed.note(Some(span));
        while let Ok(batch) = self.receive.try_recv() {
            missed.note(span_of(&batch));
        }
        self.shared.done.store(self.shared.sent.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Takes the span that has to be read back from the store; the queue must have been empty before.
    pub(crate) fn missed(&self) -> Option<TimeRange> {
        let mut missed = self.shared.missed();
        let span = missed.span.take()?;
        missed.reading = true;
        Some(span)
    }

    /// Notes that the span last taken was read back. If it was not, [`Feed::restart`] with it instead.
    pub(crate) fn caught_up(&self) {
        self.shared.missed().reading = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::RejectionReason;

    /// Takes everything but negative times.
    struct Sink;

    impl Append for Sink {
        fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
            let mut appended = Appended { samples: batch.n_samples() as u64, ..Appended::default() };
            if batch.iter().any(|series| series.timestamps.iter().any(|&at| at < 0)) {
                appended.reject(RejectionReason::TooOld { window: series::Millis(0) }, 1, "up");
            }
            done(Ok(appended));
        }
    }

    fn batch(times: &[i64]) -> Batch {
        let mut batch = Batch::default();
        batch.begin([("__name__", "up")]).expect("small");
        times.iter().for_each(|&at| batch.push(Timestamp(at), 1.0));
        batch
    }

    fn range(start: i64, end: i64) -> Option<TimeRange> {
        Some(TimeRange::new(Timestamp(start), Timestamp(end)))
    }

    fn tee() -> (Tee, Feed) {
        let tee = Tee::new(Arc::new(Sink), vec![vec![Matcher::equal("__name__", "up")]]);
        let feed = tee.feed().expect("first");
        (tee, feed)
    }

    #[test]
    fn what_does_not_fit_is_noted_with_its_span() {
        let (tee, feed) = tee();
        for at in 0..QUEUE as i64 + 3 {
            tee.append_wait(batch(&[at])).expect("written");
        }
        assert_eq!((tee.lag(), tee.overflows()), (QUEUE as u64, 3));
        while feed.next(Duration::ZERO).is_some() {
            feed.done();
        }
        assert_eq!(feed.missed(), range(QUEUE as i64, QUEUE as i64 + 3));
        assert!(!tee.drain(Duration::ZERO), "nothing is read back yet");
        feed.caught_up();
        assert!(tee.drain(Duration::ZERO) && tee.feed().is_none());
    }

    #[test]
    fn what_comes_while_reading_back_waits_behind_it() {
        let (tee, feed) = tee();
        feed.restart(TimeRange::new(Timestamp(0), Timestamp(100)));
        assert_eq!(feed.missed(), range(0, 100));
        (0..=QUEUE as i64).for_each(|at| drop(tee.append_wait(batch(&[at])).expect("written")));
        feed.caught_up();
        assert!(!tee.drain(Duration::ZERO));
        (0..QUEUE).for_each(|_| assert!(feed.next(Duration::ZERO).is_some(), "they wait behind what was read"));
        assert_eq!(feed.missed(), range(QUEUE as i64, QUEUE as i64 + 1), "and what did not fit is read in its turn");
        tee.append_wait(batch(&[500])).expect("written");
        feed.restart(TimeRange::new(Timestamp(256), Timestamp(257)));
        assert!(!tee.drain(Duration::ZERO), "a failed read is not the end");
        assert_eq!(feed.missed(), range(256, 501), "and nothing overtakes it");
        feed.caught_up();
        assert!(feed.missed().is_none() && tee.drain(Duration::ZERO));
    }

    #[test]
    fn a_batch_that_the_store_did_not_take_whole_is_read_back() {
        let (tee, feed) = tee();
        tee.append_wait(batch(&[-7, 5])).expect("written");
        assert!(feed.next(Duration::ZERO).is_none());
        assert_eq!(feed.missed(), range(-7, 6));
    }

    #[test]
    fn zeros_that_the_store_put_are_read_back_with_their_batch() {
        /// Says that it put a zero before a series.
        struct Starting;
        impl Append for Starting {
            fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
                drop(batch);
                done(Ok(Appended { zeros: 1, zeros_since: Some(Timestamp(2)), ..Appended::default() }));
            }
        }
        let tee = Tee::new(Arc::new(Starting), vec![vec![Matcher::equal("__name__", "up")]]);
        let feed = tee.feed().expect("first");
        tee.append_wait(batch(&[5])).expect("written");
        assert_eq!((feed.next(Duration::ZERO).is_none(), feed.missed()), (true, range(2, 6)));
    }

    #[test]
    fn a_restart_notes_what_was_queued() {
        let (tee, feed) = tee();
        tee.append_wait(batch(&[5])).expect("written");
        feed.restart(TimeRange::new(Timestamp(20), Timestamp(30)));
        assert_eq!((feed.next(Duration::ZERO).is_none(), tee.lag()), (true, 0));
        assert_eq!(feed.missed(), range(5, 30));
    }
}
