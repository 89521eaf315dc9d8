//! What a store is opened with.

use series::Millis;

use crate::retention::Retention;
use crate::tier::TierOptions;

/// Settings of a store; every bound has its default here and its answer in [`series::AppendError`] or
/// [`series::RejectionReason`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How far behind the newest sample of its series a sample may be.
    pub ooo_window: Millis,
    /// How far ahead of the clock a sample from outside may be.
    pub ahead_max: Millis,
    /// New series beyond this many are refused; existing ones go on.
    pub series_max: u64,
    /// Memory that the index of all series may take; beyond it new series are refused as beyond
    /// [`StoreOptions::series_max`].
    pub index_bytes: u64,
    /// A memtable this large is flushed.
    pub memtable_bytes: u64,
    /// Samples not yet in files may take four times [`StoreOptions::memtable_bytes`], but no more than this; then writes
    /// wait for a flush.
    pub fresh_bytes: u64,
    /// A log this large is flushed, so that a restart has no more to read and the folder holds no more twice.
    pub log_bytes: u64,
    /// A memtable this old is flushed.
    pub memtable_age: Millis,
    /// Unwritten bytes that may wait for the log.
    pub queue_bytes: usize,
    /// Decoded chunks that are kept between queries; 0 keeps none.
    pub cache_bytes: u64,
    /// A second object store for old files.
    pub tiers: Option<TierOptions>,
    /// How long samples and roll-ups are kept.
    pub retention: Retention,
    /// When the roll-ups of a day are written.
    pub rollups: RollupTime,
    /// Whether flushes and compactions run by themselves; otherwise only when asked for.
    pub background: bool,
    /// Exemplars kept, of all series; the oldest make room.
    pub exemplars_max: usize,
    /// What spellings of labels are hashed with: a random number that no sender knows, so that none can make two spellings
    /// of different series meet.
    pub spelling_seed: u64,
    /// When the log is synced.
    pub sync: wal::SyncMode,
}

/// When the roll-ups of a closed day are written. Until then they are worked out from its samples whenever they are
/// asked for, with the same result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RollupTime {
    /// Before the day's samples expire. At fifteen seconds a sample they would take twice the room of the samples.
    #[default]
    BeforeExpiry,
    /// As soon as the day is closed, for queries over long times and for other engines.
    Daily,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            ooo_window: Millis::from_hours(24),
            ahead_max: Millis::from_mins(10),
            series_max: 2_000_000,
            index_bytes: u64::MAX,
            memtable_bytes: 48 << 20,
            fresh_bytes: u64::MAX,
            log_bytes: 192 << 20,
            memtable_age: Millis::from_mins(10),
            queue_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            tiers: None,
            retention: Retention::default(),
            rollups: RollupTime::default(),
            background: true,
            exemplars_max: 100_000,
            spelling_seed: 0,
            sync: wal::SyncMode::Always,
        }
    }
}
