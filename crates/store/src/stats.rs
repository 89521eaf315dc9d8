//! The store's own figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::cache::CacheStats;

/// A snapshot of figures; counters start at zero when the store opens.
#[derive(Debug, Clone, Default)]
pub struct StoreStats {
    /// Known series.
    pub series: u64,
    /// Memory of the index of all series.
    pub index_bytes: u64,
    /// Memory of samples not yet in files.
    pub memtable_bytes: u64,
    /// Samples not yet in files.
    pub memtable_samples: u64,
    /// Log on disk.
    pub log_bytes: u64,
    /// The log's counters.
    pub log: wal::LogStats,
    /// Chunk files.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Samples in them.
    pub file_samples: u64,
    /// Float samples acknowledged.
    pub appended_samples: u64,
    /// Native histograms acknowledged.
    pub appended_histograms: u64,
    /// Exemplars acknowledged.
    pub appended_exemplars: u64,
    /// Exemplars held.
    pub exemplars: u64,
    /// Exemplars that made room for newer ones or had no series.
    pub dropped_exemplars: u64,
    /// Samples refused by time or series limits.
    pub rejected_samples: u64,
    /// Batches that failed as a whole.
    pub failed_batches: u64,
    /// Flushes done.
    pub flushes: u64,
    /// Samples they moved.
    pub flushed_samples: u64,
    /// Time they took, seconds.
    pub flush_seconds: f64,
    /// Compactions done.
    pub compactions: u64,
    /// Samples they read, repeats included.
    pub compacted_samples: u64,
    /// Samples they left out: repeats, deleted and expired ones.
    pub dropped_samples: u64,
    /// Compactions put off because the disk had no room for their result.
    pub postponed: u64,
    /// Days dropped as a whole by retention.
    pub days_dropped: u64,
    /// Deletions since the start.
    pub deletions: u64,
    /// Deletions that files still have to be cleaned of.
    pub tombstones: u64,
    /// Series that the series table describes.
    pub described_series: u64,
    /// Files of the series table.
    pub series_files: u64,
    /// Chunk files in the second object store.
    pub far_files: u64,
    /// Their bytes.
    pub far_bytes: u64,
    /// Files moved there.
    pub moved_away: u64,
    /// Files brought back.
    pub moved_back: u64,
    /// Roll-up files.
    pub rollup_files: u64,
    /// Their bytes.
    pub rollup_bytes: u64,
    /// Their rows.
    pub rollup_rows: u64,
    /// Flushes and compactions that failed.
    pub failures: u64,
    /// Decoded chunks kept between queries.
    pub cache: CacheStats,
    /// Whether the last flush or compaction failed because the disk had no room.
    pub starved: bool,
    /// Files that cannot be read.
    pub damaged_files: u64,
    /// Series with chunks but without labels, because the series table has lost them.
    pub unknown_series: u64,
}

/// Live counters of the background work.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    flushes: AtomicU64,
    flushed_samples: AtomicU64,
    flush_micros: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
    starved: AtomicBool,
}

impl Counters {
    pub(crate) fn flushed(&self, samples: u64, took: Duration) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flushed_samples.fetch_add(samples, Ordering::Relaxed);
        self.flush_micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
        self.starved.store(false, Ordering::Relaxed);
    }

    pub(crate) fn compaction_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, disk_full: bool) {
        self.starved.store(disk_full, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(crate) fn fill(&self, stats: &mut StoreStats) {
        stats.flushes = self.flushes.load(Ordering::Relaxed);
        stats.flushed_samples = self.flushed_samples.load(Ordering::Relaxed);
        stats.flush_seconds = self.flush_micros.load(Ordering::Relaxed) as f64 / 1e6;
        stats.failures = self.failures.load(Ordering::Relaxed);
        stats.starved = self.starved.load(Ordering::Relaxed);
    }
}
