//! The control plane against a model, with its index deleted, flipped, swapped and left behind.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use wal::sim::{SimRandom, SimStorage};

use super::*;

const NOW: Timestamp = Timestamp(1_795_244_846_000);

/// A control plane whose log is simulated and whose index is in a real folder.
struct Bench {
    storage: SimStorage,
    root: tempfile::TempDir,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self { storage: SimStorage::new(seed), root: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> (Control, OpenReport) {
        let log = LogOptions { segment_bytes: 2000, resume_free_bytes: 1000, ..ControlOptions::default().log };
        Control::open(Arc::new(self.storage.clone()), self.root.path(), ControlOptions { log }).unwrap()
    }

    fn index(&self) -> PathBuf {
        self.root.path().join("control/index")
    }
}

fn entry(verb: &str) -> AuditEntry {
    AuditEntry { at: NOW.0, actor: "ada".to_owned(), verb: verb.to_owned(), ..AuditEntry::default() }
}

fn all(control: &Control, kind: Kind) -> Vec<(String, u64)> {
    control.scan(kind, &ScanRange::default()).unwrap()
}

#[test]
fn entries_are_read_back_by_key_prefix_and_order() {
    let bench = Bench::new(1);
    let (control, report) = bench.open();
    assert_eq!((report.rebuilt, report.entries), (None, 0));
    for (key, value) in [("a/1", 1_u64), ("a/2", 2), ("b/1", 3), ("b/2", 4)] {
        control.put(Kind::Policy, key, &value).unwrap();
    }
    control.put(Kind::Job, "a/1", &9_u64).unwrap();
    assert_eq!(control.get::<u64>(Kind::Policy, "a/2").unwrap(), Some(2));
    assert_eq!(control.get::<u64>(Kind::Policy, "a/3").unwrap(), None);
    let keys = |range: &ScanRange| -> Vec<String> {
        let rows: Vec<(String, u64)> = control.scan(Kind::Policy, range).unwrap();
        rows.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(&ScanRange::default()), ["a/1", "a/2", "b/1", "b/2"]);
    assert_eq!(keys(&ScanRange::prefix("b/")), ["b/1", "b/2"]);
    assert_eq!(keys(&ScanRange { from: Some("a/2".to_owned()), limit: 2, ..ScanRange::default() }), ["a/2", "b/1"]);
    let back = ScanRange { from: Some("b/1".to_owned()), reverse: true, ..ScanRange::default() };
    assert_eq!(keys(&back), ["b/1", "a/2", "a/1"]);
    assert_eq!(keys(&ScanRange::newest(1)), ["b/2"]);
    control.delete(Kind::Policy, "a/1").unwrap();
    control.delete(Kind::Policy, "missing").unwrap();
    assert_eq!((control.count(Kind::Policy).unwrap(), control.count(Kind::Job).unwrap()), (3, 1));
}

#[test]
fn one_call_is_one_record() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    let changes = vec![
        Change::put(Kind::Policy, "x", &1_u64).unwrap(),
        Change::put(Kind::Policy, "x", &2_u64).unwrap(),
        Change::delete(Kind::Policy, "y"),
        Change::put(Kind::Job, "x", &3_u64).unwrap(),
    ];
    assert_eq!(control.apply(changes, Some(entry("create"))).unwrap(), 1);
    assert_eq!(all(&control, Kind::Policy), [("x".to_owned(), 2)]);
    assert_eq!(control.count(Kind::Audit).unwrap(), 1);
    drop(control);
    bench.storage.crash();
    fs::remove_dir_all(bench.index()).unwrap();
    let (control, report) = bench.open();
    assert_eq!((report.replay.last_lsn, report.entries), (1, 3));
    assert_eq!(all(&control, Kind::Policy), [("x".to_owned(), 2)]);
}

