//! Ways of hurting a running Foretide, and the accounts that show what it kept.
//!
//! ```text
//!   senders ─▶ POST /api/v1/write ─▶ 204 ─▶ ledger, fsynced        kill -9 · power cut · full disk · failing syscalls · clock steps
//!   afterwards: everything read back ─▶ lost, doubled, altered, invented: none, or the round has failed
//! ```
//!
//! Each round is a function of a [`Plan`]: the same seed makes the same choices (not the same timing). Rounds that need
//! root or a program that is missing say so and count as skipped. The binary `foretide-torture` runs them at nightly
//! figures; the product's tests run them small. Nothing here is part of the product.

pub mod clock;
pub mod disk;
pub mod faults;
pub mod files;
pub mod group;
pub mod hostile;
pub mod http;
pub mod kill;
pub mod ledger;
pub mod log;
pub mod machine;
pub mod memory;
pub mod order;
pub mod plan;
pub mod points;
pub mod power;
pub mod process;
pub mod remote_write;
pub mod saved;
pub mod soak;
pub mod stored;

pub use plan::{Outcome, Plan};
