//! A running sum of histograms, compensated in every field.
//!
//! Two histograms are brought to one layout first: the coarser schema, a zero bucket wide enough for both that ends at
//! the edge of a bucket, the custom bounds that both have. Exponential and custom buckets cannot be brought together.

use series::{Histogram, ResetHint};

use super::layout::{bound, coarser, pack};
use crate::eval::average::Sum;

/// Exponential buckets met custom ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incompatible;

type Side = Vec<(i64, Sum)>;

/// The sum so far.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    reset: ResetHint,
    schema: i32,
    zero_threshold: f64,
    zero: Sum,
    count: Sum,
    sum: Sum,
    positive: Side,
    negative: Side,
    bounds: Vec<f64>,
    /// Custom bounds differed, and only the common ones were kept.
    pub(crate) reconciled: bool,
    /// One histogram said "reset", another "no reset".
    pub(crate) collided: bool,
}

impl Total {
    /// Starts with `first`.
    pub(crate) fn new(first: &Histogram) -> Self {
        let side = |buckets: &series::Buckets| buckets.iter().map(|(index, count)| (index, Sum::of(count))).collect();
        Self {
            reset: first.reset,
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            zero: Sum::of(first.zero_count),
            count: Sum::of(first.count),
            sum: Sum::of(first.sum),
            positive: side(&first.positive),
            negative: side(&first.negative),
            bounds: first.custom_bounds.clone(),
            reconciled: false,
            collided: false,
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// [`Incompatible`]; the sum stays as it was.
    pub(crate) fn add(&mut self, other: &Histogram) -> Result<(), Incompatible> {
        self.accumulate(other, 1.0)
    }

    /// Takes a histogram away.
    ///
    /// # Errors
    /// [`Incompatible`]; the sum stays as it was.
    pub(crate) fn subtract(&mut self, other: &Histogram) -> Result<(), Incompatible> {
        self.accumulate(other, -1.0)
    }

    /// Changes every field.
    fn each(&mut self, mut change: impl FnMut(&mut Sum)) {
        [&mut self.zero, &mut self.count, &mut self.sum].into_iter().for_each(&mut change);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, count)| change(count));
    }

    /// Whether a field left the range of numbers.
    fn overflows(&self) -> bool {
        let buckets = self.positive.iter().chain(&self.negative).map(|(_, count)| count);
        [&self.zero, &self.count, &self.sum].into_iter().chain(buckets).any(|field| field.value().is_infinite())
    }

    /// Lowers the resolution to `schema`, if it is higher.
    pub(crate) fn coarsen(&mut self, schema: i32) {
        let steps = match u32::try_from(self.schema - schema) {
            Ok(steps) if steps > 0 => steps,
            _ => return,
        };
        for side in [&mut self.positive, &mut self.negative] {
            let mut merged: Side = Vec::with_capacity(side.len());
            for (index, count) in side.iter() {
                let index = coarser(*index, steps);
                match merged.last_mut() {
                    Some((last, sum)) if *last == index => sum.absorb(*count),
                    _ => merged.push((index, *count)),
                }
            }
            *side = merged;
        }
        self.schema = schema;
    }

    /// The sum, without empty buckets.
    pub(crate) fn finish(self) -> Histogram {
        let side = |side: Side| {
            let counts = side.into_iter().map(|(index, count)| (index, count.value()));
            pack(counts.filter(|(_, count)| *count != 0.0))
        };
        Histogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.value(),
            count: self.count.value(),
            sum: self.sum.value(),
            positive: side(self.positive),
            negative: side(self.negative),
            custom_bounds: self.bounds,
        }
    }

    fn accumulate(&mut self, other: &Histogram, sign: f64) -> Result<(), Incompatible> {
        let custom = other.has_custom_buckets();
        if custom != (self.schema == series::CUSTOM_BUCKETS) {
            return Err(Incompatible);
        }
        self.meet_hint(other.reset);
        if self.same_layout(other) {
            self.zero.add(sign * other.zero_count);
            for (own, buckets) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
                for ((_, sum), count) in own.iter_mut().zip(&buckets.counts) {
                    sum.add(sign * count);
                }
            }
        } else {
            let mut other = Self::new(other);
            if custom {
                self.meet_bounds(&mut other);
            } else {
                while other.zero_threshold != self.zero_threshold {
                    if self.zero_threshold > other.zero_threshold {
                        other.widen_zero(self.zero_threshold);
                    }
                    if other.zero_threshold > self.zero_threshold {
                        self.widen_zero(other.zero_threshold);
                    }
                }
                let schema = self.schema.min(other.schema);
                self.coarsen(schema);
                other.coarsen(schema);
            }
            self.zero.add(sign * other.zero.value());
            join(&mut self.positive, &other.positive, sign);
            join(&mut self.negative, &other.negative, sign);
        }
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        Ok(())
    }

    fn same_layout(&self, other: &Histogram) -> bool {
        let side = |own: &Side, buckets: &series::Buckets| {
            own.len() == buckets.counts.len() && own.iter().zip(buckets.iter()).all(|((i, _), (j, _))| *i == j)
        };
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.bounds == other.custom_bounds
            && side(&self.positive, &other.positive)
            && side(&self.negative, &other.negative)
    }

    /// Gauges win over counters, and doubt over what the others say.
    fn meet_hint(&mut self, other: ResetHint) {
        self.reset = match (self.reset, other) {
            (own, other) if own == other => own,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            (ResetHint::Unknown, _) | (_, ResetHint::Unknown) => ResetHint::Unknown,
            _ => {
                self.collided = true;
                ResetHint::Unknown
            }
        };
    }

    /// Keeps the bounds that both have.
    fn meet_bounds(&mut self, other: &mut Self) {
        if self.bounds == other.bounds {
            return;
        }
        self.reconciled = true;
        let common: Vec<f64> = self.bounds.iter().copied().filter(|bound| other.bounds.contains(bound)).collect();
        self.keep_bounds(&common);
        other.keep_bounds(&common);
    }

    fn keep_bounds(&mut self, kept: &[f64]) {
        let mut merged: Side = Vec::with_capacity(kept.len() + 1);
        for (index, count) in &self.positive {
            let end = usize::try_from(*index).ok().and_then(|i| self.bounds.get(i));
            let target = end.map_or(kept.len(), |end| kept.partition_point(|bound| bound < end)) as i64;
            match merged.last_mut() {
                Some((last, sum)) if *last == target => sum.absorb(*count),
                _ => merged.push((target, *count)),
            }
        }
        self.positive = merged;
        self.bounds = kept.to_vec();
    }

    /// Widens the zero bucket to `threshold`, or up to the end of a populated bucket into which that falls.
    fn widen_zero(&mut self, threshold: f64) {
        let (zero, threshold) = widened(self.zero, self.schema, &self.positive, &self.negative, threshold);
        (self.zero, self.zero_threshold) = (zero, threshold);
        let schema = self.schema;
        self.positive.retain(|(index, _)| bound(schema, index - 1) >= threshold);
        self.negative.retain(|(index, _)| bound(schema, index - 1) >= threshold);
    }
}

