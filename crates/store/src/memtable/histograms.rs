//! The native histograms of a memtable: few series have any, so they stay as they came, in a map.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use series::{Columns, HistogramSample, TimeRange};

use crate::histograms::{self, Samples};
use crate::index::SeriesNumber;

/// What a series costs beside its histograms: map slot, vector header, allocator slack.
const SERIES_BYTES: usize = 96;

/// Histograms per series in arrival order.
#[derive(Default)]
pub(crate) struct HistogramTable {
    series: RwLock<HashMap<SeriesNumber, Vec<HistogramSample>>>,
    /// Whether there is any: what keeps the path of floats free of the lock.
    is_used: AtomicBool,
}

impl HistogramTable {
    /// Adds histograms; answers the memory they take.
    pub(crate) fn add(&self, number: SeriesNumber, samples: &[HistogramSample]) -> usize {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let held = series.entry(number).or_default();
        let new = if held.is_empty() { SERIES_BYTES } else { 0 };
        held.extend_from_slice(samples);
        self.is_used.store(true, Ordering::Release);
        samples.iter().map(histograms::bytes_of).sum::<usize>() + new
    }

    /// Floats were written for these times: they win over histograms that came before.
    #[inline]
    pub(crate) fn floats_came(&self, number: SeriesNumber, timestamps: &[i64]) {
        if self.is_used.load(Ordering::Acquire) {
            self.let_go(number, timestamps);
        }
    }

    #[cold]
    fn let_go(&self, number: SeriesNumber, timestamps: &[i64]) {
        if !self.has(number) {
            return;
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = series.get_mut(&number) {
            held.retain(|sample| !timestamps.contains(&sample.at.0));
        }
    }

    /// Puts the histograms of a series inside `range` beside its floats. A time that has both came as a float first.
    pub(crate) fn beside(&self, number: SeriesNumber, range: TimeRange, floats: Columns) -> Samples {
        let mut samples = Samples { floats, histograms: Vec::new() };
        if !self.is_used.load(Ordering::Acquire) {
            return samples;
        }
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = series.get(&number) {
            let inside = held.iter().filter(|sample| range.contains(sample.at));
            samples.histograms.extend(inside.cloned());
        }
        drop(series);
        histograms::normalise(&mut samples.histograms);
        let Samples { floats, histograms } = &mut samples;
        histograms::drop_floats(floats, |at| histograms::has_histogram(histograms, at));
        samples
    }

    /// Whether a series has any.
    pub(crate) fn has(&self, number: SeriesNumber) -> bool {
        self.is_used.load(Ordering::Acquire)
            && self.series.read().unwrap_or_else(PoisonError::into_inner).contains_key(&number)
    }

    /// Numbers of the series with histograms, in no order.
    pub(crate) fn numbers(&self) -> Vec<SeriesNumber> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        series.keys().copied().collect()
    }
}
