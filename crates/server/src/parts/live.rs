//! Events pushed to the page as they happen.

use serde_json::Value;

/// An event of `GET /api/live`.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveEvent {
    /// Its name on the wire.
    pub kind: LiveKind,
    /// Its data.
    pub payload: Value,
}

/// What happened. `pulse` (ingest rate and host load, once a second) is made by the server itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveKind {
    /// A recommendation was made or changed.
    Advice,
    /// An anomaly opened or closed.
    Anomaly,
    /// A scaling decision was taken.
    Decision,
    /// A forecast was refreshed.
    Forecast,
    /// A job changed state.
    Job,
}

impl LiveKind {
    /// The `event:` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advice => "advice",
            Self::Anomaly => "anomaly",
            Self::Decision => "decision",
            Self::Forecast => "forecast",
            Self::Job => "job",
        }
    }
}
