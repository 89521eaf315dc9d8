//! R1b: the server dies at each of the points in `table`, which lie before or after everything that makes a sample last:
//! writes, syncs, renames, links, removals, answers. Nothing acknowledged is lost, and every folder opens again.
//!
//! The deaths come from outside, to the real binary: strace delivers SIGKILL when a thread enters its n-th call of a kind,
//! on a path where that matters, and the call is not made. So "before" a call is exact, and "after" it is before the next
//! one of its thread. strace counts by thread, from the first instruction or, for a life at work, from its first answer.
//! A point that no life reaches is a failure of this round: its name would claim what was not tried.

mod table;

use std::cell::RefCell;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use series::{Batch, Clock, Exemplar, Labels, Metadata, MetricType, SystemClock};

use self::table::{At, Life, POINTS, Point};
use crate::http::{self, Connection};
use crate::ledger::{self, Account, Random, Sender};
use crate::machine;
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::remote_write;

/// Points between two readings of everything.
const SETTLE_EVERY: usize = 6;
/// A life reaches its point within this.
const REACH_MAX: Duration = Duration::from_secs(10);
/// Time to answer, under strace.
const START_MAX: Duration = Duration::from_secs(20);
/// A point that a life comes by this often is met later in later passes.
const OFTEN: u64 = 9;

