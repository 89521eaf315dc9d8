//! Native histograms beside floats, step by step: what the shared cases leave open.

use promql::{Answer, ErrorKind, EvalError, Options, Point, Value, instant, parse, range};
use proptest::prelude::*;
use serde_json::json;
use series::{Buckets, Histogram, Labels, ResetHint, STALE_NAN, Span, Step, Timestamp};

use crate::cases::load;
use crate::check::points;
use crate::memory::Memory;

fn ask(memory: &Memory, query: &str, at: i64, options: &Options) -> Result<Answer, EvalError> {
    instant(memory, &parse(query).expect("parses"), Timestamp(at), options)
}

fn answer(memory: &Memory, query: &str, at: i64) -> Answer {
    ask(memory, query, at, &Options::default()).unwrap_or_else(|why| panic!("{query}: {why}"))
}

fn only(answer: &Answer) -> Option<Point> {
    match &answer.value {
        Value::Vector(items) if items.len() < 2 => items.first().map(|item| item.point.clone()),
        other => panic!("not one point: {other:?}"),
    }
}

fn counts(point: Option<Point>) -> (f64, Vec<f64>) {
    match point {
        Some(Point::Histogram(histogram)) => (histogram.count, histogram.positive.counts.clone()),
        other => panic!("no histogram: {other:?}"),
    }
}

/// A minute apart: a counter of native histograms with a reset, floats, a stale marker.
fn fleet() -> Memory {
    let series = |name: &str, host: &str, points: serde_json::Value| json!({"labels": {"__name__": name, "host": host}, "v": points});
    let rising = |from: f64| {
        json!([
            {"hist": {"sum": from, "count": 3, "buckets": [1, 2]}, "by": {"sum": 1, "count": 3, "buckets": [1, 2]}, "sign": "+", "n": 4},
            {"hist": {"sum": 1, "count": 2, "buckets": [2]}}, "stale", 7
        ])
    };
    load(&[json!({"step": 60_000, "series": [
        series("latency", "a", rising(1.0)),
        series("latency", "b", rising(5.0)),
        series("mixed", "a", json!([{"hist": {"sum": 4, "count": 2, "buckets": [1, 1]}, "n": 3}])),
        series("mixed", "b", json!([{"from": 1, "by": 1, "n": 3}])),
        series("custom", "a", json!([{"hist": {"schema": -53, "sum": 4, "count": 6, "custom_values": [1, 2], "buckets": [1, 2, 3]}}])),
    ]})])
}

#[test]
fn a_series_changes_its_kind_from_step_to_step() {
    let memory = fleet();
    let expr = parse("latency{host=\"a\"}").expect("parses");
    let minute = Step::from_secs(60);
    let options = Options::default();
    let whole = range(&memory, &expr, Timestamp(180_000), Timestamp(360_000), minute, &options).expect("evaluates");
    let Value::Matrix(items) = &whole.value else { panic!("no matrix") };
    let kinds: Vec<(i64, bool)> = points(&items[0]).into_iter().map(|(at, p)| (at, p.number().is_some())).collect();
    assert_eq!(kinds, [(180_000, false), (240_000, false), (360_000, true)], "nothing where it was stale");
}

#[test]
fn resets_are_added_back_and_hints_are_not_believed() {
    let mut memory = fleet();
    assert_eq!(only(&answer(&memory, "resets(latency{host=\"a\"}[4m1s])", 240_000)), Some(Point::Float(1.0)));
    // 12 up to the reset, 2 after it, less the first 3; (0, 1] and (1, 2] alike.
    let (count, buckets) = counts(only(&answer(&memory, "increase(latency{host=\"a\"}[4m1s])", 240_000)));
    assert!((count / 11.0 - 241.0 / 240.0).abs() < 1e-9, "{count}");
    assert!((buckets[1] / buckets[0] - 6.0 / 5.0).abs() < 1e-9, "{buckets:?}");
    let labels = Labels::from_pairs([("__name__", "hinted")]).expect("valid");
    for (i, count) in [5.0, 9.0].into_iter().enumerate() {
        let reset = ResetHint::Reset;
        memory.push_histogram(&labels, i as i64 * 60_000, Histogram { count, reset, ..Histogram::default() });
    }
    assert_eq!(only(&answer(&memory, "resets(hinted[5m])", 60_000)), Some(Point::Float(0.0)));
}

#[test]
fn groups_of_both_kinds_have_no_sum_but_a_count() {
    let memory = fleet();
    let sum = answer(&memory, "sum(mixed)", 60_000);
    assert_eq!(only(&sum), None);
    assert!(sum.warnings[0].contains("mix of histograms and floats for aggregation"), "{:?}", sum.warnings);
    assert_eq!(only(&answer(&memory, "count(mixed)", 60_000)), Some(Point::Float(2.0)));
    let max = answer(&memory, "max(mixed)", 60_000);
    assert_eq!((only(&max), max.infos.len()), (Some(Point::Float(2.0)), 1));
    assert_eq!(counts(only(&answer(&memory, "sum(latency)", 60_000))), (12.0, vec![4.0, 8.0]));
    assert_eq!(counts(only(&answer(&memory, "avg(latency)", 60_000))), (6.0, vec![2.0, 4.0]));
    let odd = answer(&memory, "sum({__name__=~\"latency|custom\"})", 0);
    assert!(only(&odd).is_none() && odd.warnings[0].contains("exponential and custom"), "{:?}", odd.warnings);
}

