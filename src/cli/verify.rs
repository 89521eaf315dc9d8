//! `foretide verify`.

use std::path::Path;

use super::args::{Common, VerifyArgs};
use super::backup::folder;
use super::{CliError, output};
use crate::engine::health::size;

pub(super) fn run(_: &Common, args: &VerifyArgs) -> Result<(), CliError> {
    let dir = folder("DIR", &args.dir)?;
    output::line(&report(&dir)?)
}

/// Reads everything; what was found, in one line.
pub(super) fn report(dir: &Path) -> Result<String, CliError> {
    let failed = |err: backup::BackupError| CliError::Failed(err.to_string());
    if backup::is_backup(dir) {
        let manifest = backup::verify_backup(dir).map_err(failed)?;
        let bytes: u64 = manifest.files.iter().map(|file| file.size).sum();
        let (n, log, control) = (manifest.files.len(), manifest.about.log_lsn, manifest.about.control_lsn);
        return Ok(format!("sound backup: {n} files, {}, log to {log}, control to {control}", size(bytes)));
    }
    let facts = backup::verify_folder(dir).map_err(failed)?;
    let tail = if facts.torn_tail { ", ends in an unfinished write" } else { "" };
    Ok(format!(
        "sound: {} files, {}, {} samples, {} series; log {} records{tail}; control to {}",
        facts.files,
        size(facts.bytes),
        facts.samples,
        facts.series,
        facts.log_records,
        facts.control_lsn
    ))
}
