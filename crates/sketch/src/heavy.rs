//! The most frequent keys in bounded memory: SpaceSaving.
//!
//! Source: Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in data streams" (ICDT 2005);
//! merging as in Agarwal et al., "Mergeable summaries" (PODS 2012). With `k` counters and total weight `n`, a reported count
//! is never too low and too high by at most its `error` ≤ n / k; a key heavier than n / k is always there. The bound holds
//! after merges in any order, though the counters kept may differ with the order.

use std::collections::BTreeMap;

use crate::error::SketchError;
use crate::wire::{Reader, put_bytes, put_varint};

const TAG: u8 = b'H';
const VERSION: u8 = 1;

/// A mergeable summary of weighted keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopKeys {
    counters_max: usize,
    total: u64,
    /// A map in key order, so equal inputs give equal answers.
    counters: BTreeMap<Box<[u8]>, Counter>,
}

/// Count and error.
type Counter = (u64, u64);

/// A frequent key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heavy {
    /// The key.
    pub key: Box<[u8]>,
    /// Upper bound of its weight.
    pub count: u64,
    /// How much of `count` may belong to others: the true weight is in `count − error ..= count`.
    pub error: u64,
}

impl TopKeys {
    /// With at most `counters_max` (1 to 65,536) keys kept.
    ///
    /// # Errors
    /// [`SketchError::Size`].
    pub fn new(counters_max: usize) -> Result<Self, SketchError> {
        if !(1..=65_536).contains(&counters_max) {
            return Err(SketchError::Size { what: "counter limit", found: counters_max as u64, min: 1, max: 65_536 });
        }
        Ok(Self { counters_max, total: 0, counters: BTreeMap::new() })
    }

    /// Adds `weight` to a key. Cost: a look-up for a kept key; a scan of the counters when one must be replaced.
    pub fn insert(&mut self, key: &[u8], weight: u64) {
        self.total = self.total.saturating_add(weight);
        if let Some((count, _)) = self.counters.get_mut(key) {
            *count = count.saturating_add(weight);
        } else if self.counters.len() < self.counters_max {
            self.counters.insert(key.into(), (weight, 0));
        } else if let Some((least, floor)) = self.least() {
            self.counters.remove(&least);
            self.counters.insert(key.into(), (floor.saturating_add(weight), floor));
        }
    }

    /// Total weight added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The `n` heaviest keys, heaviest first, ties by key.
    pub fn top(&self, n: usize) -> Vec<Heavy> {
        let mut all: Vec<Heavy> =
            self.counters.iter().map(|(key, &(count, error))| Heavy { key: key.clone(), count, error }).collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
        all.truncate(n);
        all
    }

    /// Adds what `other` holds; the error bound n / k holds for the sum.
    ///
    /// # Errors
    /// [`SketchError::Shape`] unless the limits agree.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        if self.counters_max != other.counters_max {
            let (left, right) = (self.counters_max as u64, other.counters_max as u64);
            return Err(SketchError::Shape { what: "counter limit", left, right });
        }
        // A key that one side does not hold may have weighed up to that side's smallest counter there.
        let (my_floor, their_floor) = (self.floor(), other.floor());
        let mut sum: Vec<(Box<[u8]>, Counter)> = Vec::with_capacity(self.counters.len() + other.counters.len());
        for (key, &(count, error)) in &self.counters {
            let (more, their_error) = other.counters.get(key).copied().unwrap_or((their_floor, their_floor));
            sum.push((key.clone(), (count.saturating_add(more), error.saturating_add(their_error))));
        }
        for (key, &(count, error)) in other.counters.iter().filter(|(key, _)| !self.counters.contains_key(*key)) {
            sum.push((key.clone(), (count.saturating_add(my_floor), error.saturating_add(my_floor))));
        }
        sum.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
        sum.truncate(self.counters_max);
        self.counters = sum.into_iter().collect();
        self.total = self.total.saturating_add(other.total);
        Ok(())
    }

    /// Appends `H 1`, limit, total and (key, count, error) in key order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        put_varint(out, self.counters_max as u64);
        put_varint(out, self.total);
        put_varint(out, self.counters.len() as u64);
        for (key, &(count, error)) in &self.counters {
            put_bytes(out, key);
            put_varint(out, count);
            put_varint(out, error);
        }
    }

    /// Reads what [`TopKeys::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        reader.expect(TAG, VERSION, "top keys")?;
        let damaged = SketchError::Damaged { at: reader.at(), what: "top keys" };
        let counters_max = usize::try_from(reader.varint()?).map_err(|_| damaged)?;
        let mut sketch = Self::new(counters_max).map_err(|_| damaged)?;
        sketch.total = reader.varint()?;
        let n = reader.len(3)?;
        if n > counters_max {
            return Err(damaged);
        }
        for _ in 0..n {
            let key = reader.bytes()?.into();
            sketch.counters.insert(key, (reader.varint()?, reader.varint()?));
        }
        Ok(sketch)
    }

    /// What a key that is not kept may weigh at most.
    fn floor(&self) -> u64 {
        if self.counters.len() < self.counters_max { 0 } else { self.least().map_or(0, |(_, count)| count) }
    }

    fn least(&self) -> Option<(Box<[u8]>, u64)> {
        self.counters.iter().min_by_key(|(_, (count, _))| *count).map(|(key, &(count, _))| (key.clone(), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn of(keys: &[u8], k: usize) -> TopKeys {
        let mut sketch = TopKeys::new(k).expect("in range");
        keys.iter().for_each(|key| sketch.insert(&[*key], 1));
        sketch
    }

    fn check(sketch: &TopKeys, keys: &[u8], k: usize) {
        let bound = (keys.len() / k) as u64;
        for heavy in sketch.top(k) {
            let truth = keys.iter().filter(|key| [**key] == *heavy.key).count() as u64;
            assert!(truth <= heavy.count && heavy.count - heavy.error <= truth, "{heavy:?} {truth}");
            assert!(heavy.error <= bound, "{heavy:?} {bound}");
        }
        for key in 0..=u8::MAX {
            let truth = keys.iter().filter(|k| **k == key).count() as u64;
            assert!(truth <= bound || sketch.top(k).iter().any(|h| *h.key == [key]), "{key} missing");
        }
    }

    proptest! {
        #[test]
        fn the_bound_holds_before_and_after_merging(
            a in vec(0..20_u8, 0..300), b in vec(10..40_u8, 0..300), c in vec(0..5_u8, 0..300), k in 1..12_usize,
        ) {
            let (sa, sb, sc) = (of(&a, k), of(&b, k), of(&c, k));
            check(&sa, &a, k);
            let mut left = sa.clone();
            left.merge(&sb).expect("same");
            let mut right = sb.clone();
            right.merge(&sa).expect("same");
            prop_assert_eq!(&left, &right);
            left.merge(&sc).expect("same");
            let all = [a, b, c].concat();
            check(&left, &all, k);
            let mut other_way = sb.clone();
            other_way.merge(&sc).expect("same");
            other_way.merge(&sa).expect("same");
            check(&other_way, &all, k);
            let mut bytes = Vec::new();
            left.encode(&mut bytes);
            prop_assert_eq!(TopKeys::decode(&mut Reader::new(&bytes)), Ok(left));
        }
    }
}
