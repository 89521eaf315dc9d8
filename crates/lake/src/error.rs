//! The one error type of this room.

/// Why the lake could not do what was asked. Nothing is ever guessed from damaged bytes.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The object store or the disk failed; the same call may be made again.
    #[error("{action} {file}: {why}")]
    Io {
        /// What was being done: `read`, `write`, `list`, `delete`.
        action: &'static str,
        /// Object key.
        file: String,
        /// The store's reason.
        why: String,
    },
    /// A file that a commit names does not exist.
    #[error("{file} is named by the table but missing; restore it from a backup")]
    Missing {
        /// Object key.
        file: String,
    },
    /// Bytes do not match their checksum or format.
    #[error("{file} is damaged: {why}; restore it from a backup or move it to quarantine")]
    Damaged {
        /// Object key.
        file: String,
        /// What failed.
        why: String,
    },
    /// The caller's rows or arguments cannot be stored.
    #[error("cannot store in {place}: {why}")]
    Invalid {
        /// Table or file.
        place: String,
        /// What is wrong, with the numbers.
        why: String,
    },
    /// The commit's inputs are not in the table any more; plan again from a fresh snapshot.
    #[error("commit to {table} at version {version} conflicts: {why}; plan again from a fresh snapshot")]
    Conflict {
        /// Folder of the table.
        table: String,
        /// Newest version seen.
        version: u64,
        /// What is in the way.
        why: String,
    },
    /// Someone with a newer epoch has committed for this application id: this writer must stop.
    #[error("writer `{app}` of {table} is fenced: the table has version {have}, this commit carries {want}")]
    Fenced {
        /// Folder of the table.
        table: String,
        /// Application id of the `txn` action.
        app: String,
        /// Version in the table.
        have: i64,
        /// Version in the refused commit.
        want: i64,
    },
    /// Whether the commit happened is unknown: the store did not answer. Commit again with the **same** id.
    #[error(
        "commit to {table} at version {version} has an unknown outcome after {tries} tries: {why}; commit again with the same id"
    )]
    Unknown {
        /// Folder of the table.
        table: String,
        /// Version that was tried last.
        version: u64,
        /// Number of tries.
        tries: u32,
        /// The last reason.
        why: String,
    },
    /// The table was written by another kind of table or a newer release.
    #[error("{table} cannot be opened: {why}")]
    Unsupported {
        /// Folder of the table.
        table: String,
        /// What was found and what was expected.
        why: String,
    },
}

impl LakeError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Unknown { .. })
    }

    pub(crate) fn damaged(file: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Damaged { file: file.into(), why: why.to_string() }
    }

    pub(crate) fn invalid(place: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Invalid { place: place.into(), why: why.to_string() }
    }

    /// Maps a store error of a read, telling a missing object from a failing store.
    pub(crate) fn read(file: &str, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing { file: file.to_owned() },
            other => Self::Io { action: "read", file: file.to_owned(), why: other.to_string() },
        }
    }
}
