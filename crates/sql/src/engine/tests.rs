//! The engine over a store in memory: what is answered, what is refused, and where faults are.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use series::{Columns, Labels, Matcher, SelectError, SelectRequest, SeriesSet, TimeRange, Timestamp};

use super::*;
use crate::system::{ColumnKind, Page, PageRequest, SystemColumn, SystemTable};

const DAY_MS: i64 = 86_400_000;

/// One series `up{job="api"}` with a sample every six hours of three days.
struct Memory(Labels);

impl Select for Memory {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        let matched = request.matchers.iter().all(|matcher| matcher.matches_labels(self.0.as_ref()));
        Ok(Box::new(One(matched.then(|| self.0.clone()))))
    }

    fn series(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<Labels>, SelectError> {
        Ok(vec![self.0.clone()])
    }

    fn label_names(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(self.0.iter().map(|(name, _)| name.to_owned()).collect())
    }

    fn label_values(&self, name: &str, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(self.0.get(name).map(str::to_owned).into_iter().collect())
    }

    fn metadata(&self, _: Option<&str>) -> Vec<series::Metadata> {
        Vec::new()
    }
}

struct One(Option<Labels>);

impl SeriesSet for One {
    fn len(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn labels(&self, _: usize) -> &Labels {
        self.0.as_ref().expect("asked for one that there is")
    }

    fn read(&self, _: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        let times = (0..12).map(|k| Timestamp(k * DAY_MS / 4)).filter(|&at| range.contains(at));
        times.for_each(|at| out.push(at, 1.0));
        Ok(())
    }
}

/// 1,300 rows in pages of a hundred.
#[derive(Default)]
struct Log(AtomicUsize);

const LOG: &[SystemTable] = &[SystemTable {
    name: "log",
    columns: &[
        SystemColumn { name: "n", kind: ColumnKind::Integer, comment: "" },
        SystemColumn { name: "record", kind: ColumnKind::Text, comment: "" },
    ],
}];

impl SystemRows for Log {
    fn tables(&self) -> &'static [SystemTable] {
        LOG
    }

    fn page(&self, request: &PageRequest<'_>) -> Result<Page, String> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let from: i64 = request.from.unwrap_or("0").parse().map_err(|_| "a page of ours".to_owned())?;
        let row = |n: i64| {
            // What is not asked for need not be made.
            let record = request.columns.contains(&"record").then(|| "x".repeat(1000));
            json!({ "n": n, "record": record })
        };
        Ok(Page { rows: (from..from + 100).map(row).collect(), next: (from < 1200).then(|| (from + 100).to_string()) })
    }
}

fn engine(log: Arc<Log>) -> SqlEngine {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "api")]).expect("valid");
    SqlEngine::new(Arc::new(Memory(labels)), log, SqlLimits { threads: 2, ..SqlLimits::default() }).expect("an engine")
}

async fn ask(engine: &SqlEngine, sql: &str) -> Result<Value, SqlError> {
    let request =
        SqlRequest { sql: sql.to_owned(), format: Format::Json, rows_max: None, truncate: false, timeout: None };
    let mut chunks = engine.query(request).await?.chunks;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(serde_json::from_slice::<Value>(&bytes).expect("JSON")["rows"].take())
}

#[tokio::test]
async fn tables_of_the_application_are_read_by_pages_and_never_cut() {
    let log = Arc::new(Log::default());
    let engine = engine(Arc::clone(&log));
    for (sql, expected) in [
        ("SELECT count(*) FROM log", json!([[1300]])),
        ("SELECT sum(n), sum(length(record)) FROM log", json!([[1299 * 650, 1_300_000]])),
        ("SELECT n FROM log WHERE n > 1297 ORDER BY n", json!([[1298], [1299]])),
    ] {
        assert_eq!(ask(&engine, sql).await, Ok(expected), "{sql}");
    }
    log.0.store(0, Ordering::Relaxed);
    assert_eq!(ask(&engine, "SELECT n FROM log LIMIT 2").await, Ok(json!([[0], [1]])));
    assert!(log.0.load(Ordering::Relaxed) < 8, "a limit ends the reading");
}

#[tokio::test]
async fn conditions_on_casts_find_the_rows_that_they_hold_for() {
    let engine = engine(Arc::default());
    for (condition, expected) in [
        ("ts::date = DATE '1970-01-02'", 4),
        ("CAST(ts AS DATE) > DATE '1970-01-02'", 4),
        ("ts::date BETWEEN DATE '1970-01-01' AND DATE '1970-01-02'", 8),
        ("ts >= DATE '1970-01-02'", 8),
        ("arrow_cast(ts, 'Timestamp(Second, None)') = TIMESTAMP '1970-01-02T06:00:00'", 1),
        ("CAST(ts AS TIMESTAMP) = TIMESTAMP '1970-01-02T06:00:00'", 1),
        ("CAST(job AS VARCHAR) = 'api'", 12),
    ] {
        let sql = format!("SELECT count(*) FROM metrics.up WHERE {condition}");
        assert_eq!(ask(&engine, &sql).await, Ok(json!([[expected]])), "{condition}");
    }
}

