//! Delivering advice: through the durable outbox to the configured receivers, at least once, in order per subject.

mod answers;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actuate::{
    Actuator, Effect, Egress, FileActuator, FileSettings, Gate, GateSettings, KillSwitch, Message, Mode as GateMode,
    Secret, WebhookActuator, WebhookSettings,
};
use control::outbox::Draft;
use control::{AuditEntry, Change};
use scale::{Details, Recommendation};
use serde_json::json;
use series::{Millis, Timestamp};

use self::answers::{Answer, Answers, Given};
use super::worker::Stop;
use super::{Core, EngineError};
use crate::settings::{Mode, NotifySettings, SecretSource, Settings, secret_source};

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
    receivers: Vec<Receiver>,
}

struct Receiver {
    topic: String,
    actuator: Box<dyn Actuator>,
    answers: Answers,
}

/// The outbox topics that advice goes to: one a receiver, none in mode `observe`.
pub(crate) fn topics(settings: &Settings) -> BTreeSet<String> {
    match settings.scaling.mode {
        Mode::Observe => BTreeSet::new(),
        Mode::Recommend | Mode::Act => settings.notify.iter().map(topic).collect(),
    }
}

/// Queues a piece of advice for `topics` and makes the changes `also`, all or nothing, with an audit record.
pub(crate) fn enqueue(
    core: &Core,
    advice: &Recommendation,
    topics: &BTreeSet<String>,
    also: Vec<Change>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let subject = subject(advice);
    let draft = |topic: &String| Draft {
        tenant: "default".into(),
        target: subject.clone(),
        // The outbox tells effects apart by target, policy and action, so the receiver is part of the action.
        action: format!("{topic} {}", advice.id),
        topic: topic.clone(),
        policy: advice.kind.word().into(),
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
        object: subject.clone(),
        after: Some(advice.id.clone()),
        result: "ok".into(),
        ..AuditEntry::default()
    };
    core.outbox.enqueue_with(topics.iter().map(draft).collect(), also, now, audit)?;
    Ok(())
}

/// What a receiver is told the advice is about. Newer advice about a subject takes the place of older, so what can hold
/// side by side (replicas of a workload, sizes of each of its containers) differs in it. Replicas have the plain target,
/// which bounds of actuators are keyed by.
pub(crate) fn subject(advice: &Recommendation) -> String {
    match &advice.details {
        Details::Scale(_) => advice.target.clone(),
        Details::Rightsize(sizing) => format!("{}/containers/{}", advice.target, sizing.container),
        Details::Capacity(_) => format!("capacity/{}", advice.target),
    }
}

/// The name of a receiver in the outbox: the same wherever it stands in the list, and without what its address may hold
/// of secrets.
fn topic(receiver: &NotifySettings) -> String {
    let (kind, place) = match receiver {
        NotifySettings::File { path } => ("file", path.display().to_string()),
        NotifySettings::Webhook { url, .. } => ("webhook", url.clone()),
    };
    format!("{kind}-{}", &blake3::hash(place.as_bytes()).to_hex()[..12])
}

impl Deliverer {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self, EngineError> {
        let mut receivers = Vec::new();
        for (i, settings) in core.settings.notify.iter().enumerate() {
            let topic = topic(settings);
            let actuator = open(&core, &format!("notify.{i}"), &topic, settings)?;
            receivers.push(Receiver { topic, actuator, answers: Answers::default() });
        }
        Ok(Self { core, receivers })
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let mut tidied = std::time::Instant::now();
        while !stop.wait(POLL) {
            // In mode `observe` the gate would refuse, and a refusal is final; so what was queued before waits.
            if self.core.settings.scaling.mode != Mode::Observe {
                for receiver in &self.receivers {
                    if let Err(err) = self.send_due(receiver) {
                        tracing::warn!(topic = %receiver.topic, %err, "outbox not read or written; it is tried again");
                    }
                }
            }
            if tidied.elapsed() >= TIDY_EVERY {
                tidied = std::time::Instant::now();
                if let Err(err) = self.tidy() {
                    tracing::warn!(%err, "control log not tidied; it is tried again");
                }
            }
        }
    }

    fn tidy(&self) -> Result<(), EngineError> {
        let now = self.core.clock.now();
        let expired = self.core.outbox.expire(now)?;
        if expired > 0 {
            tracing::warn!(expired, "messages were not delivered before their time was over");
        }
        self.core.control.maintain(now)?;
        Ok(())
    }

    /// Nothing is taken while earlier answers wait to be written, so their number is bounded.
    fn send_due(&self, receiver: &Receiver) -> Result<(), EngineError> {
        receiver.answers.settle(|id, answer| self.give(id, answer))?;
        let leased = self.core.outbox.lease(self.core.clock.now(), &receiver.topic, AT_ONCE)?;
        for queued in &leased {
            // Holds until there is a better answer: should this thread die, the next one says it.
            let why = "the sending thread ended, its outcome is unknown".to_owned();
            receiver.answers.note(&queued.id, Answer::Again(why, None));
        }
        let mut outcome = Ok(());
        for queued in &leased {
            receiver.answers.note(&queued.id, self.send(receiver, queued));
            outcome = outcome.and(receiver.answers.settle_one(&queued.id, |id, answer| self.give(id, answer)));
        }
        Ok(outcome?)
    }

    fn send(&self, receiver: &Receiver, queued: &control::outbox::Message) -> Answer {
        let tallies = &self.core.tallies;
        match receiver.actuator.apply(&message_of(queued), self.core.clock.now()) {
            Ok(receipt) => {
                tallies.delivered.fetch_add(1, Ordering::Relaxed);
                Answer::Delivered(format!("{receipt:?}"))
            }
            Err(err) => {
                let answer = Answer::of_failure(&err.to_string(), err.retry());
                if !matches!(answer, Answer::Held(_)) {
                    tallies.delivery_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(topic = %receiver.topic, target = %queued.target, %err, "not delivered");
                }
                answer
            }
        }
    }

    fn give(&self, id: &str, answer: &Answer) -> Given {
        let (outbox, now) = (&self.core.outbox, self.core.clock.now());
        match answer {
            Answer::Delivered(response) => outbox.ack(id, now, response),
            Answer::Refused(why) => outbox.fail(id, now, why),
            Answer::Held(pause) => outbox.put_off(id, now, *pause),
            Answer::Again(why, Some(pause)) => outbox.nack_for(id, now, why, *pause).map(drop),
            // Spreads retries without a source of randomness: ids differ, and so do their hashes.
            Answer::Again(why, None) => {
                let spread = f64::from(id.bytes().fold(7_u8, |h, b| h.wrapping_mul(31).wrapping_add(b))) / 255.0;
                outbox.nack(id, now, why, spread).map(drop)
            }
        }
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

fn open(core: &Core, place: &str, topic: &str, settings: &NotifySettings) -> Result<Box<dyn Actuator>, EngineError> {
    let fault = |why: String| EngineError::Notify { place: place.to_owned(), why };
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

/// The secret that a text of the configuration names.
pub(super) fn read_secret(text: &str) -> Result<Secret, String> {
    match secret_source(text) {
        Some(SecretSource::Environment(name)) => std::env::var(name)
            .map(Secret::new)
            .map_err(|_| format!("secret: the environment has no {name} that is text")),
        Some(SecretSource::File(path)) => {
            let secret = std::fs::read_to_string(path).map_err(|err| format!("secret: {path}: {err}"))?;
            Ok(Secret::new(secret.trim_end().to_owned()))
        }
        None => Err("secret: write ${env:NAME} or file:/path, not the secret itself".into()),
    }
}
