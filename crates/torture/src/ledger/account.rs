//! Comparing what the store has with what was acknowledged.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use series::is_stale;

use super::sender::Sender;
use super::values::value_at;
use crate::{http, stored};

/// Examples printed of each kind of fault.
const EXAMPLES: usize = 5;

/// Series, time and bits of a sample.
type Stored = (u64, i64, u64);

/// Running account over all checks.
pub struct Account {
    seed: u64,
    acknowledged: usize,
    unacknowledged: usize,
    checks: usize,
}

/// What is wrong with the stored samples of one sender.
#[derive(Debug, Default)]
struct Faults {
    lost: Vec<String>,
    doubled: Vec<String>,
    altered: Vec<String>,
    invented: Vec<String>,
}

impl Account {
    /// An account of a run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, acknowledged: 0, unacknowledged: 0, checks: 0 }
    }

    /// Samples acknowledged, as of the last check.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Reads everything back by SQL and holds it against the ledgers. SQL shows no stale markers: they measure nothing.
    pub fn settle_by_sql(&mut self, address: &str, senders: &[Sender], when: &str, log: impl Fn() -> String) {
        self.settle(
            senders,
            when,
            |sender| by_sql(address, &sender.metric()),
            |bits| !is_stale(f64::from_bits(bits)),
            || tail(&log()),
        );
    }

    /// Reads everything back, stale markers too, from the folder of a server that was killed.
    pub fn settle_by_store(&mut self, data: &Path, senders: &[Sender], when: &str) {
        self.settle(senders, when, |sender| by_store(data, &sender.metric()), |_| true, String::new);
    }

    fn settle(
        &mut self,
        senders: &[Sender],
        when: &str,
        read: impl Fn(&Sender) -> Vec<Stored>,
        is_shown: impl Fn(u64) -> bool,
        log: impl Fn() -> String,
    ) {
        (self.acknowledged, self.unacknowledged) = (0, 0);
        for sender in senders {
            let stored = read(sender);
            let (faults, n_acknowledged, n_stored) = self.compare(sender, &stored, &is_shown);
            self.acknowledged += n_acknowledged;
            self.unacknowledged += n_stored - n_acknowledged.min(n_stored);
            assert!(faults.is_none(), "{when}, sender {}: {faults}\nlog:\n{}", sender.id(), log());
        }
        self.checks += 1;
        eprintln!("R1: {when}: {self}");
    }

    fn compare(&self, sender: &Sender, stored: &[Stored], is_shown: impl Fn(u64) -> bool) -> (Faults, usize, usize) {
        let (mut faults, mut found) = (Faults::default(), HashMap::with_capacity(stored.len()));
        for &(series, at, bits) in stored {
            let expected = value_at(self.seed, sender.global(series), at).to_bits();
            if !sender.has_sent(series, at) {
                faults.invented.push(format!("series {series} at {at}: {bits:016x}"));
            } else if bits != expected {
                faults.altered.push(format!("series {series} at {at}: {bits:016x} instead of {expected:016x}"));
            }
            if found.insert((series, at), bits).is_some() {
                faults.doubled.push(format!("series {series} at {at}"));
            }
        }
        let entries = sender.acknowledged().into_iter().filter(|entry| is_shown(entry.bits));
        let mut acknowledged: Vec<Stored> = entries.map(|entry| (entry.series, entry.at, entry.bits)).collect();
        acknowledged.sort_unstable();
        acknowledged.dedup();
        for (series, at, bits) in &acknowledged {
            if !found.contains_key(&(*series, *at)) {
                faults.lost.push(format!("series {series} at {at}: {bits:016x}"));
            }
        }
        (faults, acknowledged.len(), found.len())
    }

    /// The same by the other door: raw samples as PromQL gives them, which leaves stale markers out.
    pub fn settle_by_promql(&self, address: &str, senders: &[Sender]) {
        for sender in senders {
            let mut found = by_promql(address, sender);
            for entry in sender.acknowledged() {
                let (value, stored) = (f64::from_bits(entry.bits), found.remove(&(entry.series, entry.at)));
                let is_same = stored.map_or(is_stale(value), |stored| {
                    stored.to_bits() == entry.bits || (stored.is_nan() && value.is_nan() && !is_stale(value))
                });
                // A repeat is acknowledged twice and found once.
                let place = format!("sender {} series {} at {}", sender.id(), entry.series, entry.at);
                assert!(is_same, "{place}: {stored:?} instead of {value:?} ({:016x})", entry.bits);
                if let Some(stored) = stored {
                    found.insert((entry.series, entry.at), stored);
                }
            }
        }
    }
}

