//! Counts of consecutive buckets of one sign; the lowest buckets collapse when the span passes the limit.

use crate::error::SketchError;
use crate::wire::{Reader, put_signed, put_varint};

/// Grow in strides, so that a drifting value does not copy the store at every step.
const STRIDE: usize = 32;

/// `counts[i]` belongs to bucket `first + i`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    first: i32,
    counts: Vec<u64>,
    /// Lowest and highest bucket in use, when there is one.
    used: Option<(i32, i32)>,
}

impl Store {
    pub(crate) fn clear(&mut self) {
        // Only what was used: a sketch of a few near values is emptied often, and its memory may span thousands of buckets.
        if let Some((low, high)) = self.used.take() {
            self.counts[(low - self.first) as usize..=(high - self.first) as usize].fill(0);
        }
    }

    /// Adds `n` values to a bucket (saturating: 2⁶⁴ values are not expected, hostile bytes are).
    #[inline]
    pub(crate) fn add(&mut self, bucket: i32, n: u64, buckets_max: usize) {
        if let Some((low, high)) = self.used
            && low <= bucket
            && bucket <= high
        {
            let count = &mut self.counts[(bucket - self.first) as usize];
            *count = count.saturating_add(n);
            return;
        }
        self.add_outside(bucket, n, buckets_max);
    }

    /// A bucket beyond those in use: widens the span, collapses what falls below the limit, grows the memory.
    #[cold]
    fn add_outside(&mut self, bucket: i32, n: u64, buckets_max: usize) {
        let (used_low, used_high) = self.used.unwrap_or((bucket, bucket));
        let high = used_high.max(bucket);
        let low = used_low.min(bucket).max(high - (buckets_max as i32 - 1));
        if !self.addressable(low, high) {
            self.rebuild(low, high);
        } else if used_low < low {
            self.collapse(used_low, used_high, low);
        }
        self.used = Some((low, high));
        let count = &mut self.counts[(bucket.max(low) - self.first) as usize];
        *count = count.saturating_add(n);
    }

    fn addressable(&self, low: i32, high: i32) -> bool {
        self.first <= low && ((high - self.first) as usize) < self.counts.len() && !self.counts.is_empty()
    }

    /// Moves the counts below `low` into `low`, in place.
    fn collapse(&mut self, used_low: i32, used_high: i32, low: i32) {
        let mut sum = 0_u64;
        for bucket in used_low..low.min(used_high + 1) {
            sum = sum.saturating_add(std::mem::take(&mut self.counts[(bucket - self.first) as usize]));
        }
        let count = &mut self.counts[(low - self.first) as usize];
        *count = count.saturating_add(sum);
    }

    /// New memory for `low..=high` with some room on both sides; what lies below `low` goes into `low`.
    fn rebuild(&mut self, low: i32, high: i32) {
        let span = (high - low) as usize + 1;
        let mut counts = vec![0_u64; (span + STRIDE / 2).next_multiple_of(STRIDE)];
        let first = low - ((counts.len() - span) / 2) as i32;
        for (bucket, n) in self.used_buckets() {
            let count = &mut counts[(bucket.max(low) - first) as usize];
            *count = count.saturating_add(n);
        }
        (self.first, self.counts) = (first, counts);
    }

    pub(crate) fn merge(&mut self, other: &Self, buckets_max: usize) {
        // From the top down, so that the span is final before anything low is added.
        for (bucket, n) in other.used_buckets().rev() {
            self.add(bucket, n, buckets_max);
        }
    }

    fn used_buckets(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        let live = self.used.map_or(0..0, |(l, h)| (l - self.first) as usize..(h - self.first) as usize + 1);
        let low = self.used.map_or(0, |(l, _)| l);
        self.counts[live].iter().enumerate().map(move |(i, &n)| (low + i as i32, n)).filter(|(_, n)| *n > 0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.used_buckets().map(|(_, n)| n).sum()
    }

    /// Number of values in buckets up to and with `bucket`.
    pub(crate) fn up_to(&self, bucket: i32) -> u64 {
        self.used_buckets().take_while(|(b, _)| *b <= bucket).map(|(_, n)| n).sum()
    }

    /// Bucket of the value with `rank` counted from the smallest magnitude; the highest used one beyond the end.
    pub(crate) fn at_rank(&self, rank: u64) -> i32 {
        let mut seen = 0;
        for (bucket, n) in self.used_buckets() {
            seen += n;
            if rank < seen {
                return bucket;
            }
        }
        self.used.map_or(0, |(_, high)| high)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.used_buckets().count() as u64);
        let mut before = None;
        for (bucket, n) in self.used_buckets() {
            match before {
                None => put_signed(out, i64::from(bucket)),
                Some(last) => put_varint(out, (bucket - last) as u64),
            }
            put_varint(out, n);
            before = Some(bucket);
        }
    }

    /// Adds encoded buckets, at most `most` values, and returns how many they held.
    pub(crate) fn add_encoded(
        &mut self,
        reader: &mut Reader<'_>,
        most: u64,
        buckets_max: usize,
    ) -> Result<u64, SketchError> {
        let damaged = SketchError::Damaged { at: reader.at(), what: "quantile sketch" };
        let (n_buckets, mut before, mut total) = (reader.len(2)?, None, 0_u64);
        for _ in 0..n_buckets {
            let bucket = match before {
                None => reader.signed()?,
                Some(last) => i64::try_from(reader.varint()?).ok().and_then(|d| d.checked_add(last)).ok_or(damaged)?,
            };
            let n = reader.varint()?;
            total = total.checked_add(n).filter(|total| *total <= most).ok_or(damaged)?;
            // 1,000 buckets an octave and 1,075 octaves on either side of one are the most any mapping has.
            if n == 0 || bucket.unsigned_abs() > 1 << 21 || before.is_some_and(|last| last >= bucket) {
                return Err(damaged);
            }
            self.add(bucket as i32, n, buckets_max);
            before = Some(bucket);
        }
        Ok(total)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * 8
    }
}

/// Equal when the same buckets hold the same counts, wherever the memory starts.
impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        self.used_buckets().eq(other.used_buckets())
    }
}
