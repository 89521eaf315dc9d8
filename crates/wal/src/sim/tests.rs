//! The simulated disk keeps its own promises.

use super::*;

fn write(storage: &SimStorage, path: &str, bytes: &[u8]) -> Box<dyn StorageFile> {
    let mut file = storage.create(path).unwrap();
    file.append(bytes).unwrap();
    file
}

#[test]
fn synced_bytes_and_names_survive_a_crash() {
    for seed in 0..50 {
        let storage = SimStorage::new(seed);
        let mut file = write(&storage, "a", b"kept");
        file.sync_data().unwrap();
        storage.sync_dir("").unwrap();
        file.append(&[7; 2000]).unwrap();
        storage.crash();
        let after = storage.read("a").unwrap();
        assert!(after.starts_with(b"kept") && after.len() <= 2004);
        assert!(file.append(b"x").is_err(), "handles die with the power");
    }
}

#[test]
fn a_name_without_a_folder_sync_can_vanish() {
    let lost = (0..50).filter(|&seed| {
        let storage = SimStorage::new(seed);
        write(&storage, "a", b"x").sync_data().unwrap();
        storage.crash();
        storage.read("a").is_err()
    });
    assert!((10..45).contains(&lost.count()));
}

#[test]
fn a_failed_sync_lies_until_settled() {
    let storage = SimStorage::new(4);
    let mut file = write(&storage, "a", &[1; 5000]);
    storage.sync_dir("").unwrap();
    storage.fail_next_syncs(1);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(storage.read("a").unwrap(), [1; 5000], "the cache still shows it");
    storage.settle("a").unwrap();
    assert_ne!(storage.read("a").unwrap(), [1; 5000]);
    assert_eq!(storage.counts().syncs_after_failure, 1);
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let storage = SimStorage::new(1);
    storage.set_capacity(Some(10));
    let mut file = storage.create("a").unwrap();
    file.append(&[0; 8]).unwrap();
    assert_eq!(file.append(&[0; 8]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((storage.used_bytes(), storage.free_bytes().unwrap(), file.len()), (10, 0, 8));
}

#[test]
fn the_power_goes_after_the_planned_call() {
    let storage = SimStorage::new(1);
    storage.cut_power_after(2);
    let mut file = storage.create("a").unwrap();
    assert!(file.append(b"x").is_err() && storage.is_off());
    assert!(storage.read("a").is_err());
    storage.crash();
    assert!(!storage.is_off() && storage.list("").is_ok());
}
