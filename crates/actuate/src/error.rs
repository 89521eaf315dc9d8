//! What can go wrong on the way out, and whether trying again helps.

use std::io;
use std::path::PathBuf;

use series::{Millis, Timestamp};

use crate::egress::EgressError;
use crate::gate::Mode;

/// Whether the same message may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never: it will fail again.
    Never,
    /// Later, by the caller's own backoff.
    Backoff,
    /// Not before this span has passed.
    After(Millis),
    /// Our own gate held it back, nothing was tried; not before this span has passed.
    Held(Millis),
}

/// Why a message was not applied. Destinations are shown as scheme, host and port only: paths may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum ActuateError {
    /// The message itself is unusable.
    #[error("message: `{field}` {fault}")]
    Message {
        /// Field name.
        field: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A setting of the actuator is unusable.
    #[error("actuator `{actuator}`: {field} {fault}")]
    Settings {
        /// Name of the actuator.
        actuator: String,
        /// Field name.
        field: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// The kill switch is on.
    #[error("actuator `{actuator}`: frozen by the kill switch; unfreeze it to apply")]
    Frozen {
        /// Name of the actuator.
        actuator: String,
    },
    /// The mode does not allow it.
    #[error("actuator `{actuator}`: mode is {mode}; {next}")]
    Mode {
        /// Name of the actuator.
        actuator: String,
        /// The mode.
        mode: Mode,
        /// What would have to change.
        next: &'static str,
    },
    /// The proposal is outside what the operator allows, whatever the planner says.
    #[error("`{subject}`: {fault}")]
    Bounds {
        /// What it is about.
        subject: String,
        /// The numbers.
        fault: String,
    },
    /// A newer message for the subject was already applied.
    #[error("`{subject}`: a message of {newer} is in force, this one is of {this}")]
    Stale {
        /// What it is about.
        subject: String,
        /// Time of the message in force.
        newer: Timestamp,
        /// Time of this message.
        this: Timestamp,
    },
    /// Too many messages in too little time.
    #[error("actuator `{actuator}`: over its rate, next in {retry_after}")]
    RateLimited {
        /// Name of the actuator.
        actuator: String,
        /// When a token is there again.
        retry_after: Millis,
    },
    /// The endpoint failed too often and is left alone.
    #[error("`{endpoint}`: circuit breaker is open, next try in {retry_after}")]
    BreakerOpen {
        /// What failed.
        endpoint: String,
        /// When a probe is allowed.
        retry_after: Millis,
    },
    /// The destination may not be reached.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The receiver refused.
    #[error("{destination} answered {status}{excerpt}")]
    Refused {
        /// Scheme, host and port.
        destination: String,
        /// HTTP status.
        status: u16,
        /// Beginning of the answer, printable, for the log.
        excerpt: String,
    },
    /// The receiver is busy or broken.
    #[error("{destination} answered {status}")]
    Unavailable {
        /// Scheme, host and port.
        destination: String,
        /// HTTP status.
        status: u16,
        /// What it asked for.
        retry_after: Option<Millis>,
    },
    /// No answer.
    #[error("{destination}: no answer: {source}")]
    Transport {
        /// Scheme, host and port.
        destination: String,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A file operation failed.
    #[error("{step} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A file of ours does not read back.
    #[error("{path} is not a document of ours: {fault}; move it away to start over", path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
}

impl ActuateError {
    /// Whether the same message may be tried again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::RateLimited { retry_after, .. } | Self::BreakerOpen { retry_after, .. } => Retry::Held(*retry_after),
            Self::Unavailable { retry_after: Some(after), .. } => Retry::After(*after),
            Self::Unavailable { .. } | Self::Transport { .. } | Self::Io { .. } => Retry::Backoff,
            Self::Egress(EgressError::Lookup { .. }) => Retry::Backoff,
            _ => Retry::Never,
        }
    }

    /// Whether the endpoint is to blame, so that a circuit breaker counts it.
    pub(crate) const fn is_failure_of_endpoint(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Transport { .. }
                | Self::Io { .. }
                | Self::Egress(EgressError::Lookup { .. })
        )
    }
}
