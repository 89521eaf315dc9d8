//! The one record that leaves this room: advice of any kind, ready to be listed, exported and applied.

mod csv;
mod manifest;
mod markdown;
mod metrics;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::cost::{HOURS_PER_MONTH, Prices};
use crate::decision::{Action, Decision, digest};
use crate::lenient;
use crate::quantity::{format_bytes, format_cpu, human_bytes};
use crate::rightsize::{Advice, Resources, Sizing};
use crate::runway::Runway;

pub use csv::to_csv;
pub use manifest::plan_yaml;
pub use markdown::to_markdown;
pub use metrics::{MetricLine, to_exposition, to_metrics};
pub use table::{Table, table};

/// What kind of advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Replicas.
    Scale,
    /// Requests and limits.
    Rightsize,
    /// Disk and other stores.
    Capacity,
}

/// How sure, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Not enough data for advice.
    None,
    /// A hint.
    Low,
    /// Likely.
    Medium,
    /// As good as data gets.
    High,
}

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Saves money or tidies up.
    Info,
    /// Something will go wrong.
    Warning,
    /// Something is wrong or about to be.
    Critical,
}

/// Where a recommendation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waiting for someone.
    #[default]
    Open,
    /// Done.
    Applied,
    /// Refused by a person.
    Dismissed,
    /// A newer one says more.
    Superseded,
}

/// A value before or after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// A count, for instance replicas.
    Count(u64),
    /// A number in the unit its name ends with.
    Number(f64),
    /// A quantity as Kubernetes writes it, or words.
    Text(String),
}

/// The evidence in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Details {
    /// Of [`Kind::Scale`].
    Scale(Box<Decision>),
    /// Of [`Kind::Rightsize`].
    Rightsize(Box<Sizing>),
    /// Of [`Kind::Capacity`].
    Capacity(Box<Runway>),
}

/// One piece of advice: what, why, how sure, what it saves, what could break, how to undo it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// 32 hex digits over kind, target and proposal: the same advice has the same id whenever it is given.
    pub id: String,
    /// Kind.
    pub kind: Kind,
    /// `deployment/shop/checkout`, or the name of a resource.
    pub target: String,
    /// One line.
    pub title: String,
    /// What is set now: `replicas`, `cpu_request`, `memory_request`, `capacity`…
    pub current: BTreeMap<String, Field>,
    /// What should be set, under the same names.
    pub proposed: BTreeMap<String, Field>,
    /// Why, for people.
    pub reason: String,
    /// PromQL that shows the evidence.
    pub evidence_query: String,
    /// From 0 (do not trust) to 1.
    pub confidence: f64,
    /// The same in a word.
    pub confidence_word: Confidence,
    /// What it changes a month, positive is dearer.
    pub cost_delta_monthly: f64,
    /// What it saves a month, never negative.
    pub saving_monthly: f64,
    /// ISO 4217 code.
    pub currency: String,
    /// What would break if it is wrong.
    pub risk: String,
    /// How to take it back.
    pub undo: String,
    /// Milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "created_at_ms", alias = "created_at")]
    pub created_at: Timestamp,
    /// Milliseconds UTC; later it must not be applied.
    #[serde(with = "lenient::instant", rename = "valid_until_ms", alias = "valid_until")]
    pub valid_until: Timestamp,
    /// Where it is in its life.
    #[serde(default)]
    pub status: Status,
    /// How urgent.
    pub severity: Severity,
    /// The evidence in full.
    pub details: Details,
}

impl Confidence {
    /// The word for a number from 0 to 1: from 0.75 high, from 0.5 medium, above 0 low.
    pub fn of(confidence: f64) -> Self {
        match confidence {
            c if c >= 0.75 => Self::High,
            c if c >= 0.5 => Self::Medium,
            c if c > 0.0 => Self::Low,
            _ => Self::None,
        }
    }

    /// A number for the word.
    pub const fn number(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Low => 0.3,
            Self::Medium => 0.6,
            Self::High => 0.9,
        }
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl Kind {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Rightsize => "rightsize",
            Self::Capacity => "capacity",
        }
    }
}

