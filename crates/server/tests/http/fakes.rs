//! Parts for tests and the preview: a store in memory, canned SQL, plausible advice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use serde_json::{Map, Value, json};

use series::{
    Append, AppendError, Appended, Batch, Clock, Columns, Labels, ManualClock, Matcher, Metadata, MetricType, Millis,
    RejectionReason, Select, SelectError, SelectRequest, SeriesExemplars, SeriesSet, TimeRange, Timestamp,
};
use server::{
    AdminError, AdviceError, Anomaly, AnomalyKind, Band, Confidence, Copies, Filter, FlushReport, ForecastChart,
    ForecastSummary, HostLoad, IngestStats, Insight, Level, Maintenance, MaintenanceError, Mark, MetricFamily,
    MetricKind, Parts, Readiness, Recommendation, Saving, SeriesStats, Settings, SqlAnswer, SqlFailure, SqlFault,
    SqlFormat, SqlRequest, SqlService, TableColumn, TableInfo, Tally, Telemetry, Threshold, Verdict,
};

/// The present of the fakes: 2026-11-21 14:32:00 UTC.
pub(crate) const NOW: Timestamp = Timestamp(1_795_271_520_000);
/// A series name that tries everything.
pub(crate) const HOSTILE: &str = "<img src=x onerror=alert(1)>&\"'</script>\u{202e}${7*7}%{y}";

/// What the fake store does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    /// Takes all.
    #[default]
    Fine,
    /// No space.
    DiskFull,
    /// Queue full.
    Overloaded,
    /// The log fails.
    LogFails,
    /// Rejects one sample as too old.
    TooOld,
    /// Rejects one sample beyond the series limit.
    SeriesLimit,
    /// Panics.
    Panics,
}

/// Everything behind the parts, for looking at and turning knobs.
pub(crate) struct World {
    /// Stored series.
    pub(crate) stored: Mutex<BTreeMap<Labels, BTreeMap<i64, f64>>>,
    /// Stored exemplars.
    pub(crate) exemplars: Mutex<Vec<SeriesExemplars>>,
    /// What appends do.
    pub(crate) mood: Mutex<Mood>,
    /// Whether there is any insight.
    pub(crate) insightful: AtomicBool,
    /// Whether we are ready.
    pub(crate) ready: AtomicBool,
    /// Samples appended.
    pub(crate) samples: AtomicU64,
    /// The clock.
    pub(crate) clock: ManualClock,
    /// The last SQL request.
    pub(crate) asked: Mutex<Option<SqlRequest>>,
    /// Host load, made by the preview.
    pub(crate) cpu: Mutex<f64>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stored: Mutex::default(),
            exemplars: Mutex::default(),
            mood: Mutex::default(),
            insightful: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            samples: AtomicU64::new(0),
            clock: ManualClock::new(NOW),
            asked: Mutex::default(),
            cpu: Mutex::new(0.25),
        })
    }

    /// Parts over this world.
    pub(crate) fn parts(self: &Arc<Self>) -> Parts {
        Parts {
            append: Arc::clone(self) as Arc<dyn Append>,
            import: Arc::clone(self) as Arc<dyn Append>,
            select: Arc::clone(self) as Arc<dyn Select>,
            clock: Arc::clone(self) as Arc<dyn Clock>,
            sql: Arc::clone(self) as Arc<dyn SqlService>,
            maintenance: Arc::clone(self) as Arc<dyn Maintenance>,
            insight: Arc::clone(self) as Arc<dyn Insight>,
            telemetry: Arc::clone(self) as Arc<dyn Telemetry>,
            targets: None,
            live: tokio::sync::broadcast::Sender::new(16),
            settings: Settings::default(),
        }
    }

    /// Stores samples directly.
    pub(crate) fn put(&self, pairs: &[(&str, &str)], samples: &[(i64, f64)]) {
        let labels = Labels::from_pairs(pairs.iter().copied()).expect("valid labels");
        lock(&self.stored).entry(labels).or_default().extend(samples.iter().copied());
    }

    fn matching(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Vec<Labels> {
        let inside = |samples: &BTreeMap<i64, f64>| samples.keys().any(|at| range.contains(Timestamp(*at)));
        let matched = |labels: &Labels| {
            let all = |list: &Vec<Matcher>| list.iter().all(|matcher| matcher.matches_labels(labels.as_ref()));
            selectors.is_empty() || selectors.iter().any(all)
        };
        let stored = lock(&self.stored);
        stored.iter().filter(|(labels, samples)| matched(labels) && inside(samples)).map(|(l, _)| l.clone()).collect()
    }
}

