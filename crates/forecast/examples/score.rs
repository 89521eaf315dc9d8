//! Forecasts every series of a long CSV, so that the project's scorers can judge the result.
//!
//! ```text
//! cargo run --release -p forecast --example score -- \
//!     --train hourly-train.csv.gz --horizon 48 --step-ms 3600000 [--seasons 24,168] [--model auto] \
//!     [--folds 5] [--limit N] > forecasts.csv
//! ```
//!
//! Reads `unique_id,step|ds,y` (plain or gzip, rows of a series together and in order), writes
//! `unique_id,step,mean,lo-80,hi-80,lo-95,hi-95`. On standard error: series a second of one core (CPU time of
//! forecasting alone where Linux tells it, wall time elsewhere), the models chosen, and the mean back-test coverage. Histories without a negative value are
//! bounded below by zero.
#![allow(clippy::print_stdout, reason = "an example's output")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use forecast::{Bounds, Forecast, ModelChoice, Request, Seasons, Spec, forecast};

struct Options {
    train: String,
    horizon: usize,
    step_ms: i64,
    seasons: Seasons,
    model: ModelChoice,
    folds: usize,
    limit: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let series = read(&options.train)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    writeln!(out, "unique_id,step,mean,lo-80,hi-80,lo-95,hi-95")?;
    let mut tally = Tally::default();
    let start = Instant::now();
    for (id, y) in series.iter().take(options.limit) {
        let bounds = if y.iter().all(|v| *v >= 0.0) { Bounds::NON_NEGATIVE } else { Bounds::default() };
        let request = Request {
            seasons: options.seasons.clone(),
            quantiles: &[0.025, 0.1, 0.9, 0.975],
            model: options.model.clone(),
            bounds,
            folds: options.folds,
            ..Request::new(y, options.step_ms, options.horizon)
        };
        let before = busy(start);
        let answer = forecast(&request);
        tally.spent += busy(start).saturating_sub(before);
        match answer {
            Ok(answer) => {
                tally.add(&answer);
                write(&mut out, id, &answer)?;
            }
            Err(why) => eprintln!("{id}: {why}"),
        }
    }
    out.flush()?;
    tally.print();
    Ok(())
}

/// Time this thread has spent on a core; time since `start` where the kernel does not say.
fn busy(start: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let spent = stat.and_then(|line| line.split(' ').next()?.parse().ok());
    spent.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn write(out: &mut impl Write, id: &str, answer: &Forecast) -> std::io::Result<()> {
    let path = |i: usize, h: usize| answer.quantiles[i].values[h];
    for (h, mean) in answer.mean.iter().enumerate() {
        writeln!(out, "{id},{},{mean},{},{},{},{}", h + 1, path(1, h), path(2, h), path(0, h), path(3, h))?;
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    spent: Duration,
    series: usize,
    families: BTreeMap<String, f64>,
    coverage: (f64, usize),
    relative: (f64, usize),
}

impl Tally {
    fn add(&mut self, answer: &Forecast) {
        self.series += 1;
        for candidate in &answer.backtest.candidates {
            *self.families.entry(candidate.model.clone()).or_default() += candidate.weight;
        }
        if let Some((_, observed)) = answer.backtest.coverage.last() {
            self.coverage = (self.coverage.0 + observed, self.coverage.1 + 1);
        }
        if answer.backtest.chosen_rel > 0.0 {
            self.relative = (self.relative.0 + answer.backtest.chosen_rel.ln(), self.relative.1 + 1);
        }
    }

    fn print(&self) {
        let rate = self.series as f64 / self.spent.as_secs_f64();
        eprintln!("{} series, {rate:.1} series/s", self.series);
        eprintln!("back-test coverage of the widest interval {:.4}", self.coverage.0 / self.coverage.1 as f64);
        eprintln!(
            "back-test error relative to the seasonal naive {:.4}",
            (self.relative.0 / self.relative.1 as f64).exp()
        );
        for (model, weight) in &self.families {
            eprintln!("  {:6.2} % {model}", 100.0 * weight / self.series as f64);
        }
    }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        train: String::new(),
        horizon: 0,
        step_ms: 0,
        seasons: Seasons::Auto,
        model: ModelChoice::Auto,
        folds: forecast::DEFAULT_FOLDS,
        limit: usize::MAX,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--train" => options.train = value,
            "--horizon" => options.horizon = value.parse()?,
            "--step-ms" => options.step_ms = value.parse()?,
            "--seasons" if value == "none" => options.seasons = Seasons::Given(Vec::new()),
            "--seasons" => {
                options.seasons = Seasons::Given(value.split(',').map(str::parse).collect::<Result<_, _>>()?)
            }
            "--model" if value == "auto" => {}
            "--model" if value.ends_with(".toml") => {
                options.model = ModelChoice::Custom(Box::new(Spec::parse(&std::fs::read_to_string(&value)?)?));
            }
            "--model" => options.model = ModelChoice::Named(value),
            "--folds" => options.folds = value.parse()?,
            "--limit" => options.limit = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(options)
}

/// An identifier and its values, oldest first.
type Series = (String, Vec<f64>);

/// Series in order of appearance.
fn read(path: &str) -> Result<Vec<Series>, Box<dyn Error>> {
    let file = File::open(path).map_err(|why| format!("{path}: {why}"))?;
    let plain: Box<dyn Read> = if path.ends_with(".gz") { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut series: Vec<Series> = Vec::new();
    for (number, line) in BufReader::new(plain).lines().enumerate().skip(1) {
        let line = line?;
        let mut fields = line.split(',');
        let (Some(id), Some(_), Some(y)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(format!("{path}:{}: three columns are needed", number + 1).into());
        };
        let y = if y.is_empty() { f64::NAN } else { y.parse()? };
        match series.last_mut() {
            Some((last, values)) if last == id => values.push(y),
            _ => series.push((id.to_owned(), vec![y])),
        }
    }
    Ok(series)
}
