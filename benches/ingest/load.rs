//! A load like that of node_exporter: counters of CPU seconds and bytes, memory in pages, disks, and what never changes.

use ingest::encode_write_request;
use series::{Batch, Labels, Millis, Timestamp};

/// Distance of scrapes.
const STEP: Millis = Millis::from_secs(15);
/// Hosts in one request: 2,000 samples, as Prometheus sends them by default.
const HOSTS_A_REQUEST: usize = 20;
const START: Timestamp = Timestamp(1_795_200_000_000);
const PAGE: f64 = 4096.0;

/// How the values of a series move.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Seconds with two decimals, by at most this much a scrape.
    Seconds(f64),
    /// Whole numbers that grow in bursts of this size.
    Bursts(f64),
    /// Pages in use, wandering by this many.
    Pages(f64),
    /// Bytes that shrink slowly.
    Shrinking,
    /// The same for ever.
    Constant,
}

/// One series of one host.
struct Source {
    labels: Labels,
    kind: Kind,
    value: f64,
}

/// Compressed requests, in the order of sending.
pub(crate) struct Load {
    /// By group of hosts.
    groups: Vec<Vec<Vec<u8>>>,
    n_series: u64,
    n_samples: u64,
    end: Timestamp,
}

impl Load {
    /// `hosts` (a multiple of 20) with 100 series each, scraped `steps` times.
    pub(crate) fn new(hosts: usize, steps: usize) -> Self {
        let mut random = Random(42);
        let groups = hosts.div_ceil(HOSTS_A_REQUEST);
        let groups: Vec<_> = (0..groups).map(|group| requests(group, steps, &mut random)).collect();
        let n_series = (groups.len() * HOSTS_A_REQUEST * 100) as u64;
        let end = START + Millis(STEP.0 * steps as i64);
        Self { groups, n_series, n_samples: n_series * steps as u64, end }
    }

    pub(crate) fn n_series(&self) -> u64 {
        self.n_series
    }

    pub(crate) fn n_samples(&self) -> u64 {
        self.n_samples
    }

    /// After the last sample.
    pub(crate) fn end(&self) -> Timestamp {
        self.end
    }

    /// The requests of one of `of` senders, oldest first.
    pub(crate) fn bodies(&self, sender: usize, of: usize) -> impl Iterator<Item = &[u8]> {
        let own: Vec<_> = self.groups.iter().skip(sender).step_by(of).collect();
        let steps = own.first().map_or(0, |group| group.len());
        (0..steps).flat_map(move |step| own.clone().into_iter().map(move |group| group[step].as_slice()))
    }
}

/// The requests of one group of hosts.
fn requests(group: usize, steps: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let hosts = group * HOSTS_A_REQUEST..(group + 1) * HOSTS_A_REQUEST;
    let mut hosts: Vec<(i64, Vec<Source>)> =
        hosts.map(|host| (random.below(15_000) as i64, sources(host, random))).collect();
    let mut batch = Batch::default();
    let mut bodies = Vec::with_capacity(steps);
    for step in 0..steps {
        batch.clear();
        for (offset, sources) in &mut hosts {
            let at = START + Millis(STEP.0 * step as i64 + *offset);
            for source in sources {
                batch.begin_labels(&source.labels).expect("small");
                batch.push(at, source.next(random));
            }
        }
        bodies.push(encode_write_request(&batch).expect("small"));
    }
    bodies
}

/// The hundred series of a host.
fn sources(host: usize, random: &mut Random) -> Vec<Source> {
    let instance = format!("10.0.{}.{}:9100", host / 250, host % 250);
    let mut sources = Vec::with_capacity(100);
    let mut add = |metric: &str, more: &[(&str, &str)], kind: Kind, random: &mut Random| {
        let common = [("__name__", metric), ("instance", instance.as_str()), ("job", "node"), ("cluster", "eu-west-1")];
        let labels = Labels::from_pairs(common.iter().chain(more).copied()).expect("names are unique");
        let value = (random.below(1 << 30) as f64) * if matches!(kind, Kind::Seconds(_)) { 0.01 } else { PAGE };
        sources.push(Source { labels, kind, value });
    };
    for cpu in 0..8 {
        let cpu = cpu.to_string();
        for (mode, most) in [("idle", 15.0), ("user", 8.0), ("system", 2.0), ("steal", 0.0)] {
            add("node_cpu_seconds_total", &[("cpu", &cpu), ("mode", mode)], Kind::Seconds(most), random);
        }
    }
    for i in 0..16 {
        add(&format!("node_memory_part{i}_bytes"), &[], Kind::Pages(if i < 8 { 5000.0 } else { 20.0 }), random);
    }
    for (metric, burst) in [("node_disk_written_bytes_total", 1e6), ("node_network_receive_bytes_total", 1e5)] {
        for device in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            add(metric, &[("device", device)], Kind::Bursts(burst), random);
        }
    }
    for mount in ["/", "/boot", "/var", "/srv", "/tmp", "/opt", "/data", "/log"] {
        add("node_filesystem_size_bytes", &[("mountpoint", mount)], Kind::Constant, random);
        add("node_filesystem_avail_bytes", &[("mountpoint", mount)], Kind::Shrinking, random);
    }
    for i in 0..20 {
        add(&format!("node_limit{i}"), &[], Kind::Constant, random);
    }
    sources
}

impl Source {
    fn next(&mut self, random: &mut Random) -> f64 {
        self.value = match self.kind {
            Kind::Seconds(most) => ((self.value + most * random.share()) * 100.0).round() / 100.0,
            Kind::Bursts(size) if random.below(3) == 0 => self.value + (size * random.share().powi(3)).round(),
            Kind::Pages(by) => (self.value + PAGE * (by * (random.share() - 0.5)).round()).max(0.0),
            Kind::Shrinking if random.below(4) == 0 => (self.value - PAGE * random.below(64) as f64).max(0.0),
            Kind::Bursts(_) | Kind::Shrinking | Kind::Constant => self.value,
        };
        self.value
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same load in every run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
