//! Standing queries over a real store: nothing is lost to a restart, a full queue or a wrong clock.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use series::{Batch, Columns, ManualClock, MatchOp, Matcher, Millis, SelectRequest, SeriesOrder, TimeRange, Timestamp};

use crate::engine::Engine;
use crate::settings::{Settings, StreamSettings};

const QUERIES: &str = r#"
streams:
  - name: narrow
    selector: load{host="a"}
    value: gauge
    window: 2m
    slide: 1m
    operators: [mean, count]
  - name: wide
    selector: load
    by: [host]
    value: gauge
    window: 5m
    slide: 1m
    lateness: 30s
    operators: [percentiles: [0.5, 0.99], count, anomaly: { sensitivity: high }]
  - name: silent
    selector: nothing
    value: gauge
    window: 5m
    slide: 1m
    operators: [mean]
"#;
const PATIENCE: Duration = Duration::from_secs(60);
const NOW: Timestamp = Timestamp(1_763_726_400_000);

/// Results by series and time, as bits.
type Results = BTreeMap<(String, i64), u64>;

/// An engine on a folder, at [`NOW`].
struct Bench {
    engine: Engine,
    _runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn open(folder: &Path) -> Self {
        let queries = folder.join("queries.yaml");
        std::fs::write(&queries, QUERIES).expect("writable");
        let streams = StreamSettings { starters: false, files: vec![queries], ..StreamSettings::default() };
        let settings = Settings { streams, ..Settings::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let clock = Arc::new(ManualClock::new(NOW));
        let (engine, _) =
            Engine::open(&folder.join("data"), settings, clock, runtime.handle().clone()).expect("a new folder");
        Self { engine, _runtime: runtime }
    }

    fn started(folder: &Path) -> Self {
        let mut bench = Self::open(folder);
        bench.engine.start_streams().expect("valid queries");
        bench
    }

    fn send(&self, minutes: std::ops::Range<i64>) {
        minutes.for_each(|minute| drop(self.engine.appender().append_wait(load(minute)).expect("written")));
    }

    /// Everything said so far, after all that was sent is worked on.
    fn results(&self) -> Results {
        assert!(self.engine.drain_streams(PATIENCE), "the standing queries did not catch up");
        let matchers = [Matcher::new("__name__", MatchOp::Regex, "foretide_stream_.+").expect("valid")];
        let request =
            SelectRequest { matchers: &matchers, range: TimeRange::ALL, series_max: 0, order: SeriesOrder::Labels };
        let set = self.engine.core().store.selector().select(&request).expect("readable");
        let mut results = Results::new();
        for i in 0..set.len() {
            let mut columns = Columns::default();
            set.read(i, TimeRange::ALL, &mut columns).expect("readable");
            let said = columns.iter().map(|(at, value)| ((set.labels(i).to_string(), at.0), value.to_bits()));
            results.extend(said);
        }
        results
    }
}

/// A minute of two hosts, a sample every fifteen seconds; the one an hour before [`NOW`] is the first.
fn load(minute: i64) -> Batch {
    let mut batch = Batch::default();
    for (i, host) in ["a", "b"].into_iter().enumerate() {
        batch.begin([("__name__", "load"), ("host", host)]).expect("small");
        for k in 0..4 {
            let at = NOW - Millis::from_hours(1) + Millis(minute * 60_000 + k * 15_000 + i as i64);
            batch.push(at, ((minute * 4 + k) * 37 % 101) as f64 + i as f64);
        }
    }
    batch
}

/// What is said when nothing goes wrong.
fn undisturbed() -> Results {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::started(folder.path());
    bench.send(0..60);
    let results = bench.results();
    bench.engine.close();
    assert!(results.len() > 55 * 8, "{}", results.len());
    results
}

fn assert_same(found: &Results, expected: &Results) {
    let missing: Vec<_> = expected.iter().filter(|(key, value)| found.get(*key) != Some(*value)).take(5).collect();
    assert!(missing.is_empty(), "missing or different: {missing:?}");
    assert_eq!(found.len(), expected.len());
}

#[test]
fn a_restart_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::started(folder.path());
    bench.send(0..25);
    bench.results();
    // Acknowledged, but still queued when the process ends.
    let unseen = bench.engine.core().store.appender();
    (25..40).for_each(|minute| drop(unseen.append_wait(load(minute)).expect("written")));
    bench.engine.close();
    let bench = Bench::started(folder.path());
    bench.send(40..60);
    assert_same(&bench.results(), &undisturbed());
    bench.engine.close();
}

#[test]
fn a_first_start_and_a_full_queue_read_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::open(folder.path());
    // Queued before anybody listens, in parts small enough and sent often enough to overflow the queue.
    for minute in (0..60).chain(0..60).chain(0..60) {
        let whole = load(minute);
        for (i, k) in (0..2).flat_map(|i| (0..4).map(move |k| (i, k))) {
            let (series, mut part) = (whole.series(i), Batch::default());
            part.begin_labels(&series.labels.to_owned()).expect("small");
            part.push(Timestamp(series.timestamps[k]), series.values[k]);
            bench.engine.appender().append_wait(part).expect("written");
        }
    }
    assert!(bench.engine.tee.overflows() > 0);
    bench.engine.start_streams().expect("valid queries");
    assert_same(&bench.results(), &undisturbed());
    bench.engine.close();
}

#[test]
fn times_that_the_store_refuses_neither_hang_the_queries_nor_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::started(folder.path());
    bench.send(0..30);
    for at in [i64::MIN, i64::MAX - 1] {
        let mut batch = load(30);
        batch.begin([("__name__", "load"), ("host", "wrong")]).expect("small");
        batch.push(Timestamp(at), 1.0);
        let appended = bench.engine.appender().append_wait(batch).expect("written");
        assert_eq!(appended.rejected.len(), 1, "{at}");
    }
    bench.send(31..60);
    assert_same(&bench.results(), &undisturbed());
    bench.engine.close();
}
