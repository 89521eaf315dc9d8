//! Own metrics, handed over as plain families.

/// Gives the application's own metrics.
pub trait Telemetry: Send + Sync {
    /// All families at this moment; any order, names unique. Must be quick.
    fn gather(&self) -> Vec<MetricFamily>;
}

/// One family.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFamily {
    /// Name in base units, such as `foretide_ingest_samples_total`.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// Its type.
    pub kind: MetricKind,
    /// Its samples.
    pub samples: Vec<MetricSample>,
}

/// Types of the text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// Goes both ways.
    Gauge,
    /// `_bucket`, `_sum`, `_count`.
    Histogram,
    /// Quantiles, `_sum`, `_count`.
    Summary,
    /// Not said.
    Untyped,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// `""`, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    /// Labels in writing order.
    pub labels: Vec<(String, String)>,
    /// Value.
    pub value: f64,
}

impl MetricFamily {
    /// A family of one sample without labels.
    pub fn single(name: &str, help: &str, kind: MetricKind, value: f64) -> Self {
        let samples = vec![MetricSample { suffix: "", labels: Vec::new(), value }];
        Self { name: name.to_owned(), help: help.to_owned(), kind, samples }
    }
}

impl MetricKind {
    /// The word after `# TYPE name`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}
