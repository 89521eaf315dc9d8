//! The outbox: messages to actuators that are delivered at least once and take effect once.
//!
//! ```text
//!   plan ──▶ planned ──approve──▶ audited ──lease──▶ sending ──ack──▶ delivered
//!   enqueue ─────────────────────▶ │  ▲                │ nack: again after 1 s · 2^n, at most 5 min
//!                                  │  └────────────────┤ 12th try failed ──▶ failed ──retry──▶ audited
//!                                  └─ window over, newer message for the target ──▶ superseded
//! ```
//!
//! Every arrow is one record of the control log, synced before the call returns; the audit record is in the same record
//! as the state `audited`, so nothing is leased that was not audited. A crash while sending leads to a second sending with
//! the same idempotency key. Rules:
//! - one message in flight per topic and target; a newer audited one supersedes the older ones that are not in flight;
//! - a lease belongs to one opening of the outbox (its epoch): answers of an earlier process are refused, its messages
//!   are leased again. Leases do not run out by the clock; a worker that gives up calls [`Outbox::nack`];
//! - a message is not sent after its window; delivered messages never change again, so a clock that steps back resends
//!   nothing; a waiting time that a step made longer than an hour, the longest there is, is over.
//!
//! Calls are ordered by one lock held across their sync: batch with [`Outbox::lease`]'s limit.

mod message;
mod queue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use series::{Millis, Timestamp};

use crate::audit::AuditEntry;
use crate::change::Change;
use crate::control::{Control, ScanRange};
use crate::error::ControlError;
use crate::kind::Kind;
pub use message::{Draft, Message, MessageState, idempotency_key};
use queue::{Queue, Verdict};

/// Tries before a message is given up.
pub const TRIES_MAX: u32 = 12;
/// Longest pause between two tries that we choose.
pub const BACKOFF_MAX: Millis = Millis::from_mins(5);
/// Longest pause of all: a receiver may ask for more than [`BACKOFF_MAX`], not for more than this.
pub const PAUSE_MAX: Millis = Millis::from_hours(1);
/// Most messages that are planned, audited or being sent.
pub const ACTIVE_MAX: usize = 50_000;
/// Finished messages that are kept.
const FINISHED_MAX: u64 = 50_000;
/// Text of an answer or a reason that is kept, in bytes.
const TEXT_MAX: usize = 4096;
const EPOCH: &str = "outbox/epoch";

/// Why an outbox call failed.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The control plane refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// There is no such message.
    #[error("there is no outbox message `{id}`")]
    Unknown {
        /// The id asked for.
        id: String,
    },
    /// The message is in another state than the call needs.
    #[error("outbox message `{id}` is {is}, not {needed}")]
    WrongState {
        /// The message.
        id: String,
        /// Its state.
        is: MessageState,
        /// The state needed.
        needed: MessageState,
    },
    /// The message was leased by an earlier process, or again since.
    #[error("the lease of outbox message `{id}` is over (epoch {leased}, now {now})")]
    LeaseOver {
        /// The message.
        id: String,
        /// Epoch of its lease.
        leased: u64,
        /// The outbox's epoch.
        now: u64,
    },
    /// The message's window is over.
    #[error("the window of outbox message `{id}` ended at {end}; decide anew")]
    Stale {
        /// The message.
        id: String,
        /// Its end.
        end: Timestamp,
    },
    /// Too much is waiting.
    #[error("{active} outbox messages are waiting, at most {max} may; check the actuators")]
    Full {
        /// How many.
        active: usize,
        /// The limit.
        max: usize,
    },
}

/// What became of an enqueued draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// A new message.
    New {
        /// Its id.
        id: String,
    },
    /// A message with the same idempotency key exists; nothing was written.
    Repeat {
        /// Its id.
        id: String,
    },
}

/// What became of a message whose sending failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It is sent again, not before this.
    RetryAt(Timestamp),
    /// It was the last try; a person can replay it with [`Outbox::retry`]. Raise an alarm.
    Failed,
    /// Its window is over or a newer message exists.
    Superseded,
}

