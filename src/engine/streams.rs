//! Runs the standing queries: what was written goes in, results go back as series, events into the control log.
//!
//! State is kept in checkpoints. After a restart the store is read again from the oldest time that any query has not
//! closed: everything that was queued, missed or not yet sent at the checkpoint lies after it, and what is pushed twice
//! changes nothing. So results are those of a run without the restart.

mod definition;
mod kept;
mod pace;
mod read_back;
mod results;
#[cfg(test)]
mod tests;

pub(crate) use definition::{check, selectors};

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use control::{ControlError, Kind};
use serde_json::{Value, json};
use series::{Batch, Millis, TimeRange, Timestamp};
use stream::{Emission, Event, StreamLimits, StreamSpec, Streams};

use self::pace::Pace;
use self::read_back::{ReadBackError, read_back};
use self::results::Results;
use super::tee::{Feed, Tee};
use super::worker::Stop;
use super::{Core, EngineError};

/// How often windows are looked at when nothing comes.
const TICK: Duration = Duration::from_millis(250);
/// How often the state is kept.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Pause after the store could not be read or written; it doubles up to the second.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// How much of the past a query without a state begins with.
const WARM_UP: Millis = Millis::from_hours(24);

/// Drives the standing queries.
pub(crate) struct Runner {
    core: Arc<Core>,
    feed: std::sync::Mutex<Option<Feed>>,
    specs: Vec<StreamSpec>,
    limits: StreamLimits,
}

/// One run, from a checkpoint to the next stop or panic.
struct Run<'a> {
    core: &'a Core,
    feed: &'a Feed,
    stop: &'a Stop,
    results: Results,
    pace: Pace,
    kept: Instant,
    /// After the next failure.
    pause: Duration,
}

impl Runner {
    pub(crate) fn new(core: &Arc<Core>, tee: &Tee) -> Result<Self, EngineError> {
        let settings = &core.settings.streams;
        let specs = definition::load(settings)?;
        let mut limits = definition::limits(settings);
        limits.bytes_max = limits.bytes_max.min(usize::try_from(core.memory.stream_bytes).unwrap_or(usize::MAX));
        // Checked here so that a bad definition is an error at start and not a line in the log.
        check(settings)?;
        Ok(Self { core: Arc::clone(core), feed: std::sync::Mutex::new(tee.feed()), specs, limits })
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let feed = self.feed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(feed) = feed.as_ref() else { return };
        let Ok(mut streams) = self.restore() else { return };
        feed.restart(lacking(&streams, self.core.clock.now(), self.core.settings.store.ahead_max.0));
        let pace = Pace::from(streams.reached());
        let (core, results, kept) = (&*self.core, Results::default(), Instant::now());
        let mut run = Run { core, feed, stop, results, pace, kept, pause: RETRY };
        while !stop.wait(Duration::ZERO) {
            run.turn(&mut streams);
            if run.kept.elapsed() >= CHECKPOINT_EVERY {
                run.keep(&streams);
            }
        }
        run.keep(&streams);
    }

    fn restore(&self) -> Result<Streams, EngineError> {
        let kept = kept::read(self.core.disk()).unwrap_or_else(|err| {
            tracing::warn!(%err, "checkpoint of the streams not readable; they begin with the last day");
            None
        });
        if let Some(state) = kept {
            match Streams::restore(self.specs.clone(), self.limits, &state) {
                Ok(streams) => {
                    for name in streams.restarted() {
                        tracing::info!(stream = %name, "new or changed standing query; it begins with the last day");
                    }
                    return Ok(streams);
                }
                Err(err) => {
                    tracing::warn!(%err, "checkpoint of the streams is not usable; they begin with the last day")
                }
            }
        }
        Streams::new(self.specs.clone(), self.limits)
            .map_err(|err| EngineError::Stream { place: "checkpoint".into(), why: err.to_string() })
    }
}

/// The span of time of which a restored state does not know everything: since the oldest time that a query has not
/// closed, and the last day for a query that has no data.
fn lacking(streams: &Streams, now: Timestamp, ahead_max: Millis) -> TimeRange {
    let after = streams.needs().map(|(_, after)| after.unwrap_or(now - WARM_UP)).min().unwrap_or(now);
    TimeRange::new(after + Millis(1), now + ahead_max + Millis(1))
}

