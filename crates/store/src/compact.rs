//! Merging the files of a day into one: repeats dropped, chunks re-encoded long.
//!
//! Series are read in blocks, so decoded samples of one block only are in memory at a time; the encoded output of a day
//! is held until it is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use series::{Columns, SeriesId};

use crate::error::StoreError;
use crate::flush::{Change, commit, put_rows};
use crate::merge;
use crate::rows::{ChunkSamples, RowsByDay};
use crate::set::decode_chunk;
use crate::state::OpenFile;
use crate::store::Shared;

/// Series decoded at a time.
const BLOCK: usize = 512;
const DAY: i64 = 86_400_000;

/// The days that have at least `files_min` files, or a file that was never compacted when `files_min` is 1.
pub(crate) fn choose_days(files: &[Arc<OpenFile>], files_min: usize) -> Vec<(i64, Vec<Arc<OpenFile>>)> {
    let mut days: BTreeMap<i64, Vec<Arc<OpenFile>>> = BTreeMap::new();
    for file in files {
        days.entry(file.entry.min_ts.div_euclid(DAY)).or_default().push(Arc::clone(file));
    }
    days.retain(|_, files| files.len() >= files_min.max(1) && (files.len() > 1 || files[0].entry.level == 0));
    days.into_iter().collect()
}

/// Merges `inputs`, all files of `day` by rising log position, into one.
pub(crate) fn compact_day(shared: &Shared, day: i64, inputs: &[Arc<OpenFile>]) -> Result<(), StoreError> {
    let mut rows = RowsByDay::default();
    for block in ordered_series(shared, inputs)?.chunks(BLOCK) {
        merge_block(inputs, block, &mut rows)?;
    }
    let lsn_lo = inputs.iter().map(|file| file.entry.lsn_lo).min().unwrap_or(0);
    let lsn_hi = inputs.iter().map(|file| file.entry.lsn_hi).max().unwrap_or(0);
    let closed = day < shared.clock.now().0.div_euclid(DAY);
    let mut adds = Vec::new();
    for (day, rows) in &rows.0 {
        adds.push(put_rows(shared, *day, if closed { 2 } else { 1 }, rows, (lsn_lo, lsn_hi))?);
    }
    let outputs =
        adds.iter().map(|entry| OpenFile::open(&shared.disk, entry.clone())).collect::<Result<Vec<_>, _>>()?;
    let removes = inputs.iter().map(|file| file.entry.path.clone()).collect();
    commit(shared, Change { adds, removes, flushed: None, operation: "OPTIMIZE" })?;
    shared.tables.state.compacted(inputs, outputs);
    Ok(())
}

/// Every series of the inputs with its metric, in file order.
fn ordered_series(shared: &Shared, inputs: &[Arc<OpenFile>]) -> Result<Vec<(Arc<str>, SeriesId)>, StoreError> {
    let mut ids: Vec<u64> = Vec::new();
    for file in inputs {
        ids.extend_from_slice(&file.file.keys()?.series_id);
    }
    ids.sort_unstable();
    ids.dedup();
    let index = shared.tables.index();
    let mut metrics: BTreeMap<&str, Arc<str>> = BTreeMap::new();
    let mut series = Vec::with_capacity(ids.len());
    for id in ids.into_iter().map(SeriesId) {
        // The dictionary is committed before the chunks, so an id without labels means a damaged dictionary, and that
        // stops the store from opening. The samples are kept all the same.
        let metric = index.find_id(id).map_or("", |number| index.entry(number).labels.metric());
        series.push((Arc::clone(metrics.entry(metric).or_insert_with(|| Arc::from(metric))), id));
    }
    series.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    Ok(series)
}

fn merge_block(
    inputs: &[Arc<OpenFile>],
    block: &[(Arc<str>, SeriesId)],
    rows: &mut RowsByDay,
) -> Result<(), StoreError> {
    let mut runs: Vec<Vec<Columns>> = vec![Vec::new(); block.len()];
    for file in inputs {
        read_block(file, block, &mut runs)?;
    }
    for ((metric, id), runs) in block.iter().zip(runs) {
        let mut merged = Columns::default();
        merge::merge(runs, &mut merged);
        rows.add(metric, *id, &merged, ChunkSamples::COMPACTED);
    }
    Ok(())
}

fn read_block(file: &OpenFile, block: &[(Arc<str>, SeriesId)], runs: &mut [Vec<Columns>]) -> Result<(), StoreError> {
    let keys = file.file.keys()?;
    let mut wanted: Vec<(u32, usize)> = Vec::new();
    for (at, (_, id)) in block.iter().enumerate() {
        wanted.extend(keys.rows_of(id.0).map(|row| (row, at)));
    }
    wanted.sort_unstable();
    let rows: Vec<u32> = wanted.iter().map(|&(row, _)| row).collect();
    let mut decoded: Vec<Columns> = vec![Columns::default(); block.len()];
    for (&(_, at), bytes) in wanted.iter().zip(file.file.fetch(&rows)?) {
        decode_chunk(&bytes, &mut decoded[at])
            .map_err(|why| lake::LakeError::Damaged { file: file.entry.path.clone(), why })?;
    }
    for (runs, columns) in runs.iter_mut().zip(decoded) {
        if !columns.is_empty() {
            runs.push(columns);
        }
    }
    Ok(())
}
