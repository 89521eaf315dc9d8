//! Reading a data folder to its last byte: tables, logs, snapshots. Nothing in it is changed; it may be in use.

use std::path::Path;
use std::sync::Arc;

use lake::{LakeError, Table, TableKind};
use wal::{LocalStorage, Storage};

use crate::error::BackupError;

/// The tables of a data folder.
const TABLES: [(&str, TableKind); 4] = [
    ("default/series", TableKind::Series),
    ("default/chunks", TableKind::Chunks),
    ("default/rollup_5m", TableKind::Rollup),
    ("default/rollup_1h", TableKind::Rollup),
];
/// Looks at a place that is changing under us.
const LOOKS: usize = 5;
const LOG: &str = "wal";

/// What a sound data folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderFacts {
    /// Data files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Samples decoded.
    pub samples: u64,
    /// Series described.
    pub series: u64,
    /// Records of the log beyond the files.
    pub log_records: u64,
    /// Last record of the control log.
    pub control_lsn: u64,
    /// Files in the second object store, which were not read.
    pub far: u64,
    /// Whether the log ends in an unfinished write, which a crash (or a writer at work) leaves.
    pub torn_tail: bool,
}

/// Reads everything of the data folder `root` and decodes it.
///
/// # Errors
/// [`BackupError::Differs`] names the first file that is missing or damaged.
pub fn verify_folder(root: &Path) -> Result<FolderFacts, BackupError> {
    if !root.join("FORMAT").is_file() {
        return Err(BackupError::NoFolder { path: root.to_owned() });
    }
    let mut facts = FolderFacts::default();
    let mut flushed = 0;
    for (prefix, kind) in TABLES {
        flushed = flushed.max(verify_table(root, prefix, kind, &mut facts)?);
    }
    let storage = LocalStorage::open_existing(root).map_err(BackupError::disk("open", root))?;
    verify_log(&storage, flushed, &mut facts)?;
    let control = control::verify(&storage).map_err(|err| BackupError::Differs { file: err.file, why: err.why })?;
    facts.control_lsn = control;
    Ok(facts)
}

/// The log position that the table's files cover.
fn verify_table(root: &Path, prefix: &str, kind: TableKind, facts: &mut FolderFacts) -> Result<u64, BackupError> {
    let disk = lake::local_to_read(root).map_err(differs)?;
    let missing = || BackupError::differs(&format!("{prefix}/_delta_log"), "it is missing");
    let table = Table::open_existing(Arc::clone(&disk), prefix, kind).map_err(differs)?.ok_or_else(missing)?;
    for entry in table.snapshot().files.values() {
        if entry.is_far() {
            facts.far += 1;
            continue;
        }
        match lake::verify_file(&disk, kind, entry) {
            Ok(found) => {
                facts.files += 1;
                facts.bytes += entry.size;
                facts.samples += found.samples;
                facts.series += if kind == TableKind::Series { found.rows } else { 0 };
            }
            Err(err) => {
                // A compaction at work may have taken it away: what counts is what the table names now.
                let now = table.refresh().map_err(differs)?;
                if now.files.contains_key(&entry.path) {
                    return Err(differs(err));
                }
            }
        }
    }
    // The version is the epoch in the high bits and the log position in the low 40.
    Ok(table.snapshot().txns.values().map(|&version| (version % (1 << 40)) as u64).max().unwrap_or(0))
}

fn verify_log(storage: &dyn Storage, flushed: u64, facts: &mut FolderFacts) -> Result<(), BackupError> {
    let mut last = None;
    for _ in 0..LOOKS {
        match wal::verify(storage, LOG, flushed) {
            Ok(report) => {
                facts.log_records = report.last_lsn.saturating_sub(flushed);
                facts.torn_tail = report.torn_tail.is_some();
                let Some(first) = report.damage.first() else { return Ok(()) };
                let file = if first.path.is_empty() { LOG } else { &first.path };
                let why = format!("{} bad bytes at {}, {} records missing", first.bytes, first.offset, first.missing);
                last = Some(BackupError::differs(file, why));
            }
            Err(err) => last = Some(BackupError::differs(LOG, source_of(&err))),
        }
    }
    last.map_or(Ok(()), Err)
}

fn source_of(err: &wal::LogError) -> String {
    let source = std::error::Error::source(err).map(|source| format!(": {source}"));
    format!("{err}{}", source.unwrap_or_default())
}

fn differs(err: LakeError) -> BackupError {
    match err {
        LakeError::Damaged { file, why } => BackupError::Differs { file, why },
        LakeError::Missing { file } => BackupError::Differs { file, why: "it is missing".to_owned() },
        LakeError::Io { file, why, .. } => BackupError::Differs { file, why },
        other => BackupError::Differs { file: "default".to_owned(), why: other.to_string() },
    }
}
