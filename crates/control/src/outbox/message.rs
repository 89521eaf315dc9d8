//! Messages, their states and their idempotency keys.

use std::fmt;

use serde::{Deserialize, Serialize};
use series::Timestamp;

use crate::audit::AuditEntry;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Known, not yet allowed to go out.
    Planned,
    /// Its audit record is durable; it may be sent.
    Audited,
    /// Leased by a worker.
    Sending,
    /// It took effect.
    Delivered,
    /// Given up after the last try: a dead letter.
    Failed,
    /// Overtaken by a newer message or by time.
    Superseded,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// For which tenant.
    pub tenant: String,
    /// What it acts on, for instance `kubernetes/prod/deployment/web`. Messages of one topic and target keep their order.
    pub target: String,
    /// Which actuator sends it.
    pub topic: String,
    /// Which policy wants it.
    pub policy: String,
    /// What it does, in a form that is equal exactly for equal effects.
    pub action: String,
    /// Higher goes first.
    pub priority: u8,
    /// What the actuator gets.
    pub payload: serde_json::Value,
    /// Start of the window the decision is for.
    pub window_start: Timestamp,
    /// Not sent after this.
    pub window_end: Timestamp,
}

/// A message as it is stored. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Its name: its number with leading zeros.
    pub id: String,
    /// Its number; later messages have larger ones.
    pub seq: u64,
    /// For which tenant.
    pub tenant: String,
    /// What it acts on.
    pub target: String,
    /// Which actuator sends it.
    pub topic: String,
    /// Which policy wants it.
    pub policy: String,
    /// What it does.
    pub action: String,
    /// Higher goes first.
    pub priority: u8,
    /// Sent along with it; the same for every try.
    pub idempotency_key: String,
    /// What the actuator gets.
    pub payload: serde_json::Value,
    /// Start of its window.
    pub window_start: i64,
    /// End of its window.
    pub window_end: i64,
    /// When it was made.
    pub created_at: i64,
    /// Where it stands.
    pub state: MessageState,
    /// Tries begun.
    pub attempts: u32,
    /// Not sent before this.
    pub next_at: i64,
    /// Which opening of the outbox leased it.
    pub epoch: u64,
    /// Why it is not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// What the actuator answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

impl MessageState {
    /// Whether it can still be sent.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Planned | Self::Audited | Self::Sending)
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planned => "planned",
            Self::Audited => "audited",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        })
    }
}

impl Draft {
    /// The key under which it takes effect once.
    pub fn idempotency_key(&self) -> String {
        idempotency_key(&self.target, &self.policy, self.window_start, &self.action)
    }
}

/// `blake3(target, policy, window_start, action)`, each text with its length before it, as 64 hexadecimal digits.
pub fn idempotency_key(target: &str, policy: &str, window_start: Timestamp, action: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(target);
    text(policy);
    text(&window_start.0.to_string());
    text(action);
    hasher.finalize().to_hex().to_string()
}

impl Message {
    pub(super) fn new(draft: Draft, key: String, seq: u64, now: Timestamp, state: MessageState) -> Self {
        Self {
            id: format!("{seq:020}"),
            seq,
            tenant: draft.tenant,
            target: draft.target,
            topic: draft.topic,
            policy: draft.policy,
            action: draft.action,
            priority: draft.priority,
            idempotency_key: key,
            payload: draft.payload,
            window_start: draft.window_start.0,
            window_end: draft.window_end.0,
            created_at: now.0,
            state,
            attempts: 0,
            next_at: now.0,
            epoch: 0,
            last_error: None,
            response: None,
        }
    }

    /// Whether its window is over.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.window_end < now.0
    }

    pub(super) fn finish(&mut self, state: MessageState, why: &str) {
        self.state = state;
        if !why.is_empty() {
            self.last_error = Some(why.to_owned());
        }
    }

    pub(super) fn audit(&self, now: Timestamp, verb: &str, result: &str) -> AuditEntry {
        AuditEntry {
            at: now.0,
            actor: format!("outbox/{}", self.topic),
            tenant: self.tenant.clone(),
            verb: verb.to_owned(),
            object: self.target.clone(),
            request: Some(self.idempotency_key.clone()),
            result: result.to_owned(),
            ..AuditEntry::default()
        }
    }
}
