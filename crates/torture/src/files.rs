//! R4: data files and commits of the tables flipped, shortened, zeroed, swapped. A store that opens answers truly or not
//! at all.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use series::{Batch, Columns, Labels, SelectRequest, SeriesOrder, SystemClock, TimeRange, Timestamp};
use store::{DataFolder, FileIds, Store, StoreOptions};

use crate::ledger::{Random, start_of_time, value_at};
use crate::machine;
use crate::plan::{Outcome, Plan};

const SERIES: u64 = 12;
const FLUSHES: u64 = 4;
const SAMPLES: i64 = 40;
const PAGE: usize = 4096;

/// Samples by series: time and bits.
type Model = BTreeMap<Labels, Vec<(i64, u64)>>;

struct Counting(AtomicU64);

impl FileIds for Counting {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id())
    }
}

/// What damage led to.
#[derive(Debug, Default)]
struct Tally {
    refused_start: u64,
    refused_query: u64,
    named_by_log: u64,
    harmless: u64,
}

/// Damages `plan.count` copies of a folder.
pub fn run(plan: &Plan) -> Outcome {
    let folder = machine::quick_folder();
    let mut random = Random::new(plan.seed, "files");
    let (sound, copy) = (folder.path().join("sound"), folder.path().join("copy"));
    let model = written(plan.seed, &sound);
    let files = files_below(&sound.join("default"));
    assert_eq!(read(&sound), Ok((model.clone(), 0)), "the sound folder answers");
    let mut tally = Tally::default();
    for round in 0..plan.count {
        let victim = &files[random.between(0, files.len() as u64 - 1) as usize];
        let other = &files[random.between(0, files.len() as u64 - 1) as usize];
        let _ = fs::remove_dir_all(&copy);
        copy_all(&sound, &copy);
        let what = damage(&copy.join(victim), &sound.join(other), &mut random);
        let what = format!("round {round}, {} {what}", victim.display());
        judge(&copy, &model, &what, &mut tally);
    }
    let Tally { refused_start, refused_query, named_by_log, harmless } = tally;
    Outcome::Passed(format!(
        "{} damaged folders: 0 wrong answers, 0 panics ({refused_query} refused by queries, {refused_start} at the start, {named_by_log} told by the log, {harmless} without effect)",
        plan.count
    ))
}

fn judge(copy: &Path, model: &Model, what: &str, tally: &mut Tally) {
    let answer = catch_unwind(AssertUnwindSafe(|| read(copy)));
    match answer.unwrap_or_else(|_| panic!("{what}: panicked")) {
        Ok((found, 0)) => {
            assert!(found == *model, "{what}: a wrong answer");
            tally.harmless += 1;
        }
        // Without its newest commit a table is an older one; the log says that it goes on from a later position.
        Ok((found, _)) => {
            let is_part = found.iter().all(|(labels, samples)| {
                model.get(labels).is_some_and(|all| samples.iter().all(|sample| all.contains(sample)))
            });
            assert!(is_part, "{what}: an invention");
            tally.named_by_log += 1;
        }
        Err(Refusal::Start(why)) => {
            assert!(why.contains("default/"), "{what}: the start does not name the file: {why}");
            tally.refused_start += 1;
        }
        Err(Refusal::Query(why)) => {
            assert!(why.contains("default/"), "{what}: the query does not name the file: {why}");
            tally.refused_query += 1;
        }
    }
}

/// Spoils one file; what was done.
fn damage(victim: &Path, other: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(victim).expect("read");
    let at = random.between(0, bytes.len() as u64 - 1) as usize;
    let what = match random.between(0, 9) {
        0..=5 => {
            bytes[at] ^= 1 << random.between(0, 7);
            format!("flipped at {at}")
        }
        6 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        7 => {
            let end = (at + PAGE).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeroed from {at}")
        }
        8 => {
            bytes = fs::read(other).expect("read");
            format!("replaced by {}", other.display())
        }
        _ => {
            fs::remove_file(victim).expect("removed");
            return "removed".to_owned();
        }
    };
    fs::write(victim, bytes).expect("written");
    what
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Start(String),
    Query(String),
}

fn open(data: &Path) -> Result<(Store, DataFolder, u64), store::StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let folder = DataFolder::open(data)?;
    let ids = Arc::new(Counting(AtomicU64::new(NEXT.fetch_add(1 << 20, Ordering::Relaxed))));
    let (store, report) = Store::open(&folder, StoreOptions::default(), Arc::new(SystemClock), ids)?;
    Ok((store, folder, report.log.missing))
}

/// Everything, and how many records the log says are missing.
fn read(data: &Path) -> Result<(Model, u64), Refusal> {
    let (store, _folder, missing) = open(data).map_err(|err| Refusal::Start(err.to_string()))?;
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
    let refused = |err: series::SelectError| Refusal::Query(err.to_string());
    let set = store.selector().select(&request).map_err(refused)?;
    let mut found = Model::new();
    for i in 0..set.len() {
        let mut columns = Columns::default();
        set.read(i, TimeRange::ALL, &mut columns).map_err(refused)?;
        found.insert(set.labels(i).clone(), columns.iter().map(|(at, value)| (at.0, value.to_bits())).collect());
    }
    Ok((found, missing))
}

/// A folder with several files of two tables, and a little in the log.
fn written(seed: u64, data: &Path) -> Model {
    let (store, _folder, _) = open(data).expect("opens");
    let start = start_of_time().0;
    let mut model = Model::new();
    for flush in 0..=FLUSHES {
        let mut batch = Batch::default();
        for series in 0..SERIES {
            // New series come with every flush, so that the series table has several files as well.
            let name = format!("torture_{}", series % 3);
            let pairs = [("__name__", name), ("s", format!("{}", series + SERIES * (flush / 2)))];
            let labels = Labels::from_pairs(pairs).expect("valid");
            batch.begin_labels(&labels).expect("small");
            let samples = model.entry(labels).or_default();
            for i in 0..SAMPLES {
                let at = start + (flush as i64 * SAMPLES + i) * 15_000;
                let value = value_at(seed, series, at);
                batch.push(Timestamp(at), value);
                samples.push((at, value.to_bits()));
            }
        }
        store.appender().append_wait(batch).expect("acknowledged");
        if flush < FLUSHES {
            store.flush(flush == 1).expect("flushed");
        }
    }
    model
}

/// Files below `folder`, relative to its parent, sorted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let root = folder.parent().expect("it lies in a folder").to_owned();
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::metadata(&path).is_ok_and(|about| about.len() > 0) {
                found.push(path.strip_prefix(&root).expect("below").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Copies everything below `from` to `to`.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let path = entry.expect("entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_all(&path, &target);
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}
