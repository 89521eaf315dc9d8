//! A token bucket without a clock of its own.

use series::{Millis, Timestamp};

/// Allows `burst` at once and `per_second` in the long run.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    last: Option<Timestamp>,
}

impl TokenBucket {
    /// A full bucket. A rate that is not positive never refills; a burst below one is one.
    pub fn new(per_second: f64, burst: f64) -> Self {
        let burst = if burst.is_finite() { burst.max(1.0) } else { 1.0 };
        let per_second = if per_second.is_finite() { per_second.max(0.0) } else { 0.0 };
        Self { per_second, burst, tokens: burst, last: None }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The span until one is there. A clock that steps back refills nothing.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Millis> {
        let passed = self.last.map_or(0.0, |last| (now - last).as_secs_f64().max(0.0));
        self.last = Some(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait_secs = (1.0 - self.tokens) / self.per_second;
        // A rate of zero waits for ever; a day is long enough to say so.
        Err(Millis((wait_secs * 1000.0).ceil().clamp(1.0, 86_400_000.0) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_spent_and_refilled() {
        let mut bucket = TokenBucket::new(5.0, 10.0);
        let start = Timestamp(1_000_000);
        assert_eq!((0..12).filter(|_| bucket.take(start).is_ok()).count(), 10);
        assert_eq!(bucket.take(start), Err(Millis(200)));
        assert_eq!(bucket.take(start + Millis(200)), Ok(()));
        assert!(bucket.take(start - Millis(60_000)).is_err(), "stepping back refills nothing");
        assert!(bucket.take(start - Millis(59_000)).is_ok(), "time passes from there");
    }

    #[test]
    fn broken_settings_are_strict() {
        let mut bucket = TokenBucket::new(f64::NAN, f64::NAN);
        assert_eq!((bucket.take(Timestamp(0)), bucket.take(Timestamp(0))), (Ok(()), Err(Millis(86_400_000))));
    }
}
