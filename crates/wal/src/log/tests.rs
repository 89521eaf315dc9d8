//! The log against a simulated disk: what is acknowledged, replayed, counted and refused.

mod damage;
mod faults;
mod simulation;

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::*;
use crate::options::SyncMode;
use crate::payload::{Lsns, RecordWriter};
use crate::recover::Record;
use crate::sim::SimStorage;

const DEFINITION: u8 = 1;
const ENTRY: u8 = 2;

/// A payload with the shape of samples: an entry refers to its series by a number that its segment defines.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    series: u32,
    id: u64,
    padding: usize,
}

impl Payload for Entry {
    type Segment = HashMap<u32, u32>;

    fn encode(&self, known: &mut HashMap<u32, u32>, out: &mut RecordWriter<'_>) {
        let next = known.len() as u32;
        let number = *known.entry(self.series).or_insert(next);
        if number == next {
            out.record(DEFINITION, |buf| {
                buf.extend_from_slice(&number.to_le_bytes());
                buf.extend_from_slice(&self.series.to_le_bytes());
            });
        }
        out.record(ENTRY, |buf| {
            buf.extend_from_slice(&number.to_le_bytes());
            buf.extend_from_slice(&self.id.to_le_bytes());
            buf.resize(buf.len() + self.padding, self.id as u8);
        });
    }

    fn bytes(&self) -> usize {
        32 + self.padding
    }
}

/// Rebuilds entries from records.
#[derive(Debug, Default)]
struct Replayed {
    entries: Vec<(u64, u32, u64)>,
    lsns: Vec<u64>,
    series: HashMap<u32, u32>,
}

impl Replayed {
    fn take(&mut self, record: Record<'_>) {
        if record.first_in_segment {
            self.series.clear();
        }
        self.lsns.push(record.lsn);
        let number = u32::from_le_bytes(record.payload[..4].try_into().unwrap());
        if record.kind == DEFINITION {
            self.series.insert(number, u32::from_le_bytes(record.payload[4..8].try_into().unwrap()));
        } else {
            let id = u64::from_le_bytes(record.payload[4..12].try_into().unwrap());
            let series = self.series.get(&number).copied().unwrap_or(u32::MAX);
            self.entries.push((record.lsn, series, id));
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.entries.iter().map(|entry| entry.2).collect()
    }
}

type Applied = Arc<Mutex<Vec<(Lsns, u64)>>>;

/// An open log with everything a test looks at.
struct Opened {
    log: Log<Entry>,
    report: ReplayReport,
    replayed: Replayed,
    applied: Applied,
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 4096,
        commit_window: Duration::ZERO,
        probe_interval: Duration::from_secs(3600),
        resume_free_bytes: 1024,
        ..LogOptions::default()
    }
}

fn open_with(storage: &SimStorage, options: LogOptions, from_lsn: u64) -> Result<Opened, LogError> {
    let mut replayed = Replayed::default();
    let applied = Applied::default();
    let seen = Arc::clone(&applied);
    let (log, report) = Log::open(
        Arc::new(storage.clone()),
        "log",
        options,
        from_lsn,
        &mut |record| {
            replayed.take(record);
            Ok(())
        },
        Box::new(move |entry: &Entry, lsns| seen.lock().unwrap().push((lsns, entry.id))),
    )?;
    Ok(Opened { log, report, replayed, applied })
}

fn open(storage: &SimStorage) -> Opened {
    open_with(storage, options(), 0).unwrap()
}

fn entry(id: u64) -> Entry {
    Entry { series: (id % 5) as u32, id, padding: (id % 7) as usize * 40 }
}

