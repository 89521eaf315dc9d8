//! What a stretch of work cost, from `/proc`: all threads of this process, running and ended ones.

use std::time::Instant;

/// Ticks of `/proc/self/stat` a second: a constant of Linux' interface to programs.
const TICKS_PER_S: f64 = 100.0;

/// Time spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall_s: f64,
    /// NaN where there is no `/proc`. Never below a tick, so that ratios of short runs stay finite.
    pub(crate) cpu_s: f64,
}

/// A running measurement.
pub(crate) struct Meter {
    started: Instant,
    cpu_s: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu_s: cpu_s() }
    }

    pub(crate) fn stop(self) -> Spent {
        let cpu_s = cpu_s() - self.cpu_s;
        let cpu_s = if cpu_s.is_nan() { cpu_s } else { cpu_s.max(1.0 / TICKS_PER_S) };
        Spent { wall_s: self.started.elapsed().as_secs_f64(), cpu_s }
    }
}

/// Memory now, or NaN.
pub(crate) fn memory_bytes() -> f64 {
    status("VmRSS:")
}

/// Largest memory so far, or NaN.
pub(crate) fn peak_memory_bytes() -> f64 {
    status("VmHWM:")
}

/// A line of `/proc/self/status`, which counts in KiB.
fn status(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}

/// User and system time: fields 14 and 15; the second field, a name in parentheses, may hold spaces.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / TICKS_PER_S } else { f64::NAN }
}
