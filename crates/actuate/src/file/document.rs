//! The document of one target, and how it gets its name.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use series::Timestamp;

use super::{io_error, sync_dir, write_all_synced};
use crate::error::ActuateError;
use crate::message::Message;

/// Ending of a document that is still being written.
pub(super) const UNFINISHED: &str = ".json.unfinished";

/// Longest document that is read back, bytes: the largest payload, pretty-printed, with room.
const MAX_DOCUMENT: u64 = 16 << 20;

/// One line of the log and, pretty-printed, one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Grows by one with every change of the target.
    pub(super) generation: u64,
    pub(super) target: String,
    pub(super) id: String,
    pub(super) idempotency_key: String,
    pub(super) event_type: String,
    pub(super) source: String,
    pub(super) time_ms: i64,
    pub(super) applied_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) approved_by: Option<String>,
    pub(super) payload: Value,
}

impl Entry {
    pub(super) fn new(message: &Message, generation: u64, now: Timestamp) -> Self {
        Self {
            generation,
            target: message.subject.clone(),
            id: message.id.clone(),
            idempotency_key: message.idempotency_key.clone(),
            event_type: message.event_type.clone(),
            source: message.source.clone(),
            time_ms: message.time.0,
            applied_at_ms: now.0,
            approved_by: message.approved_by.clone(),
            payload: message.payload.clone(),
        }
    }

    /// The document as it is written.
    pub(super) fn document(&self) -> String {
        // A map of strings and JSON values always serializes.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The line as it is appended, without its end.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// `deployment-shop-checkout.1f…e9.json`: what is readable of the target, then 32 hex digits of its hash. The hash makes
/// targets differ that look alike after cleaning, differ only by case, or are too long.
pub(super) fn file_name(target: &str) -> String {
    let mut readable = String::new();
    for c in target.chars().take(64) {
        let kept = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if kept != '-' || !(readable.is_empty() || readable.ends_with('-')) {
            readable.push(kept);
        }
    }
    let readable = readable.trim_matches('-');
    let readable = if readable.is_empty() { "target" } else { readable };
    format!("{readable}.{}.json", &blake3::hash(target.as_bytes()).to_hex()[..32])
}

/// `None` when there is no document.
pub(super) fn read(path: &Path) -> Result<Option<Entry>, ActuateError> {
    let corrupt = |fault: String| ActuateError::Corrupt { path: path.to_owned(), fault };
    let bytes = match fs::metadata(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("look at", path)(source)),
        Ok(found) if found.len() > MAX_DOCUMENT => return Err(corrupt(format!("it has {} bytes", found.len()))),
        Ok(_) => fs::read(path).map_err(io_error("read", path))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|fault| corrupt(fault.to_string()))
}

/// Replaces the document as a whole: readers see the old one or the new one.
pub(super) fn write(dir: &Path, path: &Path, entry: &Entry) -> Result<(), ActuateError> {
    let unfinished = path.with_extension(UNFINISHED.trim_start_matches('.'));
    write_all_synced(&unfinished, entry.document().as_bytes()).map_err(io_error("write", &unfinished))?;
    fs::rename(&unfinished, path).map_err(io_error("rename to", path))?;
    sync_dir(dir)
}
