//! All standing queries together: one push, one tick, one checkpoint.

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use series::{Batch, BatchSeries, KnownSeries, Labels, LabelsRef, SeriesId, Timestamp};

use crate::emission::Emission;
use crate::error::StreamError;
use crate::route::{Route, Routes};
use crate::spec::StreamSpec;
use crate::standing::{Admission, Standing};

/// Most standing queries in one process.
const STREAMS_MAX: usize = 1000;

/// Bounds over all standing queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most groups; series of further groups are refused and counted.
    pub groups_max: usize,
    /// Most bytes of state; beyond it new series and then samples are refused and counted.
    pub bytes_max: usize,
}

impl Default for StreamLimits {
    /// 100,000 groups, 256 MiB.
    fn default() -> Self {
        Self { groups_max: 100_000, bytes_max: 256 << 20 }
    }
}

/// Counters since the start or the checkpoint, and sizes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Samples looked at by standing queries; one that feeds two counts twice.
    pub rows: u64,
    /// Of those: older than the last closed pane, dropped.
    pub late: u64,
    /// Of those: more than ten minutes in the future, dropped.
    pub ahead: u64,
    /// Of those: replaced by a later one of the same series and time.
    pub repeats: u64,
    /// Of those: NaN or infinite (stale markers are not counted).
    pub not_finite: u64,
    /// Samples refused because the state is full.
    pub refused_rows: u64,
    /// Times a series was refused because groups or bytes ran out.
    pub refused_series: u64,
    /// Results said: samples and events.
    pub emitted: u64,
    /// Live series.
    pub series: u64,
    /// Live groups.
    pub groups: u64,
    /// Bytes of state, about.
    pub bytes: u64,
}

/// The standing queries. A pure state machine: the same calls give the same results.
#[derive(Debug)]
pub struct Streams {
    pub(crate) standing: Vec<Standing>,
    limits: StreamLimits,
    routes: Routes,
    pub(crate) stats: StreamStats,
    /// Bytes at the last closing, and what came since.
    bytes_settled: usize,
    bytes_since: usize,
    /// Times that room was made; refused series are tried again then.
    releases: u64,
    pub(crate) restarted: Vec<String>,
}

impl Streams {
    /// Checks the specifications and starts with no data.
    ///
    /// # Errors
    /// [`StreamError::Spec`], [`StreamError::Repeated`], [`StreamError::TooMany`].
    pub fn new(specs: Vec<StreamSpec>, limits: StreamLimits) -> Result<Self, StreamError> {
        if specs.len() > STREAMS_MAX {
            return Err(StreamError::TooMany { found: specs.len(), limit: STREAMS_MAX });
        }
        for (i, spec) in specs.iter().enumerate() {
            spec.check()?;
            if specs[..i].iter().any(|other| other.name == spec.name) {
                return Err(StreamError::Repeated(spec.name.clone()));
            }
        }
        let mut streams = Self {
            standing: specs.into_iter().map(Standing::new).collect(),
            limits,
            routes: Routes::default(),
            stats: StreamStats::default(),
            bytes_settled: 0,
            bytes_since: 0,
            releases: 0,
            restarted: Vec::new(),
        };
        streams.settle();
        Ok(streams)
    }

    /// Takes the samples of a batch by their own time and says what can be said. Samples older than the last closed pane are
    /// dropped and counted, as are those more than ten minutes after `now`. Series must be named by their labels.
    pub fn push(&mut self, now: Timestamp, batch: &Batch, out: &mut Vec<Emission>) {
        self.push_known(now, batch, |_| None, out);
    }

    /// As [`Streams::push`], for a batch that names series by number: `labels_of` is asked once for each new one, and a
    /// series without labels feeds nothing.
    pub fn push_known(
        &mut self,
        now: Timestamp,
        batch: &Batch,
        labels_of: impl Fn(KnownSeries) -> Option<Labels>,
        out: &mut Vec<Emission>,
    ) {
        let said = out.len();
        for i in 0..batch.n_series() {
            self.push_series(now, &batch.series(i), &labels_of);
        }
        let Self { standing, stats, .. } = self;
        let mut closed = false;
        standing.iter_mut().for_each(|query| closed |= query.advance(stats, out));
        self.after(closed, out.len() - said);
    }

    /// As [`Streams::push`], for samples read back from a store: one that is in closed panes already is expected and not
    /// counted as late.
    pub fn push_again(&mut self, now: Timestamp, batch: &Batch, out: &mut Vec<Emission>) {
        let late = self.stats.late;
        self.push(now, batch, out);
        self.stats.late = late;
    }

