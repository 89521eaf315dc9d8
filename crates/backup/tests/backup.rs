//! Backups against small made-up folders: what was taken comes back, what is missing or flipped is named.

use std::fs;
use std::path::{Path, PathBuf};

use backup::{About, Backup, BackupError, restore, verify_backup};

fn data_folder(root: &Path) -> PathBuf {
    let data = root.join("data");
    fs::create_dir_all(data.join("default/chunks/date=2026-11-21")).expect("made");
    fs::create_dir_all(data.join("wal")).expect("made");
    fs::write(data.join("FORMAT"), "foretide data folder, format 1\n").expect("written");
    fs::write(data.join("default/chunks/date=2026-11-21/a.parquet"), vec![7; 5000]).expect("written");
    fs::write(data.join("wal/1.wal"), b"acknowledged, and a tail that is not").expect("written");
    data
}

fn make(data: &Path, dir: &Path, run: u128) -> Result<backup::BackupReport, BackupError> {
    let mut backup = Backup::begin(data, dir, run)?;
    backup.take_now("wal/1.wal", Some(12))?;
    backup.take_now("FORMAT", None)?;
    for name in ["a", "b"] {
        let path = format!("default/chunks/date=2026-11-21/{name}.parquet");
        if let Ok(about) = fs::metadata(data.join(&path)) {
            backup.take_fixed(&path, about.len())?;
        }
    }
    backup.finish(About { log_lsn: 3, ..About::default() })
}

#[test]
fn a_backup_is_restored_byte_by_byte_and_a_second_run_takes_what_is_new() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, dir) = (data_folder(root.path()), root.path().join("backup"));
    let first = make(&data, &dir, 1).expect("made");
    assert_eq!((first.files, first.kept, first.linked), (3, 0, 1));
    fs::write(data.join("default/chunks/date=2026-11-21/b.parquet"), vec![8; 100]).expect("written");
    let second = make(&data, &dir, 2).expect("made");
    assert_eq!((second.files, second.kept, second.linked), (4, 1, 1));
    let states = fs::read_dir(&dir)
        .expect("listed")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("state-")));
    assert_eq!(states.count(), 1, "the run before is tidied up");
    assert_eq!(verify_backup(&dir).expect("sound").about.log_lsn, 3);
    let to = root.path().join("restored");
    restore(&dir, &to).expect("restored");
    assert_eq!(fs::read(to.join("wal/1.wal")).expect("there"), b"acknowledged");
    assert_eq!(fs::read(to.join("default/chunks/date=2026-11-21/b.parquet")).expect("there"), vec![8; 100]);
    assert!(matches!(restore(&dir, &to), Err(BackupError::NotEmpty { .. })));
    // A restored file is a file of its own: damage to one does not reach the other.
    fs::write(to.join("default/chunks/date=2026-11-21/a.parquet"), b"x").expect("written");
    verify_backup(&dir).expect("still sound");
}

#[test]
fn the_first_missing_or_flipped_file_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    let (data, dir) = (data_folder(root.path()), root.path().join("backup"));
    make(&data, &dir, 1).expect("made");
    let stored = "files/default/chunks/date=2026-11-21/a.parquet";
    // A link shares the bytes of the data folder, so the file is replaced and not changed in place.
    let sound = fs::read(dir.join(stored)).expect("read");
    let named = |err: BackupError| match err {
        BackupError::Differs { file, .. } => file,
        other => panic!("{other}"),
    };
    for damage in ["flipped", "short", "gone"] {
        fs::remove_file(dir.join(stored)).expect("removed");
        let mut bytes = sound.clone();
        bytes[100] ^= 1;
        match damage {
            "flipped" => fs::write(dir.join(stored), bytes).expect("written"),
            "short" => fs::write(dir.join(stored), &sound[..100]).expect("written"),
            _ => {}
        }
        assert_eq!(named(verify_backup(&dir).expect_err(damage)), stored);
        let to = root.path().join(damage);
        assert_eq!(named(restore(&dir, &to).expect_err(damage)), stored);
        assert!(!to.join("FORMAT").exists(), "half a folder is no data folder");
        fs::write(dir.join(stored), &sound).expect("written");
    }
    let manifest = dir.join(backup::MANIFEST);
    let text = fs::read_to_string(&manifest).expect("read");
    fs::write(&manifest, text.replacen("\"log_lsn\":3", "\"log_lsn\":4", 1)).expect("written");
    assert_eq!(named(verify_backup(&dir).expect_err("sealed")), backup::MANIFEST);
}

#[test]
fn other_folders_are_left_alone_and_a_cut_run_is_taken_up() {
    let root = tempfile::tempdir().expect("a folder");
    let data = data_folder(root.path());
    let mine = root.path().join("mine");
    fs::create_dir(&mine).expect("made");
    fs::write(mine.join("diary.txt"), "dear").expect("written");
    assert!(matches!(make(&data, &mine, 1), Err(BackupError::NotEmpty { .. })));
    assert!(matches!(verify_backup(&mine), Err(BackupError::NoBackup { .. })));
    let dir = root.path().join("backup");
    let mut cut = Backup::begin(&data, &dir, 1).expect("begun");
    cut.take_fixed("default/chunks/date=2026-11-21/a.parquet", 5000).expect("taken");
    drop(cut);
    make(&data, &dir, 2).expect("made");
    verify_backup(&dir).expect("sound");
}
