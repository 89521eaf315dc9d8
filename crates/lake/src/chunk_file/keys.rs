//! The key columns of a chunk file in memory, and where each series lies.

use std::ops::Range;

/// Who is where in a file: one item a row in every column, 28 bytes a row in all.
#[derive(Debug, Default, PartialEq)]
pub struct ChunkKeys {
    /// Series of the row.
    pub series_id: Vec<u64>,
    /// First timestamp of the row's chunk.
    pub min_ts: Vec<i64>,
    /// Last timestamp of the row's chunk.
    pub max_ts: Vec<i64>,
    /// Samples in the row's chunk.
    pub count: Vec<u32>,
    /// Runs of rows, sorted by series: a series' rows are neighbours, since it has one metric.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    series_id: u64,
    start: u32,
    end: u32,
}

impl ChunkKeys {
    pub(crate) fn new(series_id: Vec<u64>, min_ts: Vec<i64>, max_ts: Vec<i64>, count: Vec<u32>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (row, &series_id) in series_id.iter().enumerate() {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            match runs.last_mut() {
                Some(run) if run.series_id == series_id => run.end = row + 1,
                _ => runs.push(Run { series_id, start: row, end: row + 1 }),
            }
        }
        runs.sort_unstable_by_key(|run| run.series_id);
        runs.shrink_to_fit();
        Self { series_id, min_ts, max_ts, count, runs }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.series_id.len()
    }

    /// Whether there is no row (files always have one).
    pub fn is_empty(&self) -> bool {
        self.series_id.is_empty()
    }

    /// Number of different series.
    pub fn n_series(&self) -> usize {
        self.runs.len()
    }

    /// The rows of `series_id`, in rising order of their first timestamp; empty when it is not here.
    pub fn rows_of(&self, series_id: u64) -> Range<u32> {
        match self.runs.binary_search_by_key(&series_id, |run| run.series_id) {
            Ok(at) => self.runs[at].start..self.runs[at].end,
            Err(_) => 0..0,
        }
    }

    /// Calls `each` with the rows of every one of `wanted` (rising by series, each with a tag) that is here, and its tag.
    pub fn each_of<T: Copy>(&self, wanted: &[(u64, T)], mut each: impl FnMut(Range<u32>, T)) {
        // Walking both lists beats searching once every few runs are wanted.
        const FEW: usize = 8;
        if wanted.len().saturating_mul(FEW) < self.runs.len() {
            for &(series_id, tag) in wanted {
                let rows = self.rows_of(series_id);
                if !rows.is_empty() {
                    each(rows, tag);
                }
            }
            return;
        }
        let mut runs = self.runs.iter().peekable();
        for &(series_id, tag) in wanted {
            while runs.next_if(|run| run.series_id < series_id).is_some() {}
            if let Some(run) = runs.peek().filter(|run| run.series_id == series_id) {
                each(run.start..run.end, tag);
            }
        }
    }

    /// The rows of `series_id` whose chunks touch the closed range `[first, last]` of timestamps, rising.
    pub fn rows_between(&self, series_id: u64, first: i64, last: i64) -> impl Iterator<Item = u32> + '_ {
        self.rows_of(series_id)
            .filter(move |&row| self.min_ts[row as usize] <= last && first <= self.max_ts[row as usize])
    }

    /// Every series with its rows, rising by series.
    pub fn series(&self) -> impl Iterator<Item = (u64, Range<u32>)> + '_ {
        self.runs.iter().map(|run| (run.series_id, run.start..run.end))
    }

    /// Bytes of memory that these columns take.
    pub fn memory_bytes(&self) -> usize {
        self.len() * 28 + self.runs.len() * size_of::<Run>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_found_in_any_order_of_ids() {
        let keys = ChunkKeys::new(vec![9, 9, 3, 7], vec![0, 100, 0, 50], vec![99, 150, 10, 60], vec![1, 2, 3, 4]);
        assert_eq!((keys.rows_of(9), keys.rows_of(3), keys.rows_of(7), keys.rows_of(8)), (0..2, 2..3, 3..4, 0..0));
        assert_eq!(keys.rows_between(9, 100, 120).collect::<Vec<_>>(), [1]);
        assert_eq!(keys.rows_between(9, 99, 100).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(keys.series().map(|(id, _)| id).collect::<Vec<_>>(), [3, 7, 9]);
        assert_eq!((keys.len(), keys.n_series()), (4, 3));
        for wanted in [&[(3, 'a'), (8, 'b'), (9, 'c')][..], &[], &[(1, 'a'), (2, 'b')], &[(9, 'c')]] {
            let mut found = Vec::new();
            keys.each_of(wanted, |rows, tag| found.push((rows, tag)));
            let rows = wanted.iter().map(|&(id, tag)| (keys.rows_of(id), tag)).filter(|(rows, _)| !rows.is_empty());
            assert_eq!(found, rows.collect::<Vec<_>>());
        }
        let many = ChunkKeys::new((0..100).collect(), vec![0; 100], vec![0; 100], vec![1; 100]);
        let mut found = Vec::new();
        many.each_of(&[(7, 0), (99, 1), (100, 2)], |rows, tag| found.push((rows, tag)));
        assert_eq!(found, [(7..8, 0), (99..100, 1)], "few of many are searched for");
    }
}
