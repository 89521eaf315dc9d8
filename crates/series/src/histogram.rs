//! Native histograms: counts in exponential or custom buckets, as one sample.
//!
//! ```text
//!   schema s = −4 … 8    bucket i holds (base^(i−1), base^i] with base = 2^(2^−s); negative ones mirrored
//!   schema −53           custom buckets: bounds given, the last bucket ends at +Inf
//!   spans                runs of buckets that are present: {offset from the end of the run before, length}
//! ```
//!
//! Counts are absolute and floats, which is exact for whole numbers up to 2^53. A histogram whose sum is the staleness
//! marker is one itself. Source: Prometheus, "Native histograms".

use crate::time::Timestamp;
use crate::value::{STALE_NAN, is_stale};

/// Schema of histograms with given bounds.
pub const CUSTOM_BUCKETS: i32 = -53;
/// Buckets that one histogram may have on each side; spans that promise more are refused before memory is taken.
pub const BUCKETS_MAX: usize = 10_000;

/// A native histogram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// What is known about a counter reset before this sample.
    pub reset: ResetHint,
    /// Resolution, −4…8, or [`CUSTOM_BUCKETS`].
    pub schema: i32,
    /// Observations with at most this absolute value are in the zero bucket.
    pub zero_threshold: f64,
    /// Count of the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets above the zero bucket; the custom ones of schema −53.
    pub positive: Buckets,
    /// Buckets below it, mirrored.
    pub negative: Buckets,
    /// Upper bounds of custom buckets, rising, without +Inf.
    pub custom_bounds: Vec<f64>,
}

/// The buckets of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Buckets {
    /// Which buckets are present.
    pub spans: Vec<Span>,
    /// Their counts, not cumulative, in order.
    pub counts: Vec<f64>,
}

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Buckets left out since the end of the span before; for the first span the index of its first bucket.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// What the sender knows about resets of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing: compare with the sample before.
    #[default]
    Unknown = 0,
    /// There was a reset before this sample.
    Reset = 1,
    /// There was none.
    NotReset = 2,
    /// A gauge: resets have no meaning.
    Gauge = 3,
}

/// A histogram and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// When.
    pub at: Timestamp,
    /// What.
    pub histogram: Histogram,
}

/// Why a histogram is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// Neither exponential nor custom.
    #[error("histogram schema {0} is unknown; -4 to 8 and -53 are known")]
    Schema(i32),
    /// Spans and counts differ.
    #[error("{side} spans need {needed} buckets, but {given} are there")]
    Spans {
        /// `positive` or `negative`.
        side: &'static str,
        /// Sum of the spans' lengths.
        needed: u64,
        /// Counts.
        given: usize,
    },
    /// A span other than the first goes backwards.
    #[error("{side} span {span} has a negative offset of {offset}")]
    Offset {
        /// `positive` or `negative`.
        side: &'static str,
        /// Its position.
        span: usize,
        /// The offset.
        offset: i32,
    },
    /// Too many buckets or spans.
    #[error("{0} buckets or spans on one side are more than the {BUCKETS_MAX} allowed; lower the resolution")]
    TooManyBuckets(u64),
    /// A count below zero or not a number.
    #[error("{side} bucket {bucket} has the impossible count {count}")]
    Count {
        /// `positive`, `negative` or `zero`.
        side: &'static str,
        /// Its position.
        bucket: usize,
        /// The count.
        count: f64,
    },
    /// Custom bounds that do not fit.
    #[error("custom bounds: {0}")]
    Bounds(&'static str),
}

impl Histogram {
    /// A staleness marker.
    pub fn stale() -> Self {
        Self { sum: STALE_NAN, ..Self::default() }
    }

    /// One of the same layout without observations, as it was right after a reset.
    pub fn zero(&self) -> Self {
        Self {
            reset: ResetHint::Reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            custom_bounds: self.custom_bounds.clone(),
            ..Self::default()
        }
    }

