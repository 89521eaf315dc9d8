//! The audit trail: every record carries a hash over itself and the hash before it.
//!
//! `h_n = blake3(h_{n-1} ‖ len ‖ record)`, `len` as eight little-endian bytes, `record` the JSON of number and entry, `h_0`
//! all zero. So a record that was changed, removed, inserted or moved is found, and the first bad one named. A cut tail
//! shows only against a head kept elsewhere: sign [`AuditHead`]s and store them outside.

use serde::{Deserialize, Serialize};

/// One thing that was done, refused or attempted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Who: a user, a token's name or a part of the product.
    pub actor: String,
    /// For which tenant.
    pub tenant: String,
    /// What: `create`, `delete`, `login`, `actuate`, …
    pub verb: String,
    /// To what.
    pub object: String,
    /// Hash of the object before, if it existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Hash of the object after, if it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// In which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// How it ended: `ok`, `refused: …`.
    pub result: String,
}

/// An entry in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// What happened.
    pub entry: AuditEntry,
    /// Hash over everything up to it, 64 hexadecimal digits.
    pub hash: String,
}

/// The end of the trail, or of its removed beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Number of the last record, 0 before the first.
    pub seq: u64,
    /// Its hash, empty before the first.
    pub hash: String,
}

/// What a check of the trail found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    /// Good records before the first bad one.
    pub good: u64,
    /// The last good record.
    pub head: AuditHead,
    /// The first bad one.
    pub first_bad: Option<BadAuditRecord>,
}

/// The first record that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadAuditRecord {
    /// The number that was expected there.
    pub seq: u64,
    /// What is wrong.
    pub reason: String,
}

#[derive(Serialize)]
struct Hashed<'a> {
    seq: u64,
    entry: &'a AuditEntry,
}

impl AuditRecord {
    /// The record after `head`.
    pub fn after(head: &AuditHead, entry: AuditEntry) -> Self {
        let seq = head.seq.saturating_add(1);
        let hash = chain_hash(&head.hash, seq, &entry);
        Self { seq, entry, hash }
    }

    /// The trail's head with this record.
    pub fn head(&self) -> AuditHead {
        AuditHead { seq: self.seq, hash: self.hash.clone() }
    }

    /// Key in the control plane: sorts like the number.
    pub(crate) fn key(&self) -> String {
        key_of(self.seq)
    }
}

pub(crate) fn key_of(seq: u64) -> String {
    format!("{seq:020}")
}

/// Checks `records`, which follow `anchor` (the default for the whole trail), in order.
pub fn verify_chain(anchor: &AuditHead, records: impl IntoIterator<Item = AuditRecord>) -> AuditVerdict {
    let mut verdict = AuditVerdict { good: 0, head: anchor.clone(), first_bad: None };
    for record in records {
        let seq = verdict.head.seq.saturating_add(1);
        let reason = if record.seq != seq {
            Some(format!("number {} found where {seq} was expected", record.seq))
        } else if record.hash != chain_hash(&verdict.head.hash, seq, &record.entry) {
            Some("its hash does not fit its content and the record before it".to_owned())
        } else {
            None
        };
        if let Some(reason) = reason {
            verdict.first_bad = Some(BadAuditRecord { seq, reason });
            break;
        }
        verdict.good += 1;
        verdict.head = record.head();
    }
    verdict
}

fn chain_hash(previous: &str, seq: u64, entry: &AuditEntry) -> String {
    // Strings and integers always serialize; an empty text would only make the check fail.
    let record = serde_json::to_vec(&Hashed { seq, entry }).unwrap_or_default();
    let previous = blake3::Hash::from_hex(previous).map_or([0; 32], |hash| *hash.as_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&previous);
    hasher.update(&(record.len() as u64).to_le_bytes());
    hasher.update(&record);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(len: u64) -> Vec<AuditRecord> {
        let mut head = AuditHead::default();
        let entry =
            |n| AuditEntry { at: n, actor: "ada".to_owned(), object: format!("policy/{n}"), ..Default::default() };
        let next = |n| {
            let record = AuditRecord::after(&head, entry(n as i64));
            head = record.head();
            record
        };
        (0..len).map(next).collect()
    }

    #[test]
    fn a_sound_trail_and_its_parts_verify() {
        let records = trail(20);
        let whole = verify_chain(&AuditHead::default(), records.clone());
        assert_eq!((whole.good, whole.first_bad), (20, None));
        let part = verify_chain(&records[9].head(), records[10..].to_vec());
        assert_eq!((part.good, part.head), (10, records[19].head()));
    }

    #[test]
    fn every_change_removal_swap_and_insertion_is_placed() {
        let records = trail(50);
        for trial in 0..2000_usize {
            let at = trial * 7919 % 49;
            let mut bad = records.clone();
            let place = match trial % 5 {
                0 => {
                    bad[at].entry.object.push('x');
                    at
                }
                1 => {
                    bad.remove(at);
                    at
                }
                2 => {
                    bad.swap(at, at + 1);
                    at
                }
                3 => {
                    bad.insert(at, records[at + 1].clone());
                    at
                }
                _ => {
                    let digit = if bad[at].hash.starts_with('0') { "1" } else { "0" };
                    bad[at].hash.replace_range(0..1, digit);
                    at
                }
            };
            let verdict = verify_chain(&AuditHead::default(), bad);
            assert_eq!(verdict.first_bad.map(|bad| bad.seq), Some(place as u64 + 1), "trial {trial}");
        }
    }
}
