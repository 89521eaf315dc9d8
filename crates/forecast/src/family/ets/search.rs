//! Initial states by decomposition, then the likelihood search, then the choice by AICc.

use super::filter::{Smoothing, State, deviance};
use super::{EtsForm, FittedEts, Kind, MAX_SEARCHED_SEASON};
use crate::classical;
use crate::error::FitError;
use crate::nelder_mead::{Limits, minimize};

/// Evaluations for smoothing parameters, level and trend, for each of them.
const EVALUATIONS_EACH: usize = 30;
/// Evaluations when the seasonal states are searched as well, for each of [`ROUNDS`].
const EVALUATIONS_FULL: usize = 900;
/// A simplex of many dimensions collapses before it has arrived: it is set up afresh where it stopped.
const ROUNDS: usize = 2;
/// Forms that reach the full search.
const FINALISTS: usize = 3;
const ALPHA: (f64, f64) = (1e-4, 0.9999);
const SHARE: (f64, f64) = (1e-4, 0.9999);
const PHI: (f64, f64) = (0.8, 0.98);

/// Fits one form.
pub(super) fn one(form: EtsForm, season: usize, y: &[f64]) -> Result<FittedEts, FitError> {
    let rough = Problem::new(form, season, y)?.rough();
    Ok(rough.refined().fitted())
}

/// Fits every form and keeps the one with the least AICc.
pub(super) fn best(forms: &[EtsForm], season: usize, y: &[f64]) -> Result<FittedEts, FitError> {
    let mut fault = FitError::Unsolvable { reason: "no admissible form" };
    let mut found: Vec<Solution<'_>> = Vec::new();
    for &form in forms {
        match Problem::new(form, season, y) {
            Ok(problem) => found.push(problem.rough()),
            Err(why) => fault = why,
        }
    }
    found.retain(|s| s.aicc().is_finite());
    found.sort_by(|a, b| a.aicc().total_cmp(&b.aicc()));
    found.truncate(FINALISTS);
    let refined = found.into_iter().map(Solution::refined);
    refined.min_by(|a, b| a.aicc().total_cmp(&b.aicc())).map(|s| s.fitted()).ok_or(fault)
}

/// One form on one history: how a vector of numbers becomes parameters and states.
struct Problem<'a> {
    form: EtsForm,
    y: &'a [f64],
    initial: State,
    /// Spread of the values, the unit of search steps.
    spread: f64,
}

/// A point found.
struct Solution<'a> {
    problem: Problem<'a>,
    point: Vec<f64>,
    deviance: f64,
}

impl<'a> Problem<'a> {
    fn new(form: EtsForm, season: usize, y: &'a [f64]) -> Result<Self, FitError> {
        let seasonal = form.season != Kind::None;
        let problem =
            Self { form, y, initial: initial_state(form, if seasonal { season } else { 1 }, y), spread: spread(y) };
        let needed = problem.parameters() + 3;
        if y.len() < needed {
            return Err(FitError::TooShort { cells: y.len(), needed });
        }
        Ok(problem)
    }

    /// Free numbers of the likelihood, the error variance included.
    fn parameters(&self) -> usize {
        let trend = if self.form.trend == Kind::None { 0 } else { 2 };
        let damped = usize::from(self.form.is_damped());
        let m = self.initial.season.len();
        3 + trend + damped + m
    }

    /// α, then the shares β/α and γ/(1-α), then φ, level and slope.
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        let (mut at, mut step) = (vec![0.3], vec![0.2]);
        if self.form.trend != Kind::None {
            at.push(0.1);
            step.push(0.1);
        }
        if self.form.season != Kind::None {
            at.push(0.1);
            step.push(0.1);
        }
        if self.form.is_damped() {
            at.push(0.95);
            step.push(-0.05);
        }
        at.push(self.initial.level);
        step.push(0.2 * self.spread);
        match self.form.trend {
            Kind::None => {}
            Kind::Additive => {
                at.push(self.initial.trend);
                step.push((0.3 * self.initial.trend.abs()).max(0.02 * self.spread));
            }
            Kind::Multiplicative => {
                at.push(self.initial.trend);
                step.push(0.01);
            }
        }
        (at, step)
    }

    /// The parameters and state a point stands for; `None` outside the admissible box.
    fn decode(&self, point: &[f64], state: &mut State) -> Option<Smoothing> {
        let mut next = point.iter().copied();
        let mut take = || next.next().unwrap_or(0.0);
        let inside = |v: f64, (low, high): (f64, f64)| (low..=high).contains(&v);
        let alpha = take();
        let mut smoothing = Smoothing { alpha, beta: 0.0, gamma: 0.0, phi: 1.0 };
        let mut ok = inside(alpha, ALPHA);
        if self.form.trend != Kind::None {
            let share = take();
            ok &= inside(share, SHARE);
            smoothing.beta = share * alpha;
        }
        if self.form.season != Kind::None {
            let share = take();
            ok &= inside(share, SHARE);
            smoothing.gamma = share * (1.0 - alpha);
        }
        if self.form.is_damped() {
            smoothing.phi = take();
            ok &= inside(smoothing.phi, PHI);
        }
        state.level = take();
        state.trend = if self.form.trend == Kind::None { 0.0 } else { take() };
        state.phase = 0;
        let m = self.initial.season.len();
        state.season.clear();
        state.season.extend_from_slice(&self.initial.season);
        let rest: Vec<f64> = next.collect();
        if m > 1 && rest.len() == m - 1 {
            // Seasonal states add up to 0 (or m), so the last one follows from the others.
            let total = if self.form.season == Kind::Multiplicative { m as f64 } else { 0.0 };
            state.season[..m - 1].copy_from_slice(&rest);
            state.season[m - 1] = total - rest.iter().sum::<f64>();
            ok &= self.form.season != Kind::Multiplicative || state.season.iter().all(|s| *s > 0.0);
        }
        ok.then_some(smoothing)
    }

    fn objective(&self, point: &[f64], scratch: &mut State) -> f64 {
        match self.decode(point, scratch) {
            Some(smoothing) => deviance(self.form, &smoothing, scratch, self.y),
            None => f64::INFINITY,
        }
    }

    /// Searches smoothing, level and slope with the seasonal states held.
    ///
    /// Forms with a season have two basins: a nimble level with a stiff season, and the reverse. Both are entered.
    fn rough(self) -> Solution<'a> {
        let mut best = self.descend(0.1);
        if self.form.season != Kind::None {
            let other = self.descend(0.7);
            if other.1 < best.1 {
                best = other;
            }
        }
        Solution { problem: self, point: best.0, deviance: best.1 }
    }

    /// One descent, from the best of a few levels of smoothing and the given share for the season.
    fn descend(&self, seasonal_share: f64) -> (Vec<f64>, f64) {
        let (mut start, step) = self.start();
        if self.form.season != Kind::None {
            start[if self.form.trend == Kind::None { 1 } else { 2 }] = seasonal_share;
        }
        let mut scratch = self.initial.clone();
        let mut least = f64::INFINITY;
        let mut alpha = start[0];
        for guess in [0.05, 0.3, 0.7] {
            start[0] = guess;
            let value = self.objective(&start, &mut scratch);
            if value < least {
                (least, alpha) = (value, guess);
            }
        }
        start[0] = alpha;
        let limits = Limits { evaluations: EVALUATIONS_EACH * start.len(), tolerance: 1e-6 };
        minimize(|p| self.objective(p, &mut scratch), &start, &step, limits)
    }
}

