//! R1: kill -9 while samples arrive, again and again; every acknowledged sample is found again, once, with its bits.
//!
//! ```text
//!   4 connections ─▶ POST /api/v1/write ─▶ 204 ─▶ ledger file, fsynced        kill -9 after 50–1,500 ms, sometimes
//!   every few cycles: SELECT … FROM samples as Parquet ─▶ compare with the ledger   during a flush or a replay
//!   at the end: the same by PromQL and, with stale markers, straight from the store
//! ```
//!
//! A sample's bits follow from seed, series and time, so an invented sample is told from an altered one. Requests whose
//! answer never came are sent again after the restart, as real senders do, and some acknowledged ones are repeated.
//! `FORETIDE_R1_CYCLES` and `FORETIDE_R1_SEED` change how often and with which choices.

mod account;
mod sender;
mod values;

use std::time::{Duration, Instant};

use crate::folder;
use crate::http::Connection;
use crate::server::{QUIET, Server};
use account::Account;
use sender::Sender;
use values::Random;

const CYCLES: u64 = 25;
const SEED: u64 = 42;
const CONNECTIONS: u64 = 4;
/// Times that all is read back, spread over the cycles.
const CHECKS: u64 = 5;
/// A small memtable, so that flushes and compactions also start by themselves; answers of any length.
const SMALL: [(&str, &str); 2] = [("FORETIDE__STORE__MEMTABLE_MIB", "1"), ("FORETIDE__QUERY__ROWS_MAX", "50000000")];
/// A restart may take this long, R1 says (99 of 100).
const RESTART_MAX: Duration = Duration::from_secs(5);

#[test]
fn kill_9_loses_doubles_and_alters_no_acknowledged_sample() {
    let (cycles, seed) = (number("FORETIDE_R1_CYCLES", CYCLES), number("FORETIDE_R1_SEED", SEED));
    eprintln!("R1: {cycles} cycles, seed {seed}");
    let (folder, variables) = (folder::fresh(), [QUIET, SMALL].concat());
    let data = folder.path().join("data");
    let mut random = Random::new(seed, "cycles");
    let start = values::start_of_time();
    let new_sender = |id| Sender::new(seed, id, start, &folder.path().join(format!("ledger-{id}")));
    let mut senders: Vec<Sender> = (0..CONNECTIONS).map(new_sender).collect();
    let (mut account, mut restarts) = (Account::new(seed), Vec::new());
    for cycle in 1..=cycles {
        if random.one_in(6) {
            kill_during_start(&data, &variables, &mut random);
        }
        let started = Instant::now();
        let server = Server::start_with(&data, &variables);
        restarts.push(started.elapsed());
        if cycle % cycles.div_ceil(CHECKS) == 0 {
            account.settle_by_sql(&server, &senders, &format!("cycle {cycle}"));
        }
        senders = one_life(server, senders, &mut random);
    }
    let server = Server::start_with(&data, &variables);
    account.settle_by_promql(&server, &senders);
    server.kill();
    account.settle_by_store(&data, &senders, "the end");
    let server = Server::start_with(&data, &variables);
    server.flush(true);
    account.settle_by_sql(&server, &senders, "the end, merged, by SQL");
    server.kill();
    account.settle_by_store(&data, &senders, "the end, merged");
    report(&account, &mut restarts);
}

/// All senders send until the server is killed.
fn one_life(server: Server, senders: Vec<Sender>, random: &mut Random) -> Vec<Sender> {
    let address = server.address().to_owned();
    let threads = senders.into_iter().map(|mut sender| {
        let address = address.clone();
        std::thread::spawn(move || {
            sender.send_until_cut(&address);
            sender
        })
    });
    let threads: Vec<_> = threads.collect();
    let life = random.millis(50, 1500);
    let flush = random.one_in(3).then(|| flush_in(&address, life.mul_f64(random.share()), random.one_in(2)));
    std::thread::sleep(life);
    server.kill();
    if let Some(flush) = flush {
        flush.join().expect("the flush's thread ends");
    }
    threads.into_iter().map(|thread| thread.join().expect("a sender met an answer that it must not get")).collect()
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
fn kill_during_start(data: &std::path::Path, variables: &[(&str, &str)], random: &mut Random) {
    let server = Server::spawn(data, variables);
    std::thread::sleep(random.millis(5, 300));
    server.kill();
}

fn report(account: &Account, restarts: &mut [Duration]) {
    restarts.sort();
    let late = restarts.iter().filter(|took| **took > RESTART_MAX).count();
    let (median, longest) = (restarts[restarts.len() / 2], restarts[restarts.len() - 1]);
    eprintln!("R1: {account}; restarts: median {median:.0?}, longest {longest:.0?}");
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    assert!(late * 100 <= restarts.len(), "{late} of {} restarts took over {RESTART_MAX:?}", restarts.len());
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
