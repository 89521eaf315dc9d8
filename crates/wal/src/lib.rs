//! A segmented write-ahead log with group commit, and the disk behind a trait so that tests can fail it.
//!
//! ```text
//!   submit ──▶ queue ──▶ writer thread: encode all waiting ──▶ append ──▶ fdatasync ──▶ apply ──▶ done
//!                              │ a write or sync fails: seal the segment, once more into a new one
//!                              ▼ twice in a row: refuse (read-only, disk full), probe, resume alone
//!   open ──▶ headers ──▶ one segment at a time ──▶ replay(record) ; damage is counted, copied aside, never hidden
//! ```
//!
//! Invariants: a record is acknowledged only after its bytes are synced; sequence numbers ([`Lsns`]) have no gaps, also
//! across restarts; a failed `fsync` is never repeated on the same file; a segment can be read alone. The bytes are
//! described in `FORMAT.md` beside this crate. The log knows nothing about samples or policies: see [`Payload`].

mod appender;
mod error;
mod format;
mod local;
mod lock;
mod log;
mod options;
mod payload;
mod queue;
mod recover;
mod segments;
pub mod sim;
mod space;
mod stats;
mod storage;
mod writer;

pub use error::LogError;
pub use format::{FORMAT_VERSION, HEADER_BYTES, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, scan_segment};
pub use local::LocalStorage;
pub use lock::{FolderLock, LockError, lock_folder, lock_folder_to_read};
pub use log::{Log, read, verify};
pub use options::{LogOptions, SyncMode};
pub use payload::{Apply, Done, Exclusive, Lsns, Payload, RecordWriter};
pub use recover::{Damage, Record, Replay, ReplayReport, ReplayStop, TornTail};
pub use segments::SegmentInfo;
pub use space::{DiskSpace, allocate, disk_space, is_disk_full, is_read_only};
pub use stats::LogStats;
pub use storage::{Storage, StorageFile, replace_file};
