//! The words of the command line.

mod bench;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::bench::{BenchArgs, BenchIngestArgs, BenchWhat, Preset, TableFormat};

/// Sees the load coming: metrics in, forecasts and scaling advice out.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Try:\n  foretide demo                                       a fleet, its forecast and advice within a minute\n  foretide serve --data ./data                        take remote write on 127.0.0.1:4280\n  foretide promql 'topk(3, rate(http_requests_total[5m]))'"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Args, Clone, Default)]
pub(crate) struct Common {
    /// Configuration file (YAML)
    #[arg(long, global = true, value_name = "FILE", env = "FORETIDE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Data folder
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Talk to a running server instead of opening the data folder
    #[arg(long, global = true, value_name = "URL", conflicts_with = "data")]
    pub(crate) url: Option<String>,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// More on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Replay two weeks of a shop's metrics and show forecast, anomalies and advice (the default)
    Demo(DemoArgs),
    /// Run the server: remote write, queries, jobs, advice, page
    Serve(ServeArgs),
    /// Run one SQL statement
    #[command(after_help = "Example: foretide sql 'SELECT job, count(*) FROM metrics.\"up\" GROUP BY job'")]
    Sql(QueryArgs),
    /// Evaluate a PromQL expression
    #[command(after_help = "Example: foretide promql 'sum(rate(http_requests_total[5m]))' --range 6h --step 5m")]
    Promql(PromqlArgs),
    /// Show advice: replicas, container sizes, capacity
    #[command(after_help = "Example: foretide recommend rightsize --format md")]
    Recommend(RecommendArgs),
    /// Show, run or pause forecast jobs
    #[command(after_help = "Example: foretide jobs run checkout")]
    Jobs(JobsArgs),
    /// Check the record of who did what
    #[command(after_help = "Example: foretide audit verify --data ./data")]
    Audit(AuditArgs),
    /// Show messages to receivers, queue failed ones again
    #[command(after_help = "Example: foretide outbox list failed --data ./data")]
    Outbox(OutboxArgs),
    /// Write a made-up fleet's metrics with known truth
    #[command(after_help = "Example: foretide generate --to http://127.0.0.1:4280 --days 14 --truth truth.json")]
    Generate(GenerateArgs),
    /// Measure what samples cost on this machine
    #[command(after_help = "Example: foretide bench ingest --series 1000 --scrapes 100")]
    Bench(BenchArgs),
    /// Import files of samples: CSV, JSON lines, Parquet, Prometheus text, OpenMetrics, line protocol
    #[command(
        after_help = "Example: foretide import history.csv --data ./data --time when --metric cpu --value usage --extra-label job=old"
    )]
    Import(ImportArgs),
    /// Look for trouble: folder, disk, clock, limits; each finding with its cure
    #[command(after_help = "Example: foretide doctor --data ./data --verify")]
    Doctor(DoctorArgs),
    /// Copy the data folder, also of a running server; a second run takes only what is new
    #[command(after_help = "Example: foretide backup /backups/foretide --url http://127.0.0.1:4280")]
    Backup(BackupArgs),
    /// Write a backup out into an empty folder, every byte compared
    #[command(after_help = "Example: foretide restore /backups/foretide --data ./data")]
    Restore(RestoreArgs),
    /// Read a data folder or a backup to its last byte; exit code 1 at the first difference
    #[command(after_help = "Example: foretide verify ./data")]
    Verify(VerifyArgs),
    /// Make, show or check the configuration
    #[command(
        after_help = "Example: foretide config init > foretide.yaml && foretide config check --config foretide.yaml"
    )]
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Demo(DemoArgs::default())
    }
}

/// Options of `demo`.
#[derive(Args, Default)]
pub(crate) struct DemoArgs {
    /// End after the report
    #[arg(long)]
    pub(crate) once: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
    /// Address of the page
    #[arg(long, default_value = "127.0.0.1:4280", value_name = "ADDRESS")]
    pub(crate) listen: String,
    /// Seed of the made-up fleet
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
}

/// Form of the demo's report.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Options of `serve`.
#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on (loopback only: there is no authentication yet)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
}

/// A statement with the form of its answer.
#[derive(Args)]
pub(crate) struct QueryArgs {
    /// One statement; `-` reads it from stdin
    pub(crate) query: String,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Where the answer goes; stdout unless given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Forms of tabular answers.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// {columns, rows}
    Json,
    /// One object a line
    Jsonl,
    /// RFC 4180
    Csv,
    /// Arrow IPC stream
    Arrow,
    /// Apache Parquet
    Parquet,
    /// Markdown
    Md,
}

/// Options of `promql`.
#[derive(Args)]
pub(crate) struct PromqlArgs {
    /// The expression
    pub(crate) expr: String,
    /// When: RFC 3339 or unix seconds; now unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Evaluate over this long, ending at `--at`
    #[arg(long, value_name = "SPAN")]
    pub(crate) range: Option<String>,
    /// Distance of points with `--range`
    #[arg(long, value_name = "SPAN", requires = "range")]
    pub(crate) step: Option<String>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: PromqlFormat,
}

/// Forms of a PromQL answer.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum PromqlFormat {
    /// A line a sample
    #[default]
    Table,
    /// As the Prometheus API
    Json,
}

