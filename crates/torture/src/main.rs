//! `foretide-torture`: the rounds at nightly figures, with a table of what they found.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use torture::{
    Outcome, Plan, clock, disk, faults, files, hostile, kill, log, memory, order, points, power, saved, soak,
};

/// Hurts a Foretide binary and shows what it kept
#[derive(Parser)]
#[command(
    after_help = "Example: foretide-torture --profile nightly --seed 7 --only R1,R5 --binary target/release/foretide"
)]
struct Arguments {
    /// How much of everything
    #[arg(long, value_enum, default_value_t = Profile::Push)]
    profile: Profile,
    /// Same seed, same choices
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Only these rounds, such as R1,R3
    #[arg(long, value_delimiter = ',', value_name = "ROUND")]
    only: Vec<String>,
    /// The foretide binary; the one beside this program unless given
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Another count for every round that runs
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// How much of everything.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Profile {
    /// As in every test run
    Push,
    /// As once a night
    Nightly,
}

/// A round: its name, what it does, its count on every push and once a night.
type Round = (&'static str, &'static str, fn(&Plan) -> Outcome, u64, u64);

const ROUNDS: [Round; 15] = [
    ("R1", "kill -9 cycles", kill::run, 25, 1000),
    ("R1b", "deaths at named points", points::run, 1, 20),
    ("R2", "power cuts on ext4", power::ext4, 5, 200),
    ("R2x", "power cuts on xfs", power::xfs, 5, 200),
    ("R3", "log cuts and flips", log::run, 2000, 20_000),
    ("R4", "table files damaged", files::run, 500, 10_000),
    ("R5", "full disks", disk::run, 3, 50),
    ("R6", "failing system calls", faults::run, 50, 1000),
    ("R7", "little memory", memory::run, 300, 5000),
    ("R7b", "heavy queries", memory::queries, 8, 20),
    ("R8", "clock steps", clock::run, 1, 60),
    ("R9", "hostile connections", hostile::run, 200, 2000),
    ("R16", "backups under load", saved::run, 1, 20),
    ("R17", "soak", soak::run, 0, 480),
    ("R18", "orders and batches", order::run, 500, 50_000),
];

/// One row of the table.
struct Row {
    name: &'static str,
    what: &'static str,
    count: u64,
    took: Duration,
    found: Result<Outcome, String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(binary) = arguments.binary.clone().or_else(beside).filter(|path| path.is_file()) else {
        say("there is no foretide binary beside this program; name one with --binary FILE");
        return ExitCode::from(2);
    };
    if let Some(unknown) = arguments.only.iter().find(|name| ROUNDS.iter().all(|round| round.0 != name.as_str())) {
        say(&format!("there is no round {unknown}; known: {}", ROUNDS.map(|round| round.0).join(", ")));
        return ExitCode::from(2);
    }
    let chosen =
        ROUNDS.iter().filter(|round| arguments.only.is_empty() || arguments.only.iter().any(|only| only == round.0));
    let rows: Vec<Row> = chosen.map(|round| run(round, &binary, &arguments)).collect();
    let mut table = format!("{:<5} {:<22} {:>7} {:>9}  found\n", "round", "what", "count", "took");
    for row in &rows {
        let found = row.found.as_ref().map_or_else(|why| format!("FAILED   {why}"), ToString::to_string);
        table.push_str(&format!(
            "{:<5} {:<22} {:>7} {:>8.1}s  {found}\n",
            row.name,
            row.what,
            row.count,
            row.took.as_secs_f64()
        ));
    }
    // A closed pipe changes nothing about what was found.
    let _ = std::io::stdout().write_all(table.as_bytes());
    if rows.iter().any(|row| row.found.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run(round: &Round, binary: &std::path::Path, arguments: &Arguments) -> Row {
    let &(name, what, body, push, nightly) = round;
    let count = arguments.count.unwrap_or(if arguments.profile == Profile::Nightly { nightly } else { push });
    say(&format!("{name}: {what}, {count}, seed {}", arguments.seed));
    let (plan, started) = (Plan::new(binary, arguments.seed, count), Instant::now());
    let found = catch_unwind(AssertUnwindSafe(|| body(&plan))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    });
    Row { name, what, count, took: started.elapsed(), found }
}

/// The product's binary in the folder of this one.
fn beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join("foretide"))
}

fn say(text: &str) {
    // Nobody listening is fine.
    let _ = writeln!(std::io::stderr(), "{text}");
}
