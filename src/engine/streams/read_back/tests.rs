//! Reading back from a store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use series::{Labels, METRIC_NAME, MatchOp, Matcher};
use stream::{Emission, Operator, StreamLimits, StreamSpec, ValueKind};

use super::*;

/// Samples in memory; counts how often it is asked and fails when told to.
#[derive(Default)]
struct Memory {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
    asked: AtomicUsize,
    broken: bool,
}

struct Part(Vec<(Labels, BTreeMap<i64, f64>)>, bool);

impl Select for Memory {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let inside = |samples: &BTreeMap<i64, f64>| samples.keys().any(|&at| request.range.contains(Timestamp(at)));
        let matched = |labels: &Labels| request.matchers.iter().all(|m| m.matches_labels(labels.as_ref()));
        let found = self.series.iter().filter(|(labels, samples)| matched(labels) && inside(samples));
        Ok(Box::new(Part(found.map(|(l, s)| (l.clone(), s.clone())).collect(), self.broken)))
    }

    fn series(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }

    fn label_names(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn metadata(&self, _: Option<&str>) -> Vec<series::Metadata> {
        Vec::new()
    }
}

impl SeriesSet for Part {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.0[i].0
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        if self.1 {
            return Err(SelectError::Io { file: "a".into(), why: "told to fail".into() });
        }
        let samples = self.0[i].1.range(range.start.0..range.end.0);
        samples.for_each(|(&at, &value)| out.push(Timestamp(at), value));
        Ok(())
    }
}

/// Two hours of two hosts, a sample every ten seconds, the second host five later.
fn memory() -> Memory {
    let mut memory = Memory::default();
    for (i, host) in ["a", "b"].into_iter().enumerate() {
        let labels = Labels::from_pairs([(METRIC_NAME, "m"), ("host", host)]).expect("valid");
        let at = |k: i64| k * 10_000 + i as i64 * 5000;
        memory.series.insert(labels, (1..720).map(|k| (at(k), k as f64)).collect());
    }
    memory
}

/// One query over the first host, one over both; nothing may be late for either.
fn specs() -> Vec<StreamSpec> {
    let narrow = StreamSpec {
        name: "narrow".into(),
        matchers: vec![Matcher::equal(METRIC_NAME, "m"), Matcher::new("host", MatchOp::Equal, "a").expect("valid")],
        by: vec![],
        value: ValueKind::Gauge,
        window: Millis::from_mins(2),
        slide: Millis::from_mins(1),
        lateness: Millis(0),
        operators: vec![Operator::Count, Operator::Mean],
    };
    let wide = StreamSpec { name: "wide".into(), matchers: vec![Matcher::equal(METRIC_NAME, "m")], ..narrow.clone() };
    vec![narrow, wide]
}

fn streams() -> Streams {
    Streams::new(specs(), StreamLimits::default()).expect("valid")
}

const NOW: Timestamp = Timestamp(100 * 3_600_000);

fn all() -> TimeRange {
    TimeRange::new(Timestamp::MIN, NOW)
}

fn said(memory: &Memory, streams: &mut Streams, range: TimeRange) -> Vec<Emission> {
    let mut out = Vec::new();
    read_back(memory, streams, range, |streams, batch| {
        streams.push(NOW, batch, &mut out);
        true
    })
    .expect("readable");
    out
}

#[test]
fn queries_that_share_series_are_fed_together() {
    let (memory, mut one) = (memory(), streams());
    let out = said(&memory, &mut one, all());
    assert_eq!((one.stats().late, one.stats().rows), (0, 3 * 719));
    let counts: Vec<f64> = out
        .iter()
        .filter_map(|e| match e {
            Emission::Sample { labels, value, .. }
                if labels.metric() == "foretide_stream_count" && labels.get("stream") == Some("wide") =>
            {
                Some(*value)
            }
            _ => None,
        })
        .collect();
    // Windows of two minutes, two hosts, six samples a minute; the first ones are shorter.
    assert_eq!(counts.len(), 119);
    assert!(counts[2..].iter().all(|&count| count == 24.0), "{counts:?}");
}

#[test]
fn what_is_closed_is_not_read_again_and_a_long_silence_is_cheap() {
    let (memory, mut one) = (memory(), streams());
    said(&memory, &mut one, all());
    let asked = memory.asked.swap(0, Ordering::Relaxed);
    assert!(asked < 100, "{asked} looks for two hours in a hundred");
    let rows = one.stats().rows;
    assert!(said(&memory, &mut one, all()).is_empty());
    assert!(one.stats().rows - rows <= 3 * 6, "only the open minute is read: {}", one.stats().rows - rows);
    let far = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
    memory.asked.store(0, Ordering::Relaxed);
    said(&memory, &mut one, far);
    let asked = memory.asked.load(Ordering::Relaxed);
    assert!(asked < 400, "{asked} looks for all times there are");
}

#[test]
fn a_failed_read_and_a_stop_are_said() {
    let (mut memory, mut one) = (memory(), streams());
    let mut slices = 0;
    let outcome = read_back(&memory, &mut one, all(), |_, _| {
        slices += 1;
        slices < 3
    });
    assert!(matches!(outcome, Err(ReadBackError::Stopped)) && slices == 3);
    memory.broken = true;
    let outcome = read_back(&memory, &mut one, all(), |_, _| true);
    assert!(matches!(outcome, Err(ReadBackError::Select(_))));
}
