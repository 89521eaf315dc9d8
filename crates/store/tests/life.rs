//! The life of data against a naive model: appended, flushed, compacted, deleted, expired and reopened in any order, samples
//! and roll-ups are what a map of maps says.

#[path = "support/bench.rs"]
mod bench;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bench::{Bench, NOW, labels};
use proptest::prelude::*;
use series::{Batch, Labels, Matcher, Millis, Resolution, STALE_NAN, SelectRequest, SeriesOrder, TimeRange, Timestamp};
use store::{Keep, KeepTimes, Retention, RetentionRule, RollupTime, StoreOptions, TierOptions};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Times and bits of values.
type Run = BTreeMap<i64, u64>;

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<(u8, i64, u64)>),
    Flush {
        merge: bool,
    },
    /// Series (a metric when `None`), first and last hour.
    Delete {
        host: Option<u8>,
        metric: u8,
        from: i64,
        hours: i64,
    },
    Clean,
    Tidy,
    /// The clock moves by so many hours, forward mostly.
    Clock(i64),
    Reopen,
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => (0_u32..1000).prop_map(|n| f64::from(n).to_bits()),
        1 => any::<u64>(),
        1 => Just(STALE_NAN.to_bits()),
        1 => prop_oneof![Just(-0.0_f64), Just(f64::INFINITY), Just(f64::NEG_INFINITY)].prop_map(f64::to_bits),
    ]
}

fn steps(clock: bool) -> impl Strategy<Value = Vec<Step>> {
    // Four days around now, in minutes, and now and then the far past.
    let at = prop_oneof![30 => -3000_i64..2000, 1 => Just(-20_000_000_i64)];
    let sample = (0_u8..6, at, value()).prop_map(|(series, minute, bits)| (series, NOW + minute * 60_000, bits));
    let hours = if clock { -2_i64..40 } else { 0..1 };
    let step = prop_oneof![
        6 => proptest::collection::vec(sample, 1..40).prop_map(Step::Append),
        3 => any::<bool>().prop_map(|merge| Step::Flush { merge }),
        2 => (proptest::option::of(0_u8..6), 0_u8..3, -60_i64..20, 0_i64..60)
            .prop_map(|(host, metric, from, hours)| Step::Delete { host, metric, from, hours }),
        1 => Just(Step::Clean),
        2 => Just(Step::Tidy),
        2 => hours.prop_map(Step::Clock),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..24)
}

fn options(retention: Retention, rollups: RollupTime, cold: &Path) -> StoreOptions {
    let forever = Millis::from_days(100_000);
    let (after, stay) = (Millis::from_days(1), Millis::from_hours(2));
    let tiers = Some(TierOptions { url: format!("file://{}", cold.display()), after, promote_reads: 3, stay });
    let defaults =
        StoreOptions { ooo_window: forever, ahead_max: forever, background: false, ..StoreOptions::default() };
    StoreOptions { retention, rollups, tiers, cache_bytes: 1 << 20, ..defaults }
}

/// What should be there.
#[derive(Default)]
struct Model {
    samples: BTreeMap<Labels, Run>,
}

impl Model {
    fn delete(&mut self, matchers: &[Matcher], range: TimeRange) {
        for (labels, run) in &mut self.samples {
            if matchers.iter().all(|matcher| matcher.matches_labels(labels.as_ref())) {
                run.retain(|at, _| !range.contains(Timestamp(*at)));
            }
        }
        self.samples.retain(|_, run| !run.is_empty());
    }

    fn expire(&mut self, retention: &Retention, now: i64) {
        for (labels, run) in &mut self.samples {
            if let Keep::For(span) = retention.times_of(labels.as_ref()).raw {
                run.retain(|at, _| (at.div_euclid(DAY) + 1) * DAY > now - span.0);
            }
        }
        self.samples.retain(|_, run| !run.is_empty());
    }
}

/// Bucket start → count, numbers, and the bits of sum, min, max, first, last, increase.
type Buckets = BTreeMap<i64, (u32, u32, [u64; 6])>;

