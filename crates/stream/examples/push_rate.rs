//! What standing queries cost: `cargo run --release -p stream --example push_rate`.
//!
//! 2,000 counters and 1,000 gauges, a sample every 15 s for two hours, six standing queries; prints samples a second on one
//! core, bytes a series and the size of a checkpoint.

use std::io::Write as _;
use std::time::Instant;

use series::{Batch, BatchTooLarge, METRIC_NAME, Matcher, Millis, Timestamp};
use stream::{Operator, Sensitivity, StreamLimits, StreamSpec, Streams, ValueKind};

fn spec(name: &str, metric: &str, value: ValueKind, operators: Vec<Operator>) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        matchers: vec![Matcher::equal(METRIC_NAME, metric)],
        by: vec!["service".to_owned()],
        value,
        window: Millis::from_mins(5),
        slide: Millis::from_mins(1),
        lateness: Millis::from_secs(30),
        operators,
    }
}

fn specs() -> Vec<StreamSpec> {
    let anomaly = || Operator::Anomaly { sensitivity: Sensitivity::Normal, season: None };
    vec![
        spec("rate", "requests_total", ValueKind::Rate, vec![Operator::Rate, anomaly()]),
        spec("rate-percentiles", "requests_total", ValueKind::Rate, vec![Operator::Percentiles(vec![0.5, 0.99])]),
        spec("load", "load", ValueKind::Gauge, vec![Operator::Mean, anomaly()]),
        spec("load-percentiles", "load", ValueKind::Gauge, vec![Operator::Percentiles(vec![0.5, 0.99])]),
        spec("load-trend", "load", ValueKind::Gauge, vec![Operator::Trend { limit: Some(100.0), within: None }]),
        spec("other", "nothing", ValueKind::Gauge, vec![Operator::Count]),
    ]
}

/// One scrape of all series; a third of them are of metrics that no query asks for.
fn scrape(batch: &mut Batch, at: i64) -> Result<(), BatchTooLarge> {
    batch.clear();
    let tick = at / 15_000;
    for i in 0..4500_u64 {
        let (metric, value) = match i % 9 {
            0..4 => ("requests_total", (tick as u64 * (i % 97 + 1)) as f64),
            4 | 5 => ("load", (sketch::wire::mix(i ^ (tick as u64) << 20) % 1000) as f64 / 100.0),
            _ => ("unasked", tick as f64),
        };
        let (service, instance) = (format!("s{}", i % 100), format!("i{i}"));
        batch.begin([(METRIC_NAME, metric), ("instance", &instance), ("service", &service)])?;
        batch.push(Timestamp(at), value);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut streams = Streams::new(specs(), StreamLimits::default())?;
    let (mut batch, mut out) = (Batch::default(), Vec::new());
    let (mut taking, mut closing, mut samples, mut emitted) = (0.0, 0.0, 0, 0);
    for tick in 1..=480_i64 {
        let at = tick * 15_000;
        scrape(&mut batch, at)?;
        let start = Instant::now();
        streams.push(Timestamp(at), &batch, &mut out);
        let seconds = start.elapsed().as_secs_f64();
        *(if out.is_empty() { &mut taking } else { &mut closing }) += seconds;
        samples += batch.n_samples();
        emitted += out.len();
        out.clear();
    }
    let stats = streams.stats();
    let mut report = std::io::stdout().lock();
    writeln!(report, "{:.2} M samples/s, {emitted} results, {stats:?}", samples as f64 / (taking + closing) / 1e6)?;
    writeln!(report, "pushes that close nothing {taking:.3} s, pushes that close {closing:.3} s")?;
    writeln!(report, "{} B a series, {} B checkpoint", stats.bytes / stats.series.max(1), streams.checkpoint().len())?;
    Ok(())
}
