//! The configuration: one YAML file, every key optional, unknown keys refused with the nearest valid one.
//!
//! Order: defaults < file < `FORETIDE__SECTION__KEY` from the environment < flags. A missing file means the defaults.

mod check;
mod disk;
mod environment;
mod error;
mod labels;
mod otlp;
mod place;
mod retention;
mod scrape;
mod span;
mod tiers;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use check::{SecretSource, secret_source};
pub use disk::DiskSettings;
pub use error::SettingsError;
pub use labels::LabelSettings;
pub use otlp::{OtlpNames, OtlpSettings};
pub use retention::{Keeping, RetentionRule, RetentionSettings, RollupTime};
pub use scrape::{BasicAuth, Scheme, ScrapeJob, ScrapeSettings};
pub use span::Span;
pub use tiers::TierSettings;

/// Everything a user may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address of the HTTP API and the page.
    pub listen: String,
    /// The data folder.
    pub data: PathBuf,
    /// The store.
    pub store: StoreSettings,
    /// Memory of the process.
    pub memory: MemorySettings,
    /// How long data is kept.
    pub retention: RetentionSettings,
    /// A second place for old files; without one all stay on the local disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiers: Option<TierSettings>,
    /// Whether `/api/v1/admin/tsdb/*` may delete series.
    pub admin_api: bool,
    /// Room on the data folder's disk.
    pub disk: DiskSettings,
    /// Bounds of queries.
    pub query: QuerySettings,
    /// Scheduled forecasts.
    pub forecast: ForecastSettings,
    /// Standing queries.
    pub streams: StreamSettings,
    /// Replica advice.
    pub scaling: ScalingSettings,
    /// Container sizes.
    pub rightsizing: RightsizingSettings,
    /// Runway of resources.
    pub capacity: CapacitySettings,
    /// Prices.
    pub cost: scale::Prices,
    /// Where advice is delivered.
    pub notify: Vec<NotifySettings>,
    /// Which private addresses webhooks may reach.
    pub egress: EgressSettings,
    /// Metrics of this machine.
    pub host: HostSettings,
    /// Targets whose metrics are fetched.
    pub scrape: ScrapeSettings,
    /// How OpenTelemetry metrics become series.
    pub otlp: OtlpSettings,
    /// How large label sets may be.
    pub labels: LabelSettings,
}

/// The store's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// How far behind the newest sample of its series a sample may be.
    pub ooo_window: Span,
    /// How far ahead of the clock a sample may be.
    pub ahead_max: Span,
    /// Active series at most.
    pub series_max: u64,
    /// Memory of fresh samples before they go to files, MiB.
    pub memtable_mib: u64,
    /// Age of fresh samples before they go to files.
    pub memtable_age: Span,
    /// Memory of decoded chunks kept between queries, MiB; 0 keeps none.
    pub cache_mib: u64,
}

/// Memory of the process, of which the store takes 35 %.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// MiB; 0 is 60 % of what the control group or the machine has.
    pub limit_mib: u64,
}

/// Bounds of queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySettings {
    /// Longest run.
    pub timeout: Span,
    /// Memory of all running SQL queries, MiB.
    pub memory_mib: usize,
    /// Series one query may touch.
    pub series_max: usize,
    /// Samples one PromQL query may read.
    pub samples_max: usize,
    /// Rows of a SQL answer.
    pub rows_max: usize,
}

/// Scheduled forecasts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastSettings {
    /// The jobs.
    pub jobs: Vec<ForecastJob>,
}

