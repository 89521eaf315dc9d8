//! What does the evaluator take for a dashboard's queries, without the store? 800 counters, 600 buckets of classic
//! histograms and 50 native histograms, six hours at 15 s. Prints milliseconds of CPU a query on one thread, which other
//! work on the machine changes little; where the kernel does not tell them, milliseconds of the clock.

use std::io::Write;
use std::time::{Duration, Instant};

use promql::{Options, parse, range};
use series::{
    Buckets, Columns, Histogram, HistogramSample, Labels, Matcher, Metadata, Select, SelectError, SelectRequest,
    SeriesSet, Span, Step, TimeRange, Timestamp,
};

const SCRAPE: i64 = 15_000;

#[derive(Clone)]
struct Held {
    labels: Labels,
    floats: Columns,
    natives: Vec<HistogramSample>,
}

/// Series in memory, sorted by labels.
struct Fleet(Vec<std::sync::Arc<Held>>);

impl Fleet {
    fn new(n_samples: i64) -> Self {
        let mut all = Vec::new();
        let empty = Held { labels: Labels::empty(), floats: Columns::default(), natives: Vec::new() };
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).expect("names are unique");
        for host in 0..100 {
            for (cpu, mode) in (0..8).map(|i| (i / 4, ["idle", "iowait", "system", "user"][i % 4])) {
                let (host_name, cpu) = (format!("host-{host:05}"), cpu.to_string());
                let pairs = [("__name__", "cpu_seconds_total"), ("cpu", &cpu), ("host", &host_name), ("mode", mode)];
                let mut held = Held { labels: labels(&pairs), ..empty.clone() };
                (0..n_samples).for_each(|k| held.floats.push(Timestamp(k * SCRAPE), (k * (host + 7)) as f64 / 8.0));
                all.push(held);
            }
        }
        for service in 0..50 {
            let name = format!("service-{service:02}");
            for bucket in 0..12 {
                let bound = if bucket == 11 { "+Inf".to_owned() } else { (0.01 * f64::from(1 << bucket)).to_string() };
                let pairs = [("__name__", "latency_bucket"), ("le", &bound), ("service", &name)];
                let mut held = Held { labels: labels(&pairs), ..empty.clone() };
                (0..n_samples).for_each(|k| held.floats.push(Timestamp(k * SCRAPE), (k * (bucket + 1)) as f64));
                all.push(held);
            }
            let mut held = Held { labels: labels(&[("__name__", "latency"), ("service", &name)]), ..empty.clone() };
            for k in 0..n_samples {
                let counts: Vec<f64> = (0..40).map(|b| (k * (b % 7 + 1)) as f64).collect();
                let (count, spans) = (counts.iter().sum(), vec![Span { offset: -20, length: 40 }]);
                let positive = Buckets { spans, counts };
                let histogram = Histogram { schema: 3, count, sum: count / 9.0, positive, ..Histogram::default() };
                held.natives.push(HistogramSample { at: Timestamp(k * SCRAPE), histogram });
            }
            all.push(held);
        }
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(all.into_iter().map(std::sync::Arc::new).collect())
    }
}

impl Select for Fleet {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        let matches = |held: &&std::sync::Arc<Held>| {
            request.matchers.iter().all(|matcher| matcher.matches_labels(held.labels.as_ref()))
        };
        Ok(Box::new(Self(self.0.iter().filter(matches).cloned().collect())))
    }

    fn series(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<Labels>, SelectError> {
        Ok(Vec::new())
    }

    fn label_names(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn metadata(&self, _: Option<&str>) -> Vec<Metadata> {
        Vec::new()
    }
}

impl SeriesSet for Fleet {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.0[i].labels
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        let floats = &self.0[i].floats;
        let first = floats.timestamps.partition_point(|at| *at < range.start.0);
        let last = floats.timestamps.partition_point(|at| *at < range.end.0);
        out.timestamps.extend_from_slice(&floats.timestamps[first..last]);
        out.values.extend_from_slice(&floats.values[first..last]);
        Ok(())
    }

    fn has_histograms(&self, i: usize) -> bool {
        !self.0[i].natives.is_empty()
    }

    fn read_histograms(&self, i: usize, range: TimeRange, out: &mut Vec<HistogramSample>) -> Result<(), SelectError> {
        out.extend(self.0[i].natives.iter().filter(|sample| range.contains(sample.at)).cloned());
        Ok(())
    }
}

/// CPU time of this process so far.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // User and system time are the 12th and 13th field behind the name, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn main() {
    // Under `cargo test` the bench only shows that it runs.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (budget, n_samples) = if is_bench { (Duration::from_secs(1), 1440) } else { (Duration::ZERO, 40) };
    let fleet = Fleet::new(n_samples);
    let end = Timestamp((n_samples - 1) * SCRAPE);
    for (name, step, query) in [
        ("raw", 60, "cpu_seconds_total"),
        ("rate_by_mode", 60, "sum by (mode) (rate(cpu_seconds_total[5m]))"),
        ("topk", 60, "topk(5, sum by (host) (rate(cpu_seconds_total{mode!=\"idle\"}[5m])))"),
        ("ratio", 60, "1 - cpu_seconds_total{mode=\"idle\"} / ignoring(mode) sum without (mode) (cpu_seconds_total)"),
        ("p95_over_time", 300, "quantile_over_time(0.95, cpu_seconds_total{cpu=\"0\",mode=\"user\"}[1h])"),
        ("avg_over_time", 60, "avg_over_time(cpu_seconds_total[1h])"),
        ("p99_classic", 60, "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[5m])))"),
        ("p99_each_classic", 60, "histogram_quantile(0.99, rate(latency_bucket[5m]))"),
        ("p99_native", 60, "histogram_quantile(0.99, sum(rate(latency[5m])))"),
        ("p99_each_native", 60, "histogram_quantile(0.99, rate(latency[5m]))"),
    ] {
        let expr = parse(query).expect("parses");
        let (begun, begun_cpu, mut runs) = (Instant::now(), cpu(), 0_u32);
        let mut stats = promql::Stats::default();
        while runs == 0 || begun.elapsed() < budget {
            let step = Step::from_secs(step);
            let answer = range(&fleet, &expr, Timestamp(0), end, step, &Options::default()).expect("evaluates");
            stats = answer.stats;
            runs += 1;
        }
        let spent = begun_cpu.and_then(|begun| Some(cpu()? - begun)).unwrap_or_else(|| begun.elapsed());
        let millis = spent.as_secs_f64() * 1000.0 / f64::from(runs);
        let read = stats.samples_read as f64 / 1e6;
        let line = format!("{name:18} {millis:8.2} ms  {:5} series  {read:6.2} M samples read\n", stats.series);
        std::io::stdout().write_all(line.as_bytes()).expect("stdout");
    }
}
