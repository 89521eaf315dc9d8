//! What can go wrong with a log, and what the caller can do about it.

use std::io;
use std::sync::Arc;

/// Why a log did not do what was asked. Cloned to every waiter of a failed commit.
///
/// An error answered to [`crate::Log::submit`] means *not acknowledged*. After [`LogError::Io`], [`LogError::DiskFull`]
/// or [`LogError::ReadOnly`] from a commit that had begun, a restart may still find the record; a retry must therefore
/// be harmless. [`LogError::QueueFull`], [`LogError::RecordTooLarge`] and [`LogError::Closed`] wrote nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The disk answered with an error.
    #[error("{action} `{path}`: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file or folder, relative to the data folder.
        path: String,
        /// The disk's own words.
        #[source]
        source: Arc<io::Error>,
    },
    /// No space. The log resumes by itself once space is back.
    #[error("the disk is full ({free_bytes} bytes free); free some space, writing resumes by itself")]
    DiskFull {
        /// Free bytes when it was seen.
        free_bytes: u64,
    },
    /// Two writes in a row failed; nothing is accepted until a probe succeeds (tried once a second).
    #[error("the log is read-only after two failed writes in a row ({cause}); it tries again by itself")]
    ReadOnly {
        /// The second failure.
        cause: String,
    },
    /// More is waiting than the queue may hold. Nothing was written; try again later.
    #[error("the log's queue is full: {queued} bytes wait, at most {max} may; try again later")]
    QueueFull {
        /// Bytes waiting.
        queued: usize,
        /// The bound.
        max: usize,
    },
    /// One record is larger than the format allows. Nothing of its payload was written.
    #[error("a record of {bytes} bytes is above the limit of {max}; split it")]
    RecordTooLarge {
        /// Its payload's size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A segment was written by a newer version of the product. Nothing was touched.
    #[error("`{path}` has format version {found}, this build reads up to {known}; start the newer build")]
    NewerFormat {
        /// The segment.
        path: String,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The replay callback asked to stop.
    #[error("replay stopped at record {lsn}: {reason}")]
    ReplayStopped {
        /// The record it stopped at.
        lsn: u64,
        /// Its reason.
        reason: String,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// A call that waits for the writer thread was made from that thread (from `apply`, `done` or `exclusive`).
    #[error("{call} waits for the log's writer thread and cannot be called from it")]
    InWriterThread {
        /// The call.
        call: &'static str,
    },
    /// Code of the log's user panicked in the writer thread; memory and log may disagree until a restart.
    #[error("the log stopped after a panic in {place}; restart to replay it")]
    Stopped {
        /// Where: `encode`, `apply` or `exclusive`.
        place: &'static str,
    },
}

impl LogError {
    /// Whether the same call can succeed later without anyone changing the request.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::DiskFull { .. } | Self::ReadOnly { .. } | Self::QueueFull { .. })
    }

    pub(crate) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk said that it has no room (`ENOSPC`, `EDQUOT`).
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::DiskFull { .. } => true,
            _ => false,
        }
    }
}
