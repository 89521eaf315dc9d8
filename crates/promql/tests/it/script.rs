//! Runs `queries/promql/*.test`: a question in words, data, a query, and the rows it must answer.
//!
//! ```text
//!   load 30s
//!     requests_total{job="api"} 0+15x10          from 0, by 15, 10 more times; `_` is a gap, `stale` ends a series
//!   eval instant at 5m rate(requests_total[2m])
//!     {job="api"} 0.5
//!   eval range from 0 to 1m step 30s …           eval_fail …           eval_ordered …           clear
//! ```

use std::path::Path;

use promql::{ExprKind, Options, instant, parse, range};
use series::{Labels, MatchOp, Millis, STALE_NAN, Step, Timestamp};

use crate::check::{Expected, Point, check};
use crate::memory::Memory;

type Line<'t> = (usize, &'t str);

#[test]
fn the_scripts_in_queries_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/promql");
    let mut scripts = 0;
    for entry in std::fs::read_dir(&folder).expect("queries/promql exists").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "test") {
            let text = std::fs::read_to_string(entry.path()).expect("a readable script");
            let name = entry.file_name().to_string_lossy().into_owned();
            let evals = run(&name, &text).unwrap_or_else(|why| panic!("{why}"));
            assert!(text.starts_with("# "), "{name} begins with a question in words");
            assert!(evals > 0, "{name} asks nothing");
            scripts += 1;
        }
    }
    assert!(scripts >= 5, "{scripts} scripts in {}", folder.display());
}

#[test]
fn a_wrong_row_is_reported_with_its_line() {
    let why = run("x", "load 1m\n  up 1\n\neval instant at 0 up\n  up 2\n").expect_err("1 is not 2");
    assert_eq!(why, "x:4: up: up is Float(1.0), expected Some(Float(2.0))");
}

/// The number of evaluations, or the first that differs.
pub(crate) fn run(name: &str, text: &str) -> Result<usize, String> {
    let lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim_end()))
        .filter(|(_, line)| !line.trim_start().starts_with('#') && !line.is_empty())
        .collect();
    let (mut memory, mut evals, mut rest) = (Memory::default(), 0, lines.as_slice());
    while let Some((&(number, head), tail)) = rest.split_first() {
        let block = tail.iter().take_while(|(_, line)| line.starts_with(' ')).count();
        let (block, after) = tail.split_at(block);
        rest = after;
        let at = |why: String| format!("{name}:{number}: {why}");
        match head.split_once(' ') {
            None if head == "clear" => memory = Memory::default(),
            Some(("load", step)) => load(&mut memory, step, block).map_err(at)?,
            Some((verb @ ("eval" | "eval_fail" | "eval_ordered"), what)) => {
                eval(&memory, verb, what, block).map_err(at)?;
                evals += 1;
            }
            _ => return Err(at(format!("neither load, eval nor clear: {head}"))),
        }
    }
    Ok(evals)
}

fn duration(text: &str) -> Result<i64, String> {
    Millis::parse(text).map(|span| span.0).map_err(|why| why.to_string())
}

