//! A circuit breaker without a clock of its own: closed, open, half-open.
//!
//! ```text
//!  closed ── failures in a row ──▶ open ── pause over ──▶ half-open (one probe)
//!    ▲                              ▲ pause doubles            │ fails
//!    └──────── probe succeeds ──────┴──────────────────────────┘
//! ```

use series::{Millis, Timestamp};

/// When to open and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; at least one.
    pub failures: u32,
    /// First pause; doubles with every failed probe.
    pub pause: Millis,
    /// Longest pause.
    pub longest_pause: Millis,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, pause: Millis::from_secs(30), longest_pause: Millis::from_mins(5) }
    }
}

/// Where a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes until the pause is over.
    Open {
        /// When it opened.
        since: Timestamp,
        /// How long it stays so.
        pause: Millis,
    },
    /// One probe is under way.
    HalfOpen {
        /// When the probe left.
        since: Timestamp,
        /// The pause that led here.
        pause: Millis,
    },
}

/// The breaker of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    settings: BreakerSettings,
    state: BreakerState,
    failures: u32,
}

impl Breaker {
    /// A closed breaker.
    pub const fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed, failures: 0 }
    }

    /// Where it is.
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Asks to pass. Each `Ok` must be followed by one [`Breaker::record`]; a probe that never reports is given up
    /// after one pause, so a crash between the two does not lock the endpoint out.
    ///
    /// # Errors
    /// The span until a probe is allowed.
    pub fn check(&mut self, now: Timestamp) -> Result<(), Millis> {
        match self.state {
            BreakerState::Closed => Ok(()),
            BreakerState::Open { since, pause } | BreakerState::HalfOpen { since, pause } => {
                // A clock that steps back would pause for ever: it counts as no time passed, from here on.
                if now < since {
                    self.state = match self.state {
                        BreakerState::HalfOpen { .. } => BreakerState::HalfOpen { since: now, pause },
                        _ => BreakerState::Open { since: now, pause },
                    };
                    return Err(pause);
                }
                let waited = now - since;
                if waited < pause {
                    return Err(Millis(pause.0 - waited.0));
                }
                self.state = BreakerState::HalfOpen { since: now, pause };
                Ok(())
            }
        }
    }

    /// Reports how a passage went.
    pub fn record(&mut self, now: Timestamp, succeeded: bool) {
        if succeeded {
            (self.state, self.failures) = (BreakerState::Closed, 0);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        match self.state {
            BreakerState::Closed if self.failures >= self.settings.failures.max(1) => {
                self.state = BreakerState::Open { since: now, pause: Millis(self.settings.pause.0.max(1)) };
            }
            BreakerState::HalfOpen { pause, .. } => {
                let longest = self.settings.longest_pause.0.max(pause.0);
                self.state = BreakerState::Open { since: now, pause: Millis(pause.0.saturating_mul(2).min(longest)) };
            }
            // A straggler from before it opened says nothing new.
            BreakerState::Closed | BreakerState::Open { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(BreakerSettings { failures: 3, ..BreakerSettings::default() });
        for _ in 0..3 {
            assert_eq!(breaker.check(START), Ok(()));
            breaker.record(START, false);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut breaker = Breaker::new(BreakerSettings { failures: 3, ..BreakerSettings::default() });
        for succeeded in [false, false, true, false, false] {
            breaker.record(START, succeeded);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(opened().check(START + Millis(1000)), Err(Millis(29_000)));
    }

    #[test]
    fn one_probe_decides() {
        let mut breaker = opened();
        let later = START + Millis::from_secs(30);
        assert_eq!(breaker.check(later), Ok(()));
        assert!(breaker.check(later).is_err(), "one probe at a time");
        breaker.record(later, false);
        assert_eq!(breaker.check(later), Err(Millis::from_secs(60)), "the pause doubles");
        let much_later = later + Millis::from_secs(60);
        assert_eq!(breaker.check(much_later), Ok(()));
        breaker.record(much_later, true);
        assert_eq!((breaker.state(), breaker.check(much_later)), (BreakerState::Closed, Ok(())));
    }

    #[test]
    fn the_pause_has_an_end_and_a_lost_probe_is_given_up() {
        let (mut breaker, mut now) = (opened(), START);
        for _ in 0..20 {
            let wait = breaker.check(now).err().unwrap_or_default();
            assert!(wait <= Millis::from_mins(5));
            now = now + wait;
            let _ = breaker.check(now);
            breaker.record(now, false);
        }
        let wait = breaker.check(now).err().unwrap_or_default();
        now = now + wait;
        assert_eq!(breaker.check(now), Ok(()));
        assert!(breaker.check(now + Millis::from_mins(5)).is_ok(), "the probe never reported");
    }

    #[test]
    fn a_clock_that_steps_back_waits_one_pause() {
        let mut breaker = opened();
        let before = START - Millis::from_hours(5);
        assert_eq!(breaker.check(before), Err(Millis::from_secs(30)));
        assert_eq!(breaker.check(before + Millis::from_secs(30)), Ok(()));
    }
}
