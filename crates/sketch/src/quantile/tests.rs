//! The sketch against sorted values, and the laws of merging.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn sketch_of(values: &[f64]) -> QuantileSketch {
    let mut sketch = QuantileSketch::default();
    sketch.insert_all(values);
    sketch
}

fn exact(sorted: &[f64], q: f64) -> f64 {
    let rank = q * (sorted.len() - 1) as f64;
    let low = sorted[rank.floor() as usize];
    low + (sorted[rank.ceil() as usize] - low) * rank.fract()
}

/// Magnitudes over thirty octaves.
fn magnitude() -> impl Strategy<Value = f64> {
    (-15.0..15.0_f64).prop_map(f64::exp2)
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => magnitude(), 4 => magnitude().prop_map(|x| -x), 1 => Just(0.0), 1 => any::<f64>()]
}

/// Both signs, within the span of buckets.
fn narrow_value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => magnitude(), 4 => magnitude().prop_map(|x| -x), 1 => Just(0.0)]
}

proptest! {
    #[test]
    fn quantiles_are_within_the_relative_error(mut values in vec(magnitude(), 1..400), q in 0.0..=1.0_f64, minus in any::<bool>()) {
        if minus {
            values.iter_mut().for_each(|v| *v = -*v);
        }
        let sketch = sketch_of(&values);
        values.sort_by(f64::total_cmp);
        let (answer, truth) = (sketch.quantile(q).expect("not empty"), exact(&values, q));
        prop_assert!((answer - truth).abs() <= 0.01 * truth.abs() + 1e-12, "{answer} for {truth}");
    }

    #[test]
    fn merging_is_exact_commutative_and_associative(a in vec(any_value(), 0..200), b in vec(any_value(), 0..200), c in vec(any_value(), 0..50)) {
        let (sa, sb, sc) = (sketch_of(&a), sketch_of(&b), sketch_of(&c));
        let merged = |x: &QuantileSketch, y: &QuantileSketch| {
            let mut sum = x.clone();
            sum.merge(y).expect("same shape");
            sum
        };
        let whole = sketch_of(&[a, b, c].concat());
        prop_assert_eq!(&merged(&merged(&sa, &sb), &sc), &whole);
        prop_assert_eq!(&merged(&sa, &merged(&sb, &sc)), &whole);
        prop_assert_eq!(&merged(&merged(&sc, &sb), &sa), &whole);
    }

    #[test]
    fn merging_stays_exact_when_buckets_collapse(a in vec(-900.0..900.0_f64, 1..60), b in vec(-900.0..900.0_f64, 1..60)) {
        let narrow = |exponents: &[f64]| {
            let mut sketch = QuantileSketch::new(0.01, 64).expect("in range");
            exponents.iter().for_each(|e| assert!(sketch.insert(e.exp2())));
            sketch
        };
        let whole = narrow(&[a.clone(), b.clone()].concat());
        let (mut left, mut right) = (narrow(&a), narrow(&b));
        let kept = right.clone();
        right.merge(&left).expect("same shape");
        left.merge(&kept).expect("same shape");
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(&right, &whole);
        prop_assert!(whole.bytes() < 64 * 8 * 4 + 256);
    }

    #[test]
    fn bytes_round_trip_and_merge_like_the_sketch(a in vec(any_value(), 0..200), b in vec(any_value(), 0..200)) {
        let (sa, sb) = (sketch_of(&a), sketch_of(&b));
        let mut bytes = Vec::new();
        sa.encode(&mut bytes);
        prop_assert_eq!(&QuantileSketch::decode(&mut Reader::new(&bytes)).expect("own bytes"), &sa);
        let mut sum = sb.clone();
        sum.merge_encoded(&bytes).expect("own bytes");
        prop_assert_eq!(sum, sketch_of(&[a, b].concat()));
    }

    #[test]
    fn damaged_bytes_never_panic(a in vec(any_value(), 0..40), cut in 0..200_usize, flip in any::<u8>()) {
        let mut bytes = Vec::new();
        sketch_of(&a).encode(&mut bytes);
        let at = cut % bytes.len();
        bytes[at] ^= flip;
        if let Ok(mut sketch) = QuantileSketch::decode(&mut Reader::new(&bytes)) {
            let _ = (sketch.quantile(0.5), sketch.share_at_most(1.0), sketch.merge(&sketch.clone()));
        }
        prop_assert!(QuantileSketch::decode(&mut Reader::new(&bytes[..at])).is_err());
    }

    #[test]
    fn shares_agree_with_counting_outside_the_bucket(values in vec(narrow_value(), 1..200), x in narrow_value()) {
        let sketch = sketch_of(&values);
        let share = sketch.share_at_most(x).expect("not empty");
        let (slack, n) = (x.abs() * 0.021, values.len() as f64);
        let at_least = values.iter().filter(|v| **v <= x - slack).count() as f64 / n;
        let at_most = values.iter().filter(|v| **v <= x + slack).count() as f64 / n;
        prop_assert!(at_least <= share && share <= at_most, "{at_least} {share} {at_most}");
    }
}

#[test]
fn zero_negative_and_what_is_not_a_number() {
    let mut sketch = QuantileSketch::default();
    assert_eq!(sketch.quantile(0.5), None);
    assert_eq!(sketch.insert_all(&[-5.0, 0.0, -0.0, 5.0, f64::NAN, f64::INFINITY, 1e-310]), 2);
    assert_eq!((sketch.count(), sketch.min(), sketch.max()), (5, Some(-5.0), Some(5.0)));
    assert_eq!(sketch.quantile(0.5), Some(0.0));
    assert_eq!(sketch.quantile(f64::NAN), None);
    sketch.clear();
    assert_eq!(sketch, QuantileSketch::default());
}

#[test]
fn different_shapes_do_not_merge() {
    let fine = QuantileSketch::new(0.001, 4096).expect("in range");
    assert!(matches!(QuantileSketch::default().merge(&fine), Err(SketchError::Shape { .. })));
    assert!(QuantileSketch::new(0.01, 1).is_err());
}
