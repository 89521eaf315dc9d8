//! Running programs: our own binary and, where they are installed, others.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest run of one command; unoptimised builds on busy machines are slow.
const PATIENCE: Duration = Duration::from_secs(400);

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit code; -1 when it was ended by a signal.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same outcome, if it is success.
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.text(), self.stderr);
        self
    }
}

/// Our binary, not influenced by the environment's settings.
pub(crate) fn foretide(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretide"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FORETIDE")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs our binary to its end.
pub(crate) fn run(args: &[&str]) -> Outcome {
    finish(&mut foretide(args))
}

/// Runs a command to its end and ends it when it takes too long.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let code = wait(&mut child, PATIENCE);
    let stderr = String::from_utf8_lossy(&stderr.join().expect("reader")).into_owned();
    let stdout = stdout.join().expect("reader");
    let code = code.unwrap_or_else(|| panic!("{command:?} did not end within {PATIENCE:?}; stderr:\n{stderr}"));
    Outcome { code, stdout, stderr }
}

/// Waits for the end; kills the program and answers `None` when `patience` is over.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            return Some(status.code().unwrap_or(-1));
        }
        if started.elapsed() > patience {
            // It may have ended by itself in this moment; either way it is gone afterwards.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends SIGTERM, as a service manager does.
pub(crate) fn terminate(child: &Child) {
    let kill = format!("kill -TERM {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
    assert!(status.success(), "{kill}");
}

/// The program's path, if it is installed.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Says loudly that a test did not run. Written to the descriptor, so that the test harness does not swallow it.
pub(crate) fn skip(test: &str, why: &str) {
    use std::io::Write;
    let line = format!("\nSKIPPED: {test}: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A program that is killed breaks its pipe; what it said so far is kept.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
