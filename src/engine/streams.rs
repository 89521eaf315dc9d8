//! Runs the standing queries: what was written goes in, results go back as series, events into the control log.
//!
//! State is kept in checkpoints with the time up to which data was taken; after a restart the store is read again from
//! there, and what is pushed twice changes nothing.

mod definition;

pub(crate) use definition::check;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use control::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use series::{Batch, Columns, Matcher, Millis, SelectRequest, TimeRange, Timestamp};
use stream::{Emission, Event, StreamLimits, StreamSpec, Streams};

use super::tee::{Feed, Tee};
use super::worker::Stop;
use super::{Core, EngineError};

/// How often windows are looked at when nothing comes.
const TICK: Duration = Duration::from_millis(250);
/// How often the state is kept.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
const CHECKPOINT_KEY: &str = "streams";
/// Span read from the store at a time while catching up, and the slices in which it is pushed: series must advance
/// together, or the first one would make all others late.
const CATCH_UP_READ: Millis = Millis::from_hours(1);
const CATCH_UP_SLICE: Millis = Millis::from_mins(1);
/// Furthest back that a restart reads again.
const CATCH_UP_MAX: Millis = Millis::from_hours(24);

/// Drives the standing queries.
pub(crate) struct Runner {
    core: Arc<Core>,
    feed: std::sync::Mutex<Option<Feed>>,
    specs: Vec<StreamSpec>,
    limits: StreamLimits,
}

/// How far event time has come. While the past is being loaded it lies behind the clock, and windows must not be closed
/// by the clock then: everything still to come would be late.
#[derive(Default)]
struct Pace {
    newest: Option<(Timestamp, Instant)>,
}

impl Pace {
    fn saw(&mut self, batch: &Batch, now: Timestamp) {
        let newest = batch.iter().filter_map(|series| series.timestamps.iter().max().copied()).max();
        if let Some(newest) = newest {
            self.reached(Timestamp(newest), now);
        }
    }

    fn reached(&mut self, at: Timestamp, now: Timestamp) {
        let at = at.min(now);
        if self.newest.is_none_or(|(known, _)| known <= at) {
            self.newest = Some((at, Instant::now()));
        }
    }

    /// Event time now: the newest sample seen, plus what has passed since.
    fn now(&self, now: Timestamp) -> Option<Timestamp> {
        let (newest, seen) = self.newest?;
        Some((newest + Millis(seen.elapsed().as_millis() as i64)).min(now))
    }
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// Data up to here was taken, ms.
    taken_until: i64,
    /// Hexadecimal.
    state: String,
}

impl Runner {
    pub(crate) fn new(core: &Arc<Core>, tee: &Tee) -> Result<Self, EngineError> {
        let settings = &core.settings.streams;
        let specs = definition::load(settings)?;
        let limits = definition::limits(settings);
        // Checked here so that a bad definition is an error at start and not a line in the log.
        check(settings)?;
        Ok(Self { core: Arc::clone(core), feed: std::sync::Mutex::new(tee.feed()), specs, limits })
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let feed = self.feed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(feed) = feed.as_ref() else { return };
        let Ok((mut streams, from)) = self.restore() else { return };
        if let Some(from) = from {
            let now = self.core.clock.now();
            self.catch_up(&mut streams, TimeRange::new(from.max(now - CATCH_UP_MAX), now + Millis(1)));
        }
        let (mut kept, mut pace) = (Instant::now(), Pace::default());
        while !stop.wait(Duration::ZERO) {
            self.turn(&mut streams, feed, &mut pace);
            if kept.elapsed() >= CHECKPOINT_EVERY {
                self.keep(&streams);
                kept = Instant::now();
            }
        }
        self.keep(&streams);
    }

    fn turn(&self, streams: &mut Streams, feed: &Feed, pace: &mut Pace) {
        let mut out = Vec::new();
        match feed.next(TICK) {
            Some(batch) => {
                let now = self.core.clock.now();
                pace.saw(&batch, now);
                streams.push(now, &batch, &mut out);
                self.emit(out);
                feed.done();
            }
            None => {
                if let Some(missed) = feed.missed() {
                    self.catch_up(streams, missed);
                    pace.reached(missed.end, self.core.clock.now());
                    feed.caught_up(missed);
                }
                if let Some(at) = pace.now(self.core.clock.now()) {
                    streams.tick(at, &mut out);
                    self.emit(out);
                }
            }
        }
        let stats = streams.stats();
        self.core.tallies.stream_late.store(stats.late, Ordering::Relaxed);
        self.core.tallies.stream_groups.store(stats.groups, Ordering::Relaxed);
        self.core.tallies.stream_bytes.store(stats.bytes, Ordering::Relaxed);
    }

