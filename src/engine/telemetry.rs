//! Our own metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use server::{MetricFamily, MetricKind, MetricSample, Telemetry};

use super::Core;
use super::scrape::Scraper;
use super::tee::Tee;

/// The engine's own metrics.
pub(crate) struct OwnMetrics {
    core: Arc<Core>,
    tee: Arc<Tee>,
    scraper: Option<Arc<Scraper>>,
}

impl OwnMetrics {
    pub(crate) fn new(core: Arc<Core>, tee: Arc<Tee>, scraper: Option<Arc<Scraper>>) -> Self {
        Self { core, tee, scraper }
    }
}

impl Telemetry for OwnMetrics {
    fn gather(&self) -> Vec<MetricFamily> {
        let mut families = self.store();
        families.extend(self.disk());
        families.extend(self.work());
        families.extend(self.scraper.iter().flat_map(|scraper| scraper.metrics()));
        families.extend(process());
        families.extend(advice(&self.core));
        families
    }
}

impl OwnMetrics {
    fn store(&self) -> Vec<MetricFamily> {
        let stats = self.core.store.stats();
        let log = &stats.log;
        vec![
            counter("foretide_ingest_samples_total", "Samples acknowledged.", stats.appended_samples),
            counter("foretide_ingest_histograms_total", "Native histograms acknowledged.", stats.appended_histograms),
            counter("foretide_ingest_exemplars_total", "Exemplars acknowledged.", stats.appended_exemplars),
            gauge("foretide_store_exemplars", "Exemplars held.", stats.exemplars as f64),
            counter(
                "foretide_store_dropped_exemplars_total",
                "Exemplars that made room for newer ones or had no series.",
                stats.dropped_exemplars,
            ),
            counter("foretide_ingest_rejected_samples_total", "Samples refused by limits.", stats.rejected_samples),
            counter("foretide_ingest_failed_batches_total", "Batches that failed as a whole.", stats.failed_batches),
            gauge("foretide_store_series", "Known series.", stats.series as f64),
            gauge("foretide_store_memtable_bytes", "Memory of samples not yet in files.", stats.memtable_bytes as f64),
            gauge("foretide_store_memtable_samples", "Samples not yet in files.", stats.memtable_samples as f64),
            gauge("foretide_store_files", "Chunk files.", stats.files as f64),
            gauge("foretide_store_file_bytes", "Bytes of chunk files.", stats.file_bytes as f64),
            gauge("foretide_store_file_samples", "Samples in chunk files.", stats.file_samples as f64),
            counter("foretide_store_flushes_total", "Flushes.", stats.flushes),
            counter("foretide_store_flushed_samples_total", "Samples moved to files.", stats.flushed_samples),
            seconds("foretide_store_flush_seconds_total", "Time spent flushing.", stats.flush_seconds),
            counter("foretide_store_compactions_total", "Compactions.", stats.compactions),
            counter(
                "foretide_store_compacted_samples_total",
                "Samples read by compactions, repeats included.",
                stats.compacted_samples,
            ),
            counter(
                "foretide_store_dropped_samples_total",
                "Samples left out by compactions: repeats, deleted and expired ones.",
                stats.dropped_samples,
            ),
            counter(
                "foretide_store_compactions_postponed_total",
                "Compactions put off for want of room on the disk.",
                stats.postponed,
            ),
            counter("foretide_store_days_dropped_total", "Days dropped whole by retention.", stats.days_dropped),
            counter("foretide_store_deletions_total", "Deletions of series.", stats.deletions),
            gauge(
                "foretide_store_tombstones",
                "Deletions that files still have to be cleaned of.",
                stats.tombstones as f64,
            ),
            counter("foretide_store_cache_hits_total", "Chunks that queries found decoded.", stats.cache.hits),
            counter("foretide_store_cache_misses_total", "Chunks that had to be read and decoded.", stats.cache.misses),
            gauge("foretide_store_cache_hit_ratio", "Part of the chunks found decoded.", stats.cache.hit_ratio()),
            gauge("foretide_store_cache_bytes", "Memory of decoded chunks.", stats.cache.bytes as f64),
            gauge("foretide_store_series_files", "Files of the series table.", stats.series_files as f64),
            gauge("foretide_store_cold_files", "Chunk files in the second object store.", stats.far_files as f64),
            gauge("foretide_store_cold_bytes", "Their bytes.", stats.far_bytes as f64),
            counter("foretide_store_cold_moves_total", "Files moved to the second object store.", stats.moved_away),
            counter("foretide_store_cold_returns_total", "Files brought back from there.", stats.moved_back),
            gauge("foretide_store_rollup_files", "Roll-up files.", stats.rollup_files as f64),
            gauge("foretide_store_rollup_bytes", "Bytes of roll-up files.", stats.rollup_bytes as f64),
            gauge("foretide_store_rollup_rows", "Rows of roll-up files.", stats.rollup_rows as f64),
            counter("foretide_store_failures_total", "Flushes and compactions that failed.", stats.failures),
            gauge("foretide_store_damaged_files", "Files that cannot be read.", stats.damaged_files as f64),
            gauge(
                "foretide_wal_lost_records",
                "Records of the log not read back at the start.",
                self.core.lost_records() as f64,
            ),
            gauge("foretide_store_unknown_series", "Stored series without labels.", stats.unknown_series as f64),
            gauge("foretide_wal_bytes", "Write-ahead log on disk.", stats.log_bytes as f64),
            counter("foretide_wal_commits_total", "Group commits.", log.commits),
            counter("foretide_wal_syncs_total", "fdatasync calls.", log.syncs),
            counter("foretide_wal_failures_total", "Writes and syncs that failed.", log.failures),
            counter(
                "foretide_wal_refused_total",
                "Batches refused because the queue was full or the log read-only.",
                log.refused,
            ),
            gauge("foretide_wal_queued_bytes", "Bytes waiting for the log.", log.queued_bytes as f64),
        ]
    }

