//! The contract of everything that acts.

use series::Timestamp;

use crate::error::ActuateError;
use crate::message::Message;

/// What an actuator does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Tells people or systems; changes nothing by itself.
    Notify,
    /// Changes what runs.
    Act,
}

/// What would be written or sent. Secrets are shown as `***`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Name of the actuator.
    pub actuator: String,
    /// Where to: a path, or scheme, host and port.
    pub destination: String,
    /// Header names and values, for requests.
    pub headers: Vec<(String, String)>,
    /// The document or request body.
    pub body: String,
    /// Whether applying would change anything; `false` when the key was applied before.
    pub changes: bool,
}

/// Proof that a message was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The key that was applied.
    pub idempotency_key: String,
    /// Whether it had been applied before, so that nothing changed now.
    pub repeated: bool,
    /// Generation of the document, for files.
    pub generation: Option<u64>,
    /// HTTP status, for requests.
    pub status: Option<u16>,
    /// When, milliseconds UTC.
    pub applied_at: Timestamp,
}

/// What is found when looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// The message is in force.
    Applied {
        /// Generation of the document.
        generation: u64,
    },
    /// Another message is in force.
    Differs {
        /// Its idempotency key.
        idempotency_key: String,
        /// Its generation.
        generation: u64,
    },
    /// Nothing is in force for the subject.
    Missing,
    /// The receiver cannot be asked.
    Unknowable,
}

/// Applies messages. Implementations are shared between threads; each is idempotent by key.
pub trait Actuator: Send + Sync {
    /// Name in logs and metrics.
    fn name(&self) -> &str;

    /// What applying does to the world.
    fn effect(&self) -> Effect {
        Effect::Act
    }

    /// What fails together: one circuit breaker guards each. The subject, unless the actuator knows better.
    fn endpoint(&self, message: &Message) -> String {
        message.subject.clone()
    }

    /// What would be written or sent; touches nothing.
    ///
    /// # Errors
    /// [`ActuateError`] for a message that could not be applied either.
    fn plan(&self, message: &Message) -> Result<Plan, ActuateError>;

    /// Applies the message, at most once by its key.
    ///
    /// # Errors
    /// [`ActuateError`]; [`ActuateError::retry`] says whether the same message may be tried again.
    fn apply(&self, message: &Message, now: Timestamp) -> Result<Receipt, ActuateError>;

    /// Looks whether the message is in force.
    ///
    /// # Errors
    /// [`ActuateError`] when looking itself fails.
    fn verify(&self, message: &Message) -> Result<Verified, ActuateError>;
}
