//! R8: the clock steps under a running server: a day ahead, a day back, an hour ahead, while samples arrive, forecasts run
//! and advice is delivered. Needs libfaketime; times that only measure (`Instant`) are left alone, as a real step does.
//!
//! Samples lie four days back, so that they are in the past whatever the server believes the time to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use series::{Batch, Clock, Millis, SystemClock};

use crate::ledger::{self, Account, Sender};
use crate::machine;
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::remote_write;

/// Where the clock goes from the true time, one after the other, in words of libfaketime and in milliseconds. The first is
/// no step: all works before the first one.
const STEPS: [(&str, i64); 7] =
    [("+0", 0), ("+1d", DAY), ("+0", 0), ("-1d", -DAY), ("+0", 0), ("+1h", DAY / 24), ("+0", 0)];
/// Pause after each step at least.
const STEP_PAUSE: Duration = Duration::from_secs(3);
/// Jobs run each second, and look at the clock every five.
const TIMER_MAX: Duration = Duration::from_secs(15);
const DAY: i64 = 86_400_000;

/// Bodies by idempotency key, in the order in which they came.
type Deliveries = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

/// Goes through all steps `plan.count` times, in a life of the server each.
pub fn run(plan: &Plan) -> Outcome {
    let Some(library) = machine::library("faketime/libfaketimeMT.so.1") else {
        return Outcome::Skipped("clock steps: libfaketime is not installed (package faketime)".to_owned());
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("serve.log"));
    let clock = folder.path().join("clock");
    let (url, deliveries) = match receiver() {
        Ok(receiver) => receiver,
        Err(why) => return Outcome::Skipped(format!("clock steps: no receiver on loopback: {why}")),
    };
    let variables = variables(&library, &clock, &url, &folder.path().join("advice"));
    let start = SystemClock.now() - Millis::from_days(4);
    let ledger = |id: u64| folder.path().join(format!("ledger-{id}"));
    let mut senders: Vec<_> =
        (0..ledger::CONNECTIONS).map(|id| Sender::new(plan.seed, id, start, &ledger(id))).collect();
    let mut account = Account::new(plan.seed);
    let (mut slowest, mut steps, mut disks) = (Duration::ZERO, 0, 0);
    for round in 1..=plan.count {
        set(&clock, STEPS[0].0);
        let server = Process::start_with(&plan.binary, &data, &log, &[], &variables);
        let address = server.address().to_owned();
        senders = ledger::one_life(&address, senders, Duration::ZERO, || {
            for (i, (step, ahead)) in STEPS.into_iter().enumerate() {
                set(&clock, step);
                steps += usize::from(i > 0);
                // One more thing to give advice on at each time.
                remote_write::send_all(&address, &filling_disk(disks, SystemClock.now().0 + ahead));
                disks += 1;
                slowest = slowest.max(all_go_on(&server, &deliveries, step, TIMER_MAX * plan.patience));
            }
            server.kill();
        });
        let server = Process::start(&plan.binary, &data, &log, &[]);
        account.settle_by_sql(server.address(), &senders, &format!("clock steps {round}"), || server.log());
        server.kill();
        account.settle_by_store(&data, &senders, &format!("clock steps {round}"));
    }
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    let (keys, repeats) = judge(&deliveries.lock().unwrap_or_else(PoisonError::into_inner));
    let files = fs::read_dir(folder.path().join("advice")).into_iter().flatten().flatten();
    let documents = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count();
    assert!(documents as u64 == disks, "{documents} documents with advice on {disks} disks");
    Outcome::Passed(format!(
        "{steps} steps of the clock; {account}; jobs, flushes and deliveries went on after {slowest:.1?} at the latest; {keys} pieces of advice on {disks} disks delivered, each under one key of its own ({repeats} repeats)"
    ))
}

/// A server whose clock follows the file `clock`, with a forecast and advice every second.
fn variables(library: &Path, clock: &Path, url: &str, advice: &Path) -> Vec<(&'static str, String)> {
    let notify = serde_json::json!([{"type": "file", "path": advice}, {"type": "webhook", "url": url}]);
    let job = serde_json::json!([{"name": "clock", "promql": "node_filesystem_avail_bytes", "schedule": "every 1s",
        "step": "1h", "history": "5d", "horizon": "6h", "model": "naive"}]);
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
        ("FORETIDE__STORE__MEMTABLE_AGE", "1s".to_owned()),
        ("FORETIDE__STORE__OOO_WINDOW", "30d".to_owned()),
        ("FORETIDE__SCALING__MODE", "recommend".to_owned()),
        ("FORETIDE__CAPACITY__EVERY", "1s".to_owned()),
        ("FORETIDE__EGRESS__ALLOW", r#"["http://127.0.0.1"]"#.to_owned()),
        ("FORETIDE__NOTIFY", notify.to_string()),
        ("FORETIDE__FORECAST__JOBS", job.to_string()),
    ]
}