/// Submits all entries so that the writer finds them waiting together, and answers one result each.
fn submit_together(log: &Log<Entry>, entries: Vec<Entry>) -> Vec<Result<u64, LogError>> {
    let (go, wait) = mpsc::channel::<()>();
    log.exclusive(Box::new(move |_| {
        let _ = wait.recv();
    }));
    let answers: Vec<Receiver<_>> = entries
        .into_iter()
        .map(|entry| {
            let (sender, receiver) = mpsc::sync_channel(1);
            log.submit(entry, Box::new(move |_, result| sender.send(result).unwrap()));
            receiver
        })
        .collect();
    drop(go);
    answers.into_iter().map(|receiver| receiver.recv().unwrap()).collect()
}

#[test]
fn acknowledged_entries_come_back_in_order_with_their_series() {
    let storage = SimStorage::new(1);
    let opened = open(&storage);
    for id in 0..200 {
        opened.log.append(entry(id)).unwrap();
    }
    assert!(opened.log.segments().len() > 3);
    let last = opened.log.last_lsn();
    drop(opened);
    storage.crash();
    let opened = open(&storage);
    assert_eq!(opened.replayed.ids(), (0..200).collect::<Vec<_>>());
    assert!(opened.replayed.entries.iter().all(|&(_, series, id)| u64::from(series) == id % 5));
    assert_eq!(opened.replayed.lsns, (1..=last).collect::<Vec<_>>());
    assert_eq!((opened.report.last_lsn, opened.report.missing, opened.report.chain_breaks), (last, 0, 0));
    assert_eq!(opened.log.append(entry(1)).unwrap(), last + 2, "the new segment describes the series again");
}

#[test]
fn waiting_payloads_share_one_sync() {
    let storage = SimStorage::new(1);
    let opened = open(&storage);
    opened.log.append(entry(0)).unwrap();
    let before = storage.counts().syncs;
    let results = submit_together(&opened.log, (1..=64).map(|id| Entry { padding: 0, ..entry(id) }).collect());
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(storage.counts().syncs - before, 1);
    let applied = opened.applied.lock().unwrap();
    assert!(applied.windows(2).all(|pair| pair[0].0.last + 1 == pair[1].0.first));
    assert_eq!(applied.iter().map(|applied| applied.1).collect::<Vec<_>>(), (0..=64).collect::<Vec<_>>());
}

#[test]
fn a_commit_closes_at_its_waiter_and_byte_limits() {
    let storage = SimStorage::new(1);
    let limits = LogOptions { waiters_max: 10, commit_bytes: 500, segment_bytes: 1 << 20, ..options() };
    let opened = open_with(&storage, limits, 0).unwrap();
    submit_together(&opened.log, (0..20).map(|id| Entry { series: 0, id, padding: 0 }).collect());
    assert_eq!(opened.log.stats().commits, 2);
    submit_together(&opened.log, (0..6).map(|id| Entry { series: 0, id, padding: 218 }).collect());
    assert_eq!(opened.log.stats().commits, 5, "two payloads of 250 bytes fill a commit");
}

#[test]
fn many_threads_need_far_fewer_syncs_than_submits() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(crate::LocalStorage::open(folder.path()).unwrap());
    let apply: Apply<Entry> = Box::new(|_, _| thread::sleep(Duration::from_micros(50)));
    let (log, _) = Log::open(storage, "log", LogOptions::default(), 0, &mut |_| Ok(()), apply).unwrap();
    thread::scope(|scope| {
        for thread in 0..16 {
            let log = &log;
            scope.spawn(move || assert!((0..50).all(|id| log.append(entry(thread * 50 + id)).is_ok())));
        }
    });
    let stats = log.stats();
    assert_eq!(stats.payloads, 800);
    assert!(stats.syncs < 400, "{} syncs", stats.syncs);
}

#[test]
fn a_full_queue_refuses_at_once_and_gives_the_payload_back() {
    let storage = SimStorage::new(1);
    let opened = open_with(&storage, LogOptions { queue_bytes_max: 100, ..options() }, 0).unwrap();
    let results = submit_together(&opened.log, (0..4).map(|id| Entry { series: 0, id, padding: 10 }).collect());
    let full = |result: &Result<u64, LogError>| matches!(result, Err(LogError::QueueFull { queued: 84, max: 100 }));
    assert!(results[..2].iter().all(Result::is_ok) && results[2..].iter().all(full), "{results:?}");
    let large = Entry { series: 0, id: 9, padding: 1000 };
    assert!(opened.log.append(large).is_ok(), "an empty queue takes a payload of any size");
}

