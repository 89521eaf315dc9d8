//! `foretide serve` as a child process that can be killed.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::http::{self, Connection};

/// Longest wait for the first answer.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// Starts tried when another process took the port between looking for it and using it.
const PORT_TRIES: usize = 5;
/// Pause before a folder that is still held is tried again.
const FOLDER_PAUSE: Duration = Duration::from_millis(500);

/// Settings that keep a server to the samples it is sent, with small memtables and answers of any length.
pub const QUIET: [(&str, &str); 6] = [
    ("FORETIDE__HOST__ENABLED", "false"),
    ("FORETIDE__STREAMS__STARTERS", "false"),
    ("FORETIDE__STORE__MEMTABLE_MIB", "1"),
    ("FORETIDE__QUERY__ROWS_MAX", "50000000"),
    // However full the disk of this machine is.
    ("FORETIDE__DISK__SHED_PERCENT", "0"),
    ("FORETIDE__DISK__WARN_PERCENT", "0"),
];

/// A running server; killed when dropped.
pub struct Process {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Process {
    /// Starts a server on `data` and waits until it answers. `wrapper` are words in front of the command, such as those
    /// of strace; its log goes to `log`.
    pub fn start(binary: &Path, data: &Path, log: &Path, wrapper: &[String]) -> Self {
        Self::start_with(binary, data, log, wrapper, &[])
    }

    /// As [`Process::start`], with these variables over the quiet ones.
    pub fn start_with(
        binary: &Path,
        data: &Path,
        log: &Path,
        wrapper: &[String],
        variables: &[(&str, String)],
    ) -> Self {
        for _ in 0..PORT_TRIES {
            let mut process = Self::spawn_with(binary, data, log, wrapper, variables);
            if process.wait_until_ready() {
                return process;
            }
        }
        panic!(
            "no free port or folder after {PORT_TRIES} tries; log:\n{}",
            std::fs::read_to_string(log).unwrap_or_default()
        );
    }

    /// As [`Process::start`], without waiting.
    pub fn spawn(binary: &Path, data: &Path, log: &Path, wrapper: &[String]) -> Self {
        Self::spawn_with(binary, data, log, wrapper, &[])
    }

    /// As [`Process::start_with`], without waiting.
    pub fn spawn_with(
        binary: &Path,
        data: &Path,
        log: &Path,
        wrapper: &[String],
        variables: &[(&str, String)],
    ) -> Self {
        let address = free_address();
        let file: File = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let mut words = wrapper.to_vec();
        words.push(binary.display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["serve", "--listen", &address]).arg("--data").arg(data);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FORETIDE")) {
            command.env_remove(name);
        }
        command.envs(QUIET).envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().unwrap_or_else(|err| panic!("{}: {err}", words[0]));
        Self { child, address, log: log.to_owned() }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Number of the process (of the wrapper, when there is one).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, over all starts with this log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL to it and, under a wrapper, to what the wrapper started.
    pub fn kill(mut self) {
        self.end();
    }

    /// Whether it ends by itself within `patience`, and if so how.
    pub fn ends_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                return Some(status);
            }
            if started.elapsed() >= patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A line of `/proc/PID/status` that counts KiB, such as `VmHWM`, in bytes. Not of what a wrapper started, unless it
    /// became the server by `exec`.
    pub fn status_bytes(&self, key: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    }

    /// One figure of `/metrics`.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let text = http::try_get(&self.address, "/metrics").ok()?.text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    fn end(&mut self) {
        for pid in children(self.child.id()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// False when its port was taken by someone else in the meantime.
    fn wait_until_ready(&mut self) -> bool {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                let log = self.log();
                // The one before it is dead, but what it held may be let go a moment later.
                if log.lines().last().is_some_and(|line| line.contains("is in use by another process")) {
                    std::thread::sleep(FOLDER_PAUSE);
                    return false;
                }
                assert!(log.contains("port is taken"), "the server ended with {status}; log:\n{log}");
                return false;
            }
            let ready = Connection::open(&self.address).and_then(|mut c| c.send("GET", "/-/ready", &[], &[]));
            if ready.is_ok_and(|answer| answer.status == 200) {
                return true;
            }
            assert!(started.elapsed() < START_PATIENCE, "no answer within {START_PATIENCE:?}; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Processes that `pid` started.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// A loopback address that was free a moment ago.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").to_string()
}
