//! How fast is the log on this disk? `cargo bench -p wal`; with `--test` it runs small, so that it cannot rot.
//!
//! Budgets: acknowledging 4 KiB payloads from 16 threads needs at most one sync per 4 payloads; replay reads 256 MiB in
//! at most 1 s.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its answer and stops at the first error")]

use std::sync::Arc;
use std::time::Instant;

use wal::{LocalStorage, Log, LogOptions, Payload, RecordWriter, Storage};

struct Block(Vec<u8>);

impl Payload for Block {
    type Segment = ();

    fn encode(&self, (): &mut (), out: &mut RecordWriter<'_>) {
        out.record(1, |buf| buf.extend_from_slice(&self.0));
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn open(storage: &Arc<dyn Storage>, records: &mut u64) -> Log<Block> {
    let mut replay = |_: wal::Record<'_>| {
        *records += 1;
        Ok(())
    };
    Log::open(Arc::clone(storage), "log", LogOptions::default(), 0, &mut replay, Box::new(|_, _| {})).unwrap().0
}

fn append_4k_from_16_threads(storage: &Arc<dyn Storage>, each: usize) {
    let log = open(storage, &mut 0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..each).for_each(|_| assert!(log.append(Block(vec![7; 4096])).is_ok())));
        }
    });
    let (took, stats) = (began.elapsed(), log.stats());
    let per_sync = stats.payloads as f64 / stats.syncs as f64;
    let rate = stats.payloads as f64 / took.as_secs_f64();
    println!(
        "append_4k_from_16_threads: {rate:.0} payloads/s, {per_sync:.1} payloads a sync, {} commits",
        stats.commits
    );
}

fn append_from_one_thread(storage: &Arc<dyn Storage>, count: usize) {
    let log = open(storage, &mut 0);
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let began = Instant::now();
            log.append(Block(vec![7; 4096])).unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("append_4k_from_one_thread: p50 {:?}, p99 {:?}", times[count / 2], times[count * 99 / 100]);
}

fn replay(storage: &Arc<dyn Storage>, mib: usize) {
    let log = open(storage, &mut 0);
    for _ in 0..mib {
        log.append(Block(vec![9; 1 << 20])).unwrap();
    }
    let bytes = log.bytes();
    drop(log);
    let (began, mut records) = (Instant::now(), 0);
    drop(open(storage, &mut records));
    println!("replay: {records} records, {} MiB in {:?}", bytes >> 20, began.elapsed());
}

fn main() {
    let small = std::env::args().any(|arg| arg == "--test");
    let folder = tempfile::tempdir_in(std::env::var("WAL_BENCH_DIR").unwrap_or_else(|_| ".".to_owned())).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::open(folder.path()).unwrap());
    append_from_one_thread(&storage, if small { 10 } else { 500 });
    append_4k_from_16_threads(&storage, if small { 5 } else { 500 });
    replay(&storage, if small { 2 } else { 256 });
}
