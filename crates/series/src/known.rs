//! Series that a store has met before, found by how a sender spells them.
//!
//! ```text
//!   bytes of a label set as sent ──hash──▶ Spelling ──Recall──▶ KnownSeries { number, id }
//! ```
//!
//! A sender spells a series in the same bytes again and again. Whoever has read and checked those bytes once need not do
//! so again: the hash of a spelling stands for everything that was found out about it.

use crate::labels::Labels;
use crate::value::SeriesId;

/// Hash of the bytes in which a sender spells a label set: 128 bits, seeded with [`Recall::seed`], so that nobody outside
/// can make two spellings meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spelling(u128);

impl Spelling {
    /// Of `bytes`, with the seed of the store that is to recall it.
    #[inline]
    pub fn of(bytes: &[u8], seed: u64) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128_with_seed(bytes, seed))
    }

    /// The hash.
    pub fn hash(self) -> u128 {
        self.0
    }
}

/// A series by the dense number that one store has given it. Numbers mean nothing to another store or process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSeries {
    /// The store's number.
    pub number: u32,
    /// The identity.
    pub id: SeriesId,
}

/// A store's memory of spellings.
pub trait Recall: Send + Sync {
    /// What spellings are hashed with; the same as long as the store is open.
    fn seed(&self) -> u64;

    /// Answers for each of `spellings`, in order, which series it stands for; `known` is emptied first. Spellings that
    /// follow each other as they did before are found fastest.
    fn recall(&self, spellings: &[Spelling], known: &mut Vec<Option<KnownSeries>>);

    /// The labels of a series that the store has numbered.
    fn labels_of(&self, number: u32) -> Option<Labels>;
}
