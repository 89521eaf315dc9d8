//! Speed of a chunk file on this machine: `cargo run --release -p lake --example measure`.
//!
//! 20,000 chunks of 480 samples (decimal gauges, counters, constants; shared scrape times) in a temporary folder.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lake::{ChunkFile, ChunkRow, Commit, FileEntry, Table, TableKind, durable_local, encode_chunk_file};
use object_store::ObjectStore;

const SERIES: u64 = 10_000;
const CHUNKS: i64 = 2;
const SAMPLES: i64 = 480;

/// xorshift: the same numbers in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn samples(series: u64, chunk: i64, state: &mut u64) -> (Vec<i64>, Vec<f64>) {
    let start = 1_795_244_840_000 + (series % 100) as i64 * 37 + chunk * SAMPLES * 15_000;
    let timestamps = (0..SAMPLES).map(|i| start + i * 15_000).collect();
    let mut level = (series * 13 % 5000) as i64;
    let values = (0..SAMPLES)
        .map(|_| match series % 4 {
            0 => level as f64,
            1 => {
                level += (random(state) % 300) as i64;
                level as f64
            }
            2 => {
                level += (random(state) % 21) as i64 - 10;
                level as f64 / 100.0
            }
            _ => (random(state) % 100_000) as f64 / 1000.0,
        })
        .collect();
    (timestamps, values)
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.3} ms, p99 {:.3} ms ({} runs)", at(0.5), at(0.99), times.len());
}

type Run = (Arc<str>, u64, (Vec<i64>, Vec<f64>));
type Outcome<T> = Result<T, Box<dyn Error>>;

fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let store = durable_local(folder.path())?;
    let table = Table::open_or_create(Arc::clone(&store), "measure/chunks", TableKind::Chunks)?;
    let mut state = 88_172_645_463_325_252;
    let mut keys: Vec<(String, u64)> =
        (0..SERIES).map(|i| (format!("metric_{}", i % 50), i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    keys.sort();
    let mut runs: Vec<Run> = Vec::new();
    for (n, (metric, id)) in keys.iter().enumerate() {
        let metric: Arc<str> = Arc::from(metric.as_str());
        runs.extend((0..CHUNKS).map(|chunk| (Arc::clone(&metric), *id, samples(n as u64, chunk, &mut state))));
    }
    let rows = measure_codec(&runs)?;
    let entry = measure_write(&table, &rows)?;
    let file = ChunkFile::open(Arc::clone(&store), &entry)?;
    measure_series(&store, &entry, &file, &keys)?;
    measure_scans(&file)
}

fn measure_codec(runs: &[Run]) -> Outcome<Vec<ChunkRow>> {
    let total = runs.len() as f64 * SAMPLES as f64;
    let start = Instant::now();
    let rows: Vec<ChunkRow> =
        runs.iter().map(|(metric, id, (ts, values))| ChunkRow::encode(Arc::clone(metric), *id, ts, values)).collect();
    let took = since(start);
    let bytes: usize = rows.iter().map(|row| row.ts_chunk.len() + row.value_chunk.len()).sum();
    println!("encode chunks: {:.1} M samples/s, {:.3} B/sample", total / took / 1e3, bytes as f64 / total);
    let start = Instant::now();
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    for row in &rows {
        timestamps.clear();
        values.clear();
        codec::decode_samples(&row.ts_chunk, &row.value_chunk, &mut timestamps, &mut values)?;
        black_box((&timestamps, &values));
    }
    println!("decode chunks: {:.1} M samples/s", total / since(start) / 1e3);
    Ok(rows)
}

fn measure_write(table: &Table, rows: &[ChunkRow]) -> Outcome<FileEntry> {
    let start = Instant::now();
    let file = encode_chunk_file(rows)?;
    let took = since(start);
    let per_sample = file.bytes.len() as f64 / file.samples as f64;
    let footer = file.bytes.len() as u64 - file.data_len;
    println!("encode file: {took:.1} ms for {} rows, {per_sample:.3} B/sample, footer {footer} B", file.rows);
    let start = Instant::now();
    let entry = table.put_file(Some("2026-11-21"), 0, file.min_ts, 1, file, 1, 2)?;
    println!("put_file with fsync: {:.1} ms", since(start));
    let start = Instant::now();
    let adds = vec![entry.clone()];
    table.commit(Commit {
        adds,
        removes: vec![],
        txns: vec![],
        operation: "WRITE",
        at: 0,
        id: 1,
        data_change: true,
    })?;
    println!("commit with fsync: {:.2} ms", since(start));
    Ok(entry)
}

fn measure_series(
    store: &Arc<dyn ObjectStore>,
    entry: &FileEntry,
    file: &ChunkFile,
    keys: &[(String, u64)],
) -> Outcome<()> {
    let start = Instant::now();
    let columns = file.keys()?;
    println!("load keys: {:.2} ms; the open file holds {} KiB", since(start), file.memory_bytes() / 1024);
    let (mut open, mut cold, mut fetch, mut warm) = (vec![], vec![], vec![], vec![]);
    for n in 0..400 {
        let id = keys[(n * 7919) % keys.len()].1;
        let rows: Vec<u32> = columns.rows_of(id).collect();
        let start = Instant::now();
        let again = ChunkFile::open(Arc::clone(store), entry)?;
        open.push(start.elapsed());
        black_box(decode(&again, &rows)?);
        cold.push(start.elapsed());
        let start = Instant::now();
        let rows: Vec<u32> = columns.rows_of(id).collect();
        black_box(file.fetch(&rows)?);
        fetch.push(start.elapsed());
        let start = Instant::now();
        black_box(decode(file, &rows)?);
        warm.push(start.elapsed());
    }
    report("open", &mut open);
    report("open + fetch + decode one series", &mut cold);
    report("find + fetch one series, open file", &mut fetch);
    report("fetch + decode one series, open file", &mut warm);
    Ok(())
}

fn measure_scans(file: &ChunkFile) -> Outcome<()> {
    let metric = file.metrics()?.into_iter().map(|(_, rows)| rows).max_by_key(|rows| rows.len()).unwrap_or(0..0);
    let all: Vec<u32> = (0..file.rows()).collect();
    for (what, rows) in [("one metric", metric.collect()), ("whole file", all.clone())] {
        let start = Instant::now();
        let n = decode(file, &rows)?;
        println!("{what}, {} chunks, {n} samples: {:.2} ms", rows.len(), since(start));
    }
    let start = Instant::now();
    let n = file.aggregates(&all)?.len();
    println!("aggregates of {n} chunks: {:.2} ms", since(start));
    Ok(())
}

fn decode(file: &ChunkFile, rows: &[u32]) -> Outcome<usize> {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    for chunk in file.fetch(rows)? {
        codec::decode_samples(&chunk.ts, &chunk.values, &mut timestamps, &mut values)?;
    }
    Ok(timestamps.len().min(values.len()))
}
