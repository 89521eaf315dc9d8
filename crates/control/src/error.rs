//! What can go wrong in the control plane.

use wal::LogError;

/// Why the control plane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The log refused; nothing was acknowledged.
    #[error("control log: {0}")]
    Log(#[from] LogError),
    /// A value could not be written as or read from JSON.
    #[error("value of {kind} `{key}` as JSON: {source}")]
    Json {
        /// The kind's name.
        kind: &'static str,
        /// The key.
        key: String,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// A key is empty or too long.
    #[error("a key of {bytes} bytes is outside 1..={max}")]
    KeyLength {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A value is too large.
    #[error("the value of {kind} `{key}` has {bytes} bytes, at most {max} are allowed")]
    ValueTooLarge {
        /// The kind's name.
        kind: &'static str,
        /// The key.
        key: String,
        /// Its size.
        bytes: usize,
        /// The largest allowed.
        max: usize,
    },
    /// Too many or no changes in one call.
    #[error("{count} changes in one call are outside 1..={max}")]
    ChangeCount {
        /// How many.
        count: usize,
        /// The most allowed.
        max: usize,
    },
    /// A kind holds all the entries it may.
    #[error("{kind} holds {count} entries, at most {max} are allowed; delete some")]
    Full {
        /// The kind's name.
        kind: &'static str,
        /// Entries now.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// Audit records are written only through [`crate::Control::apply`]'s argument.
    #[error("audit records cannot be changed by hand (`{key}`)")]
    AuditIsAppendOnly {
        /// The key asked for.
        key: String,
    },
    /// The index stayed broken after it was built anew.
    #[error("the control index cannot be built ({reason}); the log is intact, check the disk of `{path}`")]
    Index {
        /// What failed.
        reason: String,
        /// The index folder.
        path: String,
    },
    /// A file could not be read or written.
    #[error("{action} `{path}`: {source}")]
    Disk {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The disk's own words.
        #[source]
        source: std::io::Error,
    },
}

impl ControlError {
    pub(crate) fn disk(action: &'static str, path: &str, source: std::io::Error) -> Self {
        Self::Disk { action, path: path.to_owned(), source }
    }
}
