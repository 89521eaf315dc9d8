//! R1: kill -9 while samples arrive, again and again; every acknowledged sample is found again, once, with its bits.
//!
//! A sample's bits follow from seed, series and time, so an invented sample is told from an altered one. Requests whose
//! answer never came are sent again after the restart, as real senders do, and some acknowledged ones are repeated.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{self, Connection};
use crate::ledger::{self, Account, Random};
use crate::plan::{Outcome, Plan};
use crate::process::Process;

/// Times that all is read back, spread over the cycles.
const CHECKS: u64 = 5;
/// A restart may take this long, R1 says (99 of 100).
const RESTART_MAX: Duration = Duration::from_secs(5);

/// Runs `plan.count` cycles of life and death in a folder of its own.
pub fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log) = (folder.path().join("data"), folder.path().join("serve.log"));
    let mut random = Random::new(plan.seed, "cycles");
    let mut senders = ledger::senders(plan.seed, folder.path());
    let (mut account, mut restarts) = (Account::new(plan.seed), Vec::new());
    let start = || Process::start(&plan.binary, &data, &log, &[]);
    for cycle in 1..=plan.count {
        if random.one_in(6) {
            kill_during_start(plan, &data, &log, &mut random);
        }
        let started = Instant::now();
        let server = start();
        restarts.push(started.elapsed());
        if cycle % plan.count.div_ceil(CHECKS) == 0 {
            account.settle_by_sql(server.address(), &senders, &format!("cycle {cycle}"), || server.log());
        }
        let life = random.millis(50, 1500);
        let address = server.address().to_owned();
        let flush = random.one_in(3).then(|| (life.mul_f64(random.share()), random.one_in(2)));
        let flush = flush.map(|(pause, merge)| flush_in(&address, pause, merge));
        senders = ledger::one_life(&address, senders, life, || server.kill());
        if let Some(flush) = flush {
            drop(flush.join());
        }
    }
    let server = start();
    account.settle_by_promql(server.address(), &senders);
    server.kill();
    account.settle_by_store(&data, &senders, "the end");
    let server = start();
    http::send(server.address(), "POST", "/-/flush?merge=true", &[], &[]).ok();
    account.settle_by_sql(server.address(), &senders, "the end, merged, by SQL", || server.log());
    server.kill();
    account.settle_by_store(&data, &senders, "the end, merged");
    report(&account, &mut restarts, RESTART_MAX * plan.patience)
}

/// Asks for a flush after `pause`; its answer may never come.
fn flush_in(address: &str, pause: Duration, merge: bool) -> std::thread::JoinHandle<()> {
    let (address, target) = (address.to_owned(), if merge { "/-/flush?merge=true" } else { "/-/flush" });
    std::thread::spawn(move || {
        std::thread::sleep(pause);
        if let Ok(mut connection) = Connection::open(&address) {
            drop(connection.send("POST", target, &[], &[]));
        }
    })
}

/// A start that is killed while it replays.
fn kill_during_start(plan: &Plan, data: &Path, log: &Path, random: &mut Random) {
    let server = Process::spawn(&plan.binary, data, log, &[]);
    std::thread::sleep(random.millis(5, 300));
    server.kill();
}

fn report(account: &Account, restarts: &mut [Duration], promised: Duration) -> Outcome {
    restarts.sort();
    let late = restarts.iter().filter(|took| **took > promised).count();
    let (median, longest) = (restarts[restarts.len() / 2], restarts[restarts.len() - 1]);
    let p99 = restarts[(restarts.len() * 99).div_ceil(100) - 1];
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    assert!(late * 100 <= restarts.len(), "{late} of {} restarts took over {promised:?}", restarts.len());
    let cycles = restarts.len();
    Outcome::Passed(format!(
        "{cycles} kills; {account}; restarts: median {median:.0?}, p99 {p99:.0?}, longest {longest:.0?}"
    ))
}
