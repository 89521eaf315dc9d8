//! Delivering advice: through the durable outbox to the configured receivers, at least once, in order per target.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actuate::{
    Actuator, Effect, Egress, FileActuator, FileSettings, Gate, GateSettings, KillSwitch, Message, Mode as GateMode,
    Retry, Secret, WebhookActuator, WebhookSettings,
};
use control::AuditEntry;
use control::outbox::Draft;
use scale::Recommendation;
use serde_json::json;
use series::{Millis, Timestamp};

use super::worker::Stop;
use super::{Core, EngineError};
use crate::settings::{Mode, NotifySettings};

/// How often the outbox is looked at.
const POLL: Duration = Duration::from_millis(500);
/// Messages taken at a time for one receiver.
const AT_ONCE: usize = 10;
/// How often the control log is tidied.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const EVENT_TYPE: &str = "io.foretide.recommendation.created";
const SOURCE: &str = "/foretide";

/// Sends what the outbox holds.
pub(crate) struct Deliverer {
    core: Arc<Core>,
    receivers: Vec<(String, Box<dyn Actuator>)>,
}

/// Queues a piece of advice for every receiver, together with its audit record. In mode `observe` nothing is queued.
pub(crate) fn enqueue(core: &Core, advice: &Recommendation, now: Timestamp) -> Result<(), EngineError> {
    if core.settings.scaling.mode == Mode::Observe {
        return Ok(());
    }
    for (i, receiver) in core.settings.notify.iter().enumerate() {
        let draft = Draft {
            tenant: "default".into(),
            target: advice.target.clone(),
            // The outbox tells effects apart by target, policy and action, so the receiver is part of the action.
            action: format!("{} {}", topic(i, receiver), advice.id),
            topic: topic(i, receiver),
            policy: json!(advice.kind).as_str().unwrap_or_default().to_owned(),
            priority: advice.severity as u8,
            payload: json!(advice),
            window_start: advice.created_at,
            window_end: advice.valid_until.max(now + Millis::from_mins(1)),
        };
        let audit = AuditEntry {
            at: now.0,
            actor: "engine".into(),
            tenant: "default".into(),
            verb: "notify".into(),
            object: advice.target.clone(),
            after: Some(advice.id.clone()),
            result: "ok".into(),
            ..AuditEntry::default()
        };
        core.outbox.enqueue(draft, now, audit)?;
    }
    Ok(())
}

fn topic(i: usize, receiver: &NotifySettings) -> String {
    match receiver {
        NotifySettings::File { .. } => format!("file-{i}"),
        NotifySettings::Webhook { .. } => format!("webhook-{i}"),
    }
}

impl Deliverer {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self, EngineError> {
        let mut receivers: Vec<(String, Box<dyn Actuator>)> = Vec::new();
        for (i, settings) in core.settings.notify.iter().enumerate() {
            let topic = topic(i, settings);
            receivers.push((topic.clone(), open(&core, &topic, settings)?));
        }
        Ok(Self { core, receivers })
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let mut tidied = std::time::Instant::now();
        while !stop.wait(POLL) {
            for (topic, receiver) in &self.receivers {
                if let Err(err) = self.send_due(topic, &**receiver) {
                    tracing::warn!(%topic, %err, "outbox not read; it is tried again");
                }
            }
            if tidied.elapsed() >= TIDY_EVERY {
                tidied = std::time::Instant::now();
                if let Err(err) = self.core.control.maintain(self.core.clock.now()) {
                    tracing::warn!(%err, "control log not tidied; it is tried again");
                }
            }
        }
    }

    fn send_due(&self, topic: &str, receiver: &dyn Actuator) -> Result<(), EngineError> {
        for queued in self.core.outbox.lease(self.core.clock.now(), topic, AT_ONCE)? {
            let message = message_of(&queued);
            let now = self.core.clock.now();
            match receiver.apply(&message, now) {
                Ok(receipt) => {
                    self.core.tallies.delivered.fetch_add(1, Ordering::Relaxed);
                    self.core.outbox.ack(&queued.id, self.core.clock.now(), &format!("{receipt:?}"))?;
                }
                Err(err) => {
                    self.core.tallies.delivery_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%topic, target = %queued.target, %err, "not delivered");
                    self.after_failure(&queued.id, &err)?;
                }
            }
        }
        Ok(())
    }

    fn after_failure(&self, id: &str, err: &actuate::ActuateError) -> Result<(), EngineError> {
        let now = self.core.clock.now();
        // Spreads retries without a source of randomness: ids differ, and so do their hashes.
        let spread = f64::from(id.bytes().fold(7_u8, |h, b| h.wrapping_mul(31).wrapping_add(b))) / 255.0;
        match err.retry() {
            Retry::Never => self.core.outbox.fail(id, now, &err.to_string())?,
            Retry::Backoff => drop(self.core.outbox.nack(id, now, &err.to_string(), spread)?),
            Retry::After(pause) => drop(self.core.outbox.nack_for(id, now, &err.to_string(), pause)?),
        }
        Ok(())
    }
}

fn message_of(queued: &control::outbox::Message) -> Message {
    Message {
        id: queued.id.clone(),
        idempotency_key: queued.idempotency_key.clone(),
        event_type: EVENT_TYPE.into(),
        source: SOURCE.into(),
        subject: queued.target.clone(),
        time: Timestamp(queued.created_at),
        approved_by: None,
        payload: queued.payload.clone(),
    }
}

fn open(core: &Core, topic: &str, settings: &NotifySettings) -> Result<Box<dyn Actuator>, EngineError> {
    let fault = |why: String| EngineError::Notify { place: topic.to_owned(), why };
    let gate = GateSettings {
        mode: match core.settings.scaling.mode {
            Mode::Observe => GateMode::Observe,
            Mode::Recommend => GateMode::Recommend,
            Mode::Act => GateMode::Act,
        },
        ..GateSettings::default()
    };
    Ok(match settings {
        NotifySettings::File { path } => {
            let settings = FileSettings { effect: Effect::Notify, ..FileSettings::new(topic, path) };
            let file = FileActuator::open(settings).map_err(|err| fault(err.to_string()))?;
            Box::new(Gate::new(file, KillSwitch::new(), gate))
        }
        NotifySettings::Webhook { url, secret } => {
            let egress = Egress::parse(&core.settings.egress.allow).map_err(|err| fault(err.to_string()))?;
            let secret = secret.as_deref().map(read_secret).transpose().map_err(fault)?;
            let settings =
                WebhookSettings { secret, egress, effect: Effect::Notify, ..WebhookSettings::new(topic, url) };
            let hook = WebhookActuator::new(settings).map_err(|err| fault(err.to_string()))?;
            Box::new(Gate::new(hook, KillSwitch::new(), gate))
        }
    })
}

/// `${env:NAME}` or `file:/path`; a secret written out is refused, because configurations are copied around.
fn read_secret(text: &str) -> Result<Secret, String> {
    if let Some(name) = text.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}')) {
        return std::env::var(name).map(Secret::new).map_err(|_| format!("secret: the environment has no {name}"));
    }
    if let Some(path) = text.strip_prefix("file:") {
        let secret = std::fs::read_to_string(path).map_err(|err| format!("secret: {path}: {err}"))?;
        return Ok(Secret::new(secret.trim_end().to_owned()));
    }
    Err("secret: write ${env:NAME} or file:/path, not the secret itself".into())
}
