//! A real Prometheus scrapes itself and remote-writes to us: every sample that it sent is found, with its value.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use series::is_stale;

use crate::folder;
use crate::http;
use crate::program;
use crate::server::{self, Server};
use crate::stored;

const SCRAPING: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// Covers everything a run of this test can have scraped.
const EVERYTHING: &str = "{__name__=~\".+\"}[1h]";

/// Samples of one series, time in milliseconds.
type Samples = Vec<(i64, f64)>;

struct Prometheus {
    child: Child,
    address: String,
}

#[test]
fn every_sample_that_a_real_prometheus_sent_is_found() {
    let Some(program) = program::on_path("prometheus") else {
        let why = "there is no `prometheus` on PATH (Debian: apt-get install prometheus)";
        return program::skip("every_sample_that_a_real_prometheus_sent_is_found", why);
    };
    let folder = folder::fresh();
    let data = folder.path().join("data");
    let ours = Server::start(&data);
    let theirs = Prometheus::start(&program, folder.path(), &ours);
    std::thread::sleep(SCRAPING);
    // Without targets nothing new comes: what is left is sent, stale markers included, and both sides hold still.
    theirs.reconfigure(folder.path(), &configuration(&ours, None));
    let n_sent = theirs.wait_until_all_is_sent();
    let wanted = samples(&theirs.address);
    let found = samples(ours.address());
    let n_wanted = wanted.values().map(Vec::len).sum::<usize>() as u64;
    for (series, samples) in &wanted {
        let stored = found.get(series).unwrap_or_else(|| panic!("series {series} is not found"));
        let is_same = |(a, b): (&(i64, f64), &(i64, f64))| a.0 == b.0 && (a.1 == b.1 || a.1.is_nan() && b.1.is_nan());
        let same = stored.len() == samples.len() && samples.iter().zip(stored).all(is_same);
        assert!(same, "{series}: sent {samples:?}, found {stored:?}");
    }
    let stored = ours.sql("SELECT count(*) AS n FROM samples WHERE metric NOT LIKE 'foretide%'", "json").json();
    assert_eq!(stored["rows"][0][0].as_u64(), Some(n_wanted), "samples that SQL shows");
    assert!(n_wanted > 1000, "only {n_wanted} samples were scraped in {SCRAPING:?}");
    the_same_answers(&theirs.address, &ours);
    theirs.stop();
    ours.stop();
    let all = stored::read_all(&data, "[^f].*|f[^o].*");
    let n_stored: usize = all.iter().map(|(_, columns)| columns.len()).sum();
    let n_stale = all.iter().flat_map(|(_, columns)| &columns.values).filter(|value| is_stale(**value)).count();
    eprintln!("Prometheus sent {n_sent} samples: {n_stored} are stored, {n_stale} of them stale markers");
    assert_eq!(n_stored as u64, n_sent, "samples sent and stored, stale markers included");
    assert_eq!(n_stale as u64, n_sent - n_wanted, "the markers of the removed target");
    assert!(n_stale > 0, "a target that goes ends its series");
}

