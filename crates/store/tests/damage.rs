//! Damaged files stand in nobody's way: the store opens, queries that may touch them say so, nothing is guessed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Batch, Columns, ManualClock, Matcher, SelectError, SelectRequest, SeriesOrder, TimeRange, Timestamp};
use store::{DataFolder, FileIds, Store, StoreOptions};

const DAY: i64 = 86_400_000;
const NOW: i64 = 20_776 * DAY + 3_600_000;

struct Counter(AtomicU64);

impl FileIds for Counter {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn open(root: &Path) -> (Store, DataFolder) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let folder = DataFolder::open(root).expect("the folder opens");
    let ids = Arc::new(Counter(AtomicU64::new(NEXT.fetch_add(1 << 20, Ordering::SeqCst))));
    let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
    let (store, _) = Store::open(&folder, StoreOptions::default(), clock, ids).expect("the store opens");
    (store, folder)
}

fn send(store: &Store, metric: &str, at: i64, value: f64) {
    let mut batch = Batch::default();
    batch.begin([("__name__", metric), ("host", "a")]).expect("small");
    batch.push(Timestamp(at), value);
    store.appender().append_wait(batch).expect("acknowledged");
}

/// Metric `a` yesterday, metric `b` today: two chunk files and two series files.
fn two_days(root: &Path) {
    let (store, _folder) = open(root);
    send(&store, "a", NOW - DAY, 1.0);
    store.flush(false).expect("flushed");
    send(&store, "b", NOW, 2.0);
    store.flush(false).expect("flushed");
}

fn files(root: &Path, table: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(table)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("entry").path();
            if path.is_dir() && !path.ends_with("_delta_log") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[at] ^= 0x10;
    fs::write(path, bytes).expect("written");
}

fn read(store: &Store, metric: &str, range: TimeRange) -> Result<usize, SelectError> {
    let matchers = [Matcher::equal("__name__", metric)];
    let select = store.selector();
    let set =
        select.select(&SelectRequest { matchers: &matchers, range, series_max: 0, order: SeriesOrder::Labels })?;
    let mut columns = Columns::default();
    (0..set.len()).try_for_each(|i| set.read(i, range, &mut columns))?;
    Ok(columns.len())
}

fn read_partial(store: &Store) -> (usize, Vec<String>) {
    let select = store.selector();
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    let (set, notes) = select.select_partial(&request).expect("answers");
    (set.len(), notes)
}

fn damaged_file(err: SelectError) -> String {
    match err {
        SelectError::Damaged { file, .. } => file,
        other => panic!("{other}"),
    }
}

#[test]
fn a_damaged_chunk_file_is_put_aside_at_start_and_named_by_queries() {
    for damage in ["footer", "keys", "gone", "empty"] {
        let root = tempfile::tempdir().expect("a folder");
        two_days(root.path());
        let victim = files(root.path(), "default/chunks").remove(0);
        let size = fs::metadata(&victim).expect("there").len() as usize;
        match damage {
            "footer" => flip(&victim, size - 9),
            "keys" => flip(&victim, 8),
            "gone" => fs::remove_file(&victim).expect("removed"),
            _ => fs::write(&victim, b"").expect("emptied"),
        }
        for start in 0..2 {
            let (store, _folder) = open(root.path());
            let found = store.damaged_files();
            assert_eq!(found.len(), 1, "{damage}, start {start}");
            assert_eq!(found[0].moved_to.is_some(), damage != "gone", "{damage}: {found:?}");
            if let Some(moved) = &found[0].moved_to {
                assert!(root.path().join(moved).is_file() && !victim.exists(), "{damage}: {moved}");
            }
            let yesterday = TimeRange::new(Timestamp(NOW - DAY), Timestamp(NOW - DAY + 1));
            assert_eq!(damaged_file(read(&store, "a", yesterday).expect_err("refused")), found[0].file);
            assert_eq!(read(&store, "b", TimeRange::ALL), Ok(1), "{damage}: its metrics are others");
            let (series, notes) = read_partial(&store);
            assert_eq!((series, notes.len()), (1 + start, 1), "{damage}: {notes:?}");
            assert!(notes[0].contains(&found[0].file), "{notes:?}");
            send(&store, "a", NOW, 3.0);
            store.flush(true).expect("the rest goes on");
        }
    }
}

