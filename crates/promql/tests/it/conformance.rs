//! The shared conformance cases of Prometheus 3.12, run in process; the floor below only ever rises.
//!
//! The cases lie outside of the repository, in the folder `FORETIDE_SHARED` names (default: `../shared` beside the
//! workspace). Without them the test says so and passes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use promql::{Answer, Options, Value, instant, parse, range};
use serde_json::Value as Json;
use series::{Labels, Step, Timestamp};

use crate::cases::{expand, labels, load, number};
use crate::check::{Expected, Point, check, check_vector, points};
use crate::memory::Memory;

/// Cases that must pass: raise it whenever more do.
const PASSED_MIN: usize = 1824;

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    notes_failed: usize,
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
        // Straight to the descriptor: the test harness would swallow what is printed.
        let why = format!("\nSKIPPED: no conformance cases in {}; set FORETIDE_SHARED\n", folder.display());
        let _ = std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes());
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
    println!(
        "conformance: {} of {all} = {:.2} %; warnings and infos wrong {} times; {} skipped",
        tally.passed,
        100.0 * tally.passed as f64 / all.max(1) as f64,
        tally.notes_failed,
        tally.skipped
    );
    let report = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance-failures.txt");
    std::fs::write(&report, &tally.report).expect("the failures can be written");
    println!("failures: {}", report.display());
    assert_eq!(tally.notes_failed, 0, "warnings and infos differ: see {}", report.display());
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
    let memory = load(loads);
    for eval in evals {
        // Start timestamps travel beside samples; the notation of the cases leaves them to a later version.
        if loads.iter().any(|load| load["st"] == true) || eval["mode"] == "unparsed" {
            tally.skipped += 1;
            continue;
        }
        let id = eval["id"].as_str().unwrap_or("?");
        tally.note(id, eval, run(&memory, eval));
        if has_twin(eval) {
            tally.note(&format!("{id}/range"), eval, run_twin(&memory, eval));
        }
        if let Ok(answer) = ask(&memory, eval)
            && let Err(why) = check_notes(eval, &answer)
        {
            tally.notes_failed += 1;
            let _ = writeln!(tally.report, "notes {id} {}: {why}", eval["query"]);
        }
    }
}

impl Tally {
    fn note(&mut self, id: &str, eval: &Json, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => {
                self.failed += 1;
                let _ = writeln!(self.report, "{id} {}: {why}", eval["query"]);
            }
        }
    }
}

fn query(eval: &Json) -> &str {
    eval["query"].as_str().expect("a query")
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

fn ask(memory: &Memory, eval: &Json) -> Result<Answer, String> {
    let options = Options { threads: 2, ..Options::default() };
    let expr = parse(query(eval)).map_err(|why| why.to_string())?;
    let answer = if eval["mode"] == "range" {
        let time = |name: &str| Timestamp(eval[name].as_i64().expect("a time"));
        let step = Step::new(eval["step"].as_i64().expect("a step")).expect("a positive step");
        range(memory, &expr, time("start"), time("end"), step, &options)
    } else {
        instant(memory, &expr, Timestamp(eval["at"].as_i64().expect("a time")), &options)
    };
    answer.map_err(|why| why.to_string())
}

fn run(memory: &Memory, eval: &Json) -> Result<(), String> {
    match (expected(eval), ask(memory, eval)) {
        (Expected::Fail, Err(_)) => Ok(()),
        (Expected::Fail, Ok(answer)) => Err(format!("expected an error, got {:?}", answer.value)),
        (_, Err(why)) => Err(why),
        (expected, Ok(answer)) => check(&expected, &answer.value),
    }
}

/// Presence or absence of warnings and infos, where the case says something about them.
fn check_notes(eval: &Json, answer: &Answer) -> Result<(), String> {
    for wanted in eval["annotations"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        let notes = if wanted.ends_with("warn") { &answer.warnings } else { &answer.infos };
        if notes.is_empty() != wanted.starts_with("no_") {
            return Err(format!("{wanted} expected, got {notes:?}"));
        }
    }
    Ok(())
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
    let found: Vec<(&Labels, promql::Point)> =
        items.iter().filter_map(|item| points(item).remove(&at).map(|point| (&item.labels, point))).collect();
    match expected(eval) {
        Expected::Scalar(number) => check_vector(&[(Labels::empty(), vec![Some(Point::Float(number))])], false, &found),
        Expected::Vector { series, .. } => check_vector(&series, false, &found),
        _ => Err("a case without a vector has no twin".to_owned()),
    }
}
