//! Exponential histograms: added up, coarsened, and as native histograms.
//!
//! ```text
//!   OTLP        scale s: bucket i holds (base^i, base^(i+1)]      base = 2^(2^−s)
//!   Prometheus  schema s: bucket i holds (base^(i−1), base^i]     so its index is one larger
//!   coarser by k: index >> k, on OTLP's indices
//! ```

use series::{BUCKETS_MAX, Buckets, Histogram, STALE_NAN, Span};

use super::model::{Exponential, Side};

/// Finest and coarsest schema of native histograms.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Zero threshold of a histogram that names none, as Prometheus assumes.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets that are written out rather than beginning a new span.
const GAP_MAX: usize = 2;

/// The sum of two; `None` where counts overflow.
pub(crate) fn plus(a: &Exponential, b: &Exponential) -> Option<Exponential> {
    let scale = a.scale.min(b.scale);
    let side =
        |a_side: &Side, b_side: &Side| add_sides(&coarser(a_side, a.scale, scale), &coarser(b_side, b.scale, scale));
    Some(Exponential {
        count: a.count.checked_add(b.count)?,
        sum: a.sum.zip(b.sum).map(|(a, b)| a + b),
        scale,
        zero_count: a.zero_count.checked_add(b.zero_count)?,
        zero_threshold: a.zero_threshold.max(b.zero_threshold),
        positive: side(&a.positive, &b.positive)?,
        negative: side(&a.negative, &b.negative)?,
    })
}

/// As a native histogram; the error says why it cannot be one.
pub(crate) fn native(histogram: &Exponential, is_stale: bool) -> Result<Histogram, String> {
    if is_stale {
        return Ok(Histogram::stale());
    }
    if histogram.scale < SCHEMA_MIN {
        return Err(format!("scale {} is coarser than native histograms can be ({SCHEMA_MIN})", histogram.scale));
    }
    let schema = histogram.scale.min(SCHEMA_MAX);
    let side = |side: &Side| spans(&coarser(side, histogram.scale, schema));
    let native = Histogram {
        schema,
        zero_threshold: if histogram.zero_threshold == 0.0 { ZERO_THRESHOLD } else { histogram.zero_threshold },
        zero_count: histogram.zero_count as f64,
        count: histogram.count as f64,
        // Histograms of negative measurements carry none; a marker would be a lie, and zero is what Prometheus stores.
        sum: histogram.sum.filter(|sum| sum.to_bits() != STALE_NAN.to_bits()).unwrap_or(0.0),
        positive: side(&histogram.positive)?,
        negative: side(&histogram.negative)?,
        ..Histogram::default()
    };
    native.check().map_err(|err| err.to_string())?;
    Ok(native)
}

/// The same counts at a scale that is not finer.
fn coarser(side: &Side, from: i32, to: i32) -> Side {
    let shift = from.saturating_sub(to).clamp(0, 31) as u32;
    if shift == 0 || side.counts.is_empty() {
        return side.clone();
    }
    let offset = side.offset >> shift;
    let mut counts = Vec::new();
    for (i, count) in side.counts.iter().enumerate() {
        let index = (i64::from(side.offset) + i as i64) >> shift;
        let slot = (index - i64::from(offset)) as usize;
        if slot >= counts.len() {
            counts.resize(slot + 1, 0_u64);
        }
        counts[slot] = counts[slot].saturating_add(*count);
    }
    Side { offset, counts }
}

fn add_sides(a: &Side, b: &Side) -> Option<Side> {
    let (Some(a_end), Some(b_end)) = (end(a), end(b)) else {
        return Some(if a.counts.is_empty() { b.clone() } else { a.clone() });
    };
    let offset = a.offset.min(b.offset);
    let n_buckets = usize::try_from(a_end.max(b_end) - i64::from(offset)).ok()?;
    if n_buckets > BUCKETS_MAX {
        return None;
    }
    let mut counts = vec![0_u64; n_buckets];
    for side in [a, b] {
        for (i, count) in side.counts.iter().enumerate() {
            let slot = &mut counts[(i64::from(side.offset) - i64::from(offset)) as usize + i];
            *slot = slot.checked_add(*count)?;
        }
    }
    Some(Side { offset, counts })
}

