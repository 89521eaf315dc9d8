//! Metadata of metric families on disk: one JSON document, replaced as a whole at flush.
//!
//! Senders repeat metadata every minute or so and it changes almost never; a table of it would grow for nothing. Between
//! two flushes the log holds what is new.

use std::io;

use serde::{Deserialize, Serialize};
use series::{Metadata, MetricType};
use wal::Storage;

const FILE: &str = "metadata.json";

#[derive(Serialize, Deserialize)]
struct Entry {
    metric: String,
    #[serde(rename = "type")]
    kind: String,
    help: String,
    unit: String,
}

/// Reads the document; none is no metadata. A damaged one is reported and read as none: metadata comes again.
pub(crate) fn read(storage: &dyn Storage) -> io::Result<Vec<Metadata>> {
    let bytes = match storage.read(FILE) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let entries: Vec<Entry> = serde_json::from_slice(&bytes).unwrap_or_else(|err| {
        tracing::warn!(file = FILE, %err, "metadata not readable; senders will send it again");
        Vec::new()
    });
    let metadata = |entry: Entry| Metadata {
        kind: MetricType::from_word(&entry.kind),
        metric: entry.metric,
        help: entry.help,
        unit: entry.unit,
    };
    Ok(entries.into_iter().map(metadata).collect())
}

/// Replaces the document durably.
pub(crate) fn write(storage: &dyn Storage, metadata: &[Metadata]) -> io::Result<()> {
    let entry = |m: &Metadata| Entry {
        metric: m.metric.clone(),
        kind: m.kind.as_str().to_owned(),
        help: m.help.clone(),
        unit: m.unit.clone(),
    };
    let bytes = serde_json::to_vec(&metadata.iter().map(entry).collect::<Vec<_>>())?;
    wal::replace_file(storage, FILE, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_reads_as_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = wal::LocalStorage::open(folder.path()).expect("storage");
        assert!(read(&storage).expect("none yet").is_empty());
        let one = Metadata { metric: "up".into(), kind: MetricType::Gauge, help: "h".into(), unit: String::new() };
        for _ in 0..2 {
            write(&storage, std::slice::from_ref(&one)).expect("written");
            assert_eq!(read(&storage).expect("read"), std::slice::from_ref(&one));
        }
        std::fs::write(folder.path().join(FILE), b"{").expect("damaged");
        assert!(read(&storage).expect("readable").is_empty());
    }
}
