//! The spellings of series, so that labels that were sent before need not be read again.
//!
//! ```text
//!   hash (128 bits) ──▶ its low half ──▶ number ──▶ compared with the whole hash kept for that number
//! ```
//!
//! One spelling a series, the first that was seen: senders keep to theirs. It is forgotten at the end of the process.

use std::collections::HashMap;

use series::Spelling;

use crate::index::{IdHash, SeriesNumber};

/// Bytes a series takes here: the hash by number, and a slot by hash.
pub(crate) const BYTES_EACH: u64 = 16 + 24;

/// Which series a spelling stands for.
#[derive(Default)]
pub(crate) struct Spellings {
    /// By series number; 0 where none is known.
    by_number: Vec<u128>,
    by_hash: HashMap<u64, SeriesNumber, IdHash>,
}

impl Spellings {
    /// The series spelled so. The one behind `before` is looked at first: scrapes come in the same order again and again.
    #[inline]
    pub(crate) fn find_after(&self, before: Option<SeriesNumber>, spelling: Spelling) -> Option<SeriesNumber> {
        let next = before.map_or(0, |before| before.wrapping_add(1));
        if spelling.hash() == 0 {
            return None; // It would be taken for an empty place.
        }
        if self.by_number.get(next as usize) == Some(&spelling.hash()) {
            return Some(next);
        }
        let number = *self.by_hash.get(&(spelling.hash() as u64))?;
        (self.by_number.get(number as usize) == Some(&spelling.hash())).then_some(number)
    }

    /// Whether a spelling of series `number` is known.
    pub(crate) fn has(&self, number: SeriesNumber) -> bool {
        self.by_number.get(number as usize).is_some_and(|&hash| hash != 0)
    }

    /// Remembers the spelling of a series that has none yet.
    pub(crate) fn learn(&mut self, number: SeriesNumber, spelling: Spelling) {
        if self.has(number) {
            return;
        }
        let at = number as usize;
        if self.by_number.len() <= at {
            self.by_number.resize(at + 1, 0);
        }
        self.by_number[at] = spelling.hash();
        // Where two hashes share a half the newer one has the slot: the other is then found by its place or not at all.
        self.by_hash.insert(spelling.hash() as u64, number);
    }

    /// How many are known.
    pub(crate) fn len(&self) -> u64 {
        self.by_hash.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_found_in_order_and_out_of_it() {
        let mut spellings = Spellings::default();
        let of = |text: &str| Spelling::of(text.as_bytes(), 7);
        for (number, text) in ["a", "b", "c"].into_iter().enumerate() {
            assert!(!spellings.has(number as SeriesNumber));
            spellings.learn(number as SeriesNumber, of(text));
        }
        assert_eq!(spellings.find_after(None, of("a")), Some(0));
        assert_eq!(spellings.find_after(Some(0), of("b")), Some(1));
        assert_eq!(spellings.find_after(Some(2), of("b")), Some(1));
        assert_eq!(spellings.find_after(None, of("d")), None);
        assert_eq!(spellings.find_after(None, Spelling::of(b"a", 8)), None, "another seed, another hash");
        spellings.learn(1, of("B"));
        assert_eq!((spellings.find_after(None, of("B")), spellings.len()), (None, 3), "the first one stays");
    }
}
