//! Files of rows: CSV, JSON lines and Parquet, through the same mapping of columns.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ingest::{Cell, IngestError, Mapping, TableOutcome, TableReader};
use serde_json::{Map, Value};
use series::{Batch, Labels, Timestamp};
use sql::FileCell;

use super::progress::Progress;
use super::sink::Sink;
use super::{Imported, file_fault};
use crate::cli::{CliError, output};

/// Longest line of JSON.
const LINE_BYTES_MAX: u64 = 32 << 20;
/// Lines of JSON that are told when they cannot be read.
const FAULTS_TOLD: usize = 10;

/// Rows of one shape on their way to the sink.
struct Table<'a> {
    path: &'a Path,
    mapping: &'a Mapping,
    sink: &'a mut Sink,
    /// The reader and the columns it was made for.
    open: Option<(Vec<String>, TableReader)>,
    done: TableOutcome,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, mapping: &'a Mapping, sink: &'a mut Sink) -> Self {
        Self { path, mapping, sink, open: None, done: TableOutcome::default() }
    }

    /// Takes a row; other columns than those of the row before begin a new table.
    fn row(&mut self, columns: &[String], cells: &[Cell<'_>]) -> Result<(), CliError> {
        if self.open.as_ref().is_none_or(|(known, _)| known != columns) {
            self.close()?;
            let reader = TableReader::new(columns, cells, self.mapping)
                .map_err(|err| CliError::Usage { argument: self.path.display().to_string(), why: err.to_string() })?;
            output::complain(&format!("{}: {}", self.path.display(), reader.describe()));
            self.open = Some((columns.to_vec(), reader));
        }
        let Some((_, reader)) = &mut self.open else { return Ok(()) };
        let sink = &mut *self.sink;
        reader.row(cells, &mut |batch: Batch| sink.write(&batch).map_err(Fault::Cli)).map_err(Fault::into_cli)
    }

    fn close(&mut self) -> Result<(), CliError> {
        let Some((_, reader)) = self.open.take() else { return Ok(()) };
        let sink = &mut *self.sink;
        let outcome = reader.finish(&mut |batch: Batch| sink.write(&batch).map_err(Fault::Cli));
        let outcome = outcome.map_err(Fault::into_cli)?;
        self.done.rows += outcome.rows;
        self.done.rows_refused += outcome.rows_refused;
        self.done.samples += outcome.samples;
        self.done.faults.extend(outcome.faults);
        Ok(())
    }

    fn finish(mut self) -> Result<Imported, CliError> {
        self.close()?;
        let notes = self.done.faults.iter().map(|fault| format!("  row {}: {}", fault.row, fault.why));
        Ok(Imported {
            samples: self.done.samples,
            refused: self.done.rows_refused,
            notes: notes.take(FAULTS_TOLD).collect(),
        })
    }
}

/// Errors of the sink and of the reader through one door.
enum Fault {
    Cli(CliError),
    Ingest(IngestError),
}

impl From<IngestError> for Fault {
    fn from(err: IngestError) -> Self {
        Self::Ingest(err)
    }
}

impl Fault {
    fn into_cli(self) -> CliError {
        match self {
            Self::Cli(err) => err,
            Self::Ingest(err) => CliError::Failed(err.to_string()),
        }
    }
}

