//! Names that never repeat: 128 bits from the start time, the process and a counter.

use std::sync::atomic::{AtomicU64, Ordering};

use series::Timestamp;

/// A number that nobody outside the process can know, from the system's own source.
pub(crate) fn secret() -> u64 {
    // The keys of the standard library's hash maps are random for the same reason.
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u64)
}

/// A source of ids of one process run.
pub(crate) struct Ids {
    high: u64,
    next: AtomicU64,
}

impl Ids {
    /// Ids of a run that began at `start`. The folder's lock lets one process write at a time, so start and process id
    /// tell runs apart.
    pub(crate) fn new(start: Timestamp) -> Self {
        let high = (start.0 as u64) << 22 | u64::from(std::process::id() & 0x3f_ffff);
        Self { high, next: AtomicU64::new(1) }
    }
}

impl store::FileIds for Ids {
    fn next(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::FileIds;

    #[test]
    fn ids_of_a_run_differ_and_runs_differ() {
        let (a, b) = (Ids::new(Timestamp(1)), Ids::new(Timestamp(2)));
        let all = [a.next(), a.next(), b.next(), b.next()];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 4);
    }
}
