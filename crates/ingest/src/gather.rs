//! Lines of a text gathered into one run a series, so that a text in the order of time is as cheap to store as one in
//! the order of series.
//!
//! A series is known by its spelling in the text (or the row): its labels are read once, at its first line. Two spellings
//! of one series become two runs, which changes nothing but their size.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use series::{Batch, Exemplar, Labels, METRIC_NAME, Timestamp};

use crate::error::IngestError;
use crate::limits::Limits;
use crate::outcome::RefusalReason;

/// Two pieces of a text that together spell a series.
pub(crate) type Spelling<'t> = (&'t str, &'t str);

/// What a spelling stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The series of this number.
    Series(u32),
    /// A series that may not be written.
    Refused(RefusalReason),
}

/// Collects the samples of one text, whose series are spelled as `K`.
#[derive(Debug)]
pub(crate) struct Gather<K> {
    known: HashMap<K, Place>,
    /// The label sets, each without samples.
    sets: Batch,
    counts: Vec<u32>,
    rows: Vec<Row>,
    exemplars: Vec<(u32, Exemplar)>,
    /// Series that tell when others began, with what they tell.
    created: Vec<(u32, Timestamp)>,
    series_max: u64,
    samples_max: u64,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    series: u32,
    at: i64,
    value: f64,
}

impl<K: Eq + Hash> Gather<K> {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            known: HashMap::new(),
            sets: Batch::default(),
            counts: Vec::new(),
            rows: Vec::new(),
            exemplars: Vec::new(),
            created: Vec::new(),
            series_max: limits.series,
            samples_max: limits.samples,
        }
    }

    /// What `spelling` stands for, if it was met before.
    #[inline]
    pub(crate) fn find<Q: Eq + Hash + ?Sized>(&self, spelling: &Q) -> Option<Place>
    where
        K: Borrow<Q>,
    {
        self.known.get(spelling).copied()
    }

    /// Notes what `spelling` stands for; `labels` are sorted, unique and checked.
    pub(crate) fn add(
        &mut self,
        spelling: K,
        labels: Result<&[(&str, &str)], RefusalReason>,
    ) -> Result<Place, IngestError> {
        let place = match labels {
            Err(reason) => Place::Refused(reason),
            Ok(pairs) => {
                let found = self.counts.len() as u64 + 1;
                if found > self.series_max {
                    return Err(IngestError::TooMany { what: "series", found, limit: self.series_max });
                }
                self.sets.begin(pairs.iter().copied())?;
                self.counts.push(0);
                Place::Series(self.counts.len() as u32 - 1)
            }
        };
        // Refused spellings are remembered to spare work, not for ever.
        if matches!(place, Place::Series(_)) || (self.known.len() as u64) < self.series_max {
            self.known.insert(spelling, place);
        }
        Ok(place)
    }

    /// Adds a sample to a series that [`Gather::add`] has numbered.
    #[inline]
    pub(crate) fn push(&mut self, series: u32, at: Timestamp, value: f64) -> Result<(), IngestError> {
        if self.rows.len() as u64 >= self.samples_max {
            let found = self.rows.len() as u64 + 1;
            return Err(IngestError::TooMany { what: "samples", found, limit: self.samples_max });
        }
        self.rows.push(Row { series, at: at.0, value });
        self.counts[series as usize] += 1;
        Ok(())
    }

    /// Adds an exemplar beside a series' samples.
    pub(crate) fn push_exemplar(&mut self, series: u32, exemplar: Exemplar) {
        self.exemplars.push((series, exemplar));
    }

    /// Notes that a series, whose name ends in `_created`, tells when its family's counters of the same labels began.
    pub(crate) fn push_created(&mut self, series: u32, start: Timestamp) {
        self.created.push((series, start));
    }

    /// Series with at least one sample.
    pub(crate) fn n_series(&self) -> u64 {
        self.counts.len() as u64
    }

    /// Samples so far.
    pub(crate) fn n_samples(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Puts everything into `batch`, series by series, samples in the order of the text.
    pub(crate) fn finish(mut self, batch: &mut Batch) -> Result<(), IngestError> {
        let order = self.order();
        let starts = self.starts();
        self.exemplars.sort_by_key(|(series, _)| *series);
        let (mut exemplars, mut start) = (self.exemplars.into_iter().peekable(), 0);
        for (i, &count) in self.counts.iter().enumerate() {
            batch.begin(self.sets.series(i).labels.iter())?;
            let starts =
                if starts.is_empty() { None } else { counter_key(&self.sets, i).and_then(|key| starts.get(&key)) };
            for &row in &order[start..start + count as usize] {
                let row = self.rows[row as usize];
                batch.push(Timestamp(row.at), row.value);
                // The latest before the sample: a text of many scrapes tells of every restart.
                let own = starts.map(|starts| &starts[..starts.partition_point(|start| start.0 < row.at)]);
                if let Some(start) = own.and_then(<[Timestamp]>::last) {
                    batch.push_start(Timestamp(row.at), *start);
                }
            }
            while let Some((_, exemplar)) = exemplars.next_if(|(series, _)| *series as usize == i) {
                batch.push_exemplar(exemplar);
            }
            start += count as usize;
        }
        Ok(())
    }

    /// Known starts, rising, by their family and labels.
    fn starts(&self) -> HashMap<Labels, Vec<Timestamp>> {
        let mut starts: HashMap<Labels, Vec<Timestamp>> = HashMap::new();
        for &(series, start) in &self.created {
            if let Some(key) = key(&self.sets, series as usize, &["_created"]) {
                starts.entry(key).or_default().push(start);
            }
        }
        starts.values_mut().for_each(|starts| starts.sort_unstable());
        starts
    }

    /// Numbers of the rows by series, within one in the order they came: a counting sort.
    fn order(&self) -> Vec<u32> {
        let mut next = Vec::with_capacity(self.counts.len());
        let mut start = 0;
        for &count in &self.counts {
            next.push(start);
            start += count;
        }
        let mut order = vec![0_u32; self.rows.len()];
        for (i, row) in self.rows.iter().enumerate() {
            let slot = &mut next[row.series as usize];
            order[*slot as usize] = i as u32;
            *slot += 1;
        }
        order
    }
}

