//! Comparing an answer with what a script or case expects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use promql::{Value, buckets};
use series::{Histogram, Labels};

/// Relative tolerance of the conformance runner.
pub(crate) const EPSILON: f64 = 1e-6;

/// An expected point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Point {
    Float(f64),
    Histogram(Box<Histogram>),
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

fn same(expected: Option<&Point>, found: &promql::Point) -> bool {
    match (expected, found) {
        (Some(Point::Float(expected)), promql::Point::Float(found)) => close(*expected, *found),
        (Some(Point::Histogram(expected)), promql::Point::Histogram(found)) => same_histogram(expected, found),
        _ => false,
    }
}

/// As the query API shows histograms: count, sum, and buckets that hold something.
fn same_histogram(expected: &Histogram, found: &Histogram) -> bool {
    let shown = |histogram: &Histogram| {
        let all = buckets(histogram).into_iter().filter(|bucket| bucket.count != 0.0);
        all.flat_map(|bucket| [bucket.lower, bucket.upper, bucket.count]).collect::<Vec<f64>>()
    };
    let (want, have) = (shown(expected), shown(found));
    close(expected.count, found.count)
        && close(expected.sum, found.sum)
        && want.len() == have.len()
        && want.iter().zip(&have).all(|(a, b)| close(*a, *b))
}

/// `Err` says what differs.
pub(crate) fn check(expected: &Expected, value: &Value) -> Result<(), String> {
    match (expected, value) {
        (Expected::Text(text), Value::String(_, found)) if text == found => Ok(()),
        (Expected::Scalar(number), Value::Scalar(_, found)) if close(*number, *found) => Ok(()),
        (Expected::Vector { series, ordered }, Value::Vector(items)) => {
            let found: Vec<_> = items.iter().map(|item| (&item.labels, item.point.clone())).collect();
            check_vector(series, *ordered, &found)
        }
        (Expected::Matrix { series, start, step }, Value::Matrix(items)) => {
            let mut missing: BTreeMap<&Labels, &Vec<Option<Point>>> = series.iter().map(|(l, v)| (l, v)).collect();
            for item in items {
                let want = missing.remove(&item.labels).ok_or_else(|| format!("unexpected series {}", item.labels))?;
                let points = points(item);
                for (i, expected) in want.iter().enumerate() {
                    let at = start + step * i as i64;
                    match (expected, points.get(&at)) {
                        (None, None) => {}
                        (expected, Some(found)) if same(expected.as_ref(), found) => {}
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

/// All points of an item by time.
pub(crate) fn points(item: &promql::MatrixItem) -> BTreeMap<i64, promql::Point> {
    let floats = item.points.iter().map(|(at, value)| (at.0, promql::Point::Float(*value)));
    let histograms = item.histograms.iter().map(|(at, h)| (at.0, promql::Point::Histogram(Arc::clone(h))));
    floats.chain(histograms).collect()
}

pub(crate) fn check_vector(
    series: &[(Labels, Vec<Option<Point>>)],
    ordered: bool,
    found: &[(&Labels, promql::Point)],
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
        let expected = series[at].1.first().and_then(Option::as_ref);
        if !same(expected, value) {
            return Err(format!("{labels} is {value:?}, expected {expected:?}"));
        }
    }
    match (0..series.len()).find(|at| !seen.contains(at)) {
        Some(at) => Err(format!("missing series {}", series[at].0)),
        None => Ok(()),
    }
}
