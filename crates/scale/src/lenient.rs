//! How times, spans and floats travel through JSON.
//!
//! Instants are integers of milliseconds. Spans are written as Prometheus durations (`"3m"`) and read from those or
//! from integer milliseconds. Floats that are not finite are written as `null` and read back as NaN, so that a record
//! with a broken reading still replays.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use series::{Millis, Timestamp};

/// Instants as integer milliseconds; use as `#[serde(with = "lenient::instant")]`.
pub(crate) mod instant {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_i64(at.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(input).map(Timestamp)
    }
}

/// Optional instants.
pub(crate) mod instant_opt {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Option<Timestamp>, out: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(input)?.map(Timestamp))
    }
}

/// A span, from `"3m"` or from integer milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Millis);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a duration such as \"3m\", or integer milliseconds")]
        enum Either {
            Millis(i64),
            Text(String),
        }
        match Either::deserialize(input)? {
            Either::Millis(millis) => Ok(Self(Millis(millis))),
            Either::Text(text) => Millis::parse(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// Spans in Prometheus notation.
pub(crate) mod span {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(span: &Millis, out: S) -> Result<S::Ok, S::Error> {
        // The notation has no sign; a negative span (which validation refuses) stays a number so that it reads back.
        if span.0 < 0 { out.serialize_i64(span.0) } else { out.collect_str(span) }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Millis, D::Error> {
        Span::deserialize(input).map(|span| span.0)
    }
}

/// Floats where `null` stands for "not a finite number".
pub(crate) mod float {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(input)?.unwrap_or(f64::NAN))
    }
}

/// Rows of `(level, values)` with lenient floats.
pub(crate) mod rows {
    use super::*;

    type Rows = Vec<(f64, Vec<f64>)>;

    pub(crate) fn serialize<S: Serializer>(rows: &Rows, out: S) -> Result<S::Ok, S::Error> {
        let finite = |value: &f64| value.is_finite().then_some(*value);
        out.collect_seq(rows.iter().map(|(level, row)| (finite(level), row.iter().map(finite).collect::<Vec<_>>())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Rows, D::Error> {
        let rows = Vec::<(Option<f64>, Vec<Option<f64>>)>::deserialize(input)?;
        let float = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Ok(rows.into_iter().map(|(level, row)| (float(level), row.into_iter().map(float).collect())).collect())
    }
}
