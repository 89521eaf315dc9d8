//! Turns forecasts and usage into recommendations: replicas, container sizes, runway of disks.
//!
//! Each kind is evaluated on its own rhythm. Advice is written to the control log together with the messages that tell of
//! it; advice that is no longer given is marked superseded, advice that a user dismissed stays dismissed.

mod capacity;
mod outcome;
mod rightsizing;
mod scaling;
mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use scale::{Kind, Recommendation};

use self::outcome::replace_all;
pub(crate) use self::outcome::{judge, recommendations};
use super::worker::Stop;
use super::{Core, EngineError};

/// The three evaluations, in the order in which they run.
const KINDS: [Kind; 3] = [Kind::Scale, Kind::Rightsize, Kind::Capacity];

/// Longest pause while there is nothing to judge.
const WHILE_EMPTY: Duration = Duration::from_secs(30);

/// Evaluates advice on its rhythm.
pub(crate) struct Advisor {
    core: Arc<Core>,
}

/// Evaluates everything once, now; how many recommendations are open afterwards.
pub(crate) fn evaluate_all(core: &Core) -> Result<usize, EngineError> {
    let mut open = 0;
    for kind in KINDS {
        open += evaluate(core, kind)?.open;
    }
    Ok(open)
}

/// What looking at all targets of a kind gave.
#[derive(Default)]
struct Found {
    /// Targets that could be judged, also those that need no change.
    judged: usize,
    advice: Vec<Recommendation>,
}

/// What an evaluation found.
struct Evaluated {
    /// Targets that could be judged.
    judged: usize,
    /// Advice that is open.
    open: usize,
}

fn evaluate(core: &Core, kind: Kind) -> Result<Evaluated, EngineError> {
    let now = core.clock.now();
    let found = match kind {
        Kind::Scale => scaling::evaluate(core, now)?,
        Kind::Rightsize => rightsizing::evaluate(core, now)?,
        Kind::Capacity => capacity::evaluate(core, now)?,
    };
    Ok(Evaluated { judged: found.judged, open: replace_all(core, kind, found.advice, now)? })
}

impl Advisor {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let mut next = [Instant::now(); 3];
        while !stop.wait(Duration::from_secs(1)) {
            for (kind, next) in KINDS.into_iter().zip(&mut next) {
                if Instant::now() < *next {
                    continue;
                }
                let pause = match evaluate(&self.core, kind) {
                    // Nothing to judge yet: data may begin to come at any moment, and its first advice should not wait.
                    Ok(Evaluated { judged: 0, .. }) => self.every(kind).min(WHILE_EMPTY),
                    Ok(_) => self.every(kind),
                    Err(err) => {
                        tracing::warn!(?kind, %err, "advice not evaluated; it is tried again");
                        self.every(kind).min(WHILE_EMPTY)
                    }
                };
                *next = Instant::now() + pause;
            }
        }
    }

    fn every(&self, kind: Kind) -> Duration {
        let settings = &self.core.settings;
        match kind {
            Kind::Scale => settings.scaling.every.duration(),
            Kind::Rightsize => settings.rightsizing.every.duration(),
            Kind::Capacity => settings.capacity.every.duration(),
        }
    }
}

#[cfg(test)]
mod tests;
