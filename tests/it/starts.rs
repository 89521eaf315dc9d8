//! Counters that say when they began: the first rise is seen, in every protocol that can say it.

use series::{Batch, Clock, SystemClock, Timestamp};

use crate::folder;
use crate::http;
use crate::remote_write::put;
use crate::server::Server;

const V2: [(&str, &str); 3] = [
    ("Content-Type", ingest::CONTENT_TYPE_V2),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", ingest::VERSION_V2),
];

/// `increase` over five minutes, or `None` where it has no answer.
fn increase(server: &Server, metric: &str, at: i64) -> Option<f64> {
    let at = format!("{}.{:03}", at / 1000, at % 1000);
    let query = format!("increase({metric}[5m])");
    let answer = server.ask("/api/v1/query", &[("query", &query), ("time", &at)]).ok().json();
    answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok())
}

#[test]
fn the_first_rise_of_a_counter_and_of_a_restarted_one_is_seen() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0 / 1000 * 1000);
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let send = |at: i64, value: f64, start: Option<i64>| {
        let mut batch = Batch::default();
        put(&mut batch, &[("__name__", "starts_total")], &[(at, value)]);
        if let Some(start) = start {
            batch.push_start(Timestamp(at), Timestamp(start));
        }
        put(&mut batch, &[("__name__", "starts_silent_total")], &[(at, value)]);
        let body = ingest::encode_write_request_v2(&batch).expect("small");
        let answer = http::send(server.address(), "POST", "/api/v1/write", &V2, &body);
        let written = answer.header("x-prometheus-remote-write-samples-written").to_owned();
        assert_eq!((answer.status, written.as_str()), (204, "2"), "zeros are not what was sent: {}", answer.text());
    };
    send(now - 180_000, 60.0, Some(now - 240_000));
    assert_eq!(increase(&server, "starts_total", now - 180_000), Some(60.0));
    assert_eq!(increase(&server, "starts_silent_total", now - 180_000), None, "one sample rises from nowhere");

    send(now - 120_000, 90.0, Some(now - 240_000));
    // Restarted, and beyond its old level before anyone looked.
    send(now, 100.0, Some(now - 60_000));
    let all = 90.0 + 100.0;
    assert_eq!(increase(&server, "starts_total", now), Some(all));
    assert!(increase(&server, "starts_silent_total", now).is_some_and(|silent| silent < all));
    server.kill();
    let server = Server::start(&data);
    assert_eq!(increase(&server, "starts_total", now), Some(all), "the zeros are in the log");
}

#[test]
fn created_lines_of_open_metrics_are_starts() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0 / 1000);
    let server = Server::start(&folder.path().join("data"));
    let text = format!("# TYPE starts counter\nstarts_total 60 {now}\nstarts_created {} {now}\n# EOF\n", now - 60);
    let kind = [("Content-Type", "application/openmetrics-text; version=1.0.0")];
    let answer = http::send(server.address(), "POST", "/api/v1/import/prometheus", &kind, text.as_bytes());
    assert!((200..300).contains(&answer.status), "{}", answer.text());
    assert_eq!(increase(&server, "starts_total", now * 1000), Some(60.0));
    let created = server.ask("/api/v1/query", &[("query", "starts_created"), ("time", &now.to_string())]).ok().json();
    assert_eq!(created["data"]["result"][0]["value"][1], (now - 60).to_string(), "and still a series");
}
