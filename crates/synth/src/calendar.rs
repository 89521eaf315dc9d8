//! The shop's clock and its seasons.
//!
//! The clock is anchored at the end of the trace (16:40 on a Thursday), whatever the hour is in UTC: a demo started in the
//! morning must still have its evening peak ahead.

use series::{Millis, Timestamp};

/// Minutes past midnight in the shop at the end of the trace.
const END_MINUTE: i64 = 16 * 60 + 40;
/// Day of the week at the end of the trace, Monday = 0.
const END_WEEKDAY: i64 = 3;
/// Weekday factors change at this hour, in the nightly trough, so that no jump shows.
const DAY_BREAK_HOUR: i64 = 4;

/// When people come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Season {
    /// Shoppers: a small rise at noon, the peak at 20:00.
    Evening,
    /// Looking around: flatter, earlier.
    Browsing,
    /// Logins: mornings and evenings.
    Logins,
    /// Work done from 1:00 to 3:00.
    Nightly,
}

/// The shop's time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calendar {
    end: Timestamp,
}

impl Calendar {
    pub(crate) fn new(end: Timestamp) -> Self {
        Self { end }
    }

    /// Milliseconds since a Monday's midnight in the shop.
    fn in_week(self, at: Timestamp) -> i64 {
        let since = (at - self.end).0 + END_MINUTE * 60_000 + END_WEEKDAY * Millis::from_days(1).0;
        since.rem_euclid(Millis::from_days(7).0)
    }

    /// Hours since midnight, `[0, 24)`.
    pub(crate) fn hour(self, at: Timestamp) -> f64 {
        (self.in_week(at) % Millis::from_days(1).0) as f64 / 3_600_000.0
    }

    /// Monday = 0; the day lasts from 4:00 to 4:00.
    fn weekday(self, at: Timestamp) -> usize {
        (self.in_week(at - Millis::from_hours(DAY_BREAK_HOUR)) / Millis::from_days(1).0) as usize
    }

    /// Share of the peak at `at`: 1 at the peak of an average day.
    pub(crate) fn level(self, season: Season, at: Timestamp) -> f64 {
        smooth(season.hours(), self.hour(at)) * season.week()[self.weekday(at)]
    }

    /// How much of the week is over, `[0, 1)`; weeks end in the night after Sunday, at 4:00.
    pub(crate) fn week_share(self, at: Timestamp) -> f64 {
        self.in_week(at - Millis::from_hours(DAY_BREAK_HOUR)) as f64 / Millis::from_days(7).0 as f64
    }

    /// The instant of a shop hour, `days` days before the day of the end.
    pub(crate) fn back(self, days: i64, hour: f64) -> Timestamp {
        let minutes = (hour * 60.0).round() as i64 - END_MINUTE;
        self.end + Millis::from_mins(minutes) - Millis::from_days(days)
    }
}

impl Season {
    fn hours(self) -> &'static [f64; 24] {
        match self {
            Self::Evening => &[
                0.30, 0.20, 0.14, 0.11, 0.10, 0.12, 0.20, 0.33, 0.45, 0.53, 0.58, 0.62, 0.66, 0.64, 0.60, 0.59, 0.63,
                0.74, 0.87, 0.97, 1.00, 0.91, 0.71, 0.48,
            ],
            Self::Browsing => &[
                0.36, 0.26, 0.19, 0.15, 0.14, 0.16, 0.24, 0.38, 0.54, 0.66, 0.72, 0.75, 0.79, 0.77, 0.74, 0.74, 0.77,
                0.84, 0.92, 0.98, 1.00, 0.93, 0.76, 0.54,
            ],
            Self::Logins => &[
                0.22, 0.15, 0.11, 0.10, 0.12, 0.22, 0.46, 0.78, 0.92, 0.84, 0.70, 0.62, 0.66, 0.64, 0.58, 0.56, 0.60,
                0.72, 0.88, 0.98, 1.00, 0.86, 0.62, 0.38,
            ],
            Self::Nightly => &[
                0.10, 0.85, 1.00, 0.60, 0.06, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02,
                0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02,
            ],
        }
    }

    /// Monday to Sunday.
    fn week(self) -> &'static [f64; 7] {
        match self {
            Self::Evening | Self::Browsing => &[0.94, 0.95, 0.97, 1.00, 1.07, 1.13, 1.04],
            Self::Logins => &[1.03, 1.02, 1.01, 1.00, 0.98, 0.84, 0.82],
            Self::Nightly => &[1.0; 7],
        }
    }
}

/// A Catmull–Rom curve through hourly knots, periodic in 24 hours, never below a hundredth.
fn smooth(knots: &[f64; 24], hour: f64) -> f64 {
    let whole = hour.floor();
    let (i, t) = (whole as usize, hour - whole);
    let knot = |offset: usize| knots[(i + offset + 23) % 24];
    let (before, from, to, after) = (knot(0), knot(1), knot(2), knot(3));
    let bend = 2.0 * before - 5.0 * from + 4.0 * to - after;
    let twist = 3.0 * (from - to) + after - before;
    (from + 0.5 * t * (to - before + t * (bend + t * twist))).max(0.01)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Timestamp = Timestamp(1_795_244_820_000);

    #[test]
    fn the_end_is_on_the_way_to_the_evening_peak() {
        let calendar = Calendar::new(END);
        assert!((calendar.hour(END) - 16.0 - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(calendar.weekday(END), 3);
        let now = calendar.level(Season::Evening, END);
        let peak = calendar.level(Season::Evening, calendar.back(0, 20.0));
        assert!((0.6..0.75).contains(&now) && (peak - 1.0).abs() < 1e-9, "{now} {peak}");
        assert_eq!(calendar.back(0, 20.0) - END, Millis::from_mins(200));
    }

    #[test]
    fn curves_pass_through_their_knots_and_do_not_jump() {
        for season in [Season::Evening, Season::Browsing, Season::Logins, Season::Nightly] {
            let mut last = smooth(season.hours(), 0.0);
            for minute in 1..=1440 {
                let level = smooth(season.hours(), f64::from(minute % 1440) / 60.0);
                assert!((level - last).abs() < 0.03 && level > 0.0, "{season:?} at minute {minute}");
                last = level;
            }
            assert_eq!(smooth(season.hours(), 19.0), season.hours()[19]);
        }
    }

    #[test]
    fn seasons_repeat_each_week() {
        let calendar = Calendar::new(END);
        for hours in 0..168 {
            let at = END - Millis::from_hours(hours);
            let week_before = at - Millis::from_days(7);
            assert_eq!(calendar.level(Season::Evening, at), calendar.level(Season::Evening, week_before));
        }
    }
}
