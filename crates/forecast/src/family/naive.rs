//! The benchmarks every other model has to beat: last value, drift, last season, plain and seasonal averages.
//!
//! Source: Hyndman & Athanasopoulos, "Forecasting: Principles and Practice" (3rd ed.), §5.2.

use crate::error::FitError;
use crate::model::{Context, Fitted, Model, check};
use crate::ring::Ring;

/// The last value, repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naive;

/// The last value plus the mean step of the whole history times the distance.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drift;

/// The last season, repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeasonalNaive {
    /// Season in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
}

/// The mean of the last cells, repeated.
#[derive(Debug, Clone, Copy, Default)]
pub struct WindowAverage {
    /// Cells averaged; `None` takes one season, or a tenth of the history (at least 4) without one.
    pub window: Option<usize>,
}

/// The mean of the same phase over the last cycles.
#[derive(Debug, Clone, Copy)]
pub struct SeasonalAverage {
    /// Season in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
    /// Most cycles averaged, at least 1.
    pub cycles: usize,
}

impl Default for SeasonalAverage {
    fn default() -> Self {
        Self { season: None, cycles: 3 }
    }
}

/// The season a seasonal model works with, or why it cannot.
pub(crate) fn season_of(
    given: Option<usize>,
    y: &[f64],
    context: &Context<'_>,
    cycles: usize,
) -> Result<usize, FitError> {
    match given {
        Some(season) if season < 2 => Err(FitError::NoSeason),
        Some(season) if y.len() < cycles * season => {
            Err(FitError::TooShort { cells: y.len(), needed: cycles * season })
        }
        Some(season) => Ok(season),
        None => match context.primary(y.len() * 2 / cycles.max(1)) {
            0 | 1 => Err(FitError::NoSeason),
            season => Ok(season),
        },
    }
}

/// The same phase of the last `cycles` cycles, averaged: state of every model in this file but the drift.
struct Cycles {
    name: String,
    ring: Ring,
    season: usize,
    cycles: usize,
}

impl Cycles {
    fn fitted(name: String, y: &[f64], season: usize, cycles: usize) -> Box<dyn Fitted> {
        let cycles = cycles.min(y.len() / season).max(1);
        Box::new(Self { name, ring: Ring::of(y, season * cycles), season, cycles })
    }

    fn at_phase(&self, ahead: usize) -> f64 {
        let lag = self.season - ahead % self.season;
        (0..self.cycles).map(|c| self.ring.back(lag + c * self.season) / self.cycles as f64).sum()
    }
}

impl Fitted for Cycles {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut path: Vec<f64> = (0..horizon.min(self.season)).map(|h| self.at_phase(h)).collect();
        for h in path.len()..horizon {
            path.push(path[h - self.season]);
        }
        path
    }

    fn update(&mut self, y: &[f64]) {
        y.iter().for_each(|v| self.ring.push(*v));
    }
}

impl Model for Naive {
    fn name(&self) -> String {
        "naive".into()
    }

    fn fit(&self, y: &[f64], _: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 1)?;
        Ok(Cycles::fitted(self.name(), y, 1, 1))
    }
}

impl Model for SeasonalNaive {
    fn name(&self) -> String {
        self.season.map_or("seasonal-naive".into(), |m| format!("seasonal-naive({m})"))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 1)?;
        let season = season_of(self.season, y, context, 1)?;
        Ok(Cycles::fitted(format!("seasonal-naive({season})"), y, season, 1))
    }
}

impl Model for SeasonalAverage {
    fn name(&self) -> String {
        self.season.map_or("seasonal-average".into(), |m| format!("seasonal-average({m},{})", self.cycles))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 1)?;
        let season = season_of(self.season, y, context, 2)?;
        let cycles = self.cycles.clamp(1, y.len() / season);
        Ok(Cycles::fitted(format!("seasonal-average({season},{cycles})"), y, season, cycles))
    }
}

impl Model for WindowAverage {
    fn name(&self) -> String {
        self.window.map_or("window-average".into(), |w| format!("window-average({w})"))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 1)?;
        let season = context.primary(y.len());
        let usual = if season > 1 { season } else { (y.len() / 10).max(4) };
        let window = self.window.unwrap_or(usual).clamp(1, y.len());
        Ok(Cycles::fitted(format!("window-average({window})"), y, 1, window))
    }
}

/// State of the drift: the two ends of the line and its length.
struct Line {
    first: f64,
    last: f64,
    cells: usize,
}

impl Model for Drift {
    fn name(&self) -> String {
        "drift".into()
    }

    fn fit(&self, y: &[f64], _: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 2)?;
        Ok(Box::new(Line { first: y[0], last: y[y.len() - 1], cells: y.len() }))
    }
}

impl Fitted for Line {
    fn name(&self) -> String {
        "drift".into()
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let slope = (self.last - self.first) / (self.cells - 1) as f64;
        (1..=horizon).map(|h| self.last + slope * h as f64).collect()
    }

    fn update(&mut self, y: &[f64]) {
        if let Some(last) = y.last() {
            self.last = *last;
            self.cells += y.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEASONS: &[usize] = &[3];
    const CONTEXT: Context<'_> = Context { step_ms: 1_000, seasons: SEASONS, main: 3, horizon: 4 };
    const Y: &[f64] = &[1.0, 2.0, 3.0, 3.0, 4.0, 5.0];

    fn path(model: &dyn Model) -> Vec<f64> {
        model.fit(Y, &CONTEXT).unwrap().predict(4)
    }

    #[test]
    fn benchmarks_give_the_textbook_paths() {
        assert_eq!(path(&Naive), [5.0; 4]);
        assert_eq!(path(&SeasonalNaive::default()), [3.0, 4.0, 5.0, 3.0]);
        assert_eq!(path(&SeasonalAverage::default()), [2.0, 3.0, 4.0, 2.0]);
        assert_eq!(path(&WindowAverage { window: Some(2) }), [4.5; 4]);
        assert_eq!(path(&WindowAverage { window: None }), [4.0; 4]);
        assert_eq!(path(&Drift), [5.8, 6.6, 7.4, 8.2]);
    }

    #[test]
    fn updating_equals_fitting_on_more() {
        for model in [&Naive as &dyn Model, &SeasonalNaive::default(), &Drift, &WindowAverage { window: Some(3) }] {
            let mut stepped = model.fit(&Y[..4], &CONTEXT).unwrap();
            stepped.update(&Y[4..]);
            assert_eq!(stepped.predict(5), model.fit(Y, &CONTEXT).unwrap().predict(5), "{}", model.name());
        }
    }

    #[test]
    fn a_missing_season_is_named() {
        let context = Context { seasons: &[], main: 1, ..CONTEXT };
        assert_eq!(SeasonalNaive::default().fit(Y, &context).err(), Some(FitError::NoSeason));
        let long = SeasonalNaive { season: Some(7) };
        assert_eq!(long.fit(Y, &context).err(), Some(FitError::TooShort { cells: 6, needed: 7 }));
    }
}
