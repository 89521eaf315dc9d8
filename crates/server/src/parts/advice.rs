//! Recommendations and anomalies as the API shows them.

use serde::Serialize;
use serde_json::{Map, Value};

use series::Timestamp;

use crate::wire;

/// Which items of a list are wanted; absent fields let everything pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Kind, such as `scale`, `rightsize`, `capacity` or an anomaly's kind.
    pub kind: Option<String>,
    /// State, such as `open`, `applied`, `dismissed`.
    pub state: Option<String>,
    /// Namespace or service.
    pub namespace: Option<String>,
    /// Text that the target contains.
    pub target: Option<String>,
}

/// One advice: current → proposed, why, how sure, what it saves, what would break, how to undo it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    /// Stable identity, safe in a path.
    pub id: String,
    /// `scale`, `rightsize`, `capacity`, ….
    pub kind: String,
    /// `open`, `applied`, `dismissed`, `expired`.
    pub state: String,
    /// What it is about, such as `deployment/shop/checkout`.
    pub target: String,
    /// Namespace or service, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What is set now, for people: `12 replicas`.
    pub current: String,
    /// What should be set, for people: `17 replicas`.
    pub proposed: String,
    /// Why: the series, the window, the quantile.
    pub reason: String,
    /// How sure and by which backtest.
    pub confidence: Confidence,
    /// What it saves (positive) or costs (negative); `None` when money is not the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saving: Option<Saving>,
    /// What would break if it is wrong.
    pub risk: String,
    /// How to take it back: a command or a sentence.
    pub undo: String,
    /// When it should be in force at the latest.
    #[serde(serialize_with = "wire::time_option", skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When it was made.
    #[serde(serialize_with = "wire::time")]
    pub created: Timestamp,
    /// The evidence as queries to copy.
    pub evidence: Copies,
    /// Further fields, such as the patch.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What a person says to a recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has been carried out.
    Applied,
    /// It is not wanted.
    Dismissed,
}

/// Why a verdict was not noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdviceError {
    /// There is no such recommendation.
    Unknown,
    /// It is no longer given; the reason and what to do.
    Over(String),
    /// It could not be written.
    Failed(String),
}

/// How much to believe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confidence {
    /// `high`, `medium`, `low` or `none`.
    pub level: String,
    /// Probability in (0, 1) that the advice holds; `None` when not enough data was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Where it comes from: `error 0.71 of seasonal-naive over 5 backtests`.
    pub basis: String,
}

/// Money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saving {
    /// Positive saves, negative costs.
    pub amount: f64,
    /// ISO 4217, such as `USD`.
    pub currency: String,
    /// `month`, `hour`, ….
    pub per: String,
}

/// The same thing in the languages it can be asked in; `curl` is added by the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Copies {
    /// As PromQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promql: Option<String>,
    /// As SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// As a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cli: Option<String>,
}

/// What kind of anomaly; each has its own mark so that colour is not the only difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// A short rise.
    Spike,
    /// A fall that may end.
    Drop,
    /// A rise that lasts and may end.
    Burst,
    /// The level rose and stays.
    ShiftUp,
    /// The level fell and stays.
    ShiftDown,
    /// A trend that meets its limit soon.
    Trend,
    /// Worse than before a change.
    Regression,
}

impl AnomalyKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Spike, Self::Drop, Self::Burst, Self::ShiftUp, Self::ShiftDown, Self::Trend, Self::Regression];

    /// The word in JSON, in filters and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
            Self::Burst => "burst",
            Self::Trend => "trend",
            Self::ShiftUp => "shift_up",
            Self::ShiftDown => "shift_down",
            Self::Regression => "regression",
        }
    }
}

/// Something unusual.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// Stable identity, safe in a path.
    pub id: String,
    /// What kind.
    pub kind: AnomalyKind,
    /// `open` or `closed`.
    pub state: String,
    /// The series, as PromQL writes it.
    pub series: String,
    /// Short title, such as `payments p99 latency`.
    pub title: String,
    /// Since when.
    #[serde(serialize_with = "wire::time")]
    pub start: Timestamp,
    /// Until when; `None` while it lasts.
    #[serde(serialize_with = "wire::time_option")]
    pub end: Option<Timestamp>,
    /// Last value seen.
    #[serde(serialize_with = "wire::number")]
    pub value: f64,
    /// Value that was expected.
    #[serde(serialize_with = "wire::number")]
    pub expected: f64,
    /// How unusual, from 0 (normal) to 1.
    #[serde(serialize_with = "wire::number")]
    pub score: f64,
    /// One sentence for people.
    pub explanation: String,
    /// Queries to copy.
    pub evidence: Copies,
    /// Further fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}
