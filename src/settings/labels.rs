//! How large label sets may be: `labels: {per_series: 64}`.

use ingest::Limits;
use serde::{Deserialize, Serialize};

use super::check::Fault;

/// Bounds of the labels of one series; a series beyond them is refused, whoever sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelSettings {
    /// Labels, the metric's name included.
    pub per_series: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Bytes of all names and values together.
    pub series_bytes: usize,
}

impl LabelSettings {
    /// What the settings may be raised to: every series is kept in memory and repeated in every request.
    const MOST: Self = Self { per_series: 1000, name_bytes: 1 << 10, value_bytes: 64 << 10, series_bytes: 256 << 10 };

    /// Bounds of a request with these bounds of its series.
    pub fn limits(&self) -> Limits {
        let Self { per_series, name_bytes, value_bytes, series_bytes } = *self;
        Limits { labels_per_series: per_series, name_bytes, value_bytes, series_bytes, ..Limits::default() }
    }

    pub(super) fn faults(&self) -> Result<(), Fault> {
        let keys = ["per_series", "name_bytes", "value_bytes", "series_bytes"];
        for ((key, value), most) in keys.into_iter().zip(self.values()).zip(Self::MOST.values()) {
            if !(1..=most).contains(&value) {
                return Err((format!("labels.{key}"), format!("it is not between 1 and {most}")));
            }
        }
        Ok(())
    }

    fn values(&self) -> [usize; 4] {
        [self.per_series, self.name_bytes, self.value_bytes, self.series_bytes]
    }
}

impl Default for LabelSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            per_series: limits.labels_per_series,
            name_bytes: limits.name_bytes,
            value_bytes: limits.value_bytes,
            series_bytes: limits.series_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::Settings;

    #[test]
    fn bounds_of_labels_can_be_set_within_reason() {
        let settings = Settings::parse("labels: {per_series: 64}\n", "test").expect("valid");
        let limits = settings.labels.limits();
        assert_eq!((limits.labels_per_series, limits.value_bytes), (64, 4096));
        let nothing = Settings::parse("labels: {per_series: 0}\n", "test").expect("numbers");
        let (key, why) = nothing.faults().expect_err("nothing fits");
        assert_eq!((key.as_str(), why.as_str()), ("labels.per_series", "it is not between 1 and 1000"));
    }
}
