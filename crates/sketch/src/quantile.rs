//! Quantile sketch with logarithmic buckets: every percentile with a bounded *relative* error, and exact merges.
//!
//! ```text
//!   value ──▶ sign ──▶ bucket = floor(35 · log2~|value|) ──▶ count += 1          α = 1 %: 35 buckets an octave
//!   −∞ ◀── negative store ──┤ zero ├── positive store ──▶ ∞                    at most `buckets_max` a store
//! ```
//!
//! Source: Masson, Rim, Lee, "DDSketch" (VLDB 2019). `log2~` is the cubic interpolation of the logarithm between powers of
//! two from its authors' later mappings: additions and multiplications only, so bucket numbers agree on every machine, at 1 %
//! more buckets than the true logarithm. Differences: the number of buckets an octave is an integer (the accuracy is rounded
//! up to it), and quantiles between two ranks are interpolated, as Prometheus' `quantile_over_time` does.
//!
//! **Bound.** For values of one sign the answer is within α of the exactly interpolated quantile, unless the store spans more
//! than `buckets_max` buckets (2,048 are 58 octaves). Then the buckets nearest to zero are added to the lowest kept one:
//! only quantiles that fall there lose the bound. Which buckets are kept depends on the largest magnitude alone, so merging
//! stays associative and commutative.

mod mapping;
mod store;
#[cfg(test)]
mod tests;

use crate::error::SketchError;
use crate::wire::{Reader, put_f64, put_varint};
use mapping::Mapping;
use store::Store;

const TAG: u8 = b'Q';
const VERSION: u8 = 1;
/// Buckets of a store unless asked otherwise.
const BUCKETS_MAX: usize = 2048;

/// A mergeable summary of finite floats, in at most about `2 · buckets_max · 8` bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileSketch {
    mapping: Mapping,
    buckets_max: usize,
    zero: u64,
    count: u64,
    min: f64,
    max: f64,
    positive: Store,
    negative: Store,
}

impl Default for QuantileSketch {
    /// Relative error 1 %, at most 2,048 buckets a sign.
    fn default() -> Self {
        Self::of(Mapping::DEFAULT, BUCKETS_MAX)
    }
}

impl QuantileSketch {
    /// A sketch whose answers are within `relative_error` (0.0005 to 0.2), with at most `buckets_max` (64 to 65,536) buckets
    /// for each sign.
    ///
    /// # Errors
    /// [`SketchError::Accuracy`], [`SketchError::Size`].
    pub fn new(relative_error: f64, buckets_max: usize) -> Result<Self, SketchError> {
        if !(64..=65_536).contains(&buckets_max) {
            return Err(SketchError::Size { what: "bucket limit", found: buckets_max as u64, min: 64, max: 65_536 });
        }
        Ok(Self::of(Mapping::with_error(relative_error)?, buckets_max))
    }

    fn of(mapping: Mapping, buckets_max: usize) -> Self {
        Self {
            mapping,
            buckets_max,
            zero: 0,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            positive: Store::default(),
            negative: Store::default(),
        }
    }

    /// The guaranteed relative error.
    pub fn relative_error(&self) -> f64 {
        self.mapping.relative_error()
    }

    /// Adds a value; NaN and infinities are left out and answer `false`. Subnormal magnitudes count as zero.
    #[inline]
    pub fn insert(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let magnitude = value.abs();
        if magnitude < f64::MIN_POSITIVE {
            self.zero += 1;
            return true;
        }
        let bucket = self.mapping.bucket(magnitude);
        let store = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        store.add(bucket, 1, self.buckets_max);
        true
    }

    /// Adds every finite value of a slice and returns how many were left out.
    pub fn insert_all(&mut self, values: &[f64]) -> usize {
        values.iter().filter(|&&value| !self.insert(value)).count()
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest value, exact; `None` when empty.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// Largest value, exact; `None` when empty.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// Forgets the values and keeps the memory.
    pub fn clear(&mut self) {
        (self.zero, self.count, self.min, self.max) = (0, 0, f64::INFINITY, f64::NEG_INFINITY);
        self.positive.clear();
        self.negative.clear();
    }

    /// The `q`-quantile (0 to 1; outside it is clamped), interpolated between ranks; `None` when empty or `q` is NaN.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || q.is_nan() {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * (self.count - 1) as f64;
        let (low, part) = (rank.floor() as u64, rank.fract());
        let at_low = self.at_rank(low);
        if part == 0.0 {
            return Some(at_low);
        }
        Some(at_low + (self.at_rank((low + 1).min(self.count - 1)) - at_low) * part)
    }

    /// Share of the values that are at most `value`, within the mass of one bucket; `None` when empty or for NaN.
    pub fn share_at_most(&self, value: f64) -> Option<f64> {
        if self.count == 0 || value.is_nan() {
            return None;
        }
        let negatives = self.negative.total();
        let below = if value >= self.max {
            self.count
        } else if value < self.min {
            0
        } else if value.abs() < f64::MIN_POSITIVE {
            negatives + self.zero
        } else if value > 0.0 {
            negatives + self.zero + self.positive.up_to(self.mapping.bucket(value))
        } else {
            negatives - self.negative.up_to(self.mapping.bucket(-value).saturating_sub(1))
        };
        Some(below as f64 / self.count as f64)
    }

