//! One standing query: its series, its groups and its watermark.
//!
//! ```text
//!            sealed ▼            watermark ▼      newest ▼
//!   … ──────────────┼───── open panes ─────┼── lateness ─┤
//!     too late      │ samples wait here    │             │
//! ```
//!
//! The watermark is the newest sample's time (never beyond `now`) less the lateness allowed; a tick moves it to `now` less
//! that. A pane is closed when its end lies before the watermark.

mod group;
mod pane;
mod run;
mod trend;

use std::collections::BTreeMap;

use series::{BatchSeries, Labels, LabelsBuilder, LabelsRef, Matcher, SeriesId, Timestamp};
use sketch::QuantileSketch;
use sketch::wire::{Reader, put_signed, put_varint};

use crate::emission::Emission;
use crate::error::StreamError;
use crate::histogram::{Bucket, parse_bound};
use crate::route::IdMap;
use crate::spec::{Operator, StreamSpec, ValueKind};
use crate::streams::StreamStats;
use group::{Close, Group};
use pane::{Increase, PaneFold};
use run::SeriesRun;

/// A counter's predecessor may be this old at least (Prometheus' look-back).
const GAP_MIN: i64 = 300_000;
/// Samples further ahead of `now` than this are refused: a clock is wrong.
const AHEAD_MAX: i64 = 600_000;
/// A silent series is forgotten after this long, a silent group after this many times as long (its season stays learned).
const SERIES_IDLE: i64 = 3_600_000;
const GROUP_IDLE: i64 = 7 * 86_400_000;

/// State of one standing query.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) spec: StreamSpec,
    runs: Vec<Option<SeriesRun>>,
    free_runs: Vec<u32>,
    by_id: IdMap<u32>,
    groups: Vec<Option<Group>>,
    free_groups: Vec<u32>,
    /// Groups in order of their labels: the order of results.
    by_labels: BTreeMap<Labels, u32>,
    /// Newest event time, never beyond `now`.
    newest: i64,
    /// Last closed pane.
    sealed: Option<i64>,
    scratch: Scratch,
}

/// Memory reused at every closing; no state.
#[derive(Debug, Default)]
struct Scratch {
    fold: PaneFold,
    sketch: QuantileSketch,
    buckets: Vec<Bucket>,
}

/// Where the samples of a series may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Not selected.
    NotMatched,
    /// Into this slot.
    Slot(u32),
    /// Selected, but there is no room for another group or series.
    NoRoom,
}

