//! Scraping: targets of the configuration, each at its own phase, within bounds of time, size and number.
//!
//! ```text
//!   due? ─▶ resolve, check, GET ─▶ text or OpenMetrics ─▶ labels ─▶ samples, markers, up, … ─▶ store (and streams)
//! ```
//!
//! A few threads share a queue of due times. A target's phase inside its interval follows from its labels, so that a
//! thousand targets are spread out and keep their phase over restarts. Times are put on the grid of the phase when the
//! clock is within a hundredth of the interval: regular times store smaller.

mod address;
mod fetch;
mod target;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actuate::{Lookup, Secret, SystemLookup};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ingest::Limits;
use series::{Append, Clock, Labels, Millis, Timestamp};
use server::{MetricFamily, MetricKind, ScrapeTarget, Targets};

use super::EngineError;
use super::deliver::read_secret;
use super::worker::Stop;
use crate::settings::{ScrapeJob, ScrapeSettings};
use address::Networks;
use fetch::Source;
use target::{Target, limits};

/// Largest correction of a scrape's time onto its grid.
const ALIGN_MAX: Millis = Millis(100);
/// Longest sleep of a thread between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// All targets and when they are due.
pub(crate) struct Scraper {
    targets: Vec<Mutex<Target>>,
    queue: Mutex<BinaryHeap<Reverse<Due>>>,
    append: Arc<dyn Append>,
    clock: Arc<dyn Clock>,
    counts: Counts,
}

/// When a target is scraped next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    when: Instant,
    target: usize,
}

/// A target that is being scraped; queued again at the end, however the scrape ends.
struct Turn<'a> {
    scraper: &'a Scraper,
    due: Due,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.scraper.again(self.due);
    }
}

#[derive(Default)]
struct Counts {
    scrapes: AtomicU64,
    failures: AtomicU64,
    samples: AtomicU64,
    unwritten: AtomicU64,
    late: AtomicU64,
}

