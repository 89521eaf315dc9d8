//! Cutting a series' samples into chunk rows: one partition a UTC day, a bounded number of samples a chunk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use lake::ChunkRow;
use series::{Columns, SeriesId, Timestamp};

use crate::histograms::{self, Samples};

/// Milliseconds of a UTC day.
pub(crate) const DAY: i64 = 86_400_000;

/// Samples a chunk holds at most. A flush rarely has so many of one series; a bulk load has, and then its chunks are as
/// long as compaction would make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkSamples(pub(crate) usize);

impl ChunkSamples {
    /// At flush.
    pub(crate) const FRESH: Self = Self(8192);
    /// After compaction.
    pub(crate) const COMPACTED: Self = Self(8192);
}

/// Rows by day number since the epoch; within a day in the order in which series were added.
#[derive(Default)]
pub(crate) struct RowsByDay(pub(crate) BTreeMap<i64, Vec<ChunkRow>>);

impl RowsByDay {
    /// Adds the samples of one series, which are sorted and without repeats.
    pub(crate) fn add(&mut self, metric: &Arc<str>, id: SeriesId, columns: &Columns, longest: ChunkSamples) {
        for_each_chunk(&columns.timestamps, longest, |day, chunk| {
            let (timestamps, values) = (&columns.timestamps[chunk.clone()], &columns.values[chunk]);
            self.0.entry(day).or_default().push(ChunkRow::encode(Arc::clone(metric), id.0, timestamps, values));
        });
    }
}

impl RowsByDay {
    /// Adds the samples of one series, of both kinds, by time.
    pub(crate) fn add_samples(&mut self, metric: &Arc<str>, id: SeriesId, samples: &Samples, longest: ChunkSamples) {
        if samples.histograms.is_empty() {
            return self.add(metric, id, &samples.floats, longest);
        }
        let mut own = Self::default();
        own.add(metric, id, &samples.floats, longest);
        histograms::for_each_row(metric, id, &samples.histograms, longest, |day, row| {
            own.0.entry(day).or_default().push(row);
        });
        for (day, mut rows) in own.0 {
            rows.sort_by_key(|row| row.min_ts);
            self.0.entry(day).or_default().append(&mut rows);
        }
    }
}

/// Cuts rising timestamps into chunks: each inside one day, at most `longest` samples.
pub(crate) fn for_each_chunk(timestamps: &[i64], longest: ChunkSamples, mut each: impl FnMut(i64, Range<usize>)) {
    let mut start = 0;
    while start < timestamps.len() {
        let day = timestamps[start].div_euclid(DAY);
        // Most runs end in the day they begin in.
        let in_day = match timestamps.last() {
            Some(last) if last.div_euclid(DAY) == day => timestamps.len() - start,
            _ => timestamps[start..].partition_point(|&at| at.div_euclid(DAY) == day),
        };
        let end = start + in_day.min(longest.0);
        each(day, start..end);
        start = end;
    }
}

/// `2026-11-21`, the partition value of a day.
pub(crate) fn date_of(day: i64) -> String {
    let text = Timestamp(day.saturating_mul(DAY)).to_string();
    match text.find('T') {
        Some(end) => text[..end].to_owned(),
        // Outside the calendar: refused at the door, and no date that a table would take.
        None => format!("day{day}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_at_midnight_and_at_their_longest() {
        let timestamps: Vec<i64> = (0..5).map(|i| DAY - 3 + i).collect();
        let columns = Columns { values: vec![1.0; 5], timestamps };
        let mut rows = RowsByDay::default();
        rows.add(&Arc::from("up"), SeriesId(1), &columns, ChunkSamples(2));
        let counts: Vec<_> =
            rows.0.iter().map(|(day, rows)| (*day, rows.iter().map(|row| row.count).collect::<Vec<_>>())).collect();
        assert_eq!(counts, [(0, vec![2, 1]), (1, vec![2])]);
    }

    #[test]
    fn dates_are_utc_days() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(-1), "1969-12-31");
        assert_eq!(date_of(20_778), "2026-11-21");
    }
}
