//! Memtable → chunk files → one commit.
//!
//! ```text
//!   freeze (at an exact log position) ─▶ rows by day ─▶ series file, chunk files ─▶ commit + txn ─▶ drop memtable ─▶ cut log
//! ```
//!
//! The commit carries the last log position that its files cover, so a crash anywhere leaves either the log or the files
//! in charge of every sample, never both and never none.

use std::sync::Arc;

use lake::{Commit, FileEntry, LakeError, SeriesRow};
use series::TimeRange;

use crate::error::StoreError;
use crate::index::SeriesNumber;
use crate::memtable::Memtable;
use crate::rows::{ChunkSamples, RowsByDay, date_of};
use crate::state::OpenFile;
use crate::store::Shared;

/// `txn` application id of the one writer of an unclustered store: it owns all shard groups.
pub(crate) const APP_ID: &str = "g*";
/// Epoch in the high bits, log position below (the first epoch of a store is 1).
const EPOCH: i64 = 1 << 40;

/// The `txn` version that stands for log position `lsn`.
pub(crate) fn txn_version(lsn: u64) -> i64 {
    EPOCH + lsn.min(EPOCH as u64 - 1) as i64
}

/// The log position that a `txn` version stands for.
pub(crate) fn flushed_lsn(version: i64) -> u64 {
    (version % EPOCH) as u64
}

/// Writes one frozen memtable out and replaces it by its files.
pub(crate) fn flush_table(shared: &Shared, table: &Arc<Memtable>) -> Result<(), StoreError> {
    let Some((first_lsn, last_lsn)) = table.lsns() else { return Ok(()) };
    let numbers = sorted_numbers(shared, table);
    add_to_dictionary(shared, &numbers, last_lsn)?;
    let rows = encode(shared, table, &numbers);
    let mut adds = Vec::with_capacity(rows.0.len());
    for (day, rows) in &rows.0 {
        adds.push(put_rows(shared, *day, 0, rows, (first_lsn, last_lsn))?);
    }
    let files = adds.iter().map(|entry| OpenFile::open(&shared.disk, entry.clone())).collect::<Result<Vec<_>, _>>()?;
    commit(shared, Change { adds, removes: Vec::new(), flushed: Some(last_lsn), operation: "WRITE" })?;
    shared.tables.state.flushed(table, files);
    Ok(())
}

/// What a commit changes.
pub(crate) struct Change {
    pub(crate) adds: Vec<FileEntry>,
    pub(crate) removes: Vec<String>,
    /// Last log position now in files, when it moves.
    pub(crate) flushed: Option<u64>,
    pub(crate) operation: &'static str,
}

/// Commits to the chunk table; an unknown outcome is asked again with the same id until it is known.
pub(crate) fn commit(shared: &Shared, change: Change) -> Result<(), StoreError> {
    const TRIES: usize = 5;
    let commit = Commit {
        data_change: change.flushed.is_some(),
        txns: change.flushed.map(|lsn| (APP_ID.to_owned(), txn_version(lsn))).into_iter().collect(),
        adds: change.adds,
        removes: change.removes,
        operation: change.operation,
        at: shared.clock.now().0,
        id: shared.ids.next(),
    };
    let mut last = shared.tables.chunks.commit(commit.clone());
    for _ in 1..TRIES {
        match last {
            Err(LakeError::Unknown { .. }) => last = shared.tables.chunks.commit(commit.clone()),
            _ => break,
        }
    }
    last.map(drop).map_err(StoreError::from)
}

/// Encodes and durably writes the rows of one day.
pub(crate) fn put_rows(
    shared: &Shared,
    day: i64,
    level: u8,
    rows: &[lake::ChunkRow],
    lsns: (u64, u64),
) -> Result<FileEntry, StoreError> {
    let file = lake::encode_chunk_file(rows)?;
    let (date, min_ts, id) = (date_of(day), file.min_ts, shared.ids.next());
    Ok(shared.tables.chunks.put_file(Some(&date), level, min_ts, id, file, lsns.0, lsns.1)?)
}

/// Numbers of the table's series in file order: by metric, then by id.
fn sorted_numbers(shared: &Shared, table: &Memtable) -> Vec<SeriesNumber> {
    let mut numbers = table.numbers();
    let index = shared.tables.index();
    numbers.sort_by_cached_key(|&number| {
        let entry = index.entry(number);
        (entry.labels.metric().to_owned(), entry.id.0)
    });
    numbers
}

fn encode(shared: &Shared, table: &Memtable, numbers: &[SeriesNumber]) -> RowsByDay {
    let mut rows = RowsByDay::default();
    let mut metric: Arc<str> = Arc::from("");
    for &number in numbers {
        let id = {
            let index = shared.tables.index();
            let entry = index.entry(number);
            if *metric != *entry.labels.metric() {
                metric = Arc::from(entry.labels.metric());
            }
            entry.id
        };
        rows.add(&metric, id, &table.read(number, TimeRange::ALL), ChunkSamples::FRESH);
    }
    rows
}

/// Adds the series that no earlier flush has described to the series table, in a commit of its own before the chunks:
/// chunks then never refer to an unknown series.
fn add_to_dictionary(shared: &Shared, numbers: &[SeriesNumber], last_lsn: u64) -> Result<(), StoreError> {
    let mut described = shared.described.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let new: Vec<SeriesNumber> = numbers.iter().copied().filter(|&number| !described.contains(number)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let rows: Vec<SeriesRow> = new.iter().map(|&number| dictionary_row(shared, number)).collect();
    let file = lake::encode_series_file(&rows)?;
    let min_ts = file.min_ts;
    let entry = shared.tables.dictionary.put_file(None, 0, min_ts, shared.ids.next(), file, last_lsn, last_lsn)?;
    shared.tables.dictionary.commit(Commit {
        adds: vec![entry],
        removes: Vec::new(),
        txns: Vec::new(),
        operation: "WRITE",
        at: shared.clock.now().0,
        id: shared.ids.next(),
        data_change: true,
    })?;
    described.extend(new);
    Ok(())
}

fn dictionary_row(shared: &Shared, number: SeriesNumber) -> SeriesRow {
    let index = shared.tables.index();
    let entry = index.entry(number);
    let metadata = shared.tables.metadata_of(entry.labels.metric()).unwrap_or_default();
    SeriesRow {
        series_id: entry.id.0,
        metric: entry.labels.metric().to_owned(),
        labels: entry.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        first_day: day_number(entry.first()),
        last_day: day_number(entry.last().unwrap_or(entry.first())),
        kind: metadata.kind.as_str().to_owned(),
        unit: metadata.unit,
        help: metadata.help,
    }
}

/// Days since 1970-01-01; times that a day number cannot hold go to the nearest end.
fn day_number(at: i64) -> i32 {
    let day = at.div_euclid(86_400_000);
    i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_positions_survive_the_epoch_bits() {
        for lsn in [0, 1, 12_345, (1 << 40) - 1] {
            assert_eq!(flushed_lsn(txn_version(lsn)), lsn);
        }
    }
}
