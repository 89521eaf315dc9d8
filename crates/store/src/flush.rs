//! Memtable → chunk files → one commit.
//!
//! ```text
//!   freeze (at an exact log position) ─▶ rows by day ─▶ series file, chunk files ─▶ commit + txn ─▶ drop memtable ─▶ cut log
//! ```
//!
//! The commit carries the last log position that its files cover, so a crash anywhere leaves either the log or the files
//! in charge of every sample, never both and never none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use lake::{ChunkFileWriter, ChunkRow, Commit, EncodedFile, FileEntry, LakeError, SeriesFileWriter, SeriesRef};
use series::{Columns, SeriesId};

use crate::error::StoreError;
use crate::index::SeriesNumber;
use crate::memtable::Memtable;
use crate::rows::{ChunkSamples, DAY, RowsByDay, date_of, for_each_chunk};
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

/// Days written at a time: each holds the buffers of a file. A table with more of them is read again for the others.
const DAYS_AT_ONCE: usize = 32;
/// Series described under one lock of the index.
const SERIES_AT_ONCE: usize = 1024;

/// Writes one frozen memtable out and replaces it by its files.
pub(crate) fn flush_table(shared: &Shared, table: &Arc<Memtable>) -> Result<(), StoreError> {
    let Some((first_lsn, last_lsn)) = table.lsns() else { return Ok(()) };
    let mut numbers = table.numbers();
    add_to_dictionary(shared, &mut numbers, last_lsn)?;
    let mut adds = put_table(shared, table, &numbers, (first_lsn, last_lsn))?;
    let at = shared.clock.now().0;
    adds.iter_mut().for_each(|entry| entry.committed_at = at);
    let files = adds.iter().map(|entry| OpenFile::open(&shared.disk, entry.clone())).collect::<Result<Vec<_>, _>>()?;
    commit(shared, Change { adds, removes: Vec::new(), flushed: Some(last_lsn), operation: "WRITE", at })?;
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
    /// When, in milliseconds.
    pub(crate) at: i64,
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
        at: change.at,
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

/// The table's series in file order: by metric, then by id.
struct Ordered {
    metrics: Vec<Arc<str>>,
    /// Place of the metric, id, number.
    series: Vec<(u32, SeriesId, SeriesNumber)>,
}

impl Ordered {
    fn new(shared: &Shared, numbers: &[SeriesNumber]) -> Self {
        let index = shared.tables.index();
        let (mut places, mut metrics) = (HashMap::<&str, u32>::new(), Vec::<Arc<str>>::new());
        let mut series: Vec<_> = numbers
            .iter()
            .map(|&number| {
                let entry = index.entry(number);
                let metric = entry.labels.metric();
                let place = *places.entry(metric).or_insert_with(|| {
                    metrics.push(Arc::from(metric));
                    metrics.len() as u32 - 1
                });
                (place, entry.id, number)
            })
            .collect();
        drop(places);
        drop(index);
        let mut sorted: Vec<u32> = (0..metrics.len() as u32).collect();
        sorted.sort_unstable_by_key(|&place| &metrics[place as usize]);
        let mut rank = vec![0; metrics.len()];
        for (at, &place) in sorted.iter().enumerate() {
            rank[place as usize] = at as u32;
        }
        for (place, _, _) in &mut series {
            *place = rank[*place as usize];
        }
        series.sort_unstable();
        metrics.sort_unstable();
        Self { metrics, series }
    }
}

/// Writes the chunks of all series, a file a day.
fn put_table(
    shared: &Shared,
    table: &Memtable,
    numbers: &[SeriesNumber],
    lsns: (u64, u64),
) -> Result<Vec<FileEntry>, StoreError> {
    let ordered = Ordered::new(shared, numbers);
    let (mut files, mut left) = encode_days(table, &ordered, None)?;
    let mut entries = Vec::new();
    loop {
        for (day, file) in files {
            entries.push(put_file(shared, day, 0, file.finish()?, lsns)?);
        }
        if left.is_empty() {
            return Ok(entries);
        }
        let some: BTreeSet<i64> = left.iter().copied().take(DAYS_AT_ONCE).collect();
        left.retain(|day| !some.contains(day));
        files = encode_days(table, &ordered, Some(&some))?.0;
    }
}

type DayFiles = BTreeMap<i64, ChunkFileWriter>;

/// Encodes the days `only`; without it the first ones met, and then it answers which others there are.
fn encode_days(
    table: &Memtable,
    ordered: &Ordered,
    only: Option<&BTreeSet<i64>>,
) -> Result<(DayFiles, BTreeSet<i64>), StoreError> {
    let mut days = Days { only, files: DayFiles::new(), later: BTreeSet::new(), fault: None };
    for &(metric, id, number) in &ordered.series {
        let (samples, packed) = table.read_whole(number);
        let metric = &ordered.metrics[metric as usize];
        if let Some(packed) = packed.filter(|_| is_worth_keeping(&samples.floats)) {
            let Columns { timestamps, values } = &samples.floats;
            let day = timestamps[0].div_euclid(DAY);
            days.push(day, || ChunkRow::packed(Arc::clone(metric), id.0, timestamps, values, &packed));
        } else if samples.histograms.is_empty() {
            let floats = &samples.floats;
            for_each_chunk(&floats.timestamps, ChunkSamples::FRESH, |day, chunk| {
                let (timestamps, values) = (&floats.timestamps[chunk.clone()], &floats.values[chunk]);
                days.push(day, || ChunkRow::encode(Arc::clone(metric), id.0, timestamps, values));
            });
        } else {
            let mut rows = RowsByDay::default();
            rows.add_samples(metric, id, &samples, ChunkSamples::FRESH);
            for (day, rows) in rows.0 {
                rows.into_iter().for_each(|row| days.push(day, || row));
            }
        }
        if let Some(fault) = days.fault {
            return Err(fault.into());
        }
    }
    Ok((days.files, days.later))
}

/// Whether a run goes into one chunk, and packing it anew would not make it much shorter: then it goes as it lies in
/// memory, and only the merge that is to come packs it well.
fn is_worth_keeping(run: &Columns) -> bool {
    let (Some(first), Some(last)) = (run.timestamps.first(), run.timestamps.last()) else { return false };
    let is_constant = || run.values.iter().all(|value| value.to_bits() == run.values[0].to_bits());
    (codec::PACKED_ITEMS_MIN..=ChunkSamples::FRESH.0).contains(&run.len())
        && first.div_euclid(DAY) == last.div_euclid(DAY)
        && !is_constant()
}

/// Where rows go.
struct Days<'a> {
    only: Option<&'a BTreeSet<i64>>,
    files: DayFiles,
    later: BTreeSet<i64>,
    fault: Option<LakeError>,
}

