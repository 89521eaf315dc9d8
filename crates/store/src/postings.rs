//! Which series carry which label.
//!
//! ```text
//!   pair (canonical bytes) ── hash ──▶ list ─▶ bitmap of series numbers      adding a series: one look a label
//!   name ──▶ value (sorted) ────────▶ list                                   matchers, names, values
//! ```
//!
//! The two ways lead to the same lists; two pairs with one hash are told apart by their bytes, and the later one is then
//! only found by the second way.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use series::{LabelsRef, MatchOp, Matcher};

use crate::index::{IdHash, SeriesNumber};

/// The lists of every label pair.
#[derive(Default)]
pub(crate) struct Postings {
    by_pair: HashMap<u64, u32, IdHash>,
    lists: Vec<List>,
    names: HashMap<String, BTreeMap<String, u32>>,
    /// Bytes of texts, kept once in each of the two ways.
    text_bytes: u64,
}

struct List {
    /// The pair as a canonical label set of its own.
    pair: Box<[u8]>,
    series: RoaringBitmap,
}

impl Postings {
    /// Adds a series, whose number is above all that were added before.
    pub(crate) fn add(&mut self, number: SeriesNumber, labels: LabelsRef<'_>) {
        for pair in labels.pairs() {
            let hash = pair.id().0;
            let known = self.by_pair.get(&hash).copied();
            let list = match known.filter(|&list| *self.lists[list as usize].pair == *pair.canonical()) {
                Some(list) => list,
                None => self.open(pair, hash, known.is_some()),
            };
            self.lists[list as usize].series.insert(number);
        }
    }

    /// The list of a pair that its hash does not lead to; `is_taken` when it leads to another one.
    fn open(&mut self, pair: LabelsRef<'_>, hash: u64, is_taken: bool) -> u32 {
        let Some((name, value)) = pair.iter().next() else { return 0 };
        if let Some(&list) = self.names.get(name).and_then(|values| values.get(value)) {
            return list;
        }
        let list = self.lists.len() as u32;
        self.lists.push(List { pair: Box::from(pair.canonical()), series: RoaringBitmap::new() });
        self.text_bytes += 2 * pair.canonical().len() as u64;
        if !is_taken {
            self.by_pair.insert(hash, list);
        }
        match self.names.get_mut(name) {
            Some(values) => values.insert(value.to_owned(), list),
            None => self.names.entry(name.to_owned()).or_default().insert(value.to_owned(), list),
        };
        list
    }

    /// The series with a label `matcher.name` whose value passes `matcher` (or, with `inverted`, does not).
    pub(crate) fn matching(&self, matcher: &Matcher, inverted: bool) -> RoaringBitmap {
        let Some(values) = self.names.get(&matcher.name) else { return RoaringBitmap::new() };
        let is_one = matches!((matcher.op, inverted), (MatchOp::Equal, false) | (MatchOp::NotEqual, true));
        if is_one {
            return values.get(&matcher.value).map_or_else(RoaringBitmap::new, |&list| self.series(list).clone());
        }
        let mut all = RoaringBitmap::new();
        for (_, &list) in values.iter().filter(|(value, _)| matcher.matches(value) != inverted) {
            all |= self.series(list);
        }
        all
    }

    fn series(&self, list: u32) -> &RoaringBitmap {
        &self.lists[list as usize].series
    }

    /// Label names with their values and the series of each, names in no order, values sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (&str, &RoaringBitmap)>)> {
        self.names.iter().map(|(name, values)| (name.as_str(), self.with_series(values)))
    }

    /// Values of `name` with the series of each, sorted.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.names.get(name).into_iter().flat_map(|values| self.with_series(values))
    }

    /// Number of values of each name.
    pub(crate) fn n_values(&self) -> impl Iterator<Item = (&str, usize)> {
        self.names.iter().map(|(name, values)| (name.as_str(), values.len()))
    }

    fn with_series<'a>(
        &'a self,
        values: &'a BTreeMap<String, u32>,
    ) -> impl Iterator<Item = (&'a str, &'a RoaringBitmap)> {
        values.iter().map(|(value, &list)| (value.as_str(), self.series(list)))
    }

    /// Approximate memory without the bitmaps' own: texts, and what is kept beside each pair.
    pub(crate) fn bytes(&self) -> u64 {
        const PAIR_BYTES: u64 = 176;
        self.text_bytes + self.lists.len() as u64 * PAIR_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::Labels;

    #[test]
    fn pairs_of_one_hash_stay_apart() {
        let mut postings = Postings::default();
        let labels = |value: &str| Labels::from_pairs([("a", value)]).expect("valid");
        let (one, two) = (labels("1"), labels("2"));
        postings.add(0, one.as_ref());
        // What a collision would leave behind: the hash of the second pair leads to the list of the first.
        postings.by_pair.insert(two.id().0, 0);
        postings.add(1, two.as_ref());
        postings.add(2, two.as_ref());
        postings.add(3, one.as_ref());
        let found = |value: &str| postings.matching(&Matcher::equal("a", value), false).into_iter().collect::<Vec<_>>();
        assert_eq!((found("1"), found("2"), found("3")), (vec![0, 3], vec![1, 2], vec![]));
        assert_eq!(postings.n_values().collect::<Vec<_>>(), [("a", 2)]);
        assert!(postings.bytes() > 0);
    }
}