/// The outbox. All methods take `&self`; one per control plane.
pub struct Outbox {
    control: Arc<Control>,
    epoch: u64,
    /// Whether the epoch is durable.
    claimed: AtomicBool,
    queue: Mutex<Queue>,
}

impl Outbox {
    /// Opens the outbox with a new epoch: what an earlier process was sending becomes leasable again.
    ///
    /// # Errors
    /// [`OutboxError::Control`].
    pub fn open(control: Arc<Control>) -> Result<Self, OutboxError> {
        let epoch = control.get::<u64>(Kind::Setting, EPOCH)?.unwrap_or(0).saturating_add(1);
        let claimed = match control.put(Kind::Setting, EPOCH, &epoch) {
            Ok(_) => true,
            // A disk that takes nothing must not keep anybody from reading. Nothing is sent before the epoch is durable.
            Err(ControlError::Log(error)) if error.is_retryable() => {
                tracing::warn!(%error, "the outbox sends nothing until the control log takes its epoch");
                false
            }
            Err(error) => return Err(error.into()),
        };
        let mut queue = Queue::default();
        let mut from = None;
        loop {
            let range = ScanRange { from: from.clone(), ..ScanRange::default() };
            let page: Vec<(String, Message)> = control.scan(Kind::Outbox, &range)?;
            let Some((last, _)) = page.last() else { break };
            // Keys are digits, so this is the first key after the last.
            from = Some(format!("{last}0"));
            page.into_iter().for_each(|(_, message)| queue.note(message));
        }
        Ok(Self { control, epoch, claimed: AtomicBool::new(claimed), queue: Mutex::new(queue) })
    }

    /// This opening's number.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes a message that may not go out yet; [`Outbox::approve`] lets it.
    ///
    /// # Errors
    /// [`OutboxError::Full`], [`OutboxError::Control`].
    pub fn plan(&self, draft: Draft, now: Timestamp) -> Result<Enqueued, OutboxError> {
        Ok(self.insert(vec![draft], Vec::new(), now, None)?.remove(0))
    }

    /// Queues a message together with its audit record. A draft with a known idempotency key is a no-op.
    ///
    /// # Errors
    /// [`OutboxError::Full`], [`OutboxError::Control`].
    pub fn enqueue(&self, draft: Draft, now: Timestamp, audit: AuditEntry) -> Result<Enqueued, OutboxError> {
        Ok(self.insert(vec![draft], Vec::new(), now, Some(audit))?.remove(0))
    }

    /// Queues messages, makes the changes `also` and writes the audit record: one record of the log, so a crash leaves
    /// all of it or nothing. Drafts with a known idempotency key add no message. Answers in the order of the drafts.
    ///
    /// # Errors
    /// [`OutboxError::Full`] (nothing was written), [`OutboxError::Control`].
    pub fn enqueue_with(
        &self,
        drafts: Vec<Draft>,
        also: Vec<Change>,
        now: Timestamp,
        audit: AuditEntry,
    ) -> Result<Vec<Enqueued>, OutboxError> {
        self.insert(drafts, also, now, Some(audit))
    }

    /// As many answers as drafts.
    fn insert(
        &self,
        drafts: Vec<Draft>,
        also: Vec<Change>,
        now: Timestamp,
        audit: Option<AuditEntry>,
    ) -> Result<Vec<Enqueued>, OutboxError> {
        let mut queue = self.queue();
        let state = if audit.is_some() { MessageState::Audited } else { MessageState::Planned };
        let (mut outcomes, mut fresh) = (Vec::new(), Vec::<Message>::new());
        for draft in drafts {
            let key = draft.idempotency_key();
            let same = |message: &&Message| message.idempotency_key == key;
            let known = queue.id_of(&key).or_else(|| fresh.iter().find(same).map(|message| message.id.clone()));
            if let Some(id) = known {
                outcomes.push(Enqueued::Repeat { id });
                continue;
            }
            let active = queue.active().len() + fresh.len();
            if active >= ACTIVE_MAX {
                return Err(OutboxError::Full { active, max: ACTIVE_MAX });
            }
            let message = Message::new(draft, key, queue.next_seq() + fresh.len() as u64, now, state);
            outcomes.push(Enqueued::New { id: message.id.clone() });
            fresh.push(message);
        }
        if fresh.is_empty() && also.is_empty() {
            return Ok(outcomes);
        }
        // Of two drafts for one target the lease finds the older outdated, so only what waits already is looked at.
        let overtaken = |message: &Message| queue.superseded_by(message, self.epoch);
        let mut changed: Vec<Message> =
            if audit.is_some() { fresh.iter().flat_map(overtaken).collect() } else { Vec::new() };
        changed.extend(fresh);
        self.write(&mut queue, changed, also, audit)?;
        Ok(outcomes)
    }

