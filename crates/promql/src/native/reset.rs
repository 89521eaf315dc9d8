//! Counter resets between two samples.

use series::{Buckets, Histogram, ResetHint};

use super::layout::{bound, coarser};
use super::total::zero_up_to;

/// Whether the counter began anew between `before` and `now`: a hint decides; without one, anything that fell does, in
/// any bucket, in the zero bucket or in all. A finer schema or a narrower zero bucket comes with a reset only.
pub(crate) fn is_reset(now: &Histogram, before: &Histogram) -> bool {
    match now.reset {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if now.count < before.count {
        return true;
    }
    if now.has_custom_buckets() && before.has_custom_buckets() && now.custom_bounds != before.custom_bounds {
        return fell_between_common_bounds(now, before);
    }
    if now.has_custom_buckets() != before.has_custom_buckets()
        || now.schema > before.schema
        || now.zero_threshold < before.zero_threshold
    {
        return true;
    }
    let (zero, threshold) = zero_up_to(before, now.zero_threshold);
    // The new zero bucket ends inside of a populated old one: only a new counter has such a bucket.
    if threshold != now.zero_threshold || now.zero_count < zero {
        return true;
    }
    let steps = (before.schema - now.schema) as u32;
    let fell = |now_side: &Buckets, before_side: &Buckets| {
        if steps == 0 {
            return falls(outside(now, now_side.iter()), outside(now, before_side.iter()));
        }
        let mut merged: Vec<(i64, f64)> = Vec::new();
        for (index, count) in before_side.iter() {
            let index = coarser(index, steps);
            match merged.last_mut() {
                Some((last, sum)) if *last == index => *sum += count,
                _ => merged.push((index, count)),
            }
        }
        falls(outside(now, now_side.iter()), outside(now, merged.into_iter()))
    };
    fell(&now.positive, &before.positive) || fell(&now.negative, &before.negative)
}

/// The buckets that end beyond the zero bucket of `histogram`. Indices rise, so once one does, all others do.
fn outside(histogram: &Histogram, buckets: impl Iterator<Item = (i64, f64)>) -> impl Iterator<Item = (i64, f64)> {
    let (schema, threshold) = (histogram.schema, histogram.zero_threshold);
    let is_plain = histogram.has_custom_buckets() || threshold == 0.0;
    buckets.skip_while(move |(index, _)| !is_plain && bound(schema, *index) <= threshold)
}

/// Whether some bucket of `before` has more than its partner in `now`; both rise by index.
fn falls(now: impl Iterator<Item = (i64, f64)>, before: impl Iterator<Item = (i64, f64)>) -> bool {
    let mut now = now.peekable();
    for (index, count) in before {
        while now.next_if(|(i, _)| *i < index).is_some() {}
        let partner = now.peek().filter(|(i, _)| *i == index).map(|(_, count)| *count);
        let fell = match partner {
            Some(partner) => partner < count,
            None => count != 0.0,
        };
        if fell {
            return true;
        }
    }
    false
}

fn fell_between_common_bounds(now: &Histogram, before: &Histogram) -> bool {
    let common: Vec<f64> =
        now.custom_bounds.iter().copied().filter(|bound| before.custom_bounds.contains(bound)).collect();
    let gathered = |histogram: &Histogram| {
        let mut counts = vec![0.0; common.len() + 1];
        for (index, count) in histogram.positive.iter() {
            let end = usize::try_from(index).ok().and_then(|i| histogram.custom_bounds.get(i));
            counts[end.map_or(common.len(), |end| common.partition_point(|bound| bound < end))] += count;
        }
        counts
    };
    gathered(now).iter().zip(gathered(before)).any(|(now, before)| *now < before)
}
