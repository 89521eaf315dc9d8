//! One row of the chunk table: a run of samples of one series with its aggregates.

use std::sync::Arc;

use bytes::Bytes;

/// A run of samples of one series, encoded. Timestamps rise strictly, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkRow {
    /// The series' metric name.
    pub metric: Arc<str>,
    /// The series' identity.
    pub series_id: u64,
    /// First timestamp.
    pub min_ts: i64,
    /// Last timestamp.
    pub max_ts: i64,
    /// Samples, stale markers and other NaN included.
    pub count: u32,
    /// Samples that are not NaN: when it equals `count` the aggregates speak for every sample.
    pub numbers: u32,
    /// Compensated sum of the numbers.
    pub sum: f64,
    /// Smallest number; NaN when there is none.
    pub min: f64,
    /// Largest number; NaN when there is none.
    pub max: f64,
    /// First number; NaN when there is none.
    pub first: f64,
    /// Last number; NaN when there is none.
    pub last: f64,
    /// Rise of a counter inside the chunk: a fall counts as a restart from zero.
    pub increase: f64,
    /// Timestamps by [`codec::encode_timestamps`], or [`codec::packed::wrap`].
    pub ts_chunk: Bytes,
    /// Values by [`codec::encode_values`], or [`codec::packed::wrap`].
    pub value_chunk: Bytes,
}

/// What a chunk says about its samples without decoding them. Fields as in [`ChunkRow`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChunkAggregates {
    /// Samples, NaN included.
    pub count: u32,
    /// Samples that are not NaN.
    pub numbers: u32,
    /// Sum of the numbers.
    pub sum: f64,
    /// Smallest number.
    pub min: f64,
    /// Largest number.
    pub max: f64,
    /// First number.
    pub first: f64,
    /// Last number.
    pub last: f64,
    /// Reset-aware rise inside the chunk.
    pub increase: f64,
}

impl ChunkRow {
    /// As [`ChunkRow::encode`], of samples that are packed already ([`codec::packed`]).
    ///
    /// # Panics
    /// As [`ChunkRow::encode`].
    pub fn packed(metric: Arc<str>, series_id: u64, timestamps: &[i64], values: &[f64], packed: &[u8]) -> Self {
        assert_eq!(timestamps.len(), values.len(), "a chunk has one value a timestamp");
        let (ts_chunk, value_chunk) = codec::packed::wrap(values.len(), packed);
        Self::new(metric, series_id, timestamps, values, ts_chunk, value_chunk)
    }

    /// Encodes a run of samples. `timestamps` rise strictly; both slices have the same length, 1 to
    /// [`codec::MAX_SAMPLES`].
    ///
    /// # Panics
    /// When the lengths differ or exceed [`codec::MAX_SAMPLES`]: the caller cuts chunks, so this is a fault of the program.
    pub fn encode(metric: Arc<str>, series_id: u64, timestamps: &[i64], values: &[f64]) -> Self {
        assert_eq!(timestamps.len(), values.len(), "a chunk has one value a timestamp");
        let (mut ts_chunk, mut value_chunk) = (Vec::new(), Vec::new());
        codec::encode_timestamps(timestamps, &mut ts_chunk);
        codec::encode_values(values, &mut value_chunk);
        Self::new(metric, series_id, timestamps, values, ts_chunk, value_chunk)
    }

    fn new(
        metric: Arc<str>,
        series_id: u64,
        timestamps: &[i64],
        values: &[f64],
        ts_chunk: Vec<u8>,
        value_chunk: Vec<u8>,
    ) -> Self {
        let all = ChunkAggregates::of(values);
        Self {
            metric,
            series_id,
            min_ts: timestamps.first().copied().unwrap_or(0),
            max_ts: timestamps.last().copied().unwrap_or(0),
            count: all.count,
            numbers: all.numbers,
            sum: all.sum,
            min: all.min,
            max: all.max,
            first: all.first,
            last: all.last,
            increase: all.increase,
            ts_chunk: Bytes::from(ts_chunk),
            value_chunk: Bytes::from(value_chunk),
        }
    }

    /// The aggregates alone.
    pub fn aggregates(&self) -> ChunkAggregates {
        ChunkAggregates {
            count: self.count,
            numbers: self.numbers,
            sum: self.sum,
            min: self.min,
            max: self.max,
            first: self.first,
            last: self.last,
            increase: self.increase,
        }
    }
}

impl ChunkAggregates {
    /// Over `values` in time order, NaN (stale markers too) left out.
    pub fn of(values: &[f64]) -> Self {
        let mut all = Self {
            count: u32::try_from(values.len()).unwrap_or(u32::MAX),
            numbers: 0,
            sum: 0.0,
            min: f64::NAN,
            max: f64::NAN,
            first: f64::NAN,
            last: f64::NAN,
            increase: 0.0,
        };
        let mut sum = Sum::default();
        for &value in values.iter().filter(|value| !value.is_nan()) {
            if all.numbers == 0 {
                (all.min, all.max, all.first) = (value, value, value);
            } else {
                all.increase += if value < all.last { value } else { value - all.last };
                all.min = all.min.min(value);
                all.max = all.max.max(value);
            }
            all.last = value;
            all.numbers += 1;
            sum.add(value);
        }
        all.sum = sum.value();
        all
    }
}

/// Neumaier's compensated sum; infinities are summed plainly, since their compensation would be NaN.
#[derive(Default)]
struct Sum {
    plain: f64,
    total: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.plain += value;
        let next = self.total + value;
        self.lost +=
            if self.total.abs() >= value.abs() { (self.total - next) + value } else { (value - next) + self.total };
        self.total = next;
    }

    fn value(&self) -> f64 {
        if self.plain.is_finite() && self.lost.is_finite() { self.total + self.lost } else { self.plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_skip_nan_and_count_resets() {
        let all = ChunkAggregates::of(&[f64::NAN, 10.0, 15.0, f64::from_bits(0x7ff0_0000_0000_0002), 3.0, 4.0]);
        assert_eq!((all.count, all.numbers), (6, 4));
        assert_eq!((all.sum, all.min, all.max, all.first, all.last), (32.0, 3.0, 15.0, 10.0, 4.0));
        assert_eq!(all.increase, 5.0 + 3.0 + 1.0);
    }

    #[test]
    fn a_chunk_without_numbers_has_no_extremes() {
        let all = ChunkAggregates::of(&[f64::NAN]);
        assert_eq!((all.count, all.numbers, all.sum, all.increase), (1, 0, 0.0, 0.0));
        assert!(all.min.is_nan() && all.max.is_nan() && all.first.is_nan() && all.last.is_nan());
    }

    #[test]
    fn sums_are_compensated_and_infinities_stay() {
        assert_eq!(ChunkAggregates::of(&[1e16, 1.0, -1e16]).sum, 1.0);
        assert_eq!(ChunkAggregates::of(&[f64::INFINITY, 1.0]).sum, f64::INFINITY);
        assert!(ChunkAggregates::of(&[f64::INFINITY, f64::NEG_INFINITY]).sum.is_nan());
    }
}