/// A lock whatever happened to its last holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut<T>(mut list: Vec<T>, limit: usize) -> Vec<T> {
    if limit > 0 {
        list.truncate(limit);
    }
    list
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Append for World {
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        let mut appended = Appended {
            samples: batch.n_samples() as u64,
            histograms: batch.n_histograms() as u64,
            exemplars: batch.n_exemplars() as u64,
            lsn: 1,
            ..Appended::default()
        };
        let mood = *lock(&self.mood);
        match mood {
            Mood::DiskFull => return done(Err(AppendError::DiskFull { free_bytes: 12 })),
            Mood::Overloaded => return done(Err(AppendError::Overloaded { queued_bytes: 9, limit_bytes: 8 })),
            Mood::LogFails => return done(Err(AppendError::Log("I/O error".into()))),
            Mood::Panics => panic!("the store fell over"),
            Mood::TooOld => {
                appended.reject(RejectionReason::TooOld { window: Millis::from_hours(2) }, 1, "old{a=\"b\"}")
            }
            Mood::SeriesLimit => appended.reject(RejectionReason::SeriesLimit { limit: 10 }, 1, "new"),
            Mood::Fine => {}
        }
        appended.samples -= appended.rejected.iter().map(|rejection| rejection.samples).sum::<u64>();
        for item in batch.iter() {
            let samples = item.timestamps.iter().copied().zip(item.values.iter().copied());
            lock(&self.stored).entry(item.labels.to_owned()).or_default().extend(samples);
            let found = SeriesExemplars { labels: item.labels.to_owned(), exemplars: item.exemplars.to_vec() };
            lock(&self.exemplars).extend((!found.exemplars.is_empty()).then_some(found));
        }
        self.samples.fetch_add(appended.samples, Ordering::Relaxed);
        std::thread::spawn(move || done(Ok(appended)));
    }
}

impl Select for World {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        let labels = self.matching(&[request.matchers.to_vec()], request.range);
        let stored = lock(&self.stored);
        let columns = labels.iter().map(|labels| {
            let samples = stored[labels].iter().filter(|(at, _)| request.range.contains(Timestamp(**at)));
            let (timestamps, values) = samples.map(|(at, value)| (*at, *value)).unzip();
            Columns { timestamps, values }
        });
        let columns = columns.collect();
        Ok(Box::new(Snapshot { labels, columns }))
    }

    fn exemplars(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<Vec<SeriesExemplars>, SelectError> {
        let mut found = lock(&self.exemplars).clone();
        found.iter_mut().for_each(|one| one.exemplars.retain(|exemplar| range.contains(exemplar.at)));
        let wanted = |one: &SeriesExemplars| {
            let all = |list: &Vec<Matcher>| list.iter().all(|matcher| matcher.matches_labels(one.labels.as_ref()));
            !one.exemplars.is_empty() && selectors.iter().any(all)
        };
        found.retain(wanted);
        Ok(found)
    }

    fn series(&self, selectors: &[Vec<Matcher>], range: TimeRange, limit: usize) -> Result<Vec<Labels>, SelectError> {
        Ok(cut(self.matching(selectors, range), limit))
    }

    fn label_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(selectors, range);
        let names: BTreeSet<_> =
            found.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned())).collect();
        Ok(cut(names.into_iter().collect(), limit))
    }

    fn label_values(
        &self,
        name: &str,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(selectors, range);
        let values: BTreeSet<_> = found.iter().filter_map(|labels| labels.get(name)).map(str::to_owned).collect();
        Ok(cut(values.into_iter().collect(), limit))
    }

    fn metadata(&self, metric: Option<&str>) -> Vec<Metadata> {
        let families =
            [("http_requests_total", MetricType::Counter, "Requests."), ("up", MetricType::Gauge, "Whether up.")];
        let made = families.map(|(name, kind, help)| Metadata {
            metric: name.into(),
            kind,
            help: help.into(),
            unit: String::new(),
        });
        made.into_iter().filter(|item| metric.is_none_or(|wanted| wanted == item.metric)).collect()
    }
}

