//! What can go wrong in the store, each with the file or number and the next step.

use std::path::PathBuf;

/// Why the store could not open or finish its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder cannot be made or read.
    #[error("data folder {}: {source}; choose another with --data or mend its permissions", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another process has the folder.
    #[error("data folder {} is in use by another process ({holder}); stop it or choose another folder with --data", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// What is known of the holder.
        holder: String,
    },
    /// A newer program wrote the folder.
    #[error("data folder {} has format {found}, this program reads up to {supported}; it was left untouched, use the newer program", path.display())]
    NewerFormat {
        /// The folder.
        path: PathBuf,
        /// Format of the folder.
        found: u32,
        /// Newest format known here.
        supported: u32,
    },
    /// The folder's format mark is unreadable.
    #[error("{} is not a format mark of this program: {text:?}; is this folder used by something else?", path.display())]
    BadFormat {
        /// The mark.
        path: PathBuf,
        /// Its beginning.
        text: String,
    },
    /// The write-ahead log failed.
    #[error("write-ahead log: {0}")]
    Log(#[from] wal::LogError),
    /// Files or commits of the tables failed.
    #[error("tables: {0}")]
    Lake(#[from] lake::LakeError),
    /// A chunk cannot be decoded although its checksum holds.
    #[error("chunk of series {series} in {file}: {source}")]
    Chunk {
        /// File of the chunk.
        file: String,
        /// Series of the chunk.
        series: series::SeriesId,
        /// What failed.
        source: codec::CodecError,
    },
    /// The folder can be read but not written.
    #[error("data folder {} cannot be written: {source}; mount it read-write or mend its permissions, meanwhile queries can read it: foretide sql --data {}", path.display(), path.display())]
    ReadOnly {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The list of deletions is damaged; read as none it would bring deleted samples back.
    #[error("{} is damaged: {why}; restore it from a backup, or remove it if deleted samples may come back", file.display())]
    Deletions {
        /// The list.
        file: PathBuf,
        /// What failed.
        why: String,
    },
    /// Too many deletions wait for compaction.
    #[error("{limit} deletions wait for compaction; clean the tombstones, then delete again")]
    TooManyDeletions {
        /// Deletions that may wait.
        limit: usize,
    },
    /// A file lies in another object store than the configured one.
    #[error("{file} lies in another store; set tiers.cold to its address")]
    Elsewhere {
        /// The file's address.
        file: String,
    },
    /// The disk has no room for the result of a compaction.
    #[error("compaction needs {need} bytes of free space and there are {free}; free space, or shorten the retention")]
    NoRoom {
        /// Bytes it needs.
        need: u64,
        /// Bytes there are.
        free: u64,
    },
    /// The writer thread is gone.
    #[error("store is closed")]
    Closed,
}