    /// Whether this is a staleness marker.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether its bounds are given rather than exponential.
    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS
    }

    /// Checks what every reader relies on: spans fit counts, counts are possible, bounds rise.
    ///
    /// # Errors
    /// [`HistogramError`].
    pub fn check(&self) -> Result<(), HistogramError> {
        if !(-4..=8).contains(&self.schema) && !self.has_custom_buckets() {
            return Err(HistogramError::Schema(self.schema));
        }
        self.positive.check("positive")?;
        self.negative.check("negative")?;
        // A marker carries nothing but its sum.
        if !self.is_stale() {
            for (bucket, &count) in [self.zero_count, self.count].iter().enumerate() {
                check_count("zero", bucket, count)?;
            }
        }
        if self.has_custom_buckets() { self.check_custom() } else { self.check_exponential() }
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        if !self.negative.counts.is_empty() || self.zero_count != 0.0 || self.zero_threshold != 0.0 {
            return Err(HistogramError::Bounds("there is no zero bucket and no negative side beside them"));
        }
        if self.custom_bounds.len() >= BUCKETS_MAX {
            return Err(HistogramError::TooManyBuckets(self.custom_bounds.len() as u64));
        }
        if self.custom_bounds.iter().any(|bound| bound.is_nan() || *bound == f64::INFINITY) {
            return Err(HistogramError::Bounds("each must be a number, and +Inf is implied"));
        }
        if self.custom_bounds.windows(2).any(|two| two[0] >= two[1]) {
            return Err(HistogramError::Bounds("they must rise"));
        }
        let end = self.positive.end().unwrap_or(0);
        if self.positive.spans.first().is_some_and(|span| span.offset < 0) || end > self.custom_bounds.len() as i64 + 1
        {
            return Err(HistogramError::Bounds("a bucket lies beyond them"));
        }
        Ok(())
    }

    fn check_exponential(&self) -> Result<(), HistogramError> {
        if !self.custom_bounds.is_empty() {
            return Err(HistogramError::Bounds("they belong to schema -53 only"));
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            return Err(HistogramError::Bounds("the zero threshold must not be negative"));
        }
        Ok(())
    }
}

impl Buckets {
    /// The present buckets with their index, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let mut next = 0_i64;
        let indices = self.spans.iter().flat_map(move |span| {
            let start = next + i64::from(span.offset);
            next = start + i64::from(span.length);
            start..next
        });
        indices.zip(self.counts.iter().copied())
    }

    /// Index behind the last bucket; `None` without spans.
    fn end(&self) -> Option<i64> {
        if self.spans.is_empty() {
            return None;
        }
        Some(self.spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum())
    }

    fn check(&self, side: &'static str) -> Result<(), HistogramError> {
        let needed: u64 = self.spans.iter().map(|span| u64::from(span.length)).sum();
        let most = needed.max(self.spans.len() as u64);
        if most > BUCKETS_MAX as u64 {
            return Err(HistogramError::TooManyBuckets(most));
        }
        if needed != self.counts.len() as u64 {
            return Err(HistogramError::Spans { side, needed, given: self.counts.len() });
        }
        for (i, span) in self.spans.iter().enumerate().skip(1) {
            if span.offset < 0 {
                return Err(HistogramError::Offset { side, span: i, offset: span.offset });
            }
        }
        self.counts.iter().enumerate().try_for_each(|(bucket, &count)| check_count(side, bucket, count))
    }
}

fn check_count(side: &'static str, bucket: usize, count: f64) -> Result<(), HistogramError> {
    if count >= 0.0 { Ok(()) } else { Err(HistogramError::Count { side, bucket, count }) }
}

impl ResetHint {
    /// By the number of the protocols; unknown numbers are [`ResetHint::Unknown`].
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(spans: &[(i32, u32)], counts: &[f64]) -> Buckets {
        let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        Buckets { spans, counts: counts.to_vec() }
    }

    #[test]
    fn spans_name_the_buckets_that_are_present() {
        let side = buckets(&[(-2, 2), (3, 1)], &[1.0, 2.0, 5.0]);
        assert_eq!(side.iter().collect::<Vec<_>>(), [(-2, 1.0), (-1, 2.0), (3, 5.0)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = Histogram { count: 3.0, positive: buckets(&[(0, 2)], &[1.0, 2.0]), ..Histogram::default() };
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Histogram { schema: 9, ..good.clone() }.check(), Err(HistogramError::Schema(9)));
        for (positive, fault) in [
            (buckets(&[(0, 3)], &[1.0]), HistogramError::Spans { side: "positive", needed: 3, given: 1 }),
            (buckets(&[(0, u32::MAX)], &[]), HistogramError::TooManyBuckets(u64::from(u32::MAX))),
            (
                buckets(&[(0, 1), (-1, 1)], &[1.0, 1.0]),
                HistogramError::Offset { side: "positive", span: 1, offset: -1 },
            ),
            (buckets(&[(0, 1)], &[-1.0]), HistogramError::Count { side: "positive", bucket: 0, count: -1.0 }),
        ] {
            assert_eq!(Histogram { positive, ..good.clone() }.check(), Err(fault));
        }
        assert!(Histogram::stale().is_stale() && Histogram::stale().check().is_ok());
    }

    #[test]
    fn custom_bounds_rise_and_hold_all_buckets() {
        let good = Histogram {
            schema: CUSTOM_BUCKETS,
            custom_bounds: vec![0.1, 0.5],
            positive: buckets(&[(0, 3)], &[1.0, 2.0, 3.0]),
            count: 6.0,
            ..Histogram::default()
        };
        assert_eq!(good.check(), Ok(()));
        for custom_bounds in [vec![0.5, 0.1], vec![0.1], vec![0.1, f64::INFINITY], vec![0.1, f64::NAN]] {
            assert!(Histogram { custom_bounds, ..good.clone() }.check().is_err());
        }
    }
}
