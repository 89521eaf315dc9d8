//! Rebuilding the index at start: series table and chunk files' keys. The log comes after, see `replay`.

use std::sync::Arc;

use lake::{FileEntry, Table};
use roaring::RoaringBitmap;
use series::LabelsRef;

use crate::damage::{Damage, Part};
use crate::error::StoreError;
use crate::index::SeriesIndex;
use crate::state::OpenFile;
use crate::tier::Disks;

/// What the tables say about series.
pub(crate) struct Dictionary {
    pub(crate) index: SeriesIndex,
    /// Numbers of the series that the series table describes.
    pub(crate) described: RoaringBitmap,
}

/// Reads the whole series table. A file that cannot be read is put aside and noted.
pub(crate) fn read_dictionary(disk: &Arc<dyn object_store::ObjectStore>, table: &Table, damage: &Damage) -> Dictionary {
    let mut dictionary = Dictionary { index: SeriesIndex::default(), described: RoaringBitmap::new() };
    let snapshot = table.snapshot();
    let mut entries: Vec<&FileEntry> = snapshot.files.values().collect();
    entries.sort_by_key(|entry| entry.lsn_hi);
    for entry in entries {
        let mut canonical = Vec::new();
        let scanned = lake::scan_series_file(disk, entry, |_, labels| {
            canonical.clear();
            series::put_canonical(labels, &mut canonical);
            let labels = LabelsRef::checked(&canonical)
                .map_err(|why| lake::LakeError::Damaged { file: entry.key(), why: why.to_string() })?;
            let number = dictionary.index.find_or_add(labels.id(), labels);
            dictionary.described.insert(number);
            Ok(())
        });
        if let Err(err) = scanned {
            damage.put_aside(entry, &err, Part::Series);
        }
    }
    dictionary
}

/// Opens the files and widens each series to the span its chunks have. What cannot be read is put aside and noted.
///
/// # Errors
/// A file in a place that the options do not name.
pub(crate) fn open_files(
    disks: &Disks,
    table: &Table,
    index: &SeriesIndex,
    damage: &Damage,
) -> Result<Vec<Arc<OpenFile>>, StoreError> {
    let snapshot = table.snapshot();
    let mut files = Vec::with_capacity(snapshot.files.len());
    for entry in snapshot.files.values() {
        if let Some((file, keys)) = damage.open_file(disks.of(entry)?, entry) {
            damage.introduce(&file, &keys, index);
            files.push(file);
        }
    }
    files.sort_by_key(|file| file.entry.lsn_hi);
    Ok(files)
}
