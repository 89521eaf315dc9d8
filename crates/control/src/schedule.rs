//! When something runs: cron expressions and intervals, in a time zone, without a clock of its own.
//!
//! | text | meaning |
//! | --- | --- |
//! | `every 5m`, `@every 90s` | each multiple of the interval since the epoch, UTC |
//! | `@hourly` `@daily` `@midnight` `@weekly` `@monthly` `@yearly` `@annually` | as in cron |
//! | `30 9 * * MON-FRI` | minute, hour, day of month, month, day of week |
//! | `15 30 9 * * MON-FRI` | the same with seconds first |
//!
//! Cron times are wall-clock times of the zone: a time that the clock skips in spring runs right after the gap, as croner
//! has it. Missed runs collapse into one (see [`Timer`]).

use std::fmt;

use chrono::DateTime;
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use series::{Millis, Timestamp};

const INTERVAL_MIN: Millis = Millis::from_secs(1);
const INTERVAL_MAX: Millis = Millis::from_days(366);
/// Missed runs are counted up to this many.
const MISSED_MAX: u64 = 1000;
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of month", "month", "day of week"];

/// A parsed schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    zone: Tz,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Every(Millis),
    Cron(Box<Cron>),
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// One field of a cron expression is wrong.
    #[error("`{value}` is no {field} in the schedule `{text}`: {reason}")]
    Field {
        /// The whole text.
        text: String,
        /// Which field: `minute`, `day of week`, …
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has another number of fields, or an unknown form.
    #[error("`{text}` is no schedule: {reason}; write for instance `every 5m`, `@hourly` or `30 9 * * MON-FRI`")]
    Form {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The time zone is unknown.
    #[error("`{zone}` is no time zone; write for instance Europe/Berlin or UTC")]
    Zone {
        /// What was given.
        zone: String,
    },
}

impl Schedule {
    /// Parses `text` for the IANA time zone `zone` (`"UTC"` if in doubt).
    ///
    /// # Errors
    /// [`ScheduleError`] names the field. A schedule that never comes (30 February) is refused.
    pub fn parse(text: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone: Tz = zone.parse().map_err(|_| ScheduleError::Zone { zone: zone.to_owned() })?;
        let text = text.trim();
        let interval = text.strip_prefix("every ").or_else(|| text.strip_prefix("@every "));
        let rule = match interval {
            Some(interval) => Rule::Every(parse_interval(text, interval.trim())?),
            None => Rule::Cron(Box::new(parse_cron(text)?)),
        };
        let schedule = Self { text: text.to_owned(), zone, rule };
        // 2000-01-01: a leap year, so that 29 February comes soon.
        if schedule.next_after(Timestamp(946_684_800_000)).is_none() {
            return Err(form(text, "it never comes"));
        }
        Ok(schedule)
    }

    /// The first time strictly after `at`; `None` beyond the calendar.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(interval) => at.0.div_euclid(interval.0).checked_add(1)?.checked_mul(interval.0).map(Timestamp),
            Rule::Cron(cron) => {
                let next = cron.find_next_occurrence(&self.local(at)?, false).ok()?;
                Some(Timestamp(next.timestamp_millis())).filter(|next| *next > at)
            }
        }
    }

    /// The last time at or before `at`.
    pub fn last_at(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(interval) => at.0.div_euclid(interval.0).checked_mul(interval.0).map(Timestamp),
            Rule::Cron(cron) => {
                let last = cron.find_previous_occurrence(&self.local(at)?, true).ok()?;
                Some(Timestamp(last.timestamp_millis().div_euclid(1000) * 1000)).filter(|last| *last <= at)
            }
        }
    }

    fn local(&self, at: Timestamp) -> Option<DateTime<Tz>> {
        Some(DateTime::from_timestamp_millis(at.0)?.with_timezone(&self.zone))
    }
}

/// The text it was parsed from, and its zone unless that is UTC.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            Tz::UTC => f.write_str(&self.text),
            zone => write!(f, "{} ({zone})", self.text),
        }
    }
}

/// A run that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The scheduled time it stands for: the last one at or before now.
    pub scheduled: Timestamp,
    /// Earlier times that were missed (the process slept or was down) and are not made up for; at most 1,000.
    pub missed: u64,
}

/// Follows a schedule through polls at any pace, across restarts and steps of the clock.
///
/// After a pause one run is due, not one for each missed time. When the clock steps back, times that come again are due
/// again (what they cause must be keyed by the scheduled time); when it steps forward, what lies between collapses.
#[derive(Debug, Clone)]
pub struct Timer {
    schedule: Schedule,
    next: Option<Timestamp>,
    seen: Timestamp,
}

impl Timer {
    /// A timer whose last run was scheduled for `last_run`; `None`: the first run is the next scheduled time after `now`.
    pub fn new(schedule: Schedule, last_run: Option<Timestamp>, now: Timestamp) -> Self {
        // A last run in the future was written by a clock that has stepped back since.
        let from = last_run.unwrap_or(now).min(now);
        let next = schedule.next_after(from);
        Self { schedule, next, seen: now }
    }

    /// When it is due next.
    pub fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// What it follows.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Whether a run is due.
    pub fn poll(&mut self, now: Timestamp) -> Option<Due> {
        if now < self.seen {
            self.next = self.schedule.next_after(now);
        }
        self.seen = now;
        let first = self.next.filter(|next| *next <= now)?;
        let scheduled = self.schedule.last_at(now).unwrap_or(first).max(first);
        let mut missed = 0;
        let mut at = first;
        while at < scheduled && missed < MISSED_MAX {
            missed += 1;
            match self.schedule.next_after(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        self.next = self.schedule.next_after(now);
        Some(Due { scheduled, missed })
    }
}

fn parse_interval(text: &str, interval: &str) -> Result<Millis, ScheduleError> {
    let interval = Millis::parse(interval).map_err(|error| form(text, &error.to_string()))?;
    if interval < INTERVAL_MIN || interval > INTERVAL_MAX {
        return Err(form(text, &format!("{interval} is outside {INTERVAL_MIN} to {INTERVAL_MAX}")));
    }
    Ok(interval)
}

fn parse_cron(text: &str) -> Result<Cron, ScheduleError> {
    let expression = match text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        other if other.starts_with('@') => return Err(form(text, "no such name")),
        _ => text,
    };
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        return Err(form(text, &format!("{} fields where 5 or 6 should be", fields.len())));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let whole = |error: croner::errors::CronError| form(text, &error.to_string());
    for (index, field) in fields.iter().enumerate() {
        // Alone among stars, so that the fault is this field's.
        let mut alone = vec!["*"; fields.len()];
        alone[index] = field;
        if let Err(error) = parser.parse(&alone.join(" ")) {
            let name = FIELDS[index + FIELDS.len() - fields.len()];
            let (value, reason) = ((*field).to_owned(), error.to_string());
            return Err(ScheduleError::Field { text: text.to_owned(), field: name, value, reason });
        }
    }
    parser.parse(expression).map_err(whole)
}

fn form(text: &str, reason: &str) -> ScheduleError {
    ScheduleError::Form { text: text.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
