//! When counters began: a sender may say at what time the counter of a sample was zero.
//!
//! ```text
//!   newest known ●          start ○        sample ●        a zero put at ○ shows the whole rise
//! ```
//!
//! Without that zero the first sample of a series is a level that rose from nowhere, and a restarted counter that has
//! already passed its old level hides its restart. Whether a zero is put is the store's to decide: it knows the newest sample.

use crate::time::Timestamp;

/// Since when a sample counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartTime {
    /// The sample's time.
    pub at: Timestamp,
    /// When its counter was zero.
    pub start: Timestamp,
}
