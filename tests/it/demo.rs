//! The first run: `foretide demo --once` on an empty folder, held to the truth that its generator planted.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};
use series::{Millis, Timestamp};
use synth::{Fleet, FleetSpec};

use crate::folder;
use crate::program;
use crate::server::free_address;

const SEED: u64 = 42;
/// A change may be dated this far from the truth: a scrape is 2 minutes, a rate looks 5 minutes back.
const CHANGE_TOLERANCE: Millis = Millis::from_mins(10);
/// Payments is released 24 minutes before the end; the alarm comes in time for the report.
const ALARM_DELAY_MAX: Millis = Millis::from_mins(22);

/// A data folder as the demo leaves it, and its report. The folder is only read: copy it before opening it.
pub(crate) struct Filled {
    pub(crate) folder: PathBuf,
    pub(crate) document: Value,
}

/// Runs the demo once for all tests.
pub(crate) fn filled() -> &'static Filled {
    static FILLED: OnceLock<Filled> = OnceLock::new();
    FILLED.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("demo");
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("the folder of the run before can be removed");
        }
        let (data, address) = (folder.to_str().expect("plain"), free_address());
        let seed = SEED.to_string();
        let arguments = ["demo", "--once", "--format", "json", "--listen", &address, "--seed", &seed, "--data", data];
        let outcome = program::run(&arguments).success();
        assert!(!outcome.stderr.contains('█'), "no progress bars without a terminal: {}", outcome.stderr);
        let document = serde_json::from_slice(&outcome.stdout);
        let document =
            document.unwrap_or_else(|err| panic!("stdout is not one JSON document: {err}\n{}", outcome.text()));
        Filled { folder, document }
    })
}

/// The demo's folder in a place where it may be changed.
fn own_copy() -> (tempfile::TempDir, String) {
    let folder = folder::fresh();
    let data = folder.path().join("data");
    folder::copy_all(&filled().folder, &data);
    let name = data.to_str().expect("plain").to_owned();
    (folder, name)
}