/// Family and labels of a series that may count up: what it has in common with the `_created` line of its point.
fn counter_key(sets: &Batch, i: usize) -> Option<Labels> {
    key(sets, i, &["_total", "_bucket", "_count", "_sum"])
}

fn key(sets: &Batch, i: usize, suffixes: &[&str]) -> Option<Labels> {
    let labels = sets.series(i).labels;
    let metric = labels.get(METRIC_NAME)?;
    let (suffix, family) = suffixes.iter().find_map(|suffix| Some((*suffix, metric.strip_suffix(suffix)?)))?;
    let pairs = labels.iter().filter(|(name, _)| *name != "le" || suffix != "_bucket");
    Labels::from_pairs(pairs.map(|(name, value)| (name, if name == METRIC_NAME { family } else { value }))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_series_come_together_in_their_order() {
        let mut gather: Gather<Spelling<'_>> = Gather::new(&Limits::default());
        for (name, at) in [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)] {
            let place = match gather.find(&(name, "")) {
                Some(place) => place,
                None => gather.add((name, ""), Ok(&[("__name__", name)])).expect("room"),
            };
            let Place::Series(series) = place else { panic!("not refused") };
            gather.push(series, Timestamp(at), at as f64).expect("room");
        }
        let mut batch = Batch::default();
        gather.finish(&mut batch).expect("small");
        let shown: Vec<_> = batch.iter().map(|s| (s.labels.to_string(), s.timestamps.to_vec())).collect();
        assert_eq!(shown, [("a".to_owned(), vec![1, 2, 3]), ("b".to_owned(), vec![1, 2])]);
    }

    #[test]
    fn limits_count_series_and_samples_once() {
        let mut gather: Gather<Spelling<'_>> = Gather::new(&Limits { series: 1, samples: 1, ..Limits::default() });
        let refused = gather.add(("x", ""), Err(RefusalReason::NoMetricName)).expect("not counted");
        assert_eq!(refused, Place::Refused(RefusalReason::NoMetricName));
        gather.add(("a", ""), Ok(&[("__name__", "a")])).expect("the first");
        let error = gather.add(("b", ""), Ok(&[("__name__", "b")])).expect_err("the second");
        assert_eq!(error, IngestError::TooMany { what: "series", found: 2, limit: 1 });
        gather.push(0, Timestamp(1), 1.0).expect("the first");
        assert_eq!(gather.push(0, Timestamp(2), 2.0).expect_err("the second").status(), 400);
    }
}