fn rolled(run: &Run, resolution: Resolution) -> Buckets {
    let width = resolution.millis();
    let mut samples: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at, bits) in run {
        samples.entry(at.div_euclid(width) * width).or_default().push(f64::from_bits(*bits));
    }
    let mut before: Option<(i64, f64)> = None;
    let mut buckets = Buckets::new();
    for (ts, values) in samples {
        let numbers: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        let all = lake::ChunkAggregates::of(&values);
        let mut increase = 0.0;
        let same_day = before.filter(|(at, _)| at.div_euclid(DAY) == ts.div_euclid(DAY)).map(|(_, value)| value);
        if let (Some(before), Some(&first)) = (same_day, numbers.first()) {
            increase = if first < before { first } else { first - before };
        }
        if let Some(&last) = numbers.last() {
            before = Some((ts, last));
        }
        let increase = increase + all.increase;
        let bits = [all.sum, all.min, all.max, all.first, all.last, increase].map(f64::to_bits);
        buckets.insert(ts, (values.len() as u32, numbers.len() as u32, bits));
    }
    buckets
}

fn read_rollups(bench: &Bench, resolution: Resolution, range: TimeRange) -> BTreeMap<Labels, Buckets> {
    let select = bench.store().selector();
    let set = select
        .rollups(resolution, &SelectRequest { matchers: &[], range, series_max: 0, order: SeriesOrder::Labels })
        .expect("selects");
    let mut found = BTreeMap::new();
    for i in 0..set.len() {
        let mut rows = Vec::new();
        set.read(i, &mut rows).expect("reads");
        let bucket = |row: series::Rollup| {
            let bits = [row.sum, row.min, row.max, row.first, row.last, row.increase].map(f64::to_bits);
            (row.ts, (row.count, row.numbers, bits))
        };
        let buckets: Buckets = rows.into_iter().map(bucket).collect();
        if !buckets.is_empty() {
            found.insert(set.labels(i).clone(), buckets);
        }
    }
    found
}

/// NaN payloads of sums and rises are the processor's; everything else is compared bit for bit.
fn normal(buckets: &mut Buckets) {
    for (_, _, bits) in buckets.values_mut() {
        for bits in bits.iter_mut().filter(|bits| f64::from_bits(**bits).is_nan()) {
            *bits = f64::NAN.to_bits();
        }
    }
}

struct Play {
    bench: Bench,
    cold: tempfile::TempDir,
    model: Model,
    retention: Retention,
    rollups: RollupTime,
}

impl Play {
    /// With roll-ups of every closed day.
    fn new(retention: Retention) -> Self {
        Self::rolling(retention, RollupTime::Daily)
    }

    fn rolling(retention: Retention, rollups: RollupTime) -> Self {
        let mut bench = Bench::new();
        let cold = tempfile::tempdir().expect("a folder");
        bench.reopen(options(retention.clone(), rollups, cold.path()));
        Self { bench, cold, model: Model::default(), retention, rollups }
    }

    fn now(&self) -> i64 {
        self.bench.now().0
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(samples) => {
                let mut batch = Batch::default();
                for (series, at, bits) in samples {
                    batch.begin_labels(&labels(series)).expect("small");
                    batch.push(Timestamp(at), f64::from_bits(bits));
                    self.model.samples.entry(labels(series)).or_default().insert(at, bits);
                }
                let answer = self.bench.append_own(batch);
                assert!(answer.rejected.is_empty(), "{answer:?}");
            }
            Step::Flush { merge } => drop(self.bench.store().flush(merge).expect("flushes")),
            Step::Delete { host, metric, from, hours } => {
                let matcher = match host {
                    Some(host) => Matcher::equal("host", format!("h{host}")),
                    None => Matcher::equal("__name__", format!("m{metric}")),
                };
                let range = TimeRange::new(Timestamp(NOW + from * HOUR), Timestamp(NOW + (from + hours) * HOUR));
                let selector = vec![vec![matcher]];
                self.bench.store().delete_series(&selector, range).expect("deletes");
                self.model.delete(&selector[0], range);
            }
            Step::Clean => drop(self.bench.store().clean_deleted().expect("cleans")),
            Step::Tidy => self.bench.store().tidy().expect("tidies"),
            Step::Clock(hours) => self.bench.set_now(Timestamp(self.now() + hours * HOUR)),
            Step::Reopen => self.bench.reopen(options(self.retention.clone(), self.rollups, self.cold.path())),
        }
    }

    fn check_samples(&self) -> Result<(), TestCaseError> {
        let expected: BTreeMap<_, Vec<_>> = (self.model.samples.iter())
            .map(|(labels, run)| (labels.clone(), run.iter().map(|(k, v)| (*k, *v)).collect()))
            .collect();
        let mut found = self.bench.read_all();
        found.retain(|_, run| !run.is_empty());
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn check_rollups(&self, range: TimeRange) -> Result<(), TestCaseError> {
        for resolution in Resolution::ALL {
            let mut found = read_rollups(&self.bench, resolution, range);
            let mut expected: BTreeMap<_, _> =
                (self.model.samples.iter()).map(|(labels, run)| (labels.clone(), rolled(run, resolution))).collect();
            for buckets in expected.values_mut() {
                buckets.retain(|ts, _| range.contains(Timestamp(*ts)));
            }
            expected.retain(|_, buckets| !buckets.is_empty());
            found.values_mut().chain(expected.values_mut()).for_each(normal);
            prop_assert_eq!(found, expected, "{:?}", resolution);
        }
        Ok(())
    }
}

