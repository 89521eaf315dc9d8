//! A control group that bounds the memory of what is started in it; version 1 or 2, whichever this machine lets us make.

use std::fs;
use std::path::{Path, PathBuf};

/// What a version calls its files.
struct Version {
    root: &'static str,
    /// In the root of a version whose memory can be bounded.
    sign: &'static str,
    limit: &'static str,
    swap: &'static str,
    /// Has a line `oom_kill N`.
    events: &'static str,
}

const V1: Version = Version {
    root: "/sys/fs/cgroup/memory",
    sign: "memory.limit_in_bytes",
    limit: "memory.limit_in_bytes",
    swap: "memory.swappiness",
    events: "memory.oom_control",
};
const V2: Version = Version {
    root: "/sys/fs/cgroup",
    sign: "cgroup.subtree_control",
    limit: "memory.max",
    swap: "memory.swap.max",
    events: "memory.events",
};

/// A group; removed when dropped, which needs all its processes to have ended.
#[derive(Debug)]
pub struct MemoryGroup {
    at: PathBuf,
    events: PathBuf,
}

impl MemoryGroup {
    /// A new group of this name, whose processes get `bytes` together, and no swap.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new(name: &str, bytes: u64) -> Result<Self, String> {
        let version = [V1, V2].into_iter().find(|version| Path::new(version.root).join(version.sign).is_file());
        let version = version.ok_or("no memory groups under /sys/fs/cgroup")?;
        let write =
            |path: PathBuf, text: &str| fs::write(&path, text).map_err(|err| format!("{}: {err}", path.display()));
        if version.root == V2.root {
            // Groups below the root have a limit only where the root hands the memory on.
            write(Path::new(version.root).join(version.sign), "+memory")?;
        }
        let at = Path::new(version.root).join(name);
        fs::create_dir(&at).map_err(|err| format!("{}: {err}", at.display()))?;
        let group = Self { events: at.join(version.events), at };
        write(group.at.join(version.limit), &bytes.to_string())?;
        // Not every kernel counts swap; most machines that run tests have none.
        let _ = write(group.at.join(version.swap), "0");
        Ok(group)
    }

    /// Words that run a command inside the group: the limit is in place before its first instruction.
    pub fn wrapper(&self) -> Vec<String> {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.at.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }

    /// Processes that the kernel killed because the group's memory was gone; `None` where it does not say.
    pub fn oom_kills(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.events).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that was killed a moment ago may be in it a little longer.
        for _ in 0..50 {
            if fs::remove_dir(&self.at).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
}
