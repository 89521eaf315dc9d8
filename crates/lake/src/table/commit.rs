//! Committing: put-if-absent of the next version, and finding out what became of it.
//!
//! ```text
//!   read the log's tail ─▶ ours is there? ─▶ done
//!          │ conflicts? ─▶ Conflict, Fenced
//!          ▼
//!   PUT version N if absent ─▶ ok ────────────────────────────▶ done
//!          │ any error, even "already exists": it may be the echo of our own success
//!          ▼
//!   GET N ─▶ our id ─▶ done │ another's ─▶ refused: start over │ absent ─▶ the same PUT again │ error ─▶ ask again
//! ```
//!
//! Nothing is ever deleted because a commit failed.

use std::collections::HashSet;
use std::thread;

use object_store::path::Path;
use object_store::{PutMode, PutPayload};

use super::{Table, get};
use crate::blocking::wait;
use crate::entry::FileEntry;
use crate::error::LakeError;
use crate::log::action::{Action, Add, Remove, Txn};
use crate::log::commit::CommitFile;
use crate::log::{self, CHECKPOINT_EVERY, Snapshot};

/// How often another writer may be faster before a commit is given up; each time is a success of somebody else.
const REFUSED_MAX: u32 = 10_000;

/// A change of a table, made in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// Files to add, from [`Table::put_file`] of this table.
    pub adds: Vec<FileEntry>,
    /// Paths of files to remove; each must be live, or the commit is a conflict.
    pub removes: Vec<String>,
    /// Application ids with their new versions. A version below the table's fences this writer; an equal one passes.
    pub txns: Vec<(String, i64)>,
    /// Word for the log's readers: `WRITE`, `OPTIMIZE`, `DELETE`.
    pub operation: &'static str,
    /// Now, in milliseconds since the epoch.
    pub at: i64,
    /// New for every commit; the same again when a commit with an unknown outcome is repeated.
    pub id: u128,
    /// Whether samples come or go: `false` for compaction.
    pub data_change: bool,
}

/// What became of a put.
enum Outcome {
    Done,
    Refused,
}

impl Table {
    /// Makes `commit` the next version and returns that version. Repeating a commit with the same id is harmless.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] when a file to remove is gone or one to add is there; [`LakeError::Fenced`];
    /// [`LakeError::Unknown`] when the store does not say (commit again with the same id); [`LakeError::Invalid`].
    pub fn commit(&self, commit: Commit) -> Result<u64, LakeError> {
        self.check(&commit)?;
        let id = log::uuid_text(commit.id);
        let mut recent = self.lock();
        for refused in 0..REFUSED_MAX {
            if refused > 0 {
                thread::sleep(self.retry.pause(refused.min(6), commit.id ^ u128::from(refused)));
            }
            self.catch_up(&mut recent)?;
            if let Some((_, version)) = recent.iter().find(|(seen, _)| *seen == id) {
                return Ok(*version);
            }
            let snapshot = self.snapshot();
            self.conflicts(&snapshot, &commit)?;
            let file = self.file(&commit, &id, snapshot.version + 1)?;
            drop(snapshot);
            if let Outcome::Done = self.put(&file, &commit)? {
                let version = file.version;
                self.adopt(&mut recent, file)?;
                if version.is_multiple_of(CHECKPOINT_EVERY) {
                    self.checkpoint();
                }
                return Ok(version);
            }
        }
        let why = format!("{REFUSED_MAX} times in a row another writer was faster");
        Err(LakeError::Conflict { table: self.root.to_string(), version: self.snapshot().version, why })
    }

    /// Faults that no other version of the table would mend.
    fn check(&self, commit: &Commit) -> Result<(), LakeError> {
        let invalid = |why: String| Err(LakeError::invalid(&*self.root, why));
        let mut paths = HashSet::new();
        for entry in &commit.adds {
            if entry.root != self.root || entry.date.is_some() != self.kind.has_days() {
                return invalid(format!("file {} of table {}", entry.path, entry.root));
            }
        }
        for path in commit.adds.iter().map(|entry| &entry.path).chain(&commit.removes) {
            if !paths.insert(path) {
                return invalid(format!("file {path} twice in one commit"));
            }
        }
        let mut apps = HashSet::new();
        match commit.txns.iter().find(|(app, _)| !apps.insert(app)) {
            Some((app, _)) => invalid(format!("application id {app} twice in one commit")),
            None => Ok(()),
        }
    }

    fn conflicts(&self, snapshot: &Snapshot, commit: &Commit) -> Result<(), LakeError> {
        let conflict =
            |why: String| LakeError::Conflict { table: self.root.to_string(), version: snapshot.version, why };
        if let Some(gone) = commit.removes.iter().find(|path| !snapshot.files.contains_key(*path)) {
            return Err(conflict(format!("{gone} is not in the table any more")));
        }
        let known = |path: &str| snapshot.files.contains_key(path) || snapshot.removed.contains_key(path);
        if let Some(twice) = commit.adds.iter().find(|entry| known(&entry.path)) {
            return Err(conflict(format!("{} was added before", twice.path)));
        }
        let newer = |app: &str, want: i64| snapshot.txns.get(app).copied().filter(|have| *have > want);
        for (app, want) in &commit.txns {
            if let Some(have) = newer(app, *want) {
                return Err(LakeError::Fenced { table: self.root.to_string(), app: app.clone(), have, want: *want });
            }
        }
        Ok(())
    }

    fn file(&self, commit: &Commit, id: &str, version: u64) -> Result<CommitFile, LakeError> {
        let mut actions = Vec::with_capacity(commit.txns.len() + commit.removes.len() + commit.adds.len());
        for (app_id, version) in &commit.txns {
            actions.push(Action::Txn(Txn { app_id: app_id.clone(), version: *version }));
        }
        for path in &commit.removes {
            actions.push(Action::Remove(Remove {
                path: path.clone(),
                deletion_timestamp: commit.at,
                data_change: commit.data_change,
            }));
        }
        for entry in &commit.adds {
            let entry = FileEntry { committed_at: commit.at, ..entry.clone() };
            let add = Add::from_entry(&entry, commit.data_change);
            actions.push(Action::Add(add.map_err(|why| LakeError::invalid(entry.key(), why))?));
        }
        Ok(CommitFile { version, id: id.to_owned(), at: commit.at, actions })
    }

    fn put(&self, file: &CommitFile, commit: &Commit) -> Result<Outcome, LakeError> {
        let key = log::commit_key(&self.root, file.version);
        let path = Path::from(key.as_str());
        let body = file.encode(commit.operation).map_err(|why| LakeError::invalid(key.as_str(), why))?;
        let mut why = String::new();
        for n in 1..=self.retry.tries {
            let put = self.store.put_opts(&path, PutPayload::from(body.clone()), PutMode::Create.into());
            match wait(put) {
                Ok(_) => return Ok(Outcome::Done),
                Err(error) => why = error.to_string(),
            }
            match get(&*self.store, &key) {
                Ok(Some(found)) => {
                    let found = CommitFile::decode(&key, file.version, &found)?;
                    return Ok(if found.id == file.id { Outcome::Done } else { Outcome::Refused });
                }
                // The put did not land, or has not yet: the same put again is right in both cases.
                Ok(None) => {}
                Err(error) => why = error.to_string(),
            }
            if n < self.retry.tries {
                thread::sleep(self.retry.pause(n, commit.id));
            }
        }
        Err(LakeError::Unknown { table: self.root.to_string(), version: file.version, tries: self.retry.tries, why })
    }
}
