//! The series table kept short: many small files become few, and series of which nothing is left are dropped.
//!
//! A flush adds a file for the series it is the first to describe, so files pile up and series that expired stay. Files
//! are merged like runs of chunks, in log order, which keeps the order in which series were met. Dropped series leave the
//! index at the next start; one that comes back before is described again.

use std::collections::HashSet;

use lake::{FileEntry, SeriesFileWriter};
use roaring::RoaringBitmap;
use series::SeriesId;

use crate::compact::{self, Shape};
use crate::error::StoreError;
use crate::state::Layers;
use crate::store::{Shared, lock};

/// Series of one file.
const FILE_ROWS: u64 = 1 << 20;

impl Shared {
    /// Merges files of the series table that are due; with `drop_dead` all of them, without the series of which nothing is
    /// left.
    pub(crate) fn tidy_dictionary(&self, drop_dead: bool) -> Result<(), StoreError> {
        let snapshot = self.tables.dictionary.snapshot();
        let mut entries: Vec<&FileEntry> = snapshot.files.values().collect();
        entries.sort_by_key(|entry| entry.lsn_hi);
        if drop_dead {
            let dead = self.dead_series(&entries)?;
            return if dead.is_empty() { Ok(()) } else { self.merge_dictionary(&entries, &dead) };
        }
        let shape = |entry: &&FileEntry| Shape {
            level: entry.level.min(1),
            bytes: entry.size,
            committed_at: entry.committed_at,
        };
        let shapes: Vec<Shape> = entries.iter().map(shape).collect();
        match compact::choose(&shapes, i64::MAX, self.clock.now().0) {
            Some(merge) => self.merge_dictionary(&entries[merge.runs], &HashSet::new()),
            None => Ok(()),
        }
    }

    /// Described series that no file and no memtable holds. None when hashes have collided: identities then depend on the
    /// order of all series ever met.
    fn dead_series(&self, entries: &[&FileEntry]) -> Result<HashSet<u64>, StoreError> {
        let mut described = HashSet::new();
        for entry in entries {
            lake::scan_series_file(&self.disk, entry, |row, _| {
                described.insert(row.series_id);
                Ok(())
            })?;
        }
        let index = self.tables.index();
        let collided = |id: &u64| index.find_id(SeriesId(*id)).is_none_or(|n| index.entry(n).labels.id().0 != *id);
        if described.iter().any(collided) {
            return Ok(HashSet::new());
        }
        drop(index);
        self.without_living(described, &self.tables.state.layers())
    }

    fn without_living(&self, mut ids: HashSet<u64>, layers: &Layers) -> Result<HashSet<u64>, StoreError> {
        for file in &layers.files {
            for (id, _) in file.file.keys()?.series() {
                ids.remove(&id);
            }
        }
        for file in layers.rollups.iter().flatten() {
            for id in file.file.series()? {
                ids.remove(&id);
            }
        }
        let index = self.tables.index();
        for table in layers.frozen.iter().chain([&layers.active]) {
            for number in table.numbers() {
                ids.remove(&index.entry(number).id.0);
            }
        }
        Ok(ids)
    }

    fn merge_dictionary(&self, inputs: &[&FileEntry], dead: &HashSet<u64>) -> Result<(), StoreError> {
        let (mut adds, mut file) = (Vec::new(), None);
        let lsns = (
            inputs.iter().map(|entry| entry.lsn_lo).min().unwrap_or(0),
            inputs.iter().map(|entry| entry.lsn_hi).max().unwrap_or(0),
        );
        for entry in inputs {
            let mut rows = 0;
            lake::scan_series_file(&self.disk, entry, |row, labels| {
                if dead.contains(&row.series_id) {
                    return Ok(());
                }
                if file.is_none() {
                    file = Some((SeriesFileWriter::new()?, 0));
                }
                if let Some((file, written)) = &mut file {
                    file.push(row, labels)?;
                    *written += 1;
                    rows = *written;
                }
                Ok(())
            })?;
            if rows >= FILE_ROWS {
                self.put_series(&mut file, lsns, &mut adds)?;
            }
        }
        self.put_series(&mut file, lsns, &mut adds)?;
        self.replace_dictionary(inputs, adds, dead)
    }

    fn put_series(
        &self,
        file: &mut Option<(SeriesFileWriter, u64)>,
        (lo, hi): (u64, u64),
        adds: &mut Vec<FileEntry>,
    ) -> Result<(), StoreError> {
        let Some((file, _)) = file.take() else { return Ok(()) };
        let file = file.finish()?;
        let min_ts = file.min_ts;
        adds.push(self.tables.dictionary.put_file(None, 1, min_ts, self.ids.next(), file, lo, hi)?);
        Ok(())
    }

    /// Commits; a series that came back in the meantime calls it off.
    fn replace_dictionary(
        &self,
        inputs: &[&FileEntry],
        adds: Vec<FileEntry>,
        dead: &HashSet<u64>,
    ) -> Result<(), StoreError> {
        // No flush may find a series described that is being dropped.
        let _no_flush = (!dead.is_empty()).then(|| lock(&self.flushing));
        if !dead.is_empty() {
            let still = self.without_living(dead.clone(), &self.tables.state.layers())?;
            if still.len() < dead.len() {
                return Ok(());
            }
        }
        let removes = inputs.iter().map(|entry| entry.path.clone()).collect();
        let operation = if dead.is_empty() { "OPTIMIZE" } else { "DELETE" };
        compact::commit(self, &self.tables.dictionary, adds, removes, operation)?;
        let index = self.tables.index();
        let gone: RoaringBitmap = dead.iter().filter_map(|id| index.find_id(SeriesId(*id))).collect();
        *lock(&self.described) -= gone;
        Ok(())
    }
}