    /// Lets a planned message go out, together with its audit record.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`], [`OutboxError::WrongState`], [`OutboxError::Stale`], [`OutboxError::Control`].
    pub fn approve(&self, id: &str, now: Timestamp, audit: AuditEntry) -> Result<(), OutboxError> {
        let mut queue = self.queue();
        let mut message = self.in_state(&queue, id, MessageState::Planned)?;
        if message.is_stale(now) || queue.is_outdated(&message) {
            return Err(OutboxError::Stale { id: id.to_owned(), end: Timestamp(message.window_end) });
        }
        (message.state, message.next_at) = (MessageState::Audited, now.0);
        let mut changed = queue.superseded_by(&message, self.epoch);
        changed.push(message);
        self.write(&mut queue, changed, Vec::new(), Some(audit))
    }

    /// Takes up to `limit` messages of `topic` that are due, highest priority first, then oldest. Each must be answered
    /// by [`Outbox::ack`] or [`Outbox::nack`]. Messages that are overtaken are superseded on the way.
    ///
    /// # Errors
    /// [`OutboxError::Control`]; nothing is leased then.
    pub fn lease(&self, now: Timestamp, topic: &str, limit: usize) -> Result<Vec<Message>, OutboxError> {
        if !self.claimed.load(Ordering::Acquire) {
            self.control.put(Kind::Setting, EPOCH, &self.epoch)?;
            self.claimed.store(true, Ordering::Release);
        }
        let mut queue = self.queue();
        let (mut leased, mut changed) = (Vec::new(), Vec::new());
        for (mut message, verdict) in queue.judge(now, topic, self.epoch, limit.min(1000)) {
            match verdict {
                Verdict::Send => {
                    message.state = MessageState::Sending;
                    message.attempts += 1;
                    message.epoch = self.epoch;
                    leased.push(message.clone());
                }
                Verdict::Supersede(reason) => message.finish(MessageState::Superseded, reason),
                Verdict::GiveUp => message.finish(MessageState::Failed, "every try ended with a crash"),
            }
            changed.push(message);
        }
        if !changed.is_empty() {
            self.write(&mut queue, changed, Vec::new(), None)?;
        }
        Ok(leased)
    }

    /// The message took effect. Writes an audit record with the start of `response`.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`], [`OutboxError::WrongState`], [`OutboxError::LeaseOver`], [`OutboxError::Control`].
    pub fn ack(&self, id: &str, now: Timestamp, response: &str) -> Result<(), OutboxError> {
        let mut queue = self.queue();
        let mut message = self.leased(&queue, id)?;
        message.response = Some(cut(response));
        message.finish(MessageState::Delivered, "");
        let audit = message.audit(now, "deliver", "ok");
        self.write(&mut queue, vec![message], Vec::new(), Some(audit))
    }

    /// Sending failed or its outcome is unknown. `rand01` in `[0, 1)` spreads the next try.
    ///
    /// # Errors
    /// As [`Outbox::ack`].
    pub fn nack(&self, id: &str, now: Timestamp, why: &str, rand01: f64) -> Result<AfterFailure, OutboxError> {
        self.put_back(id, now, why, |attempts| backoff(attempts, rand01))
    }

