//! Histograms by hand, and properties that hold for all of them.

use proptest::prelude::*;
use series::{Buckets, CUSTOM_BUCKETS, Histogram, ResetHint, Span};

use super::layout::{bound, coarser, pack};
use super::*;

fn side(first: i32, counts: &[f64]) -> Buckets {
    let spans = if counts.is_empty() { vec![] } else { vec![Span { offset: first, length: counts.len() as u32 }] };
    Buckets { spans, counts: counts.to_vec() }
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS,
        count: counts.iter().sum(),
        positive: side(0, counts),
        custom_bounds: bounds.to_vec(),
        ..Histogram::default()
    }
}

fn exponential(schema: i32, first: i32, counts: &[f64]) -> Histogram {
    Histogram { schema, count: counts.iter().sum(), positive: side(first, counts), ..Histogram::default() }
}

#[test]
fn bounds_are_powers_of_the_base() {
    assert_eq!([-2, 0, 1, 10].map(|i| bound(0, i)), [0.25, 1.0, 2.0, 1024.0]);
    assert_eq!(bound(-4, 1), 65_536.0);
    assert_eq!(bound(1, 1), std::f64::consts::SQRT_2);
    // The largest numbers have a bucket of their own, and infinity another.
    assert_eq!((bound(0, 1024), bound(0, 1025)), (f64::MAX, f64::INFINITY));
    assert_eq!((bound(-4, 64), bound(8, 1024 * 256)), (f64::MAX, f64::MAX));
    assert!(bound(0, -1074) > 0.0 && bound(0, -1076) == 0.0);
    assert_eq!([-1, 0, 1, 2, 3].map(|i| coarser(i, 1)), [0, 0, 1, 1, 2]);
}

#[test]
fn sums_take_the_coarser_schema_and_the_wider_zero_bucket() {
    let fine = Histogram { zero_threshold: 0.5, zero_count: 2.0, ..exponential(1, 1, &[1.0, 2.0, 4.0]) };
    let coarse = exponential(0, -1, &[8.0, 16.0, 32.0]);
    let mut total = Total::new(&fine);
    total.add(&coarse).expect("both exponential");
    let sum = total.finish();
    // (0.25, 0.5] falls into the zero bucket; (1, √2] and (√2, 2] become (1, 2].
    assert_eq!((sum.schema, sum.zero_threshold, sum.zero_count), (0, 0.5, 10.0));
    assert_eq!(sum.positive.iter().collect::<Vec<_>>(), [(0, 16.0), (1, 35.0), (2, 4.0)]);
}

#[test]
fn a_zero_bucket_that_would_cut_a_populated_one_grows_over_it() {
    let wide = Histogram { zero_threshold: 0.4, zero_count: 1.0, ..exponential(0, 3, &[5.0]) };
    let narrow = Histogram { negative: side(-1, &[7.0]), ..exponential(0, -1, &[2.0, 3.0]) };
    let mut total = Total::new(&narrow);
    total.add(&wide).expect("both exponential");
    let sum = total.finish();
    assert_eq!((sum.zero_threshold, sum.zero_count), (0.5, 10.0));
    assert_eq!(sum.positive.iter().collect::<Vec<_>>(), [(0, 3.0), (3, 5.0)]);
    assert_eq!(sum.negative, Buckets::default());
}

#[test]
fn custom_bounds_are_reconciled_to_the_common_ones() {
    let mut total = Total::new(&custom(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0]));
    total.add(&custom(&[2.0, 3.0, 5.0], &[10.0, 20.0, 30.0, 40.0])).expect("both custom");
    assert!(total.reconciled);
    let sum = total.finish();
    assert_eq!(sum.custom_bounds, [2.0, 5.0]);
    assert_eq!(sum.positive.counts, [13.0, 53.0, 44.0]);
    assert!(Total::new(&sum).add(&exponential(0, 1, &[1.0])).is_err());
}

#[test]
fn hints_meet() {
    let hinted = |reset| Histogram { reset, ..exponential(0, 1, &[1.0]) };
    for (a, b, both, collided) in [
        (ResetHint::Gauge, ResetHint::Reset, ResetHint::Gauge, false),
        (ResetHint::Unknown, ResetHint::NotReset, ResetHint::Unknown, false),
        (ResetHint::Reset, ResetHint::Reset, ResetHint::Reset, false),
        (ResetHint::Reset, ResetHint::NotReset, ResetHint::Unknown, true),
    ] {
        let mut total = Total::new(&hinted(a));
        total.add(&hinted(b)).expect("both exponential");
        assert_eq!((total.collided, total.finish().reset), (collided, both));
    }
}

