//! What a stretch of work cost, from `/proc`: all threads of a process, running and ended ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` a second: a constant of Linux' interface to programs.
const TICKS_PER_S: f64 = 100.0;
/// A process that spends less than this share of a core for [`QUIET_FOR`] is quiet.
const QUIET_SHARE: f64 = 0.05;
const QUIET_FOR: Duration = Duration::from_secs(1);

/// A process, this one or another of the same user.
#[derive(Debug, Clone)]
pub struct Process {
    folder: String,
}

/// Time spent.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// By the clock.
    pub wall_s: f64,
    /// By the processors. NaN where there is no `/proc`. Never below a tick, so that ratios of short runs stay finite.
    pub cpu_s: f64,
}

/// A running measurement of this process.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    cpu_s: f64,
}

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self { folder: "/proc/self".to_owned() }
    }

    /// The one with this number.
    pub fn of(pid: u32) -> Self {
        Self { folder: format!("/proc/{pid}") }
    }

    /// User and system time so far, or NaN.
    pub fn cpu_s(&self) -> f64 {
        // Fields 14 and 15; the second field, a name in parentheses, may hold spaces.
        let stat = std::fs::read_to_string(format!("{}/stat", self.folder)).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: Vec<f64> = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        if ticks.len() == 2 { (ticks[0] + ticks[1]) / TICKS_PER_S } else { f64::NAN }
    }

    /// Memory now, or NaN.
    pub fn memory_bytes(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Largest memory so far, or NaN.
    pub fn peak_memory_bytes(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// Waits until the process does next to nothing, at most `patience`, or until `stop`.
    pub fn wait_until_quiet(&self, patience: Duration, stop: &AtomicBool) {
        let started = Instant::now();
        while started.elapsed() < patience && !stop.load(Ordering::Relaxed) {
            let before = self.cpu_s();
            std::thread::sleep(QUIET_FOR);
            let share = (self.cpu_s() - before) / QUIET_FOR.as_secs_f64();
            // NaN, too: what cannot be seen is not waited for.
            if share.is_nan() || share < QUIET_SHARE {
                return;
            }
        }
    }

    /// A line of `/proc/PID/status`, which counts in KiB.
    fn status(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("{}/status", self.folder)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib * 1024.0)
    }
}

impl Meter {
    /// Begins.
    pub fn start() -> Self {
        Self { started: Instant::now(), cpu_s: Process::own().cpu_s() }
    }

    /// Ends.
    pub fn stop(self) -> Spent {
        let cpu_s = Process::own().cpu_s() - self.cpu_s;
        let cpu_s = if cpu_s.is_nan() { cpu_s } else { cpu_s.max(1.0 / TICKS_PER_S) };
        Spent { wall_s: self.started.elapsed().as_secs_f64(), cpu_s }
    }
}
