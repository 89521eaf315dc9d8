//! R17: a long quiet load: 100,000 series every ten seconds, queries, a forecast job. Memory, descriptors, threads and files
//! are looked at all the while; none of them may grow with time.
//!
//! The slope of memory is that of a least-squares line through the resident set (`VmRSS`, every ten seconds) after a third
//! of the run, in per cent of its mean an hour. Under an hour of it a line through the teeth of the flushes says nothing:
//! the slope is then told and not judged.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::http::{self, Connection};
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::remote_write;

const SERIES: u64 = 100_000;
const EVERY: Duration = Duration::from_secs(10);
/// Series a request.
const AT_ONCE: u64 = 5000;
/// When no minutes are asked for: whether it runs at all.
const SHORT: Duration = Duration::from_secs(20);
const QUERY_EVERY: Duration = Duration::from_millis(500);
/// Slope of memory allowed, per cent an hour, and the time that it takes to judge it.
const SLOPE_MAX: f64 = 1.0;
const JUDGED_MIN: Duration = Duration::from_secs(3600);
/// Descriptors and threads may differ by this between the thirds of the run: connections come and go.
const FLAT: u64 = 16;
/// Files of the data folder at most: merging and the log's checkpoints keep their number small, whatever the time.
const FILES_MAX: u64 = 4000;
/// Behind by this much, the load is not what it is meant to be.
const LATE_MAX: Duration = Duration::from_secs(10);

/// Runs for `plan.count` minutes, or for 20 seconds when that is 0.
pub fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("serve.log"));
    let server = Process::start_with(&plan.binary, &data, &log, &[], &variables());
    let length = if plan.count == 0 { SHORT } else { Duration::from_secs(60 * plan.count) };
    let look_every = EVERY.min(length / 20);
    let (started, over) = (Instant::now(), AtomicBool::new(false));
    let (sent, latest, asked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let mut looks = Vec::new();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(server.address(), &over, &sent, &latest));
        let asker = scope.spawn(|| ask(server.address(), &over, &asked));
        while started.elapsed() < length && !sender.is_finished() && !asker.is_finished() {
            std::thread::sleep(look_every);
            looks.push(Look::at(&server, &data, started.elapsed()));
        }
        over.store(true, Ordering::Relaxed);
        // A panic of theirs is the round's; an unfinished scope would hide what it said.
        for thread in [sender, asker] {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let [runs, failures] = ["foretide_job_runs_total", "foretide_store_failures_total"]
        .map(|name| server.figure(name).unwrap_or_else(|| panic!("no {name}; log:\n{}", server.log())));
    assert_eq!(failures, 0.0, "work on files failed; log:\n{}", server.log());
    // A short run on a slow machine may not have come to all of them.
    let expected = SERIES.min(sent.load(Ordering::Relaxed));
    assert_eq!(newest(server.address()), expected, "series with a sample of the last minutes");
    server.kill();
    let found = judge(&looks, plan.patience);
    let late = Duration::from_millis(latest.load(Ordering::Relaxed));
    assert!(late <= LATE_MAX * plan.patience, "the load fell {late:.1?} behind");
    Outcome::Passed(format!(
        "{:.1?}: {} samples, {} queries, {runs} runs of jobs; {found}; {late:.1?} behind at most",
        started.elapsed(),
        sent.load(Ordering::Relaxed),
        asked.load(Ordering::Relaxed)
    ))
}

