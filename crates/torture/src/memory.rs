//! R7: little memory: a control group of 512 MiB around a server that replays a long log and is sent more new series than
//! it can hold (R7), or is asked heavy questions (R7b). It refuses what does not fit and lives. Needs a writable memory
//! group.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::group::MemoryGroup;
use crate::http::{self, Answer, Connection};
use crate::ledger::{Random, start_of_time};
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::remote_write;

const MIB: u64 = 1 << 20;
/// What the group may use.
const LIMIT: u64 = 512 * MIB;
/// What the server may use of it.
const PEAK_MAX: u64 = LIMIT / 10 * 9;
/// Series that are known before the others come.
const KNOWN: u64 = 2000;
/// Samples a series and request of the known ones.
const RUN: u64 = 25;
/// Known samples at most, wherever the log stands by then: what the log lets go is in files.
const KNOWN_SAMPLES_MAX: u64 = 40_000_000;
/// New series a request, and the time and connections that send them.
const NEW_AT_ONCE: u64 = 5000;
const NEW_TIME: Duration = Duration::from_secs(60);
const CONNECTIONS: u64 = 3;
/// Writes to known series are repeated this long when the server says that it is busy.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// As a user has it who sets nothing, apart from the noise of this machine.
const VARIABLES: [(&str, &str); 2] =
    [("FORETIDE__STORE__MEMTABLE_MIB", "64"), ("FORETIDE__QUERY__ROWS_MAX", "1000000")];

/// A log of half a MiB for each thousand of `plan.count` thousand new series, at most as long as it grows; then those series.
pub fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut round = match Round::new(plan, folder.path()) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let server = round.start();
    let log_bytes = round.fill_log(&server, (plan.count * MIB / 2).min(2048 * MIB));
    round.note_peak("the log is filled", &server);
    server.kill();
    let started = Instant::now();
    let server = round.start();
    assert_eq!(round.count(&server), round.sent, "after the replay; log:\n{}", server.log());
    let (replayed, samples) = (started.elapsed(), round.sent);
    round.note_peak("the log is replayed", &server);
    let (taken, refused, known) = round.flood(&server);
    assert!(refused > 0, "all of {taken} new series found room: this was not more than fits");
    let used = round.end(server);
    Outcome::Passed(format!(
        "{} MiB of log with {samples} samples replayed in {replayed:.1?}; of {} new series {taken} taken and {refused} refused, {known} writes to known ones beside them; {used}",
        log_bytes / MIB,
        taken + refused
    ))
}

/// R7b: `plan.count` heavy questions about ten million samples, two at a time.
pub fn queries(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let mut round = match Round::new(plan, folder.path()) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let server = round.start();
    round.fill_log(&server, 64 * MIB);
    round.note_peak("the log is filled", &server);
    let answered = round.heavy_queries(&server, plan.count as usize);
    let used = round.end(server);
    Outcome::Passed(format!("{answered} of {} heavy queries answered, the others refused; {used}", plan.count))
}

struct Round<'a> {
    plan: &'a Plan,
    group: MemoryGroup,
    /// First time of the known series.
    start: i64,
    data: PathBuf,
    log: PathBuf,
    /// Samples of the known series that were acknowledged.
    sent: u64,
    /// Requests of known series so far; each is a second of their time.
    writes: i64,
    random: Random,
    peak: u64,
}

impl<'a> Round<'a> {
    /// A group and a folder; the outcome where there can be no group.
    fn new(plan: &'a Plan, folder: &Path) -> Result<Self, Outcome> {
        let group = MemoryGroup::new(&format!("foretide-torture-{}", std::process::id()), LIMIT)
            .map_err(|why| Outcome::Skipped(format!("little memory: {why}")))?;
        let (data, log) = (folder.join("data"), folder.join("serve.log"));
        let random = Random::new(plan.seed, "memory");
        Ok(Self { plan, group, start: start_of_time().0, data, log, sent: 0, writes: 0, random, peak: 0 })
    }