impl Severity {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Status {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applied => "applied",
            Self::Dismissed => "dismissed",
            Self::Superseded => "superseded",
        }
    }
}

impl Recommendation {
    /// Advice from a scaling decision, or from the scale-up it foresees; `None` when neither changes anything.
    /// `replica_hour` is what a replica costs an hour, in the currency of `prices`. Valid for `valid_for` from the moment to
    /// act.
    pub fn from_decision(decision: &Decision, replica_hour: f64, prices: &Prices, valid_for: Millis) -> Option<Self> {
        let (to, when) = match (decision.action, decision.upcoming) {
            (Action::Scale, _) => (decision.to, decision.at.max(decision.when)),
            (Action::Hold, Some(upcoming)) => (upcoming.to, upcoming.when),
            (Action::Hold, None) => return None,
        };
        let from = decision.from;
        let monthly = replica_hour * (f64::from(to) - f64::from(from)) * HOURS_PER_MONTH;
        let replicas = |count: u32| BTreeMap::from([("replicas".to_owned(), Field::Count(u64::from(count)))]);
        let target = decision.target.to_string();
        let name = decision.target.name();
        let risk = if to > from {
            "costs more if the demand does not come".to_owned()
        } else {
            format!("slower answers if demand rises before a replica can start again; {from} serve now")
        };
        Some(Self {
            id: digest(&[b"scale", target.as_bytes(), &from.to_le_bytes(), &to.to_le_bytes()]),
            kind: Kind::Scale,
            title: format!("{name} {from} → {to} replicas at {when}"),
            target,
            current: replicas(from),
            proposed: replicas(to),
            reason: decision.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; "),
            evidence_query: decision.evidence_query.clone(),
            confidence: decision.confidence,
            confidence_word: Confidence::of(decision.confidence),
            cost_delta_monthly: monthly,
            saving_monthly: (-monthly).max(0.0),
            currency: prices.currency.clone(),
            risk,
            undo: decision.undo.clone(),
            created_at: decision.at,
            valid_until: when + valid_for,
            status: Status::Open,
            severity: if to > from { Severity::Warning } else { Severity::Info },
            details: Details::Scale(Box::new(decision.clone())),
        })
    }

    /// Advice from a sizing, also when it says that data is missing: lists show what is not advised, too.
    /// Use [`Recommendation::changes`] to tell them apart.
    pub fn from_sizing(sizing: &Sizing, prices: &Prices, now: Timestamp, valid_for: Millis) -> Self {
        let target = sizing.target.to_string();
        let (current, proposed) = (resource_fields(&sizing.current), resource_fields(&sizing.proposed));
        let proposal = format!("{proposed:?}");
        let name = format!("{}/{}", sizing.target.name(), sizing.container);
        let lowers = sizing.memory == Advice::Lower || sizing.cpu == Advice::Lower;
        Self {
            id: digest(&[b"rightsize", target.as_bytes(), sizing.container.as_bytes(), proposal.as_bytes()]),
            kind: Kind::Rightsize,
            title: sizing_title(&name, sizing),
            target,
            current,
            proposed,
            reason: sizing.why.clone(),
            evidence_query: sizing.evidence_query.clone(),
            confidence: sizing.confidence.number(),
            confidence_word: sizing.confidence,
            cost_delta_monthly: 0.0 - sizing.saving_monthly,
            saving_monthly: sizing.saving_monthly.max(0.0),
            currency: prices.currency.clone(),
            risk: sizing_risk(sizing, lowers),
            undo: format!("set the requests and limits of {name} back to those under `current`"),
            created_at: now,
            valid_until: now + valid_for,
            status: Status::Open,
            severity: if sizing.ooms > 0 {
                Severity::Critical
            } else if sizing.is_at_risk() {
                Severity::Warning
            } else {
                Severity::Info
            },
            details: Details::Rightsize(Box::new(sizing.clone())),
        }
    }

