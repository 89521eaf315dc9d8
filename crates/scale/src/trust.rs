//! Whether a forecast may be used: is it young, does it reach far enough, does it speak of this series?

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::demand::DemandForecast;
use crate::policy::Policy;
use crate::robust;
use crate::signals::{Reading, Signals};

/// Recent readings that are compared with the forecast.
const COMPARED: usize = 240;

/// Fewest readings that can speak against a forecast.
const LEAST: usize = 3;

/// Why a forecast is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distrust {
    /// Its grid is empty or a value is not a finite number.
    Broken,
    /// Its origin lies in the future: the clocks disagree.
    FromTheFuture,
    /// It was made too long ago.
    Stale,
    /// It ends before a replica started now would serve.
    TooShort,
    /// Recent actuals lie far outside its band: it was made for another series, or the world has changed.
    Foreign,
}

impl Distrust {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Broken => "the forecast is empty or holds numbers that are not finite",
            Self::FromTheFuture => "the forecast was made in the future, clocks disagree",
            Self::Stale => "the forecast is too old",
            Self::TooShort => "the forecast ends before a new replica would serve",
            Self::Foreign => "recent demand lies far outside the forecast's band",
        }
    }
}

/// `None` when the forecast may be used.
pub fn distrust(now: Timestamp, forecast: &DemandForecast, signals: &Signals, policy: &Policy) -> Option<Distrust> {
    if !forecast.is_sound() {
        return Some(Distrust::Broken);
    }
    let age = now - forecast.origin;
    if age.0 < -policy.max_signal_age.0.max(0) {
        return Some(Distrust::FromTheFuture);
    }
    if age > policy.max_forecast_age {
        return Some(Distrust::Stale);
    }
    if forecast.end() < now + policy.lead_time.span() {
        return Some(Distrust::TooShort);
    }
    is_foreign(now, forecast, signals).then_some(Distrust::Foreign)
}

/// Most of the recent readings lie outside a band of twice the 10–90 % width plus a tenth of the level.
///
/// Readings up to three steps before the origin are held against the first value, so that a fresh forecast of another
/// series is found out at once, not only when its future has arrived.
fn is_foreign(now: Timestamp, forecast: &DemandForecast, signals: &Signals) -> bool {
    let (Some(low), Some(mid), Some(high)) = (forecast.curve(0.1), forecast.curve(0.5), forecast.curve(0.9)) else {
        return false;
    };
    // A forecast without a band says nothing about its error, so only a gross mismatch speaks against it.
    let has_band =
        forecast.quantiles.iter().any(|row| row.0 <= 0.25) && forecast.quantiles.iter().any(|row| row.0 >= 0.75);
    let share = if has_band { 0.1 } else { 0.5 };
    let before = Millis(forecast.step_ms.saturating_mul(3).clamp(60_000, 900_000));
    let excess = |reading: &Reading| {
        let early = reading.at <= forecast.origin && forecast.origin - reading.at <= before;
        let index = forecast.index(reading.at).or_else(|| early.then_some(0))?;
        let (low, mid, high) = (low.at(index)?, mid.at(index)?, high.at(index)?);
        let slack = (high - low) / 2.0 + share * mid.max(reading.value);
        Some(if reading.value > high + slack || reading.value < low - slack { 1.0 } else { 0.0 })
    };
    // The last quarter of an hour decides: older misses may have healed, and a shift must be believed quickly.
    let usable = |reading: &&Reading| {
        reading.value.is_finite() && reading.at <= now && now - reading.at <= Millis::from_mins(15)
    };
    let outside: Vec<f64> =
        signals.recent_demand.iter().rev().take(COMPARED).filter(usable).filter_map(excess).collect();
    outside.len() >= LEAST && robust::median(&outside).is_some_and(|middle| middle > 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PerReplica;

    const NOW: Timestamp = Timestamp(10_000_000);

    fn policy() -> Policy {
        let target = "deployment/a/b".parse().expect("a target");
        Policy { per_replica: PerReplica::Given(10.0), ..Policy::new("p", "x", target) }
    }

    fn forecast(origin: Timestamp) -> DemandForecast {
        let row = |level: f64, value: f64| (level, vec![value; 60]);
        DemandForecast {
            origin,
            step_ms: 60_000,
            quantiles: vec![row(0.1, 90.0), row(0.5, 100.0), row(0.9, 110.0)],
            model: "test".into(),
            backtest_error: None,
            coverage: None,
        }
    }

    fn signals(value: f64) -> Signals {
        let recent = (0..10).rev().map(|ago| Reading { at: NOW - Millis(ago * 15_000), value });
        Signals { recent_demand: recent.collect(), ..Signals::default() }
    }

    #[test]
    fn a_forecast_is_refused_for_each_fault() {
        let check = |forecast: &DemandForecast, value| distrust(NOW, forecast, &signals(value), &policy());
        let good = forecast(NOW - Millis::from_mins(5));
        assert_eq!(check(&good, 100.0), None);
        assert_eq!(check(&good, 118.0), None, "a little outside the band is a normal day");
        assert_eq!(check(&good, 200.0), Some(Distrust::Foreign));
        assert_eq!(check(&good, 5.0), Some(Distrust::Foreign));
        assert_eq!(check(&forecast(NOW), 200.0), Some(Distrust::Foreign), "found out before its future has come");
        assert_eq!(check(&forecast(NOW - Millis::from_hours(4)), 100.0), Some(Distrust::Stale));
        assert_eq!(check(&forecast(NOW + Millis::from_hours(1)), 100.0), Some(Distrust::FromTheFuture));
        assert_eq!(check(&forecast(NOW - Millis::from_mins(55)), 100.0), Some(Distrust::TooShort));
        let broken = DemandForecast { quantiles: vec![(0.5, vec![f64::NAN; 60])], ..good.clone() };
        assert_eq!(check(&broken, 100.0), Some(Distrust::Broken));
        assert_eq!(check(&DemandForecast { quantiles: Vec::new(), ..good }, 100.0), Some(Distrust::Broken));
    }
}