#[test]
fn observations_are_cut_off_by_name_and_value() {
    let memory = fleet();
    let cut = answer(&memory, "custom </ 1", 0);
    let Value::Vector(items) = &cut.value else { panic!("no vector") };
    assert_eq!(items[0].labels.metric(), "custom");
    assert_eq!(counts(only(&cut)), (1.0, vec![1.0]));
    assert_eq!(counts(only(&answer(&memory, "custom >/ 1.5", 0))), (4.0, vec![1.0, 3.0]));
    let floats = answer(&memory, "mixed{host=\"b\"} >/ 1", 0);
    assert_eq!((only(&floats), floats.infos.len()), (None, 1));
    assert_eq!(
        only(&answer(&memory, "histogram_count(latency{host=\"a\"} </ 1) / 2", 60_000)),
        Some(Point::Float(1.0))
    );
}

#[test]
fn sums_over_resets_are_doubted_below_figures() {
    let memory = fleet();
    let figure = answer(&memory, "histogram_count(sum_over_time(latency{host=\"a\"}[5m]))", 240_000);
    assert!(figure.warnings[0].contains("conflicting counter resets during histogram aggregation"));
    assert_eq!(answer(&memory, "sum_over_time(latency{host=\"a\"}[5m])", 240_000).warnings, [""; 0]);
    assert_eq!(
        answer(&memory, "histogram_count(sum_over_time(latency{host=\"a\"}[5m:1m]))", 240_000).warnings,
        [""; 0]
    );
}

#[test]
fn buckets_count_against_the_limit() {
    let memory = fleet();
    let options = Options { samples_max: 9, ..Options::default() };
    let why = ask(&memory, "latency", 60_000, &options).expect_err("2 series of 2 samples of 3");
    assert_eq!(why.kind(), ErrorKind::Execution);
    let why = ask(&memory, "rate(latency[5m] anchored)", 60_000, &options).expect_err("floats only");
    assert_eq!(why, EvalError::HistogramExtension);
}

/// Histograms, floats and stale markers in any order.
fn samples() -> impl Strategy<Value = Vec<(i64, Option<Histogram>, f64)>> {
    let histogram = (0..3_i32, prop::collection::vec(0..9_u32, 0..4)).prop_map(|(schema, buckets)| {
        let counts: Vec<f64> = buckets.into_iter().map(f64::from).collect();
        let spans = vec![Span { offset: 0, length: counts.len() as u32 }];
        let count = counts.iter().sum();
        Some(Histogram { schema, count, sum: count, positive: Buckets { spans, counts }, ..Histogram::default() })
    });
    let kind = prop_oneof![6 => histogram, 1 => Just(Some(Histogram::stale())), 2 => Just(None)];
    let value = prop_oneof![4 => 0.0..100.0_f64, 1 => Just(STALE_NAN)];
    prop::collection::vec((1..90_000_i64, kind, value), 0..25).prop_map(|gaps| {
        let mut at = 0;
        gaps.into_iter()
            .map(|(gap, kind, value)| {
                at += gap;
                (at, kind, value)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn a_range_query_is_the_instant_query_of_each_step(
        samples in samples(),
        query in prop::sample::select(vec![
            "x_total", "rate(x_total[3m])", "delta(x_total[5m])", "irate(x_total[4m])", "changes(x_total[5m])",
            "resets(x_total[5m])", "sum_over_time(x_total[2m])", "avg_over_time(x_total[3m:20s])", "-x_total",
            "count_over_time(x_total[2m])", "last_over_time(x_total[90s])", "first_over_time(x_total[2m])",
            "max_over_time(x_total[3m])", "histogram_quantile(0.7, x_total)", "histogram_fraction(0, 1.5, x_total)",
            "sum(x_total)", "avg(x_total) * 2", "x_total + x_total", "x_total == x_total", "x_total / 3",
            "x_total </ 1.2", "count_values(\"v\", x_total)", "timestamp(x_total)", "limitk(1, x_total)",
            "histogram_stddev(x_total)", "histogram_count(increase(x_total[3m]))", "x_total or vector(1)",
            "topk(1, x_total)", "absent(x_total)", "x_total @ 300", "scalar(x_total)",
        ]),
    ) {
        let mut memory = Memory::default();
        let labels = Labels::from_pairs([("__name__", "x_total")]).expect("valid");
        for (at, histogram, value) in samples {
            match histogram {
                Some(histogram) => memory.push_histogram(&labels, at, histogram),
                None => memory.push(&labels, at, value),
            }
        }
        let expr = parse(query).expect("parses");
        let (options, minute) = (Options::default(), Step::from_secs(60));
        let whole = range(&memory, &expr, Timestamp(0), Timestamp(900_000), minute, &options).expect("evaluates");
        let Value::Matrix(items) = whole.value else { return Ok(()) };
        for at in (0..=900_000).step_by(60_000) {
            let mut found: Vec<String> = Vec::new();
            for item in &items {
                found.extend(points(item).remove(&at).map(|point| format!("{} {point:?}", item.labels)));
            }
            let mut wanted: Vec<String> = match instant(&memory, &expr, Timestamp(at), &options).expect("evaluates").value {
                Value::Vector(items) => items.iter().map(|item| format!("{} {:?}", item.labels, item.point)).collect(),
                Value::Scalar(_, value) => vec![format!("{} {:?}", Labels::empty(), Point::Float(value))],
                other => vec![format!("{other:?}")],
            };
            found.sort();
            wanted.sort();
            prop_assert_eq!(found, wanted, "{} at {}", query, at);
        }
    }
}
