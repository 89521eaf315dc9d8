//! Cuts, flips and foreign files: what is lost is named, exactly; what is not lost is read.

use std::collections::BTreeMap;

use super::*;
use crate::format::{HEADER_BYTES, Header};
use crate::sim::SimRandom;

type Records = BTreeMap<u64, (u8, Vec<u8>)>;

/// A log of several segments, and every record in it.
fn written() -> (SimStorage, Records) {
    let storage = SimStorage::new(7);
    let opened = open(&storage);
    for id in 0..120 {
        opened.log.append(entry(id)).unwrap();
    }
    drop(opened);
    let records = read_all(&storage).0;
    (storage, records)
}

fn read_all(storage: &SimStorage) -> (Records, ReplayReport) {
    let mut records = BTreeMap::new();
    let mut replay = |record: Record<'_>| {
        assert!(records.insert(record.lsn, (record.kind, record.payload.to_vec())).is_none(), "delivered twice");
        Ok(())
    };
    let recovered = recover::recover(storage, "log", 0, Purpose::Open, &mut replay).unwrap();
    (records, recovered.report)
}

fn paths(storage: &SimStorage) -> Vec<String> {
    let names = storage.list("log").unwrap();
    names.into_iter().filter(|name| name.ends_with(".wal")).map(|name| format!("log/{name}")).collect()
}

#[test]
fn a_cut_at_any_byte_of_the_last_records_is_a_torn_tail() {
    let (storage, records) = written();
    let path = paths(&storage).pop().unwrap();
    let bytes = storage.read(&path).unwrap();
    let mut ends = vec![HEADER_BYTES];
    while let Some(record) = crate::format::record_at(&bytes, *ends.last().unwrap()) {
        ends.push(record.end);
    }
    let last_lsn = *records.last_key_value().unwrap().0;
    for cut in ends[ends.len() - 4]..bytes.len() {
        let copy = storage.fork(1);
        assert!(copy.cut(&path, cut));
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let expect_last = last_lsn - (ends.len() - whole) as u64;
        let opened = open(&copy);
        assert_eq!((opened.report.last_lsn, opened.report.missing), (expect_last, 0), "cut at {cut}");
        assert_eq!(opened.report.torn_tail.is_some(), !ends.contains(&cut), "cut at {cut}");
        assert!(opened.report.damage.is_empty());
        opened.log.append(entry(1)).unwrap();
        drop(opened);
        let (after, report) = read_all(&copy);
        assert_eq!((report.missing, report.torn_tail, report.chain_breaks), (0, None, 0), "cut at {cut}");
        assert_eq!(after.len() as u64, report.last_lsn, "numbers go on without a gap");
    }
}

#[test]
fn reported_loss_is_true_loss_for_any_flipped_bit() {
    let (storage, records) = written();
    let paths = paths(&storage);
    let mut random = SimRandom::new(11);
    for trial in 0..2000 {
        let copy = storage.fork(trial);
        let path = &paths[random.below(paths.len())];
        let len = copy.read(path).unwrap().len();
        let (byte, bit) = (random.below(len), random.below(8) as u8);
        assert!(copy.flip_bit(path, byte, bit));
        let (found, report) = read_all(&copy);
        let place = format!("{path} byte {byte} bit {bit}: {report:?}");
        assert!(found.iter().all(|(lsn, record)| records.get(lsn) == Some(record)), "invented: {place}");
        let lost = (records.len() - found.len()) as u64;
        assert_eq!(report.missing + u64::from(report.torn_tail.is_some()), lost, "{place}");
        assert!(!report.damage.is_empty() || report.torn_tail.is_some(), "silent: {place}");
        assert!(report.damage.iter().all(|damage| damage.quarantined.is_some() || damage.bytes == 0), "{place}");
        for damage in &report.damage {
            let mut gone = damage.first_missing..damage.first_missing + damage.missing;
            assert!(gone.all(|lsn| !found.contains_key(&lsn)), "{place}");
        }
    }
}

#[test]
fn many_flips_at_once_never_panic_and_never_invent() {
    let (storage, records) = written();
    let paths = paths(&storage);
    let mut random = SimRandom::new(12);
    for trial in 0..200 {
        let copy = storage.fork(trial);
        for _ in 0..random.below(40) {
            let path = &paths[random.below(paths.len())];
            let len = copy.read(path).unwrap().len();
            copy.flip_bit(path, random.below(len), random.below(8) as u8);
        }
        let (found, report) = read_all(&copy);
        assert!(found.iter().all(|(lsn, record)| records.get(lsn) == Some(record)));
        let lost = (records.len() - found.len()) as u64;
        assert!(report.missing <= lost, "{report:?}");
        assert!(lost == report.missing || report.torn_tail.is_some(), "{report:?}");
        let again = verify(&copy, "log", 0).unwrap();
        assert_eq!((again.missing, again.records), (report.missing, report.records));
    }
}

#[test]
fn a_missing_segment_is_counted_and_the_rest_is_read() {
    let (storage, records) = written();
    for path in paths(&storage).iter().rev().skip(1) {
        let copy = storage.fork(1);
        copy.remove(path).unwrap();
        let (found, report) = read_all(&copy);
        assert_eq!(report.missing, (records.len() - found.len()) as u64, "{path}");
        assert!(report.torn_tail.is_none());
    }
}

#[test]
fn a_zero_byte_or_zero_filled_last_file_is_passed_over() {
    for content in [&[][..], &[0; 30], &[0; 4096]] {
        let (storage, records) = written();
        storage.put("log/00000000000000000099.wal", content);
        let opened = open(&storage);
        assert_eq!((opened.report.records, opened.report.missing), (records.len() as u64, 0));
        assert_eq!(opened.log.append(entry(1)).unwrap(), records.len() as u64 + 2);
        drop(opened);
        assert_eq!(verify(&storage, "log", 0).unwrap().missing, 0);
    }
}

#[test]
fn a_newer_format_is_refused_and_untouched() {
    let (storage, _) = written();
    let mut newer = Header { number: 99, epoch: 1, first_lsn: 1, previous_crc: 0 }.encode().to_vec();
    newer[8] = 7;
    let prefix = crc32c::crc32c(&newer[..12]);
    newer[12..16].copy_from_slice(&prefix.to_le_bytes());
    storage.put("log/00000000000000000099.wal", &newer);
    let before = (storage.list("log").unwrap(), storage.counts().syncs);
    let refused = open_with(&storage, options(), 0).err().unwrap();
    assert!(matches!(refused, LogError::NewerFormat { found: 7, known: 1, .. }), "{refused}");
    assert_eq!((storage.list("log").unwrap(), storage.counts().syncs), before);
}

#[test]
fn a_segment_of_another_history_breaks_the_chain() {
    let (storage, _) = written();
    let other = SimStorage::new(8);
    let opened = open(&other);
    for id in 0..120 {
        opened.log.append(Entry { padding: entry(id).padding, ..entry(id + 5) }).unwrap();
    }
    drop(opened);
    let first = &paths(&storage)[0];
    storage.put(first, &other.read(first).unwrap());
    assert_eq!(read_all(&storage).1.chain_breaks, 1);
}

#[test]
fn replay_stops_when_asked() {
    let (storage, _) = written();
    let mut replay = |record: Record<'_>| {
        if record.lsn < 9 { Ok(()) } else { Err(crate::ReplayStop { reason: "enough".to_owned() }) }
    };
    let stopped = recover::recover(&storage, "log", 0, Purpose::Verify, &mut replay).unwrap_err();
    assert!(matches!(stopped, LogError::ReplayStopped { lsn: 9, .. }), "{stopped}");
}
