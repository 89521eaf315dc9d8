//! Rows of a table (CSV, JSON lines, Parquet) into batches: which column is the time, which the value, which are labels.
//!
//! ```text
//!   ts, metric, value, job, instance          long: a row a sample
//!   ts, cpu, memory, instance                 wide: a row a time, a series a value column
//! ```
//!
//! Unless told otherwise, the time is the first column called `ts`, `time`, `timestamp`, `date` or `ds`; the metric's name
//! stands in `metric`, `__name__` or `name`; the value in `value` or `y`, and without such a column every column whose
//! first cell is a number is a value; `labels` holds a JSON object; all other columns are labels. A row that cannot be
//! read is refused alone. Rows are gathered, so files in the order of time are as cheap as those in the order of series.

mod cell;
mod mapping;
#[cfg(test)]
mod tests;
mod time;

use series::{Batch, METRIC_NAME, Timestamp};

use crate::error::IngestError;
use crate::gather::{Gather, Place};
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::shorten;

pub use cell::Cell;
pub use mapping::{Mapping, MappingError, TimeUnit};
use mapping::{MetricFrom, Plan};

/// Samples of one batch: large enough to be cheap, small enough for one request.
const BATCH_SAMPLES: u64 = 50_000;
/// Refused rows that are told with number and reason.
const FAULTS_TOLD: usize = 10;

/// Reads the rows of one table.
pub struct TableReader {
    plan: Plan,
    limits: Limits,
    gather: Gather<Vec<u8>>,
    outcome: TableOutcome,
    key: Vec<u8>,
}

/// What became of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOutcome {
    /// Rows read.
    pub rows: u64,
    /// Rows refused.
    pub rows_refused: u64,
    /// Samples in all batches.
    pub samples: u64,
    /// The first refused rows.
    pub faults: Vec<RowFault>,
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// Its number, from 1, without the head.
    pub row: u64,
    /// Why.
    pub why: String,
}

impl TableReader {
    /// A reader for tables with these columns. `first` are the cells of the first row, by which value columns are told
    /// from labels when no column is called `value`.
    ///
    /// # Errors
    /// [`MappingError`] when time, value or metric cannot be found.
    pub fn new(columns: &[String], first: &[Cell<'_>], mapping: &Mapping) -> Result<Self, MappingError> {
        let plan = Plan::new(columns, first, mapping)?;
        let limits = Limits::default();
        Ok(Self { plan, gather: new_gather(&limits), limits, outcome: TableOutcome::default(), key: Vec::new() })
    }

    /// Which column is what, for people.
    pub fn describe(&self) -> String {
        self.plan.to_string()
    }

    /// Reads a row; a full batch is handed to `take`.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn row<E: From<IngestError>>(
        &mut self,
        cells: &[Cell<'_>],
        take: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.outcome.rows += 1;
        if let Err(why) = self.read(cells)? {
            self.outcome.rows_refused += 1;
            if self.outcome.faults.len() < FAULTS_TOLD {
                self.outcome.faults.push(RowFault { row: self.outcome.rows, why });
            }
        }
        if self.gather.n_samples() >= BATCH_SAMPLES || self.gather.n_series() >= self.limits.series / 2 {
            self.flush(take)?;
        }
        Ok(())
    }

    /// Hands what is gathered to `take` and gives the counts.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<E: From<IngestError>>(
        mut self,
        take: &mut impl FnMut(Batch) -> Result<(), E>,
    ) -> Result<TableOutcome, E> {
        self.flush(take)?;
        Ok(self.outcome)
    }

    fn flush<E: From<IngestError>>(&mut self, take: &mut impl FnMut(Batch) -> Result<(), E>) -> Result<(), E> {
        let gather = std::mem::replace(&mut self.gather, new_gather(&self.limits));
        if gather.n_samples() == 0 {
            return Ok(());
        }
        self.outcome.samples += gather.n_samples();
        let mut batch = Batch::default();
        gather.finish(&mut batch)?;
        take(batch)
    }

