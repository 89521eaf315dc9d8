//! What can go wrong with a backup, each with the file and the next step.

use std::io;
use std::path::{Path, PathBuf};

/// Why a backup could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk failed.
    #[error("{action} {}: {source}", path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not as it was written.
    #[error("{file} differs: {why}; take it from another backup")]
    Differs {
        /// The file, inside the folder or backup.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The folder holds no backup.
    #[error("{} is no backup: it has no MANIFEST.json", path.display())]
    NoBackup {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is no data folder.
    #[error("{} is neither a data folder nor a backup: it has no FORMAT and no MANIFEST.json", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The backup is of a newer program.
    #[error("{} has format {found}, this program reads up to {supported}; use the newer program", path.display())]
    NewerFormat {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Newest format known here.
        supported: u32,
    },
    /// The place cannot hold a backup.
    #[error("{} cannot hold a backup: {why}", path.display())]
    Target {
        /// The folder.
        path: PathBuf,
        /// Why, with what to choose instead.
        why: &'static str,
    },
    /// Something else lies where the backup or the restored folder should go.
    #[error("{} is not empty{hint}; choose an empty or a new folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// What is known about it, beginning with a space or comma, or empty.
        hint: &'static str,
    },
}

impl BackupError {
    pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { action, path, source }
    }

    pub(crate) fn differs(file: &str, why: impl Into<String>) -> Self {
        Self::Differs { file: file.to_owned(), why: why.into() }
    }
}
