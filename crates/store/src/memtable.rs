//! The newest samples, in memory, per series; every one of them is already in the log.
//!
//! ```text
//!   log's writer thread ─▶ Filler ─▶ shard (lock) ─▶ packed samples     1–4 bytes a sample, see `packed`
//!   query, flush ─────────▶ read ──▶ copy of the bytes ─▶ Columns       the lock is held for the copy only
//! ```
//!
//! A memtable is filled by one thread and read by many. It is frozen when large or old enough, flushed to files, and
//! dropped as a whole.

mod histograms;
mod shard;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use series::{Columns, HistogramSample, TimeRange};

use crate::histograms::Samples;
use crate::index::SeriesNumber;
use crate::merge;
use histograms::HistogramTable;
use shard::{Copied, PAGE_SERIES, Shard};

/// Neighbouring series arrive together, so a whole page of them shares a shard and a batch seldom changes locks.
const SHARDS: usize = 16;

/// Samples per series in arrival order.
pub(crate) struct Memtable {
    shards: Vec<RwLock<Shard>>,
    histograms: HistogramTable,
    bytes: AtomicU64,
    samples: AtomicU64,
    first_lsn: AtomicU64,
    last_lsn: AtomicU64,
    min_ts: AtomicI64,
    max_ts: AtomicI64,
}

/// What a memtable held of one series.
pub(crate) enum MemoryRun {
    /// Floats in arrival order.
    Packed(Copied),
    /// Sorted and cut to the range asked for.
    Settled(Samples),
}

/// Adds samples to a table, keeping the lock of the shard it is in. What it added is counted when it is dropped.
pub(crate) struct Filler<'a> {
    table: &'a Memtable,
    held: Option<(usize, RwLockWriteGuard<'a, Shard>)>,
    bytes: u64,
    samples: u64,
    min_ts: i64,
    max_ts: i64,
}

impl Default for Memtable {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            histograms: HistogramTable::default(),
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
    /// Begins to add samples. One filler at a time, or they wait for each other's locks.
    pub(crate) fn filler(&self) -> Filler<'_> {
        Filler { table: self, held: None, bytes: 0, samples: 0, min_ts: i64::MAX, max_ts: i64::MIN }
    }

    /// Notes that records `first..=last` of the log are in this table.
    pub(crate) fn cover(&self, first: u64, last: u64) {
        self.first_lsn.fetch_min(first, Ordering::Relaxed);
        self.last_lsn.fetch_max(last, Ordering::Relaxed);
    }

    /// The samples of a series inside `range`, sorted, without repeats; empty if there is none. A time that came as a
    /// float and as a histogram is answered by the later of the two.
    pub(crate) fn read(&self, number: SeriesNumber, range: TimeRange) -> Samples {
        self.histograms.beside(number, range, self.read_floats(number, range))
    }

    /// All samples of a series, and the bytes they are packed in where those can go into a file as they are: floats only,
    /// in the order of time.
    pub(crate) fn read_whole(&self, number: SeriesNumber) -> (Samples, Option<Vec<u8>>) {
        let (shard, local) = place(number);
        let copied = read(&self.shards[shard]).copy(local);
        let packed = copied.filter(|copied| copied.is_sorted && !self.histograms.has(number));
        match packed {
            Some(copied) => {
                let samples = Samples { floats: copied.columns(), histograms: Vec::new() };
                (samples, Some(copied.into_bytes()))
            }
            None => (self.read(number, TimeRange::ALL), None),
        }
    }

    /// As [`Memtable::read`], as bytes to be unpacked later where that is possible; `None` if there is certainly nothing.
    pub(crate) fn copy(&self, number: SeriesNumber, range: TimeRange) -> Option<MemoryRun> {
        if self.histograms.has(number) {
            let samples = self.read(number, range);
            return (!samples.is_empty()).then_some(MemoryRun::Settled(samples));
        }
        let (shard, local) = place(number);
        let copied = read(&self.shards[shard]).copy(local);
        copied.filter(|copied| copied.may_touch(range)).map(MemoryRun::Packed)
    }

    fn read_floats(&self, number: SeriesNumber, range: TimeRange) -> Columns {
        let (shard, local) = place(number);
        let Some(copied) = read(&self.shards[shard]).copy(local) else { return Columns::default() };
        let mut columns = Columns::default();
        append(&copied, range, &mut columns);
        columns
    }

    /// Numbers of the series with samples here, in no order.
    pub(crate) fn numbers(&self) -> Vec<SeriesNumber> {
        let mut numbers = Vec::new();
        for (shard, slot) in self.shards.iter().enumerate() {
            numbers.extend(read(slot).locals().map(|local| number(shard, local)));
        }
        let with_histograms = self.histograms.numbers();
        if !with_histograms.is_empty() {
            numbers.extend(with_histograms);
            numbers.sort_unstable();
            numbers.dedup();
        }
        numbers
    }

    /// Whether any sample may lie in `range`.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.samples() > 0
            && self.min_ts.load(Ordering::Relaxed) < range.end.0
            && range.start.0 <= self.max_ts.load(Ordering::Relaxed)
    }

    /// First and last time of its samples; `None` while empty.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        (self.samples() > 0).then(|| (self.min_ts.load(Ordering::Relaxed), self.max_ts.load(Ordering::Relaxed)))
    }

    /// Memory of the samples and of what is kept beside each series.
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

