//! One evaluation: its grid, limits, counters and notes, and work spread over threads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use series::{
    Columns, Histogram, Matcher, Millis, ResetHint, Select, SelectRequest, SeriesOrder, SeriesSet, TimeRange, Timestamp,
};

use super::error::EvalError;
use super::native_windows::NativeSample;
use super::{Answer, Options, Stats, Value};
use crate::ast::{At, DurationExpr, Span};
use crate::native::is_reset;
use crate::parse::error::position;

/// Below this many slots a thread costs more than it gains.
const SLOTS_PER_THREAD: usize = 20_000;
/// What finding and opening a series costs, in slots.
const SLOTS_PER_SERIES: usize = 16;
/// Series that a thread takes at once: keeps the queue cool and still balances uneven ones.
const RUN: usize = 16;

/// A grid of evaluation times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    /// First time in milliseconds.
    pub(crate) start: i64,
    /// Distance, positive.
    pub(crate) step: i64,
    /// Number of times.
    pub(crate) n: usize,
}

impl Steps {
    pub(crate) fn time(&self, i: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(i as i64))
    }

    /// The query's end as asked for, which need not lie on the grid.
    fn end(&self, range: Millis) -> i64 {
        self.start.saturating_add(range.0)
    }
}

/// Times that a selector looks at, one a step; all the same under `@`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refs {
    first: i64,
    step: i64,
    n: usize,
}

impl Refs {
    pub(crate) fn time(&self, i: usize) -> i64 {
        self.first.saturating_add(self.step.saturating_mul(i as i64))
    }

    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    pub(crate) fn last(&self) -> i64 {
        self.time(self.n.saturating_sub(1))
    }

    pub(crate) fn len(&self) -> usize {
        self.n
    }
}

/// What becomes of the reset hints that histograms were stored with. They are never believed: a sample that came late or
/// got lost makes them wrong. Gauges stay gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hints {
    /// Left open; who needs them compares samples.
    Forgotten,
    /// Found by comparing each sample with the one before, as Prometheus does below `histogram_count`, `_sum` and `_avg`:
    /// there it warns where sums run over resets.
    Derived,
}

impl Hints {
    /// The histograms of series `i`, stale markers among them.
    pub(crate) fn read(self, set: &dyn SeriesSet, i: usize, range: TimeRange) -> Result<Vec<NativeSample>, EvalError> {
        let mut stored = Vec::new();
        set.read_histograms(i, range, &mut stored)?;
        let mut natives: Vec<NativeSample> = Vec::with_capacity(stored.len());
        let mut before: Option<Arc<Histogram>> = None;
        for mut sample in stored {
            if sample.histogram.reset != ResetHint::Gauge {
                sample.histogram.reset = ResetHint::Unknown;
                if let (Self::Derived, Some(before)) = (self, &before) {
                    let resets = is_reset(&sample.histogram, before);
                    sample.histogram.reset = if resets { ResetHint::Reset } else { ResetHint::NotReset };
                }
            }
            let histogram = Arc::new(sample.histogram);
            if !histogram.is_stale() {
                before = Some(Arc::clone(&histogram));
            }
            natives.push(NativeSample { at: sample.at.0, histogram, resets: false });
        }
        Ok(natives)
    }

    /// The histogram without its hint.
    pub(crate) fn forgotten(mut histogram: Arc<Histogram>) -> Arc<Histogram> {
        if matches!(histogram.reset, ResetHint::Reset | ResetHint::NotReset) {
            Arc::make_mut(&mut histogram).reset = ResetHint::Unknown;
        }
        histogram
    }
}

/// Texts, each with the place it is about.
#[derive(Default)]
struct Notes {
    warnings: BTreeMap<String, Span>,
    infos: BTreeMap<String, Span>,
    /// What the store could not read: about no place of the query.
    missing: BTreeSet<String>,
}

/// Most notes kept of each kind; further ones say nothing new to a reader.
const NOTES_MAX: usize = 100;