fn parts() -> [TimeRange; 2] {
    [TimeRange::ALL, TimeRange::new(Timestamp(NOW - 30 * HOUR), Timestamp(NOW - 3 * HOUR))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_life_reads_like_a_map(steps in steps(true), daily: bool) {
        let rollups = if daily { RollupTime::Daily } else { RollupTime::BeforeExpiry };
        let mut play = Play::rolling(Retention::default(), rollups);
        for step in steps {
            play.step(step);
            play.check_samples()?;
            for range in parts() {
                play.check_rollups(range)?;
            }
        }
    }

}

proptest! {
    // Each step flushes, and a flush waits for the disk.
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn what_expires_goes_by_whole_days_and_by_rule(steps in steps(true)) {
        let days = |n| Keep::For(Millis::from_days(n));
        let times = KeepTimes { raw: days(3), ..KeepTimes::default() };
        let short = KeepTimes { raw: days(1), ..KeepTimes::default() };
        let rule = RetentionRule { matchers: vec![Matcher::equal("__name__", "m0")], times: short };
        let mut play = Play::new(Retention { times, rules: vec![rule] });
        for step in steps {
            play.step(step);
            play.bench.store().flush(false).expect("flushes");
            play.bench.store().tidy().expect("tidies");
            play.model.expire(&play.retention, play.now());
            play.check_samples()?;
        }
    }
}

fn one(series: u8, at: i64, value: f64) -> Step {
    Step::Append(vec![(series, at, value.to_bits())])
}

#[test]
fn a_bucket_that_begins_in_the_range_is_there_when_its_samples_come_after_the_ranges_end() {
    let mut play = Play::new(Retention::default());
    let hour = NOW.div_euclid(HOUR) * HOUR;
    play.step(one(0, hour + 50 * 60_000, 1.0));
    play.check_rollups(TimeRange::new(Timestamp(hour - HOUR), Timestamp(hour + 60_000))).expect("equal");
}

#[test]
fn roll_ups_outlive_their_samples_and_late_ones_do_not_spoil_them() {
    for rollups in [RollupTime::Daily, RollupTime::BeforeExpiry] {
        outlive(rollups);
    }
}

fn outlive(rollups: RollupTime) {
    let times = KeepTimes { raw: Keep::For(Millis::from_days(2)), ..KeepTimes::default() };
    let mut play = Play::rolling(Retention { times, rules: Vec::new() }, rollups);
    let old = (NOW.div_euclid(DAY) - 1) * DAY;
    for minute in 0..30 {
        play.step(one(0, old + minute * 60_000, minute as f64));
    }
    play.step(Step::Flush { merge: false });
    let before = read_rollups(&play.bench, Resolution::FiveMinutes, TimeRange::ALL);
    assert_eq!(before[&labels(0)].len(), 6);

    play.step(Step::Clock(24));
    play.bench.store().flush(true).expect("merges");
    let written = if rollups == RollupTime::Daily { 2 } else { 0 };
    assert_eq!(play.bench.store().stats().rollup_files, written, "{rollups:?}");
    play.step(Step::Clock(48));
    play.step(Step::Tidy);
    assert!(play.bench.read_all().values().all(Vec::is_empty), "the samples are gone");
    assert_eq!(read_rollups(&play.bench, Resolution::FiveMinutes, TimeRange::ALL), before);

    play.step(one(0, old, 1000.0));
    for step in [Step::Flush { merge: false }, Step::Tidy, Step::Reopen] {
        play.step(step);
        assert_eq!(read_rollups(&play.bench, Resolution::FiveMinutes, TimeRange::ALL), before);
    }
    let stats = play.bench.store().stats();
    assert_eq!((stats.files, stats.rollup_files, stats.file_samples), (0, 2, 0));

    play.step(Step::Delete { host: Some(0), metric: 0, from: -100, hours: 200 });
    assert!(read_rollups(&play.bench, Resolution::Hour, TimeRange::ALL).is_empty());
    play.step(Step::Clean);
    let stats = play.bench.store().stats();
    assert_eq!((stats.rollup_files, stats.tombstones), (0, 0));
}

#[test]
fn deletions_survive_a_restart_and_leave_the_files_when_cleaned() {
    let mut play = Play::new(Retention::default());
    play.step(Step::Append((0..100).map(|i| (1, NOW + i * 1000, 1.0_f64.to_bits())).collect()));
    play.step(Step::Append((0..100).map(|i| (2, NOW + i * 1000, 2.0_f64.to_bits())).collect()));
    play.step(Step::Delete { host: Some(1), metric: 0, from: -1, hours: 2 });
    play.step(one(1, NOW + 5000, 7.0));
    for _ in 0..2 {
        play.check_samples().expect("equal");
        play.step(Step::Reopen);
    }
    assert_eq!(play.bench.store().stats().tombstones, 1);
    play.step(Step::Flush { merge: true });
    play.step(Step::Clean);
    play.check_samples().expect("equal");
    let stats = play.bench.store().stats();
    assert_eq!((stats.tombstones, stats.file_samples, stats.files), (0, 101, 1));
}

#[test]
fn many_flushes_of_a_day_become_few_files_without_being_asked() {
    let mut play = Play::new(Retention::default());
    for round in 0..40 {
        play.step(one(0, NOW + round, round as f64));
        play.step(Step::Flush { merge: false });
        play.step(Step::Tidy);
        assert!(play.bench.store().stats().files < 16);
    }
    play.step(Step::Clock(48));
    play.step(Step::Tidy);
    let stats = play.bench.store().stats();
    assert_eq!((stats.files, stats.rollup_files), (1, 2), "a closed day is one file with its roll-ups");
    play.check_samples().expect("equal");
}

#[test]
fn odd_names_and_returning_series_keep_their_samples() {
    let mut play = Play::new(Retention::default());
    let odd = Labels::from_pairs([("__name__", "temp °C/min"), ("straße \"1\"", "a\\b\u{1f680}")]).expect("valid");
    for (round, bits) in
        [0x7ff8_0000_dead_beef_u64, (-0.0_f64).to_bits(), 1, f64::MAX.to_bits()].into_iter().enumerate()
    {
        let at = NOW + round as i64 * 20 * DAY;
        let mut batch = Batch::default();
        batch.begin_labels(&odd).expect("small");
        batch.push(Timestamp(at), f64::from_bits(bits));
        play.bench.append(batch);
        play.model.samples.entry(odd.clone()).or_default().insert(at, bits);
        for step in [Step::Flush { merge: round % 2 == 0 }, Step::Clock(20 * 24), Step::Tidy, Step::Reopen] {
            play.step(step);
            play.check_samples().expect("equal");
            play.check_rollups(TimeRange::ALL).expect("equal");
        }
    }
}

#[test]
fn a_sender_is_told_that_a_sample_is_older_than_anything_is_kept() {
    let times = KeepTimes { raw: Keep::For(Millis::from_days(2)), ..KeepTimes::default() };
    let play = Play::new(Retention { times, rules: Vec::new() });
    let mut batch = Batch::default();
    for at in [NOW - 4 * DAY, NOW] {
        batch.begin_labels(&labels(0)).expect("small");
        batch.push(Timestamp(at), 1.0);
    }
    let answer = play.bench.append(batch);
    assert_eq!((answer.samples, answer.rejected.len()), (1, 1));
    assert_eq!(answer.rejected[0].reason.to_string(), "older than the retention of 2d");
}

#[test]
fn old_files_move_away_and_come_back_when_they_are_used() {
    let mut play = Play::new(Retention::default());
    let parquet = |folder: &Path| {
        let mut folders = vec![folder.join("default/chunks")];
        let mut found = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() && entry.file_name() != "_delta_log" {
                    folders.push(entry.path());
                }
                found += usize::from(entry.path().extension().is_some_and(|end| end == "parquet"));
            }
        }
        found
    };
    for i in 0..10 {
        play.step(one(1, NOW + i * 1000, i as f64));
    }
    play.step(Step::Flush { merge: false });
    play.step(Step::Clock(72));
    play.step(Step::Tidy);
    assert_eq!((parquet(play.bench.root()), parquet(play.cold.path())), (0, 1));
    for _ in 0..3 {
        play.check_samples().expect("equal");
    }
    let stats = play.bench.store().stats();
    assert_eq!((stats.far_files, stats.moved_away, stats.cache.hits, stats.cache.misses), (1, 1, 2, 1));
    play.step(Step::Tidy);
    assert_eq!((parquet(play.bench.root()), parquet(play.cold.path())), (1, 0), "three queries brought it back");
    play.step(Step::Clock(1));
    play.step(Step::Tidy);
    assert_eq!(parquet(play.cold.path()), 0, "it stays for a while");
    play.step(Step::Clock(2));
    for step in [Step::Tidy, Step::Reopen] {
        play.step(step);
        play.check_samples().expect("equal");
        assert_eq!((parquet(play.bench.root()), parquet(play.cold.path())), (0, 1));
    }
    play.step(one(2, NOW, 1.0));
    play.step(Step::Flush { merge: true });
    play.check_samples().expect("equal");
    assert_eq!((parquet(play.bench.root()), parquet(play.cold.path())), (1, 0), "merged with a late sample");
}

