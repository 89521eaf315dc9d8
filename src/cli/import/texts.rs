//! Text formats: cut at line ends into chunks that fit one request, read by the same parsers as the server's.

use std::io::Read;
use std::path::Path;

use ingest::{InfluxOptions, Limits, Mapping, Precision, TextFormat, TextOptions, TimeUnit, parse_lines, parse_text};
use series::{Batch, Clock, SystemClock, Timestamp};

use super::progress::Progress;
use super::sink::Sink;
use super::{Imported, file_fault};
use crate::cli::CliError;
use crate::cli::args::ImportFormat;

/// Text read at a time.
const CHUNK_BYTES: usize = 4 << 20;
/// Longest line.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Sentences about refused lines that are kept.
const NOTES_MAX: usize = 10;

pub(super) fn import(
    path: &Path,
    format: ImportFormat,
    mapping: &Mapping,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Imported, CliError> {
    let mut chunks = Chunks { source: progress.open(path)?, rest: Vec::new(), first_line: 1, done: false };
    let mut imported = Imported::default();
    let now = SystemClock.now();
    let mut ended = format != ImportFormat::Openmetrics;
    while let Some(chunk) = chunks.next(path)? {
        let mut batch = Batch::default();
        match format {
            ImportFormat::Influx => {
                let options = InfluxOptions { precision: precision(mapping.time_unit), default_at: now };
                let outcome =
                    parse_lines(chunk.text.as_bytes(), options, &limits(), &mut batch).map_err(fault(path))?;
                imported.refused += outcome.lines_refused;
                for line in outcome.faults {
                    note(
                        &mut imported,
                        format!("  line {}: {}: {}", chunk.first_line + line.line - 1, line.why, line.text),
                    );
                }
            }
            _ => {
                ended |= chunk.has_eof();
                read_text(&chunk, format, mapping, now, &mut batch, &mut imported).map_err(fault(path))?;
            }
        }
        imported.samples += batch.n_samples() as u64;
        if !batch.is_empty() {
            sink.write(&batch)?;
        }
    }
    if !ended {
        imported.refused += 1;
        note(&mut imported, "  the file does not end with `# EOF`: it may have been cut off".into());
    }
    Ok(imported)
}

fn read_text(
    chunk: &Chunk,
    format: ImportFormat,
    mapping: &Mapping,
    now: Timestamp,
    batch: &mut Batch,
    imported: &mut Imported,
) -> Result<(), ingest::IngestError> {
    let (format, text) = match format {
        // Every chunk but the last lacks the end that the format wants.
        ImportFormat::Openmetrics => (TextFormat::OpenMetrics, format!("{}\n# EOF\n", chunk.text)),
        _ => (TextFormat::Prometheus, chunk.text.clone()),
    };
    let options = TextOptions::new(format, now, &mapping.extra_labels);
    let decoded = parse_text(&text, &options, &limits(), batch)?;
    for refusal in &decoded.refused {
        imported.refused += refusal.series;
        let text = format!(
            "  from line {} on: {} times: {} ({})",
            chunk.first_line, refusal.series, refusal.reason, refusal.example
        );
        note(imported, text);
    }
    Ok(())
}

fn note(imported: &mut Imported, text: String) {
    if imported.notes.len() < NOTES_MAX {
        imported.notes.push(text);
    }
}

fn limits() -> Limits {
    Limits { decoded_bytes: CHUNK_BYTES + LINE_BYTES_MAX + 16, ..Limits::default() }
}

fn precision(unit: TimeUnit) -> Precision {
    match unit {
        TimeUnit::Auto => Precision::Auto,
        TimeUnit::Seconds => Precision::Seconds,
        TimeUnit::Milliseconds => Precision::Milliseconds,
        TimeUnit::Microseconds => Precision::Microseconds,
        TimeUnit::Nanoseconds => Precision::Nanoseconds,
    }
}

fn fault(path: &Path) -> impl Fn(ingest::IngestError) -> CliError {
    let path = path.display().to_string();
    move |err| CliError::Failed(format!("{path}: {err}"))
}

/// Whole lines.
struct Chunk {
    text: String,
    first_line: u64,
}

struct Chunks {
    source: Box<dyn Read>,
    rest: Vec<u8>,
    first_line: u64,
    done: bool,
}

impl Chunk {
    fn has_eof(&self) -> bool {
        self.text.lines().rev().take(2).any(|line| line.trim() == "# EOF")
    }
}

impl Chunks {
    /// About [`CHUNK_BYTES`] up to the end of a line; `None` at the end.
    fn next(&mut self, path: &Path) -> Result<Option<Chunk>, CliError> {
        let mut end = None;
        while !self.done && end.is_none() {
            let before = self.rest.len();
            let n_bytes =
                (&mut self.source).take(CHUNK_BYTES as u64).read_to_end(&mut self.rest).map_err(file_fault(path))?;
            self.done = n_bytes == 0;
            end = self.rest[before..].iter().rposition(|byte| *byte == b'\n').map(|at| before + at + 1);
            if end.is_none() && self.rest.len() > LINE_BYTES_MAX {
                let why = format!("{}: line {} has more than {LINE_BYTES_MAX} bytes", path.display(), self.first_line);
                return Err(CliError::Failed(why));
            }
        }
        let end = end.unwrap_or(self.rest.len());
        if end == 0 {
            return Ok(None);
        }
        let rest = self.rest.split_off(end);
        let bytes = std::mem::replace(&mut self.rest, rest);
        let first_line = self.first_line;
        self.first_line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let text = String::from_utf8(bytes).map_err(|err| {
            let at = err.utf8_error().valid_up_to();
            CliError::Failed(format!("{}: not UTF-8 {at} bytes behind the start of line {first_line}", path.display()))
        })?;
        Ok(Some(Chunk { text, first_line }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_lines_and_keep_their_numbers() {
        let line = format!("{} 1\n", "x".repeat(1 << 20));
        let text = line.repeat(9) + "last 2";
        let mut chunks = Chunks {
            source: Box::new(std::io::Cursor::new(text.clone())),
            rest: Vec::new(),
            first_line: 1,
            done: false,
        };
        let (mut all, mut lines) = (String::new(), Vec::new());
        while let Some(chunk) = chunks.next(Path::new("x")).expect("read") {
            lines.push(chunk.first_line);
            all.push_str(&chunk.text);
        }
        assert!(all == text, "nothing is lost");
        assert!(lines.len() >= 3 && lines.is_sorted() && lines[0] == 1, "{lines:?}");
    }
}
