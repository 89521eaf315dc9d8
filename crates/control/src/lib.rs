//! The control plane's memory: a log that is the truth, a sled index that serves reads, the outbox, schedules, audit.
//!
//! ```text
//!   put / apply ──▶ one record in control/log ──▶ fdatasync ──▶ sled batch with applied_lsn ──▶ answer
//!   open: newest snapshot + log ──▶ check the index (every row, its sum, its place in the log's hash chain)
//!                                      └ any doubt ──▶ control/quarantine, built anew
//! ```
//!
//! Invariants: an answered change is in the log, synced; the index can be deleted at any time and nothing changes; the
//! audit record of an action precedes the action. sled 0.34 loses rows in silence under power cuts and flipped bits
//! (measured), so it is never believed: each row carries a CRC-32C, the whole a sum, and doubt rebuilds it while running.
//! Formats: `FORMAT.md` beside this crate. This room reads no clock; `now` is an argument.

mod audit;
mod change;
mod control;
mod error;
mod index;
mod kind;
pub mod outbox;
pub mod schedule;
mod snapshot;
mod verify;

pub use audit::{AuditEntry, AuditHead, AuditRecord, AuditVerdict, BadAuditRecord, verify_chain};
pub use change::{CHANGES_MAX, Change, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use control::{Control, ControlOptions, ControlPin, Maintenance, OpenReport, PinnedFile, ScanRange};
pub use error::ControlError;
pub use kind::Kind;
pub use verify::{ControlDamage, verify};
