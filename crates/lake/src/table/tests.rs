//! Commits under faults: each exactly once, never a lost or a doubled file.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use super::*;
use crate::fault_store::{FaultStore, Faults};
use crate::{ChunkRow, encode_chunk_file, remove_orphans};

const QUICK: RetryPolicy =
    RetryPolicy { tries: 40, pause: Duration::from_micros(50), pause_max: Duration::from_millis(2) };
const DAY: &str = "2026-11-21";

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn chunks(store: &Arc<dyn ObjectStore>) -> Table {
    Table::open_with(Arc::clone(store), "t/chunks", TableKind::Chunks, QUICK).expect("opens")
}

fn file() -> EncodedFile {
    let row = ChunkRow::encode(Arc::from("m"), 7, &[1, 2, 3], &[1.0, 2.0, 3.5]);
    encode_chunk_file(&[row]).expect("encodes")
}

fn put(table: &Table, uuid: u128) -> FileEntry {
    table.put_file(Some(DAY), 0, 1, uuid, file(), 1, 2).expect("written")
}

fn write(adds: Vec<FileEntry>, removes: Vec<String>, id: u128) -> Commit {
    Commit { adds, removes, txns: vec![], operation: "WRITE", at: 1_795_244_846_123, id, data_change: true }
}

fn append(table: &Table, id: u128) -> u64 {
    table.commit(write(vec![put(table, id)], vec![], id)).expect("committed")
}

fn overwrite(store: &Arc<dyn ObjectStore>, key: &str, bytes: impl Into<PutPayload>) {
    wait(store.put(&Path::from(key), bytes.into())).expect("written");
}

#[test]
fn a_commit_is_seen_by_others_and_after_a_restart() {
    let store = memory();
    let (ours, theirs) = (chunks(&store), chunks(&store));
    assert_eq!(append(&ours, 1), 1);
    assert_eq!(theirs.snapshot().version, 0);
    let seen = theirs.refresh().expect("reads");
    assert_eq!(*seen, *ours.snapshot());
    assert_eq!(seen.files.len(), 1);
    assert_eq!(*chunks(&store).snapshot(), *seen);
    assert_eq!(ours.commit(write(vec![], vec![], 1)).expect("the same id again"), 1);
}

#[test]
fn a_snapshot_in_use_does_not_change() {
    let store = memory();
    let table = chunks(&store);
    let before = table.snapshot();
    append(&table, 1);
    assert_eq!((before.version, before.files.len()), (0, 0));
    assert_eq!(table.snapshot().version, 1);
}

#[test]
fn compactions_of_the_same_files_do_not_both_commit() {
    let store = memory();
    let (a, b) = (chunks(&store), chunks(&store));
    let inputs: Vec<String> = (1..=2)
        .map(|i| {
            let entry = put(&a, i);
            a.commit(write(vec![entry.clone()], vec![], i)).expect("committed");
            entry.path
        })
        .collect();
    let first = put(&a, 10);
    a.commit(write(vec![first.clone()], inputs.clone(), 10)).expect("the first compaction");
    let second = b.commit(write(vec![put(&b, 11)], inputs, 11));
    assert!(matches!(second, Err(LakeError::Conflict { .. })), "{second:?}");
    let files: Vec<_> = b.snapshot().files.keys().cloned().collect();
    assert_eq!(files, std::slice::from_ref(&first.path));
    // Appends do not conflict, adding a file twice does.
    append(&b, 12);
    assert!(matches!(b.commit(write(vec![first], vec![], 13)), Err(LakeError::Conflict { .. })));
}

#[test]
fn a_writer_with_an_old_epoch_is_fenced() {
    let store = memory();
    let (old, new) = (chunks(&store), chunks(&store));
    let txn = |version: i64, id: u128| Commit { txns: vec![("g7".to_owned(), version)], ..write(vec![], vec![], id) };
    old.commit(txn(1 << 40 | 5, 1)).expect("first epoch");
    old.commit(txn(1 << 40 | 5, 2)).expect("an equal version passes");
    new.commit(txn(2 << 40, 3)).expect("second epoch");
    let stale = old.commit(txn(1 << 40 | 9, 4));
    assert!(matches!(stale, Err(LakeError::Fenced { have, .. }) if have == 2 << 40), "{stale:?}");
    assert_eq!(old.snapshot().txns["g7"], 2 << 40);
}

