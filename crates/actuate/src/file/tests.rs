//! Folders, crashes and hostile names.

use super::*;
use serde_json::json;
use std::collections::HashSet;

const NOW: Timestamp = Timestamp(1_795_244_400_000);

fn message(key: &str, subject: &str, replicas: u64) -> Message {
    Message {
        id: format!("id-{key}"),
        idempotency_key: key.into(),
        event_type: "io.foretide.recommendation.created".into(),
        source: "/foretide".into(),
        subject: subject.into(),
        time: NOW,
        approved_by: None,
        payload: json!({"proposed": {"replicas": replicas}}),
    }
}

fn open(dir: &Path) -> FileActuator {
    FileActuator::open(FileSettings::new("files", dir)).expect("an open folder")
}

fn lines(dir: &Path) -> usize {
    fs::read_to_string(dir.join("decisions.jsonl")).expect("a log").lines().count()
}

#[test]
fn a_document_is_written_once_a_key_and_its_generation_grows() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = open(dir.path());
    let first = message("a", "deployment/shop/checkout", 5);
    assert!(files.plan(&first).expect("a plan").changes);
    assert_eq!(files.verify(&first).expect("a look"), Verified::Missing);
    let receipt = files.apply(&first, NOW).expect("applied");
    assert_eq!((receipt.repeated, receipt.generation), (false, Some(1)));
    let again = files.apply(&first, NOW).expect("applied");
    assert_eq!((again.repeated, again.generation), (true, Some(1)));
    assert!(!files.plan(&first).expect("a plan").changes);
    assert_eq!(files.verify(&first).expect("a look"), Verified::Applied { generation: 1 });
    files.apply(&message("b", "deployment/shop/checkout", 7), NOW).expect("applied");
    // The first key again, after another one: still nothing.
    assert!(files.apply(&first, NOW).expect("applied").repeated);
    let found = files.verify(&first).expect("a look");
    assert_eq!(found, Verified::Differs { idempotency_key: "b".into(), generation: 2 });
    assert_eq!(lines(dir.path()), 2);
    drop(files);
    let files = open(dir.path());
    assert!(files.apply(&first, NOW).expect("applied").repeated, "keys outlive the process");
    assert_eq!(lines(dir.path()), 2);
}

#[test]
fn an_older_message_does_not_overwrite_a_newer_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = open(dir.path());
    files.apply(&message("new", "a/b", 5), NOW).expect("applied");
    let old = Message { time: NOW - series::Millis(1), ..message("old", "a/b", 3) };
    assert!(matches!(files.apply(&old, NOW), Err(ActuateError::Stale { .. })));
    assert_eq!(lines(dir.path()), 1);
}

#[test]
fn a_crash_after_the_log_leaves_a_document_that_opening_brings_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let subject = "deployment/shop/checkout";
    let files = open(dir.path());
    files.apply(&message("a", subject, 5), NOW).expect("applied");
    let path = files.path(subject);
    let before = fs::read(&path).expect("a document");
    files.apply(&message("b", subject, 7), NOW).expect("applied");
    let after = fs::read(&path).expect("a document");
    drop(files);
    // As if the process had died before the rename: the old document, an unfinished new one.
    fs::write(&path, before).expect("written");
    let unfinished = path.with_extension("json.unfinished");
    fs::write(&unfinished, &after[..after.len() / 2]).expect("written");
    let files = open(dir.path());
    assert_eq!(fs::read(&path).expect("a document"), after);
    assert!(!unfinished.exists());
    assert!(files.apply(&message("b", subject, 7), NOW).expect("applied").repeated);
}

#[test]
fn every_cut_of_the_last_line_opens_and_can_be_applied_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("decisions.jsonl");
    let files = open(dir.path());
    files.apply(&message("a", "x/y", 1), NOW).expect("applied");
    let first = fs::read(&log).expect("a log");
    let path = files.path("x/y");
    let document = fs::read(&path).expect("a document");
    files.apply(&message("b", "x/y", 2), NOW).expect("applied");
    let both = fs::read(&log).expect("a log");
    drop(files);
    for cut in (first.len()..both.len()).step_by(7) {
        fs::write(&log, &both[..cut]).expect("written");
        fs::write(&path, &document).expect("written");
        let files = open(dir.path());
        assert_eq!(fs::read(&log).expect("a log"), first, "cut at {cut}");
        let receipt = files.apply(&message("b", "x/y", 2), NOW).expect("applied");
        assert_eq!((receipt.repeated, receipt.generation), (false, Some(2)));
        assert_eq!(fs::read(&log).expect("a log"), both);
    }
}

#[test]
fn damage_in_the_middle_is_named_and_not_skipped() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("decisions.jsonl"), "{\"generation\":1}\n").expect("written");
    let fault = FileActuator::open(FileSettings::new("files", dir.path())).expect_err("damaged");
    assert!(matches!(fault, ActuateError::Corrupt { .. }) && fault.to_string().contains("line 1"), "{fault}");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let _first = open(dir.path());
    let fault = FileActuator::open(FileSettings::new("files", dir.path())).expect_err("locked");
    assert!(fault.to_string().contains("another process"), "{fault}");
}

#[test]
fn the_log_is_rotated_and_keys_are_remembered_over_one_rotation() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = FileSettings { max_log_bytes: 1000, ..FileSettings::new("files", dir.path()) };
    let files = FileActuator::open(settings.clone()).expect("an open folder");
    for n in 0..20 {
        files.apply(&message(&format!("k{n}"), "x/y", n), NOW).expect("applied");
    }
    assert!(fs::metadata(dir.path().join("decisions.jsonl")).expect("a log").len() <= 1000);
    assert!(files.apply(&message("k19", "x/y", 19), NOW).expect("applied").repeated);
    assert!(files.apply(&message("k17", "x/y", 17), NOW).expect("applied").repeated);
    drop(files);
    let files = FileActuator::open(settings).expect("an open folder");
    assert!(files.apply(&message("k17", "x/y", 17), NOW).expect("applied").repeated);
    assert_eq!(files.apply(&message("new", "x/y", 1), NOW).expect("applied").generation, Some(21));
}

#[test]
fn hostile_targets_get_safe_and_different_names() {
    let long = "x".repeat(1000);
    let longer = "x".repeat(1001);
    let targets = [
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "//",
        "a/b",
        "a-b",
        "A/B",
        "a b",
        "CON",
        "nul.txt",
        "a\u{0}b",
        "ä/ö",
        "😀",
        "..\\..\\x",
        "C:\\x",
        "a/b.json",
        "decisions.jsonl",
        ".lock",
        "-rf",
        "~",
        "$HOME",
        "a;b",
        "a'b",
        "a\"b",
        &long,
        &longer,
    ];
    let names: HashSet<String> = targets.iter().map(|target| document::file_name(target).to_lowercase()).collect();
    assert_eq!(names.len(), targets.len());
    for name in &names {
        assert!(name.len() < 150 && name.ends_with(".json"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')), "{name}");
        assert!(name.as_bytes()[0].is_ascii_alphanumeric() && !name.contains(".."), "{name}");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let files = open(&dir.path().join("inner"));
    for target in targets.iter().filter(|target| !target.contains('\u{0}')) {
        let message = message(&format!("k{}", document::file_name(target)), target, 1);
        if target.len() <= 1000 {
            files.apply(&message, NOW).expect("applied");
            assert_eq!(files.verify(&message).expect("a look"), Verified::Applied { generation: 1 }, "{target}");
        }
    }
    let outside: Vec<_> = fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(outside.len(), 1, "nothing outside the folder");
}