    /// Advice from a runway; resources that are never full are listed, too.
    pub fn from_runway(runway: &Runway, prices: &Prices, valid_for: Millis) -> Self {
        let show = |value: f64| if runway.in_bytes { format_bytes(value) } else { format!("{value}") };
        let capacity = |value: f64| BTreeMap::from([("capacity".to_owned(), Field::Text(show(value)))]);
        let proposed = runway.limit + runway.add.unwrap_or(0.0);
        let days = runway.days_p10.unwrap_or(f64::INFINITY);
        Self {
            id: digest(&[b"capacity", runway.resource.as_bytes(), &proposed.to_bits().to_le_bytes()]),
            kind: Kind::Capacity,
            target: runway.resource.clone(),
            title: format!("{}: {}", runway.resource, runway.summary),
            current: capacity(runway.limit),
            proposed: capacity(proposed),
            reason: format!(
                "{:.0} % used, growing {} a day over {:.0} days of history",
                100.0 * runway.used / runway.limit,
                if runway.in_bytes {
                    human_bytes(runway.growth_per_day.max(0.0))
                } else {
                    crate::decision::short(runway.growth_per_day)
                },
                runway.history_days
            ),
            evidence_query: runway.evidence_query.clone(),
            confidence: runway.confidence.number(),
            confidence_word: runway.confidence,
            cost_delta_monthly: runway.cost_monthly,
            saving_monthly: 0.0,
            currency: prices.currency.clone(),
            risk: "writes fail when it is full; added capacity can seldom be taken back".into(),
            undo: "capacity is added, not moved: remove it again only after checking what was written".into(),
            created_at: runway.at,
            valid_until: runway.at + valid_for,
            status: Status::Open,
            severity: match days {
                d if d <= 7.0 => Severity::Critical,
                d if d <= 60.0 => Severity::Warning,
                _ => Severity::Info,
            },
            details: Details::Capacity(Box::new(runway.clone())),
        }
    }

    /// Whether applying it would change anything.
    pub fn changes(&self) -> bool {
        self.current != self.proposed
    }

    /// Whether it may still be applied at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.status == Status::Open && now <= self.valid_until
    }
}

fn resource_fields(resources: &Resources) -> BTreeMap<String, Field> {
    let quantities = [
        ("cpu_request", resources.cpu_request_cores.map(format_cpu)),
        ("cpu_limit", resources.cpu_limit_cores.map(format_cpu)),
        ("memory_request", resources.memory_request_bytes.map(format_bytes)),
        ("memory_limit", resources.memory_limit_bytes.map(format_bytes)),
    ];
    quantities.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Field::Text(value?)))).collect()
}

fn sizing_title(name: &str, sizing: &Sizing) -> String {
    let change = |before: Option<String>, after: Option<String>| match (before, after) {
        (before, Some(after)) if before.as_deref() != Some(after.as_str()) => {
            Some(format!("{} → {after}", before.unwrap_or_else(|| "unset".into())))
        }
        _ => None,
    };
    let (current, proposed) = (&sizing.current, &sizing.proposed);
    let cpu = change(current.cpu_request_cores.map(format_cpu), proposed.cpu_request_cores.map(format_cpu));
    let memory =
        change(current.memory_request_bytes.map(format_bytes), proposed.memory_request_bytes.map(format_bytes));
    let parts: Vec<String> = [cpu.map(|cpu| format!("CPU {cpu}")), memory.map(|memory| format!("memory {memory}"))]
        .into_iter()
        .flatten()
        .collect();
    match (parts.is_empty(), sizing.confidence) {
        (false, _) => format!("{name}: {}", parts.join(", ")),
        (true, Confidence::None) => format!("{name}: {}", sizing.why),
        (true, _) => format!("{name}: right as it is"),
    }
}

fn sizing_risk(sizing: &Sizing, lowers: bool) -> String {
    match (sizing.is_at_risk(), lowers) {
        (true, _) => "left as it is, the container may be killed for memory".into(),
        (false, true) => "a load higher than any in the window may be throttled or evicted; pods restart once".into(),
        (false, false) => "pods restart once".into(),
    }
}
