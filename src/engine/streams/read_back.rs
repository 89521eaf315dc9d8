//! Reads back from the store what the standing queries did not get: what was written while their queue was full, and
//! what came between the last checkpoint and the end of the process.
//!
//! ```text
//!   range ─▶ stretches that hold a bounded number of samples ─▶ every selected series once ─▶ slices of a minute, in order
//! ```
//!
//! All queries are fed together: were they fed one after the other, the first would move the time of those that share
//! series with it, and the rest of their series would be late.

use std::collections::HashMap;

use series::{
    Batch, Columns, Millis, Select, SelectError, SelectRequest, SeriesOrder, SeriesSet, TimeRange, Timestamp,
};
use stream::Streams;

/// Length of the first stretch, and of every one with up to [`SERIES_AT_ONCE`] series.
const STRETCH: Millis = Millis::from_hours(1);
const SERIES_AT_ONCE: i64 = 20_000;
/// Slices in which a stretch is pushed: series must advance together.
const SLICE: Millis = Millis::from_mins(1);

/// Why not everything was read back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadBackError {
    /// The store could not be read.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// It is time to stop.
    #[error("stopped")]
    Stopped,
}

/// Pushes what the store holds in `range`, in order of time and for all queries together. `push` gets a slice at a time
/// and says whether to go on. What a query has in its results already is left out where that saves reading.
pub(super) fn read_back(
    select: &dyn Select,
    streams: &mut Streams,
    range: TimeRange,
    mut push: impl FnMut(&mut Streams, &Batch) -> bool,
) -> Result<(), ReadBackError> {
    // Standing queries begin with 1970, whatever a sender claims.
    let range = TimeRange::new(range.start.max(Timestamp(0)), range.end);
    // What comes meanwhile waits in the queue. Were it read here as well, a stretch could overtake samples that came after
    // the stretch before it was read.
    let Some(newest) = newest(select, streams, range)? else { return Ok(()) };
    let range = TimeRange::new(range.start, newest + Millis(1));
    let (mut start, mut length) = (range.start, STRETCH);
    while start < range.end {
        let stretch = TimeRange::new(start, (start + length).min(range.end));
        let found = Found::select(select, streams, stretch)?;
        if found.series.is_empty() {
            // A long time without samples costs few looks.
            (start, length) = (stretch.end, Millis(length.0.saturating_mul(2)));
            continue;
        }
        let length_max = found.length_max();
        if length > length_max {
            length = Millis(length_max.0.max(length.0 / 2));
            continue;
        }
        let columns = found.read(stretch)?;
        let mut slices = Slices { found: &found, columns: &columns, pushed: vec![0; columns.len()], at: start };
        let mut batch = Batch::default();
        while slices.next(stretch.end, &mut batch) {
            if !push(streams, &batch) {
                return Err(ReadBackError::Stopped);
            }
        }
        (start, length) = (stretch.end, length_max);
    }
    Ok(())
}

/// Time of the newest sample in `range` of the series that any query selects. Looks back farther and farther, since it is
/// mostly a short while ago.
fn newest(select: &dyn Select, streams: &Streams, range: TimeRange) -> Result<Option<Timestamp>, SelectError> {
    let (mut end, mut length) = (range.end, SLICE);
    while range.start < end {
        let start = range.start.max(end - length);
        let part = TimeRange::new(start, end);
        let found = Found::select(select, streams, part)?;
        let length_max = found.length_max();
        if !found.series.is_empty() && length > length_max {
            length = Millis(length_max.0.max(length.0 / 2));
            continue;
        }
        let columns = found.read(part)?;
        if let Some(newest) = columns.iter().filter_map(|columns| columns.timestamps.last()).max() {
            return Ok(Some(Timestamp(*newest)));
        }
        (end, length) = (start, Millis(length.0.saturating_mul(2)));
    }
    Ok(None)
}

/// The series that any query selects, each once.
struct Found {
    sets: Vec<Box<dyn SeriesSet>>,
    series: Vec<Wanted>,
}

/// One series.
struct Wanted {
    /// Set and place in it.
    place: (usize, usize),
    /// What lies before is in the results of all queries that select it.
    start: Timestamp,
}

impl Found {
    fn select(select: &dyn Select, streams: &Streams, stretch: TimeRange) -> Result<Self, SelectError> {
        let (mut found, mut known) = (Self { sets: Vec::new(), series: Vec::new() }, HashMap::new());
        for (spec, after) in streams.needs() {
            let start = after.map_or(stretch.start, |after| stretch.start.max(after + Millis(1)));
            let range = TimeRange::new(start, stretch.end);
            if range.is_empty() {
                continue;
            }
            let set = select.select(&SelectRequest {
                matchers: &spec.matchers,
                range,
                series_max: 0,
                order: SeriesOrder::Any,
            })?;
            for i in 0..set.len() {
                let at = *known.entry(set.labels(i).id()).or_insert(found.series.len());
                match found.series.get_mut(at) {
                    Some(wanted) => wanted.start = wanted.start.min(start),
                    None => found.series.push(Wanted { place: (found.sets.len(), i), start }),
                }
            }
            found.sets.push(set);
        }
        Ok(found)
    }

    /// Longest stretch for so many series: memory holds one stretch of all of them.
    fn length_max(&self) -> Millis {
        let n_series = (self.series.len() as i64).max(SERIES_AT_ONCE);
        Millis((STRETCH.0 * SERIES_AT_ONCE / n_series).max(SLICE.0))
    }

    fn read(&self, stretch: TimeRange) -> Result<Vec<Columns>, SelectError> {
        let read = |wanted: &Wanted| {
            let ((set, i), mut columns) = (wanted.place, Columns::default());
            self.sets[set].read(i, TimeRange::new(wanted.start, stretch.end), &mut columns)?;
            Ok(columns)
        };
        self.series.iter().map(read).collect()
    }
}

/// A stretch cut by time.
struct Slices<'a> {
    found: &'a Found,
    columns: &'a [Columns],
    /// Samples of each series pushed so far.
    pushed: Vec<usize>,
    at: Timestamp,
}

impl Slices<'_> {
    /// Fills `batch` with the next slice that is not empty; false at the end.
    fn next(&mut self, end: Timestamp, batch: &mut Batch) -> bool {
        batch.clear();
        while batch.is_empty() && self.at < end {
            self.at = (self.at + SLICE).min(end);
            for (k, columns) in self.columns.iter().enumerate() {
                let upto = columns.timestamps.partition_point(|&at| at < self.at.0);
                let from = std::mem::replace(&mut self.pushed[k], upto);
                let (set, i) = self.found.series[k].place;
                // The labels of one minute stay far below the 4 GiB that a batch can hold.
                if from < upto && batch.begin_labels(self.found.sets[set].labels(i)).is_ok() {
                    (from..upto).for_each(|j| batch.push(Timestamp(columns.timestamps[j]), columns.values[j]));
                }
            }
        }
        !batch.is_empty()
    }
}

#[cfg(test)]
mod tests;