#[test]
fn bounds_are_kept() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    let long = "k".repeat(1025);
    assert!(matches!(control.put(Kind::Job, &long, &1), Err(ControlError::KeyLength { bytes: 1025, max: 1024 })));
    assert!(matches!(control.put(Kind::Job, "", &1), Err(ControlError::KeyLength { .. })));
    assert!(matches!(control.put(Kind::Audit, "1", &1), Err(ControlError::AuditIsAppendOnly { .. })));
    assert!(matches!(control.apply(vec![], None), Err(ControlError::ChangeCount { count: 0, .. })));
    let large = "v".repeat(crate::VALUE_BYTES_MAX);
    assert!(matches!(control.put(Kind::Job, "x", &large), Err(ControlError::ValueTooLarge { .. })));
    assert!(matches!(control.get::<String>(Kind::Job, "x"), Ok(None)));
    control.put(Kind::Job, "x", &1).unwrap();
    assert!(matches!(control.get::<String>(Kind::Job, "x"), Err(ControlError::Json { .. })));
}

#[test]
fn the_oldest_keys_of_a_kind_make_room() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    for batch in 0..6_u64 {
        let put = |n: u64| Change::put(Kind::Anomaly, &format!("{:09}", batch * 10_000 + n), &n).unwrap();
        control.apply((0..10_000).map(put).collect(), None).unwrap();
    }
    assert!(control.count(Kind::Anomaly).unwrap() <= 55_000);
    while control.maintain(NOW).unwrap().removed > 0 {}
    assert_eq!(control.count(Kind::Anomaly).unwrap(), 50_000);
    let first: Vec<(String, u64)> = control.scan(Kind::Anomaly, &ScanRange { limit: 1, ..Default::default() }).unwrap();
    assert_eq!(first[0].0, "000010000");
}

#[test]
fn a_snapshot_lets_the_log_go_and_starts_from_there() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    for n in 0..100_u64 {
        control.put(Kind::Job, &format!("{n:03}"), &n).unwrap();
    }
    let before = control.log.bytes();
    assert_eq!(control.snapshot(NOW).unwrap(), 100);
    control.put(Kind::Job, "050", &1000_u64).unwrap();
    assert_eq!(control.snapshot(NOW).unwrap(), 101);
    assert!(control.log.bytes() < before, "the older of two snapshots covers it");
    control.delete(Kind::Job, "001").unwrap();
    let expected = all(&control, Kind::Job);
    drop(control);
    bench.storage.crash();
    let (control, report) = bench.open();
    assert_eq!((report.snapshot_lsn, report.rebuilt, report.replay.missing), (101, None, 0));
    assert_eq!(all(&control, Kind::Job), expected);
    drop(control);
    fs::remove_dir_all(bench.index()).unwrap();
    let (control, report) = bench.open();
    assert!(report.rebuilt.is_some());
    assert_eq!(all(&control, Kind::Job), expected);
    drop(control);
    // The newest snapshot is damaged in its rows: the older one and the log serve.
    let path = format!("{}/{:020}.snap", "control/snapshots", 101);
    let len = bench.storage.read(&path).unwrap().len();
    assert!(bench.storage.flip_bit(&path, len / 2, 3));
    fs::remove_dir_all(bench.index()).unwrap();
    let (control, _) = bench.open();
    assert_eq!(all(&control, Kind::Job), expected);
    drop(control);
    // And in its header: it is named.
    assert!(bench.storage.flip_bit(&path, 20, 3));
    fs::remove_dir_all(bench.index()).unwrap();
    let (control, report) = bench.open();
    assert_eq!((all(&control, Kind::Job), report.damaged_snapshots), (expected, vec![path]));
}

