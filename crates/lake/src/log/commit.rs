//! The bytes of one commit.

use super::action::{Action, CommitInfo};
use crate::checksum;
use crate::error::LakeError;

const CLOSING: &str = "}}";
const ENGINE: &str = "foretide";

/// A commit as read from the log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommitFile {
    pub(crate) version: u64,
    pub(crate) id: String,
    /// Milliseconds.
    pub(crate) at: i64,
    pub(crate) actions: Vec<Action>,
}

impl CommitFile {
    /// JSON lines: the actions, then `commitInfo` with the version and the seal.
    pub(crate) fn encode(&self, operation: &str) -> Result<String, serde_json::Error> {
        let mut text = String::new();
        for action in &self.actions {
            text.push_str(&serde_json::to_string(action)?);
            text.push('\n');
        }
        let info = serde_json::to_string(&Action::CommitInfo(CommitInfo {
            timestamp: self.at,
            operation: operation.to_owned(),
            engine_info: ENGINE.to_owned(),
            ft_commit: self.id.clone(),
            ft_version: self.version,
        }))?;
        // The seal becomes the last field of commitInfo: its closing braces are taken off and put behind it.
        text.push_str(info.strip_suffix(CLOSING).unwrap_or(&info));
        text.push(',');
        Ok(checksum::seal(text, CLOSING))
    }

    /// Reads the commit of `version` from `bytes` of the object `key`.
    pub(crate) fn decode(key: &str, version: u64, bytes: &[u8]) -> Result<Self, LakeError> {
        if !checksum::is_sealed(bytes, CLOSING) {
            return Err(LakeError::damaged(key, "it fails its checksum or was not written by foretide"));
        }
        let mut actions = Vec::new();
        let mut info = None;
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).map_err(|why| LakeError::damaged(key, why))? {
                Action::CommitInfo(found) => info = Some(found),
                action => actions.push(action),
            }
        }
        let info = info.ok_or_else(|| LakeError::damaged(key, "it has no commitInfo"))?;
        if info.ft_version != version {
            return Err(LakeError::damaged(key, format!("it holds version {}", info.ft_version)));
        }
        Ok(Self { version, id: info.ft_commit, at: info.timestamp, actions })
    }
}
