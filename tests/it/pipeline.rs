//! Samples from arrival to the merged file: visible at once, and the same answers after each step of their life.

use std::collections::BTreeMap;

use ingest::{Limits, TextFormat, TextOptions, parse_text};
use serde_json::{Value, json};
use series::{Batch, Clock, SystemClock, Timestamp};

use crate::folder;
use crate::http;
use crate::remote_write::{put, send_all};
use crate::server::Server;

const STEP_MS: i64 = 15_000;
const N_STEPS: i64 = 240;
const INSTANCES: i64 = 8;
/// Names that need escapes somewhere between the wire and an answer.
const ODD: &str = "a \"quoted\" back\\slash, comma; ünïcode {x=\"y\"}\n<b>";

/// The known samples: counters that reset, gauges with odd values, one sparse series.
struct Load {
    start: i64,
}

impl Load {
    /// Ends a minute ago; starts on a whole step.
    fn new() -> Self {
        let end = SystemClock.now().0 - 60_000;
        Self { start: end - end.rem_euclid(STEP_MS) - N_STEPS * STEP_MS }
    }

    fn time(&self, step: i64) -> i64 {
        self.start + step * STEP_MS
    }

    fn counter(&self, instance: i64, step: i64) -> f64 {
        // Each instance restarts once, at a time of its own.
        let since_reset = if step > 40 + 20 * instance { step - 40 - 20 * instance } else { step };
        (since_reset * (instance + 1) * 7) as f64
    }

    fn batch(&self, steps: std::ops::Range<i64>) -> Batch {
        let mut batch = Batch::default();
        for instance in 0..INSTANCES {
            let name = format!("host-{instance}:9100");
            let samples: Vec<_> = steps.clone().map(|step| (self.time(step), self.counter(instance, step))).collect();
            let labels = [("__name__", "pipe_requests_total"), ("instance", name.as_str()), ("job", "pipe")];
            put(&mut batch, &labels, &samples);
            let samples: Vec<_> = steps.clone().map(|step| (self.time(step), gauge(instance, step))).collect();
            put(&mut batch, &[("__name__", "pipe_load"), ("instance", &name), ("job", "pipe")], &samples);
        }
        let sparse: Vec<_> = steps.filter(|step| step % 60 == 0).map(|step| (self.time(step), step as f64)).collect();
        put(&mut batch, &[("__name__", "pipe_sparse"), ("odd", ODD)], &sparse);
        batch
    }

    fn end(&self) -> String {
        seconds(self.time(N_STEPS))
    }
}

