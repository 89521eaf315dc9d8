//! Taking batches: time limits, series limit, numbering, then the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{
    Append, AppendError, Appended, Batch, BatchSeries, Clock, HistogramSample, KnownSeries, Labels, LabelsRef, Millis,
    Recall, RejectionReason, ResetHint, Spelling, Timestamp, is_stale,
};

use crate::index::{SeriesIndex, SeriesNumber};
use crate::options::StoreOptions;
use crate::payload::{LogBatch, storable};
use crate::retention::Retention;
use crate::start::Start;
use crate::started::Starts;
use crate::tables::Tables;

/// Memtables may hold this many times their flush size before new samples have to wait.
const MEMORY_FACTOR: u64 = 4;

/// Whose samples they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A sender's: held to the time limits.
    Sender,
    /// An import's: may be of any age, but not of the future.
    Import,
    /// Our own, such as forecasts: may lie in the future and replace older ones.
    Own,
}

/// The write side of a store.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) start: Arc<Start>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) options: StoreOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counts: Arc<WriteCounts>,
    pub(crate) origin: Origin,
}

/// Counters of the write side.
#[derive(Debug, Default)]
pub(crate) struct WriteCounts {
    pub(crate) samples: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) exemplars: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
}

#[derive(Clone, Copy)]
struct Bounds {
    newest: Timestamp,
    ahead: Millis,
    window: Millis,
    /// Start of the oldest day of which anything is kept, and how long that is.
    kept: Option<(Timestamp, Millis)>,
    /// Older samples are kept for some series only.
    kept_by_all: Option<Timestamp>,
    origin: Origin,
}

impl Append for Writer {
    fn recall(&self) -> Option<Arc<dyn Recall>> {
        Some(Arc::clone(&self.tables) as Arc<dyn Recall>)
    }

    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        let Some(log) = self.start.log() else {
            self.counts.failed_batches.fetch_add(1, Ordering::Relaxed);
            let percent = (self.start.progress().unwrap_or(1.0) * 100.0) as u8;
            return done(Err(AppendError::Starting { percent }));
        };
        if let Some(full) = self.overloaded() {
            self.counts.failed_batches.fetch_add(1, Ordering::Relaxed);
            return done(Err(full));
        }
        let (logged, mut answer) = self.admit(batch);
        let refused: u64 = answer.rejected.iter().map(|rejection| rejection.samples).sum();
        self.counts.rejected.fetch_add(refused, Ordering::Relaxed);
        if logged.batch.is_empty() {
            return done(Ok(answer));
        }
        let counts = Arc::clone(&self.counts);
        log.submit(
            logged,
            Box::new(move |logged, outcome| match outcome {
                Ok(lsn) => {
                    answer.samples = (logged.batch.n_samples() - answer.zeros as usize) as u64;
                    answer.histograms = logged.batch.n_histograms() as u64 - answer.zero_histograms;
                    answer.exemplars = logged.batch.n_exemplars() as u64;
                    answer.lsn = lsn;
                    counts.samples.fetch_add(answer.samples, Ordering::Relaxed);
                    counts.histograms.fetch_add(answer.histograms, Ordering::Relaxed);
                    counts.exemplars.fetch_add(answer.exemplars, Ordering::Relaxed);
                    done(Ok(answer));
                }
                Err(err) => {
                    counts.failed_batches.fetch_add(1, Ordering::Relaxed);
                    done(Err(append_error(err)));
                }
            }),
        );
    }
}

impl Recall for Tables {
    fn seed(&self) -> u64 {
        self.spelling_seed
    }

    fn recall(&self, spellings: &[Spelling], known: &mut Vec<Option<KnownSeries>>) {
        known.clear();
        let index = self.index();
        let mut before = None;
        known.extend(spellings.iter().map(|&spelling| {
            let number = index.spellings.find_after(before, spelling)?;
            before = Some(number);
            Some(KnownSeries { number, id: index.entry(number).id })
        }));
    }

    fn labels_of(&self, number: u32) -> Option<Labels> {
        self.index().get(number).map(|entry| entry.labels.clone())
    }
}

impl Writer {
    fn overloaded(&self) -> Option<AppendError> {
        let queued_bytes = self.tables.state.memory_bytes();
        let limit_bytes = self.options.memtable_bytes.saturating_mul(MEMORY_FACTOR).min(self.options.fresh_bytes);
        (queued_bytes > limit_bytes).then_some(AppendError::Overloaded { queued_bytes, limit_bytes })
    }