fn load(memory: &mut Memory, step: &str, block: &[Line<'_>]) -> Result<(), String> {
    let step = duration(step)?;
    for (_, line) in block {
        let (labels, points) = series(line)?;
        for (i, point) in points.into_iter().enumerate() {
            if let Some(Point::Float(value)) = point {
                memory.push(&labels, i as i64 * step, value);
            }
        }
    }
    Ok(())
}

fn eval(memory: &Memory, verb: &str, what: &str, block: &[Line<'_>]) -> Result<(), String> {
    let options = Options { threads: 2, ..Options::default() };
    let words: Vec<&str> = what.splitn(4, ' ').collect();
    let (answer, expected, query) = match words.as_slice() {
        ["instant", "at", at, query] => {
            let expr = parse(query).map_err(|why| format!("{query}: {why}"))?;
            (instant(memory, &expr, Timestamp(duration(at)?), &options), vector(verb, block)?, *query)
        }
        ["range", "from", from, rest] => {
            let words: Vec<&str> = rest.splitn(5, ' ').collect();
            let ["to", to, "step", step, query] = words.as_slice() else {
                return Err(format!("write: eval range from 0 to 1h step 5m query; not {what}"));
            };
            let expr = parse(query).map_err(|why| format!("{query}: {why}"))?;
            let (start, step) = (duration(from)?, duration(step)?);
            let series = block.iter().map(|(_, line)| series(line)).collect::<Result<Vec<_>, _>>()?;
            let grid = Step::new(step).ok_or("the step must be positive")?;
            let answer = range(memory, &expr, Timestamp(start), Timestamp(duration(to)?), grid, &options);
            (answer, Expected::Matrix { series, start, step }, *query)
        }
        _ => return Err(format!("write: eval instant at 5m query; not {what}")),
    };
    match answer {
        Err(_) if verb == "eval_fail" => Ok(()),
        Err(why) => Err(format!("{query}: {why}")),
        Ok(answer) if verb == "eval_fail" => Err(format!("{query} must fail, but is {:?}", answer.value)),
        Ok(answer) => check(&expected, &answer.value).map_err(|why| format!("{query}: {why}")),
    }
}

fn vector(verb: &str, block: &[Line<'_>]) -> Result<Expected, String> {
    if let [(_, line)] = block
        && let Ok(number) = line.trim().parse()
    {
        return Ok(Expected::Scalar(number));
    }
    let series = block.iter().map(|(_, line)| series(line)).collect::<Result<Vec<_>, _>>()?;
    Ok(Expected::Vector { series, ordered: verb == "eval_ordered" })
}

/// `name{label="value"} 1 2 3`: labels and points.
fn series(line: &str) -> Result<(Labels, Vec<Option<Point>>), String> {
    let line = line.trim();
    let end = line.find('}').map_or_else(|| line.find(' ').unwrap_or(line.len()), |brace| brace + 1);
    let (metric, values) = line.split_at(end);
    let labels = if metric == "{}" { Labels::empty() } else { labels(metric)? };
    let mut points = Vec::new();
    for item in values.split_whitespace() {
        points.extend(self::points(item)?);
    }
    Ok((labels, points))
}

/// A selector of `=` matchers names exactly one label set.
fn labels(metric: &str) -> Result<Labels, String> {
    let expr = parse(metric).map_err(|why| format!("{metric}: {why}"))?;
    let ExprKind::Vector(selector) = expr.kind else { return Err(format!("{metric} is no series")) };
    if selector.matchers.iter().any(|matcher| matcher.op != MatchOp::Equal) {
        return Err(format!("{metric} is no single series"));
    }
    let pairs = selector.matchers.iter().map(|matcher| (&matcher.name, &matcher.value));
    Labels::from_pairs(pairs).map_err(|why| format!("{metric}: {why}"))
}

fn points(item: &str) -> Result<Vec<Option<Point>>, String> {
    let bad = || format!("{item} is no sample; write 1, 0+5x10, 3x4, _, _x3 or stale");
    let (value, times) = match item.rsplit_once('x') {
        Some((value, times)) => (value, times.parse::<usize>().map_err(|_| bad())?),
        None => (item, 0),
    };
    if value == "_" {
        return Ok(vec![None; times.max(1)]);
    }
    if value == "stale" {
        return Ok(vec![Some(Point::Float(STALE_NAN))]);
    }
    let split = value.char_indices().skip(1).find(|(i, c)| matches!(c, '+' | '-') && !value[..*i].ends_with('e'));
    let (from, by) = split.map_or((value, "0"), |(i, _)| value.split_at(i));
    let (from, by): (f64, f64) = (from.parse().map_err(|_| bad())?, by.parse().map_err(|_| bad())?);
    Ok((0..=times).map(|i| Some(Point::Float(from + by * i as f64))).collect())
}
