//! The store against a naive model: whatever is appended, flushed, compacted and reopened in whatever order, reads give
//! what a map of maps gives.

#[path = "support/bench.rs"]
mod bench;

use std::collections::BTreeMap;

use bench::{Bench, NOW, labels};
use proptest::prelude::*;
use series::{
    Batch, Columns, KnownSeries, Labels, Matcher, Metadata, MetricType, RejectionReason, STALE_NAN, SelectRequest,
    SeriesId, SeriesOrder, Spelling, TimeRange, Timestamp,
};
use store::StoreOptions;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i64, u64)>),
    Flush { merge: bool },
    Reopen,
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0_u32..1000).prop_map(|n| f64::from(n).to_bits()),
        Just(STALE_NAN.to_bits()),
        Just((-0.0_f64).to_bits()),
        Just(f64::INFINITY.to_bits()),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Times span two days, so that files of several days and late samples occur.
    let sample =
        (0_u8..5, -20_i64..20, value()).prop_map(|(series, slot, bits)| (series, NOW + slot * 3_600_000 / 2, bits));
    let step = prop_oneof![
        4 => proptest::collection::vec(sample, 1..30).prop_map(Step::Append),
        1 => any::<bool>().prop_map(|merge| Step::Flush { merge }),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..14)
}

fn wide_open() -> StoreOptions {
    let forever = series::Millis::from_days(100);
    StoreOptions { ooo_window: forever, ahead_max: forever, ..StoreOptions::default() }
}

/// Names the series as a decoder does: by its number where the store recalls it, else by its labels and their spelling.
fn begin(batch: &mut Batch, bench: &Bench, labels: &Labels) {
    let recall = bench.store().appender().recall().expect("a store recalls");
    let (spelling, mut known) = (Spelling::of(labels.canonical(), recall.seed()), Vec::new());
    recall.recall(&[spelling], &mut known);
    match known[0] {
        Some(known) => batch.begin_known(known).expect("small"),
        None => {
            batch.begin_labels(labels).expect("small");
            batch.spelled(spelling);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reads_like_a_map(steps in steps()) {
        let mut bench = Bench::open();
        bench.reopen(wide_open());
        let mut model: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Append(samples) => {
                    let mut batch = Batch::default();
                    for (series, at, bits) in samples {
                        begin(&mut batch, &bench, &labels(series));
                        batch.push(Timestamp(at), f64::from_bits(bits));
                        model.entry(labels(series)).or_default().insert(at, bits);
                    }
                    prop_assert!(bench.append(batch).rejected.is_empty());
                }
                Step::Flush { merge } => drop(bench.store().flush(merge).expect("flushes")),
                Step::Reopen => bench.reopen(wide_open()),
            }
            let expected: BTreeMap<_, Vec<_>> =
                model.iter().map(|(labels, run)| (labels.clone(), run.iter().map(|(k, v)| (*k, *v)).collect())).collect();
            prop_assert_eq!(bench.read_all(), expected);
        }
    }
}

#[test]
fn limits_reject_the_sample_and_keep_the_rest() {
    let mut bench = Bench::open();
    bench.reopen(StoreOptions { series_max: 2, ..StoreOptions::default() });
    let mut batch = Batch::default();
    for (series, at) in [(0, NOW), (1, NOW), (2, NOW), (0, NOW + 3_600_000), (0, NOW - 1)] {
        batch.begin_labels(&labels(series)).expect("small");
        batch.push(Timestamp(at), 1.0);
    }
    let answer = bench.append(batch);
    assert_eq!(answer.samples, 3);
    let reasons: Vec<_> = answer.rejected.iter().map(|r| (r.reason.as_str(), r.samples)).collect();
    assert_eq!(reasons, [("series_limit", 1), ("too_new", 1)]);
    assert!(answer.rejected[0].example.starts_with("m2{"), "{}", answer.rejected[0].example);

    let mut late = Batch::default();
    late.begin_labels(&labels(0)).expect("small");
    late.push(Timestamp(NOW - 25 * 3_600_000), 1.0);
    let answer = bench.append(late);
    assert!(matches!(answer.rejected[0].reason, RejectionReason::TooOld { .. }));
}

#[test]
fn a_series_whose_samples_are_all_refused_takes_no_place() {
    let mut bench = Bench::open();
    bench.reopen(StoreOptions { series_max: 1, ..StoreOptions::default() });
    let write = |bench: &Bench, series: u8, at: i64| {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(series)).expect("small");
        batch.push(Timestamp(at), 1.0);
        bench.append(batch)
    };
    for series in 1..20 {
        assert_eq!(write(&bench, series, NOW + 3_600_000).rejected[0].reason.as_str(), "too_new");
    }
    assert_eq!(write(&bench, 0, NOW).samples, 1);
}

#[test]
fn times_outside_the_calendar_are_refused_and_its_edges_are_flushed() {
    let bench = Bench::open();
    let (first, last) = (-62_135_596_800_000, 0);
    let mut batch = Batch::default();
    batch.begin_labels(&labels(0)).expect("small");
    for at in [first - 1, first, last, -100_000_000_000_000, i64::MIN, i64::MAX] {
        batch.push(Timestamp(at), 1.0);
    }
    let answer = bench.append(batch);
    let refused: u64 = answer.rejected.iter().map(|rejection| rejection.samples).sum();
    assert_eq!((answer.samples, refused), (2, 4));
    bench.store().flush(true).expect("every day that is taken can be written");
    let times: Vec<i64> = bench.read_all().values().flat_map(|run| run.iter().map(|(at, _)| *at)).collect();
    assert_eq!(times, [first, last]);
}

