//! Gates before a made-up actuator.

use super::*;
use crate::error::Retry;
use serde_json::json;
use std::io;
use std::sync::atomic::AtomicUsize;

const NOW: Timestamp = Timestamp(1_000_000);

/// Fails while told to; counts what reached it.
#[derive(Debug, Default)]
struct Probe {
    notify: bool,
    broken: AtomicBool,
    reached: AtomicUsize,
}

impl Actuator for Probe {
    fn name(&self) -> &str {
        "probe"
    }

    fn effect(&self) -> Effect {
        if self.notify { Effect::Notify } else { Effect::Act }
    }

    fn plan(&self, _: &Message) -> Result<Plan, ActuateError> {
        Ok(Plan {
            actuator: "probe".into(),
            destination: String::new(),
            headers: Vec::new(),
            body: String::new(),
            changes: true,
        })
    }

    fn apply(&self, message: &Message, now: Timestamp) -> Result<Receipt, ActuateError> {
        self.reached.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            let source = io::Error::other("broken");
            return Err(ActuateError::Io { step: "write", path: "x".into(), source });
        }
        let idempotency_key = message.idempotency_key.clone();
        Ok(Receipt { idempotency_key, repeated: false, generation: None, status: None, applied_at: now })
    }

    fn verify(&self, _: &Message) -> Result<Verified, ActuateError> {
        Ok(Verified::Unknowable)
    }
}

fn message(from: u64, to: u64) -> Message {
    Message {
        id: "1".into(),
        idempotency_key: "k".into(),
        event_type: "io.foretide.recommendation.created".into(),
        source: "/foretide".into(),
        subject: "deployment/shop/checkout".into(),
        time: NOW,
        approved_by: None,
        payload: json!({"current": {"replicas": from}, "proposed": {"replicas": to}}),
    }
}

fn settings(mode: Mode) -> GateSettings {
    let bounds = Bounds { min_replicas: 2, max_replicas: 40, max_step: 10 };
    let bounds = BTreeMap::from([("deployment/shop/checkout".to_owned(), bounds)]);
    GateSettings { mode, per_second: 1000.0, burst: 1000.0, bounds, ..GateSettings::default() }
}

fn gate(mode: Mode) -> Gate<Probe> {
    Gate::new(Probe::default(), KillSwitch::new(), settings(mode))
}

#[test]
fn observing_lets_nothing_out_but_plans() {
    let gate = gate(Mode::Observe);
    let fault = gate.apply(&message(3, 5), NOW).expect_err("observing");
    assert!(fault.to_string().contains("mode is observe") && fault.retry() == Retry::Never, "{fault}");
    assert!(gate.plan(&message(3, 5)).is_ok());
    assert_eq!(gate.actuator().reached.load(Ordering::SeqCst), 0);
}

#[test]
fn recommending_notifies_and_acts_only_when_approved() {
    let gate = gate(Mode::Recommend);
    assert!(matches!(gate.apply(&message(3, 5), NOW), Err(ActuateError::Mode { .. })));
    let approved = Message { approved_by: Some("ada".into()), ..message(3, 5) };
    assert!(gate.apply(&approved, NOW).is_ok());
    let notify = Gate::new(Probe { notify: true, ..Probe::default() }, KillSwitch::new(), settings(Mode::Recommend));
    assert!(notify.apply(&message(3, 5), NOW).is_ok());
}

#[test]
fn the_kill_switch_stops_every_gate_that_shares_it() {
    let switch = KillSwitch::new();
    let gates = [(); 2].map(|()| Gate::new(Probe::default(), switch.clone(), settings(Mode::Act)));
    switch.freeze();
    for gate in &gates {
        assert!(matches!(gate.apply(&message(3, 5), NOW), Err(ActuateError::Frozen { .. })));
    }
    switch.unfreeze();
    assert!(gates.iter().all(|gate| gate.apply(&message(3, 5), NOW).is_ok()));
}

#[test]
fn bounds_hold_whatever_the_planner_says() {
    let gate = gate(Mode::Act);
    for (from, to, says) in [
        (3, 1, "1 replicas are outside 2 to 40"),
        (35, 41, "41 replicas are outside"),
        (3, 14, "a step from 3 to 14 replicas is larger than 10"),
    ] {
        let fault = gate.apply(&message(from, to), NOW).expect_err(says).to_string();
        assert!(fault.contains(says), "{fault}");
    }
    for payload in [
        json!({"current": {"replicas": 3}, "proposed": {"replicas": -1}}),
        json!({"current": {"replicas": 3}, "proposed": {"replicas": "5"}}),
        json!({"current": {"replicas": 3}, "proposed": {"replicas": 4.5}}),
        json!({"proposed": {"replicas": 4}}),
    ] {
        let odd = Message { payload, ..message(0, 0) };
        assert!(matches!(gate.apply(&odd, NOW), Err(ActuateError::Bounds { .. })), "{odd:?}");
    }
    let unknown = Message { subject: "deployment/shop/other".into(), ..message(3, 4) };
    assert!(gate.apply(&unknown, NOW).is_err_and(|fault| fault.to_string().contains("no bounds")));
    assert_eq!(gate.actuator().reached.load(Ordering::SeqCst), 0);
}

#[test]
fn a_failing_endpoint_is_left_alone_and_comes_back() {
    let gate = gate(Mode::Act);
    gate.actuator().broken.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        assert!(matches!(gate.apply(&message(3, 5), NOW), Err(ActuateError::Io { .. })));
    }
    let fault = gate.apply(&message(3, 5), NOW).expect_err("open");
    assert!(matches!(fault.retry(), Retry::Held(_)), "{fault}");
    assert_eq!(gate.actuator().reached.load(Ordering::SeqCst), 5);
    gate.actuator().broken.store(false, Ordering::SeqCst);
    assert!(gate.apply(&message(3, 5), NOW + series::Millis::from_secs(31)).is_ok());
    assert_eq!(gate.breaker("deployment/shop/checkout"), BreakerState::Closed);
}

#[test]
fn the_rate_is_kept() {
    let slow = GateSettings { per_second: 1.0, burst: 2.0, ..settings(Mode::Act) };
    let gate = Gate::new(Probe::default(), KillSwitch::new(), slow);
    let results: Vec<bool> = (0..4).map(|_| gate.apply(&message(3, 5), NOW).is_ok()).collect();
    assert_eq!(results, [true, true, false, false]);
}

#[test]
fn bad_messages_go_nowhere() {
    let gate = gate(Mode::Act);
    for bad in [
        Message { id: String::new(), ..message(3, 5) },
        Message { idempotency_key: "k\r\nX-Evil: 1".into(), ..message(3, 5) },
        Message { idempotency_key: "schlüssel".into(), ..message(3, 5) },
        Message { subject: "a\nb".into(), ..message(3, 5) },
        Message { source: "x".repeat(2000), ..message(3, 5) },
        Message { payload: json!("x".repeat(2 << 20)), ..message(3, 5) },
    ] {
        assert!(matches!(gate.apply(&bad, NOW), Err(ActuateError::Message { .. })));
    }
}
