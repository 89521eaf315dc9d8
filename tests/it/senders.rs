//! Real peers: node_exporter as a target of ours, the OpenTelemetry SDK and InfluxDB's client for Python as senders.
//!
//! Python is the program in `FORETIDE_PYTHON`, else `python3`; a test whose packages it lacks says `SKIPPED`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder;
use crate::program;
use crate::server::{self, Server};

const PATIENCE: Duration = Duration::from_secs(60);

const OTLP: &str = r#"
import sys, time
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
kind, address = sys.argv[1:3]
delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA} if kind.endswith("delta") else None
if kind.startswith("grpc"):
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from grpc import Compression
    exporter = OTLPMetricExporter(f"http://{address}", insecure=True, preferred_temporality=delta, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http import Compression
    exporter = OTLPMetricExporter(f"http://{address}/v1/metrics", preferred_temporality=delta, compression=Compression.Gzip)
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3600_000)
provider = MeterProvider(resource=Resource({"service.name": kind, "service.instance.id": "i-1"}), metric_readers=[reader])
meter = provider.get_meter("it")
jobs, size = meter.create_counter("jobs.done", unit="{job}"), meter.create_histogram("job.size", unit="By")
for n in (3, 4):
    jobs.add(n, {"queue": "fast"})
    size.record(100.0 * n)
    if not provider.force_flush():
        sys.exit("not exported")
    time.sleep(0.05)
provider.shutdown()
"#;

const INFLUX: &str = r#"
import sys
from influxdb_client import InfluxDBClient, Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
client = InfluxDBClient(url=f"http://{sys.argv[1]}", token="any", org="o", enable_gzip=True)
assert client.ping() and client.health().status == "pass"
write = client.write_api(write_options=SYNCHRONOUS)
at = int(sys.argv[2])
write.write("b", record=[Point("room").tag("name", "a b").field("temp", 21.5).field("people", 3).time(at, WritePrecision.S)])
write.write("b", record=f"room,name=c temp=1 {at}000000000")
try:
    write.write("b", record="room,name=d temp=oops")
    sys.exit("a bad line is taken")
except ApiException as err:
    assert err.status == 400 and "line 1" in err.body, err.body
"#;

/// Python with these packages, or the reason to skip.
fn python(packages: &str) -> Result<String, String> {
    let python = std::env::var("FORETIDE_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", &format!("import {packages}")]).output();
    match found {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!("`{python}` cannot import {packages} (set FORETIDE_PYTHON to one that can)")),
    }
}

fn value(server: &Server, query: &str) -> Option<f64> {
    let answer = server.ask("/api/v1/query", &[("query", query)]).ok().json();
    answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok())
}

#[test]
fn the_opentelemetry_sdk_exports_over_http_and_grpc() {
    let name = "the_opentelemetry_sdk_exports_over_http_and_grpc";
    let packages = "opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc";
    let python = match python(packages) {
        Ok(python) => python,
        Err(why) => return program::skip(name, &why),
    };
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    for kind in ["http", "grpc", "http-delta", "grpc-delta"] {
        let mut command = Command::new(&python);
        program::finish(command.args(["-c", OTLP, kind, server.address()])).success();
        let own = format!("{{job=\"{kind}\",instance=\"i-1\"");
        assert_eq!(value(&server, &format!("jobs_done_total{own},queue=\"fast\"}}")), Some(7.0), "{kind}");
        assert_eq!(value(&server, &format!("job_size_bytes_sum{own}}}")), Some(700.0), "{kind}");
        assert_eq!(value(&server, &format!("job_size_bytes_bucket{own},le=\"+Inf\"}}")), Some(2.0), "{kind}");
    }
    let metadata = server.ask("/api/v1/metadata", &[("metric", "jobs_done_total")]).ok().json();
    assert_eq!(metadata["data"]["jobs_done_total"][0]["type"], "counter", "{metadata}");
    server.stop();
}

#[test]
fn influxdbs_client_writes_and_is_told_of_bad_lines() {
    let python = match python("influxdb_client") {
        Ok(python) => python,
        Err(why) => return program::skip("influxdbs_client_writes_and_is_told_of_bad_lines", &why),
    };
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    let now = server.ask("/api/v1/query", &[("query", "time()")]).ok().json()["data"]["result"][0].as_f64();
    let at = (now.expect("a time") as i64).to_string();
    program::finish(Command::new(&python).args(["-c", INFLUX, server.address(), &at])).success();
    assert_eq!(value(&server, "room_temp{name=\"a b\"}"), Some(21.5));
    assert_eq!(value(&server, "room_people{name=\"a b\"}"), Some(3.0));
    assert_eq!(value(&server, "sum(room_temp)"), Some(22.5));
    server.stop();
}

