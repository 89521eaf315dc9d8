//! The writer thread: group commit, the two attempts, refusing and resuming.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::appender::Appender;
use crate::error::LogError;
use crate::options::{LogOptions, SyncMode};
use crate::payload::{Apply, Lsns, Payload, RecordWriter};
use crate::queue::{Command, Gather, Queue, Waiting, Work};
use crate::segments::SegmentList;
use crate::stats::Counters;

/// A buffer that one large commit has blown up is given back above this size.
const BUFFER_KEEP_BYTES: usize = 8 << 20;
/// The pause between probes doubles up to this many times the configured one.
const PROBE_BACKOFF_MAX: u32 = 8;

/// What submitters and the writer thread share.
pub(crate) struct Shared<P: Payload> {
    pub(crate) queue: Queue<P>,
    pub(crate) counters: Counters,
    pub(crate) last_lsn: AtomicU64,
    segments: Mutex<SegmentList>,
}

pub(crate) struct Writer<P: Payload> {
    shared: Arc<Shared<P>>,
    appender: Appender,
    options: LogOptions,
    apply: Apply<P>,
    /// What the active segment knows.
    known: P::Segment,
    next_lsn: u64,
    buffer: Vec<u8>,
    /// Size of the last group and duration of the last commit: how long gathering is worth it.
    last_group: usize,
    last_commit: Duration,
    probe: Option<Probe>,
    sync_due: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Probe {
    at: Instant,
    pause: Duration,
    disk_full: bool,
}

/// A batch that was written, up to the payload that could not be encoded.
struct Written {
    lsns: Vec<Lsns>,
    unencodable: Option<LogError>,
}

impl<P: Payload> Shared<P> {
    pub(crate) fn new(options: &LogOptions, last_lsn: u64, segments: SegmentList) -> Self {
        Self {
            queue: Queue::new(options),
            counters: Counters::default(),
            last_lsn: AtomicU64::new(last_lsn),
            segments: Mutex::new(segments),
        }
    }

    pub(crate) fn segments(&self) -> MutexGuard<'_, SegmentList> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Payload> Writer<P> {
    pub(crate) fn new(shared: Arc<Shared<P>>, appender: Appender, options: LogOptions, apply: Apply<P>) -> Self {
        let next_lsn = shared.last_lsn.load(Ordering::Acquire).saturating_add(1);
        Self {
            shared,
            appender,
            options,
            apply,
            known: P::Segment::default(),
            next_lsn,
            buffer: Vec::new(),
            last_group: 1,
            last_commit: Duration::ZERO,
            probe: None,
            sync_due: None,
        }
    }

    /// The thread's body: until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let _farewell = Farewell(Arc::clone(&self.shared));
        loop {
            let tick = [self.probe.map(|probe| probe.at), self.sync_due].into_iter().flatten().min();
            // Gathering longer than a commit takes would cost more than it saves.
            let window = self.options.commit_window.min(self.last_commit);
            match self.shared.queue.next(Gather { waiters: self.last_group, window }, tick) {
                Work::Batch(batch) => self.commit(batch),
                Work::Command(command) => self.command(command),
                Work::Tick => self.tick(),
                Work::Closed => break,
            }
        }
        self.sync_interval();
    }

    fn commit(&mut self, mut batch: VecDeque<Waiting<P>>) {
        let began = Instant::now();
        self.last_group = batch.len();
        while !batch.is_empty() {
            if let Some(error) = self.shared.queue.refusing() {
                self.answer_all(batch.drain(..), &error);
                break;
            }
            match self.write_twice(&batch) {
                Ok(written) => self.acknowledge(written, &mut batch),
                Err(error) => {
                    let error = self.refuse(error);
                    self.answer_all(batch.drain(..), &error);
                }
            }
        }
        self.last_commit = began.elapsed();
        if self.buffer.capacity() > BUFFER_KEEP_BYTES {
            self.buffer = Vec::new();
        }
    }

