//! Recommendations as files: one JSON document a target, and a JSONL log of every decision beside it.
//!
//! ```text
//!  apply ─▶ append a line to decisions.jsonl, fsync ─▶ write target.json.tmp, fsync ─▶ rename ─▶ fsync the folder
//! ```
//!
//! The log is written first and is the truth: a crash between the two steps leaves a document that is one generation
//! behind, and opening the folder (or applying the same key again) brings it up. A torn last line is cut off on
//! opening; leftovers of unfinished documents are removed. Readers watch the folder for renames and compare
//! `generation`. One process at a time holds the folder by a lock file.
//!
//! The log is rotated once (`decisions.jsonl.1`); keys are remembered as long as they stand in either part.

mod document;
mod log;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use series::Timestamp;

use crate::actuator::{Actuator, Effect, Plan, Receipt, Verified};
use crate::error::ActuateError;
use crate::message::Message;
use document::Entry;
use log::Log;

/// Where and how much.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// Name in logs and metrics.
    pub name: String,
    /// The folder; made if it is missing, readable by its owner only.
    pub dir: PathBuf,
    /// The log is rotated before it grows beyond this, bytes.
    pub max_log_bytes: u64,
    /// [`Effect::Act`] when something else obeys the documents, [`Effect::Notify`] when they are only read.
    pub effect: Effect,
}

impl FileSettings {
    /// 64 MiB of log in `dir`; taken to act.
    pub fn new(name: impl Into<String>, dir: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), dir: dir.into(), max_log_bytes: 64 << 20, effect: Effect::Act }
    }
}

/// Writes documents into one folder.
#[derive(Debug)]
pub struct FileActuator {
    settings: FileSettings,
    folder: Mutex<Folder>,
    // Held for the life of the actuator; the lock goes with the handle.
    _lock: File,
}

#[derive(Debug)]
struct Folder {
    log: Log,
    /// Hashes of the keys in the present log and in the rotated one.
    keys: HashSet<u128>,
    older_keys: HashSet<u128>,
    /// The last entry of targets whose document is not known to be written.
    pending: HashMap<String, Entry>,
}

impl FileActuator {
    /// Opens the folder, cuts a torn line off the log, removes leftovers and writes documents that are behind.
    ///
    /// # Errors
    /// [`ActuateError::Io`] when the folder cannot be used or another process holds it, [`ActuateError::Corrupt`] when
    /// the log has an unreadable line that is not its last.
    pub fn open(settings: FileSettings) -> Result<Self, ActuateError> {
        make_dir(&settings.dir)?;
        let lock = lock(&settings.dir)?;
        remove_leftovers(&settings.dir)?;
        let (log, older, present) = Log::open(&settings.dir, settings.max_log_bytes)?;
        let keys = present.iter().map(|entry| key_hash(&entry.idempotency_key)).collect();
        let older_keys = older.iter().map(|entry| key_hash(&entry.idempotency_key)).collect();
        let mut pending = HashMap::new();
        for entry in older.into_iter().chain(present) {
            pending.insert(entry.target.clone(), entry);
        }
        let mut folder = Folder { log, keys, older_keys, pending };
        let targets: Vec<String> = folder.pending.keys().cloned().collect();
        for target in targets {
            folder.settle(&settings.dir, &target)?;
        }
        Ok(Self { settings, folder: Mutex::new(folder), _lock: lock })
    }

    /// The document of a subject. The name is readable, safe on every file system and unique by a hash.
    pub fn path(&self, subject: &str) -> PathBuf {
        self.settings.dir.join(document::file_name(subject))
    }

    fn folder(&self) -> MutexGuard<'_, Folder> {
        // Whatever a thread that died left behind is in `pending` and is settled before the next write.
        self.folder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_entry(&self, message: &Message, now: Timestamp) -> Result<Entry, ActuateError> {
        message.body()?;
        let before = document::read(&self.path(&message.subject))?;
        if let Some(newer) = before.as_ref().filter(|before| before.time_ms > message.time.0) {
            let newer = Timestamp(newer.time_ms);
            return Err(ActuateError::Stale { subject: message.subject.clone(), newer, this: message.time });
        }
        let generation = before.map_or(0, |before| before.generation).saturating_add(1);
        Ok(Entry::new(message, generation, now))
    }
}

impl Folder {
    fn knows(&self, key: &str) -> bool {
        let hash = key_hash(key);
        self.keys.contains(&hash) || self.older_keys.contains(&hash)
    }

