//! R5: the disk fills while samples arrive and files are written; then there is room again. Needs root, for the small disk.

use std::path::Path;
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::ledger::{self, Account, Random, Sender};
use crate::machine::{self, Mount};
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::{http, remote_write};

/// The disk while it is full and after it has grown, MiB.
const SMALL_MIB: u64 = 24;
const GROWN_MIB: u64 = 512;
/// Writes must go on this long after there is room again.
const RESUME_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a disk to fill.
const FILL_MAX: Duration = Duration::from_secs(60);

/// Fills and frees a disk `plan.count` times; every other time the server starts on the full disk.
pub fn run(plan: &Plan) -> Outcome {
    if !machine::is_root() {
        return Outcome::Skipped("disk full: only root may mount a small disk".to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let disk = match Mount::memory(&folder.path().join("disk"), SMALL_MIB) {
        Ok(disk) => disk,
        Err(why) => return Outcome::Skipped(format!("disk full: {why}")),
    };
    let mut random = Random::new(plan.seed, "disk");
    let mut round =
        Round { plan, disk, folder: folder.path(), account: Account::new(plan.seed), slowest: Duration::ZERO };
    let mut senders = ledger::senders(plan.seed, folder.path());
    for cycle in 1..=plan.count {
        senders = round.fill_and_free(senders, cycle, random.one_in(2), &mut random);
    }
    let (account, slowest) = (&round.account, round.slowest);
    Outcome::Passed(format!("{} full disks; {account}; writes went on after {slowest:.1?} at the latest", plan.count))
}

struct Round<'a> {
    plan: &'a Plan,
    disk: Mount,
    folder: &'a Path,
    account: Account,
    slowest: Duration,
}

impl Round<'_> {
    /// One full disk. With `restart` the server is killed on it and started on it.
    fn fill_and_free(&mut self, senders: Vec<Sender>, cycle: u64, restart: bool, random: &mut Random) -> Vec<Sender> {
        let (data, log) = (self.disk.path().join("data"), self.folder.join("serve.log"));
        let size = used_mib(self.disk.path()) + 8 + random.between(0, SMALL_MIB);
        self.disk.change(&format!("size={size}m")).expect("the disk has another size");
        let start = || Process::start(&self.plan.binary, &data, &log, &[]);
        let (server, left) = (start(), random.between(0, 2) << 20);
        let ballast = self.disk.path().join("ballast");
        let address = server.address().to_owned();
        let grow = |server: &Process| {
            let _ = std::fs::remove_file(&ballast);
            self.disk.change(&format!("size={GROWN_MIB}m")).expect("the disk grows");
            resume(server, RESUME_MAX * self.plan.patience)
        };
        let mut took = Duration::ZERO;
        let mut senders = ledger::one_life(&address, senders, random.millis(100, 600), || {
            fill(&ballast, left);
            wait_until_refusing(&server);
            still_reads(&address);
            if !restart {
                took = grow(&server);
                std::thread::sleep(Duration::from_millis(300));
            }
            server.kill();
        });
        if restart {
            let again = start();
            still_reads(again.address());
            // The start and the flush gave log segments back: that room is filled too.
            fill(&ballast, left);
            wait_until_refusing(&again);
            took = grow(&again);
            let address = again.address().to_owned();
            senders = ledger::one_life(&address, senders, Duration::from_millis(300), || again.kill());
        }
        self.slowest = self.slowest.max(took);
        let server = start();
        http::try_send(server.address(), "POST", "/-/flush?merge=true").expect("answered").ok();
        self.account.settle_by_sql(server.address(), &senders, &format!("disk {cycle}"), || server.log());
        server.kill();
        senders
    }
}

/// Fills the disk with a file, which may be there already, until so many bytes are left.
fn fill(ballast: &Path, left: u64) {
    use std::io::Write;
    let mut file = std::fs::File::options().create(true).append(true).open(ballast).expect("opened");
    let block = vec![0_u8; 64 << 10];
    let room = || wal::disk_space(ballast).map_or(0, |space| space.free_bytes);
    while room() > left && file.write_all(&block).is_ok() {}
}

/// Samples are refused: by the guard (level 2 or 3) or by the log itself.
fn wait_until_refusing(server: &Process) {
    let started = Instant::now();
    while writes(server.address()) {
        assert!(started.elapsed() < FILL_MAX, "writes go on without room; log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn still_reads(address: &str) {
    let answer = http::get(address, &http::target("/api/v1/query", &[("query", "count({__name__=~\"ledger.*\"})")]));
    assert_eq!(answer.status, 200, "reads go on: {}", answer.text());
    if let Ok(answer) = http::try_send(address, "POST", "/-/flush") {
        assert!([200, 503].contains(&answer.status), "a flush on a full disk: {} {}", answer.status, answer.text());
    }
}

/// Whether a sample of our own is taken now. A refusal must be 503 with a time to come back.
fn writes(address: &str) -> bool {
    let mut batch = Batch::default();
    remote_write::put(&mut batch, &[("__name__", "torture_probe")], &[(SystemClock.now().0, 1.0)]);
    let answer = remote_write::send_once(address, &batch);
    match answer.status {
        204 => true,
        503 => {
            assert!(!answer.header("retry-after").is_empty(), "a sender is told when to come back: {}", answer.text());
            false
        }
        // The first write that meets the full disk may be told of the log's failure.
        500 => false,
        status => panic!("a good request was answered {status}: {}", answer.text()),
    }
}

/// How long it takes until samples are taken again.
fn resume(server: &Process, longest: Duration) -> Duration {
    let started = Instant::now();
    while !writes(server.address()) {
        assert!(started.elapsed() < longest, "writes do not go on although there is room; log:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}

fn used_mib(disk: &Path) -> u64 {
    wal::disk_space(disk).map_or(0, |space| (space.total_bytes - space.free_bytes).div_ceil(1 << 20))
}
