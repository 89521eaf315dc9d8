//! The read side of a store: matchers and a range in, columns per series out.
//!
//! A [`SeriesSet`] is a consistent snapshot: samples appended or files compacted after [`Select::select`] returned do not
//! change it. Series are read one at a time, from as many threads as the caller likes, so evaluation is parallel over
//! series and memory holds only what is being looked at.

use crate::exemplar::SeriesExemplars;
use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::metadata::Metadata;
use crate::rollup::{Resolution, Rollup, RollupSet};
use crate::time::{TimeRange, Timestamp};

/// Answers which series exist and what they hold.
pub trait Select: Send + Sync {
    /// The series that match all of `request.matchers` and may have samples in `request.range`, in the order asked for.
    ///
    /// # Errors
    /// [`SelectError`].
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError>;

    /// As [`Select::select`], but what cannot be read is left out of the set; each such file is named in a sentence for
    /// people. A store whose files are all well answers as `select` does.
    ///
    /// # Errors
    /// [`SelectError`], but not for files that cannot be read.
    fn select_partial(&self, request: &SelectRequest<'_>) -> Result<(Box<dyn SeriesSet>, Vec<String>), SelectError> {
        Ok((self.select(request)?, Vec::new()))
    }

    /// Label sets of the series that match any of `selectors` (all series when empty) and may have samples in `range`;
    /// sorted, without repeats, at most `limit` (0: no limit).
    ///
    /// # Errors
    /// [`SelectError`].
    fn series(&self, selectors: &[Vec<Matcher>], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SelectError>;

    /// Names of labels of the series that [`Select::series`] would list, sorted.
    ///
    /// # Errors
    /// [`SelectError`].
    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError>;

    /// Values of label `name` on the series that [`Select::series`] would list, sorted.
    ///
    /// # Errors
    /// [`SelectError`].
    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError>;

    /// Metadata of metric families, sorted by name; of one family when `metric` is given.
    fn metadata(&self, metric: Option<&str>) -> Vec<Metadata>;

    /// Roll-ups of the series that match all of `request.matchers`, in buckets that start inside `request.range`; sorted by
    /// labels. They are what the samples come to at this moment, late ones and deletions included; where samples have
    /// expired, what they came to before. Stores that keep none answer an empty set.
    ///
    /// # Errors
    /// [`SelectError`].
    fn rollups(&self, resolution: Resolution, request: &SelectRequest<'_>) -> Result<Box<dyn RollupSet>, SelectError> {
        let (_, _) = (resolution, request);
        Ok(Box::new(NoRollups(Labels::empty())))
    }

    /// Exemplars in `range` of the series that match any of `selectors`, sorted by labels. A store that keeps none has
    /// none.
    ///
    /// # Errors
    /// [`SelectError`].
    fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Vec<SeriesExemplars>, SelectError> {
        let _ = (selectors, range);
        Ok(Vec::new())
    }
}

/// What to select.
#[derive(Debug, Clone, Copy)]
pub struct SelectRequest<'a> {
    /// All must match.
    pub matchers: &'a [Matcher],
    /// Samples wanted.
    pub range: TimeRange,
    /// Refuse with [`SelectError::TooManySeries`] beyond this many series (0: no limit).
    pub series_max: usize,
    /// In which order the series are wanted.
    pub order: SeriesOrder,
}

/// The order of a selection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SeriesOrder {
    /// Sorted by labels.
    #[default]
    Labels,
    /// As they are found, which saves sorting many.
    Any,
}

/// A snapshot of selected series.
pub trait SeriesSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// Whether nothing matched.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of series `i`.
    fn labels(&self, i: usize) -> &Labels;

    /// Appends the samples of series `i` inside `range` (a part of the requested one) to `out`: strictly rising
    /// timestamps, one sample each, stale markers included.
    ///
    /// # Errors
    /// [`SelectError`] when a file is missing or damaged; `out` is then unspecified.
    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError>;

    /// Whether series `i` may have native histograms in the requested range.
    fn has_histograms(&self, i: usize) -> bool {
        let _ = i;
        false
    }

    /// Appends the native histograms of series `i` inside `range` to `out`: strictly rising timestamps, stale markers
    /// included. A time that also has a float is answered by one of the two kinds only, the later written.
    ///
    /// # Errors
    /// As [`SeriesSet::read`].
    fn read_histograms(&self, i: usize, range: TimeRange, out: &mut Vec<HistogramSample>) -> Result<(), SelectError> {
        let _ = (i, range, out);
        Ok(())
    }
}

/// Timestamps and values of one series, side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Milliseconds, strictly rising.
    pub timestamps: Vec<i64>,
    /// Values; stale markers keep their bits.
    pub values: Vec<f64>,
}

/// Why a selection cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// More series than allowed.
    #[error("selector matches {found} series, more than the limit of {limit}; add matchers or raise the limit")]
    TooManySeries {
        /// How many matched.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A stored file is damaged; nothing was guessed from it.
    #[error("{file} cannot be read: {why}; `foretide doctor` tells what to do, `partial_ok=true` answers without it")]
    Damaged {
        /// File inside the data folder.
        file: String,
        /// What failed.
        why: String,
    },
    /// Reading failed.
    #[error("read {file}: {why}")]
    Io {
        /// File inside the data folder.
        file: String,
        /// The system's reason.
        why: String,
    },
}

impl Columns {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Removes all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }

    /// Adds a sample at the end.
    pub fn push(&mut self, at: Timestamp, value: f64) {
        self.timestamps.push(at.0);
        self.values.push(value);
    }

    /// The samples as pairs.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, f64)> {
        self.timestamps.iter().map(|&t| Timestamp(t)).zip(self.values.iter().copied())
    }
}

/// The roll-ups of a store that keeps none.
struct NoRollups(Labels);

impl RollupSet for NoRollups {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _: usize) -> &Labels {
        &self.0
    }

    fn scan(
        &self,
        _: std::ops::Range<usize>,
        _: &mut dyn FnMut(usize, Vec<Rollup>) -> bool,
    ) -> Result<(), SelectError> {
        Ok(())
    }
}
