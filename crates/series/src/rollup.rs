//! Roll-ups on the read side: what samples come to in buckets of fixed width.

use std::ops::Range;

use crate::labels::Labels;
use crate::select::SelectError;

/// Width of a bucket; buckets start at multiples of it since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    Hour,
}

/// What the samples of one series in one bucket come to. "Numbers" are the samples that are not NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollup {
    /// Start of the bucket, milliseconds.
    pub ts: i64,
    /// Samples, stale markers and other NaN included.
    pub count: u32,
    /// Numbers.
    pub numbers: u32,
    /// Compensated sum of the numbers.
    pub sum: f64,
    /// Smallest number; NaN when there is none, as the next three.
    pub min: f64,
    /// Largest number.
    pub max: f64,
    /// First number.
    pub first: f64,
    /// Last number.
    pub last: f64,
    /// Rise of a counter up to the last number, from the number before it on the same UTC day; a fall is a restart from zero.
    pub increase: f64,
    /// An encoded quantile sketch of the finite numbers; empty when there is none.
    pub sketch: Vec<u8>,
}

/// A snapshot of selected series with their roll-ups.
pub trait RollupSet: Send + Sync {
    /// Number of series.
    fn len(&self) -> usize;

    /// Whether nothing matched.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of series `i`.
    fn labels(&self, i: usize) -> &Labels;

    /// Hands the buckets of the series `some` that start inside the requested range to `each`, some of one series at a
    /// time, in whatever order reads best. `each` answers whether it wants more.
    ///
    /// # Errors
    /// [`SelectError`] when a file is missing or damaged.
    fn scan(&self, some: Range<usize>, each: &mut dyn FnMut(usize, Vec<Rollup>) -> bool) -> Result<(), SelectError>;

    /// Appends the buckets of series `i` to `out`, by rising time.
    ///
    /// # Errors
    /// As [`RollupSet::scan`].
    fn read(&self, i: usize, out: &mut Vec<Rollup>) -> Result<(), SelectError> {
        let before = out.len();
        self.scan(i..i + 1, &mut |_, buckets| {
            out.extend(buckets);
            true
        })?;
        out[before..].sort_by_key(|bucket| bucket.ts);
        Ok(())
    }
}

impl Resolution {
    /// Every width, smallest first.
    pub const ALL: [Self; 2] = [Self::FiveMinutes, Self::Hour];

    /// In milliseconds.
    pub const fn millis(self) -> i64 {
        match self {
            Self::FiveMinutes => 300_000,
            Self::Hour => 3_600_000,
        }
    }

    /// Name of the table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::FiveMinutes => "rollup_5m",
            Self::Hour => "rollup_1h",
        }
    }
}
