//! Durations in the configuration: `15s`, `5m`, `14d`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use series::Millis;

/// A positive duration, written as in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Millis);

impl Span {
    /// From seconds.
    pub const fn seconds(n: i64) -> Self {
        Self(Millis::from_secs(n))
    }

    /// From minutes.
    pub const fn minutes(n: i64) -> Self {
        Self(Millis::from_mins(n))
    }

    /// From hours.
    pub const fn hours(n: i64) -> Self {
        Self(Millis::from_hours(n))
    }

    /// As the standard library's duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.0.max(0) as u64)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        match Millis::parse(&text) {
            Ok(span) if span.0 > 0 => Ok(Self(span)),
            Ok(_) => Err(serde::de::Error::custom(format!("`{text}` must be longer than 0s"))),
            Err(err) => Err(serde::de::Error::custom(err)),
        }
    }
}
