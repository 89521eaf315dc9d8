//! Sending a load as Prometheus would: several connections, each with its own hosts and one request under way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::interrupted;
use super::requests::Requests;
use crate::cli::{BenchIngestArgs, CliError, Client, WRITE_HEADERS};

/// A request that is told to come again is repeated for this long.
const RETRY_FOR: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(30);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest sleep at a time, so that an interrupted run ends soon.
const NAP: Duration = Duration::from_millis(100);

/// What became of a load that was acknowledged as a whole.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) seconds: f64,
    pub(super) retries: u64,
    /// Time to the answer of each request, rising. With a given rate it counts from when the request was due, so that
    /// a server that falls behind is not measured only when it has time.
    pub(super) acks_ms: Vec<f64>,
}

/// What the senders share.
struct Race<'a> {
    started: Instant,
    /// Samples a second to keep to.
    rate: Option<f64>,
    /// Samples given out so far.
    given: AtomicU64,
    stop: &'a AtomicBool,
    /// One of them failed, so the others need not go on.
    failed: AtomicBool,
}

/// Sends everything to the server at `url`.
pub(super) fn send_all(
    requests: &Requests,
    url: &str,
    args: &BenchIngestArgs,
    stop: &AtomicBool,
) -> Result<Sent, CliError> {
    let race = Race {
        started: Instant::now(),
        rate: args.rate,
        given: AtomicU64::new(0),
        stop,
        failed: AtomicBool::new(false),
    };
    let senders = args.connections;
    let parts: Vec<Result<Sent, CliError>> = std::thread::scope(|scope| {
        let race = &race;
        let start = |sender| scope.spawn(move || race.send(requests, url, (sender, senders)));
        let running: Vec<_> = (0..senders).map(start).collect();
        let fell = || CliError::Failed("a sender panicked".into());
        running.into_iter().map(|sender| sender.join().unwrap_or_else(|_| Err(fell()))).collect()
    });
    let mut all = Sent { seconds: race.started.elapsed().as_secs_f64(), ..Sent::default() };
    for part in parts {
        let part = part?;
        all.retries += part.retries;
        all.acks_ms.extend(part.acks_ms);
    }
    interrupted(stop)?;
    all.acks_ms.sort_by(f64::total_cmp);
    Ok(all)
}

impl Race<'_> {
    fn send(&self, requests: &Requests, url: &str, (sender, of): (usize, usize)) -> Result<Sent, CliError> {
        let sent = self.send_own(requests, url, (sender, of));
        if sent.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn send_own(&self, requests: &Requests, url: &str, (sender, of): (usize, usize)) -> Result<Sent, CliError> {
        let (client, mut sent, mut body) = (Client::new(url), Sent::default(), Vec::new());
        for place in requests.of_sender(sender, of) {
            requests.read(place, &mut body)?;
            let due = self.wait_for_turn(place.samples);
            if self.is_over() {
                break;
            }
            sent.retries += self.send_one(&client, &body)?;
            sent.acks_ms.push(due.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(sent)
    }

    /// When the request is due, after waiting for it; at once without a rate.
    fn wait_for_turn(&self, samples: u64) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let before = self.given.fetch_add(samples, Ordering::Relaxed);
        let due = self.started + Duration::from_secs_f64(before as f64 / rate);
        while !self.is_over() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(NAP));
        }
        due
    }

    /// Sends one request until it is taken; how often it had to come again.
    fn send_one(&self, client: &Client, body: &[u8]) -> Result<u64, CliError> {
        let (started, mut pause, mut retries) = (Instant::now(), FIRST_PAUSE, 0);
        loop {
            match client.post("/api/v1/write", &WRITE_HEADERS, body) {
                Err(CliError::Answered { status: 429 | 503, .. })
                    if started.elapsed() < RETRY_FOR && !self.is_over() =>
                {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                    retries += 1;
                }
                answer => return answer.map(|_| retries),
            }
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}
