//! The Theta method: standard, optimised and dynamic optimised, on seasonally adjusted values.
//!
//! Source: Assimakopoulos & Nikolopoulos (2000); Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler, "Models for
//! optimising the theta method and their relationship to state space models" (2016), equations (14)–(21). The season is
//! removed by classical decomposition where the test of the M4 benchmarks finds one: multiplicative for positive
//! values, additive else.

use crate::classical;
use crate::error::FitError;
use crate::model::{Context, Fitted, Model, check};
use crate::nelder_mead::{Limits, minimize};

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThetaKind {
    /// θ = 2, fixed line, smoothing optimised: the winner of M3.
    #[default]
    Standard,
    /// θ optimised as well.
    Optimised,
    /// θ optimised, and the line is estimated anew with every value.
    DynamicOptimised,
}

/// The Theta method.
#[derive(Debug, Clone, Copy, Default)]
pub struct Theta {
    /// Variant.
    pub kind: ThetaKind,
    /// Season in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
}

/// Coefficients are estimated on at most so many of the newest cells.
const MAX_FIT_CELLS: usize = 1_500;
const ALPHA: (f64, f64) = (0.1, 0.99);
const THETA: (f64, f64) = (1.0, 1e3);

impl Model for Theta {
    fn name(&self) -> String {
        match self.kind {
            ThetaKind::Standard => "theta",
            ThetaKind::Optimised => "theta-optimised",
            ThetaKind::DynamicOptimised => "dot",
        }
        .into()
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 4)?;
        let season = match self.season {
            Some(season) => super::naive::season_of(Some(season), y, context, 2)?,
            None => context.primary(y.len()),
        };
        let adjustment = Adjustment::of(y, season);
        let skipped = y.len().saturating_sub(MAX_FIT_CELLS);
        let adjusted: Vec<f64> = (skipped..y.len()).map(|t| adjustment.remove(t, y[t])).collect();
        let line = match self.kind {
            ThetaKind::DynamicOptimised => None,
            _ => Some(classical::line(&adjusted)),
        };
        let coefficients = self.estimate(&adjusted, line);
        let mut state = State::start(adjusted[0], &coefficients, line);
        adjusted[1..].iter().for_each(|v| {
            state.step(*v, &coefficients);
        });
        let name = if adjustment.indices.is_empty() { self.name() } else { format!("{}({season})", self.name()) };
        Ok(Box::new(FittedTheta { name, adjustment, coefficients, state, cells: y.len() }))
    }
}

impl Theta {
    fn estimate(&self, y: &[f64], line: Option<(f64, f64)>) -> Coefficients {
        let spread = y.iter().map(|v| v.abs()).sum::<f64>() / y.len() as f64;
        let unit = spread.max(f64::MIN_POSITIVE);
        let mut start = vec![0.5, y[0] / 2.0];
        let mut step = vec![0.2, 0.4 * unit];
        if self.kind != ThetaKind::Standard {
            start.push(2.0);
            step.push(1.0);
        }
        let theta = |p: &[f64]| p.get(2).copied().unwrap_or(2.0);
        let decode = |p: &[f64]| Coefficients::new(p[0], p[1], theta(p));
        let objective = |p: &[f64]| {
            let inside = (ALPHA.0..=ALPHA.1).contains(&p[0]) && (THETA.0..=THETA.1).contains(&theta(p));
            if inside { squared_error(y, &decode(p), line) } else { f64::INFINITY }
        };
        let limits = Limits { evaluations: 60 * start.len(), tolerance: 1e-7 };
        decode(&minimize(objective, &start, &step, limits).0)
    }
}

/// Sum of squared one-step errors after the first three cells, which the start value still dominates.
fn squared_error(y: &[f64], coefficients: &Coefficients, line: Option<(f64, f64)>) -> f64 {
    let mut state = State::start(y[0], coefficients, line);
    let mut squares = 0.0;
    for (t, v) in y.iter().enumerate().skip(1) {
        let error = v - state.step(*v, coefficients);
        if t >= 3 {
            squares += error * error;
        }
    }
    squares
}