#[test]
fn malformed_requests_are_refused() {
    let store = memory();
    let table = chunks(&store);
    for date in [None, Some("../../etc"), Some("")] {
        let result = table.put_file(date, 0, 1, 1, file(), 1, 2);
        assert!(matches!(result, Err(LakeError::Invalid { .. })), "{date:?}");
    }
    let entry = put(&table, 1);
    let doubled = table.commit(write(vec![entry.clone(), entry.clone()], vec![], 1));
    assert!(matches!(doubled, Err(LakeError::Invalid { .. })));
    let foreign = FileEntry { root: Arc::from("other"), ..entry };
    assert!(matches!(table.commit(write(vec![foreign], vec![], 1)), Err(LakeError::Invalid { .. })));
    let wrong_kind = Table::open_with(store, "t/chunks", TableKind::Series, QUICK);
    assert!(matches!(wrong_kind, Err(LakeError::Unsupported { .. })));
}

#[test]
fn eight_writers_over_a_failing_store_commit_each_once() {
    let inner = memory();
    let faults = Faults { lost: 5, echo: 4, refused: 10, get: 10 };
    let mut expected = BTreeSet::new();
    std::thread::scope(|scope| {
        for writer in 0..8_u128 {
            let store: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::clone(&inner), faults, writer as u64 + 1));
            scope.spawn(move || {
                let table = chunks(&store);
                for i in 0..40 {
                    append(&table, writer << 32 | i);
                }
            });
            expected.extend((0..40).map(|i| crate::log::uuid_text(writer << 32 | i)));
        }
    });
    let table = chunks(&inner);
    let snapshot = table.snapshot();
    assert_eq!(snapshot.version, 320, "as many versions as commits");
    assert_eq!(snapshot.files.len(), 320);
    let ids: BTreeSet<String> = (1..=320)
        .map(|version| {
            let key = log::commit_key("t/chunks", version);
            let bytes = get(&*inner, &key).expect("reads").expect("exists");
            CommitFile::decode(&key, version, &bytes).expect("sound").id
        })
        .collect();
    assert_eq!(ids, expected);
    // Checkpoints are written where the store lets them be: which of the three failed depends on the threads' turns.
    let checkpoint = |version| get(&*inner, &log::checkpoint_key("t/chunks", version)).expect("reads").is_some();
    assert!([100, 200, 300].into_iter().any(checkpoint));
}

#[test]
fn an_unknown_outcome_is_said_and_can_be_repeated() {
    let inner = memory();
    let good = chunks(&inner);
    let entry = put(&good, 1);
    // Every put is lost after it landed and every get fails: nothing can be known.
    let blind = Faults { lost: 100, echo: 0, refused: 0, get: 0 };
    let store: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::clone(&inner), blind, 1));
    let table = chunks(&store);
    assert_eq!(table.commit(write(vec![entry.clone()], vec![], 1)).expect("settled by reading"), 1);
    let dead = Faults { lost: 0, echo: 0, refused: 100, get: 0 };
    let store: Arc<dyn ObjectStore> = Arc::new(FaultStore::new(Arc::clone(&inner), dead, 1));
    let result = chunks(&store).commit(write(vec![], vec![entry.path], 2));
    assert!(matches!(&result, Err(error @ LakeError::Unknown { .. }) if error.is_transient()), "{result:?}");
    assert_eq!(good.refresh().expect("reads").version, 1);
}

#[test]
fn checkpoints_are_written_and_not_needed() {
    let store = memory();
    let table = chunks(&store);
    for i in 1..=205 {
        append(&table, i);
    }
    let want = table.snapshot();
    assert_eq!(*chunks(&store).snapshot(), *want);
    // Loading does start at the checkpoint: older commits may be gone.
    for version in 0..=150 {
        wait(store.delete(&Path::from(log::commit_key("t/chunks", version)))).expect("deleted");
    }
    assert_eq!(*chunks(&store).snapshot(), *want);
    overwrite(&store, &log::last_checkpoint_key("t/chunks"), "{\"version\":200}");
    let lost = Table::open_with(Arc::clone(&store), "t/chunks", TableKind::Chunks, QUICK);
    assert!(matches!(lost, Err(LakeError::Missing { .. })), "{lost:?}");
}

