//! The bounded queue between submitters and the writer thread.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::LogError;
use crate::options::LogOptions;
use crate::payload::{Done, Exclusive, Payload};

/// A payload waiting to be written.
pub(crate) struct Waiting<P: Payload> {
    pub(crate) payload: P,
    pub(crate) done: Done<P>,
    pub(crate) bytes: usize,
}

/// Something the writer thread does between commits.
pub(crate) enum Command {
    /// Run a function alone.
    Exclusive(Exclusive),
    /// Start a new segment if all records of the active one are at or below `below`.
    Rotate { below: u64, reply: SyncSender<()> },
    /// Try to leave the refusing state now.
    Resume { reply: SyncSender<Result<(), LogError>> },
}

/// What the writer thread shall do next.
pub(crate) enum Work<P: Payload> {
    Batch(VecDeque<Waiting<P>>),
    Command(Command),
    /// The moment given to [`Queue::next`] has come.
    Tick,
    /// The queue is closed and empty; nothing more will come.
    Closed,
}

/// How long to gather before a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather {
    /// Do not wait once so many payloads are here.
    pub(crate) waiters: usize,
    pub(crate) window: Duration,
}

enum Item<P: Payload> {
    Write(Waiting<P>),
    Command(Command),
}

struct Inner<P: Payload> {
    items: VecDeque<Item<P>>,
    writes: usize,
    bytes: usize,
    refusing: Option<LogError>,
    closing: bool,
    closed: bool,
}

/// First in, first out; commands keep their place among the writes.
pub(crate) struct Queue<P: Payload> {
    inner: Mutex<Inner<P>>,
    wake: Condvar,
    bytes_max: usize,
    commit_bytes: usize,
    waiters_max: usize,
}

impl<P: Payload> Queue<P> {
    pub(crate) fn new(options: &LogOptions) -> Self {
        let inner =
            Inner { items: VecDeque::new(), writes: 0, bytes: 0, refusing: None, closing: false, closed: false };
        Self {
            inner: Mutex::new(inner),
            wake: Condvar::new(),
            bytes_max: options.queue_bytes_max,
            commit_bytes: options.commit_bytes,
            waiters_max: options.waiters_max.max(1),
        }
    }

    /// Queues a payload, or hands it back with the reason.
    pub(crate) fn push(&self, waiting: Waiting<P>) -> Result<(), (Waiting<P>, LogError)> {
        let mut inner = self.lock();
        if inner.closing {
            return Err((waiting, LogError::Closed));
        }
        if let Some(error) = &inner.refusing {
            let error = error.clone();
            return Err((waiting, error));
        }
        let queued = inner.bytes;
        if inner.writes > 0 && queued.saturating_add(waiting.bytes) > self.bytes_max {
            return Err((waiting, LogError::QueueFull { queued, max: self.bytes_max }));
        }
        inner.bytes += waiting.bytes;
        inner.writes += 1;
        inner.items.push_back(Item::Write(waiting));
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Queues a command, or hands it back when the writer thread has ended.
    pub(crate) fn command(&self, command: Command) -> Result<(), Command> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(command);
        }
        inner.items.push_back(Item::Command(command));
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for work. A lone writer is served at once; where several were active, gathers for at most the window.
    pub(crate) fn next(&self, gather: Gather, tick: Option<Instant>) -> Work<P> {
        let mut inner = self.lock();
        let mut gather_until: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if tick.is_some_and(|at| at <= now) {
                return Work::Tick;
            }
            match inner.items.front() {
                Some(Item::Command(_)) => {
                    if let Some(Item::Command(command)) = inner.items.pop_front() {
                        return Work::Command(command);
                    }
                }
                Some(Item::Write(_)) => {
                    let until = *gather_until.get_or_insert(now + gather.window);
                    if until <= now || self.is_ready(&inner, gather) {
                        return Work::Batch(self.take_batch(&mut inner));
                    }
                }
                None if inner.closing => {
                    inner.closed = true;
                    return Work::Closed;
                }
                None => {}
            }
            inner = self.wait(inner, [gather_until, tick].into_iter().flatten().min(), now);
        }
    }

    fn is_ready(&self, inner: &Inner<P>, gather: Gather) -> bool {
        let commands = inner.items.len() > inner.writes;
        let enough = inner.writes >= gather.waiters.min(self.waiters_max) || inner.bytes >= self.commit_bytes;
        enough || commands || inner.closing
    }

    fn take_batch(&self, inner: &mut Inner<P>) -> VecDeque<Waiting<P>> {
        let (mut batch, mut bytes) = (VecDeque::new(), 0);
        while batch.len() < self.waiters_max
            && bytes < self.commit_bytes
            && let Some(Item::Write(_)) = inner.items.front()
            && let Some(Item::Write(waiting)) = inner.items.pop_front()
        {
            bytes += waiting.bytes;
            batch.push_back(waiting);
        }
        inner.writes -= batch.len();
        inner.bytes -= bytes;
        batch
    }

    fn wait<'a>(
        &self,
        inner: MutexGuard<'a, Inner<P>>,
        until: Option<Instant>,
        now: Instant,
    ) -> MutexGuard<'a, Inner<P>> {
        match until {
            None => self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let limit = until.saturating_duration_since(now);
                self.wake.wait_timeout(inner, limit).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Refuses new payloads from now on and hands back those waiting.
    pub(crate) fn refuse(&self, error: LogError) -> Vec<Waiting<P>> {
        let mut inner = self.lock();
        inner.refusing = Some(error);
        inner.take_writes()
    }

    /// Accepts payloads again.
    pub(crate) fn accept(&self) {
        self.lock().refusing = None;
    }

    /// Why payloads are refused at present.
    pub(crate) fn refusing(&self) -> Option<LogError> {
        self.lock().refusing.clone()
    }

    /// Takes nothing more; what is queued is still worked off.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_all();
    }

    /// The writer thread is gone: hands back everything, whatever the reason was.
    pub(crate) fn shut(&self) -> Vec<Waiting<P>> {
        let mut inner = self.lock();
        (inner.closing, inner.closed) = (true, true);
        let writes = inner.take_writes();
        inner.items.clear();
        writes
    }

    /// Payloads and bytes waiting.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.writes, inner.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Payload> Inner<P> {
    fn take_writes(&mut self) -> Vec<Waiting<P>> {
        let (mut writes, mut commands) = (Vec::new(), VecDeque::new());
        for item in self.items.drain(..) {
            match item {
                Item::Write(waiting) => writes.push(waiting),
                command @ Item::Command(_) => commands.push_back(command),
            }
        }
        self.items = commands;
        (self.writes, self.bytes) = (0, 0);
        writes
    }
}
