//! R16: a backup taken while samples arrive, restored elsewhere, answers as the original did; a spoilt one is refused.

use std::collections::BTreeSet;
use std::path::Path;

use crate::ledger::{self, Random, value_at};
use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::{http, stored};

/// Queries compared in each round.
const QUERIES: u64 = 200;

/// Takes and restores `plan.count` backups, each into the folder of the one before.
pub fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, log, target) =
        (folder.path().join("data"), folder.path().join("serve.log"), folder.path().join("backup"));
    let mut random = Random::new(plan.seed, "backup");
    let mut senders = ledger::senders(plan.seed, folder.path());
    let (mut files, mut samples) = (0, 0);
    for round in 0..plan.count {
        let server = Process::start(&plan.binary, &data, &log, &[]);
        let address = server.address().to_owned();
        let mut before = Vec::new();
        let ledgers: Vec<_> = senders.iter().map(ledger::Sender::ledger).collect();
        senders = ledger::one_life(&address, senders, random.millis(300, 900), || {
            // What was acknowledged before the backup begins must be in it.
            before = ledgers.iter().map(|ledger| ledger.entries()).collect::<Vec<_>>();
            let report = http::send(
                &address,
                "POST",
                &http::target("/-/backup", &[("to", &target.display().to_string())]),
                &[],
                &[],
            );
            files = report.ok().json()["files"].as_u64().unwrap_or(0);
            server.kill();
        });
        let restored = folder.path().join(format!("restored-{round}"));
        backup::verify_backup(&target).expect("sound");
        backup::restore(&target, &restored).expect("restored");
        backup::verify_folder(&restored).expect("sound");
        samples = 0;
        for (sender, acknowledged) in senders.iter().zip(&before) {
            let found = by_store(&restored, &sender.metric());
            for (series, at, bits) in &found {
                let expected = value_at(plan.seed, sender.global(*series), *at).to_bits();
                assert_eq!(*bits, expected, "{} series {series} at {at} is altered", sender.metric());
            }
            let lost =
                acknowledged.iter().filter(|entry| !found.contains(&(entry.series, entry.at, entry.bits))).count();
            assert_eq!(lost, 0, "{} of {} acknowledged samples are not in the backup", lost, acknowledged.len());
            samples += found.len();
        }
        same_answers(plan, folder.path(), &restored, &mut random);
        spoil(&target, folder.path());
        let _ = std::fs::remove_dir_all(&restored);
    }
    Outcome::Passed(format!(
        "{} backups under load restored; the last with {files} files and {samples} samples; spoilt ones named",
        plan.count
    ))
}

fn by_store(data: &Path, metric: &str) -> BTreeSet<(u64, i64, u64)> {
    let mut found = BTreeSet::new();
    for (labels, columns) in stored::read_all(data, metric) {
        let number = labels.get("s").and_then(|text| text.parse().ok()).expect("a series has its number");
        found.extend(columns.iter().map(|(at, value)| (number, at.0, value.to_bits())));
    }
    found
}

/// The restored folder against a second copy of itself that was merged: the same answers to many queries.
fn same_answers(plan: &Plan, folder: &Path, restored: &Path, random: &mut Random) {
    let merged = folder.join("merged");
    let _ = std::fs::remove_dir_all(&merged);
    crate::files::copy_all(restored, &merged);
    let log = folder.join("queries.log");
    let (a, b) = (Process::start(&plan.binary, restored, &log, &[]), Process::start(&plan.binary, &merged, &log, &[]));
    http::send(b.address(), "POST", "/-/flush?merge=true", &[], &[]).ok();
    let start = ledger::start_of_time().0 / 1000;
    for _ in 0..QUERIES {
        let metric = format!("ledger_value_{}{{s=\"{}\"}}", random.between(0, 3), random.between(0, 39));
        let query = match random.between(0, 3) {
            0 => format!("count_over_time({metric}[1h])"),
            1 => format!("last_over_time({metric}[10m])"),
            2 => format!("count(present_over_time({metric}[2h]))"),
            _ => metric,
        };
        let at = (start + random.between(0, 3600) as i64).to_string();
        let target = http::target("/api/v1/query", &[("query", &query), ("time", &at)]);
        let [one, other] = [&a, &b].map(|server| http::get(server.address(), &target).ok().text());
        assert_eq!(one, other, "{query} at {at}");
    }
    a.kill();
    b.kill();
}

/// A copy of the backup with one file missing, then one flipped: both are named.
fn spoil(target: &Path, folder: &Path) {
    let copy = folder.join("spoilt");
    let manifest = backup::read_manifest(target).expect("sound");
    let victim = manifest.files.last().expect("a file").stored.clone();
    for flip in [false, true] {
        let _ = std::fs::remove_dir_all(&copy);
        crate::files::copy_all(target, &copy);
        if flip {
            let mut bytes = std::fs::read(copy.join(&victim)).expect("read");
            bytes[0] ^= 1;
            std::fs::write(copy.join(&victim), bytes).expect("written");
        } else {
            std::fs::remove_file(copy.join(&victim)).expect("removed");
        }
        let refused = backup::restore(&copy, &folder.join(format!("refused-{flip}"))).expect_err("spoilt").to_string();
        assert!(refused.contains(&victim), "{refused}");
        let _ = std::fs::remove_dir_all(folder.join(format!("refused-{flip}")));
    }
}
