//! Comparing an answer with what a script or case expects.

use std::collections::{BTreeMap, BTreeSet};

use promql::{Value, format_number};
use series::Labels;

/// Relative tolerance of the conformance runner.
pub(crate) const EPSILON: f64 = 1e-6;

/// An expected point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Point {
    Float(f64),
    /// A native histogram, which no answer holds yet.
    Histogram,
}

/// What an evaluation must answer.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    Fail,
    Text(String),
    Scalar(f64),
    Vector { series: Vec<(Labels, Vec<Option<Point>>)>, ordered: bool },
    Matrix { series: Vec<(Labels, Vec<Option<Point>>)>, start: i64, step: i64 },
}

/// Relative comparison with NaN equal to NaN and the infinities only to themselves.
pub(crate) fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a == b {
        return true;
    }
    if a.is_infinite() || b.is_infinite() {
        return false;
    }
    let (difference, size) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < EPSILON
}

fn same(expected: Option<Point>, found: f64) -> bool {
    matches!(expected, Some(Point::Float(value)) if close(value, found))
}

/// `Err` says what differs.
pub(crate) fn check(expected: &Expected, value: &Value) -> Result<(), String> {
    match (expected, value) {
        (Expected::Text(text), Value::String(_, found)) if text == found => Ok(()),
        (Expected::Scalar(number), Value::Scalar(_, found)) if close(*number, *found) => Ok(()),
        (Expected::Vector { series, ordered }, Value::Vector(items)) => {
            let found: Vec<(&Labels, f64)> = items.iter().map(|item| (&item.labels, item.value)).collect();
            check_vector(series, *ordered, &found)
        }
        (Expected::Matrix { series, start, step }, Value::Matrix(items)) => {
            let mut missing: BTreeMap<&Labels, &Vec<Option<Point>>> = series.iter().map(|(l, v)| (l, v)).collect();
            for item in items {
                let want = missing.remove(&item.labels).ok_or_else(|| format!("unexpected series {}", item.labels))?;
                let points: BTreeMap<i64, f64> = item.points.iter().map(|(at, value)| (at.0, *value)).collect();
                for (i, expected) in want.iter().enumerate() {
                    let at = start + step * i as i64;
                    match (expected, points.get(&at)) {
                        (None, None) => {}
                        (expected, Some(found)) if same(*expected, *found) => {}
                        (expected, found) => {
                            return Err(format!("{} at {at}: {found:?}, expected {expected:?}", item.labels));
                        }
                    }
                }
                if points.len() != want.iter().flatten().count() {
                    return Err(format!("{} has {} points", item.labels, points.len()));
                }
            }
            match missing.into_iter().next() {
                Some((labels, _)) => Err(format!("missing series {labels}")),
                None => Ok(()),
            }
        }
        (expected, found) => Err(format!("{found:?}, expected {expected:?}")),
    }
}

pub(crate) fn check_vector(
    series: &[(Labels, Vec<Option<Point>>)],
    ordered: bool,
    found: &[(&Labels, f64)],
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (place, (labels, value)) in found.iter().enumerate() {
        let Some(at) = series.iter().position(|(l, _)| l == *labels) else {
            return Err(format!("unexpected series {labels}"));
        };
        if !seen.insert(at) {
            return Err(format!("series twice: {labels}"));
        }
        if ordered && at != place {
            return Err(format!("{labels} at place {place}, expected {at}"));
        }
        let expected = series[at].1.first().copied().flatten();
        if !same(expected, *value) {
            return Err(format!("{labels} is {}, expected {expected:?}", format_number(*value)));
        }
    }
    match (0..series.len()).find(|at| !seen.contains(at)) {
        Some(at) => Err(format!("missing series {}", series[at].0)),
        None => Ok(()),
    }
}