#[test]
fn exclusive_functions_run_between_commits_in_their_turn() {
    let storage = SimStorage::new(1);
    let opened = open(&storage);
    let (sender, receiver) = mpsc::channel();
    opened.log.submit(entry(0), Box::new(|_, _| {}));
    let first = sender.clone();
    opened.log.exclusive(Box::new(move |lsn| first.send(lsn).unwrap()));
    opened.log.submit(entry(0), Box::new(|_, _| {}));
    assert_eq!(receiver.recv().unwrap(), 2);
    opened.log.close();
    opened.log.exclusive(Box::new(move |lsn| sender.send(lsn).unwrap()));
    assert_eq!(receiver.recv().unwrap(), 3, "after closing it runs here");
    assert!(matches!(opened.log.append(entry(1)), Err(LogError::Closed)));
}

#[test]
fn truncation_removes_whole_segments_and_keeps_the_position() {
    let storage = SimStorage::new(1);
    let opened = open(&storage);
    for id in 0..200 {
        opened.log.append(entry(id)).unwrap();
    }
    let middle = opened.log.segments()[2].last_lsn;
    assert_eq!(opened.log.truncate_below(middle - 1).unwrap(), 2);
    assert_eq!(opened.log.truncate_below(middle).unwrap(), 1);
    let bytes = opened.log.bytes();
    assert_eq!(bytes, storage.used_bytes());
    let last = opened.log.last_lsn();
    opened.log.truncate_below(last).unwrap();
    assert_eq!(opened.log.segments().len(), 1, "a new, empty one");
    assert_eq!(opened.log.truncate_below(last).unwrap(), 0);
    drop(opened);
    storage.crash();
    let opened = open_with(&storage, options(), last).unwrap();
    assert_eq!((opened.report.last_lsn, opened.report.records, opened.report.missing), (last, 0, 0));
    assert_eq!(opened.log.append(entry(0)).unwrap(), last + 2);
    let from_nothing = verify(&storage, "log", 0).unwrap();
    assert_eq!(from_nothing.missing, last, "without the caller's word the removed records count as missing");
}

#[test]
fn replay_skips_segments_below_the_flushed_number() {
    let storage = SimStorage::new(1);
    let opened = open(&storage);
    for id in 0..200 {
        opened.log.append(entry(id)).unwrap();
    }
    let segments = opened.log.segments();
    drop(opened);
    let opened = open_with(&storage, options(), segments[1].last_lsn + 1).unwrap();
    assert_eq!(opened.report.segments_skipped, 2);
    assert_eq!(opened.replayed.lsns[0], segments[2].first_lsn);
    assert!(opened.replayed.entries.iter().all(|&(_, series, id)| u64::from(series) == id % 5));
}

#[test]
fn a_lost_log_goes_on_above_what_the_caller_has() {
    let storage = SimStorage::new(1);
    let opened = open_with(&storage, options(), 500).unwrap();
    assert_eq!(opened.log.last_lsn(), 500);
    assert_eq!(opened.log.append(entry(0)).unwrap(), 502);
}

#[test]
fn waiting_from_within_the_writer_thread_is_refused() {
    let storage = SimStorage::new(1);
    let log = Arc::new(open(&storage).log);
    let inner = Arc::clone(&log);
    let (sender, receiver) = mpsc::channel();
    log.exclusive(Box::new(move |_| {
        let refused = matches!(inner.append(entry(0)), Err(LogError::InWriterThread { .. }));
        sender.send(refused && inner.truncate_below(0).is_err() && inner.resume().is_err()).unwrap();
    }));
    assert!(receiver.recv().unwrap());
}