pub(super) fn csv(
    path: &Path,
    separator: u8,
    mapping: &Mapping,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Imported, CliError> {
    let fault = |err: csv::Error| CliError::Failed(format!("{}: {err}", path.display()));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .trim(csv::Trim::Headers)
        .from_reader(progress.open(path)?);
    let columns: Vec<String> =
        reader.headers().map_err(fault)?.iter().map(|name| without_mark(name).to_owned()).collect();
    let (mut table, mut record) = (Table::new(path, mapping, sink), csv::StringRecord::new());
    while reader.read_record(&mut record).map_err(fault)? {
        let cells: Vec<Cell<'_>> =
            record.iter().map(|text| if text.is_empty() { Cell::Null } else { Cell::Text(text) }).collect();
        table.row(&columns, &cells)?;
    }
    table.finish()
}

/// Spreadsheets put a byte order mark before the first column's name.
fn without_mark(name: &str) -> &str {
    name.strip_prefix('\u{feff}').unwrap_or(name)
}

pub(super) fn parquet(
    path: &Path,
    mapping: &Mapping,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Imported, CliError> {
    let file = File::open(path).map_err(file_fault(path))?;
    let mut table = Table::new(path, mapping, sink);
    let mut stopped = None;
    let mut n_rows = 0_u64;
    let read = sql::read_cells(file, |columns, cells| {
        let cells: Vec<Cell<'_>> = cells.iter().map(|cell| cell_of(*cell)).collect();
        n_rows += 1;
        // How many rows there are is not asked; the bar only shows that something happens.
        progress.set_share(1.0 - 1.0 / (1.0 + n_rows as f64 / 100_000.0));
        table.row(columns, &cells).map_err(|err| {
            let text = err.to_string();
            stopped = Some(err);
            text
        })
    });
    match (stopped, read) {
        (Some(err), _) => Err(err),
        (None, Err(err)) => Err(CliError::Failed(format!("{}: {err}", path.display()))),
        (None, Ok(_)) => table.finish(),
    }
}

fn cell_of(cell: FileCell<'_>) -> Cell<'_> {
    match cell {
        FileCell::Null => Cell::Null,
        FileCell::Text(text) => Cell::Text(text),
        FileCell::Number(value) => Cell::Number(value),
        FileCell::Integer(value) => Cell::Integer(value),
        FileCell::Flag(flag) => Cell::Flag(flag),
        FileCell::Time(at) => Cell::Time(at),
    }
}

/// An object a line: `{"ts": …, "value": …, …}`, or a series a line as VictoriaMetrics exports them:
/// `{"metric": {"__name__": …}, "values": […], "timestamps": […]}`.
pub(super) fn json_lines(
    path: &Path,
    mapping: &Mapping,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<Imported, CliError> {
    let mut reader = BufReader::new(progress.open(path)?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    let (mut whole, mut notes, mut refused) = (0, Vec::new(), 0);
    let mut table = Table::new(path, mapping, sink);
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut reader, LINE_BYTES_MAX);
        if limited.read_until(b'\n', &mut line).map_err(file_fault(path))? == 0 {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let read = match serde_json::from_slice::<Map<String, Value>>(&line) {
            Err(err) => Err(err.to_string()),
            Ok(object) if object.contains_key("timestamps") => match series_of(&object, mapping) {
                Err(why) => Err(why),
                Ok(batch) => {
                    whole += batch.n_samples() as u64;
                    table.sink.write(&batch)?;
                    Ok(())
                }
            },
            Ok(object) => {
                object_row(&mut table, &object)?;
                Ok(())
            }
        };
        if let Err(why) = read {
            refused += 1;
            if notes.len() < FAULTS_TOLD {
                notes.push(format!("  line {number}: {why}"));
            }
        }
    }
    let mut imported = table.finish()?;
    imported.samples += whole;
    imported.refused += refused;
    imported.notes.extend(notes);
    Ok(imported)
}

fn object_row(table: &mut Table<'_>, object: &Map<String, Value>) -> Result<(), CliError> {
    let columns: Vec<String> = object.keys().cloned().collect();
    let maps: Vec<Vec<(String, String)>> = object.values().map(pairs_of).collect();
    let cells = object.values().zip(&maps).map(|(value, pairs)| match value {
        Value::Null | Value::Array(_) => Cell::Null,
        Value::Bool(flag) => Cell::Flag(*flag),
        Value::Number(number) => {
            number.as_i64().map_or(Cell::Number(number.as_f64().unwrap_or(f64::NAN)), Cell::Integer)
        }
        Value::String(text) => Cell::Text(text),
        Value::Object(_) => Cell::Pairs(pairs),
    });
    table.row(&columns, &cells.collect::<Vec<_>>())
}

fn pairs_of(value: &Value) -> Vec<(String, String)> {
    let Value::Object(object) = value else { return Vec::new() };
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    object.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn series_of(object: &Map<String, Value>, mapping: &Mapping) -> Result<Batch, String> {
    let list = |name: &str| {
        let list = object.get(name).and_then(Value::as_array);
        list.ok_or_else(|| format!("`{name}` is not a list"))
    };
    let (values, times) = (list("values")?, list("timestamps")?);
    if values.len() != times.len() {
        return Err(format!("{} values and {} timestamps", values.len(), times.len()));
    }
    let mut pairs = object.get("metric").map(pairs_of).unwrap_or_default();
    pairs.retain(|(name, _)| !mapping.extra_labels.iter().any(|(other, _)| other == name));
    pairs.extend(mapping.extra_labels.iter().cloned());
    let labels = Labels::from_pairs(pairs).map_err(|err| err.to_string())?;
    if labels.metric().is_empty() {
        return Err("`metric` has no `__name__`".to_owned());
    }
    let mut batch = Batch::default();
    batch.begin_labels(&labels).map_err(|err| err.to_string())?;
    for (value, at) in values.iter().zip(times) {
        let at = at.as_i64().ok_or_else(|| format!("{at} is not a time in milliseconds"))?;
        let value = match value {
            Value::Null => f64::NAN,
            Value::String(text) => text.parse().map_err(|_| format!("`{text}` is not a number"))?,
            other => other.as_f64().ok_or_else(|| format!("{other} is not a number"))?,
        };
        batch.push(Timestamp(at), value);
    }
    Ok(batch)
}
