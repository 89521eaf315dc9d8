//! A load like that of node_exporter: counters of CPU seconds and bytes, memory in pages, disks, and what never changes.

use ingest::encode_write_request;
use series::{Batch, Labels, Millis, Timestamp};

/// Distance of scrapes.
pub const STEP: Millis = Millis::from_secs(15);
const SERIES_A_HOST: usize = 100;
/// As Prometheus sends them by default: the hosts of a request are scraped together.
const SERIES_A_REQUEST: usize = 20 * SERIES_A_HOST;
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

/// How large a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSpec {
    /// A hundred of them are a host.
    pub series: usize,
    /// Samples of each series, [`STEP`] apart.
    pub scrapes: usize,
    /// Before the first sample.
    pub start: Timestamp,
}

/// One request, compressed.
#[derive(Debug)]
pub struct Request {
    /// Number of its group of hosts; a group's requests are one a scrape, and of the same series.
    pub group: usize,
    /// Its body.
    pub body: Vec<u8>,
    /// Samples in it.
    pub samples: u64,
}

/// Hands out the whole load, group by group, so that memory holds one group's series; within a group oldest first. The
/// same spec gives the same bytes.
///
/// # Errors
/// What `take` answers.
pub fn generate<E>(spec: &LoadSpec, mut take: impl FnMut(Request) -> Result<(), E>) -> Result<(), E> {
    let mut random = Random(42);
    let mut batch = Batch::default();
    for (group, first) in (0..spec.series).step_by(SERIES_A_REQUEST).enumerate() {
        let mut hosts = hosts(first, spec.series.min(first + SERIES_A_REQUEST), &mut random);
        for scrape in 0..spec.scrapes {
            batch.clear();
            for (offset, sources) in &mut hosts {
                let at = spec.start + Millis(STEP.0 * scrape as i64 + *offset);
                for source in sources {
                    batch.begin_labels(&source.labels).expect("2,000 label sets are far below 4 GiB");
                    batch.push(at, source.next(&mut random));
                }
            }
            let body = encode_write_request(&batch).expect("2,000 samples are far below 4 GiB");
            take(Request { group, body, samples: batch.n_samples() as u64 })?;
        }
    }
    Ok(())
}

/// The hosts with the series `first..end`, each with the offset of its scrapes; the last one may have fewer.
fn hosts(first: usize, end: usize, random: &mut Random) -> Vec<(i64, Vec<Source>)> {
    let hosts = (first..end).step_by(SERIES_A_HOST).map(|start| {
        let offset = random.below(STEP.0 as u64) as i64;
        let mut sources = sources(start / SERIES_A_HOST, random);
        sources.truncate(end - start);
        (offset, sources)
    });
    hosts.collect()
}

/// The hundred series of a host.
fn sources(host: usize, random: &mut Random) -> Vec<Source> {
    let instance = format!("10.0.{}.{}:9100", host / 250, host % 250);
    let mut sources = Vec::with_capacity(100);
    let mut add = |metric: &str, more: &[(&str, &str)], kind: Kind, random: &mut Random| {
        let common = [("__name__", metric), ("instance", instance.as_str()), ("job", "node"), ("cluster", "eu-west-1")];
        let labels = Labels::from_pairs(common.iter().chain(more).copied()).expect("names are unique, none is empty");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_has_all_series_in_every_scrape_and_is_the_same_again() {
        let spec = LoadSpec { series: 2_150, scrapes: 3, start: Timestamp(1_795_200_000_000) };
        let made = || {
            let mut requests = Vec::new();
            let made = generate(&spec, |request| {
                requests.push(request);
                Ok::<_, ()>(())
            });
            made.expect("nothing stops it");
            requests
        };
        let requests = made();
        let shape: Vec<_> = requests.iter().map(|request| (request.group, request.samples)).collect();
        assert_eq!(shape, [(0, 2_000), (0, 2_000), (0, 2_000), (1, 150), (1, 150), (1, 150)]);
        assert!(made().iter().zip(&requests).all(|(one, other)| one.body == other.body));
    }
}