struct Snapshot {
    labels: Vec<Labels>,
    columns: Vec<Columns>,
}

impl SeriesSet for Snapshot {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.labels[i]
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        self.columns[i].iter().filter(|(at, _)| range.contains(*at)).for_each(|(at, value)| out.push(at, value));
        Ok(())
    }
}

impl SqlService for World {
    /// Answers `SELECT 1`, fails on anything that holds `fail`, never begins on `sleep` and never ends on `endless`.
    fn query(&self, request: SqlRequest) -> BoxFuture<'static, Result<SqlAnswer, SqlFailure>> {
        *lock(&self.asked) = Some(request.clone());
        let failure = |fault| SqlFailure {
            fault,
            message: "column `x` does not exist".into(),
            hint: Some("did you mean `y`?".into()),
            line: Some(1),
            column: Some(8),
        };
        async move {
            if request.sql.contains("sleep") {
                futures::future::pending::<()>().await;
            }
            if request.sql.contains("large") {
                return Err(failure(SqlFault::TooLarge));
            }
            if request.sql.contains("fail") {
                return Err(failure(SqlFault::Plan));
            }
            if request.sql.contains("endless") {
                let body = futures::stream::repeat_with(|| Ok(Bytes::from_static(b"more\n"))).boxed();
                return Ok(SqlAnswer { content_type: request.format.mime(), body, warnings: Vec::new() });
            }
            let body = match request.format {
                SqlFormat::Csv => "one\n1\n".to_owned(),
                _ => json!({ "columns": [{ "name": "one", "type": "Int64" }], "rows": [[1]] }).to_string(),
            };
            let body = futures::stream::iter([Ok(Bytes::from(body))]).boxed();
            Ok(SqlAnswer { content_type: request.format.mime(), body, warnings: Vec::new() })
        }
        .boxed()
    }

    fn tables(&self) -> BoxFuture<'static, Result<Vec<TableInfo>, SqlFailure>> {
        let columns = vec![TableColumn { name: "ts".into(), kind: "TIMESTAMP".into() }];
        let table = TableInfo { name: "metrics.up".into(), description: "Whether up.".into(), columns };
        async { Ok(vec![table]) }.boxed()
    }
}

impl Maintenance for World {
    fn flush(&self, merge: bool) -> Result<FlushReport, MaintenanceError> {
        if *lock(&self.mood) == Mood::DiskFull {
            return Err(MaintenanceError::DiskFull { free_bytes: 12 });
        }
        Ok(FlushReport { series: 2, samples: 10, files: 1, bytes: 100, merged: u64::from(merge), elapsed_ms: 3 })
    }

    fn ready(&self) -> Readiness {
        let ready = self.ready.load(Ordering::Relaxed);
        let phase = if ready { "serving" } else { "replaying the log" };
        Readiness { ready, phase: phase.into(), done: if ready { 1.0 } else { 0.4 } }
    }

    fn ingest_stats(&self) -> IngestStats {
        let samples = self.samples.load(Ordering::Relaxed);
        let series = lock(&self.stored).len() as u64;
        IngestStats {
            samples,
            rejected: 0,
            series,
            stored_bytes: samples / 5,
            stored_samples: samples,
            memory_bytes: series * 2200 + 9_400_000,
            log_bytes: 1 << 20,
        }
    }

