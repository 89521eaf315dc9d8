//! Copying and linking files durably, with their checksum.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::BackupError;

const CHUNK: usize = 1 << 20;

/// Size and CRC-32C of a file or its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) size: u64,
    pub(crate) crc: u32,
}

impl Sum {
    pub(crate) fn hex(self) -> String {
        format!("{:08x}", self.crc)
    }
}

/// Reads a file once.
pub(crate) fn sum(path: &Path) -> Result<Sum, BackupError> {
    let file = File::open(path).map_err(BackupError::disk("read", path))?;
    pour(file, path, |_| Ok(()))
}

/// Copies the first `bytes` of a file (all without it) and syncs the copy; its folder is made but not synced.
pub(crate) fn copy(from: &Path, to: &Path, bytes: Option<u64>) -> Result<Sum, BackupError> {
    make_folder_of(to)?;
    let source = File::open(from).map_err(BackupError::disk("read", from))?;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut target = target.map_err(BackupError::disk("write", to))?;
    let failed = BackupError::disk("write", to);
    let mut write = |part: &[u8]| target.write_all(part);
    let sum = match bytes {
        Some(bytes) => pour(source.take(bytes), from, &mut write),
        None => pour(source, from, &mut write),
    }?;
    target.sync_all().map_err(failed)?;
    Ok(sum)
}

/// Links a file that never changes; `false` where that cannot be done (another disk, no links there).
pub(crate) fn link(from: &Path, to: &Path) -> Result<bool, BackupError> {
    make_folder_of(to)?;
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == ErrorKind::AlreadyExists => {
            // A left-over of a run that was cut: nobody named it yet, so nothing is known about it.
            fs::remove_file(to).map_err(BackupError::disk("remove", to))?;
            Ok(fs::hard_link(from, to).is_ok())
        }
        Err(err) if err.kind() == ErrorKind::NotFound => Err(BackupError::disk("read", from)(err)),
        Err(_) => Ok(false),
    }
}

fn pour(
    mut source: impl Read,
    path: &Path,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<Sum, BackupError> {
    let (mut buffer, mut sum) = (vec![0; CHUNK], Sum { size: 0, crc: 0 });
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => return Ok(sum),
            Ok(n) => n,
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(err) => return Err(BackupError::disk("read", path)(err)),
        };
        write(&buffer[..n]).map_err(BackupError::disk("copy", path))?;
        sum.size += n as u64;
        sum.crc = crc32c::crc32c_append(sum.crc, &buffer[..n]);
    }
}

/// Makes the folder that `path` lies in, for our eyes only.
pub(crate) fn make_folder_of(path: &Path) -> Result<(), BackupError> {
    path.parent().map_or(Ok(()), make_folder)
}

pub(crate) fn make_folder(path: &Path) -> Result<(), BackupError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(BackupError::disk("make", path))
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(BackupError::disk("sync", path))
}

/// Syncs `path` and every folder below it, deepest first.
pub(crate) fn sync_folders(path: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(path).map_err(BackupError::disk("list", path))? {
        let entry = entry.map_err(BackupError::disk("list", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// Whether there is nothing in the folder, or no folder.
pub(crate) fn is_empty(path: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(true),
        Err(err) => Err(BackupError::disk("list", path)(err)),
    }
}
