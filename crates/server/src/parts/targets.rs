//! What is scraped.

use std::time::Duration;

use series::{Millis, Timestamp};

/// The scraped targets.
pub trait Targets: Send + Sync {
    /// All of them, in the order of the configuration.
    fn targets(&self) -> Vec<ScrapeTarget>;
}

/// A target and how its last scrape went.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeTarget {
    /// Name of its job.
    pub pool: String,
    /// What is fetched; without credentials.
    pub url: String,
    /// Labels of its series.
    pub labels: Vec<(String, String)>,
    /// Whether the last scrape gave samples.
    pub health: Health,
    /// Why it did not; else empty.
    pub last_error: String,
    /// When it was.
    pub last_scrape: Option<Timestamp>,
    /// How long it took.
    pub last_duration: Duration,
    /// Pause between two scrapes.
    pub interval: Millis,
    /// Longest time of a scrape.
    pub timeout: Millis,
}

/// Whether a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    Unknown,
    /// The last scrape gave samples.
    Up,
    /// It did not.
    Down,
}

impl Health {
    /// Prometheus' word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