    fn disk(&self) -> Vec<MetricFamily> {
        let health = &self.core.health;
        let level = "Room on the data folder's disk: 0 enough, 1 little, 2 samples are refused, 3 none.";
        let mut families = vec![
            gauge("foretide_disk_level", level, f64::from(health.level() as u8)),
            gauge(
                "foretide_data_folder_gone",
                "Whether the data folder was taken away.",
                f64::from(u8::from(health.gone().is_some())),
            ),
            gauge(
                "foretide_alarms",
                "What is wrong now, as a number of alarms.",
                super::health::alarms(&self.core).len() as f64,
            ),
        ];
        if let Some(space) = health.space() {
            families.push(gauge(
                "foretide_disk_free_bytes",
                "Free room on the data folder's disk.",
                space.free_bytes as f64,
            ));
            families.push(gauge(
                "foretide_disk_total_bytes",
                "Size of the data folder's disk.",
                space.total_bytes as f64,
            ));
        }
        families
    }

    fn work(&self) -> Vec<MetricFamily> {
        let tallies = &self.core.tallies;
        let load = |tally: &std::sync::atomic::AtomicU64| tally.load(Ordering::Relaxed);
        vec![
            gauge("foretide_stream_lag_batches", "Batches that wait for the standing queries.", self.tee.lag() as f64),
            counter(
                "foretide_stream_overflows_total",
                "Batches read back because the queue was full.",
                self.tee.overflows(),
            ),
            counter(
                "foretide_stream_late_samples_total",
                "Samples later than the allowed lateness.",
                load(&tallies.stream_late),
            ),
            gauge("foretide_stream_groups", "Groups of all standing queries.", load(&tallies.stream_groups) as f64),
            gauge("foretide_stream_state_bytes", "State of all standing queries.", load(&tallies.stream_bytes) as f64),
            counter("foretide_stream_events_total", "Events found.", load(&tallies.events)),
            counter("foretide_job_runs_total", "Runs of jobs.", load(&tallies.job_runs)),
            counter("foretide_job_failures_total", "Runs of jobs that failed.", load(&tallies.job_failures)),
            counter("foretide_decisions_total", "Scaling decisions.", load(&tallies.decisions)),
            counter("foretide_deliveries_total", "Messages delivered.", load(&tallies.delivered)),
            counter(
                "foretide_delivery_failures_total",
                "Attempts to deliver that failed.",
                load(&tallies.delivery_failures),
            ),
            gauge("foretide_uptime_seconds", "Since the start.", self.core.started.elapsed().as_secs_f64()),
        ]
    }
}

/// Open advice as metrics, so that it can be graphed and alerted on.
fn advice(core: &Core) -> Vec<MetricFamily> {
    let Ok(advice) = super::advise::recommendations(core) else { return Vec::new() };
    let open: Vec<_> = advice.into_iter().filter(|a| a.status == scale::Status::Open && a.changes()).collect();
    let mut families: Vec<MetricFamily> = Vec::new();
    for line in scale::to_metrics(&open) {
        let labels = line.labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let sample = MetricSample { suffix: "", labels, value: line.value };
        match families.iter_mut().find(|family| family.name == line.name) {
            Some(family) => family.samples.push(sample),
            None => families.push(MetricFamily {
                name: line.name.into(),
                help: "Open recommendations.".into(),
                kind: MetricKind::Gauge,
                samples: vec![sample],
            }),
        }
    }
    families
}

fn process() -> Vec<MetricFamily> {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return Vec::new() };
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return Vec::new() };
    let pages = statm.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of stat, counted after the command's closing parenthesis, in hundredths of a second.
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    vec![
        gauge("process_resident_memory_bytes", "Resident memory.", pages * 4096.0),
        seconds("process_cpu_seconds_total", "CPU time used.", ticks / 100.0),
    ]
}

fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    MetricFamily::single(name, help, MetricKind::Counter, value as f64)
}

fn seconds(name: &str, help: &str, value: f64) -> MetricFamily {
    MetricFamily::single(name, help, MetricKind::Counter, value)
}

fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    MetricFamily::single(name, help, MetricKind::Gauge, value)
}
