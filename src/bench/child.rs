//! The server under test: this program once more, as `serve` on a folder and a port of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::interrupted;
use super::machine::Process;
use crate::cli::{CliError, Client, Common};

/// Longest wait for the first answer.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for a flush of the server's own to end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(300);
/// Starts tried when another process took the port between looking for it and using it.
const PORT_TRIES: usize = 5;

/// A running server; killed when dropped, as its folder goes with it.
pub(super) struct Child {
    process: process::Child,
    url: String,
    log: PathBuf,
}

impl Child {
    /// Starts it on the new folder `data` and waits until it is ready. Its log lies in `scratch`. Settings are the
    /// user's, file and environment, but it does not measure its own machine.
    pub(super) fn start(common: &Common, scratch: &Path, data: &Path, stop: &AtomicBool) -> Result<Self, CliError> {
        for _ in 0..PORT_TRIES {
            let mut child = Self::launch(common, scratch, data)?;
            if child.is_ready(stop)? {
                return Ok(child);
            }
        }
        Err(CliError::Failed(format!("no free port for the server after {PORT_TRIES} tries")))
    }

    fn launch(common: &Common, scratch: &Path, data: &Path) -> Result<Self, CliError> {
        let failed = |what: &str, err: std::io::Error| CliError::Failed(format!("{what}: {err}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|err| failed("look for a free port", err))?;
        let address = listener.local_addr().map_err(|err| failed("look for a free port", err))?.to_string();
        drop(listener);
        let program = std::env::current_exe().map_err(|err| failed("find this program", err))?;
        let log = scratch.join("serve.log");
        let stderr = File::create(&log).map_err(|source| CliError::File { path: log.clone(), source })?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", &address, "--data"]).arg(data);
        if let Some(config) = &common.config {
            command.arg("--config").arg(config);
        }
        command.env("FORETIDE__HOST__ENABLED", "false");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let process = command.spawn().map_err(|err| failed("start the server", err))?;
        Ok(Self { process, url: format!("http://{address}"), log })
    }

    /// False when its port was taken by someone else in the meantime.
    fn is_ready(&mut self, stop: &AtomicBool) -> Result<bool, CliError> {
        let (started, client) = (Instant::now(), Client::new(&self.url));
        loop {
            interrupted(stop)?;
            if let Ok(Some(status)) = self.process.try_wait() {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                if log.contains("the port is taken") {
                    return Ok(false);
                }
                return Err(CliError::Failed(format!("the server ended with {status}:\n{}", log.trim_end())));
            }
            match client.get("/-/ready") {
                Ok(_) => return Ok(true),
                Err(err) if started.elapsed() > START_PATIENCE => return Err(err),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn process(&self) -> Process {
        Process::of(self.process.id())
    }

    /// Everything into files, and every day into one. Waits for a flush that is running already.
    pub(super) fn flush_and_merge(&self, stop: &AtomicBool) -> Result<(), CliError> {
        let (started, client) = (Instant::now(), Client::new(&self.url));
        loop {
            interrupted(stop)?;
            match client.post("/-/flush?merge=true", &[], &[]) {
                Err(CliError::Answered { status: 409, .. }) if started.elapsed() < FLUSH_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                answer => return answer.map(drop),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
