//! Trend over the slide values of a window, and the days until it meets a limit.

use series::{Millis, Timestamp};
use sketch::{Line, robust_line};

const MILLIS_A_DAY: f64 = 86_400_000.0;
/// Two-sided 95 %.
const Z: f64 = 1.96;

/// A fitted trend at the end of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// Per second.
    pub(crate) slope: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
    /// The line at the window's end.
    pub(crate) level: f64,
}

impl Trend {
    /// The robust line through `(pane end, value)`; `None` below three values or less than half of `panes_max`, so that a
    /// window just begun does not speak.
    pub(crate) fn fit(
        points: impl Iterator<Item = (Timestamp, f64)>,
        end: Timestamp,
        panes_max: usize,
    ) -> Option<Self> {
        let points: Vec<(f64, f64)> = points
            .filter(|(_, value)| value.is_finite())
            .map(|(at, value)| ((at - end).as_secs_f64(), value))
            .collect();
        if points.len() < 3.max(panes_max / 2) {
            return None;
        }
        let line: Line = robust_line(&points, Z)?;
        Some(Self { slope: line.slope, lower: line.lower, upper: line.upper, level: line.at(0.0) })
    }

    /// Days until the line meets `limit`; infinite while the slope's interval holds zero or points away.
    pub(crate) fn days_to(&self, limit: f64) -> f64 {
        let distance = limit - self.level;
        if distance == 0.0 {
            return 0.0;
        }
        let moving = self.lower * self.upper > 0.0;
        let days = distance / self.slope * 1000.0 / MILLIS_A_DAY;
        if moving && days > 0.0 { days } else { f64::INFINITY }
    }
}

/// Score of a limit `days` away when events begin at `within`: 0.5 there, 1 at the limit.
pub(crate) fn limit_score(days: f64, within: Millis) -> f64 {
    let within_days = within.0 as f64 / MILLIS_A_DAY;
    (1.0 - 0.5 * days / within_days).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fills_one_percent_a_day_is_empty_in_its_days() {
        let end = Timestamp(1_700_000_000_000);
        let points =
            (0..48).map(|i| (end - Millis::from_mins(30 * i), 20.0 + i as f64 / 48.0 + 0.001 * (i % 3) as f64));
        let trend = Trend::fit(points, end, 48).expect("enough points");
        assert!((trend.days_to(0.0) - 20.0).abs() < 0.2, "{trend:?}");
        assert_eq!(trend.days_to(100.0), f64::INFINITY);
        assert!(trend.lower <= trend.slope && trend.slope <= trend.upper && trend.upper < 0.0);
    }

    #[test]
    fn noise_without_a_trend_never_meets_its_limit() {
        let end = Timestamp(0);
        let points = (0..30).map(|i| (end - Millis::from_mins(i), f64::from([5, 1, 4, 2, 3, 2, 5][i as usize % 7])));
        assert_eq!(Trend::fit(points, end, 30).expect("enough").days_to(100.0), f64::INFINITY);
        assert!((limit_score(3.5, Millis::from_days(7)) - 0.75).abs() < 1e-12);
    }
}