/// Index behind the last bucket; `None` when there is none.
fn end(side: &Side) -> Option<i64> {
    (!side.counts.is_empty()).then(|| i64::from(side.offset) + side.counts.len() as i64)
}

/// Runs of buckets with Prometheus' indices; leading, trailing and long runs of empty buckets are left out.
fn spans(side: &Side) -> Result<Buckets, String> {
    let mut buckets = Buckets::default();
    let mut empty = 0;
    let mut end = 0_i64;
    for (i, &count) in side.counts.iter().enumerate() {
        if count == 0 {
            empty += 1;
            continue;
        }
        let index = i64::from(side.offset) + i as i64 + 1;
        match buckets.spans.last_mut() {
            Some(span) if empty <= GAP_MAX => {
                span.length += empty as u32 + 1;
                buckets.counts.extend(std::iter::repeat_n(0.0, empty));
            }
            _ => {
                let offset = i32::try_from(index - end).map_err(|_| "a bucket index is beyond 32 bits".to_owned())?;
                buckets.spans.push(Span { offset, length: 1 });
            }
        }
        buckets.counts.push(count as f64);
        (empty, end) = (0, index + 1);
    }
    Ok(buckets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(offset: i32, counts: &[u64]) -> Side {
        Side { offset, counts: counts.to_vec() }
    }

    #[test]
    fn indices_grow_by_one_and_gaps_become_spans() {
        let histogram = Exponential {
            count: 10,
            sum: Some(2.5),
            scale: 3,
            zero_count: 1,
            positive: side(-2, &[0, 1, 0, 0, 2, 0, 0, 0, 3, 0]),
            negative: side(4, &[3]),
            ..Exponential::default()
        };
        let native = native(&histogram, false).expect("fits");
        let positive: Vec<_> = native.positive.iter().filter(|(_, count)| *count > 0.0).collect();
        assert_eq!(positive, [(0, 1.0), (3, 2.0), (7, 3.0)]);
        assert_eq!(native.positive.spans, [Span { offset: 0, length: 4 }, Span { offset: 3, length: 1 }]);
        assert_eq!(native.negative.iter().collect::<Vec<_>>(), [(5, 3.0)]);
        assert_eq!((native.schema, native.count, native.sum, native.zero_threshold), (3, 10.0, 2.5, 1e-128));
        assert!(super::native(&histogram, true).expect("a marker").is_stale());
    }

    #[test]
    fn scales_beyond_the_finest_are_coarsened_and_beyond_the_coarsest_refused() {
        let histogram = |scale| Exponential { scale, count: 4, positive: side(-3, &[1; 4]), ..Exponential::default() };
        let fine = native(&histogram(10), false).expect("coarsened");
        // Indices −3…0 at scale 10 are −1, −1, −1, 0 at scale 8, one more for Prometheus.
        assert_eq!((fine.schema, fine.positive.iter().collect::<Vec<_>>()), (8, vec![(0, 3.0), (1, 1.0)]));
        assert!(native(&histogram(-5), false).expect_err("too coarse").contains("-5"));
    }

    proptest! {
        /// Every observation ends in the bucket that the formula names, whichever way it came there.
        #[test]
        fn sums_are_the_histograms_of_all_values(
            a in prop::collection::vec(-50_i32..50, 0..20),
            b in prop::collection::vec(-50_i32..50, 0..20),
            scales in (0_i32..6, 0_i32..6),
        ) {
            let of = |indices: &[i32], shift: i32| {
                let Some(&first) = indices.iter().min() else { return Side::default() };
                let offset = first >> shift;
                let last = indices.iter().max().map_or(offset, |last| last >> shift);
                let mut counts = vec![0; (last - offset + 1) as usize];
                indices.iter().for_each(|index| counts[((index >> shift) - offset) as usize] += 1);
                Side { offset, counts }
            };
            let histogram = |indices: &[i32], scale: i32| Exponential {
                count: indices.len() as u64,
                scale,
                positive: of(indices, 6 - scale),
                ..Exponential::default()
            };
            let sum = plus(&histogram(&a, scales.0), &histogram(&b, scales.1)).expect("small");
            let all: Vec<_> = a.iter().chain(&b).copied().collect();
            let wanted = histogram(&all, scales.0.min(scales.1));
            prop_assert_eq!(sum, wanted);
        }
    }
}
