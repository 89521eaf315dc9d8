//! Backing up a folder that is open: what belongs together is pinned, the rest is `backup`'s.

use std::path::{Path, PathBuf};

use ::backup::{About, Backup, BackupError, BackupReport};
use store::FileIds;

use super::{Core, EngineError};

/// In the data folder, but not of it: other names for a moment, room, or made again at every start.
const LEFT_OUT: [&str; 6] = ["LOCK", ".staging", "quarantine", "reserve.bin", "wal", "control"];
/// Where the store's tables lie.
const TABLES: &str = "default";

/// Backs the open folder up into `dir`, while it is written to.
pub(crate) fn run(core: &Core, dir: &Path) -> Result<BackupReport, EngineError> {
    let (root, refuse) = (&core.root, |why| EngineError::Backup(BackupError::Target { path: dir.to_owned(), why }));
    if !dir.is_absolute() {
        return Err(refuse("it is not an absolute path"));
    }
    // Whatever names and links lead there.
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let inside = match (real(root), dir.ancestors().find_map(real)) {
        (Some(root), Some(nearest)) => nearest.starts_with(root),
        _ => dir.starts_with(root),
    };
    if inside {
        return Err(refuse("it lies in the data folder; choose a folder outside"));
    }
    let run = crate::ids::Ids::new(core.clock.now()).next();
    let mut backup = Backup::begin(root, dir, run)?;
    let (taken, pin, _files) = core.store.pinned(|pin| -> Result<(), BackupError> {
        for segment in &pin.segments {
            backup.take_now(&segment.path, Some(segment.bytes))?;
        }
        for table in &pin.tables {
            take_all(&mut backup, root, &root.join(table).join("_delta_log"))?;
        }
        take_plain(&mut backup, root)
    })?;
    taken?;
    for (key, size) in &pin.files {
        backup.take_fixed(key, *size)?;
    }
    for (key, size) in &pin.damaged {
        backup.leave_damaged(key, *size);
    }
    backup.leave_elsewhere(pin.far);
    let control_lsn = core.control.pinned(|control| -> Result<u64, BackupError> {
        for file in &control.files {
            backup.take_now(&file.path, file.bytes)?;
        }
        Ok(control.lsn)
    })??;
    let about = About {
        program: env!("CARGO_PKG_VERSION").into(),
        made_at: core.clock.now().0,
        chunks_version: pin.chunks_version,
        flushed_lsn: pin.flushed_lsn,
        log_lsn: pin.log_lsn,
        control_lsn,
    };
    Ok(backup.finish(about)?)
}

/// Files at the root (format mark, metadata) and in folders that this program does not keep tables in.
fn take_plain(backup: &mut Backup, root: &Path) -> Result<(), BackupError> {
    for path in entries(root)? {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if LEFT_OUT.contains(&name.as_str()) || name == TABLES || name.ends_with(".tmp") {
            continue;
        }
        take_all(backup, root, &path)?;
    }
    Ok(())
}

/// A file, or everything below a folder.
fn take_all(backup: &mut Backup, root: &Path, path: &Path) -> Result<(), BackupError> {
    if path.is_dir() {
        return entries(path)?.iter().try_for_each(|path| take_all(backup, root, path));
    }
    match path.strip_prefix(root).ok().and_then(Path::to_str) {
        Some(name) => backup.take_now(name, None),
        None => Ok(()), // Not a name of ours.
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let fault = |source| BackupError::Disk { action: "list", path: folder.to_owned(), source };
    let listed = std::fs::read_dir(folder).map_err(fault)?;
    listed.map(|entry| Ok(entry.map_err(fault)?.path())).collect()
}
