//! `foretide serve` as a child process.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::http::{self, Answer, Connection};
use crate::program;

/// Longest wait for the first answer.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for the end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// Starts tried when another process took the port between looking for it and using it.
const PORT_TRIES: usize = 5;

/// Settings that keep a server to the samples it is sent.
pub(crate) const QUIET: [(&str, &str); 2] =
    [("FORETIDE__HOST__ENABLED", "false"), ("FORETIDE__STREAMS__STARTERS", "false")];

/// However full the disk of this machine is, tests go on.
const ANY_DISK: [(&str, &str); 2] = [("FORETIDE__DISK__SHED_PERCENT", "0"), ("FORETIDE__DISK__WARN_PERCENT", "0")];

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server with only our own samples on `data` and waits until it answers.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &QUIET)
    }

    /// As [`Server::start`], with these variables instead.
    pub(crate) fn start_with(data: &Path, variables: &[(&str, &str)]) -> Self {
        Self::ready("serve", data, variables)
    }

    /// Starts the demo, which loads its data and then serves until it is stopped.
    pub(crate) fn demo(data: &Path) -> Self {
        Self::ready("demo", data, &[])
    }

    fn ready(command: &str, data: &Path, variables: &[(&str, &str)]) -> Self {
        for _ in 0..PORT_TRIES {
            let mut server = Self::launch(command, data, variables);
            if server.wait_until_ready() {
                return server;
            }
        }
        panic!("no free port after {PORT_TRIES} tries");
    }

    fn launch(command: &str, data: &Path, variables: &[(&str, &str)]) -> Self {
        let address = free_address();
        let log = log_of(data);
        let file = open_log(&log);
        let mut command = program::foretide(&[command, "--listen", &address]);
        command.arg("--data").arg(data).envs(ANY_DISK).envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("the server starts");
        Self { child, address, log }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, over all starts on this folder.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.address).unwrap_or_else(|err| panic!("connect: {err}; log:\n{}", self.log()))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        http::get(&self.address, target)
    }

    /// GET with escaped parameters.
    pub(crate) fn ask(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.get(&http::target(path, params))
    }

    /// Runs SQL and gives the answer in `format`.
    pub(crate) fn sql(&self, statement: &str, format: &str) -> Answer {
        self.ask("/api/sql", &[("q", statement), ("format", format)]).ok()
    }

    /// `POST /-/flush`, with or without merging.
    pub(crate) fn flush(&self, merge: bool) -> serde_json::Value {
        let target = if merge { "/-/flush?merge=true" } else { "/-/flush" };
        http::send(&self.address, "POST", target, &[], &[]).ok().json()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; it must end by itself and well.
    pub(crate) fn stop(mut self) {
        program::terminate(&self.child);
        let code = program::wait(&mut self.child, STOP_PATIENCE);
        assert_eq!(code, Some(0), "log:\n{}", self.log());
    }

    fn end(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// False when its port was taken by someone else in the meantime.
    fn wait_until_ready(&mut self) -> bool {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                let log = self.log();
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

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address").to_string()
}

/// Outside the data folder, which may not exist yet: nothing of a test lies in it.
fn log_of(data: &Path) -> PathBuf {
    let folder = data.ancestors().skip(1).find(|folder| folder.is_dir());
    folder.expect("data folders of tests lie in a folder").join("serve.log")
}

fn open_log(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("the log can be written")
}
