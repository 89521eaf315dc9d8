//! The Delta transaction log: actions, commits, snapshots, checkpoints. No I/O here: bytes in, bytes out.
//!
//! Protocol reader 1 / writer 2, so that every Delta reader can follow. Ours writes two things more, where the format
//! leaves room: each commit ends with a checksum of itself and its own version, and each `add` carries tags with the
//! level, the log positions and the checksums of its file. Commits without that seal are refused: other engines may read
//! these tables, not write to them.

pub(crate) mod action;
pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod schema;
mod snapshot;

pub use snapshot::Snapshot;

/// A checkpoint is written every so many versions.
pub(crate) const CHECKPOINT_EVERY: u64 = 100;

/// Key of version `version` of the table in `root`.
pub(crate) fn commit_key(root: &str, version: u64) -> String {
    format!("{root}/_delta_log/{version:020}.json")
}

/// Key of the checkpoint at `version`.
pub(crate) fn checkpoint_key(root: &str, version: u64) -> String {
    format!("{root}/_delta_log/{version:020}.checkpoint.parquet")
}

/// Key of the pointer to the newest checkpoint.
pub(crate) fn last_checkpoint_key(root: &str) -> String {
    format!("{root}/_delta_log/_last_checkpoint")
}

/// The version of a commit file's name, `None` for any other name.
pub(crate) fn version_of(name: &str) -> Option<u64> {
    version_before(name, ".json")
}

/// The version of a checkpoint file's name, `None` for any other name.
pub(crate) fn checkpoint_version_of(name: &str) -> Option<u64> {
    version_before(name, ".checkpoint.parquet")
}

fn version_before(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// `id` in the usual notation of UUIDs.
pub(crate) fn uuid_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests;