impl MemoryRun {
    /// Appends the samples inside `range`, as they lay in the table when the copy was made: sorted, without repeats.
    pub(crate) fn read(&self, range: TimeRange, out: &mut Samples) {
        self.read_floats(range, &mut out.floats);
        if let Self::Settled(samples) = self {
            out.histograms.extend_from_slice(crate::histograms::part(&samples.histograms, range));
        }
    }

    /// As [`MemoryRun::read`], floats only.
    pub(crate) fn read_floats(&self, range: TimeRange, out: &mut Columns) {
        match self {
            Self::Settled(samples) => merge::append_inside(&samples.floats, range, out),
            Self::Packed(copied) => append(copied, range, out),
        }
    }

    /// Time of the oldest float, or something before it.
    pub(crate) fn first(&self) -> Option<i64> {
        match self {
            Self::Settled(samples) => samples.floats.timestamps.first().copied(),
            Self::Packed(copied) if copied.is_sorted => copied.first_time(),
            Self::Packed(_) => Some(i64::MIN),
        }
    }

    pub(crate) fn has_histograms(&self) -> bool {
        matches!(self, Self::Settled(samples) if !samples.histograms.is_empty())
    }
}

/// Appends the samples of a copy that lie inside `range`.
fn append(copied: &Copied, range: TimeRange, out: &mut Columns) {
    if copied.is_sorted {
        let start = out.len();
        copied.append_to(out);
        return merge::clip_tail(out, start, range);
    }
    let mut columns = copied.columns();
    merge::normalise(&mut columns);
    merge::append_inside(&columns, range, out);
}

impl Filler<'_> {
    /// Adds samples of one series in arrival order.
    #[inline]
    pub(crate) fn add(&mut self, number: SeriesNumber, timestamps: &[i64], values: &[f64]) {
        let (shard, local) = place(number);
        if self.held.as_ref().is_none_or(|(held, _)| *held != shard) {
            self.held = None; // Let go first: two locks at a time could meet a reader's in another order.
            self.held = Some((shard, write(&self.table.shards[shard])));
        }
        let Some((_, shard)) = &mut self.held else { return };
        for (&at, &value) in timestamps.iter().zip(values) {
            self.bytes += shard.push(local, at, value) as u64;
            self.min_ts = self.min_ts.min(at);
            self.max_ts = self.max_ts.max(at);
        }
        self.samples += timestamps.len() as u64;
        self.table.histograms.floats_came(number, timestamps);
    }

    /// Adds one sample.
    #[inline]
    pub(crate) fn add_one(&mut self, number: SeriesNumber, at: i64, value: f64) {
        self.add(number, &[at], &[value]);
    }

    /// Adds native histograms of one series in arrival order.
    pub(crate) fn add_histograms(&mut self, number: SeriesNumber, samples: &[HistogramSample]) {
        self.bytes += self.table.histograms.add(number, samples) as u64;
        self.samples += samples.len() as u64;
        for sample in samples {
            self.min_ts = self.min_ts.min(sample.at.0);
            self.max_ts = self.max_ts.max(sample.at.0);
        }
    }
}

impl Drop for Filler<'_> {
    fn drop(&mut self) {
        let table = self.table;
        table.bytes.fetch_add(self.bytes, Ordering::Relaxed);
        table.min_ts.fetch_min(self.min_ts, Ordering::Relaxed);
        table.max_ts.fetch_max(self.max_ts, Ordering::Relaxed);
        // Last: a table with samples has a span.
        table.samples.fetch_add(self.samples, Ordering::Release);
    }
}

/// Number of the shard that a series is in. A filler holds one shard's lock at a time.
#[inline]
pub(crate) fn shard_of(number: SeriesNumber) -> usize {
    number as usize / PAGE_SERIES % SHARDS
}

/// Shard and local number of a series.
#[inline]
fn place(number: SeriesNumber) -> (usize, usize) {
    let (page, slot) = (number as usize / PAGE_SERIES, number as usize % PAGE_SERIES);
    (page % SHARDS, page / SHARDS * PAGE_SERIES + slot)
}

/// Inverse of [`place`].
fn number(shard: usize, local: usize) -> SeriesNumber {
    ((local / PAGE_SERIES * SHARDS + shard) * PAGE_SERIES + local % PAGE_SERIES) as SeriesNumber
}

