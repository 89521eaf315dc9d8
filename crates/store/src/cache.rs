//! Decoded chunks, kept between queries within a budget of bytes.
//!
//! Files never change and their numbers are never given twice, so an entry is never wrong: what was compacted away is
//! asked for no more and leaves by itself. The policy (S3-FIFO, crate `quick_cache`) lets what was read once pass through a
//! small part of the budget, so a scan over everything does not push out what dashboards read every few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use series::Columns;

/// Locks; few, so that the longest chunks fit into the part of the budget that one of them guards.
const SHARDS: usize = 4;
/// Bytes of an ordinary entry, to guess their number.
const ENTRY_BYTES: u64 = 16 << 10;
/// What an entry costs beside its samples: key, slot, reference count, vector headers.
const OVERHEAD_BYTES: u64 = 128;

/// A chunk: number of the open file, and row.
pub(crate) type ChunkKey = (u64, u32);

#[derive(Clone)]
struct ByBytes;

impl Weighter<ChunkKey, Arc<Columns>> for ByBytes {
    fn weight(&self, _: &ChunkKey, columns: &Arc<Columns>) -> u64 {
        let held = columns.timestamps.capacity() * size_of::<i64>() + columns.values.capacity() * size_of::<f64>();
        held as u64 + OVERHEAD_BYTES
    }
}

type Chunks = Cache<ChunkKey, Arc<Columns>, ByBytes, std::hash::RandomState>;

/// Decoded chunks by key.
pub(crate) struct ChunkCache {
    chunks: Option<Chunks>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Figures of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Chunks that queries found decoded.
    pub hits: u64,
    /// Chunks that had to be read and decoded.
    pub misses: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Bytes that may be held.
    pub capacity: u64,
}

impl CacheStats {
    /// Part of the chunks that queries found decoded; 0 before the first.
    pub fn hit_ratio(&self) -> f64 {
        let all = self.hits + self.misses;
        if all == 0 { 0.0 } else { self.hits as f64 / all as f64 }
    }
}

impl ChunkCache {
    /// A cache of at most `bytes`; 0 keeps nothing.
    pub(crate) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity((bytes / ENTRY_BYTES).max(16) as usize)
            .weight_capacity(bytes)
            .build();
        let make =
            |options| Cache::with_options(options, ByBytes, std::hash::RandomState::new(), DefaultLifecycle::default());
        let chunks = options.ok().filter(|_| bytes > 0).map(make);
        Self { chunks, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The chunk, if it is here.
    pub(crate) fn get(&self, key: ChunkKey) -> Option<Arc<Columns>> {
        let found = self.chunks.as_ref()?.get(&key);
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a chunk for a while.
    pub(crate) fn put(&self, key: ChunkKey, columns: &Arc<Columns>) {
        if let Some(chunks) = &self.chunks {
            chunks.insert(key, Arc::clone(columns));
        }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.chunks.is_some()
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.chunks.as_ref().map_or(0, Cache::weight),
            capacity: self.chunks.as_ref().map_or(0, Cache::capacity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(n: usize) -> Arc<Columns> {
        Arc::new(Columns { timestamps: (0..n as i64).collect(), values: vec![0.5; n] })
    }

    #[test]
    fn the_budget_holds_and_a_scan_does_not_push_out_what_is_used() {
        let cache = ChunkCache::new(4 << 20);
        let used: Vec<ChunkKey> = (0..20).map(|row| (1, row)).collect();
        for _ in 0..3 {
            for &key in &used {
                if cache.get(key).is_none() {
                    cache.put(key, &columns(1000));
                }
            }
        }
        for row in 0..5_000 {
            assert!(cache.get((2, row)).is_none());
            cache.put((2, row), &columns(1000));
            let stats = cache.stats();
            assert!(stats.bytes <= stats.capacity, "{stats:?}");
        }
        let left = used.iter().filter(|&&key| cache.get(key).is_some()).count();
        assert!(left >= 18, "{left} of 20 are left");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = ChunkCache::new(0);
        cache.put((1, 1), &columns(3));
        assert!(cache.get((1, 1)).is_none() && !cache.is_on());
        assert_eq!(cache.stats(), CacheStats::default());
    }
}
