//! What an actuator is given.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use series::Timestamp;

use crate::error::ActuateError;

/// Longest id, key, type, source or subject, bytes.
const MAX_TEXT: usize = 1024;

/// Largest payload as JSON, bytes.
const MAX_PAYLOAD: usize = 1 << 20;

/// One message: a CloudEvent with an idempotency key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Unique within `source`; receivers drop a second one.
    pub id: String,
    /// The same for every attempt at the same effect, visible ASCII.
    pub idempotency_key: String,
    /// For instance `io.foretide.recommendation.created`.
    pub event_type: String,
    /// Who says so: a URI reference, for instance `/foretide/cluster-a`.
    pub source: String,
    /// What it is about: `deployment/shop/checkout`.
    pub subject: String,
    /// When it was said, milliseconds UTC.
    #[serde(rename = "time_ms", serialize_with = "write_time", deserialize_with = "read_time")]
    pub time: Timestamp,
    /// Who approved it, when a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// The recommendation or decision as JSON.
    pub payload: Value,
}

fn write_time<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_i64(time.0)
}

fn read_time<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
    i64::deserialize(input).map(Timestamp)
}

impl Message {
    /// Checks that every text is present, short and free of control characters, and returns the payload as JSON.
    ///
    /// # Errors
    /// [`ActuateError::Message`] names the field and the fault.
    pub fn body(&self) -> Result<Vec<u8>, ActuateError> {
        let texts = [
            ("id", &self.id),
            ("idempotency_key", &self.idempotency_key),
            ("event_type", &self.event_type),
            ("source", &self.source),
            ("subject", &self.subject),
        ];
        for (field, text) in texts {
            let fault = if text.is_empty() {
                "is empty"
            } else if text.len() > MAX_TEXT {
                "is longer than 1,024 bytes"
            } else if text.chars().any(char::is_control) {
                "has control characters"
            } else if field == "idempotency_key" && !text.bytes().all(|b| b.is_ascii_graphic()) {
                "has characters outside visible ASCII"
            } else {
                continue;
            };
            return Err(ActuateError::Message { field, fault });
        }
        let body = serde_json::to_vec(&self.payload)
            .map_err(|_| ActuateError::Message { field: "payload", fault: "cannot be written as JSON" })?;
        if body.len() > MAX_PAYLOAD {
            return Err(ActuateError::Message { field: "payload", fault: "is larger than 1 MiB" });
        }
        Ok(body)
    }

    /// `replicas` under `/current` or `/proposed` of the payload.
    pub(crate) fn replicas(&self, side: &str) -> Option<u64> {
        self.payload.pointer(side)?.get("replicas")?.as_u64()
    }

    /// Whether the payload proposes replicas at all, in whatever form.
    pub(crate) fn proposes_replicas(&self) -> bool {
        self.payload.pointer("/proposed").is_some_and(|proposed| proposed.get("replicas").is_some())
    }
}
