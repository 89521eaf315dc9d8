//! The series index: every known label set, its postings and the span of time it has samples in.
//!
//! ```text
//!   id ──▶ number ──▶ Entry { labels, id, first, last }
//!   label pair ──▶ bitmap of numbers                (postings)
//! ```
//!
//! Numbers are dense, given in order of arrival and mean nothing outside this process. The index is rebuilt at start
//! from the series table, the chunk files' keys and the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use roaring::RoaringBitmap;
use series::{Labels, LabelsRef, Matcher, SeriesId, TimeRange};

use crate::postings::Postings;
use crate::spellings::{self, Spellings};

/// Dense number of a series inside this process.
pub(crate) type SeriesNumber = u32;

/// Every known series.
#[derive(Default)]
pub(crate) struct SeriesIndex {
    entries: Vec<Entry>,
    by_id: HashMap<u64, SeriesNumber, IdHash>,
    postings: Postings,
    label_bytes: u64,
    /// How senders spell the series.
    pub(crate) spellings: Spellings,
}

/// One series.
pub(crate) struct Entry {
    /// Its labels.
    pub(crate) labels: Labels,
    /// Its identity: the hash of the labels, or the next free one after a collision.
    pub(crate) id: SeriesId,
    first: AtomicI64,
    last: AtomicI64,
}

impl SeriesIndex {
    /// Number of known series.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The series with number `number`.
    pub(crate) fn entry(&self, number: SeriesNumber) -> &Entry {
        &self.entries[number as usize]
    }

    /// The series with number `number`, if there is one.
    pub(crate) fn get(&self, number: SeriesNumber) -> Option<&Entry> {
        self.entries.get(number as usize)
    }

    /// As [`SeriesIndex::find`], looking at the series after `before` first: scrapes come in the same order again and
    /// again, and then neither the map nor a cold line of memory is touched.
    #[inline]
    pub(crate) fn find_after(
        &self,
        before: Option<SeriesNumber>,
        id: SeriesId,
        labels: LabelsRef<'_>,
    ) -> Option<SeriesNumber> {
        let number = before.map_or(0, |before| before.wrapping_add(1));
        match self.entries.get(number as usize) {
            Some(entry) if entry.id == id && entry.labels.canonical() == labels.canonical() => Some(number),
            _ => self.find(id, labels),
        }
    }

    /// The number of a label set, or `None` if it is new. `id` is its hash.
    pub(crate) fn find(&self, id: SeriesId, labels: LabelsRef<'_>) -> Option<SeriesNumber> {
        let mut candidate = id;
        for seed in 1.. {
            let number = *self.by_id.get(&candidate.0)?;
            if self.entries[number as usize].labels.canonical() == labels.canonical() {
                return Some(number);
            }
            // Another label set has this hash: both sides walk the same sequence of seeds.
            candidate = labels.id_with_seed(seed);
        }
        None
    }

    /// The number of the series whose identity is exactly `id`.
    pub(crate) fn find_id(&self, id: SeriesId) -> Option<SeriesNumber> {
        self.by_id.get(&id.0).copied()
    }

    /// The number of a label set, added if it is new.
    pub(crate) fn find_or_add(&mut self, id: SeriesId, labels: LabelsRef<'_>) -> SeriesNumber {
        if let Some(number) = self.find(id, labels) {
            return number;
        }
        let mut free = id;
        let mut seed = 1;
        while self.by_id.contains_key(&free.0) {
            free = labels.id_with_seed(seed);
            seed += 1;
        }
        self.add(free, labels.to_owned())
    }

    fn add(&mut self, id: SeriesId, labels: Labels) -> SeriesNumber {
        let number = self.entries.len() as SeriesNumber;
        self.postings.add(number, labels.as_ref());
        self.label_bytes += labels.canonical().len() as u64;
        self.by_id.insert(id.0, number);
        self.entries.push(Entry { labels, id, first: AtomicI64::new(i64::MAX), last: AtomicI64::new(i64::MIN) });
        number
    }

    /// Numbers of the series that match all of `matchers` and may have samples in `range`.
    pub(crate) fn select(&self, matchers: &[Matcher], range: TimeRange) -> RoaringBitmap {
        self.within(self.matching(matchers), range)
    }