    /// Counts the known samples once more, ends the server and judges what it used.
    fn end(&mut self, server: Process) -> String {
        assert_eq!(self.count(&server), self.sent, "at the end; log:\n{}", server.log());
        self.note_peak("the end", &server);
        server.kill();
        let (peak, kills) = (self.peak, self.group.oom_kills());
        assert!(kills.unwrap_or(0) == 0, "the kernel killed for memory {kills:?} times");
        let text = format!("peak {} of {} MiB", peak / MIB, LIMIT / MIB);
        assert!(peak <= PEAK_MAX, "{text}, {} are allowed", PEAK_MAX / MIB);
        text + ", 0 OOM kills"
    }

    fn start(&self) -> Process {
        let variables = VARIABLES.map(|(name, value)| (name, value.to_owned()));
        Process::start_with(&self.plan.binary, &self.data, &self.log, &self.group.wrapper(), &variables)
    }

    fn note_peak(&mut self, after: &str, server: &Process) {
        // A build for tests is many times the size of a release, and its text is no memory of the server's doing.
        let text = if self.plan.patience > 1 { server.status_bytes("RssFile").unwrap_or(0) } else { 0 };
        let peak = server.status_bytes("VmHWM").map(|peak| peak.saturating_sub(text));
        let peak = peak.unwrap_or_else(|| {
            panic!("{after}: the server is gone, {:?} OOM kills; log:\n{}", self.group.oom_kills(), server.log())
        });
        eprintln!("R7: {after}: peak {} MiB", peak / MIB);
        self.peak = self.peak.max(peak);
    }

    /// Writes to the known series until the log has `wanted` bytes or has been cut, which is as long as it grows.
    fn fill_log(&mut self, server: &Process, wanted: u64) -> u64 {
        let mut connection = Connection::open(server.address()).expect("it listens");
        let mut longest = 0;
        while self.sent < KNOWN_SAMPLES_MAX {
            self.write_known(&mut connection, KNOWN);
            let bytes = server.figure("foretide_wal_bytes").unwrap_or(0.0) as u64;
            if bytes >= wanted || bytes < longest {
                break;
            }
            longest = bytes;
        }
        longest
    }

    /// A run of samples for each of the first `n` known series, whose values no codec makes short.
    fn write_known(&mut self, connection: &mut Connection, n: u64) {
        let mut batch = Batch::default();
        let first = self.start + self.writes * 1000;
        for series in 0..n {
            let samples: Vec<_> = (0..RUN).map(|i| (first + i as i64 * 40, self.random.share())).collect();
            remote_write::put(&mut batch, &[("__name__", "known"), ("s", &series.to_string())], &samples);
        }
        let started = Instant::now();
        loop {
            let answer = remote_write::send(connection, &batch).unwrap_or_else(|err| panic!("a known write: {err}"));
            match answer.status {
                204 => break,
                503 if started.elapsed() < BUSY_MAX * self.plan.patience => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                status => panic!("samples of known series were answered {status}: {}", answer.text()),
            }
        }
        self.sent += n * RUN;
        self.writes += 1;
    }

    fn count(&self, server: &Process) -> u64 {
        let statement = [("q", "SELECT count(*) FROM samples WHERE metric = 'known'")];
        let answer = http::get(server.address(), &http::target("/api/sql", &statement)).ok().json();
        answer["rows"][0][0].as_u64().expect("a number")
    }