    /// As [`Outbox::nack`], for a receiver that said when to come back (`Retry-After`); never later than [`PAUSE_MAX`].
    ///
    /// # Errors
    /// As [`Outbox::ack`].
    pub fn nack_for(&self, id: &str, now: Timestamp, why: &str, pause: Millis) -> Result<AfterFailure, OutboxError> {
        self.put_back(id, now, why, |_| pause.clamp(Millis(0), PAUSE_MAX))
    }

    /// The message was not sent at all: it is as before its lease, to be taken again after `pause` (at most
    /// [`PAUSE_MAX`]), and its tries are not fewer.
    ///
    /// # Errors
    /// As [`Outbox::ack`].
    pub fn put_off(&self, id: &str, now: Timestamp, pause: Millis) -> Result<(), OutboxError> {
        let mut queue = self.queue();
        let mut message = self.leased(&queue, id)?;
        message.state = MessageState::Audited;
        message.attempts = message.attempts.saturating_sub(1);
        message.next_at = (now + pause.clamp(Millis(0), PAUSE_MAX)).0;
        self.write(&mut queue, vec![message], Vec::new(), None)
    }

    /// The receiver refused for good: no further try, a dead letter that [`Outbox::retry`] can replay.
    ///
    /// # Errors
    /// As [`Outbox::ack`].
    pub fn fail(&self, id: &str, now: Timestamp, why: &str) -> Result<(), OutboxError> {
        let mut queue = self.queue();
        let mut message = self.leased(&queue, id)?;
        message.finish(MessageState::Failed, &cut(why));
        let audit = message.audit(now, "give up", &cut(why));
        self.write(&mut queue, vec![message], Vec::new(), Some(audit))
    }

    fn put_back(
        &self,
        id: &str,
        now: Timestamp,
        why: &str,
        pause: impl FnOnce(u32) -> Millis,
    ) -> Result<AfterFailure, OutboxError> {
        let mut queue = self.queue();
        let mut message = self.leased(&queue, id)?;
        let (after, audit) = if queue.is_outdated(&message) || message.is_stale(now) {
            message.finish(MessageState::Superseded, &cut(why));
            (AfterFailure::Superseded, None)
        } else if message.attempts >= TRIES_MAX {
            message.finish(MessageState::Failed, &cut(why));
            (AfterFailure::Failed, Some(message.audit(now, "give up", &cut(why))))
        } else {
            let at = now + pause(message.attempts);
            (message.state, message.next_at) = (MessageState::Audited, at.0);
            message.last_error = Some(cut(why));
            (AfterFailure::RetryAt(at), None)
        };
        self.write(&mut queue, vec![message], Vec::new(), audit)?;
        Ok(after)
    }

    /// Replays a dead letter: its tries start anew, its idempotency key stays.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`], [`OutboxError::WrongState`], [`OutboxError::Stale`], [`OutboxError::Control`].
    pub fn retry(&self, id: &str, now: Timestamp, audit: AuditEntry) -> Result<(), OutboxError> {
        let mut queue = self.queue();
        let mut message = self.in_state(&queue, id, MessageState::Failed)?;
        if message.is_stale(now) || queue.is_outdated(&message) {
            return Err(OutboxError::Stale { id: id.to_owned(), end: Timestamp(message.window_end) });
        }
        (message.state, message.attempts, message.next_at) = (MessageState::Audited, 0, now.0);
        self.write(&mut queue, vec![message], Vec::new(), Some(audit))
    }

    /// Supersedes what waits, for whatever topic, and may no longer be sent: so a receiver that was taken out of the
    /// configuration leaves nothing behind. At most 1,000 messages a call. Answers how many.
    ///
    /// # Errors
    /// [`OutboxError::Control`].
    pub fn expire(&self, now: Timestamp) -> Result<usize, OutboxError> {
        let mut queue = self.queue();
        let due = queue.active().values().filter(|message| message.is_stale(now));
        let idle = due.filter(|message| message.state != MessageState::Sending || message.epoch != self.epoch);
        let mut changed: Vec<Message> = idle.take(1000).cloned().collect();
        changed.iter_mut().for_each(|message| message.finish(MessageState::Superseded, queue::WINDOW_OVER));
        let expired = changed.len();
        if expired > 0 {
            self.write(&mut queue, changed, Vec::new(), None)?;
        }
        Ok(expired)
    }