impl Scraper {
    /// Checks the configuration; nothing is fetched yet.
    pub(crate) fn new(
        settings: &ScrapeSettings,
        series: &Limits,
        append: Arc<dyn Append>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, EngineError> {
        Self::with_lookup(settings, series, append, clock, Arc::new(SystemLookup))
    }

    fn with_lookup(
        settings: &ScrapeSettings,
        series: &Limits,
        append: Arc<dyn Append>,
        clock: Arc<dyn Clock>,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, EngineError> {
        let networks =
            Networks::parse(&settings.allow).map_err(|why| EngineError::Setting { key: "scrape.allow", why })?;
        let networks = Arc::new(networks);
        let (mut targets, mut queue) = (Vec::new(), BinaryHeap::new());
        let (now, started) = (clock.now(), Instant::now());
        for job in &settings.jobs {
            for address in &job.targets {
                let source = source(settings, series, job, address, &networks, &lookup).map_err(|why| {
                    let why = format!("job `{}`, target `{address}`: {why}", job.name);
                    EngineError::Setting { key: "scrape.jobs", why }
                })?;
                let labels = labels(job, address);
                let interval = settings.interval_of(job).0;
                let when = started + first_pause(&labels, interval, now);
                queue.push(Reverse(Due { when, target: targets.len() }));
                let honor = (job.honor_labels, job.honor_timestamps);
                targets.push(Mutex::new(Target::new(Arc::new(source), job.name.clone(), interval, labels, honor)));
            }
        }
        Ok(Self { targets, queue: Mutex::new(queue), append, clock, counts: Counts::default() })
    }

    /// Targets in all.
    pub(crate) fn n_targets(&self) -> usize {
        self.targets.len()
    }

    /// Scrapes what is due until told to stop; any number of threads may do so.
    pub(crate) fn run(&self, stop: &Stop) {
        loop {
            let due = {
                let mut queue = lock(&self.queue);
                let is_due = queue.peek().is_some_and(|Reverse(due)| due.when <= Instant::now());
                if is_due { Ok(queue.pop()) } else { Err(queue.peek().map(|Reverse(due)| due.when)) }
            };
            match due {
                Ok(Some(Reverse(due))) => {
                    let turn = Turn { scraper: self, due };
                    self.scrape(due.target);
                    drop(turn);
                    if stop.wait(Duration::ZERO) {
                        return;
                    }
                }
                Ok(None) => {}
                Err(next) => {
                    let pause = next.map_or(LOOK_EVERY, |when| when.saturating_duration_since(Instant::now()));
                    if stop.wait(pause.min(LOOK_EVERY)) {
                        return;
                    }
                }
            }
        }
    }

    /// Queues a target's next turn; turns that have passed in the meantime are left out and counted.
    fn again(&self, due: Due) {
        let interval = Duration::from_millis(lock(&self.targets[due.target]).interval.0.max(1) as u64);
        let mut when = due.when + interval;
        let now = Instant::now();
        if when < now {
            let missed = (now - when).as_nanos() / interval.as_nanos() + 1;
            self.counts.late.fetch_add(missed as u64, Ordering::Relaxed);
            when += interval * u32::try_from(missed).unwrap_or(u32::MAX);
        }
        lock(&self.queue).push(Reverse(Due { when, target: due.target }));
    }

    /// One scrape, written.
    fn scrape(&self, target: usize) {
        let (source, at) = {
            let target = lock(&self.targets[target]);
            let phase = phase(&target.labels, target.interval);
            (Arc::clone(&target.source), aligned(self.clock.now(), phase, target.interval))
        };
        let started = Instant::now();
        let page = source.fetch();
        let scraped = lock(&self.targets[target]).take(page, at, started.elapsed());
        let url = source.uri.to_string();
        self.counts.scrapes.fetch_add(1, Ordering::Relaxed);
        let scraped = match scraped {
            Ok(scraped) => scraped,
            Err(err) => return tracing::warn!(%url, %err, "scrape not kept"),
        };
        self.counts.samples.fetch_add(scraped.samples, Ordering::Relaxed);
        if let Some(why) = &scraped.fault {
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%url, %why, "scrape failed");
        }
        if let Err(err) = self.append.append_wait(scraped.batch) {
            self.counts.unwritten.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%url, %err, "scrape not written");
        }
    }

    /// The scraper's own metrics.
    pub(crate) fn metrics(&self) -> Vec<MetricFamily> {
        let counter = |name: &str, help: &str, count: &AtomicU64| {
            MetricFamily::single(name, help, MetricKind::Counter, count.load(Ordering::Relaxed) as f64)
        };
        let counts = &self.counts;
        vec![
            MetricFamily::single(
                "foretide_scrape_targets",
                "Targets that are scraped.",
                MetricKind::Gauge,
                self.targets.len() as f64,
            ),
            counter("foretide_scrapes_total", "Scrapes.", &counts.scrapes),
            counter("foretide_scrape_failures_total", "Scrapes that gave no samples.", &counts.failures),
            counter("foretide_scrape_samples_total", "Samples of all scrapes.", &counts.samples),
            counter("foretide_scrape_unwritten_total", "Scrapes that the store did not take.", &counts.unwritten),
            counter("foretide_scrape_missed_total", "Turns left out because scrapes before were late.", &counts.late),
        ]
    }
}

impl Targets for Scraper {
    fn targets(&self) -> Vec<ScrapeTarget> {
        self.targets.iter().map(|target| lock(target).status()).collect()
    }
}

