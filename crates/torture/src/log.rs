//! R3: the write-ahead log cut at every byte of its last records, and with flipped bits anywhere.
//!
//! Every record has a known payload, so what a reader delivers is either that or an invention. Lost records must be
//! named: as missing numbers, or as the unfinished end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use wal::sim::SimStorage;
use wal::{Log, LogOptions, Payload, RecordWriter, ReplayReport, Storage};

use crate::ledger::Random;
use crate::plan::{Outcome, Plan};

const DIR: &str = "wal";
/// Records of the log under test, over several segments.
const RECORDS: u64 = 240;
/// Records at the end that are cut at every byte.
const CUT: u64 = 3;

/// A payload of seeded bytes.
struct Bytes(Vec<u8>);

impl Payload for Bytes {
    type Segment = ();

    fn encode(&self, (): &mut (), out: &mut RecordWriter<'_>) {
        out.record(1, |buf| buf.extend_from_slice(&self.0));
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }
}

type Records = BTreeMap<u64, Vec<u8>>;

/// Cuts at every byte of the last records, then `plan.count` flips.
pub fn run(plan: &Plan) -> Outcome {
    let mut random = Random::new(plan.seed, "log");
    let (storage, records) = written(&mut random);
    let paths: Vec<String> =
        storage.list(DIR).expect("listed").into_iter().map(|name| format!("{DIR}/{name}")).collect();
    let cuts = cut(&storage, &records, paths.last().expect("a segment"));
    let (mut lost, mut harmless) = (0, 0);
    for _ in 0..plan.count {
        let path = &paths[random.between(0, paths.len() as u64 - 1) as usize];
        let size = storage.len(path).expect("there");
        let copy = storage.fork(1);
        let flips = random.between(1, 3);
        for _ in 0..flips {
            assert!(copy.flip_bit(path, random.between(0, size - 1) as usize, random.between(0, 7) as u8));
        }
        match account(&copy, &records, &format!("{flips} flips in {path}")) {
            0 => harmless += 1,
            n => lost += n,
        }
    }
    Outcome::Passed(format!(
        "{cuts} cuts, {} flips: 0 panics, 0 inventions, every loss named ({lost} records lost, {harmless} flips harmless)",
        plan.count
    ))
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4000, ..LogOptions::default() }
}

fn written(random: &mut Random) -> (SimStorage, Records) {
    let storage = SimStorage::new(random.bits());
    let (log, _) =
        Log::open(Arc::new(storage.clone()), DIR, options(), 0, &mut |_| Ok(()), Box::new(|_: &Bytes, _| {}))
            .expect("opens");
    let mut records = Records::new();
    for lsn in 1..=RECORDS {
        let payload: Vec<u8> = (0..random.between(0, 160)).map(|_| random.bits() as u8).collect();
        assert_eq!(log.append(Bytes(payload.clone())).expect("appended"), lsn);
        records.insert(lsn, payload);
    }
    log.close();
    (storage, records)
}

/// Shortens the last segment byte by byte, back to before its last records.
fn cut(storage: &SimStorage, records: &Records, path: &str) -> u64 {
    let size = storage.len(path).expect("there") as usize;
    let tail: usize =
        records.iter().rev().take(CUT as usize).map(|(_, payload)| payload.len() + wal::RECORD_HEADER_BYTES).sum();
    let from = size.saturating_sub(tail).max(wal::HEADER_BYTES);
    for at in from..size {
        let copy = storage.fork(1);
        assert!(copy.cut(path, at));
        account(&copy, records, &format!("{path} cut at {at}"));
    }
    (size - from) as u64
}

/// Reads a damaged log and accounts for every record; how many are lost.
fn account(storage: &SimStorage, records: &Records, what: &str) -> u64 {
    let read = catch_unwind(AssertUnwindSafe(|| read(storage)));
    let (found, report) = read.unwrap_or_else(|_| panic!("{what}: the reader panicked"));
    for (lsn, payload) in &found {
        assert_eq!(records.get(lsn), Some(payload), "{what}: record {lsn} was invented");
    }
    let lost = records.len() as u64 - found.len() as u64;
    let last = found.keys().next_back().copied().unwrap_or(0);
    let tail = records.range(last + 1..).count() as u64;
    // Beyond the last good record nothing can be counted: it was never acknowledged, or the very end is damaged.
    let named = report.missing + tail;
    assert!(
        named >= lost && report.missing <= lost,
        "{what}: {lost} lost, {} named, {tail} at the end",
        report.missing
    );
    if tail > 0 && report.missing < lost {
        let is_said = report.torn_tail.is_some() || !report.damage.is_empty() || is_clean_cut(storage, &found);
        assert!(is_said, "{what}: {tail} records at the end are lost without a word");
    }
    lost
}

/// A file that ends exactly behind a record has no trace of more; so does one that never got its first.
fn is_clean_cut(storage: &SimStorage, found: &Records) -> bool {
    let Some(name) = storage.list(DIR).ok().and_then(|names| names.into_iter().rfind(|name| name.ends_with(".wal")))
    else {
        return false;
    };
    let bytes = storage.read(&format!("{DIR}/{name}")).unwrap_or_default();
    let mut whole = wal::HEADER_BYTES;
    let n = wal::scan_segment(&bytes, |_, _, payload| whole += payload.len() + wal::RECORD_HEADER_BYTES);
    n <= found.len() && bytes.len() == whole
}

fn read(storage: &SimStorage) -> (Records, ReplayReport) {
    let mut found = Records::new();
    let report = wal::read(storage, DIR, 0, &mut |record| {
        found.insert(record.lsn, record.payload.to_vec());
        Ok(())
    });
    (found, report.expect("damage is no error"))
}
