//! What can go wrong with a summary.

/// Why a summary cannot be made, merged or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// The accuracy is not a usable number.
    #[error("relative error {millionths} / 1,000,000 is out of reach; choose between 0.0005 and 0.2")]
    Accuracy {
        /// The value asked for in millionths (0 when it was not a number).
        millionths: u32,
    },
    /// A size is outside its limits.
    #[error("{what} of {found} is outside {min}..={max}; choose one inside")]
    Size {
        /// Which parameter.
        what: &'static str,
        /// What was asked for.
        found: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Two summaries of different shape cannot be merged.
    #[error("{what} differs: {left} and {right}; merge only summaries made with the same parameters")]
    Shape {
        /// Which parameter.
        what: &'static str,
        /// Of the target.
        left: u64,
        /// Of the other one.
        right: u64,
    },
    /// The bytes end early.
    #[error("summary ends at byte {at}; the bytes are cut off, build it again from the samples")]
    Truncated {
        /// Where reading stopped.
        at: usize,
    },
    /// The bytes are not of this kind or version.
    #[error("byte {at} is not part of a {what}; the bytes are damaged or from a newer version")]
    Damaged {
        /// Where.
        at: usize,
        /// What was expected.
        what: &'static str,
    },
}