    /// New series from several connections while one writes to known ones. Gives series taken, series refused, known writes.
    fn flood(&mut self, server: &Process) -> (u64, u64, u64) {
        let (address, count) = (server.address().to_owned(), self.plan.count * 1000);
        let (next, refused, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let started = Instant::now();
        let mut known = 0;
        std::thread::scope(|scope| {
            let send = || {
                let mut connection = Connection::open(&address).expect("it listens");
                while !over.load(Ordering::Relaxed) && started.elapsed() < NEW_TIME {
                    let first = next.fetch_add(NEW_AT_ONCE, Ordering::Relaxed);
                    if first >= count {
                        break;
                    }
                    let answer = remote_write::send(&mut connection, &new_series(first)).expect("an answer");
                    refused.fetch_add(refused_of(&answer), Ordering::Relaxed);
                }
            };
            let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(send)).collect();
            let mut connection = Connection::open(&address).expect("it listens");
            while threads.iter().any(|thread| !thread.is_finished()) {
                self.write_known(&mut connection, 20);
                known += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            over.store(true, Ordering::Relaxed);
        });
        let tried = next.load(Ordering::Relaxed).min(count);
        let refused = refused.load(Ordering::Relaxed);
        (tried - refused.min(tried), refused, known)
    }

    /// Asks what touches everything, two at a time. Refusals are answers; a broken connection is none.
    fn heavy_queries(&self, server: &Process, count: usize) -> usize {
        let from = self.start / 1000;
        let (from, to) = (from.to_string(), (from + self.writes).to_string());
        let sql = |text: &str| http::target("/api/sql", &[("q", text)]);
        let range = |text: &str| {
            http::target("/api/v1/query_range", &[("query", text), ("start", &from), ("end", &to), ("step", "1")])
        };
        let targets = [
            range("sum by (s) (rate(known[10m]))"),
            sql(
                "SELECT metric, labels, ts, value FROM samples WHERE metric = 'known' ORDER BY value, ts LIMIT 500000 OFFSET 1000",
            ),
            range("topk(10, quantile_over_time(0.9, known[1h]))"),
            sql("SELECT value, ts, count(*) AS n FROM samples GROUP BY value, ts ORDER BY n DESC LIMIT 10"),
            http::target("/api/v1/query", &[("query", "known[1d]"), ("time", &to)]),
            sql(
                "SELECT a.value, count(*) FROM samples a JOIN samples b ON a.ts = b.ts WHERE a.metric = 'known' GROUP BY a.value LIMIT 10",
            ),
            http::target("/api/v1/query", &[("query", "count({__name__=~\".+\"})")]),
            sql("SELECT labels, count(*), avg(value), max(value) FROM samples GROUP BY labels ORDER BY labels"),
        ];
        let group = &self.group;
        let ask = |i: usize| {
            let target = &targets[i % targets.len()];
            let answer = http::try_get(server.address(), target);
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            let peak = server.status_bytes("VmHWM").unwrap_or_else(|| {
                panic!("{target}: the server is gone, {:?} OOM kills; log:\n{}", group.oom_kills(), server.log())
            });
            eprintln!("R7: {status}, peak {} MiB: {target}", peak / MIB);
            // An answer that breaks off is a refusal as well: of a query that came too far before there was no more memory.
            let text = answer.map_or_else(|why| why.to_string(), |answer| answer.text());
            assert!([0, 200, 400, 413, 422, 429, 503, 504].contains(&status), "{target}: {status} {text}");
            usize::from(status == 200)
        };
        let mut answered = 0;
        for pair in (0..count).collect::<Vec<_>>().chunks(2) {
            answered += std::thread::scope(|scope| {
                let threads: Vec<_> = pair.iter().map(|&i| scope.spawn(move || ask(i))).collect();
                let answers = threads.into_iter().map(|thread| thread.join());
                answers.map(|answer| answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).sum::<usize>()
            });
        }
        answered
    }
}

fn new_series(first: u64) -> Batch {
    let (mut batch, now) = (Batch::default(), SystemClock.now().0);
    for series in first..first + NEW_AT_ONCE {
        let (pod, node) = (format!("checkout-{series:08x}"), format!("node-{}", series % 300));
        remote_write::put(
            &mut batch,
            &[("__name__", "flood"), ("node", &node), ("pod", &pod)],
            &[(now, series as f64)],
        );
    }
    batch
}

/// Series of a request that were refused. A refusal for want of room says so with 429 and names the metric.
fn refused_of(answer: &Answer) -> u64 {
    let text = answer.text();
    match answer.status {
        204 => 0,
        429 => {
            assert!(text.contains("flood"), "the refusal names no metric: {text}");
            assert!(!answer.header("retry-after").is_empty(), "a sender is told when to come back: {text}");
            text.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok()).unwrap_or(NEW_AT_ONCE)
        }
        503 => NEW_AT_ONCE,
        status => panic!("new series were answered {status}: {text}"),
    }
}
