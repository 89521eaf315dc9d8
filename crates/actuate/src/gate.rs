//! The gate before every actuator: kill switch, mode, bounds, rate, circuit breaker, in this order.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use series::Timestamp;

use crate::actuator::{Actuator, Effect, Plan, Receipt, Verified};
use crate::breaker::{Breaker, BreakerSettings, BreakerState};
use crate::error::ActuateError;
use crate::message::Message;
use crate::rate::TokenBucket;

/// Breakers that are remembered; closed ones make room first.
const MAX_BREAKERS: usize = 10_000;

/// How far the product may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing leaves.
    #[default]
    Observe,
    /// Notifications leave; actions only when a person approved the message.
    Recommend,
    /// Actions leave, inside their bounds.
    Act,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Observe => "observe",
            Self::Recommend => "recommend",
            Self::Act => "act",
        })
    }
}

/// One switch for any number of gates.
#[derive(Debug, Clone, Default)]
pub struct KillSwitch(Arc<AtomicBool>);

impl KillSwitch {
    /// A switch that lets pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops everything that has not left yet.
    pub fn freeze(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Lets pass again.
    pub fn unfreeze(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    /// Whether it is on.
    pub fn is_frozen(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What an operator allows for one subject, checked again after the planner: a planner that is wrong, or fed by someone
/// else, must not decide alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Fewest replicas.
    pub min_replicas: u64,
    /// Most replicas.
    pub max_replicas: u64,
    /// Most replicas added or removed by one message.
    pub max_step: u64,
}

impl Bounds {
    fn check(self, message: &Message) -> Result<(), String> {
        let Some(to) = message.replicas("/proposed") else {
            return Err("the proposal has no whole number of replicas".into());
        };
        if !(self.min_replicas..=self.max_replicas).contains(&to) {
            return Err(format!("{to} replicas are outside {} to {}", self.min_replicas, self.max_replicas));
        }
        match message.replicas("/current") {
            None => Err("the present number of replicas is missing, so the step cannot be checked".into()),
            Some(from) if from.abs_diff(to) > self.max_step => {
                Err(format!("a step from {from} to {to} replicas is larger than {}", self.max_step))
            }
            Some(_) => Ok(()),
        }
    }
}

/// What a gate allows.
#[derive(Debug, Clone)]
pub struct GateSettings {
    /// How far it may go.
    pub mode: Mode,
    /// Messages a second in the long run.
    pub per_second: f64,
    /// Messages at once.
    pub burst: f64,
    /// When an endpoint is left alone.
    pub breaker: BreakerSettings,
    /// Bounds by subject. A message that proposes replicas for a subject without bounds is refused by an actuator that
    /// acts.
    pub bounds: BTreeMap<String, Bounds>,
}

impl Default for GateSettings {
    /// Observe, five a second, ten at once (what a Kubernetes API server bears), no bounds.
    fn default() -> Self {
        Self {
            mode: Mode::Observe,
            per_second: 5.0,
            burst: 10.0,
            breaker: BreakerSettings::default(),
            bounds: BTreeMap::new(),
        }
    }
}

/// An actuator behind its gate; itself an actuator.
#[derive(Debug)]
pub struct Gate<A> {
    actuator: A,
    kill_switch: KillSwitch,
    rules: RwLock<Rules>,
    traffic: Mutex<Traffic>,
}

#[derive(Debug)]
struct Rules {
    mode: Mode,
    bounds: BTreeMap<String, Bounds>,
}

#[derive(Debug)]
struct Traffic {
    bucket: TokenBucket,
    settings: BreakerSettings,
    breakers: BTreeMap<String, Breaker>,
}

impl<A: Actuator> Gate<A> {
    /// Puts `actuator` behind a gate.
    pub fn new(actuator: A, kill_switch: KillSwitch, settings: GateSettings) -> Self {
        let bucket = TokenBucket::new(settings.per_second, settings.burst);
        Self {
            actuator,
            kill_switch,
            rules: RwLock::new(Rules { mode: settings.mode, bounds: settings.bounds }),
            traffic: Mutex::new(Traffic { bucket, settings: settings.breaker, breakers: BTreeMap::new() }),
        }
    }

    /// The actuator behind it.
    pub const fn actuator(&self) -> &A {
        &self.actuator
    }

    /// Changes mode and bounds, for a reloaded configuration.
    pub fn set_rules(&self, mode: Mode, bounds: BTreeMap<String, Bounds>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules { mode, bounds };
    }

    /// State of the breaker of an endpoint.
    pub fn breaker(&self, endpoint: &str) -> BreakerState {
        self.traffic().breakers.get(endpoint).map_or(BreakerState::Closed, Breaker::state)
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        // Counters stay consistent even when a thread died while it held them.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn permit(&self, message: &Message) -> Result<(), ActuateError> {
        let actuator = || self.actuator.name().to_owned();
        if self.kill_switch.is_frozen() {
            return Err(ActuateError::Frozen { actuator: actuator() });
        }
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let next = match (rules.mode, self.actuator.effect(), &message.approved_by) {
            (Mode::Observe, _, _) => Some("set it to `recommend` or `act` to let anything leave"),
            (Mode::Recommend, Effect::Act, None) => Some("approve the message, or set the mode to `act`"),
            _ => None,
        };
        if let Some(next) = next {
            return Err(ActuateError::Mode { actuator: actuator(), mode: rules.mode, next });
        }
        if self.actuator.effect() == Effect::Act && message.proposes_replicas() {
            let bounds = rules.bounds.get(&message.subject);
            let verdict = bounds
                .map_or_else(|| Err("no bounds are configured, so nothing may act on it".into()), |b| b.check(message));
            return verdict.map_err(|fault| ActuateError::Bounds { subject: message.subject.clone(), fault });
        }
        Ok(())
    }

    fn admit(&self, endpoint: &str, now: Timestamp) -> Result<(), ActuateError> {
        let mut traffic = self.traffic();
        if let Err(retry_after) = traffic.bucket.take(now) {
            return Err(ActuateError::RateLimited { actuator: self.actuator.name().to_owned(), retry_after });
        }
        match traffic.breakers.get_mut(endpoint).map_or(Ok(()), |breaker| breaker.check(now)) {
            Ok(()) => Ok(()),
            Err(retry_after) => Err(ActuateError::BreakerOpen { endpoint: endpoint.to_owned(), retry_after }),
        }
    }

    fn report(&self, endpoint: &str, now: Timestamp, succeeded: bool) {
        let mut traffic = self.traffic();
        let settings = traffic.settings;
        if let Some(breaker) = traffic.breakers.get_mut(endpoint) {
            breaker.record(now, succeeded);
            if breaker.state() == BreakerState::Closed && succeeded {
                traffic.breakers.remove(endpoint);
            }
            return;
        }
        if succeeded {
            return;
        }
        if traffic.breakers.len() >= MAX_BREAKERS {
            let closed = traffic.breakers.iter().find(|(_, breaker)| breaker.state() == BreakerState::Closed);
            if let Some(name) = closed.map(|(name, _)| name.clone()) {
                traffic.breakers.remove(&name);
            } else {
                return;
            }
        }
        let mut breaker = Breaker::new(settings);
        breaker.record(now, false);
        traffic.breakers.insert(endpoint.to_owned(), breaker);
    }
}

impl<A: Actuator> Actuator for Gate<A> {
    fn name(&self) -> &str {
        self.actuator.name()
    }

    fn effect(&self) -> Effect {
        self.actuator.effect()
    }

    fn endpoint(&self, message: &Message) -> String {
        self.actuator.endpoint(message)
    }

    /// Planning is always allowed.
    fn plan(&self, message: &Message) -> Result<Plan, ActuateError> {
        self.actuator.plan(message)
    }

    fn apply(&self, message: &Message, now: Timestamp) -> Result<Receipt, ActuateError> {
        message.body()?;
        self.permit(message)?;
        let endpoint = self.actuator.endpoint(message);
        self.admit(&endpoint, now)?;
        let applied = self.actuator.apply(message, now);
        let failed = applied.as_ref().is_err_and(ActuateError::is_failure_of_endpoint);
        self.report(&endpoint, now, !failed);
        match &applied {
            Ok(receipt) => tracing::info!(
                actuator = self.actuator.name(),
                subject = %message.subject,
                key = %message.idempotency_key,
                repeated = receipt.repeated,
                "applied"
            ),
            Err(fault) => tracing::warn!(
                actuator = self.actuator.name(),
                subject = %message.subject,
                key = %message.idempotency_key,
                %fault,
                "not applied"
            ),
        }
        applied
    }

    fn verify(&self, message: &Message) -> Result<Verified, ActuateError> {
        self.actuator.verify(message)
    }
}
