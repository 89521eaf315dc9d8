//! The outbox: order, repeats, retries, crashes at every step, steps of the clock.

use std::collections::{HashMap, HashSet};

use wal::sim::{SimRandom, SimStorage};

use super::*;
use crate::control::ControlOptions;

const NOW: Timestamp = Timestamp(1_795_244_846_000);
const MINUTE: Millis = Millis::from_mins(1);

struct Bench {
    storage: SimStorage,
    root: tempfile::TempDir,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self { storage: SimStorage::new(seed), root: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Outbox {
        let storage = Arc::new(self.storage.clone());
        let (control, _) = Control::open(storage, self.root.path(), ControlOptions::default()).unwrap();
        Outbox::open(Arc::new(control)).unwrap()
    }

    /// Power cut and restart.
    fn crash(&self, outbox: Outbox) -> Outbox {
        drop(outbox);
        self.storage.crash();
        self.open()
    }
}

fn draft(target: &str, action: &str, window: i64) -> Draft {
    Draft {
        tenant: "default".to_owned(),
        target: target.to_owned(),
        topic: "kubernetes".to_owned(),
        policy: "web".to_owned(),
        action: action.to_owned(),
        priority: 5,
        payload: serde_json::json!({"replicas": action}),
        window_start: NOW + Millis::from_mins(window),
        window_end: NOW + Millis::from_mins(window + 30),
    }
}

fn audit() -> AuditEntry {
    AuditEntry { at: NOW.0, actor: "scaler".to_owned(), verb: "actuate".to_owned(), ..AuditEntry::default() }
}

fn enqueue(outbox: &Outbox, draft: Draft) -> String {
    match outbox.enqueue(draft, NOW, audit()).unwrap() {
        Enqueued::New { id } | Enqueued::Repeat { id } => id,
    }
}

fn lease(outbox: &Outbox, now: Timestamp) -> Vec<String> {
    outbox.lease(now, "kubernetes", 10).unwrap().into_iter().map(|message| message.id).collect()
}

fn state(outbox: &Outbox, id: &str) -> MessageState {
    outbox.get(id).unwrap().unwrap().state
}

#[test]
fn a_message_goes_its_way_once() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, draft("web", "3", 0));
    assert_eq!(outbox.enqueue(draft("web", "3", 0), NOW, audit()).unwrap(), Enqueued::Repeat { id: id.clone() });
    assert_eq!(lease(&outbox, NOW), [id.as_str()]);
    assert!(lease(&outbox, NOW).is_empty(), "one in flight");
    outbox.ack(&id, NOW, "scaled").unwrap();
    let message = outbox.get(&id).unwrap().unwrap();
    assert_eq!((message.state, message.response.as_deref()), (MessageState::Delivered, Some("scaled")));
    assert!(matches!(outbox.ack(&id, NOW, ""), Err(OutboxError::WrongState { .. })));
    assert_eq!(outbox.enqueue(draft("web", "3", 0), NOW, audit()).unwrap(), Enqueued::Repeat { id });
    assert_eq!(outbox.control.count(Kind::Audit).unwrap(), 2, "one before, one after");
    assert!(matches!(outbox.ack("404", NOW, ""), Err(OutboxError::Unknown { .. })));
}

#[test]
fn a_planned_message_waits_for_approval() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let Enqueued::New { id } = outbox.plan(draft("web", "3", 0), NOW).unwrap() else { panic!("new") };
    let outbox = bench.crash(outbox);
    assert!(lease(&outbox, NOW).is_empty());
    outbox.approve(&id, NOW, audit()).unwrap();
    assert!(matches!(outbox.approve(&id, NOW, audit()), Err(OutboxError::WrongState { .. })));
    assert_eq!(lease(&outbox, NOW), [id]);
}

