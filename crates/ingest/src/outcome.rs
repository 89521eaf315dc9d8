//! What became of a request that could be read: counts, and the series that were refused with the reason.

use std::fmt;

/// Longest example of a refused series, in bytes.
const EXAMPLE_BYTES: usize = 200;

/// Counts of one decoded request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Series put into the batch (those without samples are not).
    pub series: u64,
    /// Float samples put into the batch.
    pub samples: u64,
    /// Native histograms put into the batch.
    pub histograms: u64,
    /// Exemplars put into the batch.
    pub exemplars: u64,
    /// Metadata entries put into the batch.
    pub metadata: u64,
    /// Exemplars not put into the batch: labels that are no label set, or too long.
    pub exemplars_skipped: u64,
    /// Metadata entries not stored: no family name, not UTF-8, or longer than the limits.
    pub metadata_skipped: u64,
    /// Series refused, one entry a reason.
    pub refused: Vec<Refusal>,
}

/// A reason with what it cost and the first series (or line) it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusalReason,
    /// How many series (of a text: lines); 0 when single samples of good series are refused.
    pub series: u64,
    /// How many samples, floats and histograms, they carried.
    pub samples: u64,
    /// The first one, shortened and escaped.
    pub example: String,
}

/// Why a series is refused while the rest of its request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalReason {
    /// A label name or value is not UTF-8.
    NotUtf8,
    /// A label without a name.
    EmptyLabelName,
    /// A label name appears twice.
    RepeatedLabelName,
    /// There is no metric name (`__name__`).
    NoMetricName,
    /// More labels than allowed.
    TooManyLabels {
        /// The limit.
        limit: usize,
    },
    /// A label name is too long.
    NameTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A label value is too long.
    ValueTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// All names and values together are too long.
    SeriesTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A line of a text format that cannot be read.
    BadLine,
    /// Remote write 2.0: the references of a series are not pairs.
    OddReferences,
    /// Remote write 2.0: a reference to a symbol that is not there.
    UnknownSymbol,
    /// A native histogram that cannot be: its spans, counts or bounds contradict each other.
    BadHistogram,
}

impl Decoded {
    /// Series refused, over all reasons.
    pub fn series_refused(&self) -> u64 {
        self.refused.iter().map(|refusal| refusal.series).sum()
    }

    /// Samples of refused series, over all reasons.
    pub fn samples_refused(&self) -> u64 {
        self.refused.iter().map(|refusal| refusal.samples).sum()
    }

    /// Whether something the sender meant to store is not in the batch. Exemplars and metadata are hints and do not
    /// count; they are still told by their counters.
    pub fn is_partial(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Counts one refused series; `example` is asked for only at the first of its reason.
    pub(crate) fn refuse<E: fmt::Display>(&mut self, reason: RefusalReason, samples: u64, example: impl FnOnce() -> E) {
        self.count_refused(reason, 1, samples, example);
    }

    /// Counts refused samples of a series whose others may be taken.
    pub(crate) fn refuse_samples<E: fmt::Display>(
        &mut self,
        reason: RefusalReason,
        samples: u64,
        example: impl FnOnce() -> E,
    ) {
        self.count_refused(reason, 0, samples, example);
    }

    fn count_refused<E: fmt::Display>(
        &mut self,
        reason: RefusalReason,
        series: u64,
        samples: u64,
        example: impl FnOnce() -> E,
    ) {
        match self.refused.iter_mut().find(|refusal| refusal.reason == reason) {
            Some(refusal) => {
                refusal.series += series;
                refusal.samples += samples;
            }
            None => {
                let example = shorten(&example().to_string());
                self.refused.push(Refusal { reason, series, samples, example });
            }
        }
    }
}

/// Control characters escaped, cut at [`EXAMPLE_BYTES`] on a character boundary.
pub(crate) fn shorten(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars() {
        if short.len() >= EXAMPLE_BYTES {
            short.push('…');
            break;
        }
        if c.is_control() { short.extend(c.escape_default()) } else { short.push(c) }
    }
    short
}

/// The body of a 400 answer: what was written and what was not, with reasons.
impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "took {} series with {} samples", self.series, self.samples)?;
        for (count, what) in [(self.histograms, "native histograms"), (self.exemplars, "exemplars")] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        for refusal in &self.refused {
            let Refusal { reason, series, samples, example } = refusal;
            write!(f, "; refused {series} series with {samples} samples: {reason}, first: {example}")?;
        }
        for (count, what) in [
            (self.exemplars_skipped, "exemplars are not stored (labels that are no label set, or too long)"),
            (self.metadata_skipped, "metadata entries are not stored (nameless, not UTF-8 or too long)"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("a label is not UTF-8"),
            Self::EmptyLabelName => f.write_str("a label has an empty name"),
            Self::RepeatedLabelName => f.write_str("a label name appears twice"),
            Self::NoMetricName => f.write_str("there is no metric name (label __name__)"),
            Self::TooManyLabels { limit } => write!(f, "more than {limit} labels (setting labels.per_series)"),
            Self::NameTooLong { limit } => {
                write!(f, "a label name has more than {limit} bytes (setting labels.name_bytes)")
            }
            Self::ValueTooLong { limit } => {
                write!(f, "a label value has more than {limit} bytes (setting labels.value_bytes)")
            }
            Self::SeriesTooLong { limit } => {
                write!(f, "the labels have more than {limit} bytes together (setting labels.series_bytes)")
            }
            Self::BadLine => f.write_str("the line cannot be read"),
            Self::OddReferences => f.write_str("labels_refs has an odd number of references"),
            Self::UnknownSymbol => f.write_str("labels_refs names a symbol that is not in the request"),
            Self::BadHistogram => f.write_str("a native histogram contradicts itself"),
        }
    }
}

impl RefusalReason {
    /// A short word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::EmptyLabelName => "empty_label_name",
            Self::RepeatedLabelName => "repeated_label_name",
            Self::NoMetricName => "no_metric_name",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::NameTooLong { .. } => "name_too_long",
            Self::ValueTooLong { .. } => "value_too_long",
            Self::SeriesTooLong { .. } => "series_too_long",
            Self::BadLine => "bad_line",
            Self::OddReferences => "odd_references",
            Self::UnknownSymbol => "unknown_symbol",
            Self::BadHistogram => "bad_histogram",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_keeps_its_counts_and_its_first_example() {
        let mut decoded = Decoded { series: 3, samples: 5, ..Decoded::default() };
        decoded.refuse(RefusalReason::EmptyLabelName, 2, || "a\nb");
        decoded.refuse(RefusalReason::EmptyLabelName, 1, || "never shown");
        (decoded.histograms, decoded.exemplars_skipped) = (7, 4);
        assert_eq!(
            decoded.to_string(),
            "took 3 series with 5 samples, 7 native histograms; refused 2 series with 3 samples: a label has an empty name, \
             first: a\\nb; 4 exemplars are not stored (labels that are no label set, or too long)"
        );
        assert_eq!((decoded.series_refused(), decoded.samples_refused(), decoded.is_partial()), (2, 3, true));
    }

    #[test]
    fn examples_are_cut() {
        assert!(shorten(&"é".repeat(500)).len() < EXAMPLE_BYTES + 8);
    }
}