/// The server's clock is as far from the true time from now on. Replaced as a whole: it is read at every look at the time.
fn set(clock: &Path, offset: &str) {
    let new = clock.with_extension("new");
    fs::write(&new, format!("{offset}\n")).and_then(|()| fs::rename(&new, clock)).expect("the clock can be set");
}

/// Waits until a forecast ran, a flush was made and advice came since the call; how long that took.
fn all_go_on(server: &Process, deliveries: &Deliveries, step: &str, longest: Duration) -> Duration {
    let figures = || {
        let figure = |name| server.figure(name).unwrap_or(0.0);
        let came = deliveries.lock().unwrap_or_else(PoisonError::into_inner).len();
        [figure("foretide_job_runs_total"), figure("foretide_store_flushes_total"), came as f64]
    };
    let (before, started) = (figures(), Instant::now());
    let mut took = None;
    while took.is_none() || started.elapsed() < STEP_PAUSE {
        let now = figures();
        if now.iter().zip(&before).all(|(now, before)| now > before) {
            took = took.or_else(|| Some(started.elapsed()));
        }
        assert!(
            took.is_some() || started.elapsed() < longest,
            "{step}: runs of jobs, flushes and deliveries went from {before:?} to {now:?}; log:\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    took.unwrap_or_default()
}

/// Six days of a disk that grows by a twentieth a day, until a minute before `now`.
fn filling_disk(number: u64, now: i64) -> Batch {
    let end = now - 60_000;
    let (mut batch, host) = (Batch::default(), format!("db-{number}:9100"));
    let labels = |name| [("__name__", name), ("fstype", "ext4"), ("instance", host.as_str()), ("mountpoint", "/")];
    let times: Vec<i64> = (0..=6 * 24 * 30).map(|step| end - 6 * DAY + step * 120_000).collect();
    let avail = |at: &i64| (*at, 1e12 * (0.35 - 0.05 * (at - end) as f64 / DAY as f64));
    remote_write::put(&mut batch, &labels("node_filesystem_avail_bytes"), &times.iter().map(avail).collect::<Vec<_>>());
    let size = |at: &i64| (*at, 1e12);
    remote_write::put(&mut batch, &labels("node_filesystem_size_bytes"), &times.iter().map(size).collect::<Vec<_>>());
    batch
}

/// Every key stands for one action, and every action has one key. Keys and repeats are counted.
fn judge(deliveries: &[(String, serde_json::Value)]) -> (usize, usize) {
    let mut by_key: BTreeMap<&str, &serde_json::Value> = BTreeMap::new();
    let mut actions = BTreeSet::new();
    for (key, body) in deliveries {
        assert!(!key.is_empty(), "delivered without a key: {body}");
        let first = by_key.entry(key).or_insert_with(|| {
            assert!(actions.insert(body["id"].to_string()), "delivered under two keys: {body}");
            body
        });
        assert_eq!(*first, body, "two actions under the key {key}");
    }
    (by_key.len(), deliveries.len() - by_key.len())
}

/// Takes requests on a loopback port and keeps their keys and bodies, for as long as this process lives.
fn receiver() -> io::Result<(String, Deliveries)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/advice", listener.local_addr()?);
    let deliveries = Deliveries::default();
    let kept = Arc::clone(&deliveries);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A request that breaks off was no delivery.
            if let Ok(delivery) = take(stream) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
            }
        }
    });
    Ok((url, deliveries))
}

fn take(stream: TcpStream) -> io::Result<(String, serde_json::Value)> {
    let mut reader = BufReader::new(stream);
    let (mut key, mut length, mut line) = (String::new(), 0, String::new());
    reader.read_line(&mut line)?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    write!(reader.get_mut(), "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok((key, serde_json::from_slice(&body).map_err(io::Error::other)?))
}
