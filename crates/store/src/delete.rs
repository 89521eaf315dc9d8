//! Deleting series: see `tombstone` for how a deletion works.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use series::{Matcher, TimeRange};

use crate::error::StoreError;
use crate::store::{Shared, Store, lock};
use crate::tables::Tables;
use crate::tombstone::{self, TOMBSTONES_MAX, Tombstone, Tombstones};

/// What a deletion did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Series that match; each may have had samples in the range or not.
    pub series: u64,
}

impl Store {
    /// Deletes the samples in `range` of the series that match all of any of `selectors`: durably and for every reader
    /// before this returns. Samples that arrive later are not touched.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is deleted then. [`StoreError::TooManyDeletions`] asks for [`Store::clean_deleted`].
    pub fn delete_series(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<DeleteReport, StoreError> {
        self.shared.delete_series(selectors, range)
    }

    /// Takes deleted samples out of the files now instead of at the next compaction; answers how many deletions are done.
    ///
    /// # Errors
    /// [`StoreError`]; deleted samples stay invisible.
    pub fn clean_deleted(&self) -> Result<u64, StoreError> {
        let _one = lock(&self.shared.compacting);
        self.shared.clean_deleted()
    }
}

impl Shared {
    fn delete_series(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<DeleteReport, StoreError> {
        // Held until the tombstone is seen: every file that exists before that is of a position that it speaks of.
        let _no_flush = lock(&self.flushing);
        let lsn = self.flush_memory()?.lsn;
        let ids = ids_of(&self.tables, selectors);
        let series = ids.len() as u64;
        if ids.is_empty() || range.is_empty() {
            return Ok(DeleteReport { series });
        }
        let _one = lock(&self.deleting);
        let mut list = Tombstones::clone(&self.tables.state.tombstones());
        if list.list.len() >= TOMBSTONES_MAX {
            return Err(StoreError::TooManyDeletions { limit: TOMBSTONES_MAX });
        }
        let (number, selectors, ids) = (list.next, selectors.to_vec(), Arc::new(ids));
        list.list.push(Tombstone { number, lsn, range, selectors, ids });
        list.next += 1;
        tombstone::write(&*self.storage, &list)?;
        self.tables.state.set_tombstones(list);
        self.tally.deletions.fetch_add(1, Ordering::Relaxed);
        Ok(DeleteReport { series })
    }
}

/// Identities of the series that match all of any of `selectors`.
pub(crate) fn ids_of(tables: &Tables, selectors: &[Vec<Matcher>]) -> BTreeSet<u64> {
    selectors.iter().flat_map(|matchers| tables.named(matchers)).map(|(_, id)| id.0).collect()
}
