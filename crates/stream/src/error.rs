//! What can go wrong with standing queries.

/// Why standing queries cannot start or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A field of a specification is out of its bounds.
    #[error("stream `{stream}`: {field}: {why}")]
    Spec {
        /// Name of the stream.
        stream: String,
        /// Field as it is written.
        field: &'static str,
        /// What is wrong and what to write instead.
        why: String,
    },
    /// Two streams of one name.
    #[error("two streams are called `{0}`; names are labels of the results, so give each its own")]
    Repeated(String),
    /// More streams than allowed.
    #[error("{found} streams, at most {limit} are run; remove some or join them with `by`")]
    TooMany {
        /// How many were given.
        found: usize,
        /// How many are run.
        limit: usize,
    },
    /// The checkpoint cannot be used.
    #[error("stream checkpoint: {0}; start without it and push the stored samples again")]
    Checkpoint(String),
}

impl From<sketch::SketchError> for StreamError {
    fn from(fault: sketch::SketchError) -> Self {
        Self::Checkpoint(fault.to_string())
    }
}
