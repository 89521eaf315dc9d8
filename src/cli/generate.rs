//! `foretide generate`: a fleet's metrics to a server or a file, with the truth beside.

use std::io::{BufWriter, Write};

use series::{Batch, Clock, Step, SystemClock};
use synth::{Fleet, FleetSpec};

use super::args::GenerateArgs;
use super::client::Client;
use super::promql_query::{parse_time, span};
use super::{CliError, output};

/// Steps sent in one request.
const STEPS_A_REQUEST: u64 = 20;

pub(super) fn run(args: &GenerateArgs) -> Result<(), CliError> {
    let mut fleet = Fleet::new(&spec(args)?)
        .map_err(|err| CliError::Usage { argument: "generate".into(), why: err.to_string() })?;
    let samples = match (&args.to, &args.output) {
        (Some(url), _) => send(&mut fleet, &Client::new(url))?,
        (None, Some(path)) if path.as_os_str() != "-" => {
            let fault = |source| CliError::File { path: path.clone(), source };
            let mut file = BufWriter::new(std::fs::File::create(path).map_err(fault)?);
            let n = write(&mut fleet, &mut file)?;
            file.flush().map_err(fault)?;
            n
        }
        (None, Some(_)) => write(&mut fleet, &mut std::io::stdout().lock())?,
        (None, None) if args.truth.is_some() => run_through(&mut fleet)?,
        (None, None) => {
            return Err(CliError::Usage {
                argument: "generate".into(),
                why: "say where to: --to URL, --output FILE or --truth FILE".into(),
            });
        }
    };
    if let Some(path) = &args.truth {
        let truth = serde_json::to_string_pretty(fleet.truth());
        let truth = truth.map_err(|err| CliError::Failed(format!("write the truth: {err}")))?;
        output::put(truth.as_bytes(), Some(path))?;
    }
    output::complain(&format!("{samples} samples of {} series", fleet.n_series()));
    Ok(())
}

fn spec(args: &GenerateArgs) -> Result<FleetSpec, CliError> {
    let end = match &args.end {
        Some(text) => parse_time(text).ok_or_else(|| CliError::Usage {
            argument: "--end".into(),
            why: format!("`{text}` is not a time; write RFC 3339 or unix seconds"),
        })?,
        None => SystemClock.now(),
    };
    let step = Step::new(span("--step", &args.step)?.0)
        .ok_or_else(|| CliError::Usage { argument: "--step".into(), why: "must be longer than 0s".into() })?;
    let spec = FleetSpec { seed: args.seed, step, ..FleetSpec::ending_at(end) };
    let start = spec.end() - series::Millis::from_days(i64::from(args.days));
    Ok(FleetSpec { start, days: args.days, ..spec })
}

/// Scrapes through, handing each full request to `take`.
pub(crate) fn replay(fleet: &mut Fleet, mut take: impl FnMut(Batch) -> Result<(), CliError>) -> Result<u64, CliError> {
    let mut samples = 0;
    let mut batch = Batch::default();
    let n_steps = fleet.n_steps();
    for step in 0..n_steps {
        fleet.scrape(&mut batch).map_err(|err| CliError::Failed(format!("generate: {err}")))?;
        if (step + 1) % STEPS_A_REQUEST == 0 || step + 1 == n_steps {
            samples += batch.n_samples() as u64;
            take(std::mem::take(&mut batch))?;
        }
    }
    Ok(samples)
}

/// Headers of a remote-write request.
pub(crate) const WRITE_HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

fn send(fleet: &mut Fleet, client: &Client) -> Result<u64, CliError> {
    replay(fleet, |batch| client.post("/api/v1/write", &WRITE_HEADERS, &encoded(&batch)?).map(drop))
}

/// A batch as the body of a remote-write request.
pub(crate) fn encoded(batch: &Batch) -> Result<Vec<u8>, CliError> {
    ingest::encode_write_request(batch).map_err(|err| CliError::Failed(format!("encode a write request: {err}")))
}

fn run_through(fleet: &mut Fleet) -> Result<u64, CliError> {
    replay(fleet, |_| Ok(()))
}

fn write(fleet: &mut Fleet, out: &mut impl Write) -> Result<u64, CliError> {
    let fault = |err: std::io::Error| match err.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::Pipe,
        _ => CliError::Failed(format!("write: {err}")),
    };
    replay(fleet, |batch| {
        for series in batch.iter() {
            for (at, value) in series.timestamps.iter().zip(series.values) {
                writeln!(out, "{} {} {at}", series.labels, promql::format_number(*value)).map_err(fault)?;
            }
        }
        Ok(())
    })
}