/// One scheduled forecast: exactly one of `promql` and `sql`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastJob {
    /// Unique name; becomes the label `job` of the forecast series.
    pub name: String,
    /// What is forecast, as PromQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promql: Option<String>,
    /// What is forecast, as SQL with columns `ts`, `value` and any number of text columns as labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Title for people.
    #[serde(default)]
    pub title: String,
    /// Unit for people, such as `req/s`.
    #[serde(default)]
    pub unit: String,
    /// When it runs: a cron expression, `@hourly`, or `every 15m`.
    #[serde(default = "hourly")]
    pub schedule: String,
    /// Distance of points.
    #[serde(default = "five_minutes")]
    pub step: Span,
    /// How much past is used.
    #[serde(default = "two_weeks")]
    pub history: Span,
    /// How far ahead.
    #[serde(default = "one_day")]
    pub horizon: Span,
    /// Quantiles written.
    #[serde(default = "quantiles")]
    pub quantiles: Vec<f64>,
    /// `auto` or a model expression.
    #[serde(default = "auto")]
    pub model: String,
    /// Season lengths; empty finds them.
    #[serde(default)]
    pub seasons: Vec<Span>,
    /// Least value a forecast may take; most metrics cannot be negative.
    #[serde(default = "zero")]
    pub lower: Option<f64>,
    /// Largest value.
    #[serde(default)]
    pub upper: Option<f64>,
    /// Series forecast at most.
    #[serde(default = "job_series_max")]
    pub series_max: usize,
}

/// Standing queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Whether the shipped ones run.
    pub starters: bool,
    /// More of them, as YAML files.
    pub files: Vec<PathBuf>,
    /// Groups of all streams together.
    pub groups_max: usize,
    /// Memory of their state, MiB.
    pub memory_mib: usize,
}

/// What may be done with advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Look only: decisions are recorded, nothing is sent.
    #[default]
    Observe,
    /// Recommendations are delivered to `notify`.
    Recommend,
    /// Recommendations are delivered and actuators may apply them.
    Act,
}

/// Replica advice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingSettings {
    /// What may be done.
    pub mode: Mode,
    /// How often policies are evaluated.
    pub every: Span,
    /// The policies.
    pub policies: Vec<scale::Policy>,
}

/// Container sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RightsizingSettings {
    /// Whether containers are looked at.
    pub enabled: bool,
    /// How often.
    pub every: Span,
    /// Quantile of CPU usage that the request covers.
    pub cpu_quantile: f64,
    /// Head-room above the memory peak, as a share.
    pub memory_headroom: f64,
    /// How far back.
    pub window: Span,
}

/// Runway of resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapacitySettings {
    /// How often.
    pub every: Span,
    /// How far back.
    pub window: Span,
    /// What is watched; empty watches every file system of node_exporter.
    pub resources: Vec<CapacityResource>,
}

/// A resource that can fill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacityResource {
    /// Name for people.
    pub name: String,
    /// PromQL of what is used, one series a resource.
    pub used: String,
    /// PromQL of what fits, with the same labels.
    pub limit: String,
    /// Whether both are bytes.
    #[serde(default = "yes")]
    pub bytes: bool,
    /// Share that counts as full.
    #[serde(default = "ninety_percent")]
    pub threshold: f64,
}

/// A receiver of advice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum NotifySettings {
    /// One JSON document a target in a folder.
    File {
        /// The folder.
        path: PathBuf,
    },
    /// CloudEvents by HTTP.
    Webhook {
        /// Where to.
        url: String,
        /// Key of the signature, as `${env:NAME}` or `file:/path`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    },
}

/// Which private addresses may be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Hosts or networks (CIDR).
    pub allow: Vec<String>,
}

/// Metrics of this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// Whether they are recorded.
    pub enabled: bool,
    /// How often.
    pub every: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4280".into(),
            data: "./data".into(),
            store: StoreSettings::default(),
            memory: MemorySettings::default(),
            retention: RetentionSettings::default(),
            tiers: None,
            admin_api: false,
            disk: DiskSettings::default(),
            query: QuerySettings::default(),
            forecast: ForecastSettings::default(),
            streams: StreamSettings::default(),
            scaling: ScalingSettings::default(),
            rightsizing: RightsizingSettings::default(),
            capacity: CapacitySettings::default(),
            cost: scale::Prices::default(),
            notify: Vec::new(),
            egress: EgressSettings::default(),
            host: HostSettings::default(),
            scrape: ScrapeSettings::default(),
            otlp: OtlpSettings::default(),
            labels: LabelSettings::default(),
        }
    }
}