impl Days<'_> {
    fn push(&mut self, day: i64, row: impl FnOnce() -> ChunkRow) {
        let is_due = match self.only {
            Some(only) => only.contains(&day),
            None => self.files.contains_key(&day) || self.files.len() < DAYS_AT_ONCE,
        };
        if is_due {
            let pushed = self.files.entry(day).or_default().push(row());
            self.fault = self.fault.take().or(pushed.err());
        } else {
            self.later.insert(day);
        }
    }
}

fn put_file(
    shared: &Shared,
    day: i64,
    level: u8,
    file: EncodedFile,
    lsns: (u64, u64),
) -> Result<FileEntry, StoreError> {
    let (date, min_ts, id) = (date_of(day), file.min_ts, shared.ids.next());
    Ok(shared.tables.chunks.put_file(Some(&date), level, min_ts, id, file, lsns.0, lsns.1)?)
}

/// Adds the series that no earlier flush has described to the series table, in a commit of its own before the chunks:
/// chunks then never refer to an unknown series. Series stand in the order of their first arrival, which keeps those of
/// one target together.
fn add_to_dictionary(shared: &Shared, numbers: &mut [SeriesNumber], last_lsn: u64) -> Result<(), StoreError> {
    let mut described = shared.described.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    numbers.sort_unstable();
    let new: Vec<SeriesNumber> = numbers.iter().copied().filter(|&number| !described.contains(number)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let mut file = SeriesFileWriter::new()?;
    for some in new.chunks(SERIES_AT_ONCE) {
        describe(shared, some, &mut file)?;
    }
    let file = file.finish()?;
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

fn describe(shared: &Shared, numbers: &[SeriesNumber], file: &mut SeriesFileWriter) -> Result<(), StoreError> {
    let index = shared.tables.index();
    for &number in numbers {
        let entry = index.entry(number);
        let metric = entry.labels.metric();
        let metadata = shared.tables.metadata_of(metric).unwrap_or_default();
        let row = SeriesRef {
            series_id: entry.id.0,
            metric,
            first_day: day_number(entry.first()),
            last_day: day_number(entry.last().unwrap_or(entry.first())),
            kind: metadata.kind.as_str(),
            unit: &metadata.unit,
            help: &metadata.help,
        };
        file.push(row, entry.labels.iter())?;
    }
    Ok(())
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