#[test]
fn every_state_survives_a_crash() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, draft("web", "3", 0));
    let outbox = bench.crash(outbox);
    assert_eq!(state(&outbox, &id), MessageState::Audited);
    let first = outbox.lease(NOW, "kubernetes", 1).unwrap().remove(0);
    let outbox = bench.crash(outbox);
    assert_eq!(state(&outbox, &id), MessageState::Sending);
    assert!(matches!(outbox.ack(&id, NOW, ""), Err(OutboxError::LeaseOver { leased: 2, now: 3, .. })));
    let again = outbox.lease(NOW, "kubernetes", 1).unwrap().remove(0);
    assert_eq!((again.idempotency_key, again.payload), (first.idempotency_key, first.payload));
    let AfterFailure::RetryAt(at) = outbox.nack(&id, NOW, "timeout", 0.0).unwrap() else { panic!("retry") };
    let outbox = bench.crash(outbox);
    assert!(lease(&outbox, at - Millis(1)).is_empty());
    assert_eq!(lease(&outbox, at), [id.as_str()]);
    outbox.ack(&id, at, "ok").unwrap();
    let outbox = bench.crash(outbox);
    assert_eq!(state(&outbox, &id), MessageState::Delivered);
    assert!(lease(&outbox, at).is_empty());
    let repeat = outbox.enqueue(draft("web", "3", 0), NOW, audit()).unwrap();
    assert_eq!(repeat, Enqueued::Repeat { id }, "keys survive too");
}

#[test]
fn a_newer_message_takes_the_place_of_older_ones() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let first = enqueue(&outbox, draft("web", "3", 0));
    let other = enqueue(&outbox, draft("api", "9", 0));
    let second = enqueue(&outbox, draft("web", "4", 1));
    assert_eq!(state(&outbox, &first), MessageState::Superseded);
    assert_eq!(lease(&outbox, NOW), [other, second.clone()]);
    let third = enqueue(&outbox, draft("web", "5", 2));
    assert_eq!(state(&outbox, &second), MessageState::Sending, "one in flight is left to its answer");
    assert!(lease(&outbox, NOW).is_empty(), "and the newer one waits");
    assert_eq!(outbox.nack(&second, NOW, "refused", 0.5).unwrap(), AfterFailure::Superseded);
    assert_eq!(lease(&outbox, NOW), [third]);
}

#[test]
fn an_older_message_in_flight_at_a_crash_is_not_sent_after_the_newer() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let first = enqueue(&outbox, draft("web", "3", 0));
    lease(&outbox, NOW);
    let second = enqueue(&outbox, draft("web", "4", 1));
    let outbox = bench.crash(outbox);
    assert_eq!(lease(&outbox, NOW), [second]);
    assert_eq!(state(&outbox, &first), MessageState::Superseded);
}

#[test]
fn failures_are_tried_again_more_and_more_slowly_and_then_given_up() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, Draft { window_end: NOW + Millis::from_days(1), ..draft("web", "3", 0) });
    let (mut now, mut pauses) = (NOW, Vec::new());
    let last = loop {
        assert_eq!(lease(&outbox, now), [id.as_str()]);
        match outbox.nack(&id, now, "down", 0.0).unwrap() {
            AfterFailure::RetryAt(at) => {
                pauses.push((at - now).0 / 1000);
                now = at;
            }
            last => break last,
        }
    };
    assert_eq!(last, AfterFailure::Failed);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(outbox.newest(MessageState::Failed, 10).unwrap().len(), 1);
    outbox.retry(&id, now, audit()).unwrap();
    assert_eq!(lease(&outbox, now), [id.as_str()]);
    outbox.ack(&id, now, "ok").unwrap();
    assert!(matches!(outbox.retry(&id, now, audit()), Err(OutboxError::WrongState { .. })));
}

#[test]
fn jitter_stays_within_its_bounds() {
    for attempts in 0..100 {
        let (low, high) = (backoff(attempts, 0.0), backoff(attempts, 0.999));
        assert!(low <= high && high <= BACKOFF_MAX && low >= Millis::from_secs(1));
    }
    assert_eq!(backoff(1, f64::NAN), Millis::from_secs(1));
}

