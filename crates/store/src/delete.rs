//! Deleting series: see `tombstone` for how a deletion works.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use series::{Matcher, Resolution, TimeRange};

use crate::compact::{End, Merge};
use crate::error::StoreError;
use crate::store::{Shared, Store, lock};
use crate::tables::Tables;
use crate::tombstone::{self, TOMBSTONES_MAX, Tombstone, Tombstones};
use crate::upkeep::{Day, stored_days};

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

    /// Writes every day again that still holds deleted samples, then forgets the deletions that nothing holds any more;
    /// answers how many were forgotten.
    pub(crate) fn clean_deleted(&self) -> Result<u64, StoreError> {
        let layers = self.tables.state.layers();
        if layers.tombstones.list.is_empty() {
            return Ok(0);
        }
        for day in stored_days(&layers) {
            let mut held = false;
            for tombstone in layers.tombstones.list.iter().filter(|one| day.is_touched(one)) {
                held |= holds_deleted(&day, tombstone)?;
            }
            if held {
                let level = if day.end() <= self.clock.now().0 { 2 } else { 1 };
                if self.pass(&day, &Merge { runs: 0..day.runs.len(), level }, &layers)? == End::Stopped {
                    return Ok(0);
                }
            }
        }
        self.forget_done(&layers.tombstones)
    }

    fn forget_done(&self, seen: &Tombstones) -> Result<u64, StoreError> {
        let layers = self.tables.state.layers();
        let days = stored_days(&layers);
        let mut done = BTreeSet::new();
        for tombstone in &seen.list {
            let mut held = false;
            for day in days.iter().filter(|day| day.is_touched(tombstone)) {
                held |= holds_deleted(day, tombstone)?;
            }
            if !held {
                done.insert(tombstone.number);
            }
        }
        let _one = lock(&self.deleting);
        let mut left = Tombstones::clone(&self.tables.state.tombstones());
        left.list.retain(|one| !done.contains(&one.number));
        tombstone::write(&*self.storage, &left)?;
        self.tables.state.set_tombstones(left);
        Ok(done.len() as u64)
    }
}

/// Whether a file of the day still holds something that the deletion speaks of.
fn holds_deleted(day: &Day, tombstone: &Tombstone) -> Result<bool, StoreError> {
    let (first, last) = (tombstone.range.start.0, tombstone.range.end.0.saturating_sub(1));
    for file in day.runs.iter().flat_map(|run| &run.files).filter(|file| tombstone.cuts(&file.entry)) {
        let keys = file.file.keys()?;
        if tombstone.ids.iter().any(|&id| keys.rows_between(id, first, last).next().is_some()) {
            return Ok(true);
        }
    }
    for (files, resolution) in day.rollups.iter().zip(Resolution::ALL) {
        for file in files.iter().filter(|file| file.entry.cleaned < tombstone.number) {
            let touched =
                tombstone.overlaps(file.entry.min_ts, file.entry.max_ts.saturating_add(resolution.millis() - 1));
            if touched && file.file.series()?.iter().any(|id| tombstone.ids.contains(id)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Identities of the series that match all of any of `selectors`.
pub(crate) fn ids_of(tables: &Tables, selectors: &[Vec<Matcher>]) -> BTreeSet<u64> {
    selectors.iter().flat_map(|matchers| tables.named(matchers)).map(|(_, id)| id.0).collect()
}