    /// Numbers of the series that match all of `matchers`, with samples or without.
    pub(crate) fn matching(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        // Positive conditions first: they shrink the set, and the negative ones then look at little.
        for matcher in matchers.iter().filter(|matcher| !matcher.matches_absent()) {
            let with = self.postings.matching(matcher, false);
            found = Some(match found {
                Some(sofar) => sofar & with,
                None => with,
            });
        }
        let mut found = found.unwrap_or_else(|| (0..self.entries.len() as u32).collect());
        for matcher in matchers.iter().filter(|matcher| matcher.matches_absent()) {
            found -= self.postings.matching(matcher, true);
        }
        found
    }

    /// The part of `numbers` that may have samples in `range`.
    pub(crate) fn within(&self, numbers: RoaringBitmap, range: TimeRange) -> RoaringBitmap {
        numbers.into_iter().filter(|&number| self.entries[number as usize].overlaps(range)).collect()
    }

    /// Names of labels on the series of `among` (on all when `None`) that may have samples in `range`, sorted.
    pub(crate) fn names_of(&self, among: Option<&RoaringBitmap>, range: TimeRange) -> Vec<String> {
        let carried = self.postings.names().filter_map(|(name, mut values)| {
            values.any(|(_, carriers)| self.has_any(carriers, among, range)).then(|| name.to_owned())
        });
        let mut names: Vec<_> = carried.collect();
        names.sort_unstable();
        names
    }

    /// Values of label `name` on the series of `among` (on all when `None`) that may have samples in `range`, sorted.
    pub(crate) fn values_of(&self, name: &str, among: Option<&RoaringBitmap>, range: TimeRange) -> Vec<String> {
        let carried = self.postings.values(name).filter(|(_, carriers)| self.has_any(carriers, among, range));
        carried.map(|(value, _)| value.to_owned()).collect()
    }

    /// Whether any of `carriers` that is in `among` may have samples in `range`: mostly the first one has.
    fn has_any(&self, carriers: &RoaringBitmap, among: Option<&RoaringBitmap>, range: TimeRange) -> bool {
        let has_samples = |number: u32| self.entries[number as usize].overlaps(range);
        match among {
            None => carriers.iter().any(has_samples),
            Some(among) if among.len() < carriers.len() => {
                among.iter().any(|number| carriers.contains(number) && has_samples(number))
            }
            Some(among) => carriers.iter().any(|number| among.contains(number) && has_samples(number)),
        }
    }

    /// Label values with the number of series that carry each, for cardinality reports.
    pub(crate) fn cardinality(&self, name: &str) -> Vec<(String, u64)> {
        self.postings.values(name).map(|(value, series)| (value.to_owned(), series.len())).collect()
    }

    /// Label names with their number of distinct values.
    pub(crate) fn values_per_name(&self) -> Vec<(String, u64)> {
        self.postings.n_values().map(|(name, n)| (name.to_owned(), n as u64)).collect()
    }

    /// Approximate memory of all series: labels, entries, postings.
    pub(crate) fn bytes(&self) -> u64 {
        // Beside its labels a series has its entry, a slot by id, a bitmap bit a label and the allocator's share.
        const SERIES_BYTES: u64 = 144;
        let spelled = self.spellings.len() * spellings::BYTES_EACH;
        self.label_bytes + self.entries.len() as u64 * SERIES_BYTES + self.postings.bytes() + spelled
    }
}

impl Entry {
    /// Widens the span of the series to hold `[first, last]`. Only one thread does so at a time for a series (the one that
    /// opens the store, then the lane of the replay that has its shard, then the log's writer), so looking and storing need not be one step.
    #[inline]
    pub(crate) fn widen(&self, first: i64, last: i64) {
        if first < self.first.load(Ordering::Relaxed) {
            self.first.store(first, Ordering::Relaxed);
        }
        if last > self.last.load(Ordering::Relaxed) {
            self.last.store(last, Ordering::Relaxed);
        }
    }

    /// Newest sample time seen, `None` before the first sample.
    pub(crate) fn last(&self) -> Option<i64> {
        let last = self.last.load(Ordering::Relaxed);
        (last != i64::MIN).then_some(last)
    }

