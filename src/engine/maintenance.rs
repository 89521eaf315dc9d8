//! The store's upkeep as the HTTP server sees it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use series::{Matcher, TimeRange};
use server::{
    AdminError, FlushReport, HostLoad, IngestStats, Maintenance, MaintenanceError, Readiness, SeriesStats, Tally,
};
use store::StoreError;

use super::Core;
use super::host;

/// How old a reading of the machine's load may be.
const LOAD_AGE: Duration = Duration::from_millis(900);

/// Upkeep over the engine's store.
pub(crate) struct Upkeep {
    core: Arc<Core>,
    load: Mutex<Option<LoadReading>>,
}

/// A reading of the machine's load, with the CPU ticks it was made from.
struct LoadReading {
    at: Instant,
    ticks: (f64, f64),
    load: HostLoad,
}

impl Upkeep {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core, load: Mutex::default() }
    }
}

impl Maintenance for Upkeep {
    fn flush(&self, merge: bool) -> Result<FlushReport, MaintenanceError> {
        let started = Instant::now();
        let report = self.core.store.flush(merge).map_err(|err| match err {
            StoreError::Closed => MaintenanceError::Closed,
            StoreError::Log(wal::LogError::DiskFull { free_bytes }) => MaintenanceError::DiskFull { free_bytes },
            // The object store hands the system's words on and not its code.
            StoreError::Lake(err) if err.to_string().contains("No space left") => {
                MaintenanceError::DiskFull { free_bytes: self.core.free_bytes() }
            }
            other => MaintenanceError::Failed(other.to_string()),
        })?;
        Ok(FlushReport {
            series: self.core.store.stats().series,
            samples: report.samples,
            files: report.files,
            bytes: report.bytes,
            merged: report.days_merged,
            elapsed_ms: started.elapsed().as_millis() as u64,
        })
    }

    fn backup(&self, dir: &std::path::Path) -> Result<serde_json::Value, MaintenanceError> {
        let report = super::backup::run(&self.core, dir).map_err(|err| MaintenanceError::Failed(err.to_string()))?;
        serde_json::to_value(report).map_err(|err| MaintenanceError::Failed(err.to_string()))
    }

    fn ready(&self) -> Readiness {
        match self.core.store.starting() {
            None => Readiness { ready: true, phase: "serving".into(), done: 1.0 },
            Some(done) => Readiness { ready: false, phase: "replay".into(), done },
        }
    }

    fn ingest_stats(&self) -> IngestStats {
        let stats = self.core.store.stats();
        IngestStats {
            samples: stats.appended_samples,
            rejected: stats.rejected_samples,
            series: stats.series,
            stored_bytes: stats.file_bytes,
            stored_samples: stats.file_samples,
            memory_bytes: stats.memtable_bytes,
            log_bytes: stats.log_bytes,
        }
    }

    fn host(&self) -> Option<HostLoad> {
        let mut kept = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.at.elapsed() < LOAD_AGE) {
            return Some(kept.load);
        }
        let ticks = host::cpu_ticks()?;
        let (memory_used_bytes, memory_total_bytes) = host::memory_bytes()?;
        let cpu = match kept.as_ref().map(|kept| kept.ticks) {
            Some((busy, all)) if ticks.1 > all => (ticks.0 - busy) / (ticks.1 - all),
            _ => 0.0,
        };
        let disk_free_bytes = self.core.free_bytes();
        let load = HostLoad { cpu: cpu.clamp(0.0, 1.0), memory_used_bytes, memory_total_bytes, disk_free_bytes };
        *kept = Some(LoadReading { at: Instant::now(), ticks, load });
        Some(load)
    }

    fn alarms(&self) -> Vec<server::Alarm> {
        super::health::alarms(&self.core)
    }

    fn series_stats(&self, limit: usize) -> SeriesStats {
        let stats = self.core.store.stats();
        let tallies = |counts: Vec<(String, u64)>| {
            counts.into_iter().take(limit).map(|(name, value)| Tally { name, value }).collect::<Vec<_>>()
        };
        let values_by_label = self.core.store.values_per_label();
        SeriesStats {
            series: stats.series,
            label_pairs: values_by_label.iter().map(|(_, n)| n).sum(),
            by_metric: tallies(self.core.store.cardinality(series::METRIC_NAME)),
            values_by_label: tallies(values_by_label),
            ..SeriesStats::default()
        }
    }

    fn delete_series(&self, selectors: &[Vec<Matcher>], range: TimeRange) -> Result<(), AdminError> {
        self.administration()?;
        let deleted =
            self.core.store.delete_series(selectors, range).map_err(|err| AdminError::Failed(err.to_string()))?;
        let selectors: Vec<String> = selectors.iter().map(|matchers| words(matchers)).collect();
        tracing::info!(series = deleted.series, selectors = %selectors.join(" "), ?range, "series deleted");
        Ok(())
    }

    fn clean_tombstones(&self) -> Result<(), AdminError> {
        self.administration()?;
        self.core.store.clean_deleted().map(drop).map_err(|err| AdminError::Failed(err.to_string()))
    }

    fn retention(&self) -> String {
        self.core.settings.retention.raw.0.to_string()
    }

    fn flags(&self) -> Vec<(String, String)> {
        let tree = serde_json::to_value(&self.core.settings).unwrap_or_default();
        let mut flags = Vec::new();
        flatten("", &tree, &mut flags);
        flags
    }
}

impl Upkeep {
    fn administration(&self) -> Result<(), AdminError> {
        if self.core.settings.admin_api { Ok(()) } else { Err(AdminError::Off) }
    }
}

fn words(matchers: &[Matcher]) -> String {
    format!("{{{}}}", matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

fn flatten(path: &str, value: &serde_json::Value, flags: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, flags);
            }
        }
        serde_json::Value::String(_) if path.ends_with("secret") => flags.push((path.into(), "***".into())),
        serde_json::Value::String(text) => flags.push((path.into(), text.clone())),
        // Lists may hold secrets of receivers; their length says enough.
        serde_json::Value::Array(items) => flags.push((path.into(), format!("{} items", items.len()))),
        other => flags.push((path.into(), other.to_string())),
    }
}