    fn host(&self) -> Option<HostLoad> {
        Some(HostLoad {
            cpu: *lock(&self.cpu),
            memory_used_bytes: 3_650_722_201,
            memory_total_bytes: 8_589_934_592,
            disk_free_bytes: 93 << 30,
        })
    }

    fn series_stats(&self, limit: usize) -> SeriesStats {
        let by_metric = vec![Tally { name: "up".into(), value: 2 }, Tally { name: "down".into(), value: 1 }];
        SeriesStats { series: 3, label_pairs: 5, chunks: 4, by_metric: cut(by_metric, limit), ..SeriesStats::default() }
    }

    fn delete_series(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<(), AdminError> {
        if *lock(&self.mood) == Mood::DiskFull {
            return Err(AdminError::Failed("disk is full".into()));
        }
        for labels in self.matching(selectors, range) {
            let mut stored = lock(&self.stored);
            if let Some(samples) = stored.get_mut(&labels) {
                samples.retain(|at, _| !range.contains(Timestamp(*at)));
            }
        }
        Ok(())
    }

    fn retention(&self) -> String {
        "30d".into()
    }

    fn flags(&self) -> Vec<(String, String)> {
        vec![("listen".into(), "127.0.0.1:4280".into())]
    }
}

impl Telemetry for World {
    fn gather(&self) -> Vec<MetricFamily> {
        vec![MetricFamily::single("foretide_up", "Always 1.", MetricKind::Gauge, 1.0)]
    }
}

impl Insight for World {
    fn recommendations(&self, filter: &Filter) -> Vec<Recommendation> {
        let all = if self.insightful.load(Ordering::Relaxed) { recommendations() } else { Vec::new() };
        all.into_iter().filter(|item| passes(&filter.kind, &item.kind) && passes(&filter.state, &item.state)).collect()
    }

    fn recommendation(&self, id: &str) -> Option<Recommendation> {
        recommendations().into_iter().find(|item| item.id == id)
    }

    fn judge(&self, id: &str, verdict: Verdict) -> Result<Recommendation, AdviceError> {
        let found = self.recommendation(id).ok_or(AdviceError::Unknown)?;
        match (self.insightful.load(Ordering::Relaxed), verdict) {
            (false, _) => Err(AdviceError::Over("it is superseded".into())),
            (true, Verdict::Applied) => Ok(Recommendation { state: "applied".into(), ..found }),
            (true, Verdict::Dismissed) => Ok(Recommendation { state: "dismissed".into(), ..found }),
        }
    }

    fn anomalies(&self, filter: &Filter) -> Vec<Anomaly> {
        let all = if self.insightful.load(Ordering::Relaxed) { anomalies() } else { Vec::new() };
        all.into_iter().filter(|item| passes(&filter.state, &item.state)).collect()
    }

    fn anomaly(&self, id: &str) -> Option<Anomaly> {
        anomalies().into_iter().find(|item| item.id == id)
    }

    fn forecasts(&self) -> Vec<ForecastSummary> {
        let all = if self.insightful.load(Ordering::Relaxed) { charts() } else { Vec::new() };
        all.into_iter().map(|chart| chart.summary).collect()
    }

    fn forecast(&self, id: &str) -> Option<ForecastChart> {
        charts().into_iter().find(|chart| chart.summary.id == id)
    }

    fn jobs(&self) -> Vec<Value> {
        vec![json!({ "id": "job-1", "state": "done" })]
    }