impl Faults {
    fn is_none(&self) -> bool {
        [&self.lost, &self.doubled, &self.altered, &self.invented].iter().all(|list| list.is_empty())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("altered", &self.altered),
            ("invented", &self.invented),
        ];
        for (kind, list) in kinds {
            let examples: Vec<_> = list.iter().take(EXAMPLES).map(String::as_str).collect();
            writeln!(f, "{} {kind}: {}", list.len(), examples.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, unacknowledged, checks, .. } = self;
        write!(f, "{acknowledged} acknowledged samples, 0 lost, 0 doubled, 0 altered ")?;
        write!(f, "({unacknowledged} more stored whose answer was cut off; {checks} checks)")
    }
}

/// All stored samples of a metric, as Parquet, because text has no NaN payloads.
fn by_sql(address: &str, metric: &str) -> Vec<Stored> {
    let statement = format!("SELECT metric, labels, ts, value FROM samples WHERE metric = '{metric}'");
    let file = http::get(address, &http::target("/api/sql", &[("q", &statement), ("format", "parquet")])).ok().body;
    let mut stored = Vec::new();
    let read = sql::read_samples(file.into(), |batch| {
        for series in batch.iter() {
            let labels = series.labels.to_owned();
            let number = labels.get("s").and_then(|text| text.parse().ok()).ok_or("a series without its number")?;
            let samples = series.timestamps.iter().zip(series.values);
            stored.extend(samples.map(|(&at, &value)| (number, at, value.to_bits())));
        }
        Ok(())
    });
    read.unwrap_or_else(|err| panic!("read the answer: {err}"));
    stored
}

fn by_store(data: &Path, metric: &str) -> Vec<Stored> {
    let mut found = Vec::new();
    for (labels, columns) in stored::read_all(data, metric) {
        let number = labels.get("s").and_then(|text| text.parse().ok()).expect("a series has its number");
        found.extend(columns.iter().map(|(at, value)| (number, at.0, value.to_bits())));
    }
    found
}

fn by_promql(address: &str, sender: &Sender) -> HashMap<(u64, i64), f64> {
    let times = sender.sent().values();
    let Some(last) = times.filter_map(|times| times.last()).max() else { return HashMap::new() };
    let (query, at) = (format!("{}[1d]", sender.metric()), format!("{}.{:03}", last / 1000, last % 1000));
    let answer = http::get(address, &http::target("/api/v1/query", &[("query", &query), ("time", &at)])).ok().json();
    let mut found = HashMap::new();
    for item in answer["data"]["result"].as_array().expect("a matrix") {
        let series = item["metric"]["s"].as_str().and_then(|text| text.parse().ok()).expect("a series has its number");
        for point in item["values"].as_array().expect("values") {
            let at = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
            let value = point[1].as_str().and_then(|text| text.parse().ok()).expect("a value");
            assert!(found.insert((series, at), value).is_none(), "series {series} at {at} is doubled");
        }
    }
    found
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[test]
fn values_differ_between_series_and_cover_the_odd_ones() {
    let values: Vec<f64> = (0..2000).map(|at| value_at(1, 7, at)).collect();
    let kinds: std::collections::BTreeMap<&str, usize> =
        values.iter().fold(std::collections::BTreeMap::new(), |mut kinds, value| {
            let kind = match value {
                v if is_stale(*v) => "stale",
                v if v.is_nan() => "nan",
                v if v.is_infinite() => "infinite",
                v if v.to_bits() == (-0.0_f64).to_bits() => "minus zero",
                v if v.is_subnormal() => "subnormal",
                _ => "plain",
            };
            *kinds.entry(kind).or_default() += 1;
            kinds
        });
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    assert!((0..2000).any(|at| value_at(1, 8, at).to_bits() != values[at as usize].to_bits()));
}
