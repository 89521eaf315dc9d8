//! Zeros at the starts of counters: where a sender says when a counter began, its first rise is seen.
//!
//! ```text
//!   newest ●───────────○ start ─────● sample    start after the newest: a zero at the start, once
//!   newest ●──○ start ─┘                        inside what is known: nothing
//! ```
//!
//! A start also says nothing that helps when it lies further before its sample than late samples may come. Source:
//! Prometheus, "created-timestamp-zero-ingestion".

use series::{Millis, StartTime, Timestamp};

/// Starts that are looked at for one sample: a run may have as many samples as a request.
const LOOK_AHEAD: usize = 8;

/// The starts of one run, taken while its samples are gone through in order.
pub(crate) struct Starts<'a> {
    left: &'a [StartTime],
    /// Newest time of the series, that of the run's samples so far included.
    newest: Option<i64>,
    /// Furthest that a start may lie before its sample.
    window: Option<Millis>,
}

impl<'a> Starts<'a> {
    /// For a series whose newest sample is of `last`.
    pub(crate) fn new(starts: &'a [StartTime], last: Option<i64>, window: Option<Millis>) -> Self {
        Self { left: starts, newest: last, window }
    }

    /// Whether [`Starts::before`] might answer for any sample.
    pub(crate) fn any(&self) -> bool {
        self.left.iter().any(|one| self.is_news(*one))
    }

    /// Time of the zero that belongs before the sample at `at`. Asked for every sample of the run, also those that are
    /// refused: their starts are passed over.
    pub(crate) fn before(&mut self, at: i64) -> Option<Timestamp> {
        if self.left.is_empty() {
            return None;
        }
        // Starts come in the order of their samples; only a run of both kinds of samples has a few of the other kind between.
        let own = self.left.iter().take(LOOK_AHEAD).position(|one| one.at.0 == at).map(|place| {
            let one = self.left[place];
            self.left = &self.left[place + 1..];
            one
        });
        let zero = own.filter(|one| self.is_news(*one)).map(|one| one.start);
        self.newest = self.newest.max(Some(at));
        zero
    }

    fn is_news(&self, one: StartTime) -> bool {
        one.start < one.at
            && self.newest.is_none_or(|newest| newest < one.start.0)
            && self.window.is_none_or(|window| one.start.0 >= one.at.0.saturating_sub(window.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeros(last: Option<i64>, window: Option<i64>, starts: &[(i64, i64)], samples: &[i64]) -> Vec<Option<i64>> {
        let starts: Vec<_> =
            starts.iter().map(|&(at, start)| StartTime { at: Timestamp(at), start: Timestamp(start) }).collect();
        let mut starts = Starts::new(&starts, last, window.map(Millis));
        let any = starts.any();
        let zeros: Vec<_> = samples.iter().map(|&at| starts.before(at).map(|zero| zero.0)).collect();
        assert!(any || zeros.iter().all(Option::is_none));
        zeros
    }

    #[test]
    fn a_start_after_the_newest_sample_is_news() {
        assert_eq!(zeros(None, None, &[(10, 5)], &[10]), [Some(5)]);
        assert_eq!(zeros(Some(4), None, &[(10, 5)], &[10]), [Some(5)]);
        assert_eq!(zeros(Some(5), None, &[(10, 5)], &[10]), [None], "a sample of that time is there");
        assert_eq!(zeros(None, None, &[(10, 10)], &[10]), [None], "nothing between start and sample");
        assert_eq!(zeros(None, Some(4), &[(10, 5)], &[10]), [None], "further back than late samples may come");
    }

    #[test]
    fn a_run_is_gone_through_in_order() {
        let starts = [(10, 5), (30, 25), (50, 12)];
        assert_eq!(zeros(None, None, &starts, &[10, 20, 30, 40, 50]), [Some(5), None, Some(25), None, None]);
        assert_eq!(zeros(None, None, &starts, &[20, 30]), [None, Some(25)], "the first sample was refused");
    }
}
