//! How far event time has come.
//!
//! While the past is being loaded event time lies behind the clock, and windows must not be closed by the clock then:
//! everything still to come would be late. After a restart it goes on from the newest time the state knows, because
//! senders first deliver what they held back meanwhile.

use std::time::Instant;

use series::{Batch, Millis, Timestamp};

/// The newest event time and when it was seen.
#[derive(Default)]
pub(super) struct Pace {
    newest: Option<(Timestamp, Instant)>,
}

impl Pace {
    /// Goes on from `newest`, seen now.
    pub(super) fn from(newest: Option<Timestamp>) -> Self {
        Self { newest: newest.map(|newest| (newest, Instant::now())) }
    }

    /// Notes the times of a batch; none counts beyond the clock's `now`.
    pub(super) fn saw(&mut self, batch: &Batch, now: Timestamp) {
        let newest = batch.iter().filter_map(|series| series.timestamps.iter().max().copied()).max();
        let Some(at) = newest.map(|newest| Timestamp(newest).min(now)) else { return };
        if self.newest.is_none_or(|(known, _)| known <= at) {
            self.newest = Some((at, Instant::now()));
        }
    }

    /// Event time now: the newest sample seen, plus what has passed since.
    pub(super) fn now(&self, now: Timestamp) -> Option<Timestamp> {
        let (newest, seen) = self.newest?;
        Some((newest + Millis(seen.elapsed().as_millis() as i64)).min(now))
    }
}
