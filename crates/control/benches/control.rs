//! How fast is the control plane on this disk? `cargo bench -p control`; with `--test` it runs small.
//!
//! Budget: an index of 1,000,000 records is checked or built anew within 10 s.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its answer and stops at the first error")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use control::{Change, Control, ControlOptions, Kind};
use series::Timestamp;
use wal::LocalStorage;

fn open(root: &Path) -> Control {
    let storage = Arc::new(LocalStorage::open(root).unwrap());
    let began = Instant::now();
    let (control, report) = Control::open(storage, root, ControlOptions::default()).unwrap();
    println!("open: {} entries in {:?}, rebuilt: {:?}", report.entries, began.elapsed(), report.rebuilt);
    control
}

fn put_from_16_threads(control: &Control, each: usize) {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let put = move |n| control.put(Kind::Policy, &format!("{thread}/{n}"), &"x".repeat(200)).is_ok();
            scope.spawn(move || assert!((0..each).all(put)));
        }
    });
    println!("put_from_16_threads: {:.0} changes/s", (16 * each) as f64 / began.elapsed().as_secs_f64());
}

/// Forecast jobs are the kind that may be many; decisions are trimmed, so outbox rows stand in for a million records.
fn fill(control: &Control, records: usize) {
    let began = Instant::now();
    for batch in 0..records / 1000 {
        let put = |n| Change::put(Kind::Outbox, &format!("{:020}", batch * 1000 + n), &"y".repeat(200)).unwrap();
        control.apply((0..1000).map(put).collect(), None).unwrap();
    }
    println!("fill: {records} entries in {:?}", began.elapsed());
    let began = Instant::now();
    control.snapshot(Timestamp(0)).unwrap();
    println!("snapshot: {:?}", began.elapsed());
}

fn main() {
    let small = std::env::args().any(|arg| arg == "--test");
    let folder = tempfile::tempdir_in(std::env::var("WAL_BENCH_DIR").unwrap_or_else(|_| ".".to_owned())).unwrap();
    let control = open(folder.path());
    put_from_16_threads(&control, if small { 5 } else { 200 });
    fill(&control, if small { 2000 } else { 1_000_000 });
    drop(control);
    drop(open(folder.path()));
    std::fs::remove_dir_all(folder.path().join("control/index")).unwrap();
    drop(open(folder.path()));
}
