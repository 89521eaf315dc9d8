//! The shared conformance cases of Prometheus 3.12, run in process; the floor below only ever rises.
//!
//! The cases lie outside of the repository, in the folder `FORETIDE_SHARED` names (default: `../shared` beside the
//! workspace). Without them the test says so and passes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use promql::{Options, Value, instant, parse, range, selectors};
use serde_json::Value as Json;
use series::{Labels, Matcher, STALE_NAN, Step, Timestamp};

use crate::check::{Expected, Point, check, check_vector};
use crate::memory::Memory;

/// Cases that must pass: raise it whenever more do.
const PASSED_MIN: usize = 1530;

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    float_passed: usize,
    float_failed: usize,
    report: String,
}

fn folder() -> PathBuf {
    let shared = std::env::var_os("FORETIDE_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    shared.join("conformance/cases/v3.12")
}

#[test]
fn cases_of_prometheus_3_12_pass() {
    let folder = folder();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("SKIPPED: no conformance cases in {}; set FORETIDE_SHARED", folder.display());
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let mut tally = Tally::default();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable case file");
        let document: Json = serde_json::from_str(&text).expect("a case file is JSON");
        for segment in document["segments"].as_array().expect("segments") {
            run_segment(segment, &mut tally);
        }
    }
    let all = tally.passed + tally.failed;
    let floats = tally.float_passed + tally.float_failed;
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    println!(
        "conformance: {} of {all} = {:.2} %; without native histograms {} of {floats} = {:.2} %; {} skipped",
        tally.passed,
        percent(tally.passed, all),
        tally.float_passed,
        percent(tally.float_passed, floats),
        tally.skipped
    );
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance-failures.txt");
    std::fs::write(&report, &tally.report).expect("the failures can be written");
    println!("failures: {}", report.display());
    assert!(
        tally.passed >= PASSED_MIN,
        "{} cases passed, fewer than {PASSED_MIN}: see {}",
        tally.passed,
        report.display()
    );
}

fn run_segment(segment: &Json, tally: &mut Tally) {
    let loads = segment["loads"].as_array().expect("loads");
    let evals = segment["evals"].as_array().expect("evals");
    let (memory, histograms) = load(loads);
    for eval in evals {
        // Start timestamps travel beside samples; the notation of the cases leaves them to a later version.
        if loads.iter().any(|load| load["st"] == true) || eval["mode"] == "unparsed" {
            tally.skipped += 1;
            continue;
        }
        let id = eval["id"].as_str().unwrap_or("?");
        let needs = needs_histograms(eval, &histograms);
        tally.note(id, eval, needs, run(&memory, eval));
        if has_twin(eval) {
            tally.note(&format!("{id}/range"), eval, needs, run_twin(&memory, eval));
        }
    }
}

impl Tally {
    fn note(&mut self, id: &str, eval: &Json, needs_histograms: bool, result: Result<(), String>) {
        let floats = usize::from(!needs_histograms);
        match result {
            Ok(()) => {
                self.passed += 1;
                self.float_passed += floats;
            }
            Err(why) => {
                self.failed += 1;
                self.float_failed += floats;
                let kind = if needs_histograms { "histogram" } else { "float" };
                let _ = writeln!(self.report, "{kind} {id} {}: {why}", eval["query"]);
            }
        }
    }
}

/// Floats go into the store; the second part lists the series that hold native histograms.
fn load(loads: &[Json]) -> (Memory, Vec<Labels>) {
    let (mut memory, mut histograms) = (Memory::default(), Vec::new());
    for load in loads {
        let step = load["step"].as_i64().expect("a step");
        for series in load["series"].as_array().expect("series") {
            let labels = labels(&series["labels"]);
            let mut only_floats = true;
            for (i, item) in expand(&series["v"]).into_iter().enumerate() {
                match item {
                    Some(Point::Float(value)) => memory.push(&labels, i as i64 * step, value),
                    Some(Point::Histogram) => only_floats = false,
                    None => {}
                }
            }
            if !only_floats {
                histograms.push(labels);
            } else if load["nhcb"] == true {
                histograms.extend(converted(&labels));
            }
        }
    }
    (memory, histograms)
}

/// Name of the native histogram that is loaded along with a classic one.
fn converted(labels: &Labels) -> Option<Labels> {
    let name = labels.metric();
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending))?;
    Some(labels.to_builder().set("__name__", base).remove("le").build())
}

fn needs_histograms(eval: &Json, histograms: &[Labels]) -> bool {
    let expects = eval["series"]
        .as_array()
        .is_some_and(|all| all.iter().any(|series| expand(&series["v"]).contains(&Some(Point::Histogram))));
    let selects = |matchers: &[Matcher]| {
        histograms.iter().any(|labels| matchers.iter().all(|m| m.matches_labels(labels.as_ref())))
    };
    expects || parse(query(eval)).is_ok_and(|expr| selectors(&expr).into_iter().any(selects))
}

fn query(eval: &Json) -> &str {
    eval["query"].as_str().expect("a query")
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().expect("labels");
    Labels::from_pairs(pairs.iter().map(|(name, value)| (name, value.as_str().unwrap_or("")))).expect("valid labels")
}

