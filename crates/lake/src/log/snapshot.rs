//! The state of a table at one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CHECKPOINT_EVERY;
use super::action::{Action, MetaData, Protocol};
use super::commit::CommitFile;
use crate::entry::FileEntry;
use crate::error::LakeError;

/// How long a removed file is remembered: readers of other engines may still look at an older version.
const TOMBSTONE_MILLIS: i64 = 7 * 86_400_000;

/// A table at one version. Immutable; a query keeps the snapshot that it started with.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The version, from 0.
    pub version: u64,
    /// Live files by path.
    pub files: BTreeMap<String, FileEntry>,
    /// Newest version of every application id (`txn` actions): what each writer has flushed.
    pub txns: BTreeMap<String, i64>,
    /// Files removed in the last seven days, by path, with the time of removal in milliseconds.
    pub removed: BTreeMap<String, i64>,
    /// When the newest commit was made, milliseconds, by the committer's clock.
    pub committed_at: i64,
    pub(crate) protocol: Protocol,
    pub(crate) metadata: MetaData,
}

/// A commit or checkpoint sorted by kind of action, every entry checked, ready to be applied without failing.
#[derive(Debug, Default)]
struct Changes {
    protocol: Option<Protocol>,
    metadata: Option<MetaData>,
    txns: Vec<(String, i64)>,
    adds: Vec<FileEntry>,
    removes: Vec<(String, i64)>,
}

impl Snapshot {
    /// The table after its first commit.
    pub(crate) fn first(root: &Arc<str>, key: &str, commit: CommitFile) -> Result<Self, LakeError> {
        let changes = Changes::sort(root, key, commit.actions)?;
        Self::from_changes(key, commit.version, commit.at, changes)
    }

    /// The table as a checkpoint describes it.
    pub(crate) fn from_checkpoint(
        root: &Arc<str>,
        key: &str,
        version: u64,
        committed_at: i64,
        actions: Vec<Action>,
    ) -> Result<Self, LakeError> {
        Self::from_changes(key, version, committed_at, Changes::sort(root, key, actions)?)
    }

    fn from_changes(key: &str, version: u64, committed_at: i64, mut changes: Changes) -> Result<Self, LakeError> {
        let (Some(protocol), Some(metadata)) = (changes.protocol.take(), changes.metadata.take()) else {
            return Err(LakeError::damaged(key, "it has no protocol or metadata"));
        };
        let mut snapshot = Self {
            version,
            files: BTreeMap::new(),
            txns: BTreeMap::new(),
            removed: changes.removes.drain(..).collect(),
            committed_at,
            protocol,
            metadata,
        };
        snapshot.check(key, &changes)?;
        snapshot.change(changes);
        Ok(snapshot)
    }

    /// Applies the next commit; on an error the snapshot is unchanged.
    pub(crate) fn apply(&mut self, root: &Arc<str>, key: &str, commit: CommitFile) -> Result<(), LakeError> {
        if commit.version != self.version + 1 {
            let why = format!("version {} cannot follow version {}", commit.version, self.version);
            return Err(LakeError::damaged(key, why));
        }
        let changes = Changes::sort(root, key, commit.actions)?;
        self.check(key, &changes)?;
        self.change(changes);
        self.version = commit.version;
        self.committed_at = commit.at;
        // At versions that everybody agrees on, so that a checkpoint and a full replay give the same snapshot.
        if self.version.is_multiple_of(CHECKPOINT_EVERY) {
            let oldest = self.committed_at.saturating_sub(TOMBSTONE_MILLIS);
            self.removed.retain(|_, at| *at >= oldest);
        }
        Ok(())
    }

    /// Everything that makes up the table, as a checkpoint's actions.
    pub(crate) fn actions(&self) -> Result<Vec<Action>, serde_json::Error> {
        use super::action::{Add, Remove, Txn};
        let mut actions = vec![Action::Protocol(self.protocol.clone()), Action::MetaData(self.metadata.clone())];
        for (app_id, version) in &self.txns {
            actions.push(Action::Txn(Txn { app_id: app_id.clone(), version: *version }));
        }
        for (path, at) in &self.removed {
            actions.push(Action::Remove(Remove { path: path.clone(), deletion_timestamp: *at, data_change: false }));
        }
        for entry in self.files.values() {
            actions.push(Action::Add(Add::from_entry(entry, false)?));
        }
        Ok(actions)
    }

    // Strict on purpose: no writer of ours adds a file twice or removes one that is not there, so either is damage.
    fn check(&self, key: &str, changes: &Changes) -> Result<(), LakeError> {
        for (path, _) in &changes.removes {
            if !self.files.contains_key(path) {
                return Err(LakeError::damaged(key, format!("it removes {path}, which is not in the table")));
            }
        }
        for entry in &changes.adds {
            if self.files.contains_key(&entry.path) {
                return Err(LakeError::damaged(key, format!("it adds {} a second time", entry.path)));
            }
        }
        Ok(())
    }

    fn change(&mut self, changes: Changes) {
        if let Some(protocol) = changes.protocol {
            self.protocol = protocol;
        }
        if let Some(metadata) = changes.metadata {
            self.metadata = metadata;
        }
        self.txns.extend(changes.txns);
        for (path, at) in changes.removes {
            self.files.remove(&path);
            self.removed.insert(path, at);
        }
        self.files.extend(changes.adds.into_iter().map(|entry| (entry.path.clone(), entry)));
    }
}

impl Changes {
    fn sort(root: &Arc<str>, key: &str, actions: Vec<Action>) -> Result<Self, LakeError> {
        let mut changes = Self::default();
        for action in actions {
            match action {
                Action::Protocol(protocol) => changes.protocol = Some(protocol),
                Action::MetaData(metadata) => changes.metadata = Some(metadata),
                Action::Txn(txn) => changes.txns.push((txn.app_id, txn.version)),
                Action::Remove(remove) => changes.removes.push((remove.path, remove.deletion_timestamp)),
                Action::Add(add) => {
                    let path = add.path.clone();
                    let entry = add.into_entry(root);
                    changes.adds.push(
                        entry.map_err(|field| LakeError::damaged(key, format!("{field} of {path} cannot be read")))?,
                    );
                }
                Action::CommitInfo(_) => {}
            }
        }
        Ok(changes)
    }
}
