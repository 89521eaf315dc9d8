//! The vectorised evaluator against naive models that look at one step at a time.

use promql::{Options, Value, instant, parse, range};
use proptest::prelude::*;
use series::{Labels, STALE_NAN, Step, Timestamp};

use crate::check::close;
use crate::memory::Memory;

/// Irregular samples with resets, gaps, stale markers, and `nan` now and then.
fn samples(nan: f64) -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![8 => 0.0..1000.0_f64, 1 => Just(0.0), 1 => Just(STALE_NAN), 1 => Just(nan)];
    prop::collection::vec((1..60_000_i64, value), 0..40).prop_map(|gaps| {
        let mut at = 0;
        let step = |(gap, value): (i64, f64)| {
            at += gap;
            (at, value)
        };
        gaps.into_iter().map(step).collect()
    })
}

fn stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// `rate` as the documentation words it, for one window.
fn naive_rate(samples: &[(i64, f64)], end: i64, range: i64) -> Option<f64> {
    let inside: Vec<(i64, f64)> =
        samples.iter().copied().filter(|(t, v)| end - range < *t && *t <= end && !stale(*v)).collect();
    let [(t0, v0), .., (t1, _)] = inside.as_slice() else { return None };
    let mut increase = 0.0;
    for pair in inside.windows(2) {
        increase += if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 };
    }
    let seconds = |millis: i64| millis as f64 / 1000.0;
    let sampled = seconds(t1 - t0);
    let distance = sampled / (inside.len() - 1) as f64;
    let reach = |gap: f64| if gap >= distance * 1.1 { distance / 2.0 } else { gap };
    let mut to_start = reach(seconds(t0 - (end - range)));
    if increase > 0.0 && *v0 >= 0.0 {
        to_start = to_start.min(sampled * (v0 / increase));
    }
    Some(increase * (sampled + to_start + reach(seconds(end - t1))) / sampled / seconds(range))
}

/// The newest sample within five minutes.
fn naive_value(samples: &[(i64, f64)], at: i64) -> Option<f64> {
    let newest = samples.iter().rev().find(|(t, _)| *t <= at)?;
    (newest.0 > at - 300_000 && !stale(newest.1)).then_some(newest.1)
}

fn store(samples: &[(i64, f64)]) -> Memory {
    let mut memory = Memory::default();
    let labels = Labels::from_pairs([("__name__", "x_total")]).expect("valid");
    samples.iter().for_each(|(at, value)| memory.push(&labels, *at, *value));
    memory
}

fn points(value: &Value) -> Vec<(i64, f64)> {
    match value {
        Value::Matrix(items) => items.iter().flat_map(|item| &item.points).map(|(at, v)| (at.0, *v)).collect(),
        _ => Vec::new(),
    }
}

fn agree(found: &[(i64, f64)], wanted: &[(i64, f64)]) -> bool {
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(a, b)| a.0 == b.0 && (close(a.1, b.1) || (a.1 - b.1).abs() < 1e-9))
}

proptest! {
    #[test]
    fn rate_equals_the_naive_rate_of_every_step(
        // A NaN between two samples neither counts nor is a reset; the sum of differences below cannot express that.
        samples in samples(0.5), range_ms in 1_000..600_000_i64, step in 1_000..120_000_i64, start in 0..300_000_i64
    ) {
        let memory = store(&samples);
        let expr = parse(&format!("rate(x_total[{range_ms}ms])")).expect("parses");
        let (grid, end) = (Step::new(step).expect("positive"), start + 30 * step);
        let options = Options::default();
        let answer = range(&memory, &expr, Timestamp(start), Timestamp(end), grid, &options).expect("evaluates");
        let steps = (0..=30).map(|i| start + i * step);
        let wanted: Vec<(i64, f64)> =
            steps.filter_map(|at| naive_rate(&samples, at, range_ms).map(|v| (at, v))).collect();
        prop_assert!(agree(&points(&answer.value), &wanted), "{:?} != {:?}", points(&answer.value), wanted);
    }

    #[test]
    fn selectors_see_the_newest_live_sample(samples in samples(f64::NAN), step in 1_000..120_000_i64, offset in -100..100_i64) {
        let memory = store(&samples);
        let expr = parse(&format!("x_total offset {offset}s")).expect("parses");
        let grid = Step::new(step).expect("positive");
        let options = Options::default();
        let answer = range(&memory, &expr, Timestamp(0), Timestamp(40 * step), grid, &options).expect("evaluates");
        let steps = (0..=40).map(|i| i * step);
        let wanted: Vec<(i64, f64)> =
            steps.filter_map(|at| naive_value(&samples, at - offset * 1000).map(|v| (at, v))).collect();
        prop_assert!(agree(&points(&answer.value), &wanted), "{:?} != {:?}", points(&answer.value), wanted);
    }

    #[test]
    fn a_range_query_is_the_instant_query_of_each_step(
        samples in samples(f64::NAN),
        query in prop::sample::select(vec![
            "sum_over_time(x_total[3m])", "max_over_time(rate(x_total[2m])[10m:30s])", "x_total > 300", "-x_total",
            "changes(x_total[5m] @ 300)", "absent(x_total)", "predict_linear(x_total[10m], 60)", "x_total or vector(1)",
            "avg_over_time(x_total[7m] offset 1m) * on() group_left() vector(2)", "topk(1, x_total)", "timestamp(x_total)",
            "quantile_over_time(0.9, x_total[5m])", "count_values(\"v\", x_total)", "deriv(x_total[4m])", "time() % 7",
        ]),
    ) {
        let memory = store(&samples);
        let expr = parse(query).expect("parses");
        let options = Options::default();
        let minute = Step::from_secs(60);
        let whole = range(&memory, &expr, Timestamp(0), Timestamp(900_000), minute, &options).expect("evaluates");
        let mut wanted = Vec::new();
        for at in (0..=900_000).step_by(60_000) {
            match instant(&memory, &expr, Timestamp(at), &options).expect("evaluates").value {
                Value::Vector(items) => wanted.extend(items.into_iter().filter_map(|item| Some((at, item.point.number()?)))),
                Value::Scalar(_, value) => wanted.push((at, value)),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        let mut found = points(&whole.value);
        found.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        wanted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        prop_assert!(agree(&found, &wanted), "{query}: {found:?} != {wanted:?}");
    }
}