pub(crate) struct Context<'a> {
    select: &'a dyn Select,
    pub(crate) options: &'a Options,
    /// Grid of the whole query, for `start()` and `end()`.
    pub(crate) query: Steps,
    /// `step()`, zero for an instant query.
    pub(crate) step: Millis,
    /// `range()`, zero for an instant query.
    pub(crate) range: Millis,
    begun: Option<Instant>,
    notes: Mutex<Notes>,
    series: AtomicU64,
    samples: AtomicU64,
    held: AtomicU64,
    derives_hints: AtomicBool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(select: &'a dyn Select, options: &'a Options, query: Steps, step: Millis, range: Millis) -> Self {
        Self {
            select,
            options,
            query,
            step,
            range,
            begun: options.deadline.map(|_| Instant::now()),
            notes: Mutex::default(),
            series: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            held: AtomicU64::new(0),
            derives_hints: AtomicBool::new(false),
        }
    }

    /// What becomes of hints in the selectors being evaluated.
    pub(crate) fn hints(&self) -> Hints {
        if self.derives_hints.load(Ordering::Relaxed) { Hints::Derived } else { Hints::Forgotten }
    }

    /// Evaluates something under `hints`. The tree is walked by one thread, so this nests.
    pub(crate) fn with_hints<T>(&self, hints: Hints, evaluate: impl FnOnce() -> T) -> T {
        let before = self.derives_hints.swap(hints == Hints::Derived, Ordering::Relaxed);
        let result = evaluate();
        self.derives_hints.store(before, Ordering::Relaxed);
        result
    }

    pub(crate) fn answer(self, value: Value) -> Answer {
        let notes = self.notes.into_inner().unwrap_or_default();
        let placed = |(note, span): (String, Span)| match &self.options.text {
            Some(text) => {
                let (line, column) = position(text, span);
                format!("{note} ({line}:{column})")
            }
            None => note,
        };
        Answer {
            value,
            warnings: notes.missing.into_iter().chain(notes.warnings.into_iter().map(placed)).collect(),
            infos: notes.infos.into_iter().map(placed).collect(),
            stats: Stats { series: self.series.into_inner(), samples_read: self.samples.into_inner() },
        }
    }

    /// Whether the query asks for one instant.
    pub(crate) fn is_instant(&self) -> bool {
        self.step.0 == 0
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        if self.options.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(EvalError::Canceled);
        }
        if let (Some(deadline), Some(begun)) = (self.options.deadline, self.begun) {
            let now = Instant::now();
            if now >= deadline {
                let after = Millis(i64::try_from((now - begun).as_millis()).unwrap_or(i64::MAX));
                return Err(EvalError::Timeout { after });
            }
        }
        Ok(())
    }

    /// Counts samples read.
    pub(crate) fn charge_read(&self, samples: usize) -> Result<(), EvalError> {
        self.samples.fetch_add(samples as u64, Ordering::Relaxed);
        self.charge_held(0)
    }

    /// Counts points kept in memory.
    pub(crate) fn charge_held(&self, points: usize) -> Result<(), EvalError> {
        let held = self.held.fetch_add(points as u64, Ordering::Relaxed) + points as u64;
        let read = held + self.samples.load(Ordering::Relaxed);
        let limit = self.options.samples_max;
        if read > limit { Err(EvalError::TooManySamples { read, limit }) } else { Ok(()) }
    }

    /// Says that a result is missing or doubtful because of what stands at `span`.
    pub(crate) fn warn(&self, span: Span, note: impl Into<String>) {
        if let Ok(mut notes) = self.notes.lock()
            && notes.warnings.len() < NOTES_MAX
        {
            notes.warnings.insert(format!("PromQL warning: {}", note.into()), span);
        }
    }

    /// A warning about the store, not about the query.
    fn note_missing(&self, note: String) {
        if let Ok(mut notes) = self.notes.lock()
            && notes.missing.len() < NOTES_MAX
        {
            notes.missing.insert(note);
        }
    }

    /// Remarks on what stands at `span`.
    pub(crate) fn inform(&self, span: Span, note: impl Into<String>) {
        if let Ok(mut notes) = self.notes.lock()
            && notes.infos.len() < NOTES_MAX
        {
            notes.infos.insert(format!("PromQL info: {}", note.into()), span);
        }
    }

    /// Selects series with samples in the closed range `[first, last]`.
    pub(crate) fn select(
        &self,
        matchers: &[Matcher],
        first: i64,
        last: i64,
        order: SeriesOrder,
    ) -> Result<(Box<dyn SeriesSet>, TimeRange), EvalError> {
        self.check()?;
        let range = TimeRange::new(Timestamp(first), Timestamp(last.saturating_add(1)));
        let request = SelectRequest { matchers, range, series_max: self.options.series_max, order };
        let set = if self.options.partial {
            let (set, notes) = self.select.select_partial(&request)?;
            notes.into_iter().for_each(|note| self.note_missing(note));
            set
        } else {
            self.select.select(&request)?
        };
        self.series.fetch_add(set.len() as u64, Ordering::Relaxed);
        Ok((set, range))
    }

    pub(crate) fn refs(&self, steps: &Steps, at: Option<At>, offset: Option<&DurationExpr>) -> Result<Refs, EvalError> {
        let offset = self.duration(offset)?.0;
        let fixed = match at {
            None => {
                return Ok(Refs { first: steps.start.saturating_sub(offset), step: steps.step, n: steps.n });
            }
            Some(At::Time(at)) => at,
            Some(At::Start) => self.query.start,
            Some(At::End) => self.query.end(self.range),
        };
        Ok(Refs { first: fixed.saturating_sub(offset), step: 0, n: steps.n })
    }

    /// A duration that may be negative; absent ones are zero.
    pub(crate) fn duration(&self, duration: Option<&DurationExpr>) -> Result<Millis, EvalError> {
        Ok(duration.map_or(Ok(Millis(0)), |duration| duration.resolve(self.step, self.range))?)
    }

    /// A window's length or a subquery's step.
    pub(crate) fn length(&self, duration: &DurationExpr) -> Result<Millis, EvalError> {
        Ok(duration.resolve_positive(self.step, self.range)?)
    }

    /// `work(i)` for `i` in `0..n`, results in order; spread over threads when `n × slots` is worth it.
    pub(crate) fn each<T: Send>(
        &self,
        n: usize,
        slots: usize,
        work: impl Fn(usize) -> Result<T, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        self.each_of(0..n, slots, |i, _| work(i))
    }

    /// As [`Context::each`] for any numbers, with columns that are used again and again.
    pub(crate) fn each_of<T: Send>(
        &self,
        some: Range<usize>,
        slots: usize,
        work: impl Fn(usize, &mut Columns) -> Result<T, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let n = some.len();
        let worth = n.saturating_mul(slots.saturating_add(SLOTS_PER_SERIES)) / SLOTS_PER_THREAD;
        let threads = self.options.threads.min(n).min(worth.max(1));
        if threads <= 1 {
            let (mut out, mut columns) = (Vec::with_capacity(n), Columns::default());
            for i in some {
                if i % 64 == 0 {
                    self.check()?;
                }
                out.push(work(i, &mut columns)?);
            }
            return Ok(out);
        }
        self.each_threaded(some, threads, work)
    }

    fn each_threaded<T: Send>(
        &self,
        some: Range<usize>,
        threads: usize,
        work: impl Fn(usize, &mut Columns) -> Result<T, EvalError> + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let (next, failed) = (AtomicUsize::new(some.start), AtomicBool::new(false));
        // Runs of neighbours, each with the number of its first.
        let runs: Mutex<Vec<(usize, Vec<T>)>> = Mutex::default();
        let fault: Mutex<Option<EvalError>> = Mutex::new(None);
        let run = || {
            let mut columns = Columns::default();
            while !failed.load(Ordering::Relaxed) {
                let from = next.fetch_add(RUN, Ordering::Relaxed);
                if from >= some.end {
                    return;
                }
                let run = self.check().and_then(|()| {
                    (from..some.end.min(from + RUN))
                        .map(|i| work(i, &mut columns))
                        .collect::<Result<Vec<T>, EvalError>>()
                });
                match run {
                    Ok(run) => {
                        if let Ok(mut runs) = runs.lock() {
                            runs.push((from, run));
                        }
                    }
                    Err(why) => {
                        failed.store(true, Ordering::Relaxed);
                        if let Ok(mut fault) = fault.lock() {
                            fault.get_or_insert(why);
                        }
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(run);
            }
            run();
        });
        if let Some(why) = fault.into_inner().unwrap_or(None) {
            return Err(why);
        }
        let mut runs = runs.into_inner().unwrap_or_default();
        runs.sort_unstable_by_key(|(from, _)| *from);
        let mut out = Vec::with_capacity(some.len());
        runs.into_iter().for_each(|(_, mut run)| out.append(&mut run));
        Ok(out)
    }
}
