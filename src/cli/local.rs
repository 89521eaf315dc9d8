//! Opening a data folder for one command.

use std::path::PathBuf;
use std::sync::Arc;

use series::SystemClock;
use tokio::runtime::Runtime;

use super::args::Common;
use super::{CliError, runtime};
use crate::engine::Engine;
use crate::settings::Settings;

/// An engine without background work, and the runtime it needs.
pub(super) struct Local {
    pub(super) engine: Engine,
    pub(super) runtime: Runtime,
}

impl Local {
    /// As [`Local::open`], for what a running server cannot be asked for; `why` says so when one is named.
    pub(super) fn alone(common: &Common, why: &str) -> Result<Self, CliError> {
        if common.url.is_some() {
            let why = format!("{why}; stop it and name its folder with --data");
            return Err(CliError::Usage { argument: "--url".into(), why });
        }
        Self::open(common)
    }

    pub(super) fn open(common: &Common) -> Result<Self, CliError> {
        let settings = Settings::load(common.config.as_deref(), std::env::vars_os())?;
        let data = folder(common, &settings)?;
        let runtime = runtime()?;
        let (engine, _) = Engine::open_to_ask(&data, settings, Arc::new(SystemClock), runtime.handle().clone())?;
        Ok(Self { engine, runtime })
    }
}

/// A folder that exists: a query must not leave an empty one behind because of a typing error.
fn folder(common: &Common, settings: &Settings) -> Result<PathBuf, CliError> {
    let data = common.data.clone().unwrap_or_else(|| settings.data.clone());
    if data.is_dir() {
        return Ok(data);
    }
    Err(CliError::Usage {
        argument: "--data".into(),
        why: format!(
            "there is no folder {}; name one with --data DIR, or a running server with --url URL",
            data.display()
        ),
    })
}