    /// Writes into the active segment; if that fails, seals it and writes the same payloads into a new one.
    fn write_twice(&mut self, batch: &VecDeque<Waiting<P>>) -> Result<Written, LogError> {
        let first = match self.write(batch) {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        self.failed(&first);
        self.write(batch).inspect_err(|error| self.failed(error))
    }

    fn write(&mut self, batch: &VecDeque<Waiting<P>>) -> Result<Written, LogError> {
        if self.appender.is_full(self.options.segment_bytes) {
            self.seal();
        }
        if self.appender.active.is_none() {
            self.start_segment()?;
        }
        let mut written = Written { lsns: Vec::with_capacity(batch.len()), unencodable: None };
        let (next_lsn, crc) = self.encode(batch, &mut written);
        if next_lsn > self.next_lsn {
            self.appender.append(&self.buffer)?;
            match self.options.sync {
                SyncMode::Always => self.appender.sync(&self.shared.counters)?,
                SyncMode::Interval(pause) => {
                    self.sync_due.get_or_insert_with(|| Instant::now() + pause);
                }
            }
            self.appender.confirm(next_lsn - 1, crc);
            self.shared.segments().active = self.appender.active.as_ref().map(|active| active.info.clone());
            Counters::add(&self.shared.counters.commits, 1);
            Counters::add(&self.shared.counters.records, next_lsn - self.next_lsn);
            Counters::add(&self.shared.counters.bytes, self.buffer.len() as u64);
            self.next_lsn = next_lsn;
        }
        Ok(written)
    }

    /// Encodes payloads up to the first that refuses; answers the next number and the last record's checksum.
    fn encode(&mut self, batch: &VecDeque<Waiting<P>>, written: &mut Written) -> (u64, u32) {
        self.buffer.clear();
        let (mut next_lsn, mut last_crc) = (self.next_lsn, 0);
        for waiting in batch {
            let start = self.buffer.len();
            let mut out = RecordWriter::new(&mut self.buffer, next_lsn);
            let encoded = guarded("encode", || waiting.payload.encode(&mut self.known, &mut out));
            match encoded.and_then(|()| out.finish()) {
                Ok((next, crc)) => {
                    written.lsns.push(Lsns { first: next_lsn, last: next - 1 });
                    if next > next_lsn {
                        (next_lsn, last_crc) = (next, crc);
                    }
                }
                Err(error) => {
                    self.buffer.truncate(start);
                    written.unencodable = Some(error);
                    break;
                }
            }
        }
        (next_lsn, last_crc)
    }

    fn acknowledge(&mut self, written: Written, batch: &mut VecDeque<Waiting<P>>) {
        for lsns in written.lsns {
            let Some(waiting) = batch.pop_front() else { break };
            if let Err(error) = guarded("apply", || (self.apply)(&waiting.payload, lsns)) {
                self.stop(&error);
                answer(waiting, Err(error));
                return;
            }
            self.shared.last_lsn.store(lsns.last, Ordering::Release);
            Counters::add(&self.shared.counters.payloads, 1);
            answer(waiting, Ok(lsns.last));
        }
        if let Some(error) = written.unencodable
            && let Some(waiting) = batch.pop_front()
        {
            // Its half-finished encoding may have told the segment's memory things that were never written.
            self.seal();
            if matches!(error, LogError::Stopped { .. }) {
                self.stop(&error);
            }
            Counters::add(&self.shared.counters.refused, 1);
            answer(waiting, Err(error));
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Exclusive(f) => {
                let last_lsn = self.shared.last_lsn.load(Ordering::Acquire);
                if let Err(error) = guarded("exclusive", || f(last_lsn)) {
                    self.stop(&error);
                }
            }
            Command::Rotate { below, reply } => {
                self.rotate(below);
                let _ = reply.try_send(());
            }
            Command::Resume { reply } => {
                let _ = reply.try_send(self.try_resume());
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.sync_due.is_some_and(|at| at <= now) {
            self.sync_interval();
        }
        if let Some(probe) = self.probe.take_if(|probe| probe.at <= now)
            && let Err(error) = self.try_resume()
        {
            tracing::debug!(%error, "the log still refuses writes");
            let pause = (probe.pause * 2).min(self.options.probe_interval * PROBE_BACKOFF_MAX);
            // A full disk must resume within 10 s of space being back; asking for free space costs nothing.
            let pause = if probe.disk_full { self.options.probe_interval } else { pause };
            self.probe = Some(Probe { at: Instant::now() + pause, pause, ..probe });
        }
    }

    /// Starts a new segment if everything in the active one is at or below `below`, so that it can be removed. With no
    /// active segment a new one keeps the position when all others go.
    fn rotate(&mut self, below: u64) {
        self.sync_interval();
        let all_below = |last_lsn: u64| last_lsn <= below;
        let due = match &self.appender.active {
            Some(active) => active.info.has_records() && all_below(active.info.last_lsn),
            None => self.shared.segments().closed.last().is_some_and(|segment| all_below(segment.last_lsn)),
        };
        if !due || self.shared.queue.refusing().is_some() {
            return;
        }
        let old = self.appender.active.take();
        match self.start_segment() {
            Ok(()) => self.shared.segments().close(old.map(|active| active.info)),
            Err(error) => {
                Counters::add(&self.shared.counters.failures, 1);
                tracing::warn!(%error, source = source(&error), "no new segment for truncation; the current one stays");
                self.appender.active = old;
            }
        }
    }

    fn start_segment(&mut self) -> Result<(), LogError> {
        let started = self.appender.start(self.next_lsn, &self.shared.counters);
        let leftovers = self.appender.leftovers.drain(..);
        self.shared.segments().close(leftovers);
        started?;
        self.known = P::Segment::default();
        self.shared.segments().active = self.appender.active.as_ref().map(|active| active.info.clone());
        Ok(())
    }

    /// Closes the active segment. In interval mode its unsynced end gets its one chance to reach the disk.
    fn seal(&mut self) {
        if let Err(error) = self.appender.sync_if_buffered(self.options.sync, &self.shared.counters) {
            Counters::add(&self.shared.counters.failures, 1);
            tracing::error!(%error, "buffered records may be lost at a power cut");
        }
        self.sync_due = None;
        let sealed = self.appender.seal();
        let mut segments = self.shared.segments();
        segments.active = None;
        segments.close(sealed.into_iter().chain(self.appender.leftovers.drain(..)));
    }

    fn sync_interval(&mut self) {
        self.sync_due = None;
        if let Err(error) = self.appender.sync(&self.shared.counters) {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &LogError) {
        Counters::add(&self.shared.counters.failures, 1);
        tracing::warn!(%error, source = source(error), "a write to the log failed; its segment is sealed");
        self.seal();
    }

    /// Two failures in a row: refuses everything until a probe succeeds. Answers what the waiters are told.
    fn refuse(&mut self, error: LogError) -> LogError {
        let disk_full = error.is_disk_full();
        let told = if disk_full {
            LogError::DiskFull { free_bytes: self.appender.storage.free_bytes().unwrap_or(0) }
        } else {
            LogError::ReadOnly { cause: format!("{error}: {}", source(&error)) }
        };
        tracing::error!(error = %told, "the log refuses writes");
        let pause = self.options.probe_interval;
        self.probe = Some(Probe { at: Instant::now() + pause, pause, disk_full });
        let waiting = self.shared.queue.refuse(told.clone());
        self.answer_all(waiting.into_iter(), &told);
        told
    }

    fn try_resume(&mut self) -> Result<(), LogError> {
        let Some(refusing) = self.shared.queue.refusing() else { return Ok(()) };
        if matches!(refusing, LogError::Stopped { .. }) {
            return Err(refusing);
        }
        if let LogError::DiskFull { .. } = refusing {
            let free_bytes = self.appender.storage.free_bytes().unwrap_or(0);
            if free_bytes < self.options.resume_free_bytes {
                return Err(LogError::DiskFull { free_bytes });
            }
        }
        self.start_segment().inspect_err(|_| Counters::add(&self.shared.counters.failures, 1))?;
        self.probe = None;
        self.shared.queue.accept();
        tracing::info!(lsn = self.next_lsn, "the log accepts writes again");
        Ok(())
    }

    /// A panic in the user's code: memory and log may differ, so nothing more is taken.
    fn stop(&mut self, error: &LogError) {
        tracing::error!(%error, "the log stops");
        self.probe = None;
        let waiting = self.shared.queue.refuse(error.clone());
        self.answer_all(waiting.into_iter(), error);
    }

    fn answer_all(&self, waiting: impl Iterator<Item = Waiting<P>>, error: &LogError) {
        for waiting in waiting {
            Counters::add(&self.shared.counters.refused, 1);
            answer(waiting, Err(error.clone()));
        }
    }
}

/// Answers whoever still waits when the thread ends, even by a bug of ours.
struct Farewell<P: Payload>(Arc<Shared<P>>);

impl<P: Payload> Drop for Farewell<P> {
    fn drop(&mut self) {
        for waiting in self.0.queue.shut() {
            answer(waiting, Err(LogError::Closed));
        }
    }
}

fn answer<P: Payload>(waiting: Waiting<P>, result: Result<u64, LogError>) {
    let Waiting { payload, done, .. } = waiting;
    // The answer is given; a panic after that is the submitter's own.
    let _ = guarded("done", || done(payload, result));
}

/// Runs the user's code; a panic becomes an error.
fn guarded<T>(place: &'static str, f: impl FnOnce() -> T) -> Result<T, LogError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| {
        tracing::error!(place, "panic in the log's writer thread");
        LogError::Stopped { place }
    })
}

fn source(error: &LogError) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}