/// Our answers to a few queries are Prometheus' own. `rate` is not among them: how it extrapolates near a series' birth
/// differs between versions, and ours are the rules of the newest.
fn the_same_answers(theirs: &str, ours: &Server) {
    // Between the scrapes: whether a window's left end belongs to it changed with Prometheus 3.
    let newest = newest_time(theirs);
    let (start, end) = ((newest - 7500) as f64 / 1000.0, (newest - 1500) as f64 / 1000.0);
    for query in [
        "sum(irate(prometheus_http_requests_total[5s]))",
        "count by (job) ({__name__=~\"go_.+\"})",
        "histogram_quantile(0.9, sum by (le) (prometheus_http_request_duration_seconds_bucket))",
        "topk(3, go_memstats_alloc_bytes)",
        "max_over_time(process_resident_memory_bytes[4s]) - on (instance) go_memstats_alloc_bytes",
    ] {
        let (start, end) = (start.to_string(), end.to_string());
        let target =
            http::target("/api/v1/query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "1")]);
        let [a, b] = [theirs, ours.address()].map(|address| matrix(&http::get(address, &target).ok().json()));
        assert!(!a.is_empty(), "{query} has an answer");
        assert_eq!(a.keys().collect::<std::collections::BTreeSet<_>>(), b.keys().collect(), "{query}");
        for (series, samples) in &a {
            for (x, y) in samples.iter().zip(&b[series]) {
                let close = (x.1 - y.1).abs() <= 1e-12 * x.1.abs() || x.1.is_nan() && y.1.is_nan() || x.1 == y.1;
                assert!(x.0 == y.0 && close, "{query} {series}: {x:?} and {y:?}");
            }
        }
    }
}

impl Prometheus {
    fn start(program: &Path, folder: &Path, ours: &Server) -> Self {
        let address = server::free_address();
        let log = fs::File::create(folder.join("prometheus.log")).expect("a log file");
        write_configuration(folder, &configuration(ours, Some(&address)));
        let child = Command::new(program)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-lifecycle", "--query.lookback-delta=5m", "--storage.remote.flush-deadline=30s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let prometheus = Self { child, address };
        let ready = || http_status(&prometheus.address, "/-/ready") == Some(200);
        wait_for("Prometheus answers", &fs::read_to_string(folder.join("prometheus.log")).unwrap_or_default(), ready);
        prometheus
    }

    fn reconfigure(&self, folder: &Path, text: &str) {
        write_configuration(folder, text);
        http::send(&self.address, "POST", "/-/reload", &[], &[]).ok();
    }

    /// Waits until nothing is pending and the count of sent samples has stood still; that count.
    fn wait_until_all_is_sent(&self) -> u64 {
        let (mut last, mut since) = (0.0, Instant::now());
        wait_for("all samples are sent", "", || {
            let figures = self.figures();
            let (sent, pending) = (figures.total("samples_total"), figures.total("samples_pending"));
            if sent != last || pending > 0.0 {
                (last, since) = (sent, Instant::now());
            }
            // Longer than the pause between two looks of its log reader (5 s in old versions).
            last > 0.0 && since.elapsed() > Duration::from_secs(7)
        });
        let figures = self.figures();
        for name in ["samples_failed_total", "samples_dropped_total", "samples_retried_total"] {
            assert_eq!(figures.total(name), 0.0, "prometheus_remote_storage_{name}");
        }
        last as u64
    }

    fn figures(&self) -> Figures {
        Figures(http::get(&self.address, "/metrics").ok().text())
    }

    fn stop(mut self) {
        program::terminate(&self.child);
        assert_eq!(program::wait(&mut self.child, PATIENCE), Some(0), "Prometheus ends well");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // After a failed assertion; otherwise it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prometheus' own `/metrics`.
struct Figures(String);

impl Figures {
    /// Sum of `prometheus_remote_storage_…` over its queues.
    fn total(&self, name: &str) -> f64 {
        let name = format!("prometheus_remote_storage_{name}{{");
        let lines = self.0.lines().filter(|line| line.starts_with(&name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn configuration(ours: &Server, target: Option<&str>) -> String {
    let targets = target.map_or("[]".to_owned(), |target| format!("[\"{target}\"]"));
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n  - job_name: prometheus\n    static_configs: [{{targets: {targets}}}]\n\
         remote_write:\n  - url: {}/api/v1/write\n    metadata_config: {{send_interval: 2s}}\n    \
         queue_config: {{batch_send_deadline: 200ms, max_shards: 2, capacity: 1000, max_samples_per_send: 300}}\n",
        ours.url()
    )
}

fn write_configuration(folder: &Path, text: &str) {
    fs::write(folder.join("prometheus.yml"), text).expect("the configuration can be written");
}

/// All raw samples of a server; stale markers are not among them.
fn samples(address: &str) -> HashMap<String, Samples> {
    matrix(&http::get(address, &http::target("/api/v1/query", &[("query", EVERYTHING)])).ok().json())
}

fn matrix(answer: &Value) -> HashMap<String, Samples> {
    let items = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("not a matrix: {answer}"));
    let point = |point: &Value| {
        let at = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
        (at, point[1].as_str().and_then(|text| text.parse().ok()).expect("a value"))
    };
    let samples = |item: &Value| item["values"].as_array().expect("values").iter().map(point).collect();
    // A JSON object of serde_json is sorted by name, so that equal labels are equal texts.
    items.iter().map(|item| (item["metric"].to_string(), samples(item))).collect()
}

fn newest_time(address: &str) -> i64 {
    samples(address).values().flatten().map(|(at, _)| *at).max().expect("samples")
}

fn http_status(address: &str, target: &str) -> Option<u16> {
    let mut connection = http::Connection::open(address).ok()?;
    connection.send("GET", target, &[], &[]).ok().map(|answer| answer.status)
}

fn wait_for(what: &str, context: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{context}");
        std::thread::sleep(POLL);
    }
}