impl Default for ForecastJob {
    fn default() -> Self {
        Self {
            name: String::new(),
            promql: None,
            sql: None,
            title: String::new(),
            unit: String::new(),
            schedule: hourly(),
            step: five_minutes(),
            history: two_weeks(),
            horizon: one_day(),
            quantiles: quantiles(),
            model: auto(),
            seasons: Vec::new(),
            lower: zero(),
            upper: None,
            series_max: job_series_max(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            ooo_window: Span::hours(24),
            ahead_max: Span::minutes(10),
            series_max: 2_000_000,
            memtable_mib: 48,
            memtable_age: Span::minutes(10),
            cache_mib: 32,
        }
    }
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            timeout: Span::minutes(1),
            memory_mib: 2048,
            series_max: 500_000,
            samples_max: 100_000_000,
            rows_max: 1_000_000,
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self { starters: true, files: Vec::new(), groups_max: 100_000, memory_mib: 256 }
    }
}

impl Default for ScalingSettings {
    fn default() -> Self {
        Self { mode: Mode::default(), every: Span::minutes(1), policies: Vec::new() }
    }
}

impl Default for RightsizingSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Span::hours(1),
            cpu_quantile: 0.95,
            memory_headroom: 0.15,
            window: Span::hours(14 * 24),
        }
    }
}

impl Default for CapacitySettings {
    fn default() -> Self {
        Self { every: Span::hours(1), window: Span::hours(90 * 24), resources: Vec::new() }
    }
}

impl Default for HostSettings {
    fn default() -> Self {
        Self { enabled: true, every: Span::seconds(15) }
    }
}

impl Settings {
    /// Reads a file, then the `FORETIDE__…` ones of `variables` (all of the environment's, as `std::env::vars_os` gives
    /// them); without a file only the latter. What is answered is checked.
    ///
    /// # Errors
    /// [`SettingsError`] with line, column, key and the nearest valid key.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?
            }
            None => String::new(),
        };
        let name = file.map_or_else(|| "defaults".to_owned(), |path| path.display().to_string());
        let settings = environment::overlay(Self::parse(&text, &name)?, variables)?;
        settings.check(&name)?;
        Ok(settings)
    }

    /// Reads YAML; an empty text is the defaults.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`].
    pub fn parse(text: &str, file: &str) -> Result<Self, SettingsError> {
        let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if only_comments {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|err| SettingsError::invalid(file, text, &err))
    }

    fn check(&self, file: &str) -> Result<(), SettingsError> {
        self.faults().map_err(|(key, why)| SettingsError::Rule { file: file.to_owned(), key, why })
    }

    /// As YAML with every key, for `foretide config show`.
    ///
    /// # Errors
    /// [`SettingsError::Write`].
    pub fn to_yaml(&self) -> Result<String, SettingsError> {
        serde_saphyr::to_string(self).map_err(|err| SettingsError::Write(err.to_string()))
    }
}

impl RightsizingSettings {
    /// How containers are sized by these settings.
    pub(crate) fn policy(&self) -> scale::RightsizePolicy {
        scale::RightsizePolicy {
            cpu_quantile: self.cpu_quantile,
            memory_headroom: self.memory_headroom,
            window: self.window.0,
            ..scale::RightsizePolicy::default()
        }
    }
}

fn hourly() -> String {
    "@hourly".into()
}

fn auto() -> String {
    "auto".into()
}

fn five_minutes() -> Span {
    Span::minutes(5)
}

fn two_weeks() -> Span {
    Span::hours(14 * 24)
}

fn one_day() -> Span {
    Span::hours(24)
}

fn quantiles() -> Vec<f64> {
    vec![0.1, 0.5, 0.9]
}

fn zero() -> Option<f64> {
    Some(0.0)
}

fn job_series_max() -> usize {
    100
}

fn yes() -> bool {
    true
}

fn ninety_percent() -> f64 {
    0.9
}

#[cfg(test)]
mod tests;
