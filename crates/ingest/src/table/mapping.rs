//! Which column is what: said by the caller, else guessed by name.

use std::fmt;

use series::{METRIC_NAME, Timestamp};

use super::cell::Cell;
use super::time;

const TIME_NAMES: [&str; 5] = ["ts", "time", "timestamp", "date", "ds"];
const METRIC_NAMES: [&str; 3] = ["metric", METRIC_NAME, "name"];
const VALUE_NAMES: [&str; 2] = ["value", "y"];
const LABELS_NAME: &str = "labels";

/// What the caller says; what is left out is guessed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    /// Column of the time.
    pub time: Option<String>,
    /// Unit of times that are numbers.
    pub time_unit: TimeUnit,
    /// Name of the metric; with several value columns, the first part of their names.
    pub metric: Option<String>,
    /// Column of the metric's name.
    pub metric_column: Option<String>,
    /// Columns of values.
    pub values: Vec<String>,
    /// Columns of labels; empty takes all that are nothing else.
    pub labels: Vec<String>,
    /// Labels put on every series.
    pub extra_labels: Vec<(String, String)>,
}

/// Unit of a time that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// By the size of the number.
    #[default]
    Auto,
    /// Seconds, with a fraction.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// Why a table cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A named column is not there.
    #[error("there is no column `{name}`; the columns are {columns}")]
    NoColumn {
        /// The name.
        name: String,
        /// Those that are there.
        columns: String,
    },
    /// No column holds the time.
    #[error(
        "no column is called ts, time, timestamp, date or ds; say which one holds the time (--time); the columns are {columns}"
    )]
    NoTime {
        /// Those that are there.
        columns: String,
    },
    /// No column holds a value.
    #[error("no column holds numbers; say which ones are values (--value); the columns are {columns}")]
    NoValue {
        /// Those that are there.
        columns: String,
    },
}

/// Columns by their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) columns: Vec<String>,
    pub(super) time: usize,
    time_unit: TimeUnit,
    pub(super) metric: MetricFrom,
    pub(super) values: Vec<(usize, String)>,
    pub(super) labels: Vec<(usize, String)>,
    /// Columns whose cells hold several labels.
    pub(super) label_maps: Vec<usize>,
    pub(super) extra_labels: Vec<(String, String)>,
}

/// Where a metric's name comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MetricFrom {
    Name(String),
    Column(usize),
    /// The value column is called like the metric.
    ValueColumn,
}

impl Plan {
    pub(super) fn new(columns: &[String], first: &[Cell<'_>], mapping: &Mapping) -> Result<Self, MappingError> {
        let all = || columns.join(", ");
        let named = |name: &str| {
            let found = columns.iter().position(|column| column == name);
            found.ok_or_else(|| MappingError::NoColumn { name: name.to_owned(), columns: all() })
        };
        let guessed = |names: &[&str]| {
            names.iter().find_map(|name| columns.iter().position(|column| column.eq_ignore_ascii_case(name)))
        };
        let time = match &mapping.time {
            Some(name) => named(name)?,
            None => guessed(&TIME_NAMES).ok_or_else(|| MappingError::NoTime { columns: all() })?,
        };
        let mut metric = match (&mapping.metric, &mapping.metric_column) {
            (_, Some(column)) => MetricFrom::Column(named(column)?),
            (Some(name), None) => MetricFrom::Name(name.clone()),
            (None, None) => guessed(&METRIC_NAMES).map_or(MetricFrom::ValueColumn, MetricFrom::Column),
        };
        // `metric` may hold the labels as an object, as the exports of others do.
        let mut label_maps: Vec<usize> = columns.iter().position(|column| column == LABELS_NAME).into_iter().collect();
        if let MetricFrom::Column(column) = metric
            && matches!(first.get(column), Some(Cell::Pairs(_)))
        {
            label_maps.push(column);
            metric = MetricFrom::ValueColumn;
        }
        let is_taken = |i: usize| i == time || metric == MetricFrom::Column(i) || label_maps.contains(&i);
        let wanted = mapping.labels.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
        let values: Vec<usize> = if mapping.values.is_empty() {
            let looks = |i: &usize| first.get(*i).is_some_and(Cell::looks_like_a_value);
            let free = |i: &usize| !is_taken(*i) && !wanted.contains(i);
            match guessed(&VALUE_NAMES).filter(free) {
                Some(column) => vec![column],
                None => (0..columns.len()).filter(free).filter(looks).collect(),
            }
        } else {
            mapping.values.iter().map(|name| named(name)).collect::<Result<_, _>>()?
        };
        if values.is_empty() {
            return Err(MappingError::NoValue { columns: all() });
        }
        let labels = if mapping.labels.is_empty() {
            (0..columns.len()).filter(|i| !is_taken(*i) && !values.contains(i)).collect()
        } else {
            wanted
        };
        let with_name = |list: Vec<usize>| list.into_iter().map(|i| (i, columns[i].clone())).collect();
        Ok(Self {
            columns: columns.to_vec(),
            time,
            time_unit: mapping.time_unit,
            metric,
            values: with_name(values),
            labels: with_name(labels),
            label_maps,
            extra_labels: mapping.extra_labels.clone(),
        })
    }

    /// A cell as a time.
    pub(super) fn time_of(&self, cell: &Cell<'_>) -> Result<Timestamp, String> {
        let fault = |text: &str| format!("column `{}`: `{text}` is not a time", self.columns[self.time]);
        let found = match cell {
            Cell::Time(at) => Some(*at),
            Cell::Integer(number) => time::of_integer(*number, self.time_unit),
            Cell::Number(number) => time::of_number(*number, self.time_unit),
            Cell::Text(text) => time::of_text(text.trim(), self.time_unit),
            Cell::Null | Cell::Flag(_) | Cell::Pairs(_) => None,
        };
        found.ok_or_else(|| fault(&cell.text()))
    }
}

/// `time = ts, metric = metric, value = value, labels = job, instance`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |list: &[(usize, String)]| list.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(", ");
        write!(f, "time = {}, ", self.columns[self.time])?;
        match &self.metric {
            MetricFrom::Name(name) => write!(f, "metric \"{name}\"")?,
            MetricFrom::Column(column) => write!(f, "metric = {}", self.columns[*column])?,
            MetricFrom::ValueColumn => f.write_str("metric by column")?,
        }
        write!(f, ", value = {}", names(&self.values))?;
        let maps = self.label_maps.iter().map(|i| self.columns[*i].as_str());
        let labels: Vec<_> = self.labels.iter().map(|(_, name)| name.as_str()).chain(maps).collect();
        write!(f, ", labels = {}", if labels.is_empty() { "none".to_owned() } else { labels.join(", ") })
    }
}