#[test]
fn maintenance_takes_a_snapshot_daily() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    assert_eq!(control.maintain(NOW).unwrap(), Maintenance::default(), "nothing to save");
    control.put(Kind::Job, "x", &1).unwrap();
    assert_eq!(control.maintain(NOW).unwrap().snapshot_lsn, Some(1));
    control.put(Kind::Job, "x", &2).unwrap();
    assert_eq!(control.maintain(NOW + Millis::from_hours(23)).unwrap().snapshot_lsn, None);
    assert_eq!(control.maintain(NOW + Millis::from_hours(24)).unwrap().snapshot_lsn, Some(2));
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn flipped_bytes_in_the_index_change_nothing() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    for n in 0..300_u64 {
        control.put(Kind::Job, &format!("{n:03}"), &(n * n)).unwrap();
    }
    let expected = all(&control, Kind::Job);
    drop(control);
    let mut random = SimRandom::new(5);
    let mut rebuilt = 0;
    for trial in 0..60 {
        let files = files(&bench.index());
        let path = &files[random.below(files.len())];
        let mut bytes = fs::read(path).unwrap();
        if bytes.is_empty() {
            continue;
        }
        // sled's file is mostly zeros behind the data.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let at = random.below(used);
        bytes[at] ^= 1 << random.below(8);
        fs::write(path, bytes).unwrap();
        let (control, report) = bench.open();
        rebuilt += u32::from(report.rebuilt.is_some());
        assert_eq!(all(&control, Kind::Job), expected, "trial {trial}, {} byte {at}", path.display());
        assert_eq!(report.entries, 300);
    }
    assert!(rebuilt > 10, "rebuilt {rebuilt} times");
    let kept = fs::read_dir(bench.root.path().join("control/quarantine")).unwrap().count();
    assert!(kept <= 3, "{kept} quarantined");
}

#[test]
fn an_index_of_another_history_is_not_believed() {
    let (bench, other) = (Bench::new(1), Bench::new(2));
    for (bench, value) in [(&bench, 1_u64), (&other, 2)] {
        let (control, _) = bench.open();
        control.put(Kind::Job, "x", &value).unwrap();
    }
    fs::remove_dir_all(bench.index()).unwrap();
    fs::rename(other.index(), bench.index()).unwrap();
    let (control, report) = bench.open();
    assert!(report.rebuilt.is_some_and(|why| why.contains("another history")));
    assert_eq!(all(&control, Kind::Job), [("x".to_owned(), 1)]);
}

#[test]
fn an_index_left_behind_catches_up() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    control.put(Kind::Job, "x", &1_u64).unwrap();
    drop(control);
    let behind = bench.root.path().join("behind");
    fs::create_dir(&behind).unwrap();
    for path in files(&bench.index()) {
        let target = behind.join(path.strip_prefix(bench.index()).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    let (control, _) = bench.open();
    control.put(Kind::Job, "x", &2_u64).unwrap();
    control.put(Kind::Job, "y", &3_u64).unwrap();
    let expected = all(&control, Kind::Job);
    drop(control);
    fs::remove_dir_all(bench.index()).unwrap();
    fs::rename(&behind, bench.index()).unwrap();
    let (control, report) = bench.open();
    assert_eq!((all(&control, Kind::Job), report.rebuilt), (expected, None));
}

#[test]
fn an_index_ahead_of_the_log_is_not_believed() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    control.put(Kind::Job, "x", &1_u64).unwrap();
    let earlier = bench.storage.fork(9);
    control.put(Kind::Job, "y", &2_u64).unwrap();
    drop(control);
    let back = Bench { storage: earlier, root: bench.root };
    let (control, report) = back.open();
    assert!(report.rebuilt.is_some());
    assert_eq!(all(&control, Kind::Job), [("x".to_owned(), 1)]);
}

#[test]
fn a_doubt_while_running_is_healed_by_the_next_read() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    control.put(Kind::Job, "x", &1_u64).unwrap();
    let none: Option<()> = control.core.read(|_| Err(crate::index::Doubt("planned".to_owned())));
    assert_eq!(none, None);
    control.put(Kind::Job, "y", &2_u64).unwrap();
    assert_eq!(all(&control, Kind::Job), [("x".to_owned(), 1), ("y".to_owned(), 2)]);
    assert_eq!(control.rebuilds(), 2, "one at the first start, one now");
}