fn variables() -> [(&'static str, String); 2] {
    let job = serde_json::json!([{"name": "soak", "promql": "sum(soak_requests)", "schedule": "every 1m",
        "step": "1m", "history": "6h", "horizon": "1h", "model": "naive"}]);
    [("FORETIDE__STORE__MEMTABLE_MIB", "64".to_owned()), ("FORETIDE__FORECAST__JOBS", job.to_string())]
}

/// Sends all series every ten seconds, evenly spread, until it is over.
fn send(address: &str, over: &AtomicBool, sent: &AtomicU64, latest: &AtomicU64) {
    let mut connection = Connection::open(address).expect("it listens");
    let (started, requests) = (Instant::now(), SERIES / AT_ONCE);
    for turn in 0_u32.. {
        let due = EVERY * turn / requests as u32;
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        if over.load(Ordering::Relaxed) {
            return;
        }
        let behind = started.elapsed().saturating_sub(due).as_millis() as u64;
        latest.fetch_max(behind, Ordering::Relaxed);
        let batch = scrape(u64::from(turn) % requests, turn / requests as u32);
        let answer = remote_write::send(&mut connection, &batch).unwrap_or_else(|err| panic!("a write: {err}"));
        assert_eq!(answer.status, 204, "a write: {}", answer.text());
        sent.fetch_add(AT_ONCE, Ordering::Relaxed);
    }
}

/// One part of the series at one turn: half of them counters, half gauges.
fn scrape(part: u64, turn: u32) -> Batch {
    let (mut batch, now) = (Batch::default(), SystemClock.now().0);
    for series in part * AT_ONCE..(part + 1) * AT_ONCE {
        let (host, path) = (format!("host-{}:9100", series % 500), format!("/path/{}", series / 500));
        let (name, value) = if series % 2 == 0 {
            ("soak_requests", f64::from(turn) * (1 + series % 17) as f64)
        } else {
            ("soak_load", ((u64::from(turn) * 37 + series * 11) % 1000) as f64 / 8.0)
        };
        remote_write::put(&mut batch, &[("__name__", name), ("instance", &host), ("path", &path)], &[(now, value)]);
    }
    batch
}

/// Asks one question after the other until it is over; each must be answered.
fn ask(address: &str, over: &AtomicBool, asked: &AtomicU64) {
    for turn in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let now = SystemClock.now().0 / 1000;
        let (start, end, host) = ((now - 900).to_string(), now.to_string(), turn % 500);
        let range = |query: &str| {
            http::target("/api/v1/query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "15")])
        };
        let target = match turn % 5 {
            0 => range(&format!("sum by (path) (rate(soak_requests{{instance=\"host-{host}:9100\"}}[5m]))")),
            1 => http::target("/api/v1/query", &[("query", "topk(5, sum by (instance) (soak_load))")]),
            2 => range(&format!("max_over_time(soak_load{{instance=\"host-{host}:9100\"}}[1m])")),
            3 => http::target("/api/v1/series", &[("match[]", &format!("{{path=\"/path/{}\"}}", turn % 200))]),
            _ => http::target("/api/sql", &[("q", "SELECT metric, count(*) FROM series GROUP BY metric")]),
        };
        let answer = http::get(address, &target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        asked.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(QUERY_EVERY);
    }
}

/// Series that have a sample of the last minutes.
fn newest(address: &str) -> u64 {
    let query = [("query", "count({__name__=~\"soak_.*\"})")];
    let answer = http::get(address, &http::target("/api/v1/query", &query)).ok().json();
    let value = answer["data"]["result"][0]["value"][1].as_str().and_then(|text| text.parse().ok());
    value.unwrap_or_else(|| panic!("no count in {answer}"))
}

/// The process and its folder at one time.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    rss_bytes: u64,
    descriptors: u64,
    threads: u64,
    files: u64,
}

impl Look {
    fn at(server: &Process, data: &Path, at: Duration) -> Self {
        let listed =
            |what: &str| fs::read_dir(format!("/proc/{}/{what}", server.pid())).map_or(0, |list| list.count() as u64);
        let rss_bytes = server.status_bytes("VmRSS");
        let rss_bytes = rss_bytes.unwrap_or_else(|| panic!("the server is gone; log:\n{}", server.log()));
        Self { at, rss_bytes, descriptors: listed("fd"), threads: listed("task"), files: files_below(data) }
    }
}

fn files_below(folder: &Path) -> u64 {
    // What goes away while it is listed is not there.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

fn judge(looks: &[Look], patience: u32) -> String {
    let (warm_up, rest) = looks.split_at(looks.len() / 3);
    let (middle, last) = rest.split_at(rest.len() / 2);
    let most = |looks: &[Look], of: fn(&Look) -> u64| looks.iter().map(of).max().unwrap_or(0);
    for (what, of) in [("descriptors", (|look| look.descriptors) as fn(&Look) -> u64), ("threads", |look| look.threads)]
    {
        let (before, after) = (most(middle, of).max(most(warm_up, of)), most(last, of));
        assert!(after <= before + FLAT * u64::from(patience), "{what} grew from {before} to {after}");
    }
    let files = most(looks, |look| look.files);
    assert!(files <= FILES_MAX, "{files} files in the data folder");
    let slope = slope_an_hour(rest);
    let judged =
        rest.last().map_or(Duration::ZERO, |look| look.at) - rest.first().map_or(Duration::ZERO, |look| look.at);
    assert!(judged < JUDGED_MIN || slope <= SLOPE_MAX, "memory grows by {slope:.2} % an hour");
    format!(
        "memory {} MiB at most, slope {slope:+.2} % an hour over the last {judged:.0?}{}; {} descriptors, {} threads, {files} files at most",
        most(looks, |look| look.rss_bytes) >> 20,
        if judged < JUDGED_MIN { " (too short to judge)" } else { "" },
        most(looks, |look| look.descriptors),
        most(looks, |look| look.threads)
    )
}

/// Slope of the least-squares line through the resident set, in per cent of its mean.
fn slope_an_hour(looks: &[Look]) -> f64 {
    let points: Vec<_> = looks.iter().map(|look| (look.at.as_secs_f64() / 3600.0, look.rss_bytes as f64)).collect();
    let n = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if below > 0.0 && mean_y > 0.0 { above / below / mean_y * 100.0 } else { 0.0 }
}

#[test]
fn a_slope_is_per_cent_of_the_mean_an_hour() {
    let look = |minute: u64, mib: u64| Look {
        at: Duration::from_secs(60 * minute),
        rss_bytes: mib << 20,
        descriptors: 1,
        threads: 1,
        files: 1,
    };
    let growing: Vec<_> = (0..=120).map(|minute| look(minute, 1000 + minute)).collect();
    assert!((slope_an_hour(&growing) - 60.0 / 1060.0 * 100.0).abs() < 1e-9, "{}", slope_an_hour(&growing));
    let flat: Vec<_> = (0..=120).map(|minute| look(minute, 1000)).collect();
    assert_eq!(slope_an_hour(&flat), 0.0);
    let caught = std::panic::catch_unwind(|| judge(&growing, 1));
    assert!(caught.is_err(), "ten hours of this are no steady state");
}
