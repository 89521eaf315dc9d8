//! The newest samples, in memory, per series; every one of them is already in the log.
//!
//! A memtable is filled by the log's writer thread and read by queries at the same time, so series are spread over
//! shards with a lock each. It is frozen when large or old enough, flushed to files, and dropped.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use series::{Columns, TimeRange};

use crate::index::{IdHash, SeriesNumber};
use crate::merge;

const SHARDS: usize = 64;
/// What a series costs beside its samples: map slot, two vector headers, allocator slack.
const SERIES_BYTES: u64 = 160;
const SAMPLE_BYTES: u64 = 16;

type Shard = HashMap<u64, Columns, IdHash>;

/// Samples per series in arrival order.
pub(crate) struct Memtable {
    shards: Vec<RwLock<Shard>>,
    bytes: AtomicU64,
    samples: AtomicU64,
    first_lsn: AtomicU64,
    last_lsn: AtomicU64,
    min_ts: AtomicI64,
    max_ts: AtomicI64,
}

impl Default for Memtable {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            bytes: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            first_lsn: AtomicU64::new(u64::MAX),
            last_lsn: AtomicU64::new(0),
            min_ts: AtomicI64::new(i64::MAX),
            max_ts: AtomicI64::new(i64::MIN),
        }
    }
}

impl Memtable {
    /// Adds samples of one series in arrival order.
    pub(crate) fn extend(&self, number: SeriesNumber, timestamps: &[i64], values: &[f64]) {
        let mut shard = write(&self.shards[number as usize % SHARDS]);
        let columns = shard.entry(u64::from(number)).or_default();
        let new_series = columns.is_empty();
        columns.timestamps.extend_from_slice(timestamps);
        columns.values.extend_from_slice(values);
        drop(shard);
        let bytes = timestamps.len() as u64 * SAMPLE_BYTES + if new_series { SERIES_BYTES } else { 0 };
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.samples.fetch_add(timestamps.len() as u64, Ordering::Relaxed);
        for &at in timestamps {
            self.min_ts.fetch_min(at, Ordering::Relaxed);
            self.max_ts.fetch_max(at, Ordering::Relaxed);
        }
    }

    /// Notes that records `first..=last` of the log are in this table.
    pub(crate) fn cover(&self, first: u64, last: u64) {
        self.first_lsn.fetch_min(first, Ordering::Relaxed);
        self.last_lsn.fetch_max(last, Ordering::Relaxed);
    }

    /// The samples of a series inside `range`, sorted, without repeats; empty if there is none.
    pub(crate) fn read(&self, number: SeriesNumber, range: TimeRange) -> Columns {
        let shard = read(&self.shards[number as usize % SHARDS]);
        let Some(columns) = shard.get(&u64::from(number)) else { return Columns::default() };
        let sorted = columns.timestamps.is_sorted();
        let span = if sorted { span_of(&columns.timestamps, range) } else { 0..columns.len() };
        let mut copy =
            Columns { timestamps: columns.timestamps[span.clone()].to_vec(), values: columns.values[span].to_vec() };
        drop(shard);
        merge::normalise(&mut copy);
        if !sorted {
            let span = span_of(&copy.timestamps, range);
            copy.timestamps.truncate(span.end);
            copy.values.truncate(span.end);
            copy.timestamps.drain(..span.start);
            copy.values.drain(..span.start);
        }
        copy
    }

    /// Numbers of the series with samples here, in no order.
    pub(crate) fn numbers(&self) -> Vec<SeriesNumber> {
        let keys = |shard: &RwLock<Shard>| read(shard).keys().map(|&key| key as SeriesNumber).collect::<Vec<_>>();
        self.shards.iter().flat_map(keys).collect()
    }

    /// Whether any sample may lie in `range`.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.samples() > 0
            && self.min_ts.load(Ordering::Relaxed) < range.end.0
            && range.start.0 <= self.max_ts.load(Ordering::Relaxed)
    }

    /// Approximate memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Samples held, repeats included.
    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// First and last log position held; `None` while empty.
    pub(crate) fn lsns(&self) -> Option<(u64, u64)> {
        let first = self.first_lsn.load(Ordering::Relaxed);
        (first != u64::MAX).then(|| (first, self.last_lsn.load(Ordering::Relaxed)))
    }
}

fn span_of(timestamps: &[i64], range: TimeRange) -> std::ops::Range<usize> {
    let start = timestamps.partition_point(|&at| at < range.start.0);
    let end = timestamps.partition_point(|&at| at < range.end.0);
    start..end.max(start)
}

// Poisoning is passed over: the only code under these locks appends to two vectors, which cannot unwind half way
// (allocation failure aborts), and refusing every later query would be worse.
fn read(lock: &RwLock<Shard>) -> std::sync::RwLockReadGuard<'_, Shard> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write(lock: &RwLock<Shard>) -> std::sync::RwLockWriteGuard<'_, Shard> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::Timestamp;

    #[test]
    fn late_samples_are_sorted_in_and_the_newest_repeat_wins() {
        let table = Memtable::default();
        table.extend(3, &[10, 30, 20, 10], &[1.0, 3.0, 2.0, 9.0]);
        let all = table.read(3, TimeRange::ALL);
        assert_eq!((all.timestamps, all.values), (vec![10, 20, 30], vec![9.0, 2.0, 3.0]));
        let part = table.read(3, TimeRange::new(Timestamp(15), Timestamp(30)));
        assert_eq!(part.timestamps, [20]);
        assert!(table.read(67, TimeRange::ALL).is_empty());
    }

    #[test]
    fn the_table_knows_its_span_in_time_and_log() {
        let table = Memtable::default();
        assert!(!table.overlaps(TimeRange::ALL) && table.lsns().is_none());
        table.extend(1, &[10], &[1.0]);
        table.cover(5, 6);
        table.cover(7, 7);
        assert_eq!(table.lsns(), Some((5, 7)));
        assert!(table.overlaps(TimeRange::new(Timestamp(10), Timestamp(11))));
        assert!(!table.overlaps(TimeRange::new(Timestamp(11), Timestamp(12))));
        assert_eq!(table.samples(), 1);
    }
}