// Poisoning is passed over: the code under these locks copies bytes inside bounds it has just computed, and refusing
// every later query would be worse than a series cut short.
fn read(lock: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write(lock: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use series::Timestamp;
    use std::collections::BTreeMap;

    #[test]
    fn late_samples_are_sorted_in_and_the_newest_repeat_wins() {
        let table = Memtable::default();
        table.filler().add(3, &[10, 30, 20, 10], &[1.0, 3.0, 2.0, 9.0]);
        let all = table.read(3, TimeRange::ALL).floats;
        assert_eq!((all.timestamps, all.values), (vec![10, 20, 30], vec![9.0, 2.0, 3.0]));
        let part = table.read(3, TimeRange::new(Timestamp(15), Timestamp(30))).floats;
        assert_eq!(part.timestamps, [20]);
        assert!(table.read(67, TimeRange::ALL).is_empty());
    }

    #[test]
    fn a_time_is_a_float_or_a_histogram_whichever_came_later() {
        let table = Memtable::default();
        let histogram = |at: i64| HistogramSample { at: Timestamp(at), histogram: series::Histogram::stale() };
        let mut filler = table.filler();
        filler.add(3, &[10, 20, 30], &[1.0, 2.0, 3.0]);
        filler.add_histograms(3, &[histogram(20), histogram(15), histogram(30), histogram(30)]);
        filler.add(3, &[30], &[4.0]);
        filler.add_histograms(9, &[histogram(40)]);
        drop(filler);
        let times = |samples: &Samples| samples.histograms.iter().map(|sample| sample.at.0).collect::<Vec<_>>();
        let all = table.read(3, TimeRange::ALL);
        assert_eq!((&all.floats.timestamps[..], times(&all)), (&[10, 30][..], vec![15, 20]));
        let part = table.read(3, TimeRange::new(Timestamp(16), Timestamp(30)));
        assert_eq!((part.floats.len(), times(&part)), (0, vec![20]));
        assert_eq!((table.numbers(), table.samples()), (vec![3, 9], 9));
        assert!(table.overlaps(TimeRange::new(Timestamp(40), Timestamp(41))));
    }

    #[test]
    fn the_table_knows_its_span_in_time_and_log() {
        let table = Memtable::default();
        assert!(!table.overlaps(TimeRange::ALL) && table.lsns().is_none());
        table.filler().add(1, &[10], &[1.0]);
        table.cover(5, 6);
        table.cover(7, 7);
        assert_eq!(table.lsns(), Some((5, 7)));
        assert!(table.overlaps(TimeRange::new(Timestamp(10), Timestamp(11))));
        assert!(!table.overlaps(TimeRange::new(Timestamp(11), Timestamp(12))));
        assert_eq!(table.samples(), 1);
    }

    #[test]
    fn a_copy_is_made_where_the_range_may_hold_something() {
        let table = Memtable::default();
        table.filler().add(3, &[100, 200], &[1.0, 2.0]);
        let range = |from, to| TimeRange::new(series::Timestamp(from), series::Timestamp(to));
        let is_there = |from, to| table.copy(3, range(from, to)).is_some();
        assert!(is_there(100, 101) && is_there(200, 300) && is_there(0, 1000));
        assert!(!is_there(0, 100) && !is_there(201, 300) && table.copy(4, TimeRange::ALL).is_none());
        table.filler().add(3, &[50], &[3.0]);
        let mut read = Columns::default();
        table.copy(3, range(0, 100)).expect("late samples are not left out").read_floats(range(0, 100), &mut read);
        assert_eq!(read.timestamps, [50]);
    }

    #[test]
    fn numbers_have_one_place_each() {
        for at in [0, 255, 256, 4095, 4096, 5000, 1_000_000] {
            let (shard, local) = place(at);
            assert_eq!(number(shard, local), at);
        }
    }

    #[test]
    fn memory_is_counted_and_stays_small() {
        let table = Memtable::default();
        let mut filler = table.filler();
        for i in 0..2000_i64 {
            for number in 0..300 {
                filler.add(number, &[1_795_000_000_000 + i * 15_000], &[(i * 10) as f64 / 4.0 + f64::from(number)]);
            }
        }
        drop(filler);
        assert_eq!(table.samples(), 600_000);
        assert!(table.bytes() < 600_000 * 4, "{}", table.bytes());
    }

    proptest! {
        #[test]
        fn reads_give_what_a_map_gives(
            samples in proptest::collection::vec((0_u32..700, -50_i64..50, any::<u64>()), 0..400),
            cut in -60_i64..60,
        ) {
            let (table, mut naive) = (Memtable::default(), BTreeMap::<u32, BTreeMap<i64, u64>>::new());
            let mut filler = table.filler();
            for &(number, at, bits) in &samples {
                filler.add(number, &[at], &[f64::from_bits(bits)]);
                naive.entry(number).or_default().insert(at, bits);
            }
            drop(filler);
            let mut numbers = table.numbers();
            numbers.sort_unstable();
            prop_assert_eq!(numbers, naive.keys().copied().collect::<Vec<_>>());
            for (number, expected) in naive {
                let found = table.read(number, TimeRange::new(Timestamp(cut), Timestamp(100))).floats;
                let found: Vec<_> = found.iter().map(|(at, value)| (at.0, value.to_bits())).collect();
                prop_assert_eq!(found, expected.range(cut..).map(|(at, bits)| (*at, *bits)).collect::<Vec<_>>());
            }
        }
    }
}
