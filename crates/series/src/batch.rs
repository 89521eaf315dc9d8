//! Decoded samples on their way into the store: columns over one label arena, no allocation per sample or label.
//!
//! ```text
//!   labels   [canonical bytes of series 0][… of series 1]…
//!   series   {labels: range, id, samples: range}…
//!   columns  timestamps […], values […]
//!   beside   histograms, exemplars, start times, spellings: rare, so they are found by the number of their series
//! ```
//!
//! A series that the receiving store knows already may be named by its number instead of its labels. A batch is reused:
//! [`Batch::clear`] keeps every buffer.

use std::ops::Range;

use crate::exemplar::Exemplar;
use crate::histogram::{Histogram, HistogramSample};
use crate::known::{KnownSeries, Spelling};
use crate::labels::{Labels, LabelsRef, put_text};
use crate::metadata::Metadata;
use crate::start::StartTime;
use crate::time::Timestamp;
use crate::value::SeriesId;

/// Samples of several series with their label sets.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    arena: Vec<u8>,
    series: Vec<Entry>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    histograms: Beside<HistogramSample>,
    exemplars: Beside<Exemplar>,
    spellings: Beside<Spelling>,
    starts: Beside<StartTime>,
    metadata: Vec<Metadata>,
}

/// One series of a batch with its samples, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeries<'a> {
    /// The series' identity.
    pub id: SeriesId,
    /// Its labels; empty where `known` says which series it is.
    pub labels: LabelsRef<'a>,
    /// The series' number in the store that the batch is for.
    pub known: Option<KnownSeries>,
    /// How a sender spelled the labels, where the store may want to remember that.
    pub spelling: Option<Spelling>,
    /// Milliseconds, in arrival order.
    pub timestamps: &'a [i64],
    /// Values beside the timestamps.
    pub values: &'a [f64],
    /// Native histograms, in arrival order.
    pub histograms: &'a [HistogramSample],
    /// Exemplars, in arrival order.
    pub exemplars: &'a [Exemplar],
    /// Since when samples count, in arrival order; of samples with the same start only the first is named.
    pub starts: &'a [StartTime],
}

/// Items of few series, each with the number of its series; numbers rise.
#[derive(Debug, Clone)]
struct Beside<T> {
    series: Vec<u32>,
    items: Vec<T>,
}

/// The label arena of a batch would pass 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch holds at most 4 GiB of labels; split it")]
pub struct BatchTooLarge;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: SeriesId,
    /// The store's number, or [`UNKNOWN`].
    number: u32,
    labels: (u32, u32),
    samples: (u32, u32),
}

