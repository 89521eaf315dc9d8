//! R18: the same samples in any order, cut into any batches, with repeats, flushes and restarts in between, give the same
//! answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Batch, Columns, Labels, Millis, SelectRequest, SeriesOrder, SystemClock, TimeRange, Timestamp};
use store::{DataFolder, FileIds, Store, StoreOptions};

use crate::ledger::{Random, start_of_time, value_at};
use crate::machine;
use crate::plan::{Outcome, Plan};

/// Samples of a case at most.
const SAMPLES: u64 = 120;
const SERIES: u64 = 5;

struct Counting(AtomicU64);

impl FileIds for Counting {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
    }
}

/// One sample: series and time; its value follows from both.
type Sample = (u64, i64);

/// Runs `plan.count` cases.
pub fn run(plan: &Plan) -> Outcome {
    let folder = machine::quick_folder();
    let mut random = Random::new(plan.seed, "order");
    let ids = Arc::new(Counting(AtomicU64::new(1)));
    let mut samples = 0;
    for case in 0..plan.count {
        let seed = random.bits();
        samples += one_case(&folder.path().join(case.to_string()), seed, &ids);
    }
    Outcome::Passed(format!("{} cases with {samples} samples: the same answers in every order", plan.count))
}

fn one_case(data: &Path, seed: u64, ids: &Arc<Counting>) -> u64 {
    let mut random = Random::new(seed, "case");
    let start = start_of_time().0;
    let mut samples: Vec<Sample> = (0..random.between(1, SAMPLES))
        .map(|_| (random.between(0, SERIES - 1), start + random.between(0, 8_600) as i64 * 7_919))
        .collect();
    let mut model: BTreeMap<Sample, u64> = BTreeMap::new();
    for &(series, at) in &samples {
        model.insert((series, at), value_at(seed, series, at).to_bits());
    }
    // Repeats, then any order.
    for _ in 0..samples.len() / 4 {
        samples.push(samples[random.between(0, samples.len() as u64 - 1) as usize]);
    }
    for i in (1..samples.len()).rev() {
        samples.swap(i, random.between(0, i as u64) as usize);
    }
    let open = || {
        let folder = DataFolder::open(data).expect("opens");
        let forever = Millis::from_days(100);
        let options = StoreOptions { ooo_window: forever, ..StoreOptions::default() };
        let ids = Arc::clone(ids) as Arc<dyn FileIds>;
        (Store::open(&folder, options, Arc::new(SystemClock), ids).expect("opens").0, folder)
    };
    let mut now = open();
    let mut rest = samples.as_slice();
    while !rest.is_empty() {
        let (these, later) = rest.split_at(random.between(1, rest.len().min(30) as u64) as usize);
        rest = later;
        now.0.appender().append_wait(batch_of(seed, these)).expect("acknowledged");
        match random.between(0, 11) {
            0 => drop(now.0.flush(false).expect("flushed")),
            1 => drop(now.0.flush(true).expect("merged")),
            2 => {
                drop(now);
                now = open();
            }
            _ => {}
        }
    }
    assert_eq!(read(&now.0), model, "seed {seed}");
    drop(now);
    // A leftover is no fault of the store.
    let _ = std::fs::remove_dir_all(data);
    samples.len() as u64
}

fn batch_of(seed: u64, samples: &[Sample]) -> Batch {
    let mut by_series: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for &(series, at) in samples {
        by_series.entry(series).or_default().push(at);
    }
    let mut batch = Batch::default();
    for (series, times) in by_series {
        let labels = Labels::from_pairs([("__name__", "order".to_owned()), ("s", series.to_string())]).expect("valid");
        batch.begin_labels(&labels).expect("small");
        for at in times {
            batch.push(Timestamp(at), value_at(seed, series, at));
        }
    }
    batch
}

fn read(store: &Store) -> BTreeMap<Sample, u64> {
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    let set = store.selector().select(&request).expect("selected");
    let mut found = BTreeMap::new();
    for i in 0..set.len() {
        let series = set.labels(i).get("s").and_then(|text| text.parse().ok()).expect("its number");
        let mut columns = Columns::default();
        set.read(i, TimeRange::ALL, &mut columns).expect("read");
        for (at, value) in columns.iter() {
            assert!(found.insert((series, at.0), value.to_bits()).is_none(), "series {series} at {at} comes twice");
        }
    }
    found
}
