//! What a backup holds, sealed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::copy::sync_folder;
use crate::error::BackupError;

/// Name of the manifest in a backup.
pub const MANIFEST: &str = "MANIFEST.json";
const FORMAT: u32 = 1;
/// Largest manifest taken into memory: 100 bytes a file for five million files.
const BYTES_MAX: u64 = 512 << 20;

/// Which moment a backup shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Version of the program that made it.
    pub program: String,
    /// When, milliseconds since the epoch.
    pub made_at: i64,
    /// Version of the chunk table.
    pub chunks_version: u64,
    /// Last log position in the table's files.
    pub flushed_lsn: u64,
    /// Last log position in the backup.
    pub log_lsn: u64,
    /// Last record of the control log.
    pub control_lsn: u64,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path in the data folder.
    pub path: String,
    /// Its path in the backup.
    pub stored: String,
    /// Bytes.
    pub size: u64,
    /// CRC-32C, eight hexadecimal digits.
    pub crc32c: String,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the backup.
    pub format: u32,
    /// Which moment it shows.
    #[serde(flatten)]
    pub about: About,
    /// Folder of the files of this run alone.
    pub state: String,
    /// All files, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// Whether `dir` holds a backup.
pub fn is_backup(dir: &Path) -> bool {
    dir.join(MANIFEST).is_file()
}

/// Reads and checks the manifest of the backup in `dir`.
///
/// # Errors
/// [`BackupError::NoBackup`], [`BackupError::Differs`] when its seal does not hold, [`BackupError::NewerFormat`].
pub fn read_manifest(dir: &Path) -> Result<Manifest, BackupError> {
    let path = dir.join(MANIFEST);
    let size = match fs::metadata(&path) {
        Ok(about) => about.len(),
        Err(err) if err.kind() == ErrorKind::NotFound => return Err(BackupError::NoBackup { path: dir.to_owned() }),
        Err(err) => return Err(BackupError::disk("read", &path)(err)),
    };
    if size > BYTES_MAX {
        return Err(BackupError::differs(MANIFEST, format!("it has {size} bytes")));
    }
    let text = fs::read_to_string(&path).map_err(BackupError::disk("read", &path))?;
    let damaged = |why: &str| BackupError::differs(MANIFEST, why);
    let (body, seal) = text.trim_end_matches('\n').rsplit_once('\n').ok_or_else(|| damaged("its seal is gone"))?;
    let body = format!("{body}\n");
    if seal != seal_of(&body) {
        return Err(damaged("its checksum fails"));
    }
    let format = serde_json::from_str::<Format>(&body).map_err(|err| damaged(&err.to_string()))?.format;
    if format > FORMAT {
        return Err(BackupError::NewerFormat { path, found: format, supported: FORMAT });
    }
    let manifest: Manifest = serde_json::from_str(&body).map_err(|err| damaged(&err.to_string()))?;
    // The seal is no signature: a manifest from elsewhere must not name files outside.
    let outside =
        |name: &str| Path::new(name).components().any(|part| !matches!(part, std::path::Component::Normal(_)));
    match manifest.files.iter().find(|file| outside(&file.path) || outside(&file.stored)) {
        Some(file) => Err(damaged(&format!("it names {}, which is outside", file.path))),
        None => Ok(manifest),
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Manifest {
    pub(crate) fn new(about: About, state: String, mut files: Vec<ManifestFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { format: FORMAT, about, state, files }
    }

    /// Replaces the manifest in `dir` durably, in one step.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let (tmp, path) = (dir.join("MANIFEST.tmp"), dir.join(MANIFEST));
        let body = serde_json::to_string(self).map_err(|err| BackupError::differs(MANIFEST, err.to_string()))? + "\n";
        let written = File::create(&tmp).and_then(|mut file| {
            file.write_all(body.as_bytes())?;
            file.write_all(seal_of(&body).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&tmp, &path)).map_err(BackupError::disk("write", &path))?;
        sync_folder(dir)
    }
}

fn seal_of(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}