/// Stands for no number. A store has fewer series.
const UNKNOWN: u32 = u32::MAX;

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.series.clear();
        self.timestamps.clear();
        self.values.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.spellings.clear();
        self.starts.clear();
        self.metadata.clear();
    }

    /// Opens a series; following [`Batch::push`] calls add to it. `pairs` must be sorted by name, without repeats, empty
    /// names or empty values: the caller (a decoder) has checked that already.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    pub fn begin<'p>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<SeriesId, BatchTooLarge> {
        let start = self.arena.len();
        for (name, value) in pairs {
            put_text(&mut self.arena, name);
            put_text(&mut self.arena, value);
        }
        self.open(start)
    }

    /// Opens a series whose labels are canonical bytes already: the caller (a decoder) has made sure of that.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    #[inline]
    pub fn begin_canonical(&mut self, labels: LabelsRef<'_>) -> Result<SeriesId, BatchTooLarge> {
        let start = self.arena.len();
        self.arena.extend_from_slice(labels.canonical());
        self.open(start)
    }

    /// Opens a series with labels that exist already.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    pub fn begin_labels(&mut self, labels: &Labels) -> Result<SeriesId, BatchTooLarge> {
        let start = self.arena.len();
        self.arena.extend_from_slice(labels.canonical());
        self.open(start)
    }

    /// Opens a series that the store this batch is for has numbered: it needs no labels.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    #[inline]
    pub fn begin_known(&mut self, known: KnownSeries) -> Result<(), BatchTooLarge> {
        let at = u32::try_from(self.timestamps.len()).map_err(|_| BatchTooLarge)?;
        let end = self.arena.len() as u32;
        self.series.push(Entry { id: known.id, number: known.number, labels: (end, end), samples: (at, at) });
        Ok(())
    }

    /// Notes how the labels of the series opened last were spelled, for a store that remembers that.
    pub fn spelled(&mut self, spelling: Spelling) {
        debug_assert!(!self.series.is_empty(), "spelled before begin");
        self.spellings.push(self.series.len(), spelling);
    }

    /// Makes room for so many series and samples more.
    pub fn reserve(&mut self, n_series: usize, n_samples: usize) {
        self.series.reserve(n_series);
        self.timestamps.reserve(n_samples);
        self.values.reserve(n_samples);
    }

    fn open(&mut self, start: usize) -> Result<SeriesId, BatchTooLarge> {
        let end = u32::try_from(self.arena.len()).map_err(|_| BatchTooLarge)?;
        let at = u32::try_from(self.timestamps.len()).map_err(|_| BatchTooLarge)?;
        let id = LabelsRef::trusted(&self.arena[start..]).id();
        self.series.push(Entry { id, number: UNKNOWN, labels: (start as u32, end), samples: (at, at) });
        Ok(id)
    }

    /// Adds the samples, histograms and exemplars of a series of another batch, named as it is there.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    pub fn push_series(&mut self, series: &BatchSeries<'_>) -> Result<(), BatchTooLarge> {
        let start = self.arena.len();
        self.arena.extend_from_slice(series.labels.canonical());
        let end = u32::try_from(self.arena.len()).map_err(|_| BatchTooLarge)?;
        let at = u32::try_from(self.timestamps.len()).map_err(|_| BatchTooLarge)?;
        let to = u32::try_from(self.timestamps.len() + series.timestamps.len()).map_err(|_| BatchTooLarge)?;
        self.timestamps.extend_from_slice(series.timestamps);
        self.values.extend_from_slice(series.values);
        let number = series.known.map_or(UNKNOWN, |known| known.number);
        self.series.push(Entry { id: series.id, number, labels: (start as u32, end), samples: (at, to) });
        let n_series = self.series.len();
        series.histograms.iter().for_each(|item| self.histograms.push(n_series, item.clone()));
        series.exemplars.iter().for_each(|item| self.exemplars.push(n_series, item.clone()));
        Ok(())
    }

    /// Adds a sample to the series opened last; without an open series the sample is dropped (a caller's fault that
    /// debug builds report).
    #[inline]
    pub fn push(&mut self, at: Timestamp, value: f64) {
        debug_assert!(!self.series.is_empty(), "push before begin");
        if let Some(entry) = self.series.last_mut() {
            self.timestamps.push(at.0);
            self.values.push(value);
            entry.samples.1 += 1;
        }
    }

    /// Adds a native histogram to the series opened last; as [`Batch::push`] without an open series.
    pub fn push_histogram(&mut self, at: Timestamp, histogram: Histogram) {
        debug_assert!(!self.series.is_empty(), "push before begin");
        self.histograms.push(self.series.len(), HistogramSample { at, histogram });
    }

    /// Adds an exemplar to the series opened last; as [`Batch::push`] without an open series.
    pub fn push_exemplar(&mut self, exemplar: Exemplar) {
        debug_assert!(!self.series.is_empty(), "push before begin");
        self.exemplars.push(self.series.len(), exemplar);
    }

    /// Says since when the sample at `at`, pushed last, counts. Following samples of the series with the same start need
    /// not say it again, and when they do nothing is added.
    pub fn push_start(&mut self, at: Timestamp, start: Timestamp) {
        debug_assert!(!self.series.is_empty(), "push before begin");
        let newest = self.series.len().checked_sub(1);
        let is_known = self.starts.series.last().map(|&series| series as usize) == newest
            && self.starts.items.last().is_some_and(|known| known.start == start);
        if !is_known {
            self.starts.push(self.series.len(), StartTime { at, start });
        }
    }

    /// Adds metadata of a metric family.
    pub fn push_metadata(&mut self, metadata: Metadata) {
        self.metadata.push(metadata);
    }

    /// Number of series.
    pub fn n_series(&self) -> usize {
        self.series.len()
    }

    /// Number of float samples.
    pub fn n_samples(&self) -> usize {
        self.timestamps.len()
    }

    /// Number of native histograms.
    pub fn n_histograms(&self) -> usize {
        self.histograms.items.len()
    }

    /// Number of exemplars.
    pub fn n_exemplars(&self) -> usize {
        self.exemplars.items.len()
    }

    /// Whether there is neither a sample of any kind nor an exemplar nor metadata.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
            && self.histograms.items.is_empty()
            && self.exemplars.items.is_empty()
            && self.metadata.is_empty()
    }

    /// Metadata carried along.
    pub fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    /// Time of the first float sample.
    pub fn first_timestamp(&self) -> Option<i64> {
        self.timestamps.first().copied()
    }

    // Inlined into loops over a batch: handed over in memory, the struct would be read before its parts are written, and
    // the loop would wait for every cache miss of the series before.
    /// The `i`-th series; panics beyond [`Batch::n_series`] like a slice.
    #[inline(always)]
    pub fn series(&self, i: usize) -> BatchSeries<'_> {
        let entry = self.series[i];
        let samples: Range<usize> = entry.samples.0 as usize..entry.samples.1 as usize;
        BatchSeries {
            id: entry.id,
            labels: LabelsRef::trusted(&self.arena[entry.labels.0 as usize..entry.labels.1 as usize]),
            known: (entry.number != UNKNOWN).then_some(KnownSeries { number: entry.number, id: entry.id }),
            spelling: self.spellings.of(i).first().copied(),
            timestamps: &self.timestamps[samples.clone()],
            values: &self.values[samples],
            histograms: self.histograms.of(i),
            exemplars: self.exemplars.of(i),
            starts: self.starts.of(i),
        }
    }

    /// All series in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BatchSeries<'_>> {
        (0..self.series.len()).map(|i| self.series(i))
    }

    /// Bytes held by the buffers, for admission control.
    pub fn bytes(&self) -> usize {
        let buckets = |histogram: &Histogram| {
            let (spans, counts) = [&histogram.positive, &histogram.negative]
                .iter()
                .fold((0, 0), |(spans, counts), side| (spans + side.spans.len(), counts + side.counts.len()));
            (spans + counts + histogram.custom_bounds.len()) * 8
        };
        let histograms: usize =
            self.histograms.items.iter().map(|item| size_of::<HistogramSample>() + buckets(&item.histogram)).sum();
        let exemplars: usize =
            self.exemplars.items.iter().map(|item| size_of::<Exemplar>() + item.labels.canonical().len()).sum();
        let columns = self.series.len() * size_of::<Entry>() + self.timestamps.len() * 16;
        let starts = self.starts.items.len() * (size_of::<StartTime>() + size_of::<u32>());
        self.arena.len() + columns + histograms + exemplars + starts
    }
}

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self { series: Vec::new(), items: Vec::new() }
    }
}