#[test]
fn series_of_which_nothing_is_left_are_forgotten_and_can_come_back() {
    let times = KeepTimes { raw: Keep::For(Millis::from_days(1)), rollup_5m: days(1), rollup_1h: days(1) };
    let mut play = Play::new(Retention { times, rules: Vec::new() });
    for series in 0..40 {
        play.step(one(series, NOW + i64::from(series), 1.0));
        play.step(Step::Flush { merge: false });
        play.step(Step::Tidy);
    }
    let stats = play.bench.store().stats();
    assert!(stats.described_series == 40 && stats.series_files < 16, "{stats:?}");
    play.step(Step::Clock(24 * 4));
    play.step(one(7, NOW + 4 * DAY, 2.0));
    play.step(Step::Tidy);
    play.step(Step::Reopen);
    assert_eq!(play.bench.store().stats().described_series, 1, "all but the one that came back");
    play.step(one(8, NOW + 4 * DAY, 3.0));
    play.model.expire(&play.retention, play.now());
    for step in [Step::Flush { merge: false }, Step::Reopen, Step::Tidy] {
        play.step(step);
        play.check_samples().expect("equal");
    }
    assert_eq!(play.bench.store().stats().described_series, 2);
}

fn days(n: i64) -> Keep {
    Keep::For(Millis::from_days(n))
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_crash_between_the_commits_of_a_pass_harms_nothing() {
    let mut play = Play::new(Retention::default());
    for round in 0..3 {
        let samples = (0..50).map(|i| (i % 5, NOW + i64::from(i) * 60_000 + round, f64::from(i).to_bits()));
        play.step(Step::Append(samples.collect()));
        play.step(Step::Flush { merge: false });
    }
    play.step(Step::Delete { host: Some(3), metric: 0, from: -1, hours: 3 });
    play.step(Step::Clock(72));
    // Roll-ups are committed first. What a crash before the second commit leaves is the old chunks beside new roll-ups.
    let before = tempfile::tempdir().expect("a folder");
    let chunks = play.bench.root().join("default/chunks");
    copy_all(&chunks, before.path());
    play.bench.store().flush(true).expect("merges");
    assert_eq!((play.bench.store().stats().files, play.bench.store().stats().rollup_files), (1, 2));
    play.bench.close();
    std::fs::remove_dir_all(&chunks).expect("removed");
    copy_all(before.path(), &chunks);
    for step in [Step::Reopen, Step::Clean, Step::Tidy, Step::Reopen] {
        play.step(step);
        play.check_samples().expect("equal");
        play.check_rollups(TimeRange::ALL).expect("equal");
    }
    let stats = play.bench.store().stats();
    assert_eq!((stats.files, stats.rollup_files, stats.tombstones), (1, 2, 0));
}

/// Tells the other threads to end, also when this one panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn appends_flushes_passes_and_reads_at_once_lose_nothing() {
    const BATCHES: i64 = 200;
    let mut play = Play::new(Retention::default());
    let at = |i: i64| NOW - DAY + i * 311_000;
    let batches: Vec<Vec<(u8, i64, u64)>> = (0..BATCHES)
        .map(|n| (0..20).map(|i| ((i % 5) as u8, at(n * 3 + i), (n as f64 + 0.5).to_bits())).collect())
        .collect();
    let done = AtomicBool::new(false);
    let is_done = || done.load(Ordering::SeqCst);
    let bench = &play.bench;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done() {
                bench.store().flush(false).expect("flushes");
            }
        });
        scope.spawn(|| {
            while !is_done() {
                bench.store().tidy().expect("tidies");
                bench.store().flush(true).expect("merges");
            }
        });
        scope.spawn(|| {
            let mut before = 0;
            while !is_done() {
                let now: usize = bench.read_all().values().map(Vec::len).sum();
                assert!(now >= before, "{now} samples after {before}");
                before = now;
            }
        });
        let _end = End(&done);
        for samples in &batches {
            let mut batch = Batch::default();
            for (series, at, bits) in samples {
                batch.begin_labels(&labels(*series)).expect("small");
                batch.push(Timestamp(*at), f64::from_bits(*bits));
            }
            bench.append_own(batch);
        }
    });
    for (series, at, bits) in batches.into_iter().flatten() {
        play.model.samples.entry(labels(series)).or_default().insert(at, bits);
    }
    for step in [Step::Tidy, Step::Reopen] {
        play.step(step);
        play.check_samples().expect("equal");
        play.check_rollups(TimeRange::ALL).expect("equal");
    }
}