#[test]
fn resets_are_seen_in_any_part() {
    let before = Histogram { zero_threshold: 0.001, zero_count: 1.0, ..exponential(2, 1, &[1.0, 0.0, 4.0]) };
    let now = |histogram: Histogram| Histogram { zero_threshold: 0.001, zero_count: 1.0, ..histogram };
    assert!(!is_reset(&before, &before));
    assert!(is_reset(&now(exponential(2, 1, &[1.0, 9.0, 3.0])), &before), "a bucket fell");
    assert!(is_reset(&now(exponential(2, 1, &[9.0])), &before), "a bucket vanished");
    assert!(!is_reset(&now(exponential(2, 1, &[1.0, 0.0, 4.0, 1.0])), &before), "a bucket came");
    assert!(!is_reset(&now(exponential(1, 1, &[1.0, 4.0])), &before), "a coarser schema");
    assert!(is_reset(&now(exponential(3, 1, &[9.0])), &before), "a finer schema");
    assert!(is_reset(&Histogram { zero_threshold: 0.0, ..before.clone() }, &before), "a narrower zero bucket");
    assert!(is_reset(&Histogram { zero_threshold: 1.1, zero_count: 9.0, ..before.clone() }, &before), "a cut bucket");
    assert!(!is_reset(&Histogram { reset: ResetHint::NotReset, count: 0.0, ..before.clone() }, &before), "a hint");
    assert!(is_reset(&Histogram { reset: ResetHint::Reset, ..before.clone() }, &before), "a hint");
    let other = custom(&[1.0, 3.0], &[2.0, 2.0, 2.0]);
    assert!(!is_reset(&custom(&[1.0, 2.0], &[2.0, 3.0, 1.0]), &other), "common bounds rise");
    assert!(is_reset(&custom(&[1.0, 2.0], &[1.0, 4.0, 4.0]), &other), "common bounds fall");
}

#[test]
fn quantiles_and_fractions_are_inverse() {
    let both = Histogram { negative: side(1, &[4.0]), count: 12.0, ..exponential(0, 1, &[4.0, 4.0]) };
    assert_eq!(quantile(0.5, &both).0, 2.0_f64.powf(0.5));
    assert_eq!(quantile(1.0, &both).0, 4.0);
    assert_eq!(quantile(0.0, &both).0, -2.0);
    assert!((fraction(f64::NEG_INFINITY, 2.0_f64.sqrt(), &both).0 - 0.5).abs() < 1e-12);
    assert_eq!(quantile(0.5, &custom(&[1.0, 2.0], &[0.0, 4.0, 0.0])).0, 1.5);
    assert_eq!(quantile(1.0, &custom(&[1.0, 2.0], &[0.0, 4.0, 4.0])).0, 2.0);
    assert_eq!(quantile(0.1, &custom(&[-1.0, 2.0], &[4.0, 0.0, 0.0])).0, -1.0);
    assert!(quantile(0.5, &Histogram::default()).0.is_nan());
}

#[test]
fn observations_that_are_no_numbers_are_told() {
    let histogram = Histogram { count: 8.0, sum: f64::NAN, ..exponential(0, 1, &[4.0]) };
    assert_eq!(quantile(0.25, &histogram), (2.0_f64.powf(0.5), Some(Doubt::SkewedQuantile)));
    let (value, doubt) = quantile(0.75, &histogram);
    assert!(value.is_nan() && doubt == Some(Doubt::NoQuantile));
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &histogram), (0.5, Some(Doubt::LeftOut)));
}

#[test]
fn trimming_splits_the_bucket_it_hits() {
    let histogram = Histogram { sum: 100.0, ..exponential(0, 1, &[2.0, 4.0]) };
    let below = trim(histogram.clone(), Keep::Below, 8.0_f64.sqrt());
    assert_eq!((below.count, below.positive.counts.clone()), (4.0, vec![2.0, 2.0]));
    let above = trim(histogram.clone(), Keep::Above, 8.0_f64.sqrt());
    assert_eq!((above.count, above.positive.counts.clone()), (2.0, vec![2.0]));
    assert_eq!(trim(histogram.clone(), Keep::Below, f64::INFINITY), histogram, "nothing cut, nothing estimated");
    assert_eq!(trim(histogram, Keep::Above, f64::INFINITY).count, 0.0);
    let custom = custom(&[2.0, 4.0], &[4.0, 4.0, 4.0]);
    assert_eq!(trim(custom.clone(), Keep::Below, 1.0).positive.counts, [2.0]);
    assert_eq!(trim(custom.clone(), Keep::Above, 3.0).positive.counts, [2.0, 4.0]);
    assert_eq!(trim(custom, Keep::Below, 9.0).positive.counts, [4.0, 4.0]);
}

