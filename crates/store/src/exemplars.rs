//! Exemplars: the newest of all series in a ring of bounded length, kept over restarts.
//!
//! ```text
//!   batch ─▶ log (kind 8) ─▶ ring ──▶ queries
//!                             └─ at flush ─▶ exemplars.json, replaced as a whole, before the log is cut
//!   start: exemplars.json, then the log behind the flushed position
//! ```
//!
//! An exemplar points at a trace that its own store forgets in days, so the newest are worth keeping and the oldest make
//! room. Both kinds of loss, by age and by damage of the file, are counted.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use series::{Exemplar, Labels, SeriesExemplars, TimeRange, Timestamp};
use wal::Storage;

use crate::index::{SeriesIndex, SeriesNumber};

const FILE: &str = "exemplars.json";

/// The exemplars of a store.
pub(crate) struct Exemplars {
    max: usize,
    ring: Mutex<VecDeque<(SeriesNumber, Exemplar)>>,
    /// Whether the ring changed since it was last written to disk.
    is_new: AtomicBool,
    dropped: AtomicU64,
}

impl Exemplars {
    /// An empty ring of at most `max`.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ring: Mutex::default(), is_new: AtomicBool::new(false), dropped: AtomicU64::new(0) }
    }

    /// Adds exemplars of one series; the oldest of all make room.
    pub(crate) fn add(&self, number: SeriesNumber, exemplars: impl IntoIterator<Item = Exemplar>) {
        let mut ring = self.ring();
        for exemplar in exemplars {
            if ring.len() >= self.max && ring.pop_front().is_some() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            if self.max > 0 {
                ring.push_back((number, exemplar));
            }
            self.is_new.store(true, Ordering::Relaxed);
        }
    }

    /// Puts what a file kept before what the log brought since.
    pub(crate) fn restore(&self, older: Vec<(SeriesNumber, Exemplar)>) {
        let mut ring = self.ring();
        for item in older.into_iter().rev() {
            if ring.len() < self.max {
                ring.push_front(item);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Exemplars of the series `numbers` inside `range`, by series and time, repeats left out.
    pub(crate) fn select(
        &self,
        numbers: &RoaringBitmap,
        range: TimeRange,
        index: &SeriesIndex,
    ) -> Vec<SeriesExemplars> {
        let mut found: BTreeMap<SeriesNumber, Vec<Exemplar>> = BTreeMap::new();
        for (number, exemplar) in self.ring().iter() {
            if range.contains(exemplar.at) && numbers.contains(*number) {
                found.entry(*number).or_default().push(exemplar.clone());
            }
        }
        let mut all: Vec<SeriesExemplars> = found
            .into_iter()
            .map(|(number, mut exemplars)| {
                exemplars.sort_by(|a, b| (a.at, &a.labels).cmp(&(b.at, &b.labels)));
                exemplars.dedup_by(|a, b| is_same(a, b));
                SeriesExemplars { labels: index.entry(number).labels.clone(), exemplars }
            })
            .collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }

    /// Number held now.
    pub(crate) fn len(&self) -> usize {
        self.ring().len()
    }

    /// Number that made room for others, or could not be kept.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts exemplars that came without a series to belong to.
    pub(crate) fn drop_homeless(&self, n: u64) {
        self.dropped.fetch_add(n, Ordering::Relaxed);
    }

    /// Replaces the file durably when something changed.
    pub(crate) fn keep(&self, storage: &dyn Storage, index: impl Fn(SeriesNumber) -> Labels) -> io::Result<()> {
        if !self.is_new.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        // Copied first: making text of a full ring takes longer than appends should wait.
        let held: Vec<(SeriesNumber, Exemplar)> = self.ring().iter().cloned().collect();
        let written = write(storage, held.into_iter().map(|(number, exemplar)| (index(number), exemplar)));
        if written.is_err() {
            self.is_new.store(true, Ordering::Relaxed);
        }
        written
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<(SeriesNumber, Exemplar)>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(a: &Exemplar, b: &Exemplar) -> bool {
    a.at == b.at && a.value.to_bits() == b.value.to_bits() && a.labels == b.labels
}

/// Exemplars of neighbouring entries of one series.
#[derive(Serialize, Deserialize)]
struct Entry {
    series: BTreeMap<String, String>,
    /// Time, value and labels of each. A value that is no number in JSON is its bits, as `0x…`.
    exemplars: Vec<(i64, Value, BTreeMap<String, String>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Bits(String),
}

fn write(storage: &dyn Storage, held: impl Iterator<Item = (Labels, Exemplar)>) -> io::Result<()> {
    let map = |labels: &Labels| labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut entries: Vec<Entry> = Vec::new();
    let mut last: Option<Labels> = None;
    for (labels, exemplar) in held {
        if last.as_ref() != Some(&labels) {
            entries.push(Entry { series: map(&labels), exemplars: Vec::new() });
            last = Some(labels);
        }
        if let Some(entry) = entries.last_mut() {
            entry.exemplars.push((exemplar.at.0, Value::of(exemplar.value), map(&exemplar.labels)));
        }
    }
    let bytes = serde_json::to_vec(&entries)?;
    wal::replace_file(storage, FILE, &bytes)
}

/// Reads the file: series with their exemplars, oldest first. None is none; a damaged one is reported and read as none, as
/// exemplars are hints.
pub(crate) fn read(storage: &dyn Storage) -> io::Result<Vec<(Labels, Vec<Exemplar>)>> {
    let bytes = match storage.read(FILE) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let entries: Vec<Entry> = serde_json::from_slice(&bytes).unwrap_or_else(|err| {
        tracing::warn!(file = FILE, %err, "exemplars not readable; the next flush writes those that come from now on");
        Vec::new()
    });
    let exemplar = |(at, value, labels): (i64, Value, BTreeMap<String, String>)| {
        let labels = Labels::from_pairs(labels).ok()?;
        Some(Exemplar { labels, value: value.float()?, at: Timestamp(at) })
    };
    let series = |entry: Entry| {
        let labels = Labels::from_pairs(entry.series).ok()?;
        Some((labels, entry.exemplars.into_iter().filter_map(exemplar).collect()))
    };
    Ok(entries.into_iter().filter_map(series).collect())
}

impl Value {
    fn of(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Bits(format!("{:#x}", value.to_bits())) }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            Self::Bits(text) => {
                let bits = u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()?;
                Some(f64::from_bits(bits))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(at: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace_id", trace)]).expect("valid"), value, at: Timestamp(at) }
    }

    fn index() -> SeriesIndex {
        let mut index = SeriesIndex::default();
        for name in ["a", "b"] {
            let labels = Labels::from_pairs([("__name__", name)]).expect("valid");
            index.find_or_add(labels.id(), labels.as_ref());
        }
        index
    }

    fn all(exemplars: &Exemplars, range: TimeRange) -> Vec<(String, Vec<i64>)> {
        let found = exemplars.select(&RoaringBitmap::from_iter([0, 1]), range, &index());
        found.iter().map(|one| (one.labels.to_string(), one.exemplars.iter().map(|e| e.at.0).collect())).collect()
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let exemplars = Exemplars::new(3);
        exemplars.add(1, [exemplar(1, 0.5, "x"), exemplar(3, 0.5, "x")]);
        exemplars.add(0, [exemplar(2, 0.5, "x"), exemplar(2, 0.5, "x")]);
        assert_eq!((exemplars.len(), exemplars.dropped()), (3, 1));
        assert_eq!(all(&exemplars, TimeRange::ALL), [("a".to_owned(), vec![2]), ("b".to_owned(), vec![3])]);
        let early = TimeRange::new(Timestamp(0), Timestamp(3));
        assert_eq!(all(&exemplars, early), [("a".to_owned(), vec![2])]);
        let none = exemplars.select(&RoaringBitmap::new(), TimeRange::ALL, &index());
        assert!(none.is_empty());
    }

    #[test]
    fn what_is_kept_is_read_and_damage_reads_as_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = wal::LocalStorage::open(folder.path()).expect("storage");
        assert!(read(&storage).expect("none yet").is_empty());
        let (exemplars, index) = (Exemplars::new(9), index());
        let odd = [0.1, f64::NAN, f64::NEG_INFINITY, -0.0, series::STALE_NAN];
        exemplars.add(0, odd.iter().zip(1..).map(|(&value, at)| exemplar(at, value, "é\"")));
        exemplars.add(1, [exemplar(9, 1.0, "x")]);
        for _ in 0..2 {
            exemplars.keep(&storage, |number| index.entry(number).labels.clone()).expect("written");
        }
        let back = read(&storage).expect("read");
        let bits: Vec<u64> = back[0].1.iter().map(|one| one.value.to_bits()).collect();
        assert_eq!(bits, odd.map(f64::to_bits));
        assert_eq!((back[1].0.to_string(), &back[1].1[..]), ("b".to_owned(), &[exemplar(9, 1.0, "x")][..]));
        std::fs::write(folder.path().join(FILE), b"[{").expect("damaged");
        assert!(read(&storage).expect("readable").is_empty());
    }
}