#[test]
fn a_full_disk_refuses_and_resumes() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    control.put(Kind::Job, "x", &1_u64).unwrap();
    bench.storage.set_capacity(Some(bench.storage.used_bytes() + 100));
    let refused = (0..10).find_map(|n| control.put(Kind::Job, &format!("k{n}"), &"v".repeat(50)).err()).unwrap();
    assert!(matches!(refused, ControlError::Log(LogError::DiskFull { .. })), "{refused}");
    assert_eq!(control.get::<u64>(Kind::Job, "x").unwrap(), Some(1), "reads go on");
    bench.storage.set_capacity(None);
    control.log.resume().unwrap();
    control.put(Kind::Job, "y", &2_u64).unwrap();
}

#[test]
fn audit_records_of_many_threads_form_one_chain() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let control = &control;
            scope.spawn(move || {
                for n in 0..20 {
                    let change = Change::put(Kind::Policy, &format!("{thread}/{n}"), &n).unwrap();
                    control.apply(vec![change], Some(entry("create"))).unwrap();
                }
            });
        }
    });
    let verdict = control.verify_audit().unwrap();
    assert_eq!((verdict.good, verdict.first_bad, verdict.head), (160, None, control.audit_head()));
    let head = control.audit_head();
    drop(control);
    bench.storage.crash();
    fs::remove_dir_all(bench.index()).unwrap();
    let (control, _) = bench.open();
    assert_eq!(control.audit_head(), head);
    control.apply(vec![], Some(entry("login"))).unwrap();
    assert_eq!(control.verify_audit().unwrap().good, 161);
}

#[test]
fn a_failed_write_leaves_no_hole_in_the_audit_chain() {
    let bench = Bench::new(3);
    let (control, _) = bench.open();
    control.apply(vec![], Some(entry("a"))).unwrap();
    bench.storage.fail_next_appends(2);
    assert!(control.apply(vec![], Some(entry("lost"))).is_err());
    control.log.resume().unwrap();
    control.apply(vec![], Some(entry("b"))).unwrap();
    bench.storage.fail_next_syncs(1);
    control.apply(vec![], Some(entry("c"))).unwrap();
    let verdict = control.verify_audit().unwrap();
    assert_eq!((verdict.good, verdict.first_bad), (3, None));
}

#[test]
fn old_audit_records_go_and_the_rest_still_verifies() {
    let bench = Bench::new(1);
    let (control, _) = bench.open();
    for day in 0..10 {
        let at = (NOW - Millis::from_days(405 - day)).0;
        control.apply(vec![], Some(AuditEntry { at, ..entry("create") })).unwrap();
    }
    assert_eq!(control.maintain(NOW).unwrap().removed, 5);
    let verdict = control.verify_audit().unwrap();
    assert_eq!((verdict.good, verdict.first_bad), (5, None));
    control.maintain(NOW + Millis::from_days(1000)).unwrap();
    assert_eq!(control.count(Kind::Audit).unwrap(), 1, "the last one stays");
    drop(control);
    let (control, _) = bench.open();
    control.apply(vec![], Some(entry("create"))).unwrap();
    assert_eq!(control.verify_audit().unwrap().good, 2);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u64),
    Delete(u8),
    Several(Vec<(u8, Option<u64>)>),
    Snapshot,
    Reopen,
    Crash,
    LoseIndex,
    LoseIndexAndCrash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..20, any::<u64>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0_u8..20).prop_map(Step::Delete),
        2 => proptest::collection::vec((0_u8..20, any::<Option<u64>>()), 1..8).prop_map(Step::Several),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::LoseIndex),
        1 => Just(Step::LoseIndexAndCrash),
    ];
    proptest::collection::vec(step, 1..40)
}