#[test]
fn means_do_not_overflow() {
    let large = Histogram { sum: f64::MAX, ..exponential(0, 1, &[f64::MAX, 1.0]) };
    let (mean, _) = mean(&[&large, &large, &large]).expect("all exponential").expect("some");
    assert!((mean.sum / f64::MAX - 1.0).abs() < 1e-12);
}

#[test]
fn a_line_shows_the_buckets_that_hold_something() {
    let histogram = Histogram { zero_threshold: 0.001, zero_count: 1.0, ..exponential(0, 1, &[3.0, 0.0]) };
    let histogram = Histogram { count: 4.0, sum: 2.5, negative: side(0, &[0.5]), ..histogram };
    assert_eq!(describe(&histogram), "{count:4, sum:2.5, [-1,-0.5):0.5, [-0.001,0.001]:1, (1,2]:3}");
}

/// Histograms of any layout, counts whole and so sums exact.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let side = || prop::collection::btree_map(-20_i64..20, (0..50_u32).prop_map(f64::from), 0..8);
    let zero = prop::sample::select(vec![0.0, 0.01, 0.3, 2.0]);
    (-2..4_i32, zero, 0..9_u32, side(), side()).prop_map(|(schema, zero_threshold, zero, positive, negative)| {
        let count = f64::from(zero) + positive.values().chain(negative.values()).sum::<f64>();
        let outside = |side: std::collections::BTreeMap<i64, f64>| {
            pack(side.into_iter().filter(|(index, _)| bound(schema, index - 1) >= zero_threshold))
        };
        Histogram {
            schema,
            zero_threshold,
            zero_count: f64::from(zero),
            count,
            sum: count,
            positive: outside(positive),
            negative: outside(negative),
            ..Histogram::default()
        }
    })
}

fn populated(histogram: &Histogram) -> f64 {
    buckets(histogram).iter().map(|bucket| bucket.count).sum()
}

proptest! {
    #[test]
    fn a_sum_keeps_every_observation(a in any_histogram(), b in any_histogram()) {
        let mut total = Total::new(&a);
        total.add(&b).expect("both exponential");
        let sum = total.finish();
        prop_assert_eq!(populated(&sum), populated(&a) + populated(&b));
        prop_assert_eq!(sum.check(), Ok(()));
        let mut other = Total::new(&b);
        other.add(&a).expect("both exponential");
        prop_assert!(same(&sum, &other.finish()), "sums do not depend on the order");
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_no_reset(a in any_histogram(), b in any_histogram()) {
        let mut total = Total::new(&a);
        total.add(&b).expect("both exponential");
        let sum = total.finish();
        // A wider zero bucket beside a coarser schema may cut merged buckets, which counts as a reset in Prometheus too.
        if a.zero_threshold == b.zero_threshold {
            prop_assert!(!is_reset(&sum, &a) && !is_reset(&sum, &b));
        }
        let mut rest = Total::new(&sum);
        rest.subtract(&b).expect("both exponential");
        prop_assert_eq!(populated(&rest.finish()), populated(&a));
    }

    #[test]
    fn fractions_rise_and_quantiles_stay_inside(histogram in any_histogram(), at in -50.0..50.0_f64, phi in 0.0..1.0_f64) {
        let histogram = Histogram { count: populated(&histogram), ..histogram };
        let up_to = |value: f64| fraction(f64::NEG_INFINITY, value, &histogram).0;
        if histogram.count > 0.0 {
            prop_assert!((0.0..=1.0).contains(&up_to(at)) && up_to(at) <= up_to(at + 1.0));
            let value = quantile(phi, &histogram).0;
            let all = buckets(&histogram);
            prop_assert!(all[0].lower <= value && value <= all[all.len() - 1].upper, "{value}");
        }
    }

    #[test]
    fn both_sides_of_a_cut_make_the_whole(histogram in any_histogram(), at in -50.0..50.0_f64) {
        let histogram = Histogram { count: populated(&histogram), ..histogram };
        let below = trim(histogram.clone(), Keep::Below, at);
        let above = trim(histogram.clone(), Keep::Above, at);
        prop_assert!((below.count + above.count - histogram.count).abs() < 1e-9 * histogram.count.max(1.0));
    }
}
