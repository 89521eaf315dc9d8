//! Standing queries through a kill: what they say is what they say without it.

use std::path::Path;
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::folder;
use crate::remote_write::{put, send_all};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTES: i64 = 40;
const QUERIES: &str = "
streams:
  - name: by-host
    selector: watched
    by: [host]
    value: gauge
    window: 5m
    slide: 1m
    operators: [percentiles: [0.5, 0.9], count, mean]
  - name: one-host
    selector: watched{host=\"a\"}
    value: gauge
    window: 3m
    slide: 1m
    lateness: 30s
    operators: [count, ewma: { half_life: 5m }]
";

/// A server with the queries above and no others.
fn start(data: &Path) -> Server {
    let file = data.with_extension("yaml");
    std::fs::write(&file, QUERIES).expect("writable");
    let files = serde_json::json!([file]).to_string();
    Server::start_with(
        data,
        &[
            ("FORETIDE__HOST__ENABLED", "false"),
            ("FORETIDE__STREAMS__STARTERS", "false"),
            ("FORETIDE__STREAMS__FILES", &files),
        ],
    )
}

/// Sends these minutes, four samples each of two hosts, in order.
fn send(server: &Server, first: i64, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let mut batch = Batch::default();
        for host in ["a", "b"] {
            let sample = |k: i64| {
                (first + minute * 60_000 + k * 15_000, ((minute * 4 + k) * 37 % 101) as f64 + host.len() as f64)
            };
            let samples: Vec<_> = (0..4).map(sample).collect();
            put(&mut batch, &[("__name__", "watched"), ("host", host)], &samples);
        }
        send_all(server.address(), &batch);
    }
}

/// The results up to two minutes before the end of what was sent, as soon as there are those of the last one.
fn results(server: &Server, first: i64) -> String {
    let last = first + (MINUTES - 2) * 60_000;
    let statement = |columns: &str, op: &str| {
        format!(
            "SELECT {columns} FROM samples WHERE metric LIKE 'foretide_stream%' AND ts {op} to_timestamp_millis({last})"
        )
    };
    let started = Instant::now();
    // Two percentiles, count and mean for each of two hosts, and count and smoothed mean of the one.
    while server.sql(&statement("count(*)", "="), "csv").text().lines().nth(1) != Some("10") {
        assert!(started.elapsed() < PATIENCE, "the last results did not come; log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.sql(&(statement("metric, labels, ts, value", "<=") + " ORDER BY 1, 2, 3"), "csv").text()
}

#[test]
fn a_kill_changes_no_result() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let first = now - now.rem_euclid(60_000) - (MINUTES + 5) * 60_000;
    let whole = start(&folder.path().join("whole"));
    send(&whole, first, 0..MINUTES);
    let expected = results(&whole, first);
    whole.stop();
    let data = folder.path().join("killed");
    let server = start(&data);
    send(&server, first, 0..15);
    server.kill();
    let server = start(&data);
    send(&server, first, 15..30);
    server.stop();
    let server = start(&data);
    send(&server, first, 30..MINUTES);
    let found = results(&server, first);
    server.stop();
    assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
}
