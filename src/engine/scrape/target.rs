//! One target: what its last scrape had, so that series that are gone get their marker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ingest::{LabelConflict, Limits, TextOptions, parse_text};
use series::{Batch, BatchTooLarge, Labels, METRIC_NAME, Millis, STALE_NAN, SeriesId, Timestamp};
use server::{Health, ScrapeTarget};

use super::fetch::{Page, Source};

/// A target with its memory of the scrape before.
pub(super) struct Target {
    pub(super) source: Arc<Source>,
    pub(super) job: String,
    pub(super) interval: Millis,
    /// `job`, `instance` and those of the configuration.
    pub(super) labels: Vec<(String, String)>,
    pub(super) honor_labels: bool,
    pub(super) honor_timestamps: bool,
    /// Series of the last scrape without times of their own, with the number of the scrape that had them last.
    seen: HashMap<SeriesId, (Labels, u64)>,
    n_scrapes: u64,
    last: Option<Last>,
}

/// How the last scrape went.
struct Last {
    at: Timestamp,
    took: Duration,
    fault: Option<String>,
}

/// What a scrape gave.
pub(super) struct Scraped {
    /// Samples, markers and the scrape's own series.
    pub(super) batch: Batch,
    pub(super) samples: u64,
    pub(super) fault: Option<String>,
}

impl Target {
    pub(super) fn new(
        source: Arc<Source>,
        job: String,
        interval: Millis,
        labels: Vec<(String, String)>,
        (honor_labels, honor_timestamps): (bool, bool),
    ) -> Self {
        Self {
            source,
            job,
            interval,
            labels,
            honor_labels,
            honor_timestamps,
            seen: HashMap::new(),
            n_scrapes: 0,
            last: None,
        }
    }

    /// Turns a page (or the reason why there is none) that took `took` into what is written.
    pub(super) fn take(
        &mut self,
        page: Result<Page, String>,
        at: Timestamp,
        took: Duration,
    ) -> Result<Scraped, BatchTooLarge> {
        self.n_scrapes += 1;
        let read = page.and_then(|page| self.read(&page, at));
        let (mut batch, fault) = match read {
            Ok(batch) => (batch, None),
            Err(why) => (Batch::default(), Some(why)),
        };
        let samples = batch.n_samples() as u64;
        let added = self.remember(&batch, at);
        self.mark_gone(&mut batch, at)?;
        let up = if fault.is_none() { 1.0 } else { 0.0 };
        for (name, value) in [
            ("up", up),
            ("scrape_duration_seconds", took.as_secs_f64()),
            ("scrape_samples_scraped", samples as f64),
            ("scrape_series_added", added as f64),
        ] {
            self.own(&mut batch, name, at, value)?;
        }
        self.last = Some(Last { at, took, fault: fault.clone() });
        Ok(Scraped { batch, samples, fault })
    }

    /// All or nothing: a page with one bad line is a fault of the target that must be seen.
    fn read(&self, page: &Page, at: Timestamp) -> Result<Batch, String> {
        let options = TextOptions {
            conflict: if self.honor_labels { LabelConflict::Keep } else { LabelConflict::Rename },
            honor_times: self.honor_timestamps,
            ..TextOptions::new(page.format, at, &self.labels)
        };
        let mut batch = Batch::default();
        let decoded =
            parse_text(&page.text, &options, &self.source.limits, &mut batch).map_err(|err| err.to_string())?;
        match decoded.refused.first() {
            Some(refusal) => Err(format!("{}: {}", refusal.reason, refusal.example)),
            None => Ok(batch),
        }
    }

    /// Notes the series of this scrape; how many are new.
    fn remember(&mut self, batch: &Batch, at: Timestamp) -> u64 {
        let mut added = 0;
        for series in batch.iter() {
            // A series with times of its own ends when its times do.
            if series.timestamps.last() != Some(&at.0) {
                continue;
            }
            match self.seen.get_mut(&series.id) {
                Some((_, scrape)) => *scrape = self.n_scrapes,
                None => {
                    self.seen.insert(series.id, (series.labels.to_owned(), self.n_scrapes));
                    added += 1;
                }
            }
        }
        added
    }

    /// A marker for each series that this scrape has not.
    fn mark_gone(&mut self, batch: &mut Batch, at: Timestamp) -> Result<(), BatchTooLarge> {
        let gone: Vec<_> = self.seen.extract_if(|_, (_, scrape)| *scrape != self.n_scrapes).collect();
        for (_, (labels, _)) in gone {
            batch.begin_labels(&labels)?;
            batch.push(at, STALE_NAN);
        }
        Ok(())
    }

    fn own(&self, batch: &mut Batch, name: &str, at: Timestamp, value: f64) -> Result<(), BatchTooLarge> {
        let own = std::iter::once((METRIC_NAME, name));
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // Names are checked with the configuration, so the set is always one.
        if let Ok(labels) = Labels::from_pairs(own.chain(labels)) {
            batch.begin_labels(&labels)?;
            batch.push(at, value);
        }
        Ok(())
    }

    /// For `/api/v1/targets`.
    pub(super) fn status(&self) -> ScrapeTarget {
        let fault = self.last.as_ref().and_then(|last| last.fault.clone());
        ScrapeTarget {
            pool: self.job.clone(),
            url: self.source.uri.to_string(),
            labels: self.labels.clone(),
            health: match (&self.last, &fault) {
                (None, _) => Health::Unknown,
                (Some(_), None) => Health::Up,
                (Some(_), Some(_)) => Health::Down,
            },
            last_error: fault.unwrap_or_default(),
            last_scrape: self.last.as_ref().map(|last| last.at),
            last_duration: self.last.as_ref().map_or(Duration::ZERO, |last| last.took),
            interval: self.interval,
            timeout: Millis(self.source.timeout.as_millis() as i64),
        }
    }
}

/// Bounds of one scrape, whose series have those of `series`.
pub(super) fn limits(series: &Limits, sample_limit: u64, body_limit_mib: usize) -> Limits {
    let bytes = body_limit_mib.saturating_mul(1 << 20);
    Limits { samples: sample_limit, series: sample_limit, body_bytes: bytes, decoded_bytes: bytes, ..series.clone() }
}
