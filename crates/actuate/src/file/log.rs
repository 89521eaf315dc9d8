//! The append-only log of decisions, one JSON object a line.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::document::Entry;
use super::{create_private, io_error, sync_dir};
use crate::error::ActuateError;

/// The present log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    /// Set when a failed append could not be undone: the end of the file is unknown until it is opened again.
    torn: bool,
}

impl Log {
    /// Opens the log; answers it with the entries of the rotated part and of the present one, oldest first.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> Result<(Self, Vec<Entry>, Vec<Entry>), ActuateError> {
        let path = dir.join("decisions.jsonl");
        let (older, _) = read(&rotated(&path))?;
        let (present, whole) = read(&path)?;
        let file = create_private(&path, true).map_err(io_error("open", &path))?;
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(io_error("cut the torn end of", &path))?;
        sync_dir(dir)?;
        let max_bytes = max_bytes.max(1);
        Ok((Self { dir: dir.to_owned(), path, file, bytes: whole, max_bytes, torn: false }, older, present))
    }

    /// Appends one line durably; answers whether the log was rotated before.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<bool, ActuateError> {
        let mut line = entry.line();
        line.push('\n');
        let length = line.len() as u64;
        let rotate = self.is_full_for(length);
        if self.torn {
            let source = io::Error::other("an earlier append failed half-way; open the folder again");
            return Err(io_error("append to", &self.path)(source));
        }
        if rotate {
            self.rotate()?;
        }
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            self.torn = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all()).is_err();
            return Err(io_error("append to", &self.path)(source));
        }
        self.bytes += length;
        Ok(rotate)
    }

    /// Whether appending `entry` would rotate, and so forget the rotated part of before.
    pub(super) fn rotates_for(&self, entry: &Entry) -> bool {
        self.is_full_for(entry.line().len() as u64 + 1)
    }

    const fn is_full_for(&self, length: u64) -> bool {
        self.bytes > 0 && self.bytes.saturating_add(length) > self.max_bytes
    }

    fn rotate(&mut self) -> Result<(), ActuateError> {
        let older = rotated(&self.path);
        match fs::rename(&self.path, &older) {
            // A rotation that failed after its rename is taken up where it stopped.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(io_error("rotate to", &older))?,
        }
        self.file = create_private(&self.path, true).map_err(io_error("open", &self.path))?;
        self.bytes = 0;
        sync_dir(&self.dir)
    }
}

fn rotated(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// All whole lines and how many bytes they take; what follows the last line end is torn. A whole line that does not read
/// is damage, not a crash, and is not skipped silently.
fn read(path: &Path) -> Result<(Vec<Entry>, u64), ActuateError> {
    let file = match File::open(path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        file => file.map_err(io_error("open", path))?,
    };
    let (mut reader, mut line, mut entries, mut whole) = (BufReader::new(file), Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(io_error("read", path))?;
        if line.last() != Some(&b'\n') {
            return Ok((entries, whole));
        }
        let entry = serde_json::from_slice(&line).map_err(|fault| ActuateError::Corrupt {
            path: path.to_owned(),
            fault: format!("line {}: {fault}", entries.len() + 1),
        })?;
        entries.push(entry);
        whole += length as u64;
    }
}