#[test]
fn nothing_is_sent_after_its_window() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, draft("web", "3", 0));
    assert!(lease(&outbox, NOW + Millis::from_mins(31)).is_empty());
    assert_eq!(state(&outbox, &id), MessageState::Superseded);
    let id = enqueue(&outbox, draft("web", "4", 1));
    lease(&outbox, NOW);
    assert_eq!(outbox.nack(&id, NOW + Millis::from_mins(32), "late", 0.0).unwrap(), AfterFailure::Superseded);
}

#[test]
fn steps_of_the_clock_resend_nothing_and_stop_nothing() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let sent = enqueue(&outbox, draft("web", "3", 0));
    lease(&outbox, NOW);
    let yesterday = NOW - Millis::from_days(1);
    assert!(lease(&outbox, yesterday).is_empty(), "still in flight");
    outbox.ack(&sent, yesterday, "ok").unwrap();
    assert!(lease(&outbox, yesterday).is_empty() && lease(&outbox, NOW).is_empty());
    let retried = enqueue(&outbox, draft("api", "3", 0));
    lease(&outbox, NOW);
    outbox.nack(&retried, NOW, "down", 0.0).unwrap();
    assert_eq!(lease(&outbox, yesterday), [retried], "its pause does not become a day");
}

#[test]
fn a_receiver_may_ask_for_a_longer_pause_than_ours() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, Draft { window_end: NOW + Millis::from_days(1), ..draft("web", "3", 0) });
    for (turn, asked, waits) in [(0, 6, 6), (1, 59, 59), (2, 600, 60)] {
        let now = NOW + Millis::from_hours(3 * turn);
        assert_eq!(lease(&outbox, now), [id.as_str()]);
        let after = outbox.nack_for(&id, now, "busy", Millis::from_mins(asked)).unwrap();
        let at = now + Millis::from_mins(waits);
        assert_eq!(after, AfterFailure::RetryAt(at));
        assert!(lease(&outbox, now + Millis(1)).is_empty() && lease(&outbox, at - Millis(1)).is_empty(), "{asked} min");
        assert_eq!(lease(&outbox, at), [id.as_str()]);
        outbox.nack(&id, at, "down", 0.0).unwrap();
    }
}

#[test]
fn a_message_that_was_held_back_loses_no_try() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let id = enqueue(&outbox, Draft { window_end: NOW + Millis::from_days(1), ..draft("web", "3", 0) });
    let mut now = NOW;
    for _ in 0..2 * TRIES_MAX {
        assert_eq!(lease(&outbox, now), [id.as_str()]);
        outbox.put_off(&id, now, MINUTE).unwrap();
        assert!(lease(&outbox, now + Millis(1)).is_empty());
        now = now + MINUTE;
    }
    let message = outbox.lease(now, "kubernetes", 1).unwrap().remove(0);
    assert_eq!((message.state, message.attempts), (MessageState::Sending, 1));
    assert!(matches!(outbox.put_off("404", now, MINUTE), Err(OutboxError::Unknown { .. })));
}

#[test]
fn changes_and_messages_of_one_call_are_there_together_or_not_at_all() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let advice = || vec![Change::put(Kind::Recommendation, "a", "advice").unwrap()];
    let drafts =
        || vec![draft("web", "3", 0), Draft { topic: "webhook".to_owned(), ..draft("web", "3 by webhook", 0) }];
    bench.storage.fail_next_syncs(100);
    assert!(outbox.enqueue_with(drafts(), advice(), NOW, audit()).is_err());
    bench.storage.fail_next_syncs(0);
    let outbox = bench.crash(outbox);
    // What a failed write left may be found after a restart, but never half of it.
    let kept = |outbox: &Outbox| outbox.control.get::<String>(Kind::Recommendation, "a").unwrap().is_some();
    assert!([(false, 0), (true, 2)].contains(&(kept(&outbox), outbox.active())));
    outbox.enqueue_with(drafts(), advice(), NOW, audit()).unwrap();
    let outbox = bench.crash(outbox);
    assert_eq!((kept(&outbox), outbox.active()), (true, 2));
    let all_new = |outcome: &Enqueued| matches!(outcome, Enqueued::New { .. });
    let again = outbox.enqueue_with(drafts(), Vec::new(), NOW, audit()).unwrap();
    assert!(!again.iter().any(all_new) && outbox.active() == 2);
    let twice =
        outbox.enqueue_with(vec![draft("api", "1", 0), draft("api", "1", 0)], Vec::new(), NOW, audit()).unwrap();
    assert_eq!(twice.iter().filter(|outcome| all_new(outcome)).count(), 1);
}

