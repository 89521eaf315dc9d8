//! How far a file has been read: a bar on a terminal, nothing elsewhere.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};

use super::file_fault;
use crate::cli::CliError;

/// A bar over the bytes of one file.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn of(path: &Path, quiet: bool) -> Result<Self, CliError> {
        let len = std::fs::metadata(path).map_err(file_fault(path))?.len();
        let shown = io::stderr().is_terminal() && std::env::var_os("CI").is_none() && !quiet;
        let bar = if shown { ProgressBar::new(len) } else { ProgressBar::hidden() };
        let template = "{wide_bar} {bytes}/{total_bytes} {msg} {eta}";
        // The template is a constant; were it wrong, the bar would only look different.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned());
        Ok(Self { bar })
    }

    /// The file's plain text, unpacked when its name ends in `.gz`; reading it moves the bar.
    pub(super) fn open(&self, path: &Path) -> Result<Box<dyn Read>, CliError> {
        let file = File::open(path).map_err(file_fault(path))?;
        let counted = self.bar.wrap_read(file);
        let is_packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        Ok(if is_packed { Box::new(MultiGzDecoder::new(counted)) } else { Box::new(counted) })
    }

    /// For files that are not read from front to back.
    pub(super) fn set_share(&self, share: f64) {
        let len = self.bar.length().unwrap_or(0);
        self.bar.set_position((len as f64 * share.clamp(0.0, 1.0)) as u64);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
