//! Roll-ups, deletions and keep times through the product: the same numbers in SQL, in PromQL and in other engines.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use series::{Batch, Clock, SystemClock};

use crate::folder;
use crate::http;
use crate::remote_write::{put, send_all};
use crate::server::{QUIET, Server};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn start(data: &Path) -> Server {
    Server::start_with(
        data,
        &[QUIET[0], QUIET[1], ("FORETIDE__ADMIN_API", "true"), ("FORETIDE__RETENTION__ROLLUPS", "daily")],
    )
}

/// Two series, a sample a minute on the whole of the day before yesterday and the last hour.
fn batch(now: i64) -> Batch {
    let first = (now.div_euclid(DAY) - 2) * DAY;
    let closed = (0..DAY / 60_000).map(|minute| first + minute * 60_000);
    let times: Vec<i64> = closed.chain((0..60).map(|minute| now - HOUR + minute * 60_000)).collect();
    let mut batch = Batch::default();
    for host in ["a", "b"] {
        let samples: Vec<_> = times.iter().enumerate().map(|(i, at)| (*at, (i * 7 % 31) as f64 * 0.25)).collect();
        put(&mut batch, &[("__name__", "life_load"), ("host", host)], &samples);
    }
    batch
}

fn rows(server: &Server, statement: &str) -> Value {
    server.sql(statement, "json").json()["rows"].clone()
}

fn admin(server: &Server, call: &str, params: &[(&str, &str)]) -> http::Answer {
    let target = http::target(&format!("/api/v1/admin/tsdb/{call}"), params);
    http::send(server.address(), "POST", &target, &[], &[])
}

const FROM_SAMPLES: &str = "SELECT count(*), round(sum(value), 6), min(value), max(value) FROM metrics.\"life_load\"";
const FROM_ROLLUPS: &str =
    "SELECT sum(numbers), round(sum(sum), 6), min(min), max(max) FROM TABLE WHERE metric = 'life_load'";

#[test]
fn roll_ups_come_to_what_the_samples_come_to_before_and_after_files() {
    let data = folder::fresh();
    let server = start(data.path());
    send_all(server.address(), &batch(SystemClock.now().0));
    for step in ["in memory", "in files", "rolled up", "after a restart"] {
        match step {
            "in files" => drop(server.flush(false)),
            "rolled up" => drop(server.flush(true)),
            _ => {}
        }
        let expected = rows(&server, FROM_SAMPLES);
        for table in ["rollup_5m", "rollup_1h"] {
            assert_eq!(rows(&server, &FROM_ROLLUPS.replace("TABLE", table)), expected, "{table} {step}");
        }
    }
    let p90 = "SELECT sketch_quantile(sketch, 0.9) FROM TABLE WHERE metric = 'life_load'";
    let answers = ["rollup_5m", "rollup_1h"].map(|table| rows(&server, &p90.replace("TABLE", table)));
    assert_eq!(answers[0], answers[1], "sketches merge exactly");
    let value = answers[0][0][0].as_f64().expect("a number");
    assert!((6.5..7.1).contains(&value), "{value}");
    let runtime = server.ask("/api/v1/status/runtimeinfo", &[]).ok().json();
    assert_eq!(runtime["data"]["storageRetention"], json!("unlimited"));
    server.stop();
    others_read_the_same(data.path());
}

#[test]
fn a_deleted_series_is_gone_everywhere_and_stays_gone() {
    let data = folder::fresh();
    let server = start(data.path());
    send_all(server.address(), &batch(SystemClock.now().0));
    server.flush(true);
    assert_eq!(admin(&server, "delete_series", &[("match[]", "life_load{host=\"a\"}")]).status, 204);
    let hosts = |server: &Server, table: &str| {
        let statement = format!("SELECT DISTINCT labels FROM {table} WHERE metric = 'life_load'");
        rows(server, &statement)
    };
    let only = json!([["{\"host\":\"b\"}"]]);
    for table in ["samples", "rollup_5m", "rollup_1h"] {
        assert_eq!(hosts(&server, table), only, "{table}");
    }
    server.kill();
    let server = start(data.path());
    for table in ["samples", "rollup_5m", "rollup_1h"] {
        assert_eq!(hosts(&server, table), only, "{table} after a kill");
    }
    assert_eq!(admin(&server, "clean_tombstones", &[]).status, 204);
    let metrics = server.ask("/metrics", &[]).ok().text();
    assert!(metrics.contains("\nforetide_store_tombstones 0\n"), "{metrics}");
    assert_eq!(hosts(&server, "samples"), only);
    server.stop();
}

#[test]
fn deleting_is_off_unless_switched_on() {
    let data = folder::fresh();
    let server = Server::start(data.path());
    let refused = admin(&server, "delete_series", &[("match[]", "up")]);
    assert_eq!(refused.status, 503, "{}", refused.text());
    server.stop();
}

/// The closed day's roll-ups, as engines of others read them.
fn others_read_the_same(data: &Path) {
    const SCRIPT: &str = r#"
import sys, math
import deltalake, polars, duckdb
root = sys.argv[1] + "/default/"
for table, buckets in (("rollup_5m", 288), ("rollup_1h", 24)):
    frame = polars.read_delta(root + table)
    assert frame.height == 2 * buckets, frame.height
    want = 2 * sum((i * 7 % 31) * 0.25 for i in range(1440))
    assert math.isclose(frame["sum"].sum(), want), (frame["sum"].sum(), want)
    assert frame["count"].sum() == 2880 and frame["numbers"].sum() == 2880
    assert frame["min"].min() == 0.0 and frame["max"].max() == 7.5
    files = deltalake.DeltaTable(root + table).file_uris()
    rows = duckdb.sql(f"SELECT sum(sum), sum(count), count(DISTINCT series_id) FROM read_parquet({files})").fetchall()[0]
    assert math.isclose(rows[0], want) and rows[1] == 2880 and rows[2] == 2, rows
    arrow = deltalake.DeltaTable(root + table).to_pyarrow_table(filters=[("ts", ">=", int(frame["ts"].max()))])
    assert arrow.num_rows == 2, arrow.num_rows
    series = polars.read_delta(root + "series").select("series_id", "labels")
    assert frame.join(series, on="series_id").height == frame.height
print("deltalake", deltalake.__version__, "polars", polars.__version__, "duckdb", duckdb.__version__)
sys.stdout.flush()
import os
os._exit(0)  # threads of several engines do not always end well together
"#;
    let python = std::env::var("FORETIDE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import deltalake, polars, duckdb, pyarrow"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "SKIPPED: no python3 with deltalake, polars, duckdb and pyarrow; set FORETIDE_PYTHON to one that has them"
        );
        return;
    }
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(data).output().expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
