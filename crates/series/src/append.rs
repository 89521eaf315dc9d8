//! The write side of a store.

use std::fmt;
use std::sync::Arc;

use crate::batch::Batch;
use crate::known::Recall;
use crate::time::{Millis, Timestamp};

/// Takes samples and answers once they are durable and visible.
pub trait Append: Send + Sync {
    /// Hands a batch over. `done` is called exactly once, from any thread: after the log is synced and the samples are
    /// visible to [`crate::Select`], or with the error. It must not block. A bad sample is rejected alone and counted in
    /// [`Appended::rejected`]; the rest of its batch is written.
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>);

    /// The memory of spellings behind this write side, if it has one: batches for it may name series by number
    /// ([`Batch::begin_known`]).
    fn recall(&self) -> Option<Arc<dyn Recall>> {
        None
    }

    /// As [`Append::append`], waiting for the answer on this thread.
    ///
    /// # Errors
    /// [`AppendError`] when nothing of the batch was written.
    fn append_wait(&self, batch: Batch) -> Result<Appended, AppendError> {
        let (send, receive) = std::sync::mpsc::sync_channel(1);
        // The receiver waits below, so a failed send means this thread is gone and nobody is left to tell.
        self.append(batch, Box::new(move |result| drop(send.send(result))));
        receive.recv().unwrap_or(Err(AppendError::Closed))
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Appended {
    /// Float samples now durable and visible (repeats of a stored sample count: they are stored once).
    pub samples: u64,
    /// Native histograms now durable and visible, as for samples.
    pub histograms: u64,
    /// Exemplars now durable and visible, as for samples; the oldest make room for the newest.
    pub exemplars: u64,
    /// Zeros written besides at the starts of counters, floats only; none of them counts as a sample.
    pub zeros: u64,
    /// Time of the oldest of them.
    pub zeros_since: Option<Timestamp>,
    /// Empty histograms written besides at their starts, likewise.
    pub zero_histograms: u64,
    /// Position in the log that covers the batch; later batches have larger ones.
    pub lsn: u64,
    /// Samples not written, floats and histograms, by reason.
    pub rejected: Vec<Rejection>,
}

/// A reason with the number of samples it cost and the first series it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: RejectionReason,
    /// How many samples.
    pub samples: u64,
    /// The first series rejected so.
    pub example: String,
}

/// Why a sample is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectionReason {
    /// Older than the out-of-order window.
    TooOld {
        /// Length of the window.
        window: Millis,
    },
    /// Older than anything is kept: it would be dropped at once.
    Expired {
        /// Longest keep time.
        keep: Millis,
    },
    /// Further in the future than allowed.
    TooNew {
        /// How far ahead a timestamp may be.
        ahead: Millis,
    },
    /// A new series beyond the limit of active series; existing ones go on.
    SeriesLimit {
        /// The limit.
        limit: u64,
    },
    /// Named by a number that this store has not given: the batch was made for another one.
    UnknownNumber,
    /// A native histogram that [`crate::Histogram::check`] refuses.
    BadHistogram,
}

/// Why nothing of a batch was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log or the disk failed; a retry is safe.
    #[error("write-ahead log: {0}; the batch was not acknowledged, sending it again is safe")]
    Log(String),
    /// No space is left; reads go on.
    #[error("disk is full ({free_bytes} bytes left); free space and send again, no restart is needed")]
    DiskFull {
        /// Bytes left for us.
        free_bytes: u64,
    },
    /// Too much unwritten work is queued.
    #[error("ingest queue is full ({queued_bytes} of {limit_bytes} bytes); send again after a pause")]
    Overloaded {
        /// Bytes waiting.
        queued_bytes: u64,
        /// Bytes allowed to wait.
        limit_bytes: u64,
    },
    /// The log of the last run is still being read.
    #[error("the log is being read back ({percent} % done); send again after a pause")]
    Starting {
        /// How much has been read, 0 to 100.
        percent: u8,
    },
    /// Nothing is taken at present: the disk is nearly full, or the data folder was taken away.
    #[error("{why}")]
    Unavailable {
        /// Why, with the next step.
        why: String,
    },
    /// The store is shutting down.
    #[error("store is closed")]
    Closed,
}

impl Appended {
    /// Counts `samples` rejected for `reason`.
    pub fn reject(&mut self, reason: RejectionReason, samples: u64, series: impl fmt::Display) {
        match self.rejected.iter_mut().find(|rejection| rejection.reason == reason) {
            Some(rejection) => rejection.samples += samples,
            None => self.rejected.push(Rejection { reason, samples, example: series.to_string() }),
        }
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooOld { window } => write!(f, "older than the out-of-order window of {window}"),
            Self::Expired { keep } => write!(f, "older than the retention of {keep}"),
            Self::TooNew { ahead } => write!(f, "more than {ahead} in the future"),
            Self::SeriesLimit { limit } => write!(f, "new series beyond the limit of {limit} active series"),
            Self::UnknownNumber => f.write_str("of a series that this store has not numbered"),
            Self::BadHistogram => f.write_str("a native histogram that contradicts itself"),
        }
    }
}

impl RejectionReason {
    /// A short word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooOld { .. } => "too_old",
            Self::Expired { .. } => "expired",
            Self::TooNew { .. } => "too_new",
            Self::SeriesLimit { .. } => "series_limit",
            Self::UnknownNumber => "unknown_number",
            Self::BadHistogram => "bad_histogram",
        }
    }
}

impl RejectionReason {
    /// A message that names the newest refused time.
    pub fn at(self, at: Timestamp) -> String {
        format!("sample at {at} is {self}")
    }
}
