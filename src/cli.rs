//! The command line: words in, exit codes out. Data goes to stdout, talk to stderr.

mod args;
mod audit;
mod backup;
mod client;
mod config;
mod doctor;
mod error;
mod forecast_jobs;
mod generate;
mod import;
mod local;
mod outbox;
mod output;
mod promql_query;
mod recommend;
mod restore;
mod runtime;
mod serve;
mod sql_query;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::EnvFilter;

pub(crate) use self::args::{BenchIngestArgs, Common, DemoArgs, Preset, ReportFormat, TableFormat};
use self::args::{BenchWhat, Cli, Command};
pub(crate) use self::client::Client;
pub use self::error::CliError;
pub(crate) use self::generate::{WRITE_HEADERS, encoded, replay};
pub(crate) use self::output::{line, put};
pub(crate) use self::runtime::{bind, listen_fault, runtime, stop_signal};

/// Parses the arguments, runs the command and gives its exit code: 0 fine, 1 failed, 2 wrong usage, 4 configuration
/// invalid, 5 server not reachable, 6 not enough data, 130 interrupted.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(&cli);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Pipe) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::debug!(?err);
            output::complain(&format!("error: {err}"));
            ExitCode::from(err.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let common = &cli.common;
    match cli.command.unwrap_or_default() {
        Command::Demo(args) => crate::demo::run(common, &args),
        Command::Serve(args) => serve::run(common, &args),
        Command::Sql(args) => sql_query::run(common, &args),
        Command::Promql(args) => promql_query::run(common, &args),
        Command::Recommend(args) => recommend::run(common, &args),
        Command::Jobs(args) => forecast_jobs::run(common, &args),
        Command::Audit(args) => audit::run(common, &args),
        Command::Outbox(args) => outbox::run(common, &args),
        Command::Generate(args) => generate::run(&args),
        Command::Bench(args) => match args.what {
            BenchWhat::Ingest(args) => crate::bench::ingest(common, &args),
        },
        Command::Import(args) => import::run(common, &args),
        Command::Doctor(args) => doctor::run(common, &args),
        Command::Backup(args) => backup::run(common, &args),
        Command::Restore(args) => restore::run(common, &args),
        Command::Verify(args) => verify::run(common, &args),
        Command::Config(args) => config::run(common, &args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "foretide", &mut script);
            output::put(&script, None)
        }
    }
}

fn log_to_stderr(cli: &Cli) {
    let level = match (cli.common.quiet, cli.common.verbose, &cli.command) {
        (true, _, _) => "error",
        (_, 1, _) => "info",
        (_, 2.., _) => "debug",
        (_, 0, Some(Command::Serve(_))) => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("FORETIDE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
}
