//! `foretide restore`.

use super::args::{Common, RestoreArgs};
use super::backup::folder;
use super::{CliError, output};
use crate::engine::health::size;
use crate::settings::Settings;

pub(super) fn run(common: &Common, args: &RestoreArgs) -> Result<(), CliError> {
    let settings = Settings::load(common.config.as_deref(), std::env::vars_os())?;
    let (from, to) = (folder("DIR", &args.from)?, common.data.clone().unwrap_or(settings.data));
    let manifest = backup::restore(&from, &to).map_err(|err| CliError::Failed(err.to_string()))?;
    let bytes: u64 = manifest.files.iter().map(|file| file.size).sum();
    output::line(&format!("{}: {} files, {} restored", to.display(), manifest.files.len(), size(bytes)))
}
