//! Decoded samples on their way into the store: columns over one label arena, no allocation per sample or label.
//!
//! ```text
//!   labels   [canonical bytes of series 0][… of series 1]…
//!   series   {labels: range, id, samples: range}…
//!   columns  timestamps […], values […]
//! ```
//!
//! A batch is reused: [`Batch::clear`] keeps every buffer.

use std::ops::Range;

use crate::labels::{Labels, LabelsRef, put_text};
use crate::metadata::Metadata;
use crate::time::Timestamp;
use crate::value::SeriesId;

/// Samples of several series with their label sets.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    arena: Vec<u8>,
    series: Vec<Entry>,
    timestamps: Vec<i64>,
    values: Vec<f64>,
    metadata: Vec<Metadata>,
}

/// One series of a batch with its samples, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeries<'a> {
    /// The series' identity.
    pub id: SeriesId,
    /// Its labels.
    pub labels: LabelsRef<'a>,
    /// Milliseconds, in arrival order.
    pub timestamps: &'a [i64],
    /// Values beside the timestamps.
    pub values: &'a [f64],
}

/// The label arena of a batch would pass 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch holds at most 4 GiB of labels; split it")]
pub struct BatchTooLarge;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: SeriesId,
    labels: (u32, u32),
    samples: (u32, u32),
}

impl Batch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.series.clear();
        self.timestamps.clear();
        self.values.clear();
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

    /// Opens a series with labels that exist already.
    ///
    /// # Errors
    /// [`BatchTooLarge`].
    pub fn begin_labels(&mut self, labels: &Labels) -> Result<SeriesId, BatchTooLarge> {
        let start = self.arena.len();
        self.arena.extend_from_slice(labels.canonical());
        self.open(start)
    }

    fn open(&mut self, start: usize) -> Result<SeriesId, BatchTooLarge> {
        let end = u32::try_from(self.arena.len()).map_err(|_| BatchTooLarge)?;
        let at = u32::try_from(self.timestamps.len()).map_err(|_| BatchTooLarge)?;
        let id = LabelsRef::trusted(&self.arena[start..]).id();
        self.series.push(Entry { id, labels: (start as u32, end), samples: (at, at) });
        Ok(id)
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

    /// Adds metadata of a metric family.
    pub fn push_metadata(&mut self, metadata: Metadata) {
        self.metadata.push(metadata);
    }

    /// Number of series.
    pub fn n_series(&self) -> usize {
        self.series.len()
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is neither a sample nor metadata.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.metadata.is_empty()
    }

    /// Metadata carried along.
    pub fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    /// The `i`-th series; panics beyond [`Batch::n_series`] like a slice.
    pub fn series(&self, i: usize) -> BatchSeries<'_> {
        let entry = self.series[i];
        let samples: Range<usize> = entry.samples.0 as usize..entry.samples.1 as usize;
        BatchSeries {
            id: entry.id,
            labels: LabelsRef::trusted(&self.arena[entry.labels.0 as usize..entry.labels.1 as usize]),
            timestamps: &self.timestamps[samples.clone()],
            values: &self.values[samples],
        }
    }

    /// All series in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = BatchSeries<'_>> {
        (0..self.series.len()).map(|i| self.series(i))
    }

    /// Bytes held by the buffers, for admission control.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.series.len() * size_of::<Entry>() + self.timestamps.len() * 16
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
}