#[test]
fn damage_that_a_query_meets_puts_the_file_aside_and_a_file_moved_back_is_read_again() {
    let root = tempfile::tempdir().expect("a folder");
    two_days(root.path());
    let (store, folder) = open(root.path());
    let victim = files(root.path(), "default/chunks").remove(0);
    let sound = fs::read(&victim).expect("read");
    let mut bytes = sound.clone();
    bytes[4..400].fill(0);
    fs::write(&victim, bytes).expect("damaged");
    // Its keys are in memory, so the damage shows when the samples are fetched.
    let outcome = read(&store, "a", TimeRange::ALL);
    assert!(damaged_file(outcome.expect_err("refused")).contains("default/chunks"));
    assert_eq!(store.damaged_files().len(), 1);
    assert!(!victim.exists(), "it was put aside");
    assert_eq!(read_partial(&store).1.len(), 1);
    drop((store, folder));
    fs::write(&victim, sound).expect("restored");
    let (store, _folder) = open(root.path());
    assert_eq!((read(&store, "a", TimeRange::ALL), store.damaged_files().len()), (Ok(1), 0));
}

#[test]
fn series_that_the_series_table_lost_come_back_with_their_sender() {
    let root = tempfile::tempdir().expect("a folder");
    two_days(root.path());
    flip(&files(root.path(), "default/series").remove(0), 8);
    let (store, folder) = open(root.path());
    let stats = store.stats();
    assert_eq!((stats.damaged_files, stats.unknown_series), (1, 1));
    let lost = if read(&store, "a", TimeRange::ALL).is_err() { "a" } else { "b" };
    let err = read(&store, lost, TimeRange::ALL).expect_err("refused").to_string();
    assert!(err.contains("1 series") && err.contains("partial_ok"), "{err}");
    assert_eq!(read_partial(&store).1.len(), 1);
    send(&store, lost, NOW + 1, 5.0);
    assert_eq!(read(&store, lost, TimeRange::ALL), Ok(2), "old and new sample");
    store.flush(true).expect("flushed");
    drop((store, folder));
    let (store, _folder) = open(root.path());
    assert_eq!((read(&store, lost, TimeRange::ALL), store.stats().unknown_series), (Ok(2), 0));
}

#[test]
fn a_folder_is_read_without_being_written() {
    let root = tempfile::tempdir().expect("a folder");
    {
        let (store, _folder) = open(root.path());
        send(&store, "a", NOW, 1.0);
        store.flush(false).expect("flushed");
        send(&store, "a", NOW + 1, 2.0);
    }
    let before = listing(root.path());
    let folder = DataFolder::open_to_read(root.path()).expect("opens");
    assert!(folder.is_read_only() && DataFolder::open(root.path()).is_err(), "writers are kept out");
    let clock = Arc::new(ManualClock::new(Timestamp(NOW)));
    let ids = Arc::new(Counter(AtomicU64::new(1)));
    let (store, report) = Store::open(&folder, StoreOptions::default(), clock, ids).expect("opens");
    assert_eq!((report.replayed_samples, read(&store, "a", TimeRange::ALL)), (1, Ok(2)));
    drop((store, folder));
    assert_eq!(listing(root.path()), before);
}

fn listing(root: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let entry = entry.expect("entry");
            let about = entry.metadata().expect("there");
            if about.is_dir() {
                folders.push(entry.path());
            }
            found.push((entry.path(), about.len(), about.modified().expect("known")));
        }
    }
    found.sort();
    found
}