#[derive(Debug, Clone, Copy)]
struct Coefficients {
    alpha: f64,
    /// Smoothed level before the first cell.
    start: f64,
    /// 1 - 1/θ: the share of the line.
    share: f64,
    /// 1/α and 1 - α, which every step needs.
    inverse: f64,
    rest: f64,
}

impl Coefficients {
    fn new(alpha: f64, start: f64, theta: f64) -> Self {
        Self { alpha, start, share: 1.0 - 1.0 / theta, inverse: 1.0 / alpha, rest: 1.0 - alpha }
    }
}

/// The state-space form of the theta lines.
#[derive(Debug, Clone, Copy)]
struct State {
    level: f64,
    mean: f64,
    intercept: f64,
    slope: f64,
    /// Cells seen.
    cells: f64,
    /// (1-α) to the power of the cells seen.
    fading: f64,
    dynamic: bool,
}

impl State {
    fn start(first: f64, c: &Coefficients, line: Option<(f64, f64)>) -> Self {
        let (intercept, slope) = line.unwrap_or((first, 0.0));
        Self {
            level: c.alpha * first + (1.0 - c.alpha) * c.start,
            mean: first,
            intercept,
            slope,
            cells: 1.0,
            fading: 1.0 - c.alpha,
            dynamic: line.is_none(),
        }
    }

    fn predicted(&self, c: &Coefficients) -> f64 {
        let beyond = (1.0 - self.fading * c.rest) * c.inverse;
        self.level + c.share * (self.intercept * self.fading + self.slope * beyond)
    }

    /// Predicts the next cell, then takes in what it really was.
    fn step(&mut self, y: f64, c: &Coefficients) -> f64 {
        let predicted = self.predicted(c);
        self.level = c.alpha * y + c.rest * self.level;
        if self.dynamic {
            let i = self.cells;
            // One division serves both 1/(i+1) and 1/(i+2): this is the hot loop of the search.
            let both = 1.0 / ((i + 1.0) * (i + 2.0));
            let lift = (y - self.mean) * (i + 2.0) * both;
            self.mean += lift;
            self.slope = ((i - 1.0) * self.slope + 6.0 * lift) * (i + 1.0) * both;
            self.intercept = self.mean - self.slope * (i + 2.0) / 2.0;
        }
        self.cells += 1.0;
        self.fading *= c.rest;
        predicted
    }
}

/// Seasonal indices and the way they were taken out.
struct Adjustment {
    /// Empty without season.
    indices: Vec<f64>,
    multiplicative: bool,
}

impl Adjustment {
    fn of(y: &[f64], season: usize) -> Self {
        // The autocorrelation test costs O(n·m): long seasons come from the detector, which tested them already.
        let seasonal = season > 1 && (season > 48 || classical::is_seasonal(y, season));
        if !seasonal {
            return Self { indices: Vec::new(), multiplicative: false };
        }
        let multiplicative = y.iter().all(|v| *v > 0.0);
        let indices = classical::indices(y, season, multiplicative);
        if multiplicative && indices.iter().any(|s| *s < 0.01) {
            return Self { indices: classical::indices(y, season, false), multiplicative: false };
        }
        Self { indices, multiplicative }
    }

    fn remove(&self, cell: usize, y: f64) -> f64 {
        match (self.indices.len(), self.multiplicative) {
            (0, _) => y,
            (m, true) => y / self.indices[cell % m],
            (m, false) => y - self.indices[cell % m],
        }
    }

    fn restore(&self, cell: usize, y: f64) -> f64 {
        match (self.indices.len(), self.multiplicative) {
            (0, _) => y,
            (m, true) => y * self.indices[cell % m],
            (m, false) => y + self.indices[cell % m],
        }
    }
}

struct FittedTheta {
    name: String,
    adjustment: Adjustment,
    coefficients: Coefficients,
    state: State,
    cells: usize,
}

impl Fitted for FittedTheta {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut state = self.state;
        let path = (0..horizon).map(|h| {
            let predicted = state.predicted(&self.coefficients);
            state.step(predicted, &self.coefficients);
            self.adjustment.restore(self.cells + h, predicted)
        });
        path.collect()
    }

    fn update(&mut self, y: &[f64]) {
        for &v in y {
            self.state.step(self.adjustment.remove(self.cells, v), &self.coefficients);
            self.cells += 1;
        }
    }
}
