//! `foretide backup`.

use std::path::{Path, PathBuf};

use super::args::{BackupArgs, Common};
use super::client::Client;
use super::local::Local;
use super::{CliError, output};
use crate::engine::health::size;

pub(super) fn run(common: &Common, args: &BackupArgs) -> Result<(), CliError> {
    let dir = std::path::absolute(folder("DIR", &args.to)?)
        .map_err(|source| CliError::File { path: args.to.clone().into(), source })?;
    let report: backup::BackupReport = match &common.url {
        None => Local::open(common)?.engine.backup(&dir)?,
        Some(url) => {
            let answer = Client::new(url).form("/-/backup", &[("to", &dir.display().to_string())])?;
            serde_json::from_slice(&answer).map_err(|err| CliError::Failed(format!("read the answer: {err}")))?
        }
    };
    if report.damaged > 0 {
        output::complain(&format!(
            "warning: {} files cannot be read and are not in the backup; `foretide doctor` names them",
            report.damaged
        ));
    }
    if report.elsewhere > 0 {
        output::complain(&format!(
            "warning: {} files lie in the second store (`tiers.cold`) and are not in the backup; copy that store as well, a \
             restored folder looks for them at the same address",
            report.elsewhere
        ));
    }
    output::line(&format!(
        "{}: {} files, {} ({} kept, {} linked, {} copied)",
        dir.display(),
        report.files,
        size(report.bytes),
        report.kept,
        report.linked,
        size(report.copied_bytes)
    ))
}

/// The folder that a word means: a path or a `file://` address.
pub(super) fn folder(argument: &str, word: &str) -> Result<PathBuf, CliError> {
    let usage = |why: String| CliError::Usage { argument: argument.to_owned(), why };
    match word.split_once("://") {
        None => Ok(PathBuf::from(word)),
        Some(("file", path)) if Path::new(path).is_absolute() => Ok(PathBuf::from(path)),
        Some(("file", _)) => Err(usage(format!("`{word}`: write file:///absolute/path"))),
        Some((scheme, _)) => Err(usage(format!(
            "`{scheme}://` is not supported; back up into a folder and copy that to the object store"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_paths_or_file_addresses() {
        assert_eq!(folder("DIR", "a/b").ok(), Some(PathBuf::from("a/b")));
        assert_eq!(folder("DIR", "file:///a/b").ok(), Some(PathBuf::from("/a/b")));
        assert!(folder("DIR", "s3://bucket/x").is_err_and(|err| err.to_string().contains("s3://")));
        assert!(folder("DIR", "file://a").is_err());
    }
}
