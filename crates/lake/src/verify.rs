//! Reading a data file to its last byte, as a scrubber or a person in doubt wants it.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::chunk_file::ChunkFile;
use crate::entry::FileEntry;
use crate::error::LakeError;
use crate::rollup_file::RollupFile;
use crate::series_file::read_series_file;
use crate::table::TableKind;

/// Rows whose chunks are in memory at a time.
const ROWS: usize = 4096;

/// What a sound file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Rows: chunks or series.
    pub rows: u64,
    /// Samples decoded.
    pub samples: u64,
}

/// Reads every byte of a file, compares every checksum and decodes every chunk.
///
/// # Errors
/// [`LakeError::Missing`], [`LakeError::Damaged`] or [`LakeError::Io`].
pub fn verify_file(store: &Arc<dyn ObjectStore>, kind: TableKind, entry: &FileEntry) -> Result<FileFacts, LakeError> {
    match kind {
        TableKind::Series => Ok(FileFacts { rows: read_series_file(store, entry)?.len() as u64, samples: 0 }),
        TableKind::Chunks => verify_chunks(store, entry),
        TableKind::Rollup => verify_rollups(store, entry),
    }
}

fn verify_rollups(store: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<FileFacts, LakeError> {
    let file = RollupFile::open(Arc::clone(store), entry)?;
    file.verify()?;
    let (mut rows, mut buckets) = (0, Vec::new());
    let mut series = file.series()?;
    series.sort_unstable();
    series.dedup();
    for id in series {
        buckets.clear();
        file.read(id, &mut buckets)?;
        rows += buckets.len() as u64;
    }
    if rows != entry.rows {
        return Err(LakeError::damaged(file.key(), format!("{rows} rows, the commit says {}", entry.rows)));
    }
    Ok(FileFacts { rows, samples: 0 })
}

fn verify_chunks(store: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<FileFacts, LakeError> {
    let file = ChunkFile::open(Arc::clone(store), entry)?;
    file.verify()?;
    let keys = file.keys()?;
    let (mut samples, mut timestamps, mut values) = (0, Vec::new(), Vec::new());
    let rows: Vec<u32> = (0..file.rows()).collect();
    for rows in rows.chunks(ROWS) {
        for (&row, chunk) in rows.iter().zip(file.fetch(rows)?) {
            let (at, fault) = (row as usize, |why: String| LakeError::damaged(file.key(), format!("row {row}: {why}")));
            timestamps.clear();
            values.clear();
            codec::decode_samples(&chunk.ts, &chunk.values, &mut timestamps, &mut values)
                .map_err(|err| fault(err.to_string()))?;
            let is_as_said = timestamps.len() as u64 == u64::from(keys.count[at])
                && timestamps.first() == Some(&keys.min_ts[at])
                && timestamps.last() == Some(&keys.max_ts[at]);
            if !is_as_said {
                return Err(fault(format!("{} samples do not fit its keys", timestamps.len())));
            }
            samples += timestamps.len() as u64;
        }
    }
    if samples != entry.samples {
        return Err(LakeError::damaged(file.key(), format!("{samples} samples, the commit says {}", entry.samples)));
    }
    Ok(FileFacts { rows: u64::from(file.rows()), samples })
}