    /// A message in any state.
    ///
    /// # Errors
    /// [`OutboxError::Control`].
    pub fn get(&self, id: &str) -> Result<Option<Message>, OutboxError> {
        Ok(self.control.get(Kind::Outbox, id)?)
    }

    /// The newest messages in `state` among the last 10,000, newest first.
    ///
    /// # Errors
    /// [`OutboxError::Control`].
    pub fn newest(&self, state: MessageState, limit: usize) -> Result<Vec<Message>, OutboxError> {
        let all: Vec<(String, Message)> = self.control.scan(Kind::Outbox, &ScanRange::newest(10_000))?;
        Ok(all.into_iter().map(|(_, message)| message).filter(|message| message.state == state).take(limit).collect())
    }

    /// How many messages are planned, audited or being sent.
    pub fn active(&self) -> usize {
        self.queue().active().len()
    }

    /// One record: the messages' new states, the caller's changes and the audit entry. Memory follows the disk.
    fn write(
        &self,
        queue: &mut Queue,
        changed: Vec<Message>,
        also: Vec<Change>,
        audit: Option<AuditEntry>,
    ) -> Result<(), OutboxError> {
        let mut changes = also;
        for message in &changed {
            changes.push(Change::put(Kind::Outbox, &message.id, message)?);
        }
        self.control.apply(changes, audit)?;
        changed.into_iter().for_each(|message| queue.note(message));
        self.trim(queue)
    }

    /// Removes the oldest finished messages, some at a time.
    fn trim(&self, queue: &mut Queue) -> Result<(), OutboxError> {
        let finished = self.control.count(Kind::Outbox)?.saturating_sub(queue.active().len() as u64);
        if finished <= FINISHED_MAX + FINISHED_MAX / 10 {
            return Ok(());
        }
        let limit = usize::try_from(finished - FINISHED_MAX).unwrap_or(5000) + queue.active().len();
        let oldest: Vec<(String, Message)> =
            self.control.scan(Kind::Outbox, &ScanRange { limit, ..ScanRange::default() })?;
        let due: Vec<_> = oldest.into_iter().map(|(_, message)| message).filter(|m| !m.state.is_active()).collect();
        let due = &due[..due.len().min(5000)];
        self.control.apply(due.iter().map(|message| Change::delete(Kind::Outbox, &message.id)).collect(), None)?;
        due.iter().for_each(|message| queue.forget(message));
        Ok(())
    }

    fn in_state(&self, queue: &Queue, id: &str, needed: MessageState) -> Result<Message, OutboxError> {
        let message = match queue.active().get(id) {
            Some(message) => message.clone(),
            None => self.get(id)?.ok_or_else(|| OutboxError::Unknown { id: id.to_owned() })?,
        };
        if message.state == needed {
            return Ok(message);
        }
        Err(OutboxError::WrongState { id: id.to_owned(), is: message.state, needed })
    }

    fn leased(&self, queue: &Queue, id: &str) -> Result<Message, OutboxError> {
        let message = self.in_state(queue, id, MessageState::Sending)?;
        if message.epoch == self.epoch {
            return Ok(message);
        }
        Err(OutboxError::LeaseOver { id: id.to_owned(), leased: message.epoch, now: self.epoch })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pause after the `attempts`-th failed try: 1 s · 2^(attempts − 1), up to half of it more by chance, at most 5 minutes.
fn backoff(attempts: u32, rand01: f64) -> Millis {
    let base = 1000_i64 << attempts.saturating_sub(1).min(20);
    let spread = if rand01.is_finite() { rand01.clamp(0.0, 1.0) } else { 0.0 };
    Millis((base + (base as f64 * 0.5 * spread) as i64).min(BACKOFF_MAX.0))
}

/// The start of a text, at a character's edge.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
