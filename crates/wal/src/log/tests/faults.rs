//! Failing writes and syncs, a full disk, panics of the log's user.

use super::*;
use crate::sim::Faults;

#[test]
fn a_failed_sync_moves_the_batch_to_a_new_segment() {
    let storage = SimStorage::new(3);
    let opened = open(&storage);
    opened.log.append(entry(0)).unwrap();
    storage.fail_next_syncs(1);
    let results = submit_together(&opened.log, vec![entry(1), entry(2)]);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((opened.log.segments().len(), opened.log.stats().failures), (2, 1));
    drop(opened);
    storage.crash();
    let opened = open(&storage);
    assert_eq!(opened.replayed.ids(), [0, 1, 2]);
    assert_eq!((opened.report.missing, opened.report.torn_tail.clone()), (0, None));
    assert_eq!(storage.counts().syncs_after_failure, 0);
}

#[test]
fn a_short_write_moves_the_batch_to_a_new_segment() {
    for seed in 0..20 {
        let storage = SimStorage::new(seed);
        let opened = open(&storage);
        opened.log.append(entry(0)).unwrap();
        storage.fail_next_appends(1);
        opened.log.append(entry(1)).unwrap();
        drop(opened);
        let opened = open(&storage);
        assert_eq!((opened.replayed.ids(), opened.report.missing), (vec![0, 1], 0));
    }
}

#[test]
fn two_failures_in_a_row_refuse_until_a_probe_succeeds() {
    let storage = SimStorage::new(3);
    let opened = open(&storage);
    opened.log.append(entry(0)).unwrap();
    storage.set_faults(Faults { sync: 1.0, ..Faults::default() });
    let refused = opened.log.append(entry(1)).unwrap_err();
    assert!(matches!(&refused, LogError::ReadOnly { cause } if cause.contains("injected: sync")), "{refused}");
    let operations = storage.counts().operations;
    assert!(matches!(opened.log.append(entry(2)), Err(LogError::ReadOnly { .. })));
    assert_eq!(storage.counts().operations, operations, "a refusal does not touch the disk");
    assert!(opened.log.resume().is_err());
    storage.set_faults(Faults::default());
    opened.log.resume().unwrap();
    opened.log.append(entry(3)).unwrap();
    assert!(opened.log.stats().refusing.is_none());
    drop(opened);
    storage.crash();
    let opened = open(&storage);
    assert_eq!((opened.replayed.ids(), opened.report.missing), (vec![0, 3], 0));
    assert_eq!(storage.counts().syncs_after_failure, 0);
}

#[test]
fn a_full_disk_says_so_and_writing_resumes_by_itself() {
    let storage = SimStorage::new(3);
    let probing = LogOptions { probe_interval: Duration::from_millis(5), ..options() };
    let opened = open_with(&storage, probing.clone(), 0).unwrap();
    storage.set_capacity(Some(10_000));
    let full = (0..1000).find_map(|id| opened.log.append(entry(id)).err()).unwrap();
    assert!(matches!(full, LogError::DiskFull { .. }), "{full}");
    let acknowledged = opened.applied.lock().unwrap().len();
    drop(opened);
    let opened = open_with(&storage, probing, 0).unwrap();
    assert!(opened.replayed.entries.len() >= acknowledged, "a full disk can be opened");
    assert!(opened.log.append(Entry { series: 0, id: 1, padding: 5000 }).is_err());
    storage.set_capacity(Some(100_000));
    let resumed = (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        opened.log.append(entry(7)).is_ok()
    });
    assert!(resumed);
    assert!(storage.list("log").unwrap().len() < 10, "probes leave no files behind");
}

#[test]
fn an_oversized_record_refuses_only_its_own_payload() {
    struct Large(usize);
    impl Payload for Large {
        type Segment = ();
        fn encode(&self, (): &mut (), out: &mut RecordWriter<'_>) {
            out.record(1, |buf| buf.push(1));
            out.record(2, |buf| buf.resize(buf.len() + self.0, 0));
        }
        fn bytes(&self) -> usize {
            1
        }
    }
    let storage = SimStorage::new(3);
    let apply: Apply<Large> = Box::new(|_, _| {});
    let (log, _) = Log::open(Arc::new(storage.clone()), "log", options(), 0, &mut |_| Ok(()), apply).unwrap();
    assert_eq!(log.append(Large(1)).unwrap(), 2);
    let refused = log.append(Large(crate::MAX_PAYLOAD_BYTES + 1)).unwrap_err();
    assert!(matches!(refused, LogError::RecordTooLarge { .. }), "{refused}");
    assert_eq!(log.append(Large(1)).unwrap(), 4, "its numbers are used again");
    drop(log);
    assert_eq!(verify(&storage, "log", 0).unwrap().records, 4);
}

#[test]
fn a_panic_in_apply_stops_the_log_and_everyone_is_answered() {
    let storage = SimStorage::new(3);
    let apply: Apply<Entry> = Box::new(|entry, _| assert_ne!(entry.id, 2, "planned"));
    let (log, _) = Log::open(Arc::new(storage.clone()), "log", options(), 0, &mut |_| Ok(()), apply).unwrap();
    let results = submit_together(&log, (1..5).map(entry).collect());
    assert!(results[0].is_ok());
    assert!(results[1..].iter().all(|result| matches!(result, Err(LogError::Stopped { place: "apply" }))));
    assert!(matches!(log.resume(), Err(LogError::Stopped { .. })));
    drop(log);
    assert_eq!(open(&storage).replayed.ids(), [1, 2, 3, 4], "durable all the same");
}

#[test]
fn interval_mode_loses_at_most_the_unsynced_end_and_says_so() {
    let mut lost_something = false;
    for seed in 0..30 {
        let storage = SimStorage::new(seed);
        let interval = LogOptions { sync: SyncMode::Interval(Duration::from_secs(3600)), ..options() };
        let opened = open_with(&storage, interval, 0).unwrap();
        for id in 0..10 {
            opened.log.append(entry(id)).unwrap();
        }
        let fork = storage.fork(seed);
        fork.crash();
        let crashed = open(&fork);
        let (last, missing) = (crashed.report.last_lsn, crashed.report.missing);
        assert_eq!(crashed.replayed.lsns.len() as u64 + missing, last, "every number is read or counted");
        lost_something |= crashed.replayed.lsns.len() < 15;
        drop(opened);
        storage.crash();
        assert_eq!(open(&storage).replayed.ids(), (0..10).collect::<Vec<_>>(), "closing syncs");
    }
    assert!(lost_something);
}

#[test]
fn interval_mode_survives_a_failed_sync() {
    let storage = SimStorage::new(5);
    let interval = LogOptions { sync: SyncMode::Interval(Duration::from_millis(1)), ..options() };
    let opened = open_with(&storage, interval, 0).unwrap();
    for id in 0..20 {
        if id == 10 {
            storage.fail_next_syncs(1);
        }
        opened.log.append(entry(id)).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    drop(opened);
    storage.crash();
    let opened = open(&storage);
    assert_eq!(opened.replayed.lsns.len() as u64 + opened.report.missing, opened.report.last_lsn);
    assert_eq!(storage.counts().syncs_after_failure, 0);
}
