//! Other engines read our tables: PyPI's `deltalake`, `polars` and `duckdb` see the same rows, sums and labels.
//!
//! Needs a Python with the first two (`FORETIDE_PYTHON`, else `python3`); says so and passes where there is none.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lake::{ChunkRow, Commit, FileEntry, SeriesRow, Table, TableKind, durable_local};

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

fn python() -> Option<String> {
    let python = std::env::var("FORETIDE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import deltalake, polars, pyarrow"]).output();
    probe.is_ok_and(|output| output.status.success()).then_some(python)
}

fn commit(table: &Table, adds: Vec<FileEntry>, removes: Vec<String>, id: u128) {
    let txns = vec![("g0".to_owned(), 1 << 40 | id as i64)];
    let at = 1_795_244_846_123 + id as i64;
    let commit = Commit { adds, removes, txns, operation: "WRITE", at, id, data_change: true };
    table.commit(commit).expect("committed");
}

fn chunk_rows(day: i64) -> Vec<ChunkRow> {
    let metric: Arc<str> = Arc::from("cpu_seconds_total");
    (0..200_u64)
        .map(|i| {
            let timestamps: Vec<i64> = (0..240).map(|t| day * 86_400_000 + t * 15_000).collect();
            let mut values: Vec<f64> = (0..240).map(|t| f64::from(t) * 0.25 + i as f64).collect();
            values[239] = STALE;
            ChunkRow::encode(Arc::clone(&metric), u64::MAX - 200 + i, &timestamps, &values)
        })
        .collect()
}

/// 120 commits, so that readers start from a checkpoint; one file of the two days is removed again.
fn write_chunks(root: &Path) {
    let store = durable_local(root).expect("opens");
    let table = Table::open_or_create(store, "t/chunks", TableKind::Chunks).expect("created");
    let mut last = None;
    for id in 1..=120_u128 {
        let day = 20_777 + id as i64 % 2;
        let date = if day == 20_777 { "2026-11-20" } else { "2026-11-21" };
        let file = lake::encode_chunk_file(&chunk_rows(day)).expect("encodes");
        let entry = table.put_file(Some(date), 0, file.min_ts, id, file, 1, 2).expect("written");
        let removes = if id == 110 { last.take().into_iter().collect() } else { vec![] };
        last = Some(entry.path.clone());
        commit(&table, vec![entry], removes, id);
    }
}

fn write_series(root: &Path) {
    let store = durable_local(root).expect("opens");
    let table = Table::open_or_create(store, "t/series", TableKind::Series).expect("created");
    let row = SeriesRow {
        series_id: u64::MAX,
        metric: "up".to_owned(),
        labels: vec![("__name__".to_owned(), "up".to_owned()), ("job".to_owned(), "ä\"pi".to_owned())],
        first_day: 20_778,
        last_day: 20_778,
        kind: "gauge".to_owned(),
        unit: String::new(),
        help: "1 if up".to_owned(),
    };
    let file = lake::encode_series_file(&[row]).expect("encodes");
    let entry = table.put_file(None, 0, file.min_ts, 1, file, 1, 2).expect("written");
    commit(&table, vec![entry], vec![], 1);
}

const SCRIPT: &str = r#"
import struct, sys, datetime
import deltalake, polars, pyarrow
root = sys.argv[1]
table = deltalake.DeltaTable(root + "/t/chunks")
assert table.version() == 120, table.version()
assert len(table.file_uris()) == 119, len(table.file_uris())
rows = 119 * 200
arrow = pyarrow.table(table.to_pyarrow_table() if hasattr(table, "to_pyarrow_table") else table)
assert arrow.num_rows == rows, arrow.num_rows
frame = polars.read_delta(root + "/t/chunks")
assert frame.height == rows, frame.height
assert frame["count"].sum() == rows * 240 and frame["numbers"].sum() == rows * 239
want = sum(239 * i + 0.25 * 238 * 239 / 2 for i in range(200)) * 119
assert abs(frame["sum"].sum() - want) < 1e-6 * want, (frame["sum"].sum(), want)
assert frame["series_id"].max() == -2 and frame["series_id"].min() == -201
assert set(frame["date"].unique()) == {"2026-11-20", "2026-11-21"}
pruned = polars.scan_delta(root + "/t/chunks").filter(
    (polars.col("date") == "2026-11-21") & (polars.col("min_ts") >= 20778 * 86400000)).collect()
assert pruned.height == 60 * 200 or pruned.height == 59 * 200, pruned.height
assert frame["ts_chunk"][0][0] == 1 and len(frame["value_chunk"][0]) > 10
series = polars.read_delta(root + "/t/series")
assert series.height == 1 and series["series_id"][0] == -1 and series["type"][0] == "gauge"
assert series["first_day"][0] == datetime.date(2026, 11, 21), series["first_day"][0]
labels = deltalake.DeltaTable(root + "/t/series").to_pyarrow_table()["labels"][0].as_py()
assert dict(labels) == {"__name__": "up", "job": "ä\"pi"}, labels
try:
    import duckdb
except ImportError:
    duckdb = None
    print("SKIPPED: no duckdb; two of three foreign readers have read the tables")
if duckdb is not None:
    # DuckDB's own Delta scan is an extension that is fetched; the files that the log names are plain Parquet to it.
    files = [uri.removeprefix("file://") for uri in table.file_uris()]
    got = duckdb.read_parquet(files, hive_partitioning=True).aggregate("count(*), sum(count), sum(numbers), sum(sum), min(series_id), max(series_id)").fetchone()
    assert got[:3] == (rows, rows * 60, rows * 59), got
    assert abs(got[3] - want) < 1e-6 * want and got[4:] == (-201, -2), (got, want)
    series_files = [uri.removeprefix("file://") for uri in deltalake.DeltaTable(root + "/t/series").file_uris()]
    label = duckdb.read_parquet(series_files).project("labels['job']").fetchone()[0]
    assert label in ("ä\"pi", ["ä\"pi"]), label
    print("duckdb", duckdb.__version__, "rows", got[0])
print("deltalake", deltalake.__version__, "polars", polars.__version__, "files", len(table.file_uris()), "rows", frame.height)
sys.stdout.flush()
import os
os._exit(0)  # threads of several engines do not always end well together
"#;

#[test]
fn python_readers_see_the_same_tables() {
    let Some(python) = python() else {
        // Straight to the descriptor: the test harness would swallow what is printed.
        let why =
            b"\nSKIPPED: no python3 with deltalake, polars and pyarrow; set FORETIDE_PYTHON to one that has them\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), why);
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    write_chunks(folder.path());
    write_series(folder.path());
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(folder.path()).output().expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
