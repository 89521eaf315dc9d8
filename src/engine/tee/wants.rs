//! Which series the standing queries want: the others never reach their queue.
//!
//! Series that the store has numbered are judged once; the verdicts lie in the order of the numbers, which is the order
//! in which scrapes come. They stay named by number: their labels would fill the queue.

use std::sync::{Arc, PoisonError, RwLock};

use series::{Batch, BatchTooLarge, KnownSeries, Labels, LabelsRef, Matcher, Recall};

/// The selectors of all standing queries, and what is known of series.
#[derive(Default)]
pub(crate) struct Wants {
    selectors: Vec<Vec<Matcher>>,
    recall: Option<Arc<dyn Recall>>,
    /// By series number.
    verdicts: RwLock<Vec<Verdict>>,
}

#[derive(Clone, Copy, Default)]
enum Verdict {
    #[default]
    NotJudged,
    Unwanted,
    Wanted,
}

impl Wants {
    /// `recall` knows the labels of series that batches name by number.
    pub(crate) fn new(selectors: Vec<Vec<Matcher>>, recall: Option<Arc<dyn Recall>>) -> Self {
        Self { selectors, recall, verdicts: RwLock::default() }
    }

    /// The wanted series of `batch`.
    ///
    /// # Errors
    /// [`BatchTooLarge`] when their labels do not fit into one batch.
    pub(crate) fn of(&self, batch: &Batch) -> Result<Batch, BatchTooLarge> {
        let (mut wanted, mut new) = (Batch::default(), Vec::new());
        if self.selectors.is_empty() {
            return Ok(wanted);
        }
        {
            let verdicts = self.verdicts.read().unwrap_or_else(PoisonError::into_inner);
            for i in 0..batch.n_series() {
                let series = batch.series(i);
                let verdict = match series.known {
                    None if self.wants(series.labels) => Verdict::Wanted,
                    None => Verdict::Unwanted,
                    Some(known) => verdicts.get(known.number as usize).copied().unwrap_or_default(),
                };
                match verdict {
                    Verdict::Wanted => wanted.push_series(&series)?,
                    Verdict::Unwanted => {}
                    Verdict::NotJudged => new.push(i),
                }
            }
        }
        for i in new {
            let series = batch.series(i);
            if series.known.is_some_and(|known| self.judge(known)) {
                wanted.push_series(&series)?;
            }
        }
        Ok(wanted)
    }

    /// Labels of a series that a batch names by number.
    pub(crate) fn labels_of(&self, known: KnownSeries) -> Option<Labels> {
        self.recall.as_ref()?.labels_of(known.number)
    }

    fn wants(&self, labels: LabelsRef<'_>) -> bool {
        self.selectors.iter().any(|selector| selector.iter().all(|matcher| matcher.matches_labels(labels)))
    }

    /// Judges a series for good.
    fn judge(&self, known: KnownSeries) -> bool {
        let Some(labels) = self.recall.as_ref().and_then(|recall| recall.labels_of(known.number)) else { return false };
        let is_wanted = self.wants(labels.as_ref());
        let mut verdicts = self.verdicts.write().unwrap_or_else(PoisonError::into_inner);
        let at = known.number as usize;
        if verdicts.len() <= at {
            verdicts.resize(at + 1, Verdict::NotJudged);
        }
        verdicts[at] = if is_wanted { Verdict::Wanted } else { Verdict::Unwanted };
        is_wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::{BatchSeries, SeriesId, Spelling, Timestamp};

    struct Names(Vec<Labels>);

    impl Recall for Names {
        fn seed(&self) -> u64 {
            0
        }

        fn recall(&self, _: &[Spelling], _: &mut Vec<Option<KnownSeries>>) {}

        fn labels_of(&self, number: u32) -> Option<Labels> {
            self.0.get(number as usize).cloned()
        }
    }

    #[test]
    fn only_wanted_series_are_copied_whether_named_by_labels_or_by_number() {
        let labels = |name: &str| Labels::from_pairs([("__name__", name)]).expect("valid");
        let names = Arc::new(Names(vec![labels("down"), labels("up")]));
        let wants = Wants::new(vec![vec![Matcher::equal("__name__", "up")]], Some(names));
        for _ in 0..2 {
            let mut batch = Batch::default();
            for (number, id, at) in [(0, labels("down").id(), 1), (1, SeriesId(1), 2), (7, SeriesId(7), 3)] {
                batch.begin_known(KnownSeries { number, id }).expect("small");
                batch.push(Timestamp(at), 1.0);
            }
            for (name, at) in [("down", 4), ("up", 5)] {
                batch.begin_labels(&labels(name)).expect("small");
                batch.push(Timestamp(at), 1.0);
            }
            let wanted = wants.of(&batch).expect("small");
            let named = |series: BatchSeries<'_>| match series.known {
                Some(known) => wants.labels_of(known).expect("known"),
                None => series.labels.to_owned(),
            };
            let mut seen: Vec<_> = wanted.iter().map(|series| (series.timestamps.to_vec(), named(series))).collect();
            seen.sort_by_key(|(times, _)| times[0]);
            assert_eq!(seen, [(vec![2], labels("up")), (vec![5], labels("up"))]);
        }
    }
}
