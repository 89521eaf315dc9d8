//! How much memory the process may use, and what its parts get of it.
//!
//! ```text
//!   limit = `memory.limit_mib`, or 60 % of what the control group or the machine has
//!     20 %  index of all series: new series beyond it are refused, known ones go on
//!     15 %  samples not yet in files: writes wait for a flush beyond it
//!     25 %  one query of either language, if its own bound (`query.memory_mib`, `query.samples_max`) is not lower
//!     10 %  cache of decoded chunks, likewise (`store.cache_mib`)
//!      5 %  state of the standing queries, likewise (`streams.memory_mib`)
//! ```
//!
//! The rest is for request bodies, which have bounds of their own, and for what the allocator keeps.

use std::path::{Path, PathBuf};

use crate::settings::MemorySettings;

/// Of the memory that there is.
const SHARE_OF_MACHINE: f64 = 0.6;
const SHARE_OF_INDEX: f64 = 0.2;
const SHARE_OF_FRESH: f64 = 0.15;
const SHARE_OF_QUERY: f64 = 0.25;
const SHARE_OF_CACHE: f64 = 0.1;
const SHARE_OF_STREAMS: f64 = 0.05;
/// What a sample of a PromQL query takes: time and value, and once more on the way through its functions.
const QUERY_SAMPLE_BYTES: u64 = 48;
/// Where neither procfs nor a control group says anything.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// What the parts get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// For the index of all series.
    pub(crate) index_bytes: u64,
    /// For samples not yet in files.
    pub(crate) fresh_bytes: u64,
    /// For one query.
    pub(crate) query_bytes: u64,
    /// For decoded chunks.
    pub(crate) cache_bytes: u64,
    /// For standing queries.
    pub(crate) stream_bytes: u64,
}

impl Shares {
    /// Samples that one PromQL query may load.
    pub(crate) fn query_samples(&self) -> usize {
        usize::try_from(self.query_bytes / QUERY_SAMPLE_BYTES).unwrap_or(usize::MAX)
    }
}

/// The shares under `settings` on this machine.
pub(crate) fn shares(settings: &MemorySettings) -> Shares {
    let limit = match settings.limit_mib {
        0 => (machine_bytes() as f64 * SHARE_OF_MACHINE) as u64,
        mib => mib.saturating_mul(1 << 20),
    };
    let share = |part: f64| (limit as f64 * part) as u64;
    Shares {
        index_bytes: share(SHARE_OF_INDEX),
        fresh_bytes: share(SHARE_OF_FRESH),
        query_bytes: share(SHARE_OF_QUERY),
        cache_bytes: share(SHARE_OF_CACHE),
        stream_bytes: share(SHARE_OF_STREAMS),
    }
}

/// The smallest of what the control groups around this process allow and what the machine has.
fn machine_bytes() -> u64 {
    known_bytes().unwrap_or(UNKNOWN_BYTES)
}

/// As [`machine_bytes`]; `None` where neither procfs nor a control group says anything.
pub(crate) fn known_bytes() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let groups = group_files(&read(Path::new("/proc/self/cgroup")));
    let allowed = groups.iter().filter_map(|path| read(path).trim().parse::<u64>().ok());
    allowed.chain(total_bytes(&read(Path::new("/proc/meminfo")))).min()
}

/// Files that may hold a limit, by `/proc/self/cgroup`: of the own group and of all above it, since each of them binds. In
/// a container the own group is often mounted as the root and its name leads nowhere; the root is looked at in any case.
fn group_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(name)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|one| one == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let name = Path::new(name.trim_start_matches('/'));
        files.extend(name.ancestors().map(|above| Path::new(root).join(above).join(file)));
    }
    files
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
        assert_eq!((some.index_bytes, some.fresh_bytes, some.query_bytes), (200 << 20, 150 << 20, 250 << 20));
        assert_eq!(some.query_samples(), (250 << 20) / 48);
        assert!(shares(&MemorySettings::default()).index_bytes > 0);
        assert!(known_bytes() > Some(0));
        assert_eq!(total_bytes("Foo: 1 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total_bytes(""), None);
    }

    #[test]
    fn limits_are_looked_for_in_the_own_group_and_above() {
        let found = |text| group_files(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let v1 = found("9:name=systemd:/a\n4:cpu,memory:/a/b\n3:cpuset:/\n");
        let v1_root = "/sys/fs/cgroup/memory";
        let expected = ["a/b/", "a/", ""].map(|group| format!("{v1_root}/{group}memory.limit_in_bytes"));
        assert_eq!(v1, expected);
        let v2 = found("0::/system.slice/foretide.service\n");
        let expected = ["system.slice/foretide.service/", "system.slice/", ""];
        assert_eq!(v2, expected.map(|group| format!("/sys/fs/cgroup/{group}memory.max")));
        assert_eq!(found("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }
}
