//! Jobs over a real data folder: when they run, what their state says, how forecasts are followed up.

use std::sync::Arc;

use series::ManualClock;

use super::*;
use crate::engine::Engine;

/// A full hour.
const NOW: Timestamp = Timestamp(1_795_244_400_000);
/// In minutes.
const TWO_DAYS: i64 = 48 * 60;
const JOB: &str = "
host: {enabled: false}
store: {ooo_window: 30d}
forecast:
  jobs: [{name: load, promql: load, schedule: every 1h, step: 5m, history: 2d, horizon: 1h, model: seasonal-naive(12),
          series_max: 2}]
";

struct Bench {
    engine: Engine,
    clock: Arc<ManualClock>,
    _runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings::parse(JOB, "test.yaml").expect("valid");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (clock, folder) = (Arc::new(ManualClock::new(NOW)), tempfile::tempdir().expect("a folder"));
        let as_clock = Arc::clone(&clock) as Arc<dyn series::Clock>;
        let opened = Engine::open(folder.path(), settings, as_clock, runtime.handle().clone());
        Self { engine: opened.expect("opens").0, clock, _runtime: runtime, _folder: folder }
    }

    fn core(&self) -> &Core {
        self.engine.core()
    }

    /// A value every minute up to now, `minutes` of them.
    fn write(&self, host: &str, minutes: i64) {
        let labels = Labels::from_pairs([("__name__", "load"), ("host", host)]).expect("labels");
        let (mut batch, now) = (Batch::default(), self.core().clock.now());
        batch.begin_labels(&labels).expect("small");
        for minute in (0..minutes).rev() {
            batch.push(now - Millis::from_mins(minute), (minute % 60) as f64);
        }
        self.engine.appender().append_wait(batch).expect("written");
    }

    fn state(&self) -> JobState {
        states(self.core()).remove(0)
    }
}

#[test]
fn a_turn_comes_once_also_when_the_clock_stepped_back() {
    let schedule = Schedule::parse("every 1h", "UTC").expect("valid");
    let (job, hour) = (ForecastJob::default(), Millis::from_hours(1));
    let mut never_ran = Turn::new(&job, &schedule, None, NOW + Millis(5));
    assert!(never_ran.is_due(NOW + Millis(5)), "the first run does not wait");
    assert!(!never_ran.is_due(NOW + Millis(10)) && never_ran.is_due(NOW + hour));
    // The state says that it ran tomorrow.
    let mut stepped = Turn::new(&job, &schedule, Some(NOW + Millis::from_days(1)), NOW + Millis(5));
    assert!(!stepped.is_due(NOW + Millis(10)) && stepped.is_due(NOW + hour) && !stepped.is_due(NOW + hour));
    // It was down for a day: one run, not 24.
    let mut late = Turn::new(&job, &schedule, Some(NOW - Millis::from_days(1)), NOW + Millis(5));
    assert!(late.is_due(NOW + Millis(5)) && !late.is_due(NOW + Millis(6)));
}

#[test]
fn a_job_without_data_says_so() {
    let bench = Bench::new();
    let err = run_named(bench.core(), "load").expect_err("no data");
    assert!(matches!(err, EngineError::TooLittle { .. }), "{err}");
    assert_eq!(bench.state().state, "failed");
    bench.write("a", 1);
    let err = run_named(bench.core(), "load").expect_err("a minute");
    assert!(matches!(err, EngineError::TooLittle { .. }), "{err}");
    assert!(err.to_string().contains("needed"), "{err}");
}

#[test]
fn a_paused_job_that_is_run_by_hand_stays_paused() {
    let bench = Bench::new();
    bench.write("a", TWO_DAYS);
    assert!(set_paused(bench.core(), "load", true).expect("written"));
    assert_eq!(run_named(bench.core(), "load").expect("runs"), Some(1));
    let state = bench.state();
    assert_eq!((state.state.as_str(), state.series, state.last_run), ("paused", 1, Some(NOW.0)));
}

#[test]
fn what_a_run_leaves_out_is_in_its_state() {
    let bench = Bench::new();
    bench.write("a", TWO_DAYS);
    bench.write("b", 1);
    bench.write("c", TWO_DAYS);
    assert_eq!(run_named(bench.core(), "load").expect("one of two"), Some(1));
    let state = bench.state();
    assert_eq!((state.state.as_str(), state.series), ("waiting", 1));
    let error = state.error.expect("something was left out");
    assert!(error.contains("1 of 3 series failed, the first: job `load`: series load{host=\"b\"}"), "{error}");
    assert!(error.ends_with("3 series found, series_max lets 2 be forecast"), "{error}");
}

#[test]
fn a_forecast_is_judged_also_after_a_gap_longer_than_it_reached() {
    let bench = Bench::new();
    bench.write("a", TWO_DAYS);
    run_named(bench.core(), "load").expect("runs");
    let id = "load";
    let tracked = || {
        let record = bench.core().control.get::<ForecastRecord>(Kind::Forecast, id).expect("readable").expect("there");
        record.tracked.map(|tracked| tracked.cells)
    };
    assert_eq!(tracked(), None);
    bench.clock.advance(Millis::from_hours(5));
    bench.write("a", 5 * 60);
    run_named(bench.core(), "load").expect("runs");
    assert_eq!(tracked(), Some(12), "an hour in steps of five minutes");
}
