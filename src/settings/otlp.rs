//! OpenTelemetry metrics, as `otlp:` in the configuration.

use serde::{Deserialize, Serialize};

/// How OpenTelemetry metrics become series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpSettings {
    /// How names are written.
    pub names: OtlpNames,
    /// Resource attributes put on every series, beside `job` and `instance`; the others are on `target_info`.
    pub promote: Vec<String>,
    /// Whether the instrumentation scope is put on every series.
    pub scope_labels: bool,
    /// Streams of deltas that are added up; points of further ones are refused.
    pub delta_streams_max: usize,
}

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OtlpNames {
    /// Letters, digits and `_`, with units and `_total`.
    #[default]
    Underscores,
    /// Any UTF-8, with units and `_total`.
    Utf8,
    /// As they were sent.
    AsSent,
}

impl Default for OtlpSettings {
    fn default() -> Self {
        Self { names: OtlpNames::default(), promote: Vec::new(), scope_labels: false, delta_streams_max: 100_000 }
    }
}

impl OtlpSettings {
    /// What the reader of OTLP is told.
    pub(crate) fn options(&self) -> ingest::OtlpOptions {
        ingest::OtlpOptions {
            naming: match self.names {
                OtlpNames::Underscores => ingest::Naming::Underscores,
                OtlpNames::Utf8 => ingest::Naming::Utf8,
                OtlpNames::AsSent => ingest::Naming::AsSent,
            },
            promote: self.promote.clone(),
            scope_labels: self.scope_labels,
        }
    }
}