impl Solution<'_> {
    /// Searches everything again from the point found, seasonal states included where they are few.
    fn refined(mut self) -> Self {
        let m = self.problem.initial.season.len();
        if self.problem.y.len() > 30 * m.max(10) || m > MAX_SEARCHED_SEASON {
            return self;
        }
        let mut start = self.point.clone();
        let (_, mut step) = self.problem.start();
        step.iter_mut().for_each(|s| *s *= 0.5);
        if m > 1 {
            start.extend_from_slice(&self.problem.initial.season[..m - 1]);
            let unit = if self.problem.form.season == Kind::Multiplicative { 0.03 } else { 0.1 * self.problem.spread };
            step.resize(start.len(), unit);
        }
        let limits = Limits { evaluations: EVALUATIONS_FULL.min(100 * start.len()), tolerance: 1e-8 };
        let mut scratch = self.problem.initial.clone();
        for _ in 0..if m > 1 { ROUNDS } else { 1 } {
            let (point, deviance) = minimize(|p| self.problem.objective(p, &mut scratch), &start, &step, limits);
            if deviance < self.deviance {
                start.clone_from(&point);
                (self.point, self.deviance) = (point, deviance);
            }
            step.iter_mut().for_each(|s| *s *= -0.5);
        }
        self
    }

    fn aicc(&self) -> f64 {
        let (k, n) = (self.problem.parameters() as f64, self.problem.y.len() as f64);
        let room = n - k - 1.0;
        if room > 0.0 { self.deviance + 2.0 * k + 2.0 * k * (k + 1.0) / room } else { f64::INFINITY }
    }

    fn fitted(&self) -> FittedEts {
        let mut state = self.problem.initial.clone();
        let decoded = self.problem.decode(&self.point, &mut state);
        // The start is inside the box, and the search never leaves it for something infinite.
        let smoothing = decoded.unwrap_or(Smoothing { alpha: 0.3, beta: 0.03, gamma: 0.05, phi: 0.95 });
        deviance(self.problem.form, &smoothing, &mut state, self.problem.y);
        FittedEts { form: self.problem.form, smoothing, state, aicc: self.aicc() }
    }
}

/// Seasonal states from a classical decomposition of the first cycles, level and slope from a line through the first
/// adjusted cells (Hyndman et al., §2.6.1).
fn initial_state(form: EtsForm, season: usize, y: &[f64]) -> State {
    let multiplicative = form.season == Kind::Multiplicative;
    let indices = if season > 1 { classical::indices(y, season, multiplicative) } else { Vec::new() };
    let head = y.len().min((2 * season).max(10));
    let adjusted: Vec<f64> = (0..head)
        .map(|t| match (indices.get(t % season.max(1)), multiplicative) {
            (None, _) => y[t],
            (Some(s), true) => y[t] / s.max(1e-2),
            (Some(s), false) => y[t] - s,
        })
        .collect();
    let (intercept, slope) = classical::line(&adjusted);
    let mean = adjusted.iter().sum::<f64>() / head as f64;
    let (level, trend) = match form.trend {
        Kind::None => (mean, 0.0),
        Kind::Additive => (intercept, slope),
        Kind::Multiplicative => {
            let floor = 1e-3 * mean.abs().max(f64::MIN_POSITIVE);
            let level = intercept.max(floor);
            (level, (1.0 + slope / level).clamp(0.5, 1.5))
        }
    };
    let season = if multiplicative { indices.iter().map(|s| s.max(1e-2)).collect() } else { indices };
    State { level, trend, season, phase: 0 }
}

fn spread(y: &[f64]) -> f64 {
    let mean = y.iter().sum::<f64>() / y.len() as f64;
    let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / y.len() as f64;
    variance.sqrt().max(1e-12 * mean.abs()).max(f64::MIN_POSITIVE)
}
