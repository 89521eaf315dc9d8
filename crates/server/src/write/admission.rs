//! Admission by bytes: what all write requests under way may hold, decided before a body is read.
//!
//! A request is counted with [`EXPANSION`] times its size: compressed bytes, decompressed message and columns live at the
//! same time. Messages that expand more than that are bounded by the decoder's own limit and by the number of decoders.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes held for each byte received.
const EXPANSION: usize = 4;
/// One permit stands for this many bytes: a semaphore counts to 2^32 in one acquisition.
const UNIT_BYTES: usize = 1024;

/// The budget of all write requests.
pub(crate) struct Admission {
    units: Arc<Semaphore>,
    n_units: usize,
}

/// A part of the budget, given back on drop.
pub(crate) struct Admitted {
    _units: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        let n_units = (budget_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(n_units)), n_units }
    }

    /// Room for a body of `bytes`; `None` when others hold it. Does not wait: senders back off better than we queue.
    pub(crate) fn admit(&self, bytes: usize) -> Option<Admitted> {
        // A single body larger than the whole budget passes when it is alone.
        let units = bytes.saturating_mul(EXPANSION).div_ceil(UNIT_BYTES).clamp(1, self.n_units);
        let units = u32::try_from(units).ok()?;
        Arc::clone(&self.units).try_acquire_many_owned(units).ok().map(|permit| Admitted { _units: permit })
    }

    /// Bytes in all.
    pub(crate) fn budget(&self) -> usize {
        self.n_units * UNIT_BYTES
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        (self.n_units - self.units.available_permits().min(self.n_units)) * UNIT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_shared_and_given_back() {
        let admission = Admission::new(64 * 1024);
        let half = admission.admit(8 * 1024).expect("half of the budget");
        assert_eq!(admission.used(), 32 * 1024);
        assert!(admission.admit(16 * 1024).is_none());
        drop(half);
        assert!(admission.admit(usize::MAX).is_some());
        assert_eq!(admission.used(), 0);
    }
}
