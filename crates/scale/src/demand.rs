//! The demand that is expected.

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::lenient;

/// Quantiles of the demand ahead, on a regular grid.
///
/// Value `i` of a row stands for the interval `(origin + i·step, origin + (i+1)·step]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandForecast {
    /// The last instant the model knew, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "origin_ms")]
    pub origin: Timestamp,
    /// Distance of two values, positive.
    pub step_ms: i64,
    /// `(level in (0, 1), values ≥ 0)`, in any order, all rows of one length.
    #[serde(with = "lenient::rows")]
    pub quantiles: Vec<(f64, Vec<f64>)>,
    /// Name of the model, for the record.
    pub model: String,
    /// Backtest error relative to seasonal-naive: 1 is as good, less is better.
    #[serde(default)]
    pub backtest_error: Option<f64>,
    /// Share of backtest actuals that fell inside the 10–90 % band; 0.8 is perfect.
    #[serde(default)]
    pub coverage: Option<f64>,
}

impl DemandForecast {
    /// How many steps ahead the forecast reaches: the length of its shortest row.
    pub fn len(&self) -> usize {
        self.quantiles.iter().map(|row| row.1.len()).min().unwrap_or(0)
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// End of the last interval.
    pub fn end(&self) -> Timestamp {
        let steps = i64::try_from(self.len()).unwrap_or(i64::MAX);
        self.origin + Millis(self.step_ms.saturating_mul(steps))
    }

    /// Whether the grid is positive, every level lies in (0, 1) and every value is finite.
    pub fn is_sound(&self) -> bool {
        let sound = |row: &(f64, Vec<f64>)| row.0 > 0.0 && row.0 < 1.0 && row.1.iter().all(|value| value.is_finite());
        self.step_ms > 0 && !self.is_empty() && self.quantiles.iter().all(sound)
    }

    /// Index of the interval that holds `at`; `None` outside.
    pub(crate) fn index(&self, at: Timestamp) -> Option<usize> {
        let ahead = (at - self.origin).0;
        if ahead <= 0 || self.step_ms <= 0 {
            return None;
        }
        usize::try_from((ahead - 1) / self.step_ms).ok().filter(|index| *index < self.len())
    }

    /// Start of interval `index`.
    pub(crate) fn start_of(&self, index: usize) -> Timestamp {
        self.origin + Millis(self.step_ms.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// The curve of one level: between two known levels linear in the level, outside the nearest row.
    pub(crate) fn curve(&self, level: f64) -> Option<Curve<'_>> {
        let known = |row: &&(f64, Vec<f64>)| row.0.is_finite();
        let below = self.quantiles.iter().filter(known).filter(|row| row.0 <= level).max_by(|a, b| a.0.total_cmp(&b.0));
        let above = self.quantiles.iter().filter(known).filter(|row| row.0 >= level).min_by(|a, b| a.0.total_cmp(&b.0));
        let (low, high) = (below.or(above)?, above.or(below)?);
        let share = if high.0 > low.0 { (level - low.0) / (high.0 - low.0) } else { 0.0 };
        Some(Curve { low: &low.1, high: &high.1, share })
    }
}

/// One level of a forecast, interpolated between two rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Curve<'a> {
    low: &'a [f64],
    high: &'a [f64],
    share: f64,
}

impl Curve<'_> {
    /// The value at `index`, never negative.
    pub(crate) fn at(self, index: usize) -> Option<f64> {
        let (low, high) = (*self.low.get(index)?, *self.high.get(index)?);
        Some((low + (high - low) * self.share).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast() -> DemandForecast {
        DemandForecast {
            origin: Timestamp(1000),
            step_ms: 100,
            quantiles: vec![(0.9, vec![20.0, 30.0]), (0.5, vec![10.0, 20.0])],
            model: "test".into(),
            backtest_error: None,
            coverage: None,
        }
    }

    #[test]
    fn levels_between_rows_are_interpolated_and_outside_clamped() {
        let forecast = forecast();
        let at = |level| forecast.curve(level).and_then(|curve| curve.at(1));
        assert_eq!((at(0.5), at(0.9), at(0.99), at(0.1)), (Some(20.0), Some(30.0), Some(30.0), Some(20.0)));
        assert!((at(0.7).expect("inside") - 25.0).abs() < 1e-9);
    }

    #[test]
    fn an_interval_is_open_at_its_start() {
        let forecast = forecast();
        let index = |ms| forecast.index(Timestamp(ms));
        assert_eq!(
            (index(1000), index(1001), index(1100), index(1101), index(1201)),
            (None, Some(0), Some(0), Some(1), None)
        );
        assert_eq!(forecast.end(), Timestamp(1200));
    }
}
