//! The embedded columnar store: durable before acknowledged, visible at once, compact on disk.
//!
//! ```text
//!   Append ─▶ limits, series numbers ─▶ log (fdatasync) ─▶ memtable ─▶ done
//!                                                             │ flush: chunk files + Delta commit, then the log is cut
//!   Select ◀─ index ─ memtables ─ chunk files ◀───────────────┘ compaction: one run a day, roll-ups
//! ```
//!
//! - The truth is the log plus the committed files; the index is rebuilt from them at every start.
//! - A sample stored twice is kept once: the later log position wins (see `merge`), also when one is a float and one a
//!   native histogram (see `histograms`). Both kinds lie in the same tables, in chunks of their own.
//! - Readers see memtables and files as one consistent set; compacted files live until their last reader is done.
//!
//! This room knows no HTTP, no query language and no async runtime; arrow and Parquet stay inside `lake`.

mod cache;
mod compact;
mod damage;
mod delete;
mod dictionary;
mod error;
mod exemplars;
mod expiry;
mod flush;
mod folder;
mod histograms;
mod index;
mod memtable;
mod merge;
mod metadata_file;
mod options;
mod payload;
mod pin;
mod postings;
mod recover;
mod replay;
mod retention;
mod rollup;
mod rows;
mod set;
mod spellings;
mod start;
mod started;
mod state;
mod stats;
mod store;
mod tables;
mod tier;
mod tombstone;
mod upkeep;
mod write;

pub use cache::CacheStats;
pub use damage::DamagedFile;
pub use delete::DeleteReport;
pub use error::StoreError;
pub use folder::{DataFolder, FORMAT};
pub use options::{RollupTime, StoreOptions};
pub use pin::{PinnedFiles, StorePin};
pub use retention::{Keep, KeepTimes, Retention, RetentionRule};
pub use stats::StoreStats;
pub use store::{FileIds, FlushReport, OpenReport, Store};
pub use tier::TierOptions;
pub use wal::SyncMode;
