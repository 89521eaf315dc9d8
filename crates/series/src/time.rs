//! Time inside the product: milliseconds since the Unix epoch, UTC, and spans of milliseconds.

use std::fmt;
use std::ops::{Add, Sub};

/// Milliseconds since the Unix epoch, UTC. The only time unit inside the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

/// A signed span of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Millis(pub i64);

/// Half-open `[start, end)`. An empty range (`start >= end`) selects nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

/// Distance of two grid points, always positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Step(i64);

impl Timestamp {
    /// The earliest representable instant.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest representable instant.
    pub const MAX: Self = Self(i64::MAX);

    /// Seconds since the epoch, as the Prometheus API shows them.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The largest multiple of `step` (counted from the epoch) that is not after `self`.
    pub fn floor(self, step: Step) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(step.0)))
    }
}

impl Millis {
    /// From whole seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1000)
    }

    /// From whole minutes.
    pub const fn from_mins(mins: i64) -> Self {
        Self(mins * 60_000)
    }

    /// From whole hours.
    pub const fn from_hours(hours: i64) -> Self {
        Self(hours * 3_600_000)
    }

    /// From whole days of 24 hours.
    pub const fn from_days(days: i64) -> Self {
        Self(days * 86_400_000)
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// Parses Prometheus' duration syntax: `1h30m`, `15s`, `250ms`, `14d`, `2w`, `1y`; units in falling order, each once.
    ///
    /// # Errors
    /// [`DurationParseError`] names the text; an empty text, a missing unit, a repeated or rising unit and overflow fail.
    pub fn parse(text: &str) -> Result<Self, DurationParseError> {
        parse_duration(text).map(Self).ok_or_else(|| DurationParseError(text.to_owned()))
    }
}

impl TimeRange {
    /// The range `[start, end)`.
    pub const fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start, end }
    }

    /// Everything representable.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };

    /// Whether `at` lies inside.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether nothing lies inside.
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether a closed run of samples `[first, last]` has a part inside.
    pub fn overlaps(self, first: Timestamp, last: Timestamp) -> bool {
        first < self.end && self.start <= last
    }
}

impl Step {
    /// A step of `millis`, or `None` unless it is positive.
    pub const fn new(millis: i64) -> Option<Self> {
        if millis > 0 { Some(Self(millis)) } else { None }
    }

    /// A step of whole seconds; zero becomes one millisecond so that a step is never empty.
    pub const fn from_secs(secs: u32) -> Self {
        let millis = secs as i64 * 1000;
        Self(if millis > 0 { millis } else { 1 })
    }

    /// In milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;
    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;
    fn sub(self, span: Millis) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;
    fn sub(self, other: Self) -> Millis {
        Millis(self.0.saturating_sub(other.0))
    }
}

/// Prometheus notation, largest unit first: `1d2h`, `90s` becomes `1m30s`, zero is `0s`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

/// RFC 3339 in UTC with milliseconds, `2026-11-21T07:07:26.000Z`; years beyond four digits print as plain milliseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400_000);
        let in_day = self.0.rem_euclid(86_400_000);
        if !(-719_468..=2_932_896).contains(&days) {
            return write!(f, "{}ms", self.0);
        }
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
        let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write for instance 30s, 5m, 1h30m or 14d")]
pub struct DurationParseError(pub String);

fn parse_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total, mut next_unit) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        let at = next_unit + UNITS[next_unit..].iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(number.checked_mul(UNITS[at].1)?)?;
        next_unit = at + 1;
        rest = &rest[digits + letters..];
    }
    (next_unit > 0).then_some(total)
}

/// Days since 1970-01-01 to a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_prometheus_syntax() {
        for (text, millis) in
            [("1h30m", 5_400_000), ("250ms", 250), ("2w", 14 * 86_400_000), ("1m5ms", 60_005), ("0", 0), ("0s", 0)]
        {
            assert_eq!(Millis::parse(text), Ok(Millis(millis)), "{text}");
        }
        for text in ["", "5", "m", "30m1h", "1m1m", "1.5h", "99999999999999999y", "-5m"] {
            assert!(Millis::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_print_in_the_syntax_they_are_parsed_from() {
        for text in ["1d2h", "1m30s", "250ms", "0s"] {
            assert_eq!(Millis::parse(text).map(|m| m.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn timestamps_print_as_rfc3339() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_795_244_846_123).to_string(), "2026-11-21T07:07:26.123Z");
        assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn floor_rounds_towards_the_past_on_both_sides_of_the_epoch() {
        let minute = Step::from_secs(60);
        assert_eq!(Timestamp(61_000).floor(minute), Timestamp(60_000));
        assert_eq!(Timestamp(-1).floor(minute), Timestamp(-60_000));
    }
}