fn items<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("`{name}` is not a list in {value}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// What the generator says, asked again with the demo's seed and end.
fn truth() -> Value {
    let document = &filled().document;
    let end = document["truth"]["end"].as_i64().expect("the truth has an end");
    let spec = FleetSpec { seed: SEED, ..FleetSpec::ending_at(Timestamp(end)) };
    let truth = json!(Fleet::new(&spec).expect("a fleet").truth());
    assert_eq!(document["truth"], truth, "the demo tells the generator's truth");
    truth
}

#[test]
fn the_report_is_complete() {
    let document = &filled().document;
    assert!(document["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{}", document["url"]);
    assert!(number(&document["load"]["series"]) > 100.0 && number(&document["load"]["samples"]) > 1e6);
    for kind in ["scale", "rightsize", "capacity"] {
        assert!(!items(document, kind).is_empty(), "no advice of kind {kind}");
        for advice in items(document, kind) {
            for field in ["id", "target", "title", "reason", "risk", "undo", "evidence_query", "confidence_word"] {
                let is_said = advice[field].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_said, "{kind}: `{field}` is missing in {advice}");
            }
        }
    }
}

#[test]
fn the_forecast_beats_seasonal_naive_and_meets_the_coming_peak() {
    let (forecast, truth) = (&filled().document["forecast"], truth());
    let error = number(&forecast["relative_error"]);
    assert!(error < 1.0, "error relative to seasonal naive is {error}");
    assert!(number(&forecast["folds"]) >= 2.0, "{} folds prove little", forecast["folds"]);
    let path = |level: f64| {
        let found = items(forecast, "quantiles").iter().find(|pair| number(&pair[0]) == level);
        found.unwrap_or_else(|| panic!("no quantile {level}"))[1].as_array().expect("values").iter().map(number)
    };
    let peak = path(0.5).fold(f64::NEG_INFINITY, f64::max);
    let wanted = number(&service(&truth, "checkout")["peak_rps"]);
    assert!((peak - wanted).abs() < 0.2 * wanted, "the median peaks at {peak}, the truth at {wanted}");
    assert!(path(0.1).zip(path(0.9)).all(|(low, high)| low <= high), "quantiles are in order");
    let hours = number(&forecast["step_ms"]) * path(0.5).count() as f64 / 3_600_000.0;
    assert_eq!(hours, 24.0);
}

#[test]
fn the_open_anomaly_of_payments_is_found_and_dated() {
    let (document, truth) = (&filled().document, truth());
    let planted = items(&truth, "anomalies").iter().find(|a| a["end"].is_null()).expect("one is open");
    assert_eq!(planted["service"], json!("payments"));
    let about_payments = |a: &&Value| a["service"] == planted["service"] && a["state"] == json!("open");
    let found: Vec<_> = items(document, "anomalies").iter().filter(about_payments).collect();
    let is_latency = |a: &&&Value| ["title", "series"].iter().any(|field| a[field].to_string().contains("latency"));
    let found = found.iter().find(is_latency).unwrap_or_else(|| panic!("no open latency anomaly: {found:#?}"));
    let since = |value: &Value| Millis(value.as_i64().expect("a time") - planted["start"].as_i64().expect("a start"));
    let (change, alarm) = (since(&found["stream_change_point"]), since(&found["start"]));
    assert!(change.0.abs() <= CHANGE_TOLERANCE.0, "the change is dated {change} off: {found}");
    assert!((0..=ALARM_DELAY_MAX.0).contains(&alarm.0), "the alarm came {alarm} after the change: {found}");
    assert!(number(&found["value"]) > 1.5 * number(&found["expected"]), "tripled latency is seen: {found}");
}

#[test]
fn checkout_is_told_to_scale_up_before_the_peak() {
    let (document, truth) = (&filled().document, truth());
    let service = service(&truth, "checkout");
    let advice = items(document, "scale").iter().find(|advice| advice["target"] == json!("deployment/shop/checkout"));
    let advice = advice.unwrap_or_else(|| panic!("no scale advice for checkout: {}", document["scale"]));
    let replicas = |place: &str| number(&advice[place]["replicas"]);
    assert_eq!(replicas("current"), number(&service["replicas_at_end"]), "{advice}");
    assert!(replicas("proposed") > replicas("current"), "{advice}");
    let needed = number(&service["replicas_needed_at_peak"]);
    assert!(replicas("proposed") <= needed * 1.5 + 1.0, "{} proposed, {needed} needed: {advice}", replicas("proposed"));
    assert!(advice["details"]["distrust"].is_null(), "the forecast is used: {}", advice["reason"]);
    assert!(!advice["details"]["band"].is_null(), "the reason is the forecast: {}", advice["reason"]);
}

#[test]
fn over_and_under_provisioned_workloads_are_told_apart() {
    let (document, truth) = (&filled().document, truth());
    let mut faults = Vec::new();
    for sizing in items(&truth, "sizing") {
        let workload = sizing["workload"].as_str().expect("a name");
        let is_it = |a: &&Value| a["details"]["container"] == json!(workload) || names(a, workload);
        let details = items(document, "rightsize").iter().find(is_it).map(|advice| &advice["details"]);
        for (resource, request, used) in
            [("cpu", "cpu_request_cores", "cpu_p95_cores"), ("memory", "memory_request_bytes", "memory_peak_bytes")]
        {
            let said = details.map_or("keep", |details| details[resource].as_str().unwrap_or("keep"));
            let proposed = details.map_or(&sizing[request], |details| &details["proposed"][request]);
            let is_right = match sizing[resource].as_str() {
                Some("under") => said == "raise",
                Some("over") => said == "lower",
                _ => true,
            };
            if !is_right || number(proposed) < number(&sizing[used]) {
                let truth = format!("{} of {} used, {}", sizing[used], sizing[request], sizing[resource]);
                faults.push(format!("{workload} {resource}: {truth}; advice: {said}, {proposed}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), truth["sizing"]);
}

fn names(advice: &Value, workload: &str) -> bool {
    advice["target"].as_str().is_some_and(|target| target.rsplit('/').next() == Some(workload))
}

#[test]
fn the_disk_of_db_0_is_full_when_the_truth_says() {
    let (document, truth) = (&filled().document, truth());
    let planted = items(&truth, "capacity").iter().find(|c| c["limit"] == json!(0.9) && !c["true_fill_date"].is_null());
    let full_at = planted.and_then(|c| c["true_fill_date"].as_i64()).expect("a disk that fills");
    let is_it = |a: &&Value| a["target"].as_str().is_some_and(|target| target.starts_with("db-0"));
    let advice = items(document, "capacity").iter().find(is_it);
    let runway = &advice.unwrap_or_else(|| panic!("no advice for db-0: {}", document["capacity"]))["details"];
    let days = (full_at - runway["at_ms"].as_i64().expect("a time")) as f64 / 86_400_000.0;
    let (low, high) = (number(&runway["days_p10"]), number(&runway["days_p90"]));
    // People read whole days.
    assert!(low - 0.5 <= days && days <= high + 0.5, "full in {days:.1} days, said {low:.1} to {high:.1}");
    assert!(high - low < 20.0, "a range of {low:.1} to {high:.1} days says little");
    // db-1 is emptied in time: whatever is said of it, it must not alarm.
    for advice in
        items(document, "capacity").iter().filter(|a| a["target"].as_str().is_some_and(|t| t.starts_with("db-1")))
    {
        let is_calm = advice["details"]["days_p50"].as_f64().is_none_or(|days| days > 90.0);
        assert!(is_calm && advice["severity"] == json!("info"), "a false alarm: {advice}");
    }
}

#[test]
fn the_folder_left_behind_answers_sql_and_promql() {
    let (_folder, data) = own_copy();
    let sql = |statement: &str| {
        let outcome = program::run(&["sql", statement, "--format", "csv", "--data", &data]).success();
        let text = outcome.text();
        let cell = text.lines().nth(1).unwrap_or_else(|| panic!("no row: {text}"));
        cell.parse::<f64>().unwrap_or_else(|_| panic!("{statement}: {text}"))
    };
    let document = &filled().document;
    assert!(sql("SELECT count(*) FROM samples") >= number(&document["load"]["samples"]), "all samples are there");
    assert!(sql("SELECT count(*) FROM forecasts WHERE job = 'checkout'") >= 288.0, "a day of five minutes");
    let future =
        "SELECT count(*) FROM forecasts WHERE job = 'checkout' AND ts > (SELECT max(ts) FROM metrics.\"orders_total\")";
    assert!(sql(future) > 200.0, "forecasts lie in the future");
    for kind in ["scale", "rightsize", "capacity"] {
        let kept = sql(&format!("SELECT count(*) FROM recommendations WHERE status = 'open' AND kind = '{kind}'"));
        assert!(kept >= items(document, kind).len() as f64, "{kind}: {kept}");
    }
    let end = (document["truth"]["end"].as_i64().expect("an end") / 1000).to_string();
    let query = "sum by (service) (rate(http_requests_total[5m]))";
    let outcome = program::run(&["promql", query, "--at", &end, "--data", &data, "--format", "json"]).success();
    let vector: Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
    assert!(items(&vector, "result").len() >= 8, "{vector}");
}

#[test]
fn advice_leaves_in_every_form() {
    let (folder, data) = own_copy();
    let recommend =
        |arguments: &[&str]| program::run(&[&["recommend"], arguments, &["--data", &data]].concat()).success().stdout;
    let document = &filled().document;
    for kind in ["scale", "rightsize", "capacity"] {
        let json: Value = serde_json::from_slice(&recommend(&[kind, "--format", "json"])).expect("JSON");
        let n = json.as_array().map_or(0, Vec::len);
        assert_eq!(n, items(document, kind).len(), "{kind}");
        let target = json[0]["target"].as_str().expect("a target");
        let text = |format: &str| String::from_utf8_lossy(&recommend(&[kind, "--format", format])).into_owned();
        assert_eq!(text("jsonl").lines().count(), n, "{kind}");
        assert!(text("csv").contains(target) && text("csv").lines().count() > n, "{kind}: {}", text("csv"));
        assert!(text("md").contains(" | ") && text("md").contains("---"), "{kind}: {}", text("md"));
        assert!(text("table").lines().count() > n, "{kind}: {}", text("table"));
    }
    let file = folder.path().join("advice.parquet");
    let name = file.to_str().expect("plain");
    assert!(recommend(&["--format", "parquet", "--output", name]).is_empty(), "the file takes it, not stdout");
    let parquet = fs::read(&file).expect("written");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    let patches = String::from_utf8_lossy(&recommend(&["rightsize", "--patches"])).into_owned();
    assert!(patches.contains("kind: Deployment") && patches.contains("requests:"), "{patches}");
}

#[test]
fn jobs_run_and_pause_from_the_command_line() {
    let (folder, data) = own_copy();
    let file = folder.path().join("foretide.yaml");
    let end = filled().document["truth"]["end"].as_i64().expect("an end");
    fs::write(
        &file,
        "host: {enabled: false}\nforecast:\n  jobs:\n    - name: mine\n      promql: sum(rate(orders_total[10m]))\n      \
         step: 15m\n      history: 7d\n      horizon: 6h\n      schedule: \"@daily\"\n      model: seasonal-naive\n",
    )
    .expect("written");
    let config = file.to_str().expect("plain");
    let jobs =
        |arguments: &[&str]| program::run(&[&["jobs"], arguments, &["--config", config, "--data", &data]].concat());
    let text = jobs(&["run", "mine"]).success().text();
    assert!(text.contains("job mine: 1 series forecast"), "{text}");
    let statement = format!("SELECT count(*) FROM forecasts WHERE job = 'mine' AND ts > to_timestamp_millis({end})");
    let count = program::run(&["sql", &statement, "--format", "csv", "--data", &data]).success().text();
    assert!(count.lines().nth(1).and_then(|n| n.parse().ok()).is_some_and(|n: u64| n >= 24), "{count}");
    jobs(&["pause", "mine"]).success();
    let list = jobs(&["list"]).success().text();
    let row = list.lines().find(|line| line.starts_with("mine")).unwrap_or_else(|| panic!("{list}"));
    assert!(row.contains("paused"), "{list}");
    jobs(&["resume", "mine"]).success();
    assert!(!jobs(&["list"]).success().text().contains("paused"));
    let unknown = jobs(&["run", "yours"]);
    assert_eq!(unknown.code, 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("yours") && unknown.stderr.contains("jobs list"), "{}", unknown.stderr);
}

fn service<'a>(truth: &'a Value, name: &str) -> &'a Value {
    let found = items(truth, "services").iter().find(|service| service["service"] == json!(name));
    found.unwrap_or_else(|| panic!("no service {name}"))
}
