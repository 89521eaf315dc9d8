//! The same results from all samples at once: the oracle of the tests. Sorted, without repeats, window by window, exact
//! quantiles by sorting.

use std::collections::BTreeMap;

use series::{Labels, METRIC_NAME, Timestamp};

use crate::histogram::{Bucket, bucket_quantile};
use crate::spec::{Operator, StreamSpec, ValueKind};

/// All samples of some series.
pub(crate) type Samples = BTreeMap<Labels, BTreeMap<i64, f64>>;
/// (metric, group, quantile, time) to value.
pub(crate) type Results = BTreeMap<(String, Labels, String, i64), f64>;

/// Values of a group in `(from, to]`: (time, value) for gauges and rates, increases by bound for histograms.
struct Window {
    values: Vec<f64>,
    increase: f64,
    buckets: BTreeMap<u64, f64>,
}

/// Percentiles, counts and means of every window that ends in `ends`.
pub(crate) fn results(spec: &StreamSpec, samples: &Samples, ends: impl Iterator<Item = i64>) -> Results {
    let mut groups: BTreeMap<Labels, Vec<&Labels>> = BTreeMap::new();
    for labels in samples.keys().filter(|l| spec.matchers.iter().all(|m| m.matches_labels(l.as_ref()))) {
        groups.entry(labels.project(&spec.by, true)).or_default().push(labels);
    }
    let mut results = Results::new();
    for end in ends {
        for (group, members) in &groups {
            say(spec, samples, group, members, end, &mut results);
        }
    }
    results
}

fn say(spec: &StreamSpec, samples: &Samples, group: &Labels, members: &[&Labels], end: i64, results: &mut Results) {
    let window = window(spec, samples, members, end - spec.window.0, end);
    let key = |metric: &str, q: &str| (metric.to_owned(), group.clone(), q.to_owned(), end);
    let histogram = spec.value == ValueKind::HistogramBuckets;
    if if histogram { window.buckets.is_empty() } else { window.values.is_empty() } {
        return;
    }
    for operator in &spec.operators {
        match operator {
            Operator::Percentiles(qs) => {
                for q in qs {
                    let value = if histogram { of_buckets(*q, &window) } else { of_values(*q, &window.values) };
                    if !value.is_nan() {
                        results.insert(key("foretide_stream_quantile", &q.to_string()), value);
                    }
                }
            }
            Operator::Count => {
                let last = window.buckets.get(&f64::INFINITY.to_bits()).copied().unwrap_or(0.0);
                let count = match spec.value {
                    ValueKind::Gauge => window.values.len() as f64,
                    ValueKind::Rate => window.increase,
                    ValueKind::HistogramBuckets => last,
                };
                results.insert(key("foretide_stream_count", ""), count);
            }
            _ => {}
        }
    }
}

fn window(spec: &StreamSpec, samples: &Samples, members: &[&Labels], from: i64, to: i64) -> Window {
    let mut window = Window { values: Vec::new(), increase: 0.0, buckets: BTreeMap::new() };
    for labels in members {
        let Some(of_series) = samples.get(*labels) else { continue };
        let mut last: Option<(i64, f64)> = None;
        for (&at, &value) in of_series {
            if series::is_stale(value) {
                last = None;
            } else if value.is_finite() {
                let before = last.filter(|l| at - l.0 <= 300_000.max(spec.window.0));
                if from < at && at <= to {
                    add(spec, labels, before, at, value, &mut window);
                }
                last = Some((at, value));
            }
        }
    }
    window
}

fn add(spec: &StreamSpec, labels: &Labels, before: Option<(i64, f64)>, at: i64, value: f64, window: &mut Window) {
    if spec.value == ValueKind::Gauge {
        return window.values.push(value);
    }
    let Some((from, last)) = before else { return };
    let increase = if value < last { value } else { value - last };
    window.increase += increase;
    window.values.push(increase * 1000.0 / (at - from) as f64);
    if spec.value == ValueKind::HistogramBuckets {
        let le = labels.get("le").expect("bucket");
        let bound: f64 = if le == "+Inf" { f64::INFINITY } else { le.parse().expect("number") };
        *window.buckets.entry(bound.to_bits()).or_default() += increase;
    }
}

fn of_values(q: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = q * (sorted.len() - 1) as f64;
    let low = sorted[rank.floor() as usize];
    low + (sorted[rank.ceil() as usize] - low) * rank.fract()
}

fn of_buckets(q: f64, window: &Window) -> f64 {
    let buckets: Vec<Bucket> =
        window.buckets.iter().map(|(&upper, &count)| Bucket { upper: f64::from_bits(upper), count }).collect();
    bucket_quantile(q, &buckets)
}

/// Results said by the streams, keyed like the oracle's.
pub(crate) fn said(out: &[crate::Emission], spec: &StreamSpec) -> Results {
    let mut results = Results::new();
    for emission in out {
        let crate::Emission::Sample { labels, at: Timestamp(at), value } = emission else { continue };
        assert_eq!(labels.get("stream"), Some(spec.name.as_str()));
        let group = labels.project(&spec.by, true);
        let key = (
            labels.get(METRIC_NAME).unwrap_or("").to_owned(),
            group,
            labels.get("quantile").unwrap_or("").to_owned(),
            *at,
        );
        assert!(results.insert(key, *value).is_none(), "said twice: {labels} at {at}");
    }
    results
}