/// Count of a zero bucket that reaches to `threshold`, and how far it must reach so as to cut no populated bucket.
fn widened(zero: Sum, schema: i32, positive: &Side, negative: &Side, threshold: f64) -> (Sum, f64) {
    let mut threshold = threshold;
    loop {
        let mut total = zero;
        let mut end = threshold;
        for (index, count) in positive.iter().take_while(|(index, _)| bound(schema, index - 1) < threshold) {
            total.absorb(*count);
            if count.value() != 0.0 {
                end = end.max(bound(schema, *index));
            }
        }
        for (index, count) in negative {
            if bound(schema, index - 1) >= end {
                break;
            }
            total.absorb(*count);
            if count.value() != 0.0 {
                end = end.max(bound(schema, *index));
            }
        }
        if end == threshold {
            return (total, threshold);
        }
        threshold = end;
    }
}

/// Count and width that the zero bucket of `histogram` would have if it reached to `threshold`.
pub(super) fn zero_up_to(histogram: &Histogram, threshold: f64) -> (f64, f64) {
    if threshold == histogram.zero_threshold {
        return (histogram.zero_count, threshold);
    }
    let total = Total::new(histogram);
    let (zero, threshold) = widened(total.zero, total.schema, &total.positive, &total.negative, threshold);
    (zero.value(), threshold)
}

/// Adds `from`'s buckets to `into`'s; both rise.
fn join(into: &mut Side, from: &Side, sign: f64) {
    let signed = |sum: &Sum| {
        let mut sum = *sum;
        sum.scale(sign);
        sum
    };
    let mut joined: Side = Vec::with_capacity(into.len() + from.len());
    let (mut own, mut other) = (into.iter().peekable(), from.iter().peekable());
    loop {
        match (own.peek(), other.peek()) {
            (Some((i, sum)), Some((j, more))) if i == j => {
                let mut sum = *sum;
                sum.absorb(signed(more));
                joined.push((*i, sum));
                own.next();
                other.next();
            }
            (Some((i, sum)), Some((j, _))) if i < j => {
                joined.push((*i, *sum));
                own.next();
            }
            (_, Some((j, more))) => {
                joined.push((*j, signed(more)));
                other.next();
            }
            (Some((i, sum)), None) => {
                joined.push((*i, *sum));
                own.next();
            }
            (None, None) => break,
        }
    }
    *into = joined;
}

/// The sum, and whether custom bounds had to be reconciled; `None` of nothing.
///
/// # Errors
/// [`Incompatible`].
pub(crate) fn sum(histograms: &[&Histogram]) -> Result<Option<(Histogram, bool)>, Incompatible> {
    let total = total_of(histograms)?;
    Ok(total.map(|total| (total.reconciled, total)).map(|(reconciled, total)| (total.finish(), reconciled)))
}

/// The mean, and whether custom bounds had to be reconciled; `None` of nothing. Where the sum would overflow, the mean is
/// taken step by step.
///
/// # Errors
/// [`Incompatible`].
pub(crate) fn mean(histograms: &[&Histogram]) -> Result<Option<(Histogram, bool)>, Incompatible> {
    let Some(mut total) = total_of(histograms)? else { return Ok(None) };
    let n = histograms.len() as f64;
    if total.overflows() {
        let mut rest = histograms.iter();
        let Some(first) = rest.next() else { return Ok(None) };
        total = Total::new(first);
        let mut seen = 1.0;
        for histogram in rest {
            seen += 1.0;
            total.each(|field| field.scale((seen - 1.0) / seen));
            total.add(&super::divided((*histogram).clone(), seen))?;
        }
    } else {
        total.each(|field| field.divide(n));
    }
    Ok(Some((total.reconciled, total)).map(|(reconciled, total)| (total.finish(), reconciled)))
}

fn total_of(histograms: &[&Histogram]) -> Result<Option<Total>, Incompatible> {
    let mut rest = histograms.iter();
    let Some(first) = rest.next() else { return Ok(None) };
    let mut total = Total::new(first);
    rest.try_for_each(|histogram| total.add(histogram))?;
    Ok(Some(total))
}