#[test]
fn roll_ups_that_are_not_wanted_are_made_from_samples_when_asked_for() {
    let times = KeepTimes { rollup_5m: Keep::Never, ..KeepTimes::default() };
    let mut play = Play::new(Retention { times, rules: Vec::new() });
    for i in 0..20 {
        play.step(one(1, NOW + i * 60_000, i as f64));
    }
    for step in [Step::Flush { merge: false }, Step::Clock(72), Step::Tidy, Step::Tidy, Step::Reopen] {
        play.step(step);
        play.check_rollups(TimeRange::ALL).expect("equal");
    }
    assert_eq!(play.bench.store().stats().rollup_files, 1, "the hourly ones");
}

#[test]
fn a_rule_refuses_what_it_would_drop_at_once() {
    let day = Millis::from_days(1);
    let rule = RetentionRule {
        matchers: vec![Matcher::equal("host", "h0")],
        times: KeepTimes { raw: Keep::For(day), ..KeepTimes::default() },
    };
    let play = Play::new(Retention { times: KeepTimes::default(), rules: vec![rule] });
    let mut batch = Batch::default();
    let all = (0..6_u8).map(labels).collect::<Vec<_>>();
    for labels in &all {
        batch.begin_labels(labels).expect("small");
        batch.push(Timestamp(NOW - 3 * DAY), 1.0);
    }
    let ruled = all.iter().filter(|labels| labels.get("host") == Some("h0")).count() as u64;
    let answer = play.bench.append(batch);
    assert!(ruled > 0 && ruled < 6, "{ruled}");
    assert_eq!((answer.rejected.len(), answer.rejected[0].samples), (1, ruled));
    assert_eq!(answer.rejected[0].reason, series::RejectionReason::Expired { keep: day });
}
