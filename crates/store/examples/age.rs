//! How long it takes to age a day: flushes of one closed day, merged, rolled up, and read back.
//!
//! `cargo run --release -p store --example age -- [SERIES] [STEP_S]` prints seconds, samples a second, bytes a sample of
//! chunks and roll-ups, and the peak of memory. Half of the series are counters, half gauges with one decimal.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use series::{
    Batch, Clock, Columns, Labels, ManualClock, Resolution, SelectRequest, SeriesOrder, TimeRange, Timestamp,
};
use store::{DataFolder, FileIds, Store, StoreOptions};

const DAY: i64 = 86_400_000;
const FLUSHES: i64 = 16;

struct Counting(AtomicU64);

impl FileIds for Counting {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn argument(at: usize, default: i64) -> i64 {
    std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn status(key: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find(|line| line.starts_with(key)).unwrap_or("unknown").to_owned()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (n_series, step) = (argument(1, 2000), argument(2, 15) * 1000);
    let folder = tempfile::tempdir()?;
    let data = DataFolder::open(folder.path())?;
    let day = 20_000 * DAY;
    let clock = Arc::new(ManualClock::new(Timestamp(day + DAY)));
    let options = StoreOptions { background: false, memtable_bytes: 1 << 30, ..StoreOptions::default() };
    let ids = Arc::new(Counting(AtomicU64::new(1)));
    let (store, _) = Store::open(&data, options, Arc::clone(&clock) as Arc<dyn Clock>, ids)?;
    let mut seed = 1_u64;
    let mut levels = vec![0.0_f64; n_series as usize];
    for part in 0..FLUSHES {
        let (from, to) = (day + DAY * part / FLUSHES, day + DAY * (part + 1) / FLUSHES);
        for (i, level) in levels.iter_mut().enumerate() {
            let labels = Labels::from_pairs([("__name__", format!("m{}", i % 50)), ("host", format!("h{i}"))])?;
            let mut batch = Batch::default();
            batch.begin_labels(&labels)?;
            for at in (from..to).step_by(step as usize) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let random = (seed >> 40) % 1000;
                *level = if i % 2 == 0 { *level + random as f64 } else { random as f64 / 10.0 };
                batch.push(Timestamp(at), *level);
            }
            store.own_appender().append_wait(batch)?;
        }
        store.flush(false)?;
    }
    let before = store.stats();
    clock.set(Timestamp(day + 3 * DAY));
    let started = Instant::now();
    store.tidy()?;
    let took = started.elapsed().as_secs_f64();
    let after = store.stats();
    let per_sample = |bytes: u64| bytes as f64 / after.file_samples as f64;
    println!("{n_series} series, a sample each {} s, {} flushes", step / 1000, FLUSHES);
    println!("files {} -> {}, roll-up rows {}", before.files, after.files, after.rollup_rows);
    println!("aged in {took:.2} s: {:.2} M samples/s", before.file_samples as f64 / took / 1e6);
    println!("bytes a sample: flushed {:.3}, aged {:.3}", per_sample(before.file_bytes), per_sample(after.file_bytes));
    println!("roll-ups: {:.3} bytes a sample", per_sample(after.rollup_bytes));
    println!("{}", status("VmHWM"));
    read(&store)
}

fn read(store: &Store) -> Result<(), Box<dyn std::error::Error>> {
    let select = store.selector();
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    for round in ["first", "second"] {
        let started = Instant::now();
        let set = select.select(&request)?;
        let (mut samples, mut columns) = (0, Columns::default());
        for i in 0..set.len() {
            columns.clear();
            set.read(i, TimeRange::ALL, &mut columns)?;
            samples += columns.len();
        }
        println!("{round} read of {samples} samples: {:.3} s", started.elapsed().as_secs_f64());
    }
    let started = Instant::now();
    let set = select.rollups(Resolution::Hour, &request)?;
    let mut rows = 0;
    set.scan(0..set.len(), &mut |_, some| {
        rows += some.len();
        true
    })?;
    println!("read of {rows} hourly roll-ups: {:.3} s", started.elapsed().as_secs_f64());
    println!("cache hit ratio {:.2}", store.stats().cache.hit_ratio());
    Ok(())
}
