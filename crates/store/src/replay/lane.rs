//! A thread that puts the samples of some shards into the memtable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::index::SeriesNumber;
use crate::memtable;
use crate::payload;
use crate::tables::Tables;

/// Records that may wait for a lane. A record is one request, so they are small.
const QUEUE: usize = 8;

/// What a lane is told, in the order of the log.
pub(super) enum Work {
    /// A new segment begins: local numbers start again.
    Segment,
    /// What local numbers from `first` on stand for.
    Series { first: usize, numbers: Arc<[SeriesNumber]> },
    /// A record of samples.
    Samples { lsn: u64, kind: u8, payload: Arc<[u8]> },
    /// Answer when everything before is done.
    Wait(SyncSender<()>),
}

/// What was read back.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) samples: u64,
    pub(crate) unreadable: u64,
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { samples: self.samples + other.samples, unreadable: self.unreadable + other.unreadable }
    }
}

/// The thread, from outside.
pub(super) struct Lane {
    send: SyncSender<Work>,
    thread: JoinHandle<Counts>,
}

/// The thread, from inside.
struct Filling {
    tables: Arc<Tables>,
    lane: usize,
    n_lanes: usize,
    locals: Vec<SeriesNumber>,
    counts: Counts,
}

impl Lane {
    /// Lane number `lane` of `n_lanes`.
    pub(super) fn start(tables: &Arc<Tables>, lane: usize, n_lanes: usize) -> std::io::Result<Self> {
        let (send, receive) = sync_channel(QUEUE);
        let filling =
            Filling { tables: Arc::clone(tables), lane, n_lanes, locals: Vec::new(), counts: Counts::default() };
        let thread = std::thread::Builder::new().name(format!("replay-{lane}")).spawn(move || filling.run(&receive))?;
        Ok(Self { send, thread })
    }

    /// Hands work over. A lane that has panicked takes none; [`Lane::finish`] tells.
    pub(super) fn tell(&self, work: Work) {
        drop(self.send.send(work));
    }

    /// Returns when everything told so far is done.
    pub(super) fn wait(&self) {
        let (send, done) = sync_channel(1);
        self.tell(Work::Wait(send));
        let _ = done.recv();
    }

    /// Waits for the end. A panic in the lane goes on here: a start that lost samples must not pass for one that did not.
    pub(super) fn finish(self) -> Counts {
        drop(self.send);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Filling {
    fn run(mut self, receive: &Receiver<Work>) -> Counts {
        while let Ok(work) = receive.recv() {
            match work {
                Work::Segment => self.locals.clear(),
                Work::Series { first, numbers } => {
                    let end = first + numbers.len();
                    if self.locals.len() < end {
                        self.locals.resize(end, SeriesNumber::MAX);
                    }
                    self.locals[first..end].copy_from_slice(&numbers);
                }
                Work::Samples { lsn, kind, payload } => self.samples(lsn, kind, &payload),
                Work::Wait(done) => drop(done.send(())),
            }
        }
        self.counts
    }

    fn samples(&mut self, lsn: u64, kind: u8, payload: &[u8]) {
        let active = self.tables.state.active();
        let index = self.tables.index();
        let (locals, lane, n_lanes) = (&self.locals, self.lane, self.n_lanes);
        let (mut samples, mut holes) = (0, 0_u64);
        let mut filler = active.filler();
        let put = |local: u64, at: i64, value: f64| match usize::try_from(local).ok().and_then(|i| locals.get(i)) {
            Some(&number) if number != SeriesNumber::MAX => {
                if memtable::shard_of(number) % n_lanes == lane {
                    filler.add_one(number, at, value);
                    index.entry(number).widen(at, at);
                    samples += 1;
                }
            }
            _ => holes += 1,
        };
        let read = match kind {
            payload::KIND_SAMPLES => payload::read_samples(payload, put),
            _ => payload::read_samples_dense(payload, put),
        };
        drop(filler);
        active.cover(lsn, lsn);
        self.counts.samples += samples;
        if lane == 0 {
            // All lanes see the same faults.
            self.counts.unreadable += holes + u64::from(read.is_none());
        }
    }
}