    /// The inner error refuses the row.
    fn read(&mut self, cells: &[Cell<'_>]) -> Result<Result<(), String>, IngestError> {
        let empty = Cell::Null;
        let cell = |i: usize| cells.get(i).unwrap_or(&empty);
        let at = match self.plan.time_of(cell(self.plan.time)) {
            Ok(at) => at,
            Err(why) => return Ok(Err(why)),
        };
        for i in 0..self.plan.values.len() {
            let column = self.plan.values[i].0;
            let value = match cell(column).number() {
                Ok(Some(value)) => value,
                // A gap in a wide table, and the missing value of a long one.
                Ok(None) => continue,
                Err(why) => return Ok(Err(format!("column `{}`: {why}", self.plan.columns[column]))),
            };
            if let Err(why) = self.sample(cells, i, at, value)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }

    fn sample(
        &mut self,
        cells: &[Cell<'_>],
        value_column: usize,
        at: Timestamp,
        value: f64,
    ) -> Result<Result<(), String>, IngestError> {
        let mut key = std::mem::take(&mut self.key);
        self.plan.spell(cells, value_column, &mut key);
        let place = match self.gather.find(key.as_slice()) {
            Some(place) => Ok(Ok(place)),
            None => self.add(&key, cells, value_column),
        };
        self.key = key;
        let place = match place? {
            Ok(place) => place,
            Err(fault) => return Ok(Err(fault)),
        };
        match place {
            Place::Series(series) => self.gather.push(series, at, value).map(Ok),
            Place::Refused(reason) => Ok(Err(reason.to_string())),
        }
    }

    /// Numbers a new series, or says what is wrong with the row.
    fn add(
        &mut self,
        key: &[u8],
        cells: &[Cell<'_>],
        value_column: usize,
    ) -> Result<Result<Place, String>, IngestError> {
        if let Some(fault) = self.plan.unreadable_labels(cells) {
            return Ok(Err(fault));
        }
        let (metric, pairs) = self.plan.labels(cells, value_column);
        let mut set = LabelSet::default().recycle();
        let mut filled = set.push_text(METRIC_NAME, &metric, &self.limits);
        for (name, value) in &pairs {
            filled = filled.and_then(|()| set.push_text(name, value, &self.limits));
        }
        self.gather.add(key.to_vec(), filled.and_then(|()| set.finish())).map(Ok)
    }
}

impl std::fmt::Display for TableOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows, {} samples", self.rows, self.samples)?;
        if self.rows_refused > 0 {
            write!(f, ", {} rows refused", self.rows_refused)?;
        }
        for fault in &self.faults {
            write!(f, "\n  row {}: {}", fault.row, shorten(&fault.why))?;
        }
        Ok(())
    }
}

impl Plan {
    /// What tells one series from another in this row, as bytes.
    fn spell(&self, cells: &[Cell<'_>], value_column: usize, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(&(value_column as u32).to_le_bytes());
        let metric = match &self.metric {
            MetricFrom::Column(column) => Some(*column),
            MetricFrom::Name(_) | MetricFrom::ValueColumn => None,
        };
        for &column in metric.iter().chain(self.labels.iter().map(|(column, _)| column)).chain(&self.label_maps) {
            let start = key.len();
            key.extend_from_slice(&[0; 4]);
            if let Some(cell) = cells.get(column) {
                cell.spell(key);
            }
            let len = (key.len() - start - 4) as u32;
            key[start..start + 4].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// What is wrong with a column of labels that cannot be read: without them, different series would be one.
    fn unreadable_labels(&self, cells: &[Cell<'_>]) -> Option<String> {
        let cell =
            self.label_maps.iter().filter_map(|&column| cells.get(column)).find(|cell| cell.pairs().is_none())?;
        Some(format!("labels are a JSON object such as {{\"host\": \"a\"}}, not `{}`", cell.text()))
    }

    /// The metric's name and the labels of a row.
    fn labels(&self, cells: &[Cell<'_>], value_column: usize) -> (String, Vec<(String, String)>) {
        let text = |column: usize| cells.get(column).map(Cell::text).unwrap_or_default();
        let value_name = || self.columns[self.values[value_column].0].clone();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let set = |pairs: &mut Vec<(String, String)>, name: &str, value: String| {
            pairs.retain(|(other, _)| other != name);
            pairs.push((name.to_owned(), value));
        };
        for &column in &self.label_maps {
            for (name, value) in cells.get(column).and_then(Cell::pairs).unwrap_or_default() {
                set(&mut pairs, &name, value);
            }
        }
        for (column, name) in &self.labels {
            set(&mut pairs, name, text(*column));
        }
        for (name, value) in &self.extra_labels {
            set(&mut pairs, name, value.clone());
        }
        // A map of labels may carry the name, as the exports of others do.
        let mapped = pairs.iter().position(|(name, _)| name == METRIC_NAME).map(|i| pairs.swap_remove(i).1);
        let metric = match &self.metric {
            MetricFrom::Column(column) => text(*column),
            MetricFrom::Name(name) if self.values.len() > 1 => format!("{name}_{}", value_name()),
            MetricFrom::Name(name) => name.clone(),
            MetricFrom::ValueColumn => mapped.clone().unwrap_or_else(value_name),
        };
        (if metric.is_empty() { mapped.unwrap_or_default() } else { metric }, pairs)
    }
}

fn new_gather(limits: &Limits) -> Gather<Vec<u8>> {
    // A wide row may overshoot the size of a batch, never the bounds of a request.
    Gather::new(&Limits { samples: limits.samples, ..limits.clone() })
}