impl Standing {
    pub(crate) fn new(spec: StreamSpec) -> Self {
        Self {
            spec,
            runs: Vec::new(),
            free_runs: Vec::new(),
            by_id: IdMap::default(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            by_labels: BTreeMap::new(),
            newest: i64::MIN,
            sealed: None,
            scratch: Scratch::default(),
        }
    }

    /// Number of live groups.
    pub(crate) fn n_groups(&self) -> usize {
        self.by_labels.len()
    }

    /// Number of live series.
    pub(crate) fn n_series(&self) -> usize {
        self.by_id.len()
    }

    /// Finds or opens the slot of a series; `groups_left` and `room` say whether another group or series may be opened.
    pub(crate) fn admit(&mut self, id: SeriesId, labels: LabelsRef<'_>, groups_left: usize, room: bool) -> Admission {
        if let Some(&slot) = self.by_id.get(&id) {
            return Admission::Slot(slot);
        }
        if !self.spec.matchers.iter().all(|matcher: &Matcher| matcher.matches_labels(labels)) {
            return Admission::NotMatched;
        }
        let bound = match self.spec.value {
            ValueKind::HistogramBuckets => match labels.get("le").and_then(parse_bound) {
                Some(bound) => bound,
                None => return Admission::NotMatched,
            },
            _ => f64::NAN,
        };
        let of_group = group_labels(labels, &self.spec.by);
        let known = self.by_labels.get(&of_group).copied();
        if !room || known.is_none() && groups_left == 0 {
            return Admission::NoRoom;
        }
        let group = known.unwrap_or_else(|| self.open_group(of_group));
        Admission::Slot(self.open_run(SeriesRun::new(id, group, bound)))
    }

    fn open_group(&mut self, labels: Labels) -> u32 {
        let group = Group::new(labels.clone(), &self.spec);
        let slot = place(&mut self.groups, &mut self.free_groups, group);
        self.by_labels.insert(labels, slot);
        slot
    }

    fn open_run(&mut self, run: SeriesRun) -> u32 {
        let (id, group) = (run.id, run.group);
        let slot = place(&mut self.runs, &mut self.free_runs, run);
        self.by_id.insert(id, slot);
        let runs = &self.runs;
        if let Some(Some(group)) = self.groups.get_mut(group as usize) {
            let id_of = |slot: u32| runs.get(slot as usize).and_then(Option::as_ref).map(|run| run.id);
            let at = group.members.partition_point(|&member| id_of(member) < Some(id));
            group.members.insert(at, slot);
        }
        slot
    }

    /// End of the last closed pane: what is not newer is late.
    fn sealed_end(&self) -> i64 {
        self.sealed.map_or(i64::MIN, |pane| pane.saturating_mul(self.spec.slide.0))
    }

    /// Samples up to here are in the results or too late; `None` before there were any.
    pub(crate) fn needs_after(&self) -> Option<Timestamp> {
        self.sealed.map(|_| Timestamp(self.sealed_end()))
    }

    /// Newest event time.
    pub(crate) fn reached(&self) -> Option<Timestamp> {
        (self.newest > i64::MIN).then_some(Timestamp(self.newest))
    }

    /// Lets the samples of a series wait in `slot`; `false` when the slot belongs to another series by now.
    pub(crate) fn take(
        &mut self,
        slot: u32,
        series: &BatchSeries<'_>,
        now: Timestamp,
        stats: &mut StreamStats,
    ) -> bool {
        let sealed_end = self.sealed_end();
        let ahead = now.0.saturating_add(AHEAD_MAX);
        let Some(run) = self.runs.get_mut(slot as usize).and_then(Option::as_mut).filter(|run| run.id == series.id)
        else {
            return false;
        };
        let mut newest = self.newest;
        for (&at, &value) in series.timestamps.iter().zip(series.values) {
            if at <= sealed_end {
                stats.late += 1;
            } else if at > ahead {
                stats.ahead += 1;
            } else {
                run.wait(at, value);
                newest = newest.max(at);
            }
        }
        self.newest = self.newest.max(newest.min(now.0));
        stats.rows += series.timestamps.len() as u64;
        true
    }

    /// Closes what the newest samples allow.
    pub(crate) fn advance(&mut self, stats: &mut StreamStats, out: &mut Vec<Emission>) -> bool {
        self.close_before(self.newest.saturating_sub(self.spec.lateness.0), stats, out)
    }

    /// Closes what the time of day allows: the caller has pushed all it got before `now`.
    pub(crate) fn tick(&mut self, now: Timestamp, stats: &mut StreamStats, out: &mut Vec<Emission>) -> bool {
        if self.newest == i64::MIN {
            return false;
        }
        let watermark = self.newest.max(now.0).saturating_sub(self.spec.lateness.0);
        self.close_before(watermark, stats, out)
    }

    /// Closes every pane that ends before `watermark`; whether there was one.
    fn close_before(&mut self, watermark: i64, stats: &mut StreamStats, out: &mut Vec<Emission>) -> bool {
        if self.newest == i64::MIN {
            return false;
        }
        // The last multiple of the slide strictly before the watermark: a sample exactly `lateness` old is still in time.
        let target = watermark.saturating_sub(1).div_euclid(self.spec.slide.0);
        if self.sealed.is_some_and(|sealed| target <= sealed) {
            return false;
        }
        let mut windows_hold = self.groups.iter().flatten().any(|group| !group.is_empty());
        let mut next = self.sealed.map_or(i64::MIN, |sealed| sealed + 1);
        let mut closed = false;
        loop {
            if !windows_hold {
                // Nothing to say until a pane with samples: a long silence costs nothing.
                next = next.max(self.oldest_pane().unwrap_or(i64::MAX));
            }
            if next > target {
                break;
            }
            windows_hold = self.close_pane(next, stats, out);
            (next, closed) = (next + 1, true);
        }
        self.sealed = Some(target);
        closed
    }

    /// Pane of the oldest waiting sample.
    fn oldest_pane(&self) -> Option<i64> {
        let oldest = self.runs.iter().flatten().filter_map(SeriesRun::oldest).min()?;
        Some(pane_of(oldest, self.spec.slide.0))
    }

    /// Closes one pane of all groups; whether a window still holds something.
    fn close_pane(&mut self, index: i64, stats: &mut StreamStats, out: &mut Vec<Emission>) -> bool {
        let Self { spec, runs, groups, by_labels, scratch, .. } = self;
        let end = index.saturating_mul(spec.slide.0);
        let mut windows_hold = false;
        for &slot in by_labels.values() {
            let Some(Some(group)) = groups.get_mut(slot as usize) else { continue };
            scratch.fold.clear();
            for &member in &group.members {
                if let Some(Some(run)) = runs.get_mut(member as usize) {
                    fold_run(run, end, spec, &mut scratch.fold, stats);
                }
            }
            let mut close = Close { spec, index, sketch: &mut scratch.sketch, buckets: &mut scratch.buckets, out };
            group.close(&mut scratch.fold, &mut close);
            windows_hold |= !group.is_empty();
        }
        windows_hold
    }

    /// Forgets what was silent for long; ids of forgotten series are added to `gone`. Whether a group went.
    pub(crate) fn forget_silent(&mut self, gone: &mut Vec<SeriesId>) -> bool {
        let horizon = self.sealed_end().saturating_sub(SERIES_IDLE.max(2 * self.spec.window.0));
        for slot in 0..self.runs.len() {
            let silent = self.runs[slot].as_ref().filter(|run| run.is_idle() && run.newest < horizon);
            let Some((id, group)) = silent.map(|run| (run.id, run.group)) else { continue };
            self.runs[slot] = None;
            self.free_runs.push(slot as u32);
            self.by_id.remove(&id);
            if let Some(Some(group)) = self.groups.get_mut(group as usize) {
                group.members.retain(|&member| member as usize != slot);
            }
            gone.push(id);
        }
        self.forget_groups()
    }

    fn forget_groups(&mut self) -> bool {
        let horizon = self.sealed_end().saturating_sub(GROUP_IDLE.max(2 * self.spec.window.0));
        let before = self.by_labels.len();
        let (groups, free) = (&mut self.groups, &mut self.free_groups);
        let slide = self.spec.slide.0;
        self.by_labels.retain(|_, &mut slot| {
            let silent = groups[slot as usize].as_ref().is_none_or(|group| {
                group.members.is_empty() && group.is_empty() && group.last_pane().saturating_mul(slide) < horizon
            });
            if silent {
                groups[slot as usize] = None;
                free.push(slot);
            }
            !silent
        });
        self.by_labels.len() < before
    }

    pub(crate) fn bytes(&self) -> usize {
        let runs: usize = self.runs.iter().flatten().map(|run| run.bytes() + 24).sum();
        let groups: usize = self.groups.iter().flatten().map(|group| group.bytes() + 40).sum();
        size_of::<Self>() + runs + groups + self.scratch.sketch.bytes() + self.scratch.fold.sketch.bytes()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.newest);
        out.push(u8::from(self.sealed.is_some()));
        put_signed(out, self.sealed.unwrap_or(0));
        put_varint(out, self.by_labels.len() as u64);
        // Groups and series are numbered anew, in the order of labels and ids: equal states make equal bytes.
        for &slot in self.by_labels.values() {
            let Some(Some(group)) = self.groups.get(slot as usize) else { continue };
            group.encode(out);
            let runs = group.members.iter().filter_map(|&member| self.runs.get(member as usize)?.as_ref());
            put_varint(out, runs.clone().count() as u64);
            runs.for_each(|run| run.encode(out));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, spec: StreamSpec) -> Result<Self, StreamError> {
        let mut standing = Self::new(spec);
        standing.newest = reader.signed()?;
        let has_sealed = reader.u8()? != 0;
        let sealed = reader.signed()?;
        standing.sealed = has_sealed.then_some(sealed);
        for _ in 0..reader.len(1)? {
            let group = Group::decode(reader, &standing.spec)?;
            let labels = group.labels.clone();
            let slot = place(&mut standing.groups, &mut standing.free_groups, group);
            if standing.by_labels.insert(labels, slot).is_some() {
                return Err(StreamError::Checkpoint("a group appears twice".to_owned()));
            }
            for _ in 0..reader.len(20)? {
                let mut run = SeriesRun::decode(reader)?;
                run.group = slot;
                if standing.by_id.contains_key(&run.id) {
                    return Err(StreamError::Checkpoint(format!("series {} appears twice", run.id)));
                }
                standing.open_run(run);
            }
        }
        Ok(standing)
    }
}

/// Puts an item into a free slot or a new one.
fn place<T>(slots: &mut Vec<Option<T>>, free: &mut Vec<u32>, item: T) -> u32 {
    if let Some(slot) = free.pop() {
        slots[slot as usize] = Some(item);
        return slot;
    }
    slots.push(Some(item));
    (slots.len() - 1) as u32
}

/// The labels of `by`, absent ones left out.
fn group_labels(labels: LabelsRef<'_>, by: &[String]) -> Labels {
    let mut builder = LabelsBuilder::default();
    for name in by {
        builder.set(name, labels.get(name).unwrap_or(""));
    }
    builder.build()
}

/// Index of the pane `((i − 1) · slide, i · slide]` that holds `at`.
fn pane_of(at: i64, slide: i64) -> i64 {
    at.saturating_sub(1).div_euclid(slide) + 1
}

/// Folds the samples of a series up to `end` into its group's pane.
fn fold_run(run: &mut SeriesRun, end: i64, spec: &StreamSpec, fold: &mut PaneFold, stats: &mut StreamStats) {
    let sketched = spec.operators.iter().any(|operator| matches!(operator, Operator::Percentiles(_)));
    let gap_max = GAP_MIN.max(spec.window.0);
    let bound = run.bound;
    let mut increase = Increase::default();
    let counts = match spec.value {
        ValueKind::Gauge => run.fold_until(end, gap_max, |_, _, value| fold.gauge(value, sketched)),
        ValueKind::Rate => run.fold_until(end, gap_max, |before, at, value| {
            if let Some(rate) = increase.step(before, at, value)
                && sketched
            {
                fold.sketch.insert(rate);
            }
        }),
        ValueKind::HistogramBuckets => run.fold_until(end, gap_max, |before, at, value| {
            increase.step(before, at, value);
        }),
    };
    match spec.value {
        ValueKind::Gauge => {}
        ValueKind::Rate => fold.counter(&increase),
        ValueKind::HistogramBuckets => fold.bucket(bound, &increase),
    }
    stats.repeats += counts.repeats;
    stats.not_finite += counts.not_finite;
}
