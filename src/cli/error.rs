//! Why a command failed, with its exit code.

use std::path::PathBuf;

use crate::engine::EngineError;
use crate::settings::SettingsError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// SQL.
    #[error("{err}{}", err.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Sql {
        /// What is wrong.
        #[from]
        err: sql::SqlError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// The address.
        address: String,
        /// Why, and what to do.
        why: String,
    },
    /// The server ended with an error.
    #[error(transparent)]
    Server(#[from] server::ServerError),
    /// A running server cannot be reached.
    #[error("{url}: {why}; is `foretide serve` running there?")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        why: String,
    },
    /// A running server answered with an error.
    #[error("{url} answered {status}: {message}")]
    Answered {
        /// Where.
        url: String,
        /// HTTP status.
        status: u16,
        /// Its message.
        message: String,
    },
    /// An argument is wrong.
    #[error("{argument}: {why}")]
    Usage {
        /// Which one.
        argument: String,
        /// What is wrong.
        why: String,
    },
    /// A file cannot be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The reader of our output has gone; not a failure.
    #[error("output closed")]
    Pipe,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The exit code that fits.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::Settings(_) => 4,
            Self::Unreachable { .. } => 5,
            Self::Engine(EngineError::TooLittle { .. }) => 6,
            _ => 1,
        }
    }
}