/// Options of `recommend`.
#[derive(Args)]
pub(crate) struct RecommendArgs {
    /// Which kind; all unless given
    #[arg(value_enum)]
    pub(crate) kind: Option<AdviceKind>,
    /// Only this namespace
    #[arg(short = 'n', long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Form of the list
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Where the list goes; stdout unless given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Also list what needs no change
    #[arg(long)]
    pub(crate) all: bool,
    /// Print the pending changes as Kubernetes patches
    #[arg(long, conflicts_with = "format")]
    pub(crate) patches: bool,
}

/// Kinds of advice.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdviceKind {
    /// Replicas
    Scale,
    /// Container requests and limits
    Rightsize,
    /// When resources are full
    Capacity,
}

/// Options of `jobs`.
#[derive(Args)]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    pub(crate) action: JobsAction,
}

/// What to do with jobs.
#[derive(Subcommand)]
pub(crate) enum JobsAction {
    /// All jobs with their last and next run
    List {
        /// Form of the list
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Run one now
    Run {
        /// Its name
        name: String,
    },
    /// Skip its turns until resumed
    Pause {
        /// Its name
        name: String,
    },
    /// Take its turns again
    Resume {
        /// Its name
        name: String,
    },
}

/// Options of `audit`.
#[derive(Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
}

/// What to do with the audit trail.
#[derive(Subcommand)]
pub(crate) enum AuditAction {
    /// Check every record against the hash chain; names the first bad one
    Verify,
}

/// Options of `outbox`.
#[derive(Args)]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    pub(crate) action: OutboxAction,
}

/// What to do with messages.
#[derive(Subcommand)]
pub(crate) enum OutboxAction {
    /// The newest messages
    List {
        /// Which ones
        #[arg(value_enum, default_value_t)]
        state: OutboxState,
        /// How many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Queue a failed message again, with the same idempotency key
    Retry {
        /// Its id
        id: String,
    },
}

/// Where messages stand.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OutboxState {
    /// Not sent yet, or to be tried again
    Waiting,
    /// Taken by the receiver
    Delivered,
    /// Given up
    #[default]
    Failed,
    /// Overtaken by newer advice or by time
    Superseded,
}

/// Options of `generate`.
#[derive(Args)]
pub(crate) struct GenerateArgs {
    /// Send by remote write to this server
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    /// Write text exposition with timestamps to this file (`-`: stdout)
    #[arg(short, long, value_name = "FILE", conflicts_with = "to")]
    pub(crate) output: Option<PathBuf>,
    /// Where the planted truth goes, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    /// Same seed, same fleet
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Length
    #[arg(long, default_value_t = 14)]
    pub(crate) days: u32,
    /// Distance of scrapes
    #[arg(long, default_value = "2m", value_name = "SPAN")]
    pub(crate) step: String,
    /// End of the trace: RFC 3339 or unix seconds; now unless given
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<String>,
}

/// Options of `import`.
#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The files; those ending in .gz are unpacked (not Parquet)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Format; by the file's name unless given
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImportFormat>,
    /// Column of the time; ts, time, timestamp, date or ds unless given
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// Unit of times that are numbers
    #[arg(long, value_enum, default_value_t)]
    pub(crate) time_unit: ImportTimeUnit,
    /// Name of the metric; with several value columns the first part of their names
    #[arg(long, value_name = "NAME", conflicts_with = "metric_column")]
    pub(crate) metric: Option<String>,
    /// Column of the metric's name; metric, __name__ or name unless given
    #[arg(long, value_name = "COLUMN")]
    pub(crate) metric_column: Option<String>,
    /// Columns of values; value, else every column of numbers unless given
    #[arg(long = "value", value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) values: Vec<String>,
    /// Columns of labels; all that are nothing else unless given
    #[arg(long = "label", value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// Label put on every series
    #[arg(long = "extra-label", value_name = "NAME=VALUE")]
    pub(crate) extra_labels: Vec<String>,
    /// Read and count, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Formats of imported files.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ImportFormat {
    /// Comma-separated, with a head
    Csv,
    /// Tab-separated, with a head
    Tsv,
    /// An object a line
    Jsonl,
    /// Apache Parquet
    Parquet,
    /// Prometheus text
    Prometheus,
    /// OpenMetrics
    Openmetrics,
    /// Influx line protocol
    Influx,
}

/// Units of times that are numbers.
#[derive(ValueEnum, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ImportTimeUnit {
    /// By the size of the number
    #[default]
    Auto,
    /// Seconds
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

/// Options of `doctor`.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Also read every byte of the data folder
    #[arg(long)]
    pub(crate) verify: bool,
    /// Form of the findings
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
}

/// Options of `backup`.
#[derive(Args)]
pub(crate) struct BackupArgs {
    /// Folder or file:// address; empty, missing, or an earlier backup
    #[arg(value_name = "DIR")]
    pub(crate) to: String,
}

/// Options of `restore`.
#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The backup: a folder or file:// address
    #[arg(value_name = "DIR")]
    pub(crate) from: String,
}

/// Options of `verify`.
#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// A data folder (also of a running server) or a backup: a folder or file:// address
    #[arg(value_name = "DIR")]
    pub(crate) dir: String,
}

/// Options of `config`.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What to do with the configuration.
#[derive(Subcommand)]
pub(crate) enum ConfigAction {
    /// Print a commented starter file
    Init,
    /// Print the settings in force, defaults included
    Show,
    /// Check a file; exit code 4 when it is invalid
    Check,
}