    /// Numbers the series and takes out what may not be written. The common batch, in which everything may, is not
    /// copied.
    fn admit(&self, batch: Batch) -> (LogBatch, Appended) {
        let bounds = self.bounds();
        let mut logged = self.logged(Batch::default(), batch.n_series());
        let clean = {
            let index = self.tables.index();
            (0..batch.n_series()).all(|i| {
                let run = batch.series(i);
                let Some(number) = find(&index, logged.numbers.last().copied(), &run) else { return false };
                let entry = index.entry(number);
                logged.numbers.push(number);
                logged.ids.push(entry.id);
                let is_learnt = run.spelling.is_none() || index.spellings.has(number);
                is_learnt && bounds.all_inside(&run, entry.last())
            })
        };
        if clean {
            logged.batch = batch;
            return (logged, Appended::default());
        }
        self.admit_slowly(&batch, &bounds)
    }

    fn logged(&self, batch: Batch, n_series: usize) -> LogBatch {
        let (numbers, ids) = (Vec::with_capacity(n_series), Vec::with_capacity(n_series));
        LogBatch { batch, numbers, ids, names: Arc::clone(&self.tables) as Arc<dyn Recall> }
    }

    fn admit_slowly(&self, batch: &Batch, bounds: &Bounds) -> (LogBatch, Appended) {
        let mut answer = Appended::default();
        let mut admitted = self.logged(Batch::default(), batch.n_series());
        let mut index = self.tables.index_mut();
        for run in batch.iter() {
            let known = find(&index, admitted.numbers.last().copied(), &run);
            if let (None, Some(stranger)) = (known, run.known) {
                let n_samples = run.timestamps.len() + run.histograms.len();
                answer.reject(RejectionReason::UnknownNumber, n_samples as u64, stranger.id);
                continue;
            }
            if is_without_samples(&run) && known.is_none() {
                // Exemplars alone make no series.
                self.tables.exemplars.drop_homeless(run.exemplars.len() as u64);
                continue;
            }
            if known.is_none() && !bounds.any_inside(&run) {
                // Only counted: a sender whose samples are all refused takes no places in the index.
                copy_inside(bounds, &run, run.labels, None, &mut Batch::default(), &mut answer);
                continue;
            }
            let Some(number) = known.or_else(|| self.number(&mut index, &run, &mut answer)) else { continue };
            if let Some(spelling) = run.spelling {
                index.spellings.learn(number, spelling);
            }
            let entry = index.entry(number);
            let own =
                bounds.kept_by_all.map(|_| bounds.of(entry.labels.as_ref(), &self.options.retention, self.clock.now()));
            let bounds = own.as_ref().unwrap_or(bounds);
            if copy_inside(bounds, &run, entry.labels.as_ref(), entry.last(), &mut admitted.batch, &mut answer) {
                admitted.numbers.push(number);
                admitted.ids.push(entry.id);
            }
        }
        drop(index);
        for metadata in batch.metadata() {
            admitted.batch.push_metadata(metadata.clone());
        }
        (admitted, answer)
    }

    /// Gives a new series a number, unless there are too many.
    fn number(&self, index: &mut SeriesIndex, run: &BatchSeries<'_>, answer: &mut Appended) -> Option<SeriesNumber> {
        let known = index.len() as u64;
        if known >= self.options.series_max || index.bytes() >= self.options.index_bytes {
            let limit = self.options.series_max.min(known);
            let n_samples = run.timestamps.len() + run.histograms.len();
            answer.reject(RejectionReason::SeriesLimit { limit }, n_samples as u64, run.labels);
            return None;
        }
        Some(index.find_or_add(run.id, run.labels))
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            newest: self.clock.now() + self.options.ahead_max,
            ahead: self.options.ahead_max,
            window: self.options.ooo_window,
            kept: self.options.retention.oldest_raw(self.clock.now()),
            kept_by_all: self.options.retention.kept_by_all(self.clock.now()),
            origin: self.origin,
        }
    }
}

impl Bounds {
    fn check(&self, at: i64, last: Option<i64>) -> Option<RejectionReason> {
        let at = Timestamp(at);
        if !storable(at) {
            return Some(if at.0 < 0 {
                RejectionReason::TooOld { window: self.window }
            } else {
                RejectionReason::TooNew { ahead: self.ahead }
            });
        }
        match self.origin {
            Origin::Own => None,
            Origin::Sender | Origin::Import if at > self.newest => Some(RejectionReason::TooNew { ahead: self.ahead }),
            Origin::Sender | Origin::Import if self.kept.is_some_and(|(oldest, _)| at < oldest) => {
                self.kept.map(|(_, keep)| RejectionReason::Expired { keep })
            }
            Origin::Import => None,
            Origin::Sender => {
                let late = last.is_some_and(|last| at.0 < last.saturating_sub(self.window.0));
                late.then_some(RejectionReason::TooOld { window: self.window })
            }
        }
    }