fn gauge(instance: i64, step: i64) -> f64 {
    match (instance, step % 50) {
        (0, 7) => f64::NAN,
        (1, 7) => f64::INFINITY,
        (2, 7) => -0.0,
        _ => (step * 37 % 101) as f64 / 8.0 + instance as f64,
    }
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Everything that is asked after each step of a sample's life; bodies without times of their own.
fn questions(load: &Load) -> Vec<String> {
    let (start, end) = (seconds(load.time(10)), load.end());
    let sql = |statement: &str, format: &str| http::target("/api/sql", &[("q", statement), ("format", format)]);
    let instant = |query: &str| http::target("/api/v1/query", &[("query", query), ("time", &end)]);
    let range = |query: &str| {
        http::target("/api/v1/query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "47")])
    };
    let within = ("start", start.as_str());
    vec![
        instant("pipe_requests_total"),
        instant("pipe_load[10m]"),
        instant("pipe_sparse[1h] offset 1m"),
        instant("sort_desc(sum by (instance) (increase(pipe_requests_total[30m])))"),
        instant("quantile_over_time(0.9, pipe_load{instance=\"host-3:9100\"}[1h])"),
        instant("{__name__=~\"pipe_.+\", instance!~\"host-[0-5].*\"}"),
        range("sum(rate(pipe_requests_total[2m]))"),
        range("avg_over_time(pipe_load{instance=~\"host-[345]:9100\"}[5m])"),
        range("count by (job) (pipe_load > 5)"),
        range("pipe_sparse"),
        http::target("/api/v1/series", &[("match[]", "{__name__=~\"pipe_.+\"}"), within, ("end", &end)]),
        http::target("/api/v1/labels", &[("match[]", "pipe_sparse")]),
        http::target("/api/v1/label/instance/values", &[("match[]", "pipe_load")]),
        sql("SELECT * FROM metrics.\"pipe_requests_total\" ORDER BY instance, ts", "csv"),
        sql("SELECT metric, labels, ts, value FROM samples WHERE metric LIKE 'pipe_%' ORDER BY 1, 2, 3", "jsonl"),
        sql("SELECT instance, count(*), min(value), max(value) FROM metrics.pipe_load GROUP BY 1 ORDER BY 1", "md"),
        sql("SELECT count(*) FROM metrics.pipe_load WHERE instance = 'host-3:9100' AND value > 8", "csv"),
    ]
}

fn answers(server: &Server, load: &Load) -> BTreeMap<String, String> {
    questions(load).into_iter().map(|target| (target.clone(), server.get(&target).ok().text())).collect()
}

fn assert_same(before: &BTreeMap<String, String>, server: &Server, load: &Load, after: &str) {
    for (target, answer) in answers(server, load) {
        let wanted = &before[&target];
        assert!(answer == *wanted, "after {after}, {target}:\n{answer}\nbefore:\n{wanted}");
    }
}

#[test]
fn answers_stay_the_same_from_memory_to_the_merged_file() {
    let (folder, load) = (folder::fresh(), Load::new());
    let data = folder.path().join("data");
    let server = Server::start(&data);
    // Later samples first, and some twice: order and repeats make no difference.
    send_all(server.address(), &load.batch(120..N_STEPS));
    server.flush(false);
    send_all(server.address(), &load.batch(0..150));
    let before = answers(&server, &load);
    holds_all_samples(&server, &load);
    let flushed = server.flush(false);
    assert!(flushed["samples"].as_u64().is_some_and(|n| n > 0), "{flushed}");
    assert_same(&before, &server, &load, "a flush");
    server.stop();
    let server = Server::start(&data);
    assert_same(&before, &server, &load, "a restart");
    let merged = server.flush(true);
    assert_same(&before, &server, &load, &format!("a merge ({merged})"));
    server.kill();
    let server = Server::start(&data);
    assert_same(&before, &server, &load, "a kill");
    holds_all_samples(&server, &load);
    server.stop();
}

/// Every sample is there once, by count and by value.
fn holds_all_samples(server: &Server, load: &Load) {
    let text = server.sql("SELECT instance, ts, value FROM metrics.pipe_requests_total", "jsonl").text();
    assert_eq!(text.lines().count() as i64, N_STEPS * INSTANCES);
    let matrix =
        server.ask("/api/v1/query", &[("query", "pipe_requests_total[2h]"), ("time", &load.end())]).ok().json();
    for item in matrix["data"]["result"].as_array().expect("a matrix") {
        let name = item["metric"]["instance"].as_str().expect("an instance");
        let instance: i64 = name["host-".len()..][..1].parse().expect("a digit");
        let values = item["values"].as_array().expect("values");
        assert_eq!(values.len() as i64, N_STEPS, "{name}");
        for (step, point) in values.iter().enumerate() {
            let wanted = load.counter(instance, step as i64);
            assert_eq!(point[1].as_str().and_then(|text| text.parse().ok()), Some(wanted), "{name} at step {step}");
        }
    }
}

#[test]
fn a_sample_is_visible_as_soon_as_it_is_acknowledged() {
    let (folder, now) = (folder::fresh(), SystemClock.now().0);
    let server = Server::start(&folder.path().join("data"));
    for n in 1..=50 {
        let mut batch = Batch::default();
        put(&mut batch, &[("__name__", "pipe_fresh"), ("n", &n.to_string())], &[(now + n, n as f64)]);
        send_all(server.address(), &batch);
        let at = seconds(now + n);
        let count = server.ask("/api/v1/query", &[("query", "count(pipe_fresh)"), ("time", &at)]).ok().json();
        assert_eq!(count["data"]["result"][0]["value"][1], json!(n.to_string()));
        let count = server.sql("SELECT count(*) FROM metrics.pipe_fresh", "json").json();
        assert_eq!(count["rows"], json!([[n]]));
    }
}

#[test]
fn sql_and_promql_agree() {
    let (folder, load) = (folder::fresh(), Load::new());
    let server = Server::start(&folder.path().join("data"));
    send_all(server.address(), &load.batch(0..N_STEPS));
    server.flush(true);
    let end = load.end();
    for (statement, query) in [
        ("SELECT sum(value) FROM metrics.pipe_requests_total", "sum(sum_over_time(pipe_requests_total[2h]))"),
        ("SELECT count(*) FROM samples WHERE metric = 'pipe_load'", "sum(count_over_time(pipe_load[2h]))"),
        (
            "SELECT max(value) FROM metrics.pipe_requests_total WHERE instance = 'host-2:9100'",
            "max_over_time(pipe_requests_total{instance=\"host-2:9100\"}[2h])",
        ),
        (
            "SELECT min(value) FROM metrics.pipe_load WHERE instance LIKE 'host-4%'",
            "min_over_time(pipe_load{instance=~\"host-4.*\"}[2h])",
        ),
        (
            "SELECT avg(value) FROM metrics.pipe_load WHERE instance IN ('host-5:9100', 'host-6:9100')",
            "sum(sum_over_time(pipe_load{instance=~\"host-[56]:9100\"}[2h])) / sum(count_over_time(pipe_load{instance=~\"host-[56]:9100\"}[2h]))",
        ),
        ("SELECT count(*) FROM series WHERE metric = 'pipe_load'", "count(pipe_load)"),
    ] {
        let by_sql = server.sql(statement, "csv").text();
        let by_sql: f64 =
            by_sql.lines().nth(1).and_then(|cell| cell.parse().ok()).unwrap_or_else(|| panic!("{by_sql}"));
        let by_promql = server.ask("/api/v1/query", &[("query", query), ("time", &end)]).ok().json();
        let by_promql = by_promql["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse::<f64>().ok());
        let by_promql = by_promql.unwrap_or_else(|| panic!("{query} has no answer"));
        assert!((by_sql - by_promql).abs() <= 1e-9 * by_sql.abs(), "{statement}: {by_sql}; {query}: {by_promql}");
    }
}

#[test]
fn sql_answers_come_in_six_forms() {
    let (folder, load) = (folder::fresh(), Load::new());
    let server = Server::start(&folder.path().join("data"));
    send_all(server.address(), &load.batch(0..8));
    let statement = "SELECT metric, labels, ts, value FROM samples WHERE metric LIKE 'pipe_%' ORDER BY 1, 2, 3";
    let n_rows = (INSTANCES * 2 * 8 + 1) as usize;
    let form = |word: &str| {
        let answer = server.sql(statement, word);
        (answer.header("content-type").split(';').next().unwrap_or("").to_owned(), answer)
    };
    let (kind, json) = form("json");
    assert_eq!((kind.as_str(), json.json()["rows"].as_array().map(Vec::len)), ("application/json", Some(n_rows)));
    assert_eq!(json.json()["stats"]["rows"], json!(n_rows));
    assert_eq!(json.json()["columns"][3], json!({"name": "value", "type": "double"}));
    let (kind, lines) = form("jsonl");
    let rows: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((kind.as_str(), rows.len()), ("application/x-ndjson", n_rows));
    let odd: Value =
        serde_json::from_str(rows[n_rows - 1]["labels"].as_str().expect("labels")).expect("labels are JSON");
    assert_eq!(odd, json!({"odd": ODD}));
    let (kind, csv) = form("csv");
    assert_eq!((kind.as_str(), csv.text().starts_with("metric,labels,ts,value\r\n")), ("text/csv", true));
    let (kind, markdown) = form("md");
    assert_eq!((kind.as_str(), markdown.text().lines().count()), ("text/markdown", n_rows + 2));
    let (kind, arrow) = form("arrow");
    assert_eq!((kind.as_str(), &arrow.body[..4]), ("application/vnd.apache.arrow.stream", &[0xff_u8; 4][..]));
    let (kind, parquet) = form("parquet");
    assert_eq!(kind, "application/vnd.apache.parquet");
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"));
    let mut bits = Vec::new();
    let read = sql::read_samples(parquet.body.into(), |batch| {
        bits.extend(batch.iter().flat_map(|series| series.values.to_vec()).map(f64::to_bits));
        Ok(())
    });
    assert_eq!(read, Ok(n_rows as u64));
    for odd in [gauge(0, 7), gauge(1, 7), gauge(2, 7)] {
        assert!(bits.contains(&odd.to_bits()), "{odd} keeps its bits");
    }
}

#[test]
fn sql_is_taken_as_parameter_form_json_and_text() {
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    let post = |kind: &str, body: &str| {
        let answer = http::send(server.address(), "POST", "/api/sql", &[("Content-Type", kind)], body.as_bytes());
        answer.ok().json()["rows"].clone()
    };
    assert_eq!(server.sql("SELECT 40 + 2", "json").json()["rows"], json!([[42]]));
    assert_eq!(post("application/x-www-form-urlencoded", "q=SELECT+40+%2B+2"), json!([[42]]));
    assert_eq!(post("application/json", "{\"q\": \"SELECT 40 + 2\"}"), json!([[42]]));
    assert_eq!(post("application/sql", "SELECT 40 + 2"), json!([[42]]));
    let tables = server.get("/api/tables").ok().json();
    let names: Vec<_> = tables["items"].as_array().expect("a list").iter().filter_map(|t| t["name"].as_str()).collect();
    for table in ["samples", "series", "forecasts", "recommendations", "jobs", "anomalies", "decisions"] {
        assert!(names.contains(&table), "{table} is not in {names:?}");
        server.sql(&format!("SELECT * FROM {table} LIMIT 1"), "csv");
    }
}

#[test]
fn the_server_answers_at_once_on_an_empty_folder_and_tells_about_itself() {
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("made/on/the/way"));
    let one = server.ask("/api/v1/query", &[("query", "1")]).ok().json();
    assert_eq!((&one["status"], &one["data"]["resultType"]), (&json!("success"), &json!("scalar")));
    assert_eq!(one["data"]["result"][1], json!("1"));
    for path in ["/-/ready", "/-/healthy", "/", "/api/recommendations", "/api/anomalies", "/api/forecasts", "/api/jobs"]
    {
        server.get(path).ok();
    }
    send_all(server.address(), &Load::new().batch(0..20));
    let metrics = server.get("/metrics").ok();
    assert!(
        metrics.header("content-type").starts_with("text/plain; version=0.0.4"),
        "{}",
        metrics.header("content-type")
    );
    reads_as_exposition(&metrics.text());
    let n_samples = INSTANCES * 2 * 20 + 1;
    let line = format!("foretide_write_samples_total {n_samples}");
    assert!(metrics.text().lines().any(|found| found == line), "`{line}` is not among\n{}", metrics.text());
}

/// Our own reader takes every line, and every sample belongs to a family with help and type.
fn reads_as_exposition(text: &str) {
    let (mut batch, now) = (Batch::default(), Timestamp(0));
    let options = TextOptions::new(TextFormat::Prometheus, now, &[]);
    let decoded = parse_text(text, &options, &Limits::default(), &mut batch).expect("the text is read");
    assert!(decoded.refused.is_empty(), "{:?}", decoded.refused);
    assert!(batch.n_samples() > 30, "{} samples", batch.n_samples());
    let families: Vec<_> = batch.metadata().iter().filter(|family| !family.help.is_empty()).collect();
    for series in batch.iter() {
        let labels = series.labels.to_owned();
        let name = labels.get(series::METRIC_NAME).expect("a name");
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let known = families.iter().any(|family| family.metric == name || family.metric == stem);
        let is_ours = ["foretide_", "process_"].iter().any(|prefix| name.starts_with(prefix));
        assert!(known && is_ours, "{name} has help, type and our prefix or that of processes");
    }
}
