//! How long samples and roll-ups are kept: a default a table, and rules for chosen series.
//!
//! Time is counted in whole UTC days: a day goes once all of it is older than its keep time. Roll-ups usually outlive the
//! samples they were made from; a pass that drops samples writes their roll-ups first.

use series::{LabelsRef, Matcher, Millis, Timestamp};

use crate::rows::DAY;

/// How long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Until the disk is full.
    #[default]
    Forever,
    /// This long after the sample's time, rounded up to a whole UTC day.
    For(Millis),
    /// Not at all: roll-ups that are not wanted.
    Never,
}

/// Keep times of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepTimes {
    /// Samples.
    pub raw: Keep,
    /// Roll-ups of five minutes.
    pub rollup_5m: Keep,
    /// Roll-ups of an hour.
    pub rollup_1h: Keep,
}

/// Keep times of the series that match all of `matchers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// Their keep times.
    pub times: KeepTimes,
}

/// Keep times of a store: the first rule that matches a series speaks for it, else the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Of series that no rule matches.
    pub times: KeepTimes,
    /// In order.
    pub rules: Vec<RetentionRule>,
}

impl Keep {
    /// Whether the UTC day that ends at `day_end` is over for this keep time.
    pub(crate) fn is_over(self, day_end: i64, now: Timestamp) -> bool {
        match self {
            Self::Forever => false,
            Self::Never => true,
            Self::For(span) => day_end <= now.0.saturating_sub(span.0),
        }
    }

    /// Start of the oldest day of which anything is kept, and how long that is.
    fn oldest(self, now: Timestamp) -> Option<(Timestamp, Millis)> {
        match self {
            Self::Forever | Self::Never => None,
            // The whole day in which the horizon lies is still kept.
            Self::For(span) => Some((Timestamp((now - span).0.div_euclid(DAY).saturating_mul(DAY)), span)),
        }
    }

    fn longest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, other) | (other, Self::Never) => other,
            (Self::For(a), Self::For(b)) => Self::For(a.max(b)),
            _ => Self::Forever,
        }
    }
}

impl KeepTimes {
    fn list(&self) -> [Keep; 3] {
        [self.raw, self.rollup_5m, self.rollup_1h]
    }
}

impl Retention {
    /// The keep times of a series.
    pub fn times_of(&self, labels: LabelsRef<'_>) -> KeepTimes {
        let rule = self.rules.iter().find(|rule| rule.matchers.iter().all(|matcher| matcher.matches_labels(labels)));
        rule.map_or(self.times, |rule| rule.times)
    }

    /// The longest keep time of samples, whatever their series.
    pub fn raw_longest(&self) -> Keep {
        self.rules.iter().fold(self.times.raw, |longest, rule| longest.longest(rule.times.raw))
    }

    /// Samples before this time are over for every series, with the keep time that says so.
    pub(crate) fn oldest_raw(&self, now: Timestamp) -> Option<(Timestamp, Millis)> {
        self.raw_longest().oldest(now)
    }

    /// The same for one series.
    pub(crate) fn oldest_raw_of(&self, labels: LabelsRef<'_>, now: Timestamp) -> Option<(Timestamp, Millis)> {
        self.times_of(labels).raw.oldest(now)
    }

    /// Samples from this time on are kept whatever their series; `None` where all are kept as long as the longest.
    pub(crate) fn kept_by_all(&self, now: Timestamp) -> Option<Timestamp> {
        let oldest = self.rules.iter().filter_map(|rule| rule.times.raw.oldest(now));
        oldest.chain(self.times.raw.oldest(now)).map(|(at, _)| at).max().filter(|_| !self.rules.is_empty())
    }

    /// How many different keep times the day that ends at `day_end` has outlived: when the number rises, the day has to be
    /// looked at again.
    pub(crate) fn passed(&self, day_end: i64, now: Timestamp) -> usize {
        let mut spans: Vec<i64> = std::iter::once(&self.times)
            .chain(self.rules.iter().map(|rule| &rule.times))
            .flat_map(KeepTimes::list)
            .filter_map(|keep| match keep {
                Keep::For(span) if keep.is_over(day_end, now) => Some(span.0),
                Keep::Never => Some(i64::MIN),
                _ => None,
            })
            .collect();
        spans.sort_unstable();
        spans.dedup();
        spans.len()
    }
}

/// `15d`, `unlimited` or `off`.
impl std::fmt::Display for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forever => f.write_str("unlimited"),
            Self::For(span) => write!(f, "{span}"),
            Self::Never => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use series::Labels;

    fn days(n: i64) -> Keep {
        Keep::For(Millis::from_days(n))
    }

    #[test]
    fn the_first_rule_that_matches_speaks() {
        let times = KeepTimes { raw: days(30), rollup_5m: days(400), rollup_1h: Keep::Forever };
        let short = KeepTimes { raw: days(7), ..times };
        let rule = RetentionRule { matchers: vec![Matcher::equal("env", "dev")], times: short };
        let retention = Retention { times, rules: vec![rule] };
        let dev = Labels::from_pairs([("__name__", "up"), ("env", "dev")]).expect("valid");
        let live = Labels::from_pairs([("__name__", "up"), ("env", "live")]).expect("valid");
        assert_eq!(retention.times_of(dev.as_ref()).raw, days(7));
        assert_eq!(retention.times_of(live.as_ref()).raw, days(30));
        assert_eq!(retention.raw_longest(), days(30));
        let now = Timestamp(100 * DAY + 5);
        assert_eq!([93, 94, 70, 71].map(|day| retention.passed(day * DAY, now)), [1, 0, 2, 1]);
        assert_eq!(retention.oldest_raw(now), Some((Timestamp(70 * DAY), Millis::from_days(30))));
        assert_eq!(Retention::default().oldest_raw(now), None);
        assert_eq!(retention.oldest_raw_of(dev.as_ref(), now), Some((Timestamp(93 * DAY), Millis::from_days(7))));
        assert_eq!(retention.kept_by_all(now), Some(Timestamp(93 * DAY)));
        assert_eq!(Retention { times, rules: Vec::new() }.kept_by_all(now), None);
    }

    #[test]
    fn a_day_is_over_when_all_of_it_is_older() {
        let now = Timestamp(10 * DAY);
        assert!(days(3).is_over(7 * DAY, now));
        assert!(!days(3).is_over(7 * DAY + 1, now));
        assert!(!Keep::Forever.is_over(i64::MIN, now) && Keep::Never.is_over(i64::MAX, now));
        assert_eq!(format!("{} {} {}", days(30), Keep::Forever, Keep::Never), "30d unlimited off");
    }
}
