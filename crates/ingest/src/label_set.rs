//! The labels of one series on their way into a batch: checked, empty values dropped, sorted by name.
//!
//! The protocol asks senders to sort labels; like Prometheus we sort them ourselves when they did not, since refusing
//! would lose samples whose meaning is clear. A repeated name has no clear meaning and is refused.

use series::METRIC_NAME;

use crate::limits::Limits;
use crate::outcome::RefusalReason;

/// Pairs that borrow from the message.
#[derive(Debug, Default)]
pub(crate) struct LabelSet<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    n_bytes: usize,
    is_sorted: bool,
}

impl<'a> LabelSet<'a> {
    /// Ready for the next series.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
        self.n_bytes = 0;
        self.is_sorted = true;
    }

    /// The same memory for pairs of another lifetime (an in-place collect of nothing).
    pub(crate) fn recycle<'b>(mut self) -> LabelSet<'b> {
        self.pairs.clear();
        LabelSet { pairs: self.pairs.into_iter().map(|_| ("", "")).collect(), n_bytes: 0, is_sorted: true }
    }

    /// Adds a label; its texts are checked.
    #[inline]
    pub(crate) fn push(&mut self, name: &'a [u8], value: &'a [u8], limits: &Limits) -> Result<(), RefusalReason> {
        let name = std::str::from_utf8(name).map_err(|_| RefusalReason::NotUtf8)?;
        let value = std::str::from_utf8(value).map_err(|_| RefusalReason::NotUtf8)?;
        self.push_text(name, value, limits)
    }

    /// As [`LabelSet::push`] for texts.
    #[inline]
    pub(crate) fn push_text(&mut self, name: &'a str, value: &'a str, limits: &Limits) -> Result<(), RefusalReason> {
        if name.is_empty() {
            return Err(RefusalReason::EmptyLabelName);
        }
        if value.is_empty() {
            return Ok(());
        }
        self.check_lengths(name, value, limits)?;
        if self.pairs.last().is_some_and(|(before, _)| *before >= name) {
            self.is_sorted = false;
        }
        self.pairs.push((name, value));
        Ok(())
    }

    #[inline]
    fn check_lengths(&mut self, name: &str, value: &str, limits: &Limits) -> Result<(), RefusalReason> {
        if name.len() > limits.name_bytes {
            return Err(RefusalReason::NameTooLong { limit: limits.name_bytes });
        }
        if value.len() > limits.value_bytes {
            return Err(RefusalReason::ValueTooLong { limit: limits.value_bytes });
        }
        if self.pairs.len() >= limits.labels_per_series {
            return Err(RefusalReason::TooManyLabels { limit: limits.labels_per_series });
        }
        self.n_bytes += name.len() + value.len();
        if self.n_bytes > limits.series_bytes {
            return Err(RefusalReason::SeriesTooLong { limit: limits.series_bytes });
        }
        Ok(())
    }

    /// The finished set: sorted, unique, with a metric name.
    #[inline]
    pub(crate) fn finish(&mut self) -> Result<&[(&'a str, &'a str)], RefusalReason> {
        if !self.is_sorted {
            self.pairs.sort_unstable_by_key(|(name, _)| *name);
            self.is_sorted = true;
            if self.pairs.windows(2).any(|two| two[0].0 == two[1].0) {
                return Err(RefusalReason::RepeatedLabelName);
            }
        }
        // `__name__` sorts before lower-case names, so it is nearly always the first.
        if self.pairs.iter().any(|(name, _)| *name == METRIC_NAME) {
            Ok(&self.pairs)
        } else {
            Err(RefusalReason::NoMetricName)
        }
    }
}
