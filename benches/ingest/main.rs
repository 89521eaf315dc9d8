//! What does a sample cost, from the compressed request to the merged file? Prints a table.
//!
//! ```text
//!   bodies made ahead ─▶ 4 senders: decode ─▶ append (fdatasync) ─▶ ack     samples/s, CPU s a million
//!                        close ─▶ open: replay of the log                    restart
//!                        flush ─▶ merge                                      bytes a sample
//!                        read all back                                       samples/s of one core
//! ```
//!
//! Everything runs in this process, without HTTP; `foretide bench ingest` is the same load over HTTP. Wall times on shared cores say little; CPU seconds and the ratios say
//! more. Without `--bench` (as `cargo test` calls it) the load is small and only shows that it works.

mod load;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ingest::{Decoder, Limits, RequestHead};
use series::{
    Append, Batch, Clock, Columns, ManualClock, MatchOp, Matcher, SelectRequest, SeriesOrder, TimeRange, Timestamp,
};
use store::{DataFolder, FileIds, Store, StoreOptions, SyncMode};

use foretide::bench::machine::{Meter, Process, Spent};
use load::Load;

/// Requests under way at a time, as a Prometheus with four shards sends them.
const SENDERS: usize = 4;
/// Bytes of a sample before anything is done about them: a time and a value.
const RAW_BYTES: f64 = 16.0;

/// Names of files: bench runs need no randomness.
struct Counting(AtomicU64);

impl FileIds for Counting {
    fn next(&self) -> u128 {
        // Every store of a run has a folder of its own, but a reopened one must not repeat a name.
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
    }
}

/// What all stores of a run share.
struct World {
    clock: Arc<ManualClock>,
    ids: Arc<Counting>,
}

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let load = if is_bench { Load::new(20_000, 480) } else { Load::new(2_000, 12) };
    let world = World { clock: Arc::new(ManualClock::new(load.end())), ids: Arc::new(Counting(AtomicU64::new(0))) };
    let mut table = Table::new();
    table.line(&format!("{} series, {} samples, {SENDERS} senders", load.n_series(), load.n_samples()));

    let before = Process::own().memory_bytes();
    let durable = tempfile::tempdir().expect("a folder");
    let always = one_life(&world, &load, durable.path(), SyncMode::Always, &mut table);
    let relaxed = tempfile::tempdir().expect("a folder");
    let interval = SyncMode::Interval(Duration::from_secs(1));
    let (_, loose) = ingest(&world, &load, relaxed.path(), interval);
    table.row("CPU of fsync before ack", always.cpu_s / loose.cpu_s, "× of fsync once a second");
    table.row("time of fsync before ack", always.wall_s / loose.wall_s, "× of fsync once a second");
    table.row("peak memory", (Process::own().peak_memory_bytes() - before) / 1048576.0, "MiB above the load's own");
}

/// Ingest, restart, flush, merge, read; what the ingest took.
fn one_life(world: &World, load: &Load, folder: &Path, sync: SyncMode, table: &mut Table) -> Spent {
    let million = load.n_samples() as f64 / 1e6;
    let (store, spent) = ingest(world, load, folder, sync);
    table.row("ingest", million * 1e6 / spent.wall_s, "samples/s");
    table.row("ingest", spent.cpu_s / million, "CPU s/M samples");
    table.row("decoding alone", decoding(load).cpu_s / million, "CPU s/M samples");

    drop(store);
    let meter = Meter::start();
    let (store, replayed) = open(world, folder, sync);
    let restart = meter.stop();
    table.row("restart", restart.wall_s * 1000.0, "ms");
    table.row("replay", replayed as f64 / restart.wall_s, "samples/s");

    let meter = Meter::start();
    store.flush(false).expect("flushed");
    let flush = meter.stop();
    table.row("flush", flush.cpu_s / million, "CPU s/M samples");
    let flushed = folder_bytes(folder);
    let meter = Meter::start();
    store.flush(true).expect("merged");
    table.row("merge", meter.stop().cpu_s / million, "CPU s/M samples");
    let stats = store.stats();
    assert_eq!(stats.file_samples, load.n_samples(), "every sample is in the files once");
    let merged = stats.file_bytes as f64 / load.n_samples() as f64;
    table.row("folder after flush", flushed / load.n_samples() as f64, "B/sample");
    table.row("files after merge", merged, "B/sample");
    table.row("files after merge", RAW_BYTES / merged, "× smaller than time and value");
    read_back(&store, load, table);
    spent
}

