//! Making a backup, file by file.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::copy::{self, Sum};
use crate::error::BackupError;
use crate::manifest::{self, About, Manifest, ManifestFile};

/// Folder of files that never change, in a backup.
const FILES: &str = "files";

/// A backup being made. Dropped before [`Backup::finish`], the one before it stays as it was.
pub struct Backup {
    dir: PathBuf,
    root: PathBuf,
    /// Files of the run before, by path in the data folder.
    before: HashMap<String, ManifestFile>,
    state: String,
    taken: Vec<ManifestFile>,
    report: BackupReport,
}

/// What a run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Files of the backup.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the run before had already.
    pub kept: u64,
    /// Files linked instead of copied.
    pub linked: u64,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Files that cannot be read and are not in the backup.
    pub damaged: u64,
    /// Files that stay in a second store, which needs a copy of its own.
    #[serde(default)]
    pub elsewhere: u64,
}

impl Backup {
    /// Begins a backup of the data folder `root` into `dir`, which is empty, missing, or a backup to be brought up to date.
    /// `run` tells this run from others into the same folder.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`] for a folder with something else in it; [`BackupError::Differs`] for a damaged manifest.
    pub fn begin(root: &Path, dir: &Path, run: u128) -> Result<Self, BackupError> {
        let mut before = HashMap::new();
        if manifest::is_backup(dir) {
            before.extend(manifest::read_manifest(dir)?.files.into_iter().map(|file| (file.path.clone(), file)));
        } else if !copy::is_empty(dir)? && !is_unfinished(dir) {
            return Err(BackupError::NotEmpty { path: dir.to_owned(), hint: " and holds no backup" });
        }
        copy::make_folder(&dir.join(FILES))?;
        let (dir, root, state) = (dir.to_owned(), root.to_owned(), format!("state-{run:032x}"));
        Ok(Self { dir, root, before, state, taken: Vec::new(), report: BackupReport::default() })
    }

    /// Whether the run before has this file, so that nothing needs to be read. Only for files that never change.
    pub fn has(&self, path: &str, size: u64) -> bool {
        self.kept(path, size).is_some()
    }

    fn kept(&self, path: &str, size: u64) -> Option<ManifestFile> {
        let known = self.before.get(path).filter(|known| known.size == size && known.stored.starts_with(FILES))?;
        let there = fs::metadata(self.dir.join(&known.stored)).is_ok_and(|about| about.len() == size);
        there.then(|| known.clone())
    }

    /// Takes a file that never changes: kept from the run before, linked, or copied.
    ///
    /// # Errors
    /// [`BackupError::Disk`]; [`BackupError::Differs`] when its size is another.
    pub fn take_fixed(&mut self, path: &str, size: u64) -> Result<(), BackupError> {
        if let Some(known) = self.kept(path, size) {
            self.report.kept += 1;
            self.note(known);
            return Ok(());
        }
        let stored = format!("{FILES}/{path}");
        let (from, to) = (self.root.join(path), self.dir.join(&stored));
        let sum = if copy::link(&from, &to)? {
            self.report.linked += 1;
            copy::sum(&to)?
        } else {
            let sum = copy::copy(&from, &to, None)?;
            self.report.copied_bytes += sum.size;
            sum
        };
        if sum.size != size {
            return Err(BackupError::differs(path, format!("{} bytes instead of {size}", sum.size)));
        }
        self.put(path, stored, sum);
        Ok(())
    }

    /// Takes the first `bytes` (all without it) of a file that grows or is replaced.
    ///
    /// # Errors
    /// [`BackupError::Disk`]; [`BackupError::Differs`] when it is shorter.
    pub fn take_now(&mut self, path: &str, bytes: Option<u64>) -> Result<(), BackupError> {
        let stored = format!("{}/{path}", self.state);
        let sum = copy::copy(&self.root.join(path), &self.dir.join(&stored), bytes)?;
        if bytes.is_some_and(|bytes| bytes != sum.size) {
            return Err(BackupError::differs(path, format!("{} bytes where more should be", sum.size)));
        }
        self.report.copied_bytes += sum.size;
        self.put(path, stored, sum);
        Ok(())
    }

    /// Notes files that the tables name in a second store; they stay there.
    pub fn leave_elsewhere(&mut self, files: u64) {
        self.report.elsewhere += files;
    }

    /// Counts a file that cannot be read. A copy that the run before took is kept.
    pub fn leave_damaged(&mut self, path: &str, size: u64) {
        match self.kept(path, size) {
            Some(known) => {
                self.report.kept += 1;
                self.note(known);
            }
            None => self.report.damaged += 1,
        }
    }

    fn put(&mut self, path: &str, stored: String, sum: Sum) {
        self.note(ManifestFile { path: path.to_owned(), stored, size: sum.size, crc32c: sum.hex() });
    }

    fn note(&mut self, file: ManifestFile) {
        self.report.files += 1;
        self.report.bytes += file.size;
        self.taken.push(file);
    }

    /// Makes everything durable, replaces the manifest and removes what it does not name.
    ///
    /// # Errors
    /// [`BackupError::Disk`]; the backup before this run is then still whole.
    pub fn finish(self, about: About) -> Result<BackupReport, BackupError> {
        copy::sync_folders(&self.dir)?;
        if let Some(parent) = self.dir.parent() {
            copy::sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        let manifest = Manifest::new(about, self.state.clone(), self.taken);
        manifest.write(&self.dir)?;
        let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.stored.as_str()).collect();
        tidy(&self.dir, &self.state, &named);
        Ok(self.report)
    }
}

/// A run that was cut before its first manifest.
fn is_unfinished(dir: &Path) -> bool {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let ours = |name: std::ffi::OsString| {
        name.to_str().is_some_and(|name| name == FILES || name == "MANIFEST.tmp" || name.starts_with("state-"))
    };
    let mut names = names.map(ours).peekable();
    names.peek().is_some() && names.all(|ours| ours)
}

/// What is left behind does no harm and is tried again by the next run.
fn tidy(dir: &Path, state: &str, named: &BTreeSet<&str>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("state-") && name != state) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let mut folders = vec![dir.join(FILES)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.strip_prefix(dir).ok().and_then(Path::to_str).is_some_and(|name| !named.contains(name)) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}
