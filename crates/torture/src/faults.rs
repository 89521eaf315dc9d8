//! R6: system calls of a running server fail at random (strace injects `EIO`); nothing acknowledged is lost, and no file is
//! synced again after a sync of it has failed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::ledger::{self, Account, Random};
use crate::machine;
use crate::plan::{Outcome, Plan};
use crate::process::Process;

/// Calls that fail, each in lives of its own, with the errors they fail with.
const CALLS: [(&str, &str); 5] =
    [("fdatasync", "EIO"), ("write", "EIO"), ("fsync", "EIO"), ("openat", "EMFILE"), ("write", "ENOSPC")];

/// Lives of a server until `plan.count` faults were injected.
pub fn run(plan: &Plan) -> Outcome {
    if machine::on_path("strace").is_none() {
        return Outcome::Skipped("failing system calls: strace is not installed".to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log, trace) = (folder.path().join("data"), folder.path().join("serve.log"), folder.path().join("trace"));
    let mut random = Random::new(plan.seed, "faults");
    let (mut senders, mut account) = (ledger::senders(plan.seed, folder.path()), Account::new(plan.seed));
    // The folder is made in peace: what is tried here is a server at work.
    Process::start(&plan.binary, &data, &log, &[]).kill();
    let (mut injected, mut lives) = (0, 0_usize);
    while injected < plan.count || lives < CALLS.len() {
        let (call, error) = CALLS[lives % CALLS.len()];
        let wrapper = strace(call, error, &trace, &mut random);
        let server = Process::spawn(&plan.binary, &data, &log, &wrapper);
        let address = server.address().to_owned();
        // It may end at once, when what fails is its start: that is its right, losing something is not.
        std::thread::sleep(random.millis(300, 900));
        senders = ledger::one_life(&address, senders, random.millis(500, 2500), || server.kill());
        lives += 1;
        let found = read_trace(&trace, call);
        assert!(found.synced_again.is_empty(), "synced again after a failed sync: {:?}", found.synced_again);
        injected += found.injected;
        if lives.is_multiple_of(CALLS.len()) {
            let server = Process::start(&plan.binary, &data, &log, &[]);
            account.settle_by_sql(server.address(), &senders, &format!("{injected} faults"), || server.log());
            server.kill();
        }
        assert!(lives < 20 * CALLS.len() + plan.count as usize, "strace injects nothing here");
    }
    let server = Process::start(&plan.binary, &data, &log, &[]);
    account.settle_by_sql(server.address(), &senders, "the end", || server.log());
    server.kill();
    account.settle_by_store(&data, &senders, "the end");
    assert!(account.acknowledged() > 0, "nothing was acknowledged, so nothing was shown");
    Outcome::Passed(format!("{injected} failed calls in {lives} lives; {account}; no file synced after a failed sync"))
}

/// Words that run a command with every n-th `call` failing, from some point on.
fn strace(call: &str, error: &str, trace: &Path, random: &mut Random) -> Vec<String> {
    // A start needs files: calls fail once it has begun to work.
    let (first, every) = match call {
        "openat" => (600 + random.between(0, 100), 40 + random.between(0, 40)),
        "write" => (60 + random.between(0, 60), 20 + random.between(0, 40)),
        _ => (2 + random.between(0, 20), 5 + random.between(0, 20)),
    };
    let inject = format!("inject={call}:error={error}:when={first}+{every}");
    let words = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-e",
        &format!("trace={call},fsync,fdatasync"),
        "-e",
        "signal=none",
        "-e",
        &inject,
        "-o",
    ];
    words.iter().map(|word| (*word).to_owned()).chain([trace.display().to_string()]).collect()
}

#[derive(Debug, Default)]
struct Found {
    injected: u64,
    /// Files on which a sync was tried after one had failed.
    synced_again: Vec<String>,
}

fn read_trace(trace: &Path, call: &str) -> Found {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap_or_default()).into_owned();
    let (mut found, mut failed) = (Found::default(), BTreeSet::new());
    for line in text.lines() {
        let is_sync = line.contains("fsync(") || line.contains("fdatasync(");
        // A folder may be synced again: it holds names, not bytes that were dropped.
        let file = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(name, _)| name.to_owned());
        let file = file.filter(|name| name.ends_with(".wal"));
        if line.contains("(INJECTED)") {
            found.injected += u64::from(line.contains(&format!("{call}(")));
            if let (true, Some(file)) = (is_sync, file) {
                failed.insert(file);
            }
        } else if let (true, Some(file)) = (is_sync, file)
            && failed.contains(&file)
        {
            found.synced_again.push(file);
        }
    }
    found
}
