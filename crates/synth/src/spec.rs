//! What to generate, and when that is refused.

use series::{Millis, Step, Timestamp};

/// Longest trace in days.
const DAYS_MAX: u32 = 400;
/// Most steps of a trace.
const STEPS_MAX: i64 = 1_000_000;
/// Longest step: windows of `rate(…[5m])` must hold two samples.
const STEP_MAX: Millis = Millis::from_mins(2);

/// Size and seed of a trace. The same spec gives the same bits on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSpec {
    /// Any number; other seeds give other noise, times and sizes of past events. The story at the end stays.
    pub seed: u64,
    /// Start of the trace; the first scrape is one step later.
    pub start: Timestamp,
    /// Length in days of 24 hours, 1 to 400. Event offsets count from the end, so 14 days hold the whole story.
    pub days: u32,
    /// Distance of scrapes, 1 s to 2 min. Must divide a day.
    pub step: Step,
}

/// Why a fleet cannot be made or scraped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SynthError {
    /// Too few or too many days.
    #[error("a trace has 1 to {limit} days, not {days}")]
    Days {
        /// Days asked for.
        days: u32,
        /// Most days.
        limit: u32,
    },
    /// A step that does not fit.
    #[error("a step of {step} does not fit; take one from 1s to 2m that divides a day, such as 15s, 1m or 2m")]
    Step {
        /// Step asked for.
        step: Millis,
    },
    /// Too many steps.
    #[error("{days} days of {step} are {steps} scrapes, more than the limit of {limit}; take a longer step")]
    TooLong {
        /// Days asked for.
        days: u32,
        /// Step asked for.
        step: Millis,
        /// Scrapes they would make.
        steps: i64,
        /// Most scrapes.
        limit: i64,
    },
    /// A start that leaves no room for the end.
    #[error("start {0} is out of range; take a time within 10,000 years of 1970")]
    Start(Timestamp),
    /// Labels are not valid; a fault of the catalogue.
    #[error(transparent)]
    Labels(#[from] series::LabelError),
    /// The batch cannot hold another scrape.
    #[error(transparent)]
    Batch(#[from] series::BatchTooLarge),
}

impl FleetSpec {
    /// Seed 42, 14 days, a scrape each 2 minutes, ending at `end` floored to a minute.
    pub fn ending_at(end: Timestamp) -> Self {
        let end = end.floor(Step::from_secs(60));
        Self { seed: 42, start: end - Millis::from_days(14), days: 14, step: Step::from_secs(120) }
    }

    /// The end of the trace: the time of its last scrape.
    pub fn end(&self) -> Timestamp {
        self.start + Millis::from_days(i64::from(self.days))
    }

    /// Scrapes from the start to the end.
    pub fn n_steps(&self) -> u64 {
        ((self.end() - self.start).0 / self.step.millis()).unsigned_abs()
    }

    /// # Errors
    /// All but the last two of [`SynthError`].
    pub(crate) fn check(&self) -> Result<(), SynthError> {
        let (days, step) = (self.days, Millis(self.step.millis()));
        if days == 0 || days > DAYS_MAX {
            return Err(SynthError::Days { days, limit: DAYS_MAX });
        }
        if step < Millis::from_secs(1) || step > STEP_MAX || Millis::from_days(1).0 % step.0 != 0 {
            return Err(SynthError::Step { step });
        }
        let steps = Millis::from_days(i64::from(days)).0 / step.0;
        if steps > STEPS_MAX {
            return Err(SynthError::TooLong { days, step, steps, limit: STEPS_MAX });
        }
        if self.start.0.unsigned_abs() > 10_000 * 366 * 86_400_000 {
            return Err(SynthError::Start(self.start));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_out_of_bounds_is_refused_with_the_numbers() {
        let good = FleetSpec::ending_at(Timestamp(1_795_244_846_123));
        assert_eq!(good.check(), Ok(()));
        assert_eq!((good.n_steps(), good.end().0 % 60_000), (10_080, 0));
        for (spec, message) in [
            (FleetSpec { days: 0, ..good.clone() }, "a trace has 1 to 400 days, not 0"),
            (FleetSpec { step: Step::from_secs(7), ..good.clone() }, "a step of 7s does not fit"),
            (FleetSpec { step: Step::from_secs(600), ..good.clone() }, "a step of 10m does not fit"),
            (FleetSpec { step: Step::from_secs(1), ..good.clone() }, "14 days of 1s are 1209600 scrapes"),
            (FleetSpec { start: Timestamp(i64::MAX), ..good.clone() }, "start "),
        ] {
            let error = spec.check().expect_err(message).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