#[test]
fn the_lines_of_the_readme_work_as_they_stand() {
    if program::on_path("curl").is_none() {
        return program::skip("the_lines_of_the_readme_work_as_they_stand", "there is no `curl` on PATH");
    }
    let folder = folder::fresh();
    let server = Server::start(&folder.path().join("data"));
    let readme = std::fs::read_to_string(folder::source_root().join("README.md")).expect("README.md");
    let block = readme.split("Other ways in").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the block");
    let own = env!("CARGO_BIN_EXE_foretide");
    for line in block.lines().filter(|line| !line.is_empty()) {
        let line = line.replace("127.0.0.1:4280", server.address()).replace("curl ", "curl -sSf ");
        let line = line.strip_prefix("foretide ").map_or(line.clone(), |rest| format!("'{own}' {rest}"));
        program::finish(Command::new("sh").args(["-c", &line]).current_dir(folder.path())).success();
    }
    for (query, wanted) in [
        ("room_temp{name=\"kitchen\"}", 21.5),
        ("jobs_done_total{queue=\"fast\"}", 3.0),
        ("jobs_active", 3.0),
        ("cpu{zone=\"a\",job=\"old\"}", 0.5),
    ] {
        assert_eq!(value(&server, query), Some(wanted), "{query}");
    }
    server.stop();
}

/// A child that goes with the value.
struct Gone(Child);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn active(server: &Server) -> Vec<Value> {
    let targets = server.get("/api/v1/targets").ok().json();
    targets["data"]["activeTargets"].as_array().cloned().unwrap_or_default()
}

fn wait_for(what: &str, server: &Server, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}; {:?}\n{}",
            active(server),
            server.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn node_exporter_is_scraped_until_it_goes() {
    let Some(program) = program::on_path("prometheus-node-exporter") else {
        let why = "there is no `prometheus-node-exporter` on PATH (Debian: apt-get install prometheus-node-exporter)";
        return program::skip("node_exporter_is_scraped_until_it_goes", why);
    };
    let (folder, address) = (folder::fresh(), server::free_address());
    let exporter = Command::new(program)
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let exporter = Gone(exporter.expect("node_exporter starts"));
    let nobody = server::free_address();
    let jobs = format!(
        r#"[{{"name": "node", "targets": ["{address}", "{nobody}"], "interval": "1s", "timeout": "1s", "labels": {{"zone": "z"}}}}]"#
    );
    let variables = [
        ("FORETIDE__HOST__ENABLED", "false"),
        ("FORETIDE__STREAMS__STARTERS", "false"),
        ("FORETIDE__SCRAPE__JOBS", jobs.as_str()),
    ];
    let server = Server::start_with(&folder.path().join("data"), &variables);
    wait_for("both targets are scraped", &server, || {
        active(&server).iter().all(|target| target["health"] != "unknown")
    });
    wait_for("the exporter answers", &server, || value(&server, "max(up{zone=\"z\"})") == Some(1.0));
    assert_eq!(value(&server, &format!("up{{instance=\"{nobody}\"}}")), Some(0.0));
    let own = format!("{{instance=\"{address}\"}}");
    let scraped = value(&server, &format!("scrape_samples_scraped{own}")).expect("counted");
    let stored =
        value(&server, &format!("count({{instance=\"{address}\",__name__!~\"up|scrape_.*\"}})")).expect("stored");
    assert!(scraped > 200.0 && (scraped - stored).abs() <= 5.0, "{scraped} samples, {stored} series");
    assert!(value(&server, &format!("node_memory_MemTotal_bytes{own}")).is_some_and(|bytes| bytes > 1e6));
    assert!(value(&server, &format!("scrape_duration_seconds{own}")).is_some_and(|seconds| seconds > 0.0));
    drop(exporter);
    wait_for("the exporter is missed", &server, || value(&server, &format!("up{own}")) == Some(0.0));
    assert_eq!(value(&server, &format!("node_memory_MemTotal_bytes{own}")), None, "its series have ended");
    let target = active(&server).into_iter().find(|target| target["labels"]["instance"] == address.as_str());
    let target = target.expect("it is still listed");
    assert_eq!((&target["health"], &target["scrapePool"]), (&Value::from("down"), &Value::from("node")));
    assert!(!target["lastError"].as_str().unwrap_or("").is_empty(), "{target}");
    let metrics = server.get("/metrics").ok().text();
    assert!(metrics.contains("foretide_scrape_targets 2"), "{metrics}");
    server.stop();
}