fn number(json: &Json) -> f64 {
    match json {
        Json::Number(number) => number.as_f64().expect("a float"),
        Json::String(text) if text == "stale" => STALE_NAN,
        Json::String(text) => text.parse().expect("a float as text"),
        _ => panic!("not a number: {json}"),
    }
}

fn expand(items: &Json) -> Vec<Option<Point>> {
    let mut out = Vec::new();
    for item in items.as_array().expect("points") {
        let count = item["n"].as_u64().unwrap_or(1) as usize;
        if item.is_null() {
            out.push(None);
        } else if let Some(gap) = item["gap"].as_u64() {
            out.extend(std::iter::repeat_n(None, gap as usize));
        } else if item.get("hist").is_some() {
            out.extend(std::iter::repeat_n(Some(Point::Histogram), count));
        } else if let Some(from) = item.get("from") {
            let (mut value, by) = (number(from), number(&item["by"]));
            let stale = from == "stale";
            for _ in 0..count {
                out.push(Some(Point::Float(value)));
                if !stale {
                    value += by;
                }
            }
        } else {
            out.push(Some(Point::Float(number(item))));
        }
    }
    out
}

fn expected(eval: &Json) -> Expected {
    let series = |json: &Json| -> Vec<(Labels, Vec<Option<Point>>)> {
        let mut all: BTreeMap<usize, (Labels, Vec<Option<Point>>)> = BTreeMap::new();
        for (i, series) in json.as_array().into_iter().flatten().enumerate() {
            all.insert(i, (labels(&series["labels"]), expand(&series["v"])));
        }
        all.into_values().collect()
    };
    if eval["fail"] == true {
        Expected::Fail
    } else if let Some(text) = eval["string"].as_str() {
        Expected::Text(text.to_owned())
    } else if eval["mode"] == "range" {
        let (start, step) = (eval["start"].as_i64().unwrap_or(0), eval["step"].as_i64().unwrap_or(1));
        Expected::Matrix { series: series(&eval["series"]), start, step }
    } else if let Some(scalar) = eval.get("scalar") {
        Expected::Scalar(number(scalar))
    } else if let Some(vector) = eval.get("vector") {
        let (start, step) = (vector["start"].as_i64().unwrap_or(0), vector["step"].as_i64().unwrap_or(1));
        Expected::Matrix { series: series(&eval["series"]), start, step }
    } else {
        Expected::Vector { series: series(&eval["series"]), ordered: eval["ordered"] == true }
    }
}

fn run(memory: &Memory, eval: &Json) -> Result<(), String> {
    let options = Options { threads: 2, ..Options::default() };
    let answer = parse(query(eval)).map_err(|why| why.to_string()).and_then(|expr| {
        let answer = if eval["mode"] == "range" {
            let time = |name: &str| Timestamp(eval[name].as_i64().expect("a time"));
            let step = Step::new(eval["step"].as_i64().expect("a step")).expect("a positive step");
            range(memory, &expr, time("start"), time("end"), step, &options)
        } else {
            instant(memory, &expr, Timestamp(eval["at"].as_i64().expect("a time")), &options)
        };
        answer.map_err(|why| why.to_string())
    });
    match (expected(eval), answer) {
        (Expected::Fail, Err(_)) => Ok(()),
        (Expected::Fail, Ok(answer)) => Err(format!("expected an error, got {:?}", answer.value)),
        (_, Err(why)) => Err(why),
        (expected, Ok(answer)) => check(&expected, &answer.value),
    }
}

/// Instant cases are also asked as the middle step of a range query, where that has the same answer.
fn has_twin(eval: &Json) -> bool {
    let grid = ["start()", "end()", "range()", "step()"];
    let plain = ["fail", "ordered", "string", "vector"].iter().all(|key| eval.get(*key).is_none_or(|v| *v == false));
    eval["mode"] == "instant" && plain && !grid.iter().any(|call| query(eval).contains(call))
}

fn run_twin(memory: &Memory, eval: &Json) -> Result<(), String> {
    let at = eval["at"].as_i64().expect("a time");
    let expr = parse(query(eval)).map_err(|why| why.to_string())?;
    let minute = Step::from_secs(60);
    let options = Options::default();
    let answer = range(memory, &expr, Timestamp(at - 60_000), Timestamp(at + 60_000), minute, &options)
        .map_err(|why| why.to_string())?;
    let Value::Matrix(items) = &answer.value else { return Err("not a matrix".to_owned()) };
    let middle = |item: &'_ promql::MatrixItem| item.points.iter().find(|(t, _)| t.0 == at).map(|(_, value)| *value);
    let found: Vec<(&Labels, f64)> =
        items.iter().filter_map(|item| middle(item).map(|value| (&item.labels, value))).collect();
    match expected(eval) {
        Expected::Scalar(number) => check_vector(&[(Labels::empty(), vec![Some(Point::Float(number))])], false, &found),
        Expected::Vector { series, .. } => check_vector(&series, false, &found),
        _ => Err("a case without a vector has no twin".to_owned()),
    }
}