impl<T> Beside<T> {
    fn clear(&mut self) {
        self.series.clear();
        self.items.clear();
    }

    /// Adds an item to the newest of `n_series` series; dropped when there is none.
    fn push(&mut self, n_series: usize, item: T) {
        // A batch has fewer than 2^32 series: those named by labels take a byte of the 4 GiB arena each, those named by number
        // are as many as a decoder's limit allows.
        if let Some(newest) = n_series.checked_sub(1) {
            self.series.push(newest as u32);
            self.items.push(item);
        }
    }

    #[inline]
    fn of(&self, i: usize) -> &[T] {
        if self.series.is_empty() { &[] } else { self.find(i) }
    }

    #[cold]
    fn find(&self, i: usize) -> &[T] {
        let start = self.series.partition_point(|&series| (series as usize) < i);
        let end = self.series.partition_point(|&series| (series as usize) <= i);
        &self.items[start..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_keep_their_samples_and_ids() {
        let mut batch = Batch::default();
        let up = Labels::from_pairs([("__name__", "up"), ("job", "a")]).expect("valid");
        let id = batch.begin(up.iter()).expect("small");
        batch.push(Timestamp(1), 1.0);
        batch.push(Timestamp(2), 2.0);
        batch.begin([("__name__", "down")]).expect("small");
        batch.push(Timestamp(3), 3.0);
        assert_eq!(id, up.id());
        assert_eq!((batch.n_series(), batch.n_samples()), (2, 3));
        assert_eq!(batch.series(0).timestamps, [1, 2]);
        assert_eq!(batch.series(0).labels.to_owned(), up);
        assert_eq!(batch.series(1).values, [3.0]);
        batch.clear();
        assert!(batch.is_empty() && batch.n_series() == 0);
    }

    #[test]
    fn histograms_and_exemplars_stay_with_their_series() {
        let mut batch = Batch::default();
        let marker = |at| HistogramSample { at: Timestamp(at), histogram: Histogram::stale() };
        for (name, times) in [("a", &[1_i64, 2][..]), ("b", &[]), ("c", &[3])] {
            batch.begin([("__name__", name)]).expect("small");
            for &at in times {
                batch.push_histogram(Timestamp(at), marker(at).histogram);
                batch.push_exemplar(Exemplar { labels: Labels::empty(), value: 1.0, at: Timestamp(at) });
            }
        }
        let times = |i: usize| batch.series(i).histograms.iter().map(|item| item.at.0).collect::<Vec<_>>();
        assert_eq!([times(0), times(1), times(2)], [vec![1, 2], vec![], vec![3]]);
        assert_eq!(batch.series(2).exemplars.len(), 1);
        assert_eq!((batch.n_samples(), batch.n_histograms(), batch.n_exemplars()), (0, 3, 3));
        assert!(!batch.is_empty());
    }

    #[test]
    fn starts_are_named_once() {
        let mut batch = Batch::default();
        for name in ["a", "b"] {
            batch.begin([("__name__", name)]).expect("small");
            for (at, start) in [(10, 5), (20, 5), (30, 25)] {
                batch.push(Timestamp(at), 1.0);
                batch.push_start(Timestamp(at), Timestamp(start));
            }
        }
        let starts = |i: usize| batch.series(i).starts.iter().map(|s| (s.at.0, s.start.0)).collect::<Vec<_>>();
        assert_eq!([starts(0), starts(1)], [vec![(10, 5), (30, 25)], vec![(10, 5), (30, 25)]]);
        batch.clear();
        batch.begin([("__name__", "a")]).expect("small");
        assert!(batch.series(0).starts.is_empty());
    }
}
