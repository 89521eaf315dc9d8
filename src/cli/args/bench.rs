//! The words of `foretide bench`.

use clap::{Args, Subcommand, ValueEnum};

/// Options of `bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: BenchWhat,
}

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum BenchWhat {
    /// What a sample costs: CPU, memory, disk, time to the answer
    #[command(
        after_help = "The server is a process of its own on a temporary folder below --data (the system's temporary folder unless given).\nExample: foretide bench ingest --preset card500k\nExample: foretide bench ingest --series 1000 --scrapes 100 --rate 50000 --format json"
    )]
    Ingest(BenchIngestArgs),
}

/// Options of `bench ingest`.
#[derive(Args, Default)]
pub(crate) struct BenchIngestArgs {
    /// Size of the load
    #[arg(long, value_enum, default_value_t)]
    pub(crate) preset: Preset,
    /// Series, instead of the preset's
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) series: Option<usize>,
    /// Samples of each series, 15 s apart, instead of the preset's
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) scrapes: Option<usize>,
    /// Connections, each with one request under way
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = connections)]
    pub(crate) connections: usize,
    /// Samples a second to keep to, to see the time to the answer at a given load; as fast as it goes unless given
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Form of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: TableFormat,
}

/// Sizes of loads.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Preset {
    /// Six hours of 200 hosts: 20,000 series, 28.8 million samples
    #[default]
    Node20k,
    /// Many series: 500,000 with 20 samples each
    Card500k,
}

/// Forms of a report of figures.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TableFormat {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Largest load: beyond it numbers of samples and times no longer fit.
const COUNT_MAX: usize = 100_000_000;
const CONNECTIONS_MAX: usize = 1_000;

fn at_least_one(text: &str) -> Result<usize, String> {
    between(text, COUNT_MAX)
}

fn connections(text: &str) -> Result<usize, String> {
    between(text, CONNECTIONS_MAX)
}

fn between(text: &str, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("write a whole number from 1 to {max}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 1.0);
    rate.ok_or_else(|| "write samples a second, at least 1".to_owned())
}
