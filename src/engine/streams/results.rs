//! What the standing queries said and nobody has kept yet.
//!
//! Results are kept until store and control log have taken them: the state behind them has moved on, so what is dropped
//! here is said never again. Nothing new is pushed meanwhile, which bounds them to what one push says.

use series::Batch;
use stream::{Emission, Event};

/// Results on their way into the store and the control log.
#[derive(Default)]
pub(super) struct Results {
    samples: Batch,
    /// Newest last; taken from the front.
    events: Vec<Event>,
}

impl Results {
    /// Takes what one push or tick said.
    pub(super) fn take(&mut self, said: Vec<Emission>) {
        for emission in said {
            match emission {
                Emission::Sample { labels, at, value } => {
                    // One push says megabytes at most; 4 GiB of labels would be a fault of this program.
                    if self.samples.begin_labels(&labels).is_ok() {
                        self.samples.push(at, value);
                    }
                }
                Emission::Event(event) => self.events.push(event),
            }
        }
    }

    /// Whether everything is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.events.is_empty()
    }

    /// Hands everything to `write` and `record`; what they do not take stays for the next call.
    pub(super) fn settle<E>(
        &mut self,
        write: impl FnOnce(Batch) -> Result<(), E>,
        mut record: impl FnMut(&Event) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.samples.is_empty() {
            write(self.samples.clone())?;
            self.samples.clear();
        }
        let mut recorded = 0;
        let outcome = self.events.iter().try_for_each(|event| record(event).map(|()| recorded += 1));
        self.events.drain(..recorded);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::{Labels, Timestamp};
    use stream::EventKind;

    fn event(id: &str) -> Emission {
        Emission::Event(Event {
            id: id.into(),
            stream: "s".into(),
            kind: EventKind::Spike,
            labels: Labels::empty(),
            start: Timestamp(1),
            end: None,
            score: 1.0,
            expected: 1.0,
            seen: 2.0,
            change_point: None,
            message: String::new(),
            query: String::new(),
        })
    }

    #[test]
    fn what_is_not_taken_stays_and_is_not_said_twice() {
        let labels = Labels::from_pairs([("__name__", "r")]).expect("valid");
        let mut results = Results::default();
        results.take(vec![event("a"), Emission::Sample { labels, at: Timestamp(5), value: 1.0 }, event("b")]);
        assert_eq!(results.settle(|_| Err("disk full"), |_| Ok(())), Err("disk full"));
        let mut written = 0;
        let no_b = |event: &Event| if event.id == "b" { Err("disk full") } else { Ok(()) };
        let outcome = results.settle(
            |batch| {
                written += batch.n_samples();
                Ok(())
            },
            no_b,
        );
        assert_eq!((outcome, written, results.is_empty()), (Err("disk full"), 1, false));
        let mut recorded = Vec::new();
        let outcome = results.settle::<&str>(
            |_| panic!("samples were taken before"),
            |event| {
                recorded.push(event.id.clone());
                Ok(())
            },
        );
        assert_eq!((outcome, recorded, results.is_empty()), (Ok(()), vec!["b".to_owned()], true));
    }
}
