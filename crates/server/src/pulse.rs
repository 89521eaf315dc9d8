//! The pulse: ingest rate and host load once a second, kept for ten minutes, so that a page moves the moment it opens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;

use series::Timestamp;

use crate::parts::{Alarm, HostLoad, IngestStats};
use crate::state::State;
use crate::wire;

/// Distance of beats.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// Beats a rate is taken over: senders flush every few seconds, and single beats would show a saw.
const RATE_BEATS: usize = 10;
/// Beats kept: ten minutes.
const BEATS_MAX: usize = 600;

/// One beat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Pulse {
    #[serde(serialize_with = "wire::time")]
    pub(crate) at: Timestamp,
    /// The same by the clock that never steps, for the rate.
    #[serde(skip)]
    taken: Instant,
    /// Samples made durable a second over the last ten beats; NaN (null in JSON) at the first.
    #[serde(serialize_with = "wire::number")]
    pub(crate) samples_per_second: f64,
    pub(crate) ingest: IngestStats,
    pub(crate) host: Option<HostLoad>,
    /// What is wrong now.
    pub(crate) alarms: Vec<Alarm>,
}

/// The beats kept, and the newest for those who wait.
pub(crate) struct Pulses {
    kept: Mutex<VecDeque<Pulse>>,
    newest: watch::Sender<Option<Pulse>>,
}

impl Default for Pulses {
    fn default() -> Self {
        Self { kept: Mutex::new(VecDeque::with_capacity(BEATS_MAX)), newest: watch::Sender::new(None) }
    }
}

impl Pulses {
    /// Takes a beat from the parts and tells those who listen.
    pub(crate) fn beat(&self, state: &State) -> Pulse {
        let pulse = self.measure(state);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == BEATS_MAX {
            kept.pop_front();
        }
        kept.push_back(pulse.clone());
        drop(kept);
        self.newest.send_replace(Some(pulse.clone()));
        pulse
    }

    /// What is known, oldest first.
    pub(crate) fn history(&self) -> Vec<Pulse> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Follows the newest beat.
    pub(crate) fn follow(&self) -> watch::Receiver<Option<Pulse>> {
        self.newest.subscribe()
    }

    /// Time and samples of the beat a window back, or of the oldest there is.
    fn a_window_ago(&self) -> Option<(Instant, u64)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let beat = kept.get(kept.len().saturating_sub(RATE_BEATS))?;
        Some((beat.taken, beat.ingest.samples))
    }

    fn measure(&self, state: &State) -> Pulse {
        let (taken, ingest) = (Instant::now(), state.parts.maintenance.ingest_stats());
        let before = self.a_window_ago();
        let samples_per_second = match before {
            Some((then, samples)) if taken > then => {
                ingest.samples.saturating_sub(samples) as f64 / (taken - then).as_secs_f64()
            }
            // The first beat has nothing to compare with: a gap, not a zero.
            _ => f64::NAN,
        };
        let (at, host) = (state.parts.clock.now(), state.parts.maintenance.host());
        let alarms = state.parts.maintenance.alarms();
        Pulse { at, taken, samples_per_second, ingest, host, alarms }
    }
}

/// Beats until the server stops.
pub(crate) async fn run(state: Arc<State>) {
    let mut stopping = state.stopping.subscribe();
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => drop(state.pulses.beat(&state)),
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}
