//! The store's state and the operations on it.

use std::path::Path;

use serde::Serialize;

use series::{Matcher, TimeRange, Timestamp};

/// State of the store and operations on it.
pub trait Maintenance: Send + Sync {
    /// Writes what is in memory to files; with `merge` also compacts them. Blocks until done.
    ///
    /// # Errors
    /// [`MaintenanceError`].
    fn flush(&self, merge: bool) -> Result<FlushReport, MaintenanceError>;

    /// Backs the data folder up into `dir` on this machine and answers what was taken. Blocks until done.
    ///
    /// # Errors
    /// [`MaintenanceError`].
    fn backup(&self, dir: &Path) -> Result<serde_json::Value, MaintenanceError> {
        Err(MaintenanceError::Failed(format!("backup into {} is not offered here", dir.display())))
    }

    /// Whether queries and writes can be served. Must be quick.
    fn ready(&self) -> Readiness;

    /// Counters of the write path. Must be quick: it is read once a second.
    fn ingest_stats(&self) -> IngestStats;

    /// Load of this machine, if it is watched. Must be quick.
    fn host(&self) -> Option<HostLoad>;

    /// What is wrong now, worst first; empty when all is well. Must be quick: it is read once a second.
    fn alarms(&self) -> Vec<Alarm> {
        Vec::new()
    }

    /// Cardinality, the `limit` largest entries of each list.
    fn series_stats(&self, limit: usize) -> SeriesStats;

    /// Deletes the samples in `range` of the series that match all of any of `selectors`, durably before it returns.
    ///
    /// # Errors
    /// [`AdminError`]; [`AdminError::Off`] where the administration is not switched on.
    fn delete_series(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<(), AdminError> {
        let (_, _) = (selectors, range);
        Err(AdminError::Off)
    }

    /// Takes deleted samples out of the files now.
    ///
    /// # Errors
    /// As [`Maintenance::delete_series`].
    fn clean_tombstones(&self) -> Result<(), AdminError> {
        Err(AdminError::Off)
    }

    /// How long raw samples are kept, in Prometheus notation, for `status/runtimeinfo`.
    fn retention(&self) -> String;

    /// Settings in force as name and value, secrets already replaced, for `status/flags`.
    fn flags(&self) -> Vec<(String, String)>;
}

/// Why an administrative call was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Not switched on.
    #[error("admin APIs disabled; set `admin_api: true` in the configuration")]
    Off,
    /// It failed; nothing has changed.
    #[error("{0}")]
    Failed(String),
}

/// Why a flush failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MaintenanceError {
    /// Another one runs.
    #[error("a flush is already running; wait for it to end")]
    Busy,
    /// The disk is full.
    #[error("disk is full ({free_bytes} bytes left); free space and flush again")]
    DiskFull {
        /// Bytes left for us.
        free_bytes: u64,
    },
    /// Writing failed.
    #[error("{0}; nothing acknowledged is lost")]
    Failed(String),
    /// The store is shutting down.
    #[error("store is closed")]
    Closed,
}

/// What a flush did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FlushReport {
    /// Series written.
    pub series: u64,
    /// Samples written.
    pub samples: u64,
    /// Files written.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Files merged away.
    pub merged: u64,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// Whether we can serve.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Readiness {
    /// Whether requests are served.
    pub ready: bool,
    /// What is being done: `replay`, `serving`, `draining`.
    pub phase: String,
    /// Share of the phase that is done, 0 to 1.
    pub done: f64,
}

/// Something that needs a person, or heals when its cause goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// A short word, such as `disk_full`.
    pub code: String,
    /// What is wrong, with numbers and the next step.
    pub message: String,
}

/// Counters of the write path since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct IngestStats {
    /// Samples made durable.
    pub samples: u64,
    /// Samples refused.
    pub rejected: u64,
    /// Active series.
    pub series: u64,
    /// Bytes of all files.
    pub stored_bytes: u64,
    /// Samples in these files, also from before the start.
    pub stored_samples: u64,
    /// Bytes of samples in memory.
    pub memory_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
}

/// Load of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HostLoad {
    /// Share of all cores in use, 0 to 1.
    pub cpu: f64,
    /// Memory in use.
    pub memory_used_bytes: u64,
    /// Memory there is.
    pub memory_total_bytes: u64,
    /// Free bytes on the data folder's disk.
    pub disk_free_bytes: u64,
}

/// Cardinality of the active series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesStats {
    /// Active series.
    pub series: u64,
    /// Distinct label pairs.
    pub label_pairs: u64,
    /// Chunks in memory.
    pub chunks: u64,
    /// Time covered by samples in memory; empty when there are none.
    pub range: TimeRange,
    /// Series by metric name, largest first.
    pub by_metric: Vec<Tally>,
    /// Distinct values by label name.
    pub values_by_label: Vec<Tally>,
    /// Bytes by label name.
    pub bytes_by_label: Vec<Tally>,
    /// Series by `label=value`.
    pub by_pair: Vec<Tally>,
}

/// A name with a count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// What is counted.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl Default for SeriesStats {
    fn default() -> Self {
        Self {
            series: 0,
            label_pairs: 0,
            chunks: 0,
            range: TimeRange::new(Timestamp(0), Timestamp(0)),
            by_metric: Vec::new(),
            values_by_label: Vec::new(),
            bytes_by_label: Vec::new(),
            by_pair: Vec::new(),
        }
    }
}
