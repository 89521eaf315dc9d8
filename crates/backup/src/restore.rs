//! Restoring a backup, and checking one.

use std::path::Path;

use crate::copy::{self, Sum};
use crate::error::BackupError;
use crate::manifest::{Manifest, ManifestFile, read_manifest};

/// Reads the whole backup in `dir`.
///
/// # Errors
/// [`BackupError::Differs`] names the first file that is missing or not as it was written.
pub fn verify_backup(dir: &Path) -> Result<Manifest, BackupError> {
    let manifest = read_manifest(dir)?;
    for file in &manifest.files {
        let path = dir.join(&file.stored);
        if !path.is_file() {
            return Err(BackupError::differs(&file.stored, "it is missing"));
        }
        compare(file, copy::sum(&path)?)?;
    }
    Ok(manifest)
}

/// Copies the backup in `dir` to `to`, which must be empty or missing; every byte is compared on the way. Nothing that
/// was restored is linked to the backup.
///
/// # Errors
/// [`BackupError::NotEmpty`]; [`BackupError::Differs`] names the first file that is missing or not as it was written. What
/// was copied until then is left for inspection, without `FORMAT`, so that no program takes it for a data folder.
pub fn restore(dir: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let manifest = read_manifest(dir)?;
    if !copy::is_empty(to)? {
        return Err(BackupError::NotEmpty { path: to.to_owned(), hint: "" });
    }
    copy::make_folder(to)?;
    // The mark comes last: without it the folder is nothing yet.
    let (marks, files): (Vec<_>, Vec<_>) = manifest.files.iter().partition(|file| file.path == "FORMAT");
    for file in files.iter().chain(&marks) {
        let from = dir.join(&file.stored);
        if !from.is_file() {
            return Err(BackupError::differs(&file.stored, "it is missing"));
        }
        let target = to.join(&file.path);
        let copied = copy::copy(&from, &target, None)?;
        compare(file, copied).inspect_err(|_| {
            let _ = std::fs::remove_file(&target);
        })?;
    }
    copy::sync_folders(to)?;
    if let Some(parent) = to.parent() {
        copy::sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    Ok(manifest)
}

fn compare(file: &ManifestFile, found: Sum) -> Result<(), BackupError> {
    if found.size != file.size {
        return Err(BackupError::differs(&file.stored, format!("{} bytes instead of {}", found.size, file.size)));
    }
    if found.hex() != file.crc32c {
        return Err(BackupError::differs(&file.stored, format!("crc32c {} instead of {}", found.hex(), file.crc32c)));
    }
    Ok(())
}
