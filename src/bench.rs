//! `foretide bench ingest`: what a sample costs, from the sender's request to the merged file, over HTTP.
//!
//! ```text
//!   load ─▶ file of requests ─▶ N connections ═HTTP═▶ child `serve`, own folder     samples/s, ack times
//!                                                     /proc of the child            CPU: at the last ack, when quiet,
//!                                                                                   after flush and merge; peak memory
//!                                                     its folder                    bytes before and after the merge
//! ```
//!
//! The server is a process of its own, so that its CPU time and memory are not the sender's. [`load`] and [`machine`] are
//! shared with the bench of the same name below `benches/`, which asks the store without HTTP.

mod child;
mod disk;
pub mod load;
pub mod machine;
mod report;
mod requests;
mod senders;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use series::{Clock, Millis, SystemClock, Timestamp};

use self::child::Child;
use self::load::{LoadSpec, STEP};
use self::report::Report;
use self::requests::Requests;
use crate::cli::{self, BenchIngestArgs, CliError, Common, Preset, TableFormat};

/// Longest wait for the server to become quiet: one that never does is measured as it is.
const QUIET_PATIENCE: Duration = Duration::from_secs(120);
const DAY: Millis = Millis::from_days(1);

/// Runs the bench, prints the report and removes what it made, also when it is interrupted.
pub(crate) fn ingest(common: &Common, args: &BenchIngestArgs) -> Result<(), CliError> {
    if common.url.is_some() {
        let why = "the bench starts a server of its own, whose process it measures".into();
        return Err(CliError::Usage { argument: "--url".into(), why });
    }
    let stop = AtomicBool::new(false);
    let runtime = cli::runtime()?;
    let signal = {
        let _inside = runtime.enter();
        cli::stop_signal()
    };
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                tokio::select! {
                    () = signal => stop.store(true, Ordering::Relaxed),
                    // Told, or dropped by a panic: either way there is nothing left to stop.
                    _ = end => {}
                }
            });
        });
        let report = measure(common, args, &stop);
        drop(ended);
        report
    })?;
    match args.format {
        TableFormat::Table => cli::put(report.to_text().as_bytes(), None),
        TableFormat::Json => cli::line(&report.to_json()),
    }
}

fn measure(common: &Common, args: &BenchIngestArgs, stop: &AtomicBool) -> Result<Report, CliError> {
    let spec = load_spec(args, SystemClock.now());
    let scratch = Scratch::new(common.data.as_deref())?;
    let talk = indicatif::ProgressBar::new_spinner();
    if common.quiet {
        talk.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    talk.enable_steady_tick(Duration::from_millis(120));

    talk.set_message("making the load");
    let requests = Requests::make(&spec, &scratch.path.join("requests"), stop)?;
    talk.set_message("starting the server");
    let data = scratch.path.join("data");
    let child = Child::start(common, &scratch.path, &data, stop)?;
    let (process, before) = (child.process(), child.process().cpu_s());
    talk.set_message(format!("sending {} samples", requests.samples()));
    let sent = senders::send_all(&requests, child.url(), args, stop)?;
    let last_ack = process.cpu_s();

    talk.set_message("waiting until the server is quiet");
    process.wait_until_quiet(QUIET_PATIENCE, stop);
    let (settled, before_merge) = (process.cpu_s(), disk::Usage::of(&data));
    talk.set_message("flushing and merging");
    child.flush_and_merge(stop)?;
    process.wait_until_quiet(QUIET_PATIENCE, stop);
    let (merged, after_merge) = (process.cpu_s(), disk::Usage::of(&data));
    talk.finish_and_clear();
    interrupted(stop)?;
    Ok(Report {
        series: spec.series as u64,
        scrapes: spec.scrapes as u64,
        samples: requests.samples(),
        connections: args.connections,
        rate: args.rate,
        sent,
        cpu_s: [last_ack, settled, merged].map(|cpu_s| cpu_s - before),
        disk: [before_merge, after_merge],
        peak_memory_bytes: process.peak_memory_bytes(),
    })
}

/// The load lies in whole days that have ended: a merge then does all that is ever done to a day, and the same at any
/// time of today.
fn load_spec(args: &BenchIngestArgs, now: Timestamp) -> LoadSpec {
    let (series, scrapes) = match args.preset {
        Preset::Node20k => (20_000, 1_440),
        Preset::Card500k => (500_000, 20),
    };
    let (series, scrapes) = (args.series.unwrap_or(series), args.scrapes.unwrap_or(scrapes));
    // One scrape more: each host is scraped at an offset of its own.
    let length = Millis(STEP.0.saturating_mul(scrapes as i64 + 1));
    let days = length.0.div_euclid(DAY.0) + 1;
    let today = Timestamp(now.0 - now.0.rem_euclid(DAY.0));
    LoadSpec { series, scrapes, start: today - Millis(DAY.0 * days) }
}

/// Ends the run when the user wants it ended.
fn interrupted(stop: &AtomicBool) -> Result<(), CliError> {
    if stop.load(Ordering::Relaxed) { Err(CliError::Failed("interrupted".into())) } else { Ok(()) }
}

/// A folder that goes with the run.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(below: Option<&Path>) -> Result<Self, CliError> {
        let name = format!("foretide-bench-{}-{}", std::process::id(), SystemClock.now().0);
        let path = below.map_or_else(std::env::temp_dir, Path::to_owned).join(name);
        std::fs::create_dir_all(&path).map_err(|source| CliError::File { path: path.clone(), source })?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(err) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %err, "temporary folder not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(series: Option<usize>, scrapes: Option<usize>) -> LoadSpec {
        let args = BenchIngestArgs { series, scrapes, ..BenchIngestArgs::default() };
        load_spec(&args, Timestamp(DAY.0 * 20_000 + 5))
    }

    #[test]
    fn the_load_ends_before_today() {
        let preset = spec(None, None);
        assert_eq!((preset.series, preset.scrapes, preset.start), (20_000, 1_440, Timestamp(DAY.0 * 19_999)));
        let long = spec(Some(100), Some(5_760));
        assert_eq!((long.series, long.start), (100, Timestamp(DAY.0 * 19_998)), "a whole day and its offsets");
    }
}
