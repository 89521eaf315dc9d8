//! Scraping: targets whose metrics are fetched, as `scrape:` in the configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Span;

/// Targets of all jobs together.
const TARGETS_MAX: usize = 1000;
/// Labels that a scrape sets itself.
const OWN_LABELS: [&str; 3] = ["job", "instance", "__name__"];

/// What is scraped and within which bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrapeSettings {
    /// Pause between two scrapes of a target.
    pub interval: Span,
    /// Longest time of a scrape; at most the interval.
    pub timeout: Span,
    /// Samples of one scrape; more fail it.
    pub sample_limit: u64,
    /// Size of one answer, unpacked, MiB; more fails the scrape.
    pub body_limit_mib: usize,
    /// Scrapes under way at once.
    pub concurrency: usize,
    /// Networks (CIDR) or addresses that targets may have. Addresses of metadata services are refused in any case.
    pub allow: Vec<String>,
    /// The jobs.
    pub jobs: Vec<ScrapeJob>,
}

/// Targets that are scraped alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeJob {
    /// Unique name; becomes the label `job`.
    pub name: String,
    /// `host:port`; becomes the label `instance`.
    pub targets: Vec<String>,
    /// Instead of that of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Instead of that of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Instead of that of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_limit: Option<u64>,
    /// Instead of that of all jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_limit_mib: Option<usize>,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Path, with its query if it needs one.
    #[serde(default = "metrics_path")]
    pub metrics_path: String,
    /// Labels put on every series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether labels of the target win over ours; else they are renamed `exported_…`.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether times given by the target are used.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// User and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// A bearer token, as `${env:NAME}` or `file:/path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<String>,
}

/// User and password of a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// The password, as `${env:NAME}` or `file:/path`.
    pub password: String,
}

/// How targets are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The word of a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self {
            interval: Span::seconds(15),
            timeout: Span::seconds(10),
            sample_limit: 100_000,
            body_limit_mib: 32,
            concurrency: 8,
            // Targets are private by nature.
            allow: ["127.0.0.0/8", "::1", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]
                .map(str::to_owned)
                .into(),
            jobs: Vec::new(),
        }
    }
}

impl ScrapeSettings {
    /// Pause between two scrapes of a job's targets.
    pub fn interval_of(&self, job: &ScrapeJob) -> Span {
        job.interval.unwrap_or(self.interval)
    }

    /// Longest time of a scrape; without a word of its own, a job with short intervals has a shorter one.
    pub fn timeout_of(&self, job: &ScrapeJob) -> Span {
        job.timeout.unwrap_or_else(|| self.timeout.min(self.interval_of(job)))
    }

    /// Rules between keys: the key, and what is wrong with it.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let fault = |key: String, why: &str| Some((key, why.to_owned()));
        if self.concurrency == 0 || self.sample_limit == 0 || self.body_limit_mib == 0 {
            return fault("scrape".into(), "concurrency, sample_limit and body_limit_mib must be at least 1");
        }
        let n_targets: usize = self.jobs.iter().map(|job| job.targets.len()).sum();
        if n_targets > TARGETS_MAX {
            let why = format!("{n_targets} targets are more than the {TARGETS_MAX} allowed; split them over servers");
            return Some(("scrape.jobs".into(), why));
        }
        let mut names = BTreeSet::new();
        for job in &self.jobs {
            let key = format!("scrape.jobs.{}", job.name);
            if job.name.is_empty() || !names.insert(&job.name) {
                return fault(key, "names of jobs are unique and not empty");
            }
            if self.timeout_of(job) > self.interval_of(job) {
                return fault(key, "timeout is longer than interval");
            }
            if !job.metrics_path.starts_with('/') {
                return fault(key, "metrics_path must begin with /");
            }
            if job.basic_auth.is_some() && job.bearer_token.is_some() {
                return fault(key, "give at most one of basic_auth and bearer_token");
            }
            if job.sample_limit == Some(0) || job.body_limit_mib == Some(0) {
                return fault(key, "sample_limit and body_limit_mib must be at least 1");
            }
            if let Some(label) = job.labels.keys().find(|name| name.is_empty() || OWN_LABELS.contains(&name.as_str())) {
                return Some((format!("{key}.labels"), format!("`{label}` is set by the scrape itself")));
            }
            let mut targets = BTreeSet::new();
            if let Some(twice) = job.targets.iter().find(|target| !targets.insert(*target)) {
                return Some((format!("{key}.targets"), format!("`{twice}` is there twice")));
            }
        }
        None
    }
}

fn metrics_path() -> String {
    "/metrics".into()
}

fn yes() -> bool {
    true
}