/// Dies at every point, `plan.count` times over.
pub fn run(plan: &Plan) -> Outcome {
    let Some(strace) = machine::on_path("strace") else {
        return Outcome::Skipped("deaths at named points: strace is not installed".to_owned());
    };
    if !machine::may_trace() {
        return Outcome::Skipped("deaths at named points: only root may trace a running process here".to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut round = Round {
        plan,
        strace,
        data: folder.path().join("data"),
        log: folder.path().join("serve.log"),
        trace: folder.path().join("trace"),
        backup: folder.path().join("backup"),
        random: Random::new(plan.seed, "points"),
        unreached: RefCell::default(),
    };
    let (mut senders, mut account) = (ledger::senders(plan.seed, folder.path()), Account::new(plan.seed));
    // A first life in peace, so that the others find segments, files and a backup.
    let server = round.start(&round.data);
    let address = server.address().to_owned();
    senders = ledger::one_life(&address, senders, Duration::from_millis(200), || {
        work(&round, &address);
        server.kill();
    });
    let mut deaths = 0;
    for pass in 0..plan.count {
        for point in &POINTS {
            match point.life {
                Life::First => round.die_at_first(point, pass),
                Life::Start => round.die_at_start(point, pass),
                Life::Work => senders = round.die_at_work(point, pass, senders),
                Life::Calm => drop(round.die_at_work(point, pass, Vec::new())),
            }
            deaths += 1;
            if deaths % SETTLE_EVERY == 0 {
                let server = round.start(&round.data);
                account.settle_by_sql(server.address(), &senders, &format!("after a death {}", point.name), || {
                    server.log()
                });
                server.kill();
            }
        }
    }
    let server = round.start(&round.data);
    account.settle_by_sql(server.address(), &senders, "the end", || server.log());
    let backup = http::target("/-/backup", &[("to", &round.backup.display().to_string())]);
    http::send(server.address(), "POST", &backup, &[], &[]).ok();
    backup::verify_backup(&round.backup).expect("a backup that died again and again is made whole");
    http::send(server.address(), "POST", "/-/flush?merge=true", &[], &[]).ok();
    account.settle_by_sql(server.address(), &senders, "the end, merged", || server.log());
    server.kill();
    account.settle_by_store(&round.data, &senders, "the end");
    let unreached = round.unreached.into_inner();
    assert!(unreached.is_empty(), "{} of {deaths} points were not reached: {}", unreached.len(), unreached.join("; "));
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    Outcome::Passed(format!("{deaths} deaths at {} points, all reached; {account}", POINTS.len()))
}

/// Deletions are allowed, and the disk counts as one that begins to fill, so that room is reserved.
fn variables() -> [(&'static str, String); 2] {
    [("FORETIDE__ADMIN_API", "true".to_owned()), ("FORETIDE__DISK__WARN_PERCENT", "99".to_owned())]
}

struct Round<'a> {
    plan: &'a Plan,
    strace: PathBuf,
    data: PathBuf,
    log: PathBuf,
    trace: PathBuf,
    backup: PathBuf,
    random: Random,
    /// Points that were not come by, all told at the end.
    unreached: RefCell<Vec<String>>,
}

impl Round<'_> {
    fn start(&self, data: &Path) -> Process {
        Process::start_with(&self.plan.binary, data, &self.log, &[], &variables())
    }

    /// strace, with what kills at `point`, which is about `path`; a command or `-p` comes behind.
    fn strace(&self, point: &Point, pass: u64, path: Option<PathBuf>) -> Vec<String> {
        // Other moments in later passes, where a life comes by often.
        let nth = if point.nth < OFTEN { point.nth } else { point.nth + pass };
        let mut words = vec![self.strace.display().to_string()];
        let mut say = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        say(&["-f", "-y", "-qq", "-e", "signal=none", "-e", &format!("trace={}", point.call)]);
        say(&["-e", &format!("inject={}:signal=SIGKILL:when={nth}", point.call)]);
        say(&["-o", &self.trace.display().to_string()]);
        if let Some(path) = path {
            say(&["-P", &path.display().to_string()]);
        }
        words
    }

    /// A server on `data` that is watched from its first instruction.
    fn doomed(&self, point: &Point, pass: u64, data: &Path) -> Process {
        let words = self.strace(point, pass, point.at.path(data, &self.backup, 0));
        Process::spawn_with(&self.plan.binary, data, &self.log, &words, &variables())
    }

    /// Dies while it makes its folder; the next start takes that folder as it is, and samples.
    fn die_at_first(&self, point: &Point, pass: u64) {
        let new = tempfile::tempdir().expect("a folder");
        let data = new.path().join("data");
        let mut server = self.doomed(point, pass, &data);
        // What comes after the first answers comes by itself.
        if answers(&mut server) {
            server.ends_within(REACH_MAX * self.plan.patience);
        }
        self.must_have_died(point, &mut server);
        let server = self.start(&data);
        remote_write::send_all(server.address(), &probe());
        let count = [("query", "count(torture_probe)")];
        let answer = http::get(server.address(), &http::target("/api/v1/query", &count)).ok().json();
        assert_eq!(answer["data"]["result"][0]["value"][1], "1", "after a death {}", point.name);
        server.kill();
    }

    /// Dies while it opens the folder.
    fn die_at_start(&self, point: &Point, pass: u64) {
        let mut server = self.doomed(point, pass, &self.data);
        if answers(&mut server) {
            server.ends_within(REACH_MAX * self.plan.patience);
        }
        self.must_have_died(point, &mut server);
    }

    /// Dies while samples arrive, files are written, merged, cleaned of what was deleted, and backed up.
    fn die_at_work(&mut self, point: &Point, pass: u64, senders: Vec<Sender>) -> Vec<Sender> {
        // A start may remove a segment that has done its work, and goes on with the next number all the same.
        let segment = point.at.path(&self.data, &self.backup, 0).filter(|_| matches!(point.at, At::Segment(..)));
        let mut server = self.start(&self.data);
        let path = segment.or_else(|| point.at.path(&self.data, &self.backup, server.pid()));
        let mut words = self.strace(point, pass, path);
        words.extend(["-p".to_owned(), server.pid().to_string()]);
        let mut tracer = Command::new(&words[0]);
        tracer.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut tracer = tracer.spawn().expect("strace starts");
        wait_until_traced(server.pid());
        let address = server.address().to_owned();
        let senders = ledger::one_life(&address, senders, self.random.millis(20, 150), || {
            let started = Instant::now();
            while server.ends_within(Duration::ZERO).is_none() && started.elapsed() < REACH_MAX * self.plan.patience {
                work(self, &address);
            }
            self.must_have_died(point, &mut server);
            server.kill();
        });
        tracer.wait().expect("strace ends with what it watched");
        senders
    }

    /// Notes unless the server has ended by the signal, in the call that was meant.
    fn must_have_died(&self, point: &Point, server: &mut Process) {
        let status = server.ends_within(Duration::from_secs(2) * self.plan.patience);
        let signal = status.and_then(|status| status.signal());
        let trace = fs::read_to_string(&self.trace).unwrap_or_default();
        let calls: Vec<_> = trace.lines().filter(|line| line.contains(point.call)).collect();
        let last = calls.last().copied().unwrap_or("none");
        // strace's mark of a call without a result.
        let is_cut_off = calls.iter().any(|line| line.contains("= ?"));
        if signal != Some(libc::SIGKILL) || !is_cut_off {
            let more = format!("{}: {status:?}, {} such calls, the last {last}", point.name, calls.len());
            self.unreached.borrow_mut().push(more);
        }
    }
}

/// Whether the server came to answer; false when it died before.
fn answers(server: &mut Process) -> bool {
    let started = Instant::now();
    while server.ends_within(Duration::from_millis(10)).is_none() {
        if http::try_get(server.address(), "/-/ready").is_ok_and(|answer| answer.status == 200) {
            return true;
        }
        assert!(started.elapsed() < START_MAX * 3, "no answer; log:\n{}", server.log());
    }
    false
}

/// Waits until every thread has a tracer.
fn wait_until_traced(pid: u32) {
    let started = Instant::now();
    let is_traced = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    };
    let all = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().all(is_traced);
    while !all() {
        assert!(started.elapsed() < START_MAX, "strace does not take hold of the server");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One turn of everything that touches the disk. The server may go at any moment, so no answer counts.
fn work(round: &Round<'_>, address: &str) {
    let backup = http::target("/-/backup", &[("to", &round.backup.display().to_string())]);
    let delete = http::target("/api/v1/admin/tsdb/delete_series", &[("match[]", "torture_probe")]);
    let _ = Connection::open(address).and_then(|mut connection| {
        remote_write::send(&mut connection, &probe())?;
        std::thread::sleep(Duration::from_millis(100));
        for target in ["/-/flush", &delete, "/-/flush?merge=true", &backup] {
            connection.send("POST", target, &[], &[])?;
        }
        Ok(())
    });
}

/// A sample of our own, with what is kept beside samples; new each time.
fn probe() -> Batch {
    let (mut batch, at) = (Batch::default(), SystemClock.now());
    remote_write::put(&mut batch, &[("__name__", "torture_probe")], &[(at.0, 1.0)]);
    batch.push_exemplar(Exemplar { labels: Labels::empty(), value: at.0 as f64, at });
    let (metric, help) = ("torture_probe".to_owned(), format!("as of {}", at.0));
    batch.push_metadata(Metadata { metric, kind: MetricType::Gauge, help, unit: String::new() });
    batch
}