#[test]
fn new_series_beyond_the_memory_budget_are_refused_and_known_ones_go_on() {
    let mut bench = Bench::open();
    bench.reopen(StoreOptions { index_bytes: 2000, ..StoreOptions::default() });
    let write = |bench: &Bench, at: i64| {
        let mut batch = Batch::default();
        for series in 0..50 {
            batch.begin_labels(&labels(series)).expect("small");
            batch.push(Timestamp(at), 1.0);
        }
        bench.append(batch)
    };
    let first = write(&bench, NOW);
    assert!(first.samples > 0 && first.samples < 20, "{}", first.samples);
    assert_eq!(first.rejected[0].reason, RejectionReason::SeriesLimit { limit: first.samples });
    assert!(first.rejected[0].example.starts_with('m'), "{}", first.rejected[0].example);
    assert_eq!(write(&bench, NOW + 1).samples, first.samples);
    assert!(bench.store().stats().index_bytes >= 2000);
}

#[test]
fn compaction_leaves_one_file_a_day_and_deletes_its_inputs() {
    let bench = Bench::open();
    for round in 0..3 {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(0)).expect("small");
        batch.push(Timestamp(NOW + round), 1.0);
        bench.append(batch);
        bench.store().flush(false).expect("flushes");
    }
    assert_eq!(bench.store().stats().files, 3);
    let report = bench.store().flush(true).expect("merges");
    assert_eq!((report.days_merged, report.files), (1, 1));
    let folder = bench.root().join("default/chunks");
    let days: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect();
    let files = days.iter().filter(|d| !d.ends_with("_delta_log")).flat_map(|d| std::fs::read_dir(d).expect("a day"));
    assert_eq!(files.count(), 1);
}

#[test]
fn queries_name_labels_values_and_metadata_after_a_restart() {
    let mut bench = Bench::open();
    let mut batch = Batch::default();
    batch.begin_labels(&labels(1)).expect("small");
    batch.push(Timestamp(NOW), 1.0);
    let metadata =
        Metadata { metric: "m1".into(), kind: MetricType::Counter, help: "requests".into(), unit: String::new() };
    batch.push_metadata(metadata.clone());
    bench.append(batch);
    for flush in [false, true] {
        if flush {
            bench.store().flush(false).expect("flushes");
        }
        bench.reopen(StoreOptions::default());
        let select = bench.store().selector();
        assert_eq!(select.label_names(&[], TimeRange::ALL, 0).expect("names"), ["__name__", "host"]);
        assert_eq!(select.label_values("host", &[], TimeRange::ALL, 0).expect("values"), ["h1"]);
        let other = vec![Matcher::equal("host", "none")];
        assert!(select.series(&[other], TimeRange::ALL, 0).expect("series").is_empty());
        assert_eq!(select.metadata(Some("m1")), std::slice::from_ref(&metadata));
    }
}

#[test]
fn a_snapshot_does_not_see_what_comes_later() {
    let bench = Bench::open();
    let write = |at: i64| {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(0)).expect("small");
        batch.push(Timestamp(at), at as f64);
        bench.append(batch);
    };
    write(NOW);
    let select = bench.store().selector();
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    let before = select.select(&request).expect("selects");
    write(NOW + 1);
    bench.store().flush(true).expect("merges");
    let mut columns = Columns::default();
    before.read(0, TimeRange::ALL, &mut columns).expect("reads");
    assert_eq!(columns.timestamps, [NOW]);
}

#[test]
fn an_early_start_answers_once_the_log_is_read() {
    let mut bench = Bench::open();
    let batch = || {
        let mut batch = Batch::default();
        batch.begin_labels(&labels(0)).expect("small");
        batch.push(Timestamp(NOW), 1.0);
        batch
    };
    bench.append(batch());
    bench.reopen_early();
    let store = bench.store();
    // Whether the log is read by now or not: a query sees all of it, and a write is taken or told to come again.
    match store.appender().append_wait(batch()) {
        Ok(answer) => assert_eq!(answer.samples, 1),
        Err(err) => assert!(matches!(err, series::AppendError::Starting { .. }), "{err}"),
    }
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    assert_eq!(store.selector().select(&request).expect("selects").len(), 1);
    assert_eq!((store.starting(), store.started().expect("started").replayed_samples), (None, 1));
    assert_eq!(store.appender().append_wait(batch()).expect("serving").samples, 1);
}

#[test]
fn a_number_of_another_store_is_no_series() {
    let mut bench = Bench::open();
    bench.reopen(wide_open());
    let mut batch = Batch::default();
    begin(&mut batch, &bench, &labels(0));
    batch.push(Timestamp(NOW), 1.0);
    bench.append(batch);
    let mut batch = Batch::default();
    for number in [0, 7] {
        batch.begin_known(KnownSeries { number, id: SeriesId(1) }).expect("small");
        batch.push(Timestamp(NOW), 9.0);
    }
    let answer = bench.append(batch);
    assert_eq!((answer.rejected[0].reason, answer.rejected[0].samples), (RejectionReason::UnknownNumber, 2));
    assert_eq!((answer.samples, bench.read_all()[&labels(0)].len()), (0, 1));
}