    /// Closes what `now` allows, so that silent sources do not hold results back. Call it once all samples received before
    /// `now` were pushed: while catching up from the store, do not tick, or tick with the time caught up to.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Emission>) {
        let said = out.len();
        let Self { standing, stats, .. } = self;
        let mut closed = false;
        standing.iter_mut().for_each(|query| closed |= query.tick(now, stats, out));
        self.after(closed, out.len() - said);
    }

    fn push_series(
        &mut self,
        now: Timestamp,
        series: &BatchSeries<'_>,
        labels_of: &impl Fn(KnownSeries) -> Option<Labels>,
    ) {
        if self.deliver(now, series) {
            return;
        }
        let route = match series.known.map(labels_of) {
            Some(None) => return,
            Some(Some(labels)) => self.match_labels(series.id, labels.as_ref()),
            None => self.match_labels(series.id, series.labels),
        };
        self.routes.insert(series.id, route);
        self.deliver(now, series);
    }

    /// Hands the samples to the queries that want them; `false` when the series must be matched first.
    fn deliver(&mut self, now: Timestamp, series: &BatchSeries<'_>) -> bool {
        let full = self.bytes() >= self.limits.bytes_max;
        let Some(route) = self.routes.get(series.id, self.releases) else { return false };
        if full && !route.targets.is_empty() {
            self.stats.refused_rows += series.timestamps.len() as u64;
            return true;
        }
        let mut taken = true;
        for &(query, slot) in route.targets.iter() {
            if let Some(standing) = self.standing.get_mut(query as usize) {
                taken &= standing.take(slot, series, now, &mut self.stats);
                self.bytes_since += size_of_val(series.timestamps) * 2;
            }
        }
        if !taken {
            // A slot was given up and taken by another series: look again at the next batch.
            self.routes.remove(series.id);
        }
        true
    }

    /// Matches a series against every query, once.
    fn match_labels(&mut self, id: SeriesId, labels: LabelsRef<'_>) -> Route {
        let (mut targets, mut refused) = (Vec::new(), false);
        let mut groups: usize = self.standing.iter().map(Standing::n_groups).sum();
        for (i, standing) in self.standing.iter_mut().enumerate() {
            let room = self.bytes_settled + self.bytes_since < self.limits.bytes_max;
            let (groups_before, series_before) = (standing.n_groups(), standing.n_series());
            let left = self.limits.groups_max.saturating_sub(groups);
            match standing.admit(id, labels, left, room) {
                Admission::NotMatched => {}
                Admission::Slot(slot) => targets.push((i as u32, slot)),
                Admission::NoRoom => {
                    refused = true;
                    self.stats.refused_series += 1;
                }
            }
            groups += standing.n_groups() - groups_before;
            self.bytes_since +=
                (standing.n_groups() - groups_before) * 512 + (standing.n_series() - series_before) * 128;
        }
        Route { targets: targets.into(), refused_at: refused.then_some(self.releases) }
    }

    fn after(&mut self, closed: bool, said: usize) {
        self.stats.emitted += said as u64;
        if !closed {
            return;
        }
        let mut gone: Vec<SeriesId> = Vec::new();
        let mut released = false;
        self.standing.iter_mut().for_each(|query| released |= query.forget_silent(&mut gone));
        gone.iter().for_each(|&id| self.routes.remove(id));
        let full = self.bytes() >= self.limits.bytes_max;
        self.settle();
        if released || !gone.is_empty() || full {
            self.releases += 1;
        }
    }

    /// Counts the bytes exactly; between closings they are estimated.
    pub(crate) fn settle(&mut self) {
        self.bytes_settled = self.standing.iter().map(Standing::bytes).sum();
        self.bytes_since = 0;
    }

    fn bytes(&self) -> usize {
        self.bytes_settled + self.bytes_since
    }

    /// Counters and sizes.
    pub fn stats(&self) -> StreamStats {
        StreamStats {
            series: self.standing.iter().map(|query| query.n_series() as u64).sum(),
            groups: self.standing.iter().map(|query| query.n_groups() as u64).sum(),
            bytes: (self.bytes() + self.routes.bytes()) as u64,
            ..self.stats
        }
    }

    /// The specifications, in the order given.
    pub fn specs(&self) -> impl ExactSizeIterator<Item = &StreamSpec> {
        self.standing.iter().map(|query| &query.spec)
    }

    /// What each query still needs of the past: all samples after this time, `None` for a query without data. Whoever
    /// restores a checkpoint reads its store from there and hands that to [`Streams::push_again`]: what lies before is in
    /// the results or too late for them, whatever was waiting in queues when the checkpoint was taken.
    pub fn needs(&self) -> impl ExactSizeIterator<Item = (&StreamSpec, Option<Timestamp>)> {
        self.standing.iter().map(|query| (&query.spec, query.needs_after()))
    }

    /// The newest event time that any query has seen.
    pub fn reached(&self) -> Option<Timestamp> {
        self.standing.iter().filter_map(Standing::reached).max()
    }

    /// Streams that the checkpoint did not know or knew with another definition: they began empty.
    pub fn restarted(&self) -> &[String] {
        &self.restarted
    }
}
