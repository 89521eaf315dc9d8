//! Why the engine cannot do what was asked.

/// Why the engine cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The control log.
    #[error("control: {0}")]
    Control(#[from] control::ControlError),
    /// The outbox.
    #[error("outbox: {0}")]
    Outbox(#[from] control::outbox::OutboxError),
    /// A backup.
    #[error("backup: {0}")]
    Backup(#[from] ::backup::BackupError),
    /// SQL.
    #[error("sql: {0}")]
    Sql(#[from] sql::SqlError),
    /// A PromQL text.
    #[error("promql `{query}`: {why}")]
    PromQl {
        /// The text.
        query: String,
        /// What is wrong, with place.
        why: String,
    },
    /// Writing our own results.
    #[error("write results: {0}")]
    Append(#[from] series::AppendError),
    /// A setting cannot be used.
    #[error("setting {key}: {why}")]
    Setting {
        /// Its key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A job cannot run.
    #[error("job `{job}`: {why}")]
    Job {
        /// Its name.
        job: String,
        /// What is wrong.
        why: String,
    },
    /// A job has too little data to forecast from.
    #[error("job `{job}`: {why}")]
    TooLittle {
        /// Its name.
        job: String,
        /// What is missing.
        why: String,
    },
    /// A standing query cannot run.
    #[error("stream {place}: {why}")]
    Stream {
        /// File or name.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A receiver cannot be used.
    #[error("notify {place}: {why}")]
    Notify {
        /// Which one.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A thread cannot be started.
    #[error("start the {name} thread: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}
