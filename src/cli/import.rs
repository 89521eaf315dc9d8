//! `foretide import`: files of samples into a running server or a data folder.
//!
//! ```text
//!   CSV, JSON lines, Parquet ─▶ rows ─▶ mapping of columns ─┐
//!   Prometheus text, OpenMetrics, line protocol ─▶ chunks ──┴─▶ batches ─▶ POST /api/v1/import/write | the folder's store
//! ```
//!
//! Samples of any age are taken, also older ones of series that exist; importing a file twice changes nothing.

mod progress;
mod rows;
mod sink;
mod texts;

use std::path::{Path, PathBuf};

use ingest::{Mapping, TimeUnit};

use super::args::{Common, ImportArgs, ImportFormat, ImportTimeUnit};
use super::{CliError, output};
use progress::Progress;
use sink::Sink;

/// What one file brought.
#[derive(Debug, Default)]
struct Imported {
    samples: u64,
    /// Lines or rows that could not be read.
    refused: u64,
    /// Sentences about them.
    notes: Vec<String>,
}

pub(super) fn run(common: &Common, args: &ImportArgs) -> Result<(), CliError> {
    let mapping = mapping(args)?;
    for file in &args.files {
        let format = format_of(file, args.format)?;
        if format == ImportFormat::Influx && !mapping.extra_labels.is_empty() {
            return Err(CliError::Usage {
                argument: "--extra-label".into(),
                why: "is not for line protocol, whose lines carry their tags".into(),
            });
        }
    }
    let mut sink = if args.dry_run { Sink::nowhere() } else { Sink::open(common)? };
    let mut refused = 0;
    for path in &args.files {
        let format = format_of(path, args.format)?;
        let mut progress = Progress::of(path, common.quiet)?;
        let imported = one(path, format, &mapping, &mut sink, &mut progress)?;
        progress.finish();
        refused += imported.refused;
        output::complain(&format!("{}: {} samples", path.display(), imported.samples));
        imported.notes.iter().for_each(|note| output::complain(note));
    }
    let written = sink.finish()?;
    output::complain(&written.to_string());
    if refused + written.rejected > 0 {
        let all = refused + written.rejected;
        return Err(CliError::Failed(format!("{all} rows, lines or samples were not imported; the rest was")));
    }
    Ok(())
}

fn one(
    path: &Path,
    format: ImportFormat,
    mapping: &Mapping,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Imported, CliError> {
    match format {
        ImportFormat::Csv | ImportFormat::Tsv => {
            let separator = if format == ImportFormat::Tsv { b'\t' } else { b',' };
            rows::csv(path, separator, mapping, sink, progress)
        }
        ImportFormat::Jsonl => rows::json_lines(path, mapping, sink, progress),
        ImportFormat::Parquet => rows::parquet(path, mapping, sink, progress),
        ImportFormat::Prometheus | ImportFormat::Openmetrics | ImportFormat::Influx => {
            texts::import(path, format, mapping, sink, progress)
        }
    }
}

/// By the argument, else by the file's name.
fn format_of(path: &Path, given: Option<ImportFormat>) -> Result<ImportFormat, CliError> {
    if let Some(format) = given {
        return Ok(format);
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let known = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("csv") => Some(ImportFormat::Csv),
        Some("tsv") => Some(ImportFormat::Tsv),
        Some("jsonl" | "ndjson" | "json") => Some(ImportFormat::Jsonl),
        Some("parquet") => Some(ImportFormat::Parquet),
        Some("prom" | "metrics" | "txt") => Some(ImportFormat::Prometheus),
        Some("om" | "openmetrics") => Some(ImportFormat::Openmetrics),
        Some("lp" | "line" | "influx") => Some(ImportFormat::Influx),
        _ => None,
    };
    known.ok_or_else(|| CliError::Usage {
        argument: path.display().to_string(),
        why: "its name does not tell its format; say it with --format".into(),
    })
}

fn mapping(args: &ImportArgs) -> Result<Mapping, CliError> {
    let mut extra_labels = Vec::new();
    for text in &args.extra_labels {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| CliError::Usage {
            argument: "--extra-label".into(),
            why: format!("`{text}` is not name=value"),
        })?;
        extra_labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(Mapping {
        time: args.time.clone(),
        time_unit: match args.time_unit {
            ImportTimeUnit::Auto => TimeUnit::Auto,
            ImportTimeUnit::S => TimeUnit::Seconds,
            ImportTimeUnit::Ms => TimeUnit::Milliseconds,
            ImportTimeUnit::Us => TimeUnit::Microseconds,
            ImportTimeUnit::Ns => TimeUnit::Nanoseconds,
        },
        metric: args.metric.clone(),
        metric_column: args.metric_column.clone(),
        values: args.values.clone(),
        labels: args.labels.clone(),
        extra_labels,
    })
}

fn file_fault(path: &Path) -> impl Fn(std::io::Error) -> CliError {
    let path: PathBuf = path.to_owned();
    move |source| CliError::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_name_also_when_packed() {
        for (name, format) in [
            ("a.csv", ImportFormat::Csv),
            ("A.CSV.GZ", ImportFormat::Csv),
            ("x/dump.jsonl", ImportFormat::Jsonl),
            ("a.parquet", ImportFormat::Parquet),
            ("node.prom", ImportFormat::Prometheus),
            ("node.om.gz", ImportFormat::Openmetrics),
            ("points.lp", ImportFormat::Influx),
        ] {
            assert_eq!(format_of(Path::new(name), None).expect("known"), format, "{name}");
        }
        assert_eq!(format_of(Path::new("a"), None).expect_err("unknown").exit_code(), 2);
        assert_eq!(format_of(Path::new("a"), Some(ImportFormat::Tsv)).expect("given"), ImportFormat::Tsv);
    }
}
