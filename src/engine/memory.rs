//! How much memory the process may use, and what its parts get of it.
//!
//! ```text
//!   limit = `memory.limit_mib`, or 60 % of what the control group or the machine has
//!     20 %  index of all series: new series beyond it are refused, known ones go on
//!     15 %  samples not yet in files: writes wait for a flush beyond it
//! ```
//!
//! Queries, caches and request bodies have bounds of their own (`query.memory_mib`, `store.cache_mib`, the server's).

use std::path::Path;

use crate::settings::MemorySettings;

/// Of the memory that there is.
const SHARE_OF_MACHINE: f64 = 0.6;
const SHARE_OF_INDEX: f64 = 0.2;
const SHARE_OF_FRESH: f64 = 0.15;
/// Where neither procfs nor a control group says anything.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// What the store gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// For the index of all series.
    pub(crate) index_bytes: u64,
    /// For samples not yet in files.
    pub(crate) fresh_bytes: u64,
}

/// The shares under `settings` on this machine.
pub(crate) fn shares(settings: &MemorySettings) -> Shares {
    let limit = match settings.limit_mib {
        0 => (machine_bytes() as f64 * SHARE_OF_MACHINE) as u64,
        mib => mib.saturating_mul(1 << 20),
    };
    Shares { index_bytes: (limit as f64 * SHARE_OF_INDEX) as u64, fresh_bytes: (limit as f64 * SHARE_OF_FRESH) as u64 }
}

/// The smaller of what the control group allows and what the machine has.
fn machine_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let allowed = groups.iter().filter_map(|path| read(path).trim().parse::<u64>().ok());
    allowed.chain(total_bytes(&read("/proc/meminfo"))).min().unwrap_or(UNKNOWN_BYTES)
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().split(' ').next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_is_said_or_found() {
        let some = shares(&MemorySettings { limit_mib: 1000 });
        assert_eq!(some, Shares { index_bytes: 200 << 20, fresh_bytes: 150 << 20 });
        assert!(shares(&MemorySettings::default()).index_bytes > 0);
        assert_eq!(total_bytes("Foo: 1 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total_bytes(""), None);
    }
}