    fn policies(&self) -> Vec<Value> {
        vec![json!({ "id": "checkout", "min_replicas": 2 })]
    }
}

fn passes(wanted: &Option<String>, found: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}

fn advice(id: &str, kind: &str, target: &str, current: &str, proposed: &str, reason: &str) -> Recommendation {
    Recommendation {
        id: id.into(),
        kind: kind.into(),
        state: "open".into(),
        target: target.into(),
        namespace: Some("shop".into()),
        current: current.into(),
        proposed: proposed.into(),
        reason: reason.into(),
        confidence: Confidence {
            level: "high".into(),
            probability: Some(0.93),
            basis: "MSTL, error 0.71 of seasonal-naive over 5 backtests; the 90 % band held 89 % of the time.".into(),
        },
        saving: None,
        risk: "Requests queue for at most 40 s until the reactive policy adds replicas.".into(),
        undo: format!("foretide apply --rollback {id}"),
        due: None,
        created: NOW,
        evidence: Copies {
            promql: Some("sum(rate(http_requests_total{service=\"checkout\"}[2m]))".into()),
            sql: Some("SELECT ts, value FROM forecasts WHERE id = 'checkout-rps' ORDER BY ts".into()),
            cli: Some(format!("foretide recommend scale --explain {id}")),
        },
        more: Map::new(),
    }
}

fn recommendations() -> Vec<Recommendation> {
    let saving = |amount| Some(Saving { amount, currency: "USD".into(), per: "month".into() });
    let scale = Recommendation {
        due: Some(NOW + Millis::from_mins(288)),
        saving: saving(-21.0),
        ..advice(
            "rec-1",
            "scale",
            "deployment/shop/checkout",
            "12 replicas",
            "17 replicas",
            "The p90 of the forecast passes what 12 replicas carry at 19:35; pods need 2 min to start, so the change is due 15 min before.",
        )
    };
    let size = Recommendation {
        saving: saving(58.0),
        ..advice(
            "rec-2",
            "rightsize",
            "deployment/shop/search",
            "2 cores, 4 GiB",
            "1.9 cores, 2.6 GiB",
            "Over 14 days the p95 of CPU was 1.7 cores and memory peaked at 2.2 GiB (Sundays, 20:00).",
        )
    };
    let capacity = Recommendation {
        confidence: Confidence {
            level: "medium".into(),
            probability: Some(0.8),
            basis: "Linear growth over 60 days, 17–34 days at p10–p90.".into(),
        },
        ..advice(
            "rec-3",
            "capacity",
            "statefulset/db/postgres-0 disk",
            "2 TiB",
            "3 TiB before 5 Dec",
            "The disk grows 0.8 % a day and reaches 90 % on 14 Dec (8 Dec – 25 Dec).",
        )
    };
    let hostile = Recommendation {
        confidence: Confidence { level: "low".into(), probability: None, basis: HOSTILE.into() },
        saving: saving(31.0),
        ..advice("rec-4", "rightsize", HOSTILE, "250 m", "100 m", "Names come from senders and are shown as they are.")
    };
    vec![scale, size, capacity, hostile]
}

fn anomalies() -> Vec<Anomaly> {
    let anomaly = |id: &str, kind, title: &str, minutes, value, expected, text: &str| Anomaly {
        id: id.into(),
        kind,
        state: "open".into(),
        series: format!("{}{{service=\"payments\"}}", title.replace(' ', "_")),
        title: title.into(),
        start: NOW - Millis::from_mins(minutes),
        end: None,
        value,
        expected,
        score: 0.97,
        explanation: text.into(),
        evidence: Copies {
            promql: Some("histogram_quantile(0.99, rate(latency_bucket[5m]))".into()),
            ..Copies::default()
        },
        more: Map::new(),
    };
    vec![
        anomaly(
            "an-1",
            AnomalyKind::Regression,
            "payments p99 latency",
            27,
            0.81,
            0.26,
            "Change point at 14:02, two minutes after release 2026.11.3; requests per second did not change.",
        ),
        anomaly(
            "an-2",
            AnomalyKind::ShiftUp,
            "inventory queue length",
            64,
            420.0,
            130.0,
            "The level moved within one scrape and has stayed there; consumers went from 4 to 3.",
        ),
        anomaly(
            "an-3",
            AnomalyKind::Spike,
            HOSTILE,
            8,
            96.0,
            12.0,
            "Single samples, seven sigma above the median of the hour.",
        ),
        anomaly(
            "an-4",
            AnomalyKind::ShiftDown,
            "cdn hit ratio",
            190,
            0.71,
            0.94,
            "Since 11:22; misses come from one path prefix.",
        ),
    ]
}

/// A day of requests with a weekly rhythm, reproducible noise and a forecast of the next day.
fn charts() -> Vec<ForecastChart> {
    vec![
        chart("checkout-rps", "checkout requests/s", "req/s", 4200.0, 0.0),
        chart("search-cpu", "search CPU", "cores", 6.4, 0.9),
        chart("hostile", HOSTILE, HOSTILE, 10.0, 0.4),
    ]
}

fn chart(id: &str, title: &str, unit: &str, scale: f64, phase: f64) -> ForecastChart {
    let step = Millis::from_mins(5);
    let level = |at: Timestamp| {
        let hours = at.0 as f64 / 3_600_000.0 + phase;
        let day = (std::f64::consts::TAU * (hours - 13.0) / 24.0).sin() * 0.42
            + (std::f64::consts::TAU * hours / 12.0).sin() * 0.16;
        scale * (0.62 + day * 0.7)
    };
    let noise = |at: Timestamp| {
        let mixed = (at.0 / 300_000).wrapping_mul(2_654_435_761).rem_euclid(1000) as f64 / 1000.0 - 0.5;
        scale * 0.07 * mixed
    };
    let at = |i: i64| Timestamp(NOW.0 + i * step.0);
    let past: Vec<_> = (-432..=0)
        .map(|i| (at(i), if (-300..-290).contains(&i) { f64::NAN } else { level(at(i)) + noise(at(i)) }))
        .collect();
    let median: Vec<_> = (0..=288).map(|i| (at(i), level(at(i)))).collect();
    let band = |ratio: f64, width: f64| {
        let spread = |i: usize| scale * width * (0.035 + 0.08 * (i as f64 / 288.0).sqrt());
        let edge =
            |sign: f64| median.iter().enumerate().map(|(i, point)| (point.1 + sign * spread(i)).max(0.0)).collect();
        Level::new(ratio).map(|level| Band { level, lower: edge(-1.0), upper: edge(1.0) })
    };
    let bands = [band(0.5, 0.45), band(0.8, 0.9), band(0.95, 1.5)].into_iter().flatten().collect();
    let mark =
        |i: i64, kind, text: &str| Mark { at: at(i), value: level(at(i)) + noise(at(i)), kind, text: text.into() };
    ForecastChart {
        summary: ForecastSummary {
            id: id.into(),
            title: title.into(),
            series: "sum(rate(http_requests_total{service=\"checkout\"}[2m]))".into(),
            unit: unit.into(),
            model: "mstl+ets".into(),
            relative_error: Some(0.71),
            coverage: Some(0.89),
            origin: NOW,
            horizon: Millis::from_hours(24),
            step,
            copies: Copies {
                promql: Some("forecast:http_requests:rate2m{quantile=\"0.9\"}".into()),
                sql: Some("SELECT * FROM forecasts WHERE id = 'checkout-rps'".into()),
                cli: Some(
                    "foretide forecast 'sum(rate(http_requests_total{service=\"checkout\"}[2m]))' --horizon 24h".into(),
                ),
            },
        },
        earlier: (-288..=0).map(|i| (at(i), level(at(i)) * 1.03)).collect(),
        past,
        median,
        bands,
        marks: vec![
            mark(-210, AnomalyKind::Spike, "spike, +38 %"),
            mark(-70, AnomalyKind::ShiftUp, HOSTILE),
            mark(-30, AnomalyKind::Regression, "regression after release"),
        ],
        thresholds: vec![Threshold { text: "capacity of 12 replicas".into(), value: scale * 1.02 }],
    }
}
