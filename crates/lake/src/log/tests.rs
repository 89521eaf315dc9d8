//! Commits and checkpoints: what is written is what is read, and damage is found.

use std::sync::Arc;

use super::action::{Action, Add, Remove, Txn};
use super::commit::CommitFile;
use super::{Snapshot, checkpoint, schema, uuid_text};
use crate::{FileEntry, LakeError, TableKind};

fn entry(root: &Arc<str>, i: u64) -> FileEntry {
    FileEntry {
        root: Arc::clone(root),
        path: format!("date=2026-11-21/0-{i}-{}.parquet", uuid_text(u128::from(i))),
        size: 1000 + i,
        date: Some("2026-11-21".to_owned()),
        min_ts: i64::MIN + i as i64,
        max_ts: i64::MAX - i as i64,
        rows: i,
        samples: u64::MAX - i,
        level: (i % 3) as u8,
        lsn_lo: i,
        lsn_hi: u64::MAX,
        metric_min: "a\"\\é".to_owned(),
        metric_max: "z".to_owned(),
        data_len: 900,
        crc_footer: 0xdead_beef,
        crc_chunks: vec![i as u32, u32::MAX],
        cleaned: i % 2,
        committed_at: 1_795_244_846_123,
    }
}

fn first() -> CommitFile {
    let actions = vec![Action::Protocol(schema::PROTOCOL), Action::MetaData(schema::metadata(TableKind::Chunks, "t"))];
    CommitFile { version: 0, id: "create".to_owned(), at: 0, actions }
}

/// Version `version` adds one file; every third removes the one before and raises a writer's version.
fn next(root: &Arc<str>, version: u64) -> CommitFile {
    let add = Add::from_entry(&entry(root, version), true).expect("serializes");
    let mut actions = vec![Action::Add(add)];
    if version.is_multiple_of(3) {
        let path = entry(root, version - 1).path;
        let at = version as i64 * 3_600_000;
        actions.push(Action::Remove(Remove { path, deletion_timestamp: at, data_change: false }));
        actions.push(Action::Txn(Txn { app_id: format!("g{}", version % 7), version: version as i64 }));
    }
    CommitFile { version, id: uuid_text(u128::from(version)), at: version as i64 * 3_600_000, actions }
}

fn replay(root: &Arc<str>, from: Snapshot, to: u64) -> Snapshot {
    let mut snapshot = from;
    for version in snapshot.version + 1..=to {
        let text = next(root, version).encode("WRITE").expect("serializes");
        let commit = CommitFile::decode("k", version, text.as_bytes()).expect("own commit");
        assert_eq!(commit, next(root, version));
        snapshot.apply(root, "k", commit).expect("applies");
    }
    snapshot
}

#[test]
fn a_checkpoint_and_a_full_replay_agree() {
    let root: Arc<str> = Arc::from("t");
    let start = Snapshot::first(&root, "k", first()).expect("first");
    let at_200 = replay(&root, start, 200);
    let (bytes, id) = checkpoint::encode("c", &at_200).expect("encodes");
    let pointer = checkpoint::LastCheckpoint { newest: id.clone(), ft_previous: Some(id) };
    let text = pointer.encode().expect("serializes");
    assert_eq!(checkpoint::LastCheckpoint::decode("p", text.as_bytes()).expect("own pointer"), pointer);
    let last = pointer.newest;
    let loaded = checkpoint::decode(&root, "c", &last, bytes.clone()).expect("decodes");
    assert_eq!(loaded, at_200);
    assert!(!loaded.removed.is_empty() && loaded.removed.len() < 66, "old tombstones are forgotten");
    assert_eq!(replay(&root, loaded, 333), replay(&root, at_200, 333));

    for bit in (0..bytes.len() * 8).step_by(1009) {
        let mut hurt = bytes.to_vec();
        hurt[bit / 8] ^= 1 << (bit % 8);
        let result = checkpoint::decode(&root, "c", &last, hurt.into());
        assert!(matches!(result, Err(LakeError::Damaged { .. })), "bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_commit_is_found() {
    let root: Arc<str> = Arc::from("t");
    let text = next(&root, 6).encode("WRITE").expect("serializes");
    for bit in 0..text.len() * 8 {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(CommitFile::decode("k", 6, &bytes), Err(LakeError::Damaged { .. })), "bit {bit}");
    }
    assert!(matches!(CommitFile::decode("k", 7, text.as_bytes()), Err(LakeError::Damaged { .. })), "swapped files");
    assert!(CommitFile::decode("k", 6, b"").is_err());
    assert!(CommitFile::decode("k", 6, &text.as_bytes()[..text.len() / 2]).is_err());
}

#[test]
fn impossible_commits_leave_the_snapshot_alone() {
    let root: Arc<str> = Arc::from("t");
    let mut snapshot = replay(&root, Snapshot::first(&root, "k", first()).expect("first"), 5);
    let before = snapshot.clone();
    let mut twice = next(&root, 5);
    twice.version = 6;
    let mut gone = next(&root, 9);
    gone.version = 6;
    for commit in [twice, gone, next(&root, 7)] {
        assert!(matches!(snapshot.apply(&root, "k", commit), Err(LakeError::Damaged { .. })));
        assert_eq!(snapshot, before);
    }
}

#[test]
fn tables_of_others_are_refused() {
    let metadata = schema::metadata(TableKind::Chunks, "t");
    assert_eq!(schema::refusal(TableKind::Chunks, &schema::PROTOCOL, &metadata), None);
    assert!(schema::refusal(TableKind::Series, &schema::PROTOCOL, &metadata).is_some());
    let newer = super::action::Protocol { min_reader_version: 3, min_writer_version: 7 };
    assert!(schema::refusal(TableKind::Chunks, &newer, &metadata).is_some());
    let mut future = metadata.clone();
    future.configuration.insert("foretide.format".to_owned(), "2".to_owned());
    assert!(schema::refusal(TableKind::Chunks, &schema::PROTOCOL, &future).is_some());
    assert_ne!(metadata.id, schema::metadata(TableKind::Series, "t").id);
}