impl Run<'_> {
    fn turn(&mut self, streams: &mut Streams) {
        if let Some(batch) = self.feed.next(TICK) {
            let (now, mut said) = (self.core.clock.now(), Vec::new());
            self.pace.saw(&batch, now);
            streams.push_known(now, &batch, |known| self.feed.labels_of(known), &mut said);
            if self.settle(said) {
                self.feed.done();
            }
        } else if let Some(span) = self.feed.missed() {
            self.catch_up(streams, span);
        } else if let Some(at) = self.pace.now(self.core.clock.now()) {
            let mut said = Vec::new();
            streams.tick(at, &mut said);
            self.settle(said);
        }
        let (stats, tallies) = (streams.stats(), &self.core.tallies);
        tallies.stream_late.store(stats.late, Ordering::Relaxed);
        tallies.stream_groups.store(stats.groups, Ordering::Relaxed);
        tallies.stream_bytes.store(stats.bytes, Ordering::Relaxed);
    }

    /// Reads back what was missed in `span`; windows are not closed by the clock meanwhile.
    fn catch_up(&mut self, streams: &mut Streams, span: TimeRange) {
        // Beyond this the store takes nothing, whatever a sender claims.
        let end = span.end.min(self.core.clock.now() + self.core.settings.store.ahead_max.0 + Millis(1));
        let select = self.core.store.selector();
        let push = |streams: &mut Streams, batch: &Batch| self.push_again(streams, batch);
        let Err(err) = read_back(&*select, streams, TimeRange::new(span.start, end), push) else {
            self.pause = RETRY;
            return self.feed.caught_up();
        };
        self.feed.restart(span);
        if let ReadBackError::Select(err) = err {
            tracing::warn!(%err, "could not read back what the standing queries missed; they wait for it");
            self.wait();
        }
    }

    /// Pauses after a failure, longer each time; true when it is time to stop.
    fn wait(&mut self) -> bool {
        let pause = self.pause;
        self.pause = (pause * 2).min(RETRY_MAX);
        self.stop.wait(pause)
    }

    /// Whether to go on.
    fn push_again(&mut self, streams: &mut Streams, batch: &Batch) -> bool {
        let (now, mut said) = (self.core.clock.now(), Vec::new());
        self.pace.saw(batch, now);
        streams.push_again(now, batch, &mut said);
        let settled = self.settle(said);
        if settled && self.kept.elapsed() >= CHECKPOINT_EVERY {
            self.keep(streams);
        }
        settled && !self.stop.wait(Duration::ZERO)
    }

    /// Keeps results, waiting for a store that does not take them; false when it is time to stop.
    fn settle(&mut self, said: Vec<Emission>) -> bool {
        self.results.take(said);
        let core = self.core;
        while let Err(err) = self.results.settle(|batch| core.write(batch), |event| record(core, event)) {
            tracing::warn!(%err, "results of the standing queries are not kept yet; trying again");
            if self.wait() {
                return false;
            }
        }
        self.pause = RETRY;
        true
    }

    /// Writes a checkpoint. A state whose results are not kept is not kept either: the one before says them again.
    fn keep(&mut self, streams: &Streams) {
        self.kept = Instant::now();
        if !self.results.is_empty() {
            return;
        }
        if let Err(err) = kept::write(self.core.disk(), &streams.checkpoint()) {
            tracing::warn!(%err, "checkpoint of the streams not kept; a restart reads more");
        }
    }
}

/// Puts an event into the control log. Only what may pass is an error: an event that is refused for what it is would be
/// refused for ever.
fn record(core: &Core, event: &Event) -> Result<(), EngineError> {
    // Keys begin with the time, because the control log keeps the newest by key.
    let key = format!("{:013}-{}", event.start.0.max(0), event.id);
    let value = as_json(event, &key);
    if let Err(err) = core.control.put(Kind::Anomaly, &key, &value) {
        if matches!(err, ControlError::Log(_) | ControlError::Index { .. } | ControlError::Disk { .. }) {
            return Err(err.into());
        }
        tracing::warn!(%err, event = %event.id, "event not recorded");
        return Ok(());
    }
    core.tallies.events.fetch_add(1, Ordering::Relaxed);
    core.tell(server::LiveKind::Anomaly, value);
    Ok(())
}

fn as_json(event: &Event, key: &str) -> Value {
    let number = |value: f64| if value.is_finite() { json!(value) } else { json!(value.to_string()) };
    let labels: serde_json::Map<String, Value> =
        event.labels.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    json!({
        "id": key,
        "stream": event.stream,
        "kind": super::insight::anomaly_kind(event.kind).as_str(),
        "state": if event.end.is_some() { "closed" } else { "open" },
        "series": event.labels.to_string(),
        "labels": labels,
        "start": event.start.0,
        "end": event.end.map(|end| end.0),
        "score": number(event.score),
        "expected": number(event.expected),
        "seen": number(event.seen),
        "change_point": event.change_point.map(|at| at.0),
        "message": event.message,
        "query": event.query,
    })
}
