//! Writing answers and complaints. A closed pipe ends a command quietly.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::CliError;

/// Writes `bytes` to stdout or, when given, to a file.
pub(crate) fn put(bytes: &[u8], file: Option<&Path>) -> Result<(), CliError> {
    match file {
        None => {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush()).map_err(|err| match err.kind() {
                ErrorKind::BrokenPipe => CliError::Pipe,
                _ => CliError::Failed(format!("write to stdout: {err}")),
            })
        }
        Some(path) => {
            let fault = |source| CliError::File { path: path.to_owned(), source };
            let mut out = File::create(path).map_err(fault)?;
            out.write_all(bytes).and_then(|()| out.sync_all()).map_err(fault)
        }
    }
}

/// A line of text on stdout.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    put(format!("{text}\n").as_bytes(), None)
}

/// A line on stderr; when even that is closed there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A table for people.
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    text.join("\n") + "\n"
}
