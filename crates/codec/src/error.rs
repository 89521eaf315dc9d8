//! Why bytes are not a blob of this crate.

/// A blob that cannot be decoded. Nothing is appended to the output then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// No byte at all; an empty run still has a tag.
    #[error("blob is empty, expected a tag byte")]
    Empty,
    /// A tag that this release does not know.
    #[error("unknown encoding tag {0}; the blob may come from a newer release")]
    UnknownTag(u8),
    /// The blob ends too early.
    #[error("blob of {len} bytes ends inside {what}")]
    Truncated {
        /// Length of the blob.
        len: usize,
        /// What was being read.
        what: &'static str,
    },
    /// More items than [`crate::MAX_SAMPLES`].
    #[error("blob claims {0} items, more than {max}", max = crate::MAX_SAMPLES)]
    TooMany(u64),
    /// Bytes are left after the last item.
    #[error("{0} bytes are left after the last item")]
    Trailing(usize),
    /// A field has a value that encoders never write.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl CodecError {
    pub(crate) fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}