    /// Pushes what the store holds in `range`, in order of time.
    fn catch_up(&self, streams: &mut Streams, range: TimeRange) {
        let mut start = range.start;
        while start < range.end {
            let end = (start + CATCH_UP_READ).min(range.end);
            for spec in &self.specs {
                if let Err(err) = self.catch_up_one(streams, &spec.matchers, TimeRange::new(start, end)) {
                    tracing::warn!(stream = %spec.name, %err, "could not read back what the stream missed");
                }
            }
            start = end;
        }
    }

    fn catch_up_one(
        &self,
        streams: &mut Streams,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let select = self.core.store.selector();
        let set = select.select(&SelectRequest { matchers, range, series_max: 0 })?;
        let mut columns = vec![Columns::default(); set.len()];
        for (i, columns) in columns.iter_mut().enumerate() {
            set.read(i, range, columns)?;
        }
        let (mut batch, mut pushed) = (Batch::default(), vec![0; set.len()]);
        let mut start = range.start;
        while start < range.end {
            let end = start + CATCH_UP_SLICE;
            batch.clear();
            for (i, columns) in columns.iter().enumerate() {
                let upto = columns.timestamps.partition_point(|&at| at < end.0);
                if upto > pushed[i] {
                    batch.begin_labels(set.labels(i))?;
                    (pushed[i]..upto).for_each(|k| batch.push(Timestamp(columns.timestamps[k]), columns.values[k]));
                    pushed[i] = upto;
                }
            }
            if !batch.is_empty() {
                let mut out = Vec::new();
                streams.push(self.core.clock.now(), &batch, &mut out);
                self.emit(out);
            }
            start = end;
        }
        Ok(())
    }

    fn restore(&self) -> Result<(Streams, Option<Timestamp>), EngineError> {
        let fault = |why: String| EngineError::Stream { place: "checkpoint".into(), why };
        let kept = self.core.control.get::<Checkpoint>(Kind::Checkpoint, CHECKPOINT_KEY).ok().flatten();
        if let Some(kept) = kept {
            match Streams::restore(self.specs.clone(), self.limits, &from_hex(&kept.state)) {
                Ok(streams) => return Ok((streams, Some(Timestamp(kept.taken_until)))),
                Err(err) => tracing::warn!(%err, "checkpoint of the streams is not usable; they begin anew"),
            }
        }
        let streams = Streams::new(self.specs.clone(), self.limits).map_err(|err| fault(err.to_string()))?;
        Ok((streams, None))
    }

    fn keep(&self, streams: &Streams) {
        let taken_until = self.core.clock.now().0 - TICK.as_millis() as i64;
        let checkpoint = Checkpoint { taken_until, state: to_hex(&streams.checkpoint()) };
        if let Err(err) = self.core.control.put(Kind::Checkpoint, CHECKPOINT_KEY, &checkpoint) {
            tracing::warn!(%err, "checkpoint of the streams not kept; a restart reads more");
        }
    }

    fn emit(&self, emissions: Vec<Emission>) {
        let mut batch = Batch::default();
        for emission in emissions {
            match emission {
                Emission::Sample { labels, at, value } => {
                    if batch.begin_labels(&labels).is_ok() {
                        batch.push(at, value);
                    }
                }
                Emission::Event(event) => self.record(&event),
            }
        }
        if let Err(err) = self.core.write(batch) {
            tracing::warn!(%err, "results of the streams not written");
        }
    }

    fn record(&self, event: &Event) {
        self.core.tallies.events.fetch_add(1, Ordering::Relaxed);
        // Keys begin with the time, because the control log keeps the newest by key.
        let key = format!("{:013}-{}", event.start.0.max(0), event.id);
        let value = as_json(event, &key);
        if let Err(err) = self.core.control.put(Kind::Anomaly, &key, &value) {
            tracing::warn!(%err, event = %event.id, "event not recorded");
        }
        self.core.tell(server::LiveKind::Anomaly, value);
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A digit that is none ends the bytes; what is cut off fails the checkpoint's own check.
fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map_while(byte).collect()
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