    /// Writes the document of `target` if the log is ahead of it.
    fn settle(&mut self, dir: &Path, target: &str) -> Result<(), ActuateError> {
        let Some(entry) = self.pending.get(target) else {
            return Ok(());
        };
        let path = dir.join(document::file_name(target));
        let written = document::read(&path)?.map_or(0, |document| document.generation);
        if written < entry.generation {
            document::write(dir, &path, entry)?;
        }
        self.pending.remove(target);
        Ok(())
    }

    fn append(&mut self, dir: &Path, entry: Entry) -> Result<(), ActuateError> {
        if self.log.rotates_for(&entry) {
            // Lines that leave the log for good must not be the only place where a document stands.
            let targets: Vec<String> = self.pending.keys().cloned().collect();
            targets.iter().try_for_each(|target| self.settle(dir, target))?;
        }
        let rotated = self.log.append(&entry)?;
        if rotated {
            self.older_keys = std::mem::take(&mut self.keys);
        }
        self.keys.insert(key_hash(&entry.idempotency_key));
        self.pending.insert(entry.target.clone(), entry);
        Ok(())
    }
}

impl Actuator for FileActuator {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn effect(&self) -> Effect {
        self.settings.effect
    }

    fn plan(&self, message: &Message) -> Result<Plan, ActuateError> {
        let changes = !self.folder().knows(&message.idempotency_key);
        let entry = self.next_entry(message, message.time)?;
        Ok(Plan {
            actuator: self.settings.name.clone(),
            destination: self.path(&message.subject).display().to_string(),
            headers: Vec::new(),
            body: entry.document(),
            changes,
        })
    }

    fn apply(&self, message: &Message, now: Timestamp) -> Result<Receipt, ActuateError> {
        message.body()?;
        let mut folder = self.folder();
        folder.settle(&self.settings.dir, &message.subject)?;
        let receipt = |repeated, generation| Receipt {
            idempotency_key: message.idempotency_key.clone(),
            repeated,
            generation,
            status: None,
            applied_at: now,
        };
        if folder.knows(&message.idempotency_key) {
            let generation = document::read(&self.path(&message.subject))?.map(|document| document.generation);
            return Ok(receipt(true, generation));
        }
        let entry = self.next_entry(message, now)?;
        let generation = entry.generation;
        folder.append(&self.settings.dir, entry)?;
        folder.settle(&self.settings.dir, &message.subject)?;
        Ok(receipt(false, Some(generation)))
    }

    fn verify(&self, message: &Message) -> Result<Verified, ActuateError> {
        message.body()?;
        Ok(match document::read(&self.path(&message.subject))? {
            None => Verified::Missing,
            Some(found) if found.idempotency_key == message.idempotency_key && found.payload == message.payload => {
                Verified::Applied { generation: found.generation }
            }
            Some(found) => Verified::Differs { idempotency_key: found.idempotency_key, generation: found.generation },
        })
    }
}

fn key_hash(key: &str) -> u128 {
    let hash = blake3::hash(key.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(half)
}

/// Wraps an I/O error with what was tried on what.
fn io_error<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ActuateError + 'a {
    move |source| ActuateError::Io { step, path: path.to_owned(), source }
}

fn make_dir(dir: &Path) -> Result<(), ActuateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error("make folder", dir))
}

fn lock(dir: &Path) -> Result<File, ActuateError> {
    let path = dir.join(".lock");
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error("open lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io_error("take the lock of another process,", &path)(io::ErrorKind::WouldBlock.into()))
        }
        Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
    }
}

/// Removes only what our own unfinished writes leave behind.
fn remove_leftovers(dir: &Path) -> Result<(), ActuateError> {
    for item in fs::read_dir(dir).map_err(io_error("list folder", dir))? {
        let path = item.map_err(io_error("list folder", dir))?.path();
        let is_leftover =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(document::UNFINISHED));
        if is_leftover {
            fs::remove_file(&path).map_err(io_error("remove leftover", &path))?;
        }
    }
    Ok(())
}

/// Makes renames and new files of the folder durable.
fn sync_dir(dir: &Path) -> Result<(), ActuateError> {
    #[cfg(unix)]
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(io_error("sync folder", dir))?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// A file only its owner can read.
fn create_private(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(append).truncate(!append);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_all_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_private(path, false)?;
    file.write_all(bytes)?;
    file.sync_all()
}
