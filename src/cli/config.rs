//! `foretide config`.

use super::args::{Common, ConfigAction, ConfigArgs};
use super::{CliError, output};
use crate::settings::Settings;

/// The commented starter file.
const STARTER: &str = include_str!("config/starter.yaml");

pub(super) fn run(common: &Common, args: &ConfigArgs) -> Result<(), CliError> {
    match args.action {
        ConfigAction::Init => output::put(STARTER.as_bytes(), None),
        ConfigAction::Show => {
            let settings = Settings::load(common.config.as_deref(), std::env::vars_os())?;
            output::put(settings.to_yaml()?.as_bytes(), None)
        }
        ConfigAction::Check => {
            let Some(file) = &common.config else {
                return Err(CliError::Usage { argument: "--config".into(), why: "name the file to check".into() });
            };
            let settings = Settings::load(Some(file), std::env::vars_os())?;
            output::line(&format!(
                "{} is valid: {} jobs, {} policies, {} receivers, mode {:?}",
                file.display(),
                settings.forecast.jobs.len(),
                settings.scaling.policies.len(),
                settings.notify.len(),
                settings.scaling.mode
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_file_is_valid() {
        Settings::parse(STARTER, "starter.yaml").expect("valid");
    }
}
