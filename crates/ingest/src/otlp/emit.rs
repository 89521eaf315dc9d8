//! Rows into a batch: labels checked and sorted, numbers counted against the request's bounds.

use series::{Batch, Exemplar, Histogram, METRIC_NAME, Metadata, Timestamp};

use crate::error::IngestError;
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::RefusalReason;

/// A series by its parts.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    pub(crate) metric: &'r str,
    pub(crate) labels: &'r [(String, String)],
    /// One label more, such as `le`.
    pub(crate) extra: Option<(&'r str, &'r str)>,
}

/// Writes rows.
pub(crate) struct Emitter<'a> {
    batch: &'a mut Batch,
    limits: &'a Limits,
    set: LabelSet<'static>,
    pub(crate) n_series: u64,
    pub(crate) n_samples: u64,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(batch: &'a mut Batch, limits: &'a Limits) -> Self {
        Self { batch, limits, set: LabelSet::default(), n_series: 0, n_samples: 0 }
    }

    /// Whether the row's labels may be written.
    pub(crate) fn check(&mut self, row: Row<'_>) -> Result<(), RefusalReason> {
        let mut set = std::mem::take(&mut self.set).recycle();
        let checked = fill(&mut set, row, self.limits).and_then(|()| set.finish().map(drop));
        self.set = set.recycle();
        checked
    }

    /// Opens the row's series and adds a sample; a row that [`Emitter::check`] refuses writes nothing.
    pub(crate) fn sample(&mut self, row: Row<'_>, at: Timestamp, value: f64) -> Result<(), IngestError> {
        if self.open(row)? {
            self.batch.push(at, value);
        }
        Ok(())
    }

    /// As [`Emitter::sample`] for a native histogram.
    pub(crate) fn histogram(&mut self, row: Row<'_>, at: Timestamp, native: Histogram) -> Result<(), IngestError> {
        if self.open(row)? {
            self.batch.push_histogram(at, native);
        }
        Ok(())
    }

    /// Adds exemplars to the series opened last.
    pub(crate) fn exemplars(&mut self, exemplars: impl Iterator<Item = Exemplar>) {
        exemplars.for_each(|exemplar| self.batch.push_exemplar(exemplar));
    }

    /// Adds metadata unless it is nameless or too long.
    pub(crate) fn metadata(&mut self, metadata: Metadata) {
        let fits =
            [&metadata.metric, &metadata.help, &metadata.unit].iter().all(|t| t.len() <= self.limits.value_bytes);
        let has_room = (self.batch.metadata().len() as u64) < self.limits.series;
        if fits && has_room && !metadata.metric.is_empty() && self.batch.metadata().last() != Some(&metadata) {
            self.batch.push_metadata(metadata);
        }
    }

    fn open(&mut self, row: Row<'_>) -> Result<bool, IngestError> {
        for (what, found, limit) in
            [("series", self.n_series + 1, self.limits.series), ("samples", self.n_samples + 1, self.limits.samples)]
        {
            if found > limit {
                return Err(IngestError::TooMany { what, found, limit });
            }
        }
        let mut set = std::mem::take(&mut self.set).recycle();
        let opened = match fill(&mut set, row, self.limits).and_then(|()| set.finish()) {
            Ok(pairs) => self.batch.begin(pairs.iter().copied()).map(|_| true),
            Err(_) => Ok(false),
        };
        self.set = set.recycle();
        self.n_series += 1;
        self.n_samples += 1;
        Ok(opened?)
    }
}

fn fill<'r>(set: &mut LabelSet<'r>, row: Row<'r>, limits: &Limits) -> Result<(), RefusalReason> {
    set.push_text(METRIC_NAME, row.metric, limits)?;
    for (name, value) in row.labels {
        set.push_text(name, value, limits)?;
    }
    row.extra.map_or(Ok(()), |(name, value)| set.push_text(name, value, limits))
}