#[test]
fn a_damaged_checkpoint_costs_only_time() {
    let store = memory();
    let table = chunks(&store);
    for i in 1..=101 {
        append(&table, i);
    }
    overwrite(&store, &log::checkpoint_key("t/chunks", 100), "PAR1 not really");
    assert_eq!(*chunks(&store).snapshot(), *table.snapshot());
}

#[test]
fn holes_and_damage_in_the_log_are_named() {
    let store = memory();
    let table = chunks(&store);
    for i in 1..=5 {
        append(&table, i);
    }
    let key = log::commit_key("t/chunks", 3);
    let sound = get(&*store, &key).expect("reads").expect("exists");
    let open = || Table::open_with(Arc::clone(&store), "t/chunks", TableKind::Chunks, QUICK).map(|_| ());
    wait(store.delete(&Path::from(key.as_str()))).expect("deleted");
    assert!(matches!(open(), Err(LakeError::Missing { file }) if file == key));
    let mut flipped = sound.to_vec();
    flipped[100] ^= 4;
    overwrite(&store, &key, flipped);
    assert!(matches!(open(), Err(LakeError::Damaged { file, .. }) if file == key));
    overwrite(&store, &key, sound.to_vec());
    open().expect("sound again");
    // A running handle stays at the last good version.
    overwrite(&store, &log::commit_key("t/chunks", 6), "{}");
    assert!(matches!(table.refresh(), Err(LakeError::Damaged { .. })));
    assert_eq!(table.snapshot().version, 5);
    assert!(matches!(table.commit(write(vec![], vec![], 9)), Err(LakeError::Damaged { .. })));
}

#[test]
fn orphans_go_by_age_only() {
    let store = memory();
    let table = chunks(&store);
    let live = put(&table, 1);
    let removed = put(&table, 2);
    table.commit(write(vec![live.clone(), removed.clone()], vec![], 1)).expect("committed");
    let never = put(&table, 3);
    table.commit(Commit { at: 5_000, ..write(vec![], vec![removed.path.clone()], 2) }).expect("committed");
    let young = remove_orphans(&table, 5_000, 1_000).expect("swept");
    assert_eq!((young.removed, young.waiting), (0, 2));
    let after = remove_orphans(&table, 6_001, 1_000).expect("swept");
    assert_eq!((after.removed, after.removed_bytes, after.waiting), (1, removed.size, 1));
    let late = remove_orphans(&table, i64::MAX, 1_000).expect("swept");
    assert_eq!((late.removed, late.waiting), (1, 0));
    assert!(get(&*store, &never.key()).expect("reads").is_none());
    assert!(get(&*store, &live.key()).expect("reads").is_some());
}

#[test]
fn the_local_disk_keeps_the_same_promises() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = crate::durable_local(folder.path()).expect("opens");
    std::thread::scope(|scope| {
        for writer in 0..3_u128 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for i in 0..10 {
                    append(&chunks(&store), writer << 32 | i);
                }
            });
        }
    });
    let snapshot = chunks(&store).snapshot();
    assert_eq!((snapshot.version, snapshot.files.len()), (30, 30));
    assert_eq!(put_file_names(folder.path()), 30);
}

fn put_file_names(root: &std::path::Path) -> usize {
    std::fs::read_dir(root.join("t/chunks").join(format!("date={DAY}"))).expect("a folder").count()
}

#[test]
fn an_expired_log_still_opens_with_a_damaged_checkpoint() {
    let store = memory();
    let table = chunks(&store);
    for i in 1..=305 {
        append(&table, i);
    }
    assert_eq!(table.expire_log(0).expect("all too young"), 0);
    // Commits 0 to 199 and the checkpoint of version 100; those of 200 and 300 stay.
    assert_eq!(table.expire_log(i64::MAX).expect("expired"), 201);
    assert_eq!(table.expire_log(i64::MAX).expect("expired"), 0);
    let want = table.snapshot();
    assert_eq!(*chunks(&store).snapshot(), *want);
    overwrite(&store, &log::checkpoint_key("t/chunks", 300), "damaged");
    assert_eq!(*chunks(&store).snapshot(), *want);
    assert!(matches!(table.expire_log(i64::MAX), Err(LakeError::Damaged { .. })));
}