#[test]
fn what_nobody_leases_expires() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let left = enqueue(&outbox, Draft { topic: "gone".to_owned(), ..draft("web", "3", 0) });
    let flying = enqueue(&outbox, draft("web", "3", 1));
    lease(&outbox, NOW);
    assert_eq!(outbox.expire(NOW + Millis::from_mins(30)).unwrap(), 0);
    assert_eq!(outbox.expire(NOW + Millis::from_mins(99)).unwrap(), 1);
    assert_eq!(state(&outbox, &left), MessageState::Superseded);
    assert_eq!(state(&outbox, &flying), MessageState::Sending, "its answer is still to come");
}

#[test]
fn priority_goes_first_and_topics_are_apart() {
    let bench = Bench::new(1);
    let outbox = bench.open();
    let low = enqueue(&outbox, Draft { priority: 1, ..draft("a", "1", 0) });
    let high = enqueue(&outbox, Draft { priority: 9, ..draft("b", "1", 0) });
    enqueue(&outbox, Draft { topic: "webhook".to_owned(), ..draft("a", "2", 0) });
    assert_eq!(lease(&outbox, NOW), [high, low]);
    assert_eq!(outbox.lease(NOW, "webhook", 10).unwrap().len(), 1);
}

/// An actuator that takes, drops, doubles and forgets to answer; both sides die at random. What is checked: each key
/// takes effect at most once by its key, order per target holds, and nothing takes effect that was not audited first.
#[test]
fn random_deaths_apply_each_key_once_in_order() {
    for seed in 0..25 {
        let bench = Bench::new(seed);
        let mut random = SimRandom::new(seed);
        let mut outbox = bench.open();
        let mut applied: HashSet<String> = HashSet::new();
        let mut last_applied: HashMap<String, u64> = HashMap::new();
        let mut now = NOW;
        for round in 0..60 {
            now = now + MINUTE;
            let target = ["web", "api", "db"][random.below(3)];
            if random.chance(0.5) {
                enqueue(&outbox, draft(target, &round.to_string(), round));
            }
            for message in outbox.lease(now, "kubernetes", 5).unwrap() {
                let audited = outbox.control.count(Kind::Audit).unwrap();
                assert!(audited >= message.seq, "the audit record precedes the effect");
                let reached = random.chance(0.7);
                if reached && applied.insert(message.idempotency_key.clone()) {
                    let before = last_applied.insert(message.target.clone(), message.seq).unwrap_or(0);
                    assert!(before < message.seq, "seed {seed}: order of {}", message.target);
                }
                match random.below(4) {
                    0 => {} // No answer: found again after the next restart.
                    1 => drop(outbox.nack(&message.id, now, "lost", 0.0).unwrap()),
                    _ if reached => outbox.ack(&message.id, now, "ok").unwrap(),
                    _ => drop(outbox.nack(&message.id, now, "down", 0.3).unwrap()),
                }
            }
            if random.chance(0.2) {
                outbox = bench.crash(outbox);
            }
        }
        assert!(!applied.is_empty());
        assert_eq!(outbox.control.verify_audit().unwrap().first_bad, None);
    }
}