#[tokio::test]
async fn values_that_could_grow_beyond_bounds_are_refused() {
    let engine = engine(Arc::default());
    let doubled = (0..20)
        .fold("SELECT job x FROM samples_of".to_owned(), |inner, _| format!("SELECT x || x AS x FROM ({inner})"));
    let doubled = doubled.replace("samples_of", "metrics.up");
    for sql in [
        "SELECT length(replace(replace(repeat('a',10000),'a',repeat('b',10000)),'b',repeat('c',10000)))",
        "SELECT length(repeat(repeat('a', 1000), 1000))",
        "SELECT repeat(job, 1000) FROM metrics.up",
        "SELECT repeat('a', value::int) FROM metrics.up",
        "SELECT lpad('a', 100000)",
        "SELECT regexp_replace(repeat('a', 1000), '', repeat('b', 1000))",
        "SELECT replace(job, 'a', job) FROM metrics.up",
        "SELECT array_to_string(string_to_array(repeat('a,', 5000), ','), repeat('b', 5000))",
        "SELECT array_replace_all(string_to_array(repeat('a,', 500), ','), 'a', repeat('b', 5000))",
        "SELECT x FROM (SELECT repeat('a', 5000) AS x) t WHERE length(concat(x, x, x, x)) > 0",
        "SELECT (SELECT repeat(job, 100) FROM metrics.up LIMIT 1)",
        "WITH RECURSIVE t AS (SELECT 'a' AS x UNION ALL SELECT x || x FROM t) SELECT max(length(x)) FROM t",
        "SELECT array_agg(value) OVER (ORDER BY ts) FROM metrics.up",
        "SELECT array_repeat('a', 1000000000)",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT array_transform([1, 2], x -> x + 1)",
        "SELECT repeat('a', 9000), repeat('b', 9000), repeat('a', 9001), repeat('b', 9001), repeat('a', 9002), \
         repeat('b', 9002), repeat('a', 9003), repeat('b', 9003)",
        &doubled,
    ] {
        let answer = ask(&engine, sql).await;
        assert!(matches!(answer, Err(SqlError::Refused(_) | SqlError::Plan { .. })), "{sql}: {answer:?}");
    }
}

#[tokio::test]
async fn everyday_functions_pass() {
    let engine = engine(Arc::default());
    for (sql, expected) in [
        ("SELECT repeat('a', 3), lpad('7', 3, '0')", json!([["aaa", "007"]])),
        (
            "SELECT replace('host-1:9100', ':9100', ''), regexp_replace('host-1:9100', ':.*', '')",
            json!([["host-1", "host-1"]]),
        ),
        (
            "SELECT upper(split_part(job, 'p', 1)) || '/' || trim(concat(job, ' ')) FROM metrics.up LIMIT 1",
            json!([["A/api"]]),
        ),
        (
            "SELECT job || '[' || string_agg(DISTINCT metric, ',') || ']' FROM samples CROSS JOIN (SELECT 'x' AS job) GROUP BY job",
            json!([["x[up]"]]),
        ),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n) FROM t",
            json!([[15]]),
        ),
        ("SELECT to_char(TIMESTAMP '2026-01-02T03:04:05', '%Y-%m-%d %H:%M')", json!([["2026-01-02 03:04"]])),
        ("SELECT round(avg(value), 2), count(*) FILTER (WHERE value > 0) FROM metrics.up", json!([[1.0, 12]])),
        ("SELECT array_to_string(array_agg(DISTINCT job), '; ') FROM metrics.up", json!([["api"]])),
        ("SELECT (SELECT max(value) FROM metrics.up u WHERE u.job = o.job) FROM metrics.up o LIMIT 1", json!([[1.0]])),
        (
            "SELECT lag(job) OVER (ORDER BY ts) IS NULL, date_trunc('day', ts) = ts FROM metrics.up ORDER BY ts LIMIT 1",
            json!([[true, true]]),
        ),
        (
            "SELECT CASE WHEN job = 'api' THEN 'yes' ELSE 'no' END, extract(hour FROM max(ts)) FROM metrics.up GROUP BY 1",
            json!([["yes", 18]]),
        ),
    ] {
        assert_eq!(ask(&engine, sql).await, Ok(expected), "{sql}");
    }
}

#[tokio::test]
async fn faults_of_the_text_have_a_place() {
    let engine = engine(Arc::default());
    for (sql, place) in [
        ("SELECT 1 FROM samples WHERE WHERE", (1, 29)),
        ("SELECT 1\nFROM samples WHERE", (2, 19)),
        ("SELECT 'open", (1, 8)),
        ("SELEC 1", (1, 1)),
        ("SELECT 1 FROM samples\n WHERE nothing = 1", (2, 8)),
    ] {
        let answer = ask(&engine, sql).await;
        let found = answer.as_ref().err().and_then(|err| err.place().0.zip(err.place().1));
        assert_eq!(found, Some(place), "{sql}: {answer:?}");
    }
}
