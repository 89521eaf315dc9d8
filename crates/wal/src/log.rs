//! The log's public face: open, submit, run alone, truncate, close.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};

use crate::appender::Appender;
use crate::error::LogError;
use crate::options::LogOptions;
use crate::payload::{Apply, Done, Exclusive, Payload};
use crate::queue::{Command, Waiting};
use crate::recover::{self, Purpose, Recovered, Replay, ReplayReport};
use crate::segments::{SegmentInfo, SegmentList};
use crate::stats::LogStats;
use crate::storage::Storage;
use crate::writer::{Shared, Writer};

/// A write-ahead log. All methods take `&self`; share it in an [`Arc`].
pub struct Log<P: Payload> {
    shared: Arc<Shared<P>>,
    storage: Arc<dyn Storage>,
    dir: String,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    /// Keeps exclusive functions alone when no thread runs them any more.
    after_close: Mutex<()>,
}

impl<P: Payload> Log<P> {
    /// Opens the log in the folder `dir` (created if missing), replays it and starts its writer thread.
    ///
    /// `replay` gets, in order, every record of every segment that holds a record above `from_lsn`, and of the last
    /// segment; so it also sees older records that later ones of the same segment depend on. `from_lsn` is what the
    /// caller holds safe elsewhere (0: nothing) and must not be lower than what [`Log::truncate_below`] was given; the
    /// next record gets a number above both it and the last one found. The first number ever is 1. One segment is in
    /// memory at a time. No file is created before the first write, so a full disk can be opened.
    ///
    /// # Errors
    /// [`LogError::NewerFormat`] before anything is changed, [`LogError::Io`], [`LogError::ReplayStopped`]. Damage is
    /// no error; it is counted in the report.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: &str,
        options: LogOptions,
        from_lsn: u64,
        replay: &mut Replay<'_>,
        apply: Apply<P>,
    ) -> Result<(Self, ReplayReport), LogError> {
        storage.create_dir_all(dir).map_err(|error| LogError::io("create folder", dir, error))?;
        let recovered = recover::recover(&*storage, dir, from_lsn, Purpose::Open, replay)?;
        let Recovered { report, segments, next_number, epoch, last_crc } = recovered;
        let list = SegmentList { closed: segments, active: None };
        let shared = Arc::new(Shared::new(&options, report.last_lsn, list));
        let appender = Appender {
            storage: Arc::clone(&storage),
            dir: dir.to_owned(),
            next_number,
            epoch,
            last_crc,
            active: None,
            leftovers: Vec::new(),
        };
        let writer = Writer::new(Arc::clone(&shared), appender, options, apply);
        let thread = thread::Builder::new()
            .name(format!("wal-{dir}"))
            .spawn(move || writer.run())
            .map_err(|error| LogError::io("start the writer thread of", dir, error))?;
        let thread_id = thread.thread().id();
        let dir = dir.to_owned();
        let thread = Mutex::new(Some(thread));
        Ok((Self { shared, storage, dir, thread, thread_id, after_close: Mutex::new(()) }, report))
    }

    /// Queues `payload`. Never waits for the disk. When it is durable, `apply` runs in the writer thread in order of
    /// sequence numbers, then `done` with the last number; a refusal calls `done` at once, in this thread.
    pub fn submit(&self, payload: P, done: Done<P>) {
        let bytes = payload.bytes();
        if let Err((waiting, error)) = self.shared.queue.push(Waiting { payload, done, bytes }) {
            crate::stats::Counters::add(&self.shared.counters.refused, 1);
            (waiting.done)(waiting.payload, Err(error));
        }
    }

    /// Submits and waits: answers the last sequence number once the payload is durable and applied.
    ///
    /// # Errors
    /// Those of a commit; [`LogError::InWriterThread`] from within `apply`, `done` or an exclusive function.
    pub fn append(&self, payload: P) -> Result<u64, LogError> {
        self.not_in_writer_thread("append")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(payload, Box::new(move |_, result| drop(sender.try_send(result))));
        receiver.recv().unwrap_or(Err(LogError::Closed))
    }

    /// Runs `f(last_lsn)` in the writer thread between commits, after everything submitted before it. Nothing is
    /// committed or applied while it runs. After [`Log::close`] it runs in the calling thread.
    pub fn exclusive(&self, f: Exclusive) {
        if let Err(Command::Exclusive(f)) = self.shared.queue.command(Command::Exclusive(f)) {
            let _alone = self.after_close.lock().unwrap_or_else(PoisonError::into_inner);
            f(self.last_lsn());
        }
    }

    /// Sequence number of the last record that is durable and applied; 0 before the first.
    pub fn last_lsn(&self) -> u64 {
        self.shared.last_lsn.load(Ordering::Acquire)
    }

    /// Removes the segments whose records are all at or below `lsn` (which must be safe elsewhere, durably) and
    /// answers how many. Starts a new segment first if the current one is among them.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file cannot be removed; it stays listed and is tried again next time.
    pub fn truncate_below(&self, lsn: u64) -> Result<usize, LogError> {
        self.not_in_writer_thread("truncate_below")?;
        let (reply, rotated) = mpsc::sync_channel(1);
        if self.shared.queue.command(Command::Rotate { below: lsn, reply }).is_ok() {
            // An error means that the thread has ended: nothing left to rotate.
            let _ = rotated.recv();
        }
        let mut due = self.shared.segments().take_below(lsn);
        let mut removed = 0;
        while let Some(segment) = due.first() {
            match self.storage.remove(&segment.path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let failed = LogError::io("remove segment", &segment.path, error);
                    self.shared.segments().close(due);
                    return Err(failed);
                }
            }
            due.remove(0);
            removed += 1;
        }
        if removed > 0 {
            self.storage.sync_dir(&self.dir).map_err(|error| LogError::io("sync folder", &self.dir, error))?;
        }
        Ok(removed)
    }

    /// The segments on disk, oldest first; the last one may still grow.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.segments().all().cloned().collect()
    }

    /// Bytes of all segments on disk.
    pub fn bytes(&self) -> u64 {
        self.shared.segments().all().map(|segment| segment.bytes).sum()
    }

    /// Counters and state.
    pub fn stats(&self) -> LogStats {
        let (queued, queued_bytes) = self.shared.queue.depth();
        let segments = self.shared.segments().all().count();
        let refusing = self.shared.queue.refusing();
        LogStats { queued, queued_bytes, segments, refusing, ..self.shared.counters.snapshot() }
    }

    /// Tries at once to leave the refusing state, instead of at the next probe.
    ///
    /// # Errors
    /// Why it still refuses.
    pub fn resume(&self) -> Result<(), LogError> {
        self.not_in_writer_thread("resume")?;
        let (reply, answer) = mpsc::sync_channel(1);
        self.shared.queue.command(Command::Resume { reply }).map_err(|_| LogError::Closed)?;
        answer.recv().unwrap_or(Err(LogError::Closed))
    }

    /// Takes nothing more, commits what is queued and ends the writer thread. Dropping the log does the same.
    pub fn close(&self) {
        self.shared.queue.close();
        if thread::current().id() == self.thread_id {
            return; // The last owner let go inside `done`: the thread ends by itself after this.
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(dir = self.dir, "the log's writer thread had panicked");
        }
    }

    fn not_in_writer_thread(&self, call: &'static str) -> Result<(), LogError> {
        if thread::current().id() == self.thread_id { Err(LogError::InWriterThread { call }) } else { Ok(()) }
    }
}

impl<P: Payload> Drop for Log<P> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads the log in `dir` with the reader that [`Log::open`] uses, and changes nothing. Of a log in use it sees what was
/// appended so far; call it from [`Log::exclusive`] for an exact end.
///
/// # Errors
/// [`LogError::NewerFormat`], [`LogError::Io`] or [`LogError::ReplayStopped`]; damage is counted in the report.
pub fn read(
    storage: &dyn Storage,
    dir: &str,
    from_lsn: u64,
    replay: &mut Replay<'_>,
) -> Result<ReplayReport, LogError> {
    recover::recover(storage, dir, from_lsn, Purpose::Verify, replay).map(|recovered| recovered.report)
}

/// Checks the log in `dir` without changing anything: [`read`] that only counts.
///
/// # Errors
/// As [`read`].
pub fn verify(storage: &dyn Storage, dir: &str, from_lsn: u64) -> Result<ReplayReport, LogError> {
    read(storage, dir, from_lsn, &mut |_| Ok(()))
}

#[cfg(test)]
mod tests;