    /// Adds what `other` holds: the result equals the sketch of all values together, bit for bit.
    ///
    /// # Errors
    /// [`SketchError::Shape`] unless accuracy and bucket limit agree; nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        self.same_shape(other.mapping.per_octave(), other.buckets_max)?;
        self.zero = self.zero.saturating_add(other.zero);
        self.count = self.count.saturating_add(other.count);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.positive.merge(&other.positive, self.buckets_max);
        self.negative.merge(&other.negative, self.buckets_max);
        Ok(())
    }

    /// Appends the versioned bytes: `Q 1`, buckets an octave, bucket limit, zero count, min, max, and for each sign the
    /// number of used buckets with (distance to the bucket before, count) in varints. About two bytes a used bucket.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([TAG, VERSION]);
        put_varint(out, u64::from(self.mapping.per_octave()));
        put_varint(out, self.buckets_max as u64);
        put_varint(out, self.count);
        if self.count == 0 {
            return;
        }
        put_varint(out, self.zero);
        put_f64(out, self.min);
        put_f64(out, self.max);
        self.positive.encode(out);
        self.negative.encode(out);
    }

    /// Reads what [`QuantileSketch::encode`] wrote, from the front of `reader`.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let (mapping, buckets_max) = Self::decode_shape(reader)?;
        let mut sketch = Self::of(mapping, buckets_max);
        sketch.add_body(reader)?;
        Ok(sketch)
    }

    /// Merges encoded bytes without building a sketch of them: for windows made of many encoded parts.
    ///
    /// # Errors
    /// As [`QuantileSketch::decode`] and [`QuantileSketch::merge`]; after an error the sketch is unspecified but sound.
    pub fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), SketchError> {
        let mut reader = Reader::new(bytes);
        let (mapping, buckets_max) = Self::decode_shape(&mut reader)?;
        self.same_shape(mapping.per_octave(), buckets_max)?;
        self.add_body(&mut reader)
    }

    fn decode_shape(reader: &mut Reader<'_>) -> Result<(Mapping, usize), SketchError> {
        reader.expect(TAG, VERSION, "quantile sketch")?;
        let at = reader.at();
        let damaged = SketchError::Damaged { at, what: "quantile sketch" };
        let mapping = u16::try_from(reader.varint()?).ok().and_then(Mapping::with_buckets).ok_or(damaged)?;
        let buckets_max = usize::try_from(reader.varint()?).map_err(|_| damaged)?;
        if !(64..=65_536).contains(&buckets_max) {
            return Err(damaged);
        }
        Ok((mapping, buckets_max))
    }

    fn add_body(&mut self, reader: &mut Reader<'_>) -> Result<(), SketchError> {
        let damaged = SketchError::Damaged { at: reader.at(), what: "quantile sketch" };
        let count = reader.varint()?;
        if count == 0 {
            return Ok(());
        }
        let zero = reader.varint()?;
        let (min, max) = (reader.f64()?, reader.f64()?);
        if !(min.is_finite() && max.is_finite() && min <= max) {
            return Err(damaged);
        }
        let in_positive = self.positive.add_encoded(reader, count, self.buckets_max)?;
        let in_negative = self.negative.add_encoded(reader, count - in_positive, self.buckets_max)?;
        if in_positive.checked_add(in_negative).and_then(|n| n.checked_add(zero)) != Some(count) {
            return Err(damaged);
        }
        self.count = self.count.saturating_add(count);
        self.zero = self.zero.saturating_add(zero);
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        Ok(())
    }

    /// Bytes held, heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.positive.heap_bytes() + self.negative.heap_bytes()
    }

    fn same_shape(&self, per_octave: u16, buckets_max: usize) -> Result<(), SketchError> {
        let (left, right) = (u64::from(self.mapping.per_octave()), u64::from(per_octave));
        if left != right {
            return Err(SketchError::Shape { what: "buckets an octave", left, right });
        }
        let (left, right) = (self.buckets_max as u64, buckets_max as u64);
        if left == right { Ok(()) } else { Err(SketchError::Shape { what: "bucket limit", left, right }) }
    }

    /// The value at `rank` (0 is the smallest) up to the bucket's width.
    fn at_rank(&self, rank: u64) -> f64 {
        // The extremes are known exactly; clamping also keeps collapsed buckets inside what was seen.
        if rank == 0 {
            return self.min;
        }
        if rank + 1 >= self.count {
            return self.max;
        }
        let negatives = self.negative.total();
        let value = if rank < negatives {
            -self.mapping.middle(self.negative.at_rank(negatives - 1 - rank))
        } else if rank < negatives + self.zero {
            0.0
        } else {
            self.mapping.middle(self.positive.at_rank(rank - negatives - self.zero))
        };
        value.clamp(self.min, self.max)
    }
}
