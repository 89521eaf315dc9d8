//! What became of leased messages, kept until the outbox has taken it.
//!
//! An answer that the outbox cannot write (the disk is full) must not be forgotten: the outbox waits for it and holds
//! back everything else for the same target.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actuate::Retry;
use control::outbox::OutboxError;
use series::Millis;

/// Whether the outbox took an answer.
pub(super) type Given = Result<(), OutboxError>;

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took effect.
    Delivered(String),
    /// It is to be tried again, after the receiver's pause or after our own.
    Again(String, Option<Millis>),
    /// It was not tried, and may be after a pause.
    Held(Millis),
    /// It was refused for good.
    Refused(String),
}

/// Answers that the outbox has not taken yet, by message; bounded by what is leased at a time.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<BTreeMap<String, Answer>>);

impl Answer {
    /// What a failure means for the next try.
    pub(super) fn of_failure(why: &str, retry: Retry) -> Self {
        match retry {
            Retry::Never => Self::Refused(why.to_owned()),
            Retry::Backoff => Self::Again(why.to_owned(), None),
            Retry::After(pause) => Self::Again(why.to_owned(), Some(pause)),
            Retry::Held(pause) => Self::Held(pause),
        }
    }
}

impl Answers {
    /// Keeps the answer for a message, in place of an earlier one.
    pub(super) fn note(&self, id: &str, answer: Answer) {
        self.waiting().insert(id.to_owned(), answer);
    }

    /// Gives the answer for one message. If it cannot be written, it stays for [`Answers::settle`]; if nobody waits for it
    /// any more, it is dropped.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(super) fn settle_one(&self, id: &str, give: impl Fn(&str, &Answer) -> Given) -> Given {
        let Some(answer) = self.waiting().remove(id) else { return Ok(()) };
        match give(id, &answer) {
            Err(err @ OutboxError::Control(_)) => {
                self.note(id, answer);
                Err(err)
            }
            Err(err) => {
                tracing::warn!(%id, %err, "nobody waits for this answer any more");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Gives every answer; one that cannot be written does not stop the others.
    ///
    /// # Errors
    /// Why the first that failed could not be written.
    pub(super) fn settle(&self, give: impl Fn(&str, &Answer) -> Given) -> Given {
        let ids: Vec<String> = self.waiting().keys().cloned().collect();
        let mut outcome = Ok(());
        for id in ids {
            outcome = outcome.and(self.settle_one(&id, &give));
        }
        outcome
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, Answer>> {
        // Whatever a thread that died noted is still to be given.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_by_disk() -> OutboxError {
        OutboxError::Control(control::ControlError::KeyLength { bytes: 0, max: 1 })
    }

    #[test]
    fn an_answer_that_cannot_be_written_is_given_again_and_holds_up_no_other() {
        let answers = Answers::default();
        answers.note("1", Answer::Delivered("ok".into()));
        answers.note("2", Answer::of_failure("down", Retry::Backoff));
        answers.note("3", Answer::of_failure("no", Retry::Never));
        let seen = Mutex::new(Vec::new());
        let give = |id: &str, failing: &str| {
            seen.lock().expect("one thread").push(id.to_owned());
            if id == failing { Err(refused_by_disk()) } else { Ok(()) }
        };
        assert!(answers.settle(|id, _| give(id, "1")).is_err());
        assert!(
            answers
                .settle(|id, answer| {
                    assert_eq!(*answer, Answer::Delivered("ok".into()));
                    give(id, "")
                })
                .is_ok()
        );
        answers.settle(|id, _| give(id, "")).expect("nothing is left");
        assert_eq!(*seen.lock().expect("one thread"), ["1", "2", "3", "1"]);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_dropped() {
        let answers = Answers::default();
        answers.note("1", Answer::Delivered("ok".into()));
        answers.settle(|id, _| Err(OutboxError::Unknown { id: id.into() })).expect("dropped");
        answers.settle(|_, _| Err(refused_by_disk())).expect("nothing is left");
    }
}
