//! Which series the standing queries want: the others never reach their queue.
//!
//! Series that the store has numbered are judged once; the verdicts lie in the order of the numbers, which is the order
//! in which scrapes come.

use std::sync::{Arc, PoisonError, RwLock};

use series::{Batch, BatchTooLarge, Labels, LabelsRef, Matcher, Recall};

/// The selectors of all standing queries, and what is known of series.
#[derive(Default)]
pub(crate) struct Wants {
    selectors: Vec<Vec<Matcher>>,
    recall: Option<Arc<dyn Recall>>,
    by_number: RwLock<Verdicts>,
}

/// By series number; the labels are looked at for wanted ones only, which are few.
#[derive(Default)]
struct Verdicts {
    verdicts: Vec<Verdict>,
    labels: Vec<Option<Labels>>,
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
        Self { selectors, recall, by_number: RwLock::default() }
    }

    /// The wanted series of `batch`, each with its labels.
    ///
    /// # Errors
    /// [`BatchTooLarge`] when their labels do not fit into one batch.
    pub(crate) fn of(&self, batch: &Batch) -> Result<Batch, BatchTooLarge> {
        let (mut wanted, mut new) = (Batch::default(), Vec::new());
        if self.selectors.is_empty() {
            return Ok(wanted);
        }
        {
            let judged = self.by_number.read().unwrap_or_else(PoisonError::into_inner);
            for i in 0..batch.n_series() {
                let series = batch.series(i);
                match series.known {
                    None if self.wants(series.labels) => wanted.push_series(&series, series.labels)?,
                    None => {}
                    Some(known) => match judged.verdicts.get(known.number as usize) {
                        Some(Verdict::Unwanted) => {}
                        Some(Verdict::Wanted) => {
                            if let Some(Some(labels)) = judged.labels.get(known.number as usize) {
                                wanted.push_series(&series, labels.as_ref())?;
                            }
                        }
                        Some(Verdict::NotJudged) | None => new.push((i, known.number)),
                    },
                }
            }
        }
        for (i, number) in new {
            if let Some(labels) = self.judge(number) {
                wanted.push_series(&batch.series(i), labels.as_ref())?;
            }
        }
        Ok(wanted)
    }

    fn wants(&self, labels: LabelsRef<'_>) -> bool {
        self.selectors.iter().any(|selector| selector.iter().all(|matcher| matcher.matches_labels(labels)))
    }

    /// Judges a series for good; its labels if it is wanted.
    fn judge(&self, number: u32) -> Option<Labels> {
        let labels = self.recall.as_ref()?.labels_of(number)?;
        let is_wanted = self.wants(labels.as_ref());
        let mut judged = self.by_number.write().unwrap_or_else(PoisonError::into_inner);
        let at = number as usize;
        if judged.verdicts.len() <= at {
            judged.verdicts.resize(at + 1, Verdict::NotJudged);
        }
        judged.verdicts[at] = if is_wanted { Verdict::Wanted } else { Verdict::Unwanted };
        if !is_wanted {
            return None;
        }
        if judged.labels.len() <= at {
            judged.labels.resize(at + 1, None);
        }
        judged.labels[at] = Some(labels.clone());
        Some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::{KnownSeries, SeriesId, Spelling, Timestamp};

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
            for (number, at) in [(0, 1), (1, 2), (7, 3)] {
                batch.begin_known(KnownSeries { number, id: SeriesId(u64::from(number)) }).expect("small");
                batch.push(Timestamp(at), 1.0);
            }
            for (name, at) in [("down", 4), ("up", 5)] {
                batch.begin_labels(&labels(name)).expect("small");
                batch.push(Timestamp(at), 1.0);
            }
            let wanted = wants.of(&batch).expect("small");
            let mut seen: Vec<_> = wanted.iter().map(|s| (s.timestamps.to_vec(), s.labels.to_owned())).collect();
            seen.sort_by_key(|(times, _)| times[0]);
            assert_eq!(seen, [(vec![2], labels("up")), (vec![5], labels("up"))]);
        }
    }
}
