//! One call's changes on their way through the log, and the audit chain that runs through them.
//!
//! An audit record carries the hash of the one before it, so it can be made only when its place is known: while the
//! record is encoded, in the writer thread. Several records may be encoded before the first is durable, and a failed
//! write encodes them again; so the heads of the chain are kept per record number until they are durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use wal::{Payload, RecordWriter};

use crate::audit::{AuditEntry, AuditHead, AuditRecord};
use crate::change::Change;
use crate::kind::Kind;

use super::core::Core;

/// Type of the only record in the control log.
pub(crate) const CHANGES: u8 = 1;

/// The changes and the audit entry of one call.
pub(crate) struct Commit {
    changes: Vec<Change>,
    audit: Option<AuditEntry>,
    core: Arc<Core>,
    /// The record as last encoded, for the index.
    record: Mutex<Vec<u8>>,
}

/// Heads of the audit chain: the durable one, and those of records that are being written.
#[derive(Debug, Default)]
pub(super) struct Heads {
    committed: AuditHead,
    in_flight: BTreeMap<u64, AuditHead>,
}

impl Commit {
    pub(super) fn new(changes: Vec<Change>, audit: Option<AuditEntry>, core: Arc<Core>) -> Self {
        Self { changes, audit, core, record: Mutex::default() }
    }

    pub(super) fn take_record(&self) -> Vec<u8> {
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn encode_changes(&self, lsn: u64) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.bytes());
        self.changes.iter().for_each(|change| change.encode(&mut record));
        if let Some(entry) = &self.audit {
            let audit = self.core.heads().append(lsn, entry.clone());
            // Strings and integers always serialize.
            let value = serde_json::to_vec(&audit).unwrap_or_default();
            Change::Put { kind: Kind::Audit, key: audit.key(), value }.encode(&mut record);
        }
        record
    }
}

impl Payload for Commit {
    type Segment = ();

    fn encode(&self, (): &mut (), out: &mut RecordWriter<'_>) {
        let record = self.encode_changes(out.next_lsn());
        out.record(CHANGES, |buf| buf.extend_from_slice(&record));
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(Change::bytes).sum::<usize>() + self.audit.as_ref().map_or(0, |_| 512)
    }
}

impl Heads {
    pub(super) fn new(committed: AuditHead) -> Self {
        Self { committed, in_flight: BTreeMap::new() }
    }

    pub(super) fn committed(&self) -> AuditHead {
        self.committed.clone()
    }

    /// The audit record of log record `lsn`. Heads at or above it are of a write that failed.
    fn append(&mut self, lsn: u64, entry: AuditEntry) -> AuditRecord {
        self.in_flight.split_off(&lsn);
        let before = self.in_flight.last_key_value().map_or(&self.committed, |(_, head)| head);
        let record = AuditRecord::after(before, entry);
        self.in_flight.insert(lsn, record.head());
        record
    }

    /// Log record `lsn` is durable.
    pub(super) fn commit(&mut self, lsn: u64) {
        let later = self.in_flight.split_off(&lsn.saturating_add(1));
        if let Some((_, head)) = std::mem::replace(&mut self.in_flight, later).pop_last() {
            self.committed = head;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_takes_its_heads_back() {
        let mut heads = Heads::default();
        let entry = |verb: &str| AuditEntry { verb: verb.to_owned(), ..AuditEntry::default() };
        let first = heads.append(1, entry("a"));
        heads.append(2, entry("lost"));
        heads.commit(1);
        assert_eq!(heads.committed(), first.head());
        let again = heads.append(2, entry("b"));
        assert_eq!(again, AuditRecord::after(&first.head(), entry("b")));
        let third = heads.append(5, entry("c"));
        assert_eq!(third.seq, 3);
        heads.commit(4);
        assert_eq!(heads.committed(), again.head());
    }
}