    /// Oldest sample time seen; `i64::MAX` before the first sample.
    pub(crate) fn first(&self) -> i64 {
        self.first.load(Ordering::Relaxed)
    }

    fn overlaps(&self, range: TimeRange) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        self.first() < range.end.0 && range.start.0 <= last
    }
}

/// Ids are hashes already: hashing them again would cost time and gain nothing.
#[derive(Clone, Default)]
pub(crate) struct IdHash;

impl std::hash::BuildHasher for IdHash {
    type Hasher = IdHasher;
    fn build_hasher(&self) -> IdHasher {
        IdHasher(0)
    }
}

/// Passes a `u64` through.
pub(crate) struct IdHasher(u64);

impl std::hash::Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::{MatchOp, Timestamp};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).expect("valid")
    }

    fn index(sets: &[&[(&str, &str)]]) -> SeriesIndex {
        let mut index = SeriesIndex::default();
        for set in sets {
            let labels = labels(set);
            let number = index.find_or_add(labels.id(), labels.as_ref());
            index.entry(number).widen(0, 10);
        }
        index
    }

    fn select(index: &SeriesIndex, matchers: &[Matcher]) -> Vec<u32> {
        index.select(matchers, TimeRange::ALL).into_iter().collect()
    }

    #[test]
    fn matchers_meet_like_prometheus() {
        let index = index(&[
            &[("__name__", "up"), ("job", "a")],
            &[("__name__", "up"), ("job", "b"), ("zone", "x")],
            &[("__name__", "down"), ("job", "a")],
        ]);
        let re = |name: &str, op, value: &str| Matcher::new(name, op, value).expect("valid");
        assert_eq!(select(&index, &[Matcher::equal("__name__", "up")]), [0, 1]);
        assert_eq!(select(&index, &[Matcher::equal("zone", "")]), [0, 2]);
        assert_eq!(select(&index, &[re("zone", MatchOp::NotEqual, "")]), [1]);
        assert_eq!(select(&index, &[re("job", MatchOp::Regex, "a|b"), Matcher::equal("__name__", "up")]), [0, 1]);
        assert_eq!(select(&index, &[re("zone", MatchOp::NotRegex, "x")]), [0, 2]);
        assert_eq!(select(&index, &[Matcher::equal("job", "none")]), [0u32; 0]);
        assert_eq!(select(&index, &[]), [0, 1, 2]);
    }

    #[test]
    fn a_series_without_samples_in_range_is_not_selected() {
        let index = index(&[&[("__name__", "up")]]);
        assert!(index.select(&[], TimeRange::new(Timestamp(11), Timestamp(20))).is_empty());
        assert_eq!(index.select(&[], TimeRange::new(Timestamp(10), Timestamp(11))).len(), 1);
    }

    #[test]
    fn colliding_hashes_stay_apart() {
        let mut index = SeriesIndex::default();
        let (a, b) = (labels(&[("__name__", "a")]), labels(&[("__name__", "b")]));
        let same = SeriesId(7);
        let first = index.find_or_add(same, a.as_ref());
        let second = index.find_or_add(same, b.as_ref());
        assert_ne!(first, second);
        assert_eq!(index.find(same, a.as_ref()), Some(first));
        assert_eq!(index.find(same, b.as_ref()), Some(second));
        assert_eq!(index.find_or_add(same, b.as_ref()), second);
        assert_ne!(index.entry(first).id, index.entry(second).id);
    }

    #[test]
    fn names_and_values_come_from_the_chosen_series_only() {
        let index = index(&[&[("__name__", "up"), ("job", "a")], &[("__name__", "down"), ("zone", "x")]]);
        let (first, all) = (RoaringBitmap::from_iter([0]), TimeRange::ALL);
        assert_eq!(index.names_of(Some(&first), all), ["__name__", "job"]);
        assert_eq!(index.names_of(None, all), ["__name__", "job", "zone"]);
        assert_eq!(index.values_of("__name__", Some(&first), all), ["up"]);
        assert_eq!(index.values_of("__name__", None, all), ["down", "up"]);
        assert!(index.values_of("zone", Some(&first), all).is_empty());
        let later = TimeRange::new(Timestamp(11), Timestamp(20));
        assert!(index.names_of(None, later).is_empty() && index.values_of("job", None, later).is_empty());
    }
}
