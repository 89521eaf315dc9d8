//! The outbox in memory: what is active, which keys are known, which message of a target is the newest. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use series::Timestamp;

use super::message::{Message, MessageState};
use super::{PAUSE_MAX, TRIES_MAX};

/// Why a message is not sent any more.
pub(super) const WINDOW_OVER: &str = "its window is over";

/// Rebuilt from the control plane at each start; bounded by the messages kept there.
#[derive(Debug, Default)]
pub(super) struct Queue {
    active: BTreeMap<String, Message>,
    by_key: HashMap<String, String>,
    /// Number of the newest message that was let out, per topic and target.
    newest: HashMap<(String, String), u64>,
    last_seq: u64,
}

/// What a lease does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    Supersede(&'static str),
    GiveUp,
}

impl Queue {
    pub(super) fn active(&self) -> &BTreeMap<String, Message> {
        &self.active
    }

    pub(super) fn id_of(&self, key: &str) -> Option<String> {
        self.by_key.get(key).cloned()
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.last_seq.saturating_add(1)
    }

    /// Takes in a message's present state.
    pub(super) fn note(&mut self, message: Message) {
        self.last_seq = self.last_seq.max(message.seq);
        self.by_key.insert(message.idempotency_key.clone(), message.id.clone());
        if matches!(message.state, MessageState::Audited | MessageState::Sending | MessageState::Delivered) {
            let newest = self.newest.entry(place(&message)).or_default();
            *newest = (*newest).max(message.seq);
        }
        if message.state.is_active() {
            self.active.insert(message.id.clone(), message);
        } else {
            self.active.remove(&message.id);
        }
    }

    /// A finished message was removed from the control plane.
    pub(super) fn forget(&mut self, message: &Message) {
        self.by_key.remove(&message.idempotency_key);
        let place = place(message);
        if self.newest.get(&place) == Some(&message.seq) {
            self.newest.remove(&place);
        }
    }

    /// Whether a newer message for the same target was let out.
    pub(super) fn is_outdated(&self, message: &Message) -> bool {
        self.newest.get(&place(message)).is_some_and(|newest| *newest > message.seq)
    }

    /// Older messages that `message` takes the place of, already marked. One in flight is left to its answer.
    pub(super) fn superseded_by(&self, message: &Message, epoch: u64) -> Vec<Message> {
        let same = |older: &&Message| {
            older.seq < message.seq && older.topic == message.topic && older.target == message.target
        };
        let idle = |older: &&Message| older.state != MessageState::Sending || older.epoch != epoch;
        let mark = |older: &Message| {
            let mut older = older.clone();
            older.finish(MessageState::Superseded, "a newer message for the target exists");
            older
        };
        self.active.values().filter(same).filter(idle).map(mark).collect()
    }

    /// What to do with the messages of `topic`; at most `limit` are to be sent, at most 1,000 are touched at all.
    pub(super) fn judge(&self, now: Timestamp, topic: &str, epoch: u64, limit: usize) -> Vec<(Message, Verdict)> {
        let in_flight = |message: &&Message| message.state == MessageState::Sending && message.epoch == epoch;
        let of_topic = || self.active.values().filter(|message| message.topic == topic);
        let mut busy: HashSet<&str> = of_topic().filter(in_flight).map(|message| message.target.as_str()).collect();
        let mut waiting: Vec<&Message> =
            of_topic().filter(|message| message.state != MessageState::Planned && !in_flight(message)).collect();
        waiting.sort_unstable_by_key(|message| (std::cmp::Reverse(message.priority), message.seq));
        let (mut verdicts, mut sent) = (Vec::new(), 0);
        for message in waiting {
            let verdict = if message.is_stale(now) {
                Verdict::Supersede(WINDOW_OVER)
            } else if self.is_outdated(message) {
                Verdict::Supersede("a newer message for the target exists")
            } else if message.attempts >= TRIES_MAX {
                Verdict::GiveUp
            } else if sent < limit && is_due(message, now) && busy.insert(&message.target) {
                sent += 1;
                Verdict::Send
            } else {
                continue;
            };
            verdicts.push((message.clone(), verdict));
            if verdicts.len() >= 1000 {
                break;
            }
        }
        verdicts
    }
}

/// Its pause is over, or longer than any pause can be: then the clock has stepped back since it was set.
fn is_due(message: &Message, now: Timestamp) -> bool {
    let wait = message.next_at.saturating_sub(now.0);
    wait <= 0 || wait > PAUSE_MAX.0
}

fn place(message: &Message) -> (String, String) {
    (message.topic.clone(), message.target.clone())
}
