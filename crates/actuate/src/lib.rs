//! The only door outwards: turns recommendations into files and web requests, carefully.
//!
//! ```text
//!  Message ─▶ Gate ──────────────────────────────────────────▶ Actuator
//!             kill switch, mode, bounds, rate, circuit breaker   FileActuator: one JSON document a target + JSONL
//!                                                                WebhookActuator: CloudEvents over guarded HTTP
//! ```
//!
//! Every write is an absolute target, never a delta, and carries an idempotency key, so a repeat is harmless. `plan`
//! shows what would happen, `apply` does it once, `verify` looks. An error says whether trying again can help
//! ([`ActuateError::retry`]); who retries, when and how often is the caller's outbox.

mod actuator;
mod breaker;
mod egress;
mod error;
mod file;
mod gate;
mod message;
mod rate;
mod webhook;

pub use actuator::{Actuator, Effect, Plan, Receipt, Verified};
pub use breaker::{Breaker, BreakerSettings, BreakerState};
pub use egress::{Egress, EgressError, Lookup, SystemLookup, forbidden};
pub use error::{ActuateError, Retry};
pub use file::{FileActuator, FileSettings};
pub use gate::{Bounds, Gate, GateSettings, KillSwitch, Mode};
pub use message::Message;
pub use rate::TokenBucket;
pub use webhook::{ContentMode, Secret, WebhookActuator, WebhookSettings, verify_signature};
