//! How our own types look in JSON: times are unix milliseconds, spans are milliseconds, numbers that JSON lacks are null.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use series::{Millis, Timestamp};

pub(crate) fn time<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_i64(at.0)
}

pub(crate) fn time_option<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(out)
}

pub(crate) fn span<S: Serializer>(span: &Millis, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_i64(span.0)
}

pub(crate) fn number<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(*value).serialize(out)
}

pub(crate) fn number_option<S: Serializer>(value: &Option<f64>, out: S) -> Result<S::Ok, S::Error> {
    value.filter(|value| value.is_finite()).serialize(out)
}

pub(crate) fn numbers<S: Serializer>(values: &[f64], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(values.iter().map(|value| value.is_finite().then_some(*value)))
}

/// As a list of `[ms, value]`.
pub(crate) fn points<S: Serializer>(points: &[(Timestamp, f64)], out: S) -> Result<S::Ok, S::Error> {
    let mut list = out.serialize_seq(Some(points.len()))?;
    for &(at, value) in points {
        list.serialize_element(&(at.0, value.is_finite().then_some(value)))?;
    }
    list.end()
}