/// Whether all targets can be scraped, as far as the configuration tells: the key and what is wrong.
pub(crate) fn check_targets(settings: &ScrapeSettings) -> Result<(), (&'static str, String)> {
    let networks = Arc::new(Networks::parse(&settings.allow).map_err(|why| ("scrape.allow", why))?);
    let lookup: Arc<dyn Lookup> = Arc::new(SystemLookup);
    for job in &settings.jobs {
        // Secrets are read when scraping starts: a check may run where they are not.
        let bare = ScrapeJob { basic_auth: None, bearer_token: None, ..job.clone() };
        for address in &job.targets {
            source(settings, &Limits::default(), &bare, address, &networks, &lookup)
                .map_err(|why| ("scrape.jobs", format!("job `{}`, target `{address}`: {why}", job.name)))?;
        }
    }
    Ok(())
}

fn source(
    settings: &ScrapeSettings,
    series: &Limits,
    job: &ScrapeJob,
    address: &str,
    networks: &Arc<Networks>,
    lookup: &Arc<dyn Lookup>,
) -> Result<Source, String> {
    let text = format!("{}://{address}{}", job.scheme.as_str(), job.metrics_path);
    let uri: ureq::http::Uri = text.parse().map_err(|_| "write it as host:port".to_owned())?;
    let authority = uri.authority().filter(|authority| authority.as_str() == address && !address.contains('@'));
    let authority = authority.ok_or_else(|| "write it as host:port".to_owned())?;
    let default_port = if job.scheme.as_str() == "https" { 443 } else { 80 };
    let (host, port) = (authority.host().to_owned(), authority.port_u16().unwrap_or(default_port));
    let sample_limit = job.sample_limit.unwrap_or(settings.sample_limit);
    let body_limit_mib = job.body_limit_mib.unwrap_or(settings.body_limit_mib);
    Ok(Source {
        host,
        port,
        authorization: authorization(job)?,
        timeout: settings.timeout_of(job).duration(),
        limits: limits(series, sample_limit, body_limit_mib),
        networks: Arc::clone(networks),
        lookup: Arc::clone(lookup),
        uri,
    })
}

/// The header's value.
fn authorization(job: &ScrapeJob) -> Result<Option<Secret>, String> {
    let fine = |secret: &str| secret.bytes().all(|b| b.is_ascii_graphic());
    if let Some(auth) = &job.basic_auth {
        let password = read_secret(&auth.password)?;
        let pair = STANDARD.encode(format!("{}:{}", auth.username, password.reveal()));
        return Ok(Some(Secret::new(format!("Basic {pair}"))));
    }
    let Some(token) = &job.bearer_token else { return Ok(None) };
    let token = read_secret(token)?;
    if !fine(token.reveal()) {
        return Err("the bearer token has characters outside printable ASCII".to_owned());
    }
    Ok(Some(Secret::new(format!("Bearer {}", token.reveal()))))
}

fn labels(job: &ScrapeJob, address: &str) -> Vec<(String, String)> {
    let own = [("job".to_owned(), job.name.clone()), ("instance".to_owned(), address.to_owned())];
    own.into_iter().chain(job.labels.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// Where in its interval a target is scraped.
fn phase(labels: &[(String, String)], interval: Millis) -> Millis {
    let hash = Labels::from_pairs(labels.iter().map(|(name, value)| (name, value))).map_or(0, |labels| labels.id().0);
    Millis((hash % interval.0.max(1) as u64) as i64)
}

fn first_pause(labels: &[(String, String)], interval: Millis, now: Timestamp) -> Duration {
    let pause = (phase(labels, interval).0 - now.0).rem_euclid(interval.0.max(1));
    Duration::from_millis(pause as u64)
}

/// `now`, or the turn of the grid it is closest to when that is near enough.
fn aligned(now: Timestamp, phase: Millis, interval: Millis) -> Timestamp {
    let step = interval.0.max(1);
    let behind = (now.0 - phase.0).rem_euclid(step);
    let correction = if behind * 2 <= step { -behind } else { step - behind };
    if correction.abs() <= (step / 100).min(ALIGN_MAX.0) { Timestamp(now.0 + correction) } else { now }
}

/// A target whose scrape panicked keeps what it knew; refusing it for ever would be worse.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
