//! Native histograms and exemplars against a naive model: whatever is appended, flushed, compacted, deleted and reopened in
//! whatever order, reads give the latest of each time, of either kind.

#[path = "support/bench.rs"]
mod bench;

use std::collections::BTreeMap;

use bench::{Bench, NOW, labels};
use proptest::prelude::*;
use series::{
    Batch, Buckets, Columns, Exemplar, Histogram, HistogramSample, Labels, Matcher, Millis, SelectRequest, SeriesOrder,
    Span, TimeRange, Timestamp,
};
use store::StoreOptions;

const HOUR: i64 = 3_600_000;

/// A sample of the model: a float, or the seed of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Float(u8),
    Histogram(u8),
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i64, Value)>),
    Flush { merge: bool },
    Delete { host: u8, from: i64, hours: i64 },
    Reopen,
}

fn histogram(seed: u8) -> Histogram {
    if seed == 0 {
        return Histogram::stale();
    }
    let counts = vec![f64::from(seed), 2.0, f64::from(seed % 3)];
    Histogram {
        schema: i32::from(seed % 2),
        count: counts.iter().sum::<f64>() + 1.0,
        zero_count: 1.0,
        sum: f64::from(seed) / 3.0,
        positive: Buckets { spans: vec![Span { offset: -1, length: 2 }, Span { offset: 4, length: 1 }], counts },
        ..Histogram::default()
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![(0_u8..9).prop_map(Value::Float), (0_u8..9).prop_map(Value::Histogram)];
    let sample = (0_u8..3, -30_i64..20, value).prop_map(|(series, slot, value)| (series, NOW + slot * HOUR, value));
    let step = prop_oneof![
        5 => proptest::collection::vec(sample, 1..12).prop_map(Step::Append),
        2 => any::<bool>().prop_map(|merge| Step::Flush { merge }),
        1 => (0_u8..3, -30_i64..20, 1_i64..30).prop_map(|(host, from, hours)| Step::Delete { host, from, hours }),
        2 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..14)
}

fn options() -> StoreOptions {
    let forever = Millis::from_days(100);
    StoreOptions { ooo_window: forever, ahead_max: forever, background: false, ..StoreOptions::default() }
}

fn read(bench: &Bench, range: TimeRange) -> BTreeMap<Labels, BTreeMap<i64, Value>> {
    let select = bench.store().selector();
    let set = select
        .select(&SelectRequest { matchers: &[], range, series_max: 0, order: SeriesOrder::Labels })
        .expect("selects");
    let mut found = BTreeMap::new();
    for i in 0..set.len() {
        let (mut columns, mut histograms) = (Columns::default(), Vec::new());
        set.read(i, range, &mut columns).expect("reads");
        set.read_histograms(i, range, &mut histograms).expect("reads");
        assert!(set.has_histograms(i) || histograms.is_empty());
        assert!(histograms.windows(2).all(|two| two[0].at < two[1].at));
        let mut run: BTreeMap<i64, Value> = columns.iter().map(|(at, v)| (at.0, Value::Float(v as u8))).collect();
        for HistogramSample { at, histogram: got } in histograms {
            let seed = (0..9).find(|&seed| format!("{:?}", histogram(seed)) == format!("{got:?}"));
            let before = run.insert(at.0, Value::Histogram(seed.expect("bit for bit")));
            assert!(before.is_none(), "a time of both kinds");
        }
        if !run.is_empty() {
            found.insert(set.labels(i).clone(), run);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_like_a_map(steps in steps(), from in -35_i64..25, hours in 1_i64..40) {
        let mut bench = Bench::new();
        bench.reopen(options());
        let mut model: BTreeMap<Labels, BTreeMap<i64, Value>> = BTreeMap::new();
        let some = TimeRange::new(Timestamp(NOW + from * HOUR), Timestamp(NOW + (from + hours) * HOUR));
        for step in steps {
            match step {
                Step::Append(samples) => {
                    // One series a sample: floats of a series in one run would come before its histograms.
                    let (mut batch, mut n_histograms) = (Batch::default(), 0);
                    let mut seen = std::collections::BTreeSet::new();
                    for (series, at, value) in samples.into_iter().filter(|&(series, at, _)| seen.insert((series, at))) {
                        batch.begin_labels(&labels(series)).expect("small");
                        match value {
                            Value::Float(float) => batch.push(Timestamp(at), f64::from(float)),
                            Value::Histogram(seed) => {
                                n_histograms += 1;
                                batch.push_histogram(Timestamp(at), histogram(seed));
                            }
                        }
                        model.entry(labels(series)).or_default().insert(at, value);
                    }
                    let answer = bench.append(batch);
                    prop_assert!(answer.rejected.is_empty());
                    prop_assert_eq!(answer.histograms, n_histograms);
                }
                Step::Flush { merge } => drop(bench.store().flush(merge).expect("flushes")),
                Step::Delete { host, from, hours } => {
                    let range = TimeRange::new(Timestamp(NOW + from * HOUR), Timestamp(NOW + (from + hours) * HOUR));
                    let matcher = Matcher::equal("host", format!("h{host}"));
                    bench.store().delete_series(&[vec![matcher]], range).expect("deletes");
                    if let Some(run) = model.get_mut(&labels(host)) {
                        run.retain(|at, _| !range.contains(Timestamp(*at)));
                    }
                    model.retain(|_, run| !run.is_empty());
                }
                Step::Reopen => bench.reopen(options()),
            }
            prop_assert_eq!(read(&bench, TimeRange::ALL), model.clone());
            let mut part = model.clone();
            part.values_mut().for_each(|run| run.retain(|at, _| some.contains(Timestamp(*at))));
            part.retain(|_, run| !run.is_empty());
            prop_assert_eq!(read(&bench, some), part);
        }
    }
}

fn exemplar(at: i64, trace: &str) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", trace)]).expect("valid"), value: 0.5, at: Timestamp(at) }
}

fn traces(bench: &Bench) -> Vec<(String, Vec<i64>)> {
    let found = bench.store().selector().exemplars(&[], TimeRange::ALL).expect("selects");
    found.iter().map(|one| (one.labels.to_string(), one.exemplars.iter().map(|e| e.at.0 - NOW).collect())).collect()
}

#[test]
fn exemplars_survive_a_crash_and_a_flush_and_the_newest_are_kept() {
    let mut bench = Bench::new();
    let options = StoreOptions { exemplars_max: 3, ..options() };
    bench.reopen(options.clone());
    let write = |bench: &Bench, series: u8, at: i64, with_sample: bool| {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(series)).expect("small");
        if with_sample {
            batch.push(Timestamp(NOW + at), 1.0);
        }
        batch.push_exemplar(exemplar(NOW + at, "x"));
        bench.append(batch).exemplars
    };
    assert_eq!(write(&bench, 0, 1, true), 1);
    assert_eq!(write(&bench, 0, 2, false), 1);
    // Without a sample there is no series for it to belong to.
    assert_eq!(write(&bench, 7, 3, false), 0);
    let expected = |times: &[i64]| vec![(labels(0).to_string(), times.to_vec())];
    for flush in [false, true, false] {
        if flush {
            bench.store().flush(false).expect("flushes");
        }
        bench.reopen(options.clone());
        assert_eq!(traces(&bench), expected(&[1, 2]));
    }
    write(&bench, 0, 4, false);
    write(&bench, 0, 5, true);
    assert_eq!(traces(&bench), expected(&[2, 4, 5]));
    bench.reopen(options.clone());
    assert_eq!(traces(&bench), expected(&[2, 4, 5]));
    let stats = bench.store().stats();
    assert_eq!((stats.exemplars, stats.dropped_exemplars), (3, 1));
    let other = vec![Matcher::equal("host", "h7")];
    assert!(bench.store().selector().exemplars(&[other], TimeRange::ALL).expect("selects").is_empty());
}

#[test]
fn an_impossible_histogram_is_rejected_and_its_neighbours_are_written() {
    let mut bench = Bench::new();
    bench.reopen(options());
    let mut batch = Batch::default();
    batch.begin_labels(&labels(0)).expect("small");
    batch.push_histogram(Timestamp(NOW), histogram(1));
    let torn = Histogram { positive: Buckets { counts: Vec::new(), ..histogram(1).positive }, ..histogram(1) };
    batch.push_histogram(Timestamp(NOW + 1), torn);
    let answer = bench.append(batch);
    let reasons: Vec<_> = answer.rejected.iter().map(|r| (r.reason.as_str(), r.samples)).collect();
    assert_eq!((answer.histograms, reasons), (1, vec![("bad_histogram", 1)]));
    bench.reopen(options());
    assert_eq!(read(&bench, TimeRange::ALL)[&labels(0)].len(), 1);
}

fn started(batch: &mut Batch, at: i64, start: i64) {
    batch.push_start(Timestamp(at), Timestamp(start));
}

#[test]
fn counters_that_say_when_they_began_get_a_zero_there_once() {
    let quiet = || StoreOptions { background: false, ..StoreOptions::default() };
    let mut bench = Bench::new();
    bench.reopen(quiet());
    let counter = |at: i64, value: f64, start: i64| {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(0)).expect("small");
        batch.push(Timestamp(at), value);
        started(&mut batch, at, start);
        batch.begin_labels(&labels(1)).expect("small");
        batch.push_histogram(Timestamp(at), histogram(3));
        started(&mut batch, at, start);
        batch
    };
    let t = |seconds: i64| NOW + seconds * 1000;
    let first = bench.append(counter(t(30), 5.0, t(10)));
    assert_eq!((first.samples, first.histograms, first.zero_histograms), (1, 1, 1), "zeros are not what was sent");
    assert_eq!(first.zeros, 1);
    for (at, start) in [(45, 10), (60, 10), (90, 75), (105, 75), (40, 35), (120, 120), (135, -90_000)] {
        let appended = bench.append(counter(t(at), at as f64, t(start)));
        assert_eq!(appended.zeros, u64::from(start == 75 && at == 90), "at {at} since {start}");
    }
    let expected = [10, 30, 40, 45, 60, 75, 90, 105, 120, 135].map(t);
    for round in 0..3 {
        let select = bench.store().selector();
        let set = select
            .select(&SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels })
            .expect("selects");
        let (mut columns, mut histograms) = (Columns::default(), Vec::new());
        for i in 0..set.len() {
            set.read(i, TimeRange::ALL, &mut columns).expect("reads");
            set.read_histograms(i, TimeRange::ALL, &mut histograms).expect("reads");
        }
        assert_eq!((columns.timestamps.as_slice(), columns.values[0], columns.values[5]), (&expected[..], 0.0, 0.0));
        let times: Vec<_> = histograms.iter().map(|sample| sample.at.0).collect();
        assert_eq!(times, expected);
        let empty = &histograms[0].histogram;
        assert_eq!((empty.schema, empty.count, empty.reset), (histogram(3).schema, 0.0, series::ResetHint::Reset));
        match round {
            0 => bench.reopen(quiet()),
            _ => drop(bench.store().flush(true).expect("flushed")),
        }
    }
}

#[test]
fn a_start_further_back_than_late_samples_may_come_is_no_news() {
    let mut bench = Bench::new();
    bench.reopen(StoreOptions { ooo_window: Millis::from_hours(1), ..options() });
    for (series, hours, zeros) in [(0, 2, 0), (1, 1, 1)] {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(series)).expect("small");
        batch.push(Timestamp(NOW), 5.0);
        started(&mut batch, NOW, NOW - hours * HOUR);
        assert_eq!(bench.append(batch).zeros, zeros);
    }
}
