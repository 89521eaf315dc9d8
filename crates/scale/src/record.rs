//! A step with everything that went into it, so that it can be replayed.

use serde::{Deserialize, Serialize};
use series::Timestamp;

use crate::decision::Decision;
use crate::demand::DemandForecast;
use crate::lenient;
use crate::policy::Policy;
use crate::signals::Signals;
use crate::state::State;
use crate::step::step;

/// Arguments and result of one [`step`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The instant, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "now_ms")]
    pub now: Timestamp,
    /// What was seen.
    pub signals: Signals,
    /// What was expected.
    pub forecast: Option<DemandForecast>,
    /// What was asked for.
    pub policy: Policy,
    /// What was remembered.
    pub state: State,
    /// What was decided.
    pub decision: Decision,
    /// What is remembered from now on.
    pub next: State,
}

/// A record that does not replay to itself: it was altered, or made by a release that decides differently.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "decision {id} does not replay: the record says {recorded} replicas, the same inputs now give {replayed}; it was \
     altered or made by another release"
)]
pub struct ReplayMismatch {
    id: String,
    recorded: u32,
    replayed: u32,
}

impl Record {
    /// Runs one step and keeps it.
    pub fn take(
        now: Timestamp,
        signals: Signals,
        forecast: Option<DemandForecast>,
        policy: Policy,
        state: State,
    ) -> Self {
        let (decision, next) = step(now, &signals, forecast.as_ref(), &policy, &state);
        Self { now, signals, forecast, policy, state, decision, next }
    }

    /// Runs the step again and compares decision and state bit for bit.
    ///
    /// # Errors
    /// [`ReplayMismatch`] when either differs.
    pub fn replay(&self) -> Result<(), ReplayMismatch> {
        let (decision, next) = step(self.now, &self.signals, self.forecast.as_ref(), &self.policy, &self.state);
        if decision == self.decision && next == self.next {
            return Ok(());
        }
        Err(ReplayMismatch { id: self.decision.id.clone(), recorded: self.decision.to, replayed: decision.to })
    }
}
