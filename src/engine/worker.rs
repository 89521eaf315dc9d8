//! Supervised background threads: a panic is logged and the work begun again, a few times, with growing pauses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::EngineError;

/// Restarts before a worker is given up.
const RESTARTS_MAX: u32 = 5;

/// Tells workers to end.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

/// The running threads.
#[derive(Default)]
pub(crate) struct Workers {
    stop: Stop,
    threads: Vec<JoinHandle<()>>,
}

impl Stop {
    /// Sleeps; true at once when it is time to end.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        let (flag, signal) = &*self.0;
        let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let (flag, _) = signal.wait_timeout_while(flag, pause, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
        *flag
    }

    fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }
}

impl Workers {
    /// Runs `work` on a thread of its own until it returns.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        work: impl Fn(&Stop) + Send + 'static,
    ) -> Result<(), EngineError> {
        let stop = self.stop.clone();
        let body = move || supervise(name, &stop, &work);
        let thread = std::thread::Builder::new().name(name.into()).spawn(body);
        self.threads.push(thread.map_err(|source| EngineError::Thread { name, source })?);
        Ok(())
    }

    /// Ends all threads and waits for them.
    pub(crate) fn stop(&mut self) {
        self.stop.set();
        for thread in self.threads.drain(..) {
            // A worker catches its panics, so a failed join has been logged already.
            drop(thread.join());
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

fn supervise(name: &str, stop: &Stop, work: &(impl Fn(&Stop) + Send)) {
    for restart in 0..=RESTARTS_MAX {
        if catch_unwind(AssertUnwindSafe(|| work(stop))).is_ok() {
            return;
        }
        tracing::error!(worker = name, restart, "worker panicked");
        if stop.wait(Duration::from_secs(1 << restart)) {
            return;
        }
    }
    tracing::error!(worker = name, "worker is given up after {RESTARTS_MAX} restarts; restart the program");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_worker_that_panics_runs_again_and_ends_when_told() {
        let runs = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&runs);
        let (send, second) = std::sync::mpsc::channel();
        let mut workers = Workers::default();
        let work = move |stop: &Stop| {
            if seen.fetch_add(1, Ordering::SeqCst) == 0 {
                std::panic::panic_any("first run");
            }
            send.send(()).expect("the test listens");
            while !stop.wait(Duration::from_secs(60)) {}
        };
        workers.spawn("test", work).expect("a thread");
        second.recv().expect("the second run");
        workers.stop();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
