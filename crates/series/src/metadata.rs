//! What a metric is: type, unit and help, as remote write and the text formats carry it.

/// Metric types, numbered as in the remote-write protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not said.
    #[default]
    Unknown,
    /// Only rises, but for resets.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Buckets, count and sum.
    Histogram,
    /// A histogram that goes both ways.
    GaugeHistogram,
    /// Quantiles computed by the sender.
    Summary,
    /// Constant 1 with labels.
    Info,
    /// One of several states.
    StateSet,
}

/// Metadata of one metric family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Metric family name.
    pub metric: String,
    /// Its type.
    pub kind: MetricType,
    /// Help text.
    pub help: String,
    /// Unit, such as `seconds`.
    pub unit: String,
}

impl MetricType {
    /// From the protocol's number; unknown numbers are [`MetricType::Unknown`].
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Counter,
            2 => Self::Gauge,
            3 => Self::Histogram,
            4 => Self::GaugeHistogram,
            5 => Self::Summary,
            6 => Self::Info,
            7 => Self::StateSet,
            _ => Self::Unknown,
        }
    }

    /// From the word that [`MetricType::as_str`] gives; other words are [`MetricType::Unknown`].
    pub fn from_word(word: &str) -> Self {
        (0..8).map(Self::from_number).find(|kind| kind.as_str() == word).unwrap_or_default()
    }

    /// The word used by the Prometheus API and the text formats.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}