/// Sends the whole load through decoders into a new store and waits until it is quiet.
fn ingest(world: &World, load: &Load, folder: &Path, sync: SyncMode) -> (Store, Spent) {
    let (store, _) = open(world, folder, sync);
    let append = store.appender();
    let meter = Meter::start();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let append = Arc::clone(&append);
            scope.spawn(move || send(load, sender, append.as_ref()));
        }
    });
    let spent = meter.stop();
    assert_eq!(store.stats().appended_samples, load.n_samples());
    (store, spent)
}

/// One sender has its own hosts, so that each series arrives in order.
fn send(load: &Load, sender: usize, append: &dyn Append) {
    let mut decoder = Decoder::new(Limits::default());
    for body in load.bodies(sender, SENDERS) {
        let mut batch = Batch::default();
        decoder.decode(&RequestHead::default(), body, &mut batch).expect("our own encoding");
        let appended = append.append_wait(batch).expect("appended");
        assert!(appended.rejected.is_empty(), "{:?}", appended.rejected);
    }
}

fn decoding(load: &Load) -> Spent {
    let (mut decoder, mut batch) = (Decoder::new(Limits::default()), Batch::default());
    let meter = Meter::start();
    for body in load.bodies(0, 1) {
        decoder.decode(&RequestHead::default(), body, &mut batch).expect("our own encoding");
    }
    meter.stop()
}

fn read_back(store: &Store, load: &Load, table: &mut Table) {
    let (select, meter) = (store.selector(), Meter::start());
    let everything = [Matcher::new(series::METRIC_NAME, MatchOp::Regex, ".+").expect("a pattern")];
    let range = TimeRange::new(Timestamp(0), load.end() + series::Millis(1));
    let request = SelectRequest { matchers: &everything, range, series_max: 0, order: SeriesOrder::Labels };
    let set = select.select(&request).expect("selected");
    let (mut columns, mut n_samples, mut sum) = (Columns::default(), 0_u64, 0.0);
    for i in 0..set.len() {
        columns.clear();
        set.read(i, range, &mut columns).expect("read");
        n_samples += columns.len() as u64;
        sum += columns.values.iter().sum::<f64>();
    }
    let spent = meter.stop();
    assert_eq!(n_samples, load.n_samples(), "every sample is read once");
    assert!(sum.is_finite());
    table.row("read all back, one thread", n_samples as f64 / spent.wall_s, "samples/s");
}

/// Opens the store; also says how many samples came from its log.
fn open(world: &World, folder: &Path, sync: SyncMode) -> (Store, u64) {
    let folder = DataFolder::open(folder).expect("a folder");
    let options = StoreOptions { sync, ..StoreOptions::default() };
    let (clock, ids) = (Arc::clone(&world.clock) as Arc<dyn Clock>, Arc::clone(&world.ids) as Arc<dyn FileIds>);
    let (store, report) = Store::open(&folder, options, clock, ids).expect("opened");
    (store, report.replayed_samples)
}

fn folder_bytes(folder: &Path) -> f64 {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let sizes = entries.map(|entry| {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() { folder_bytes(&path) } else { path.metadata().map_or(0.0, |meta| meta.len() as f64) }
    });
    sizes.sum()
}

/// Prints line by line, so that a slow run shows where it is.
struct Table(std::io::Stdout);

impl Table {
    fn new() -> Self {
        Self(std::io::stdout())
    }

    fn row(&mut self, what: &str, value: f64, unit: &str) {
        let value = if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
        self.line(&format!("  {what:28} {value:>12}  {unit}"));
    }

    fn line(&mut self, text: &str) {
        writeln!(self.0, "{text}").and_then(|()| self.0.flush()).expect("stdout");
    }
}