fn change(key: u8, value: Option<u64>) -> Change {
    let key = format!("{key:02}");
    value.map_or_else(|| Change::delete(Kind::Job, &key), |value| Change::put(Kind::Job, &key, &value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_like_a_map(steps in steps(), seed in any::<u64>()) {
        let bench = Bench::new(seed);
        let mut model = BTreeMap::new();
        let mut open = Some(bench.open().0);
        for step in steps {
            let mut changes = Vec::new();
            match step {
                Step::Put(key, value) => changes.push((key, Some(value))),
                Step::Delete(key) => changes.push((key, None)),
                Step::Several(several) => changes = several,
                Step::Snapshot => drop(open.as_ref().unwrap().snapshot(NOW).unwrap()),
                Step::Reopen | Step::Crash | Step::LoseIndex | Step::LoseIndexAndCrash => {
                    drop(open.take());
                    if matches!(step, Step::Crash | Step::LoseIndexAndCrash) {
                        bench.storage.crash();
                    }
                    if matches!(step, Step::LoseIndex | Step::LoseIndexAndCrash) {
                        fs::remove_dir_all(bench.index()).unwrap();
                    }
                    let (control, report) = bench.open();
                    prop_assert_eq!(report.replay.missing, 0);
                    open = Some(control);
                }
            }
            let control = open.as_ref().unwrap();
            if !changes.is_empty() {
                control.apply(changes.iter().map(|&(key, value)| change(key, value)).collect(), None).unwrap();
                for (key, value) in changes {
                    match value {
                        Some(value) => drop(model.insert(format!("{key:02}"), value)),
                        None => drop(model.remove(&format!("{key:02}"))),
                    }
                }
            }
            let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), *value)).collect();
            prop_assert_eq!(all(control, Kind::Job), expected);
            prop_assert_eq!(control.count(Kind::Job).unwrap(), model.len() as u64);
        }
    }
}

/// A file where the index folder should be: as with a full or read-only disk, nothing can be made there.
#[test]
fn an_index_that_the_disk_does_not_take_lives_in_memory_until_it_does() {
    let bench = Bench::new(9);
    let (control, _) = bench.open();
    for i in 0..50 {
        control.put(Kind::Setting, &format!("k{i:03}"), &i).unwrap();
    }
    drop(control);
    fs::remove_dir_all(bench.root.path().join("control")).unwrap();
    fs::write(bench.root.path().join("control"), "in the way").unwrap();
    let (control, report) = bench.open();
    assert!(control.index_is_in_memory() && report.rebuilt.is_some(), "{report:?}");
    control.put(Kind::Setting, "k050", &50).unwrap();
    control.delete(Kind::Setting, "k000").unwrap();
    let expected: Vec<_> = (1..=50).map(|i| (format!("k{i:03}"), i)).collect();
    assert_eq!(all(&control, Kind::Setting), expected);
    let newest: Vec<(String, u64)> = control.scan(Kind::Setting, &ScanRange::newest(2)).unwrap();
    assert_eq!(newest.first().map(|(_, value)| *value), Some(50));
    control.maintain(NOW).unwrap();
    assert!(control.index_is_in_memory(), "nothing has changed");
    fs::remove_file(bench.root.path().join("control")).unwrap();
    control.maintain(NOW).unwrap();
    assert!(!control.index_is_in_memory() && bench.index().exists());
    assert_eq!(all(&control, Kind::Setting), expected);
    drop(control);
    let (control, report) = bench.open();
    assert_eq!((report.rebuilt, all(&control, Kind::Setting)), (None, expected));
}

#[test]
fn a_pin_names_every_file_with_the_bytes_that_count() {
    let bench = Bench::new(10);
    let (control, _) = bench.open();
    control.put(Kind::Setting, "a", &1).unwrap();
    control.snapshot(NOW).unwrap();
    control.put(Kind::Setting, "b", &2).unwrap();
    let pin = control.pinned(ControlPin::clone).unwrap();
    assert_eq!(pin.lsn, 2);
    let snapshots = pin.files.iter().filter(|file| file.path.ends_with(".snap") && file.bytes.is_none());
    assert_eq!((snapshots.count(), pin.files.len() > 1), (1, true), "{pin:?}");
}
