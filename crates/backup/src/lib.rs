//! Backups of a data folder: taken while it works, checked byte by byte, restored into an empty folder.
//!
//! ```text
//!   pin (store, control) ─▶ Backup::take … ─▶ finish: sync, MANIFEST.json in one step
//!   files that never change are linked (same disk) or copied once; a second run takes only what is new
//!   verify_backup: every size and checksum · restore: the same while copying · verify_folder: a live folder, decoded
//! ```
//!
//! This room knows files, checksums and the readers of tables and logs; what belongs together at one moment is told by
//! whoever holds the pins. Formats: `FORMAT.md` beside this crate.

mod copy;
mod error;
mod folder;
mod make;
mod manifest;
mod restore;

pub use error::BackupError;
pub use folder::{FolderFacts, verify_folder};
pub use make::{Backup, BackupReport};
pub use manifest::{About, MANIFEST, Manifest, ManifestFile, is_backup, read_manifest};
pub use restore::{restore, verify_backup};