    fn all_inside(&self, run: &BatchSeries<'_>, last: Option<i64>) -> bool {
        run.timestamps.iter().all(|&at| self.check(at, last).is_none())
            && run.histograms.iter().all(|sample| self.check_histogram(sample, last).is_none())
            && run.exemplars.iter().all(|exemplar| storable(exemplar.at))
            && !self.starts(run, last).any()
            && self.is_kept_by_all(run)
    }

    fn is_kept_by_all(&self, run: &BatchSeries<'_>) -> bool {
        let times = || run.timestamps.iter().copied().chain(run.histograms.iter().map(|sample| sample.at.0));
        self.kept_by_all.is_none_or(|oldest| times().all(|at| at >= oldest.0))
    }

    /// The bounds of one series: its own keep time.
    fn of(&self, labels: LabelsRef<'_>, retention: &Retention, now: Timestamp) -> Self {
        Self { kept: retention.oldest_raw_of(labels, now), ..*self }
    }

    /// Only senders are held to the window, in samples as in starts.
    fn starts<'r>(&self, run: &BatchSeries<'r>, last: Option<i64>) -> Starts<'r> {
        Starts::new(run.starts, last, (self.origin == Origin::Sender).then_some(self.window))
    }

    /// Whether a new series would get any sample of `run`.
    fn any_inside(&self, run: &BatchSeries<'_>) -> bool {
        run.timestamps.iter().any(|&at| self.check(at, None).is_none())
            || run.histograms.iter().any(|sample| self.check_histogram(sample, None).is_none())
    }

    fn check_histogram(&self, sample: &HistogramSample, last: Option<i64>) -> Option<RejectionReason> {
        let bad = || sample.histogram.check().is_err().then_some(RejectionReason::BadHistogram);
        self.check(sample.at.0, last).or_else(bad)
    }
}

/// The number of a run's series, by its number or by its labels. A number that belongs to another series (of another
/// store) is none.
#[inline]
fn find(index: &SeriesIndex, before: Option<SeriesNumber>, run: &BatchSeries<'_>) -> Option<SeriesNumber> {
    match run.known {
        Some(known) => index.get(known.number).filter(|entry| entry.id == known.id).map(|_| known.number),
        None => index.find_after(before, run.id, run.labels),
    }
}

fn is_without_samples(run: &BatchSeries<'_>) -> bool {
    run.timestamps.is_empty() && run.histograms.is_empty()
}

/// Copies what may be written, with zeros where counters began; false when nothing may (no series is opened then).
fn copy_inside(
    bounds: &Bounds,
    run: &BatchSeries<'_>,
    labels: LabelsRef<'_>,
    last: Option<i64>,
    admitted: &mut Batch,
    answer: &mut Appended,
) -> bool {
    let mut is_open = false;
    // A request has far fewer series than labels of the longest kind that fit into the arena.
    let mut open = |admitted: &mut Batch| {
        is_open = is_open || admitted.begin_canonical(labels).is_ok();
        is_open
    };
    let mut starts = bounds.starts(run, last);
    let mut zero_before = |at: i64| starts.before(at).filter(|zero| bounds.check(zero.0, None).is_none());
    for (&at, &value) in run.timestamps.iter().zip(run.values) {
        let zero = zero_before(at).filter(|_| !is_stale(value));
        match bounds.check(at, last) {
            Some(reason) => answer.reject(reason, 1, labels),
            None if open(admitted) => {
                if let Some(zero) = zero {
                    admitted.push(zero, 0.0);
                    answer.zeros += 1;
                    answer.zeros_since = answer.zeros_since.map_or(Some(zero), |since| Some(since.min(zero)));
                }
                admitted.push(Timestamp(at), value);
            }
            None => {}
        }
    }
    for sample in run.histograms {
        let counts = sample.histogram.reset != ResetHint::Gauge && !sample.histogram.is_stale();
        let zero = zero_before(sample.at.0).filter(|_| counts);
        match bounds.check_histogram(sample, last) {
            Some(reason) => answer.reject(reason, 1, labels),
            None if open(admitted) => {
                if let Some(zero) = zero {
                    admitted.push_histogram(zero, sample.histogram.zero());
                    answer.zero_histograms += 1;
                }
                admitted.push_histogram(sample.at, sample.histogram.clone());
            }
            None => {}
        }
    }
    for exemplar in run.exemplars.iter().filter(|exemplar| storable(exemplar.at)) {
        if open(admitted) {
            admitted.push_exemplar(exemplar.clone());
        }
    }
    is_open
}

fn append_error(err: wal::LogError) -> AppendError {
    match err {
        wal::LogError::DiskFull { free_bytes, .. } => AppendError::DiskFull { free_bytes },
        wal::LogError::QueueFull { queued, max } => {
            AppendError::Overloaded { queued_bytes: queued as u64, limit_bytes: max as u64 }
        }
        wal::LogError::Closed => AppendError::Closed,
        other => AppendError::Log(other.to_string()),
    }
}
