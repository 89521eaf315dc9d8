//! The recursion: one-step prediction, error, new state.

use super::{EtsForm, Kind};

/// Smoothing parameters. `beta` and `gamma` are the book's, not shares of `alpha`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Smoothing {
    pub(super) alpha: f64,
    pub(super) beta: f64,
    pub(super) gamma: f64,
    pub(super) phi: f64,
}

/// Level, trend and seasonal states before the next cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) level: f64,
    /// Slope of an additive trend, growth factor of a multiplicative one.
    pub(super) trend: f64,
    /// One value a phase; empty without season.
    pub(super) season: Vec<f64>,
    /// Phase of the next cell.
    pub(super) phase: usize,
}

/// Predicts one cell from `state`, then moves `state` by what it really was. Returns the prediction.
///
/// A move that would leave the numbers (a multiplicative form meeting zero) keeps the old component.
#[inline]
pub(super) fn step(form: EtsForm, p: &Smoothing, state: &mut State, y: f64) -> f64 {
    let (old_level, old_trend) = (state.level, state.trend);
    let (q, carried) = match form.trend {
        Kind::None => (old_level, 0.0),
        Kind::Additive => (old_level + p.phi * old_trend, p.phi * old_trend),
        Kind::Multiplicative => {
            let growth = if p.phi == 1.0 { old_trend } else { old_trend.powf(p.phi) };
            (old_level * growth, growth)
        }
    };
    let seasonal = if form.season == Kind::None { 0.0 } else { state.season[state.phase] };
    let (predicted, adjusted) = match form.season {
        Kind::None => (q, y),
        Kind::Additive => (q + seasonal, y - seasonal),
        Kind::Multiplicative => (q * seasonal, y / seasonal),
    };
    let level = keep_finite(q + p.alpha * (adjusted - q), old_level);
    state.level = level;
    let pull = p.beta / p.alpha;
    match form.trend {
        Kind::None => {}
        Kind::Additive => state.trend = keep_finite(carried + pull * (level - old_level - carried), old_trend),
        Kind::Multiplicative => {
            state.trend = keep_finite(carried + pull * (level / old_level - carried), old_trend);
        }
    }
    if form.season != Kind::None {
        let seen = if form.season == Kind::Additive { y - q } else { y / q };
        state.season[state.phase] = keep_finite(seasonal + p.gamma * (seen - seasonal), seasonal);
        state.phase += 1;
        if state.phase == state.season.len() {
            state.phase = 0;
        }
    }
    predicted
}

#[inline]
fn keep_finite(new: f64, old: f64) -> f64 {
    if new.is_finite() { new } else { old }
}

/// The path when every coming error is zero.
pub(super) fn extrapolate(form: EtsForm, phi: f64, state: &State, horizon: usize) -> Vec<f64> {
    let mut damping = phi;
    let mut reach = phi;
    (0..horizon)
        .map(|h| {
            let base = match form.trend {
                Kind::None => state.level,
                Kind::Additive => state.level + reach * state.trend,
                Kind::Multiplicative => keep_finite(state.level * state.trend.powf(reach), state.level),
            };
            damping *= phi;
            reach += damping;
            let m = state.season.len();
            match form.season {
                Kind::None => base,
                Kind::Additive => base + state.season[(state.phase + h) % m],
                Kind::Multiplicative => base * state.season[(state.phase + h) % m],
            }
        })
        .collect()
}

/// Minus twice the log-likelihood without its constant, as R's `ets` counts it; infinite where the form breaks down.
pub(super) fn deviance(form: EtsForm, p: &Smoothing, state: &mut State, y: &[f64]) -> f64 {
    let n = y.len() as f64;
    if form.error != Kind::Multiplicative && form.season == Kind::None {
        match form.trend {
            Kind::None => return n * simple_error(p.alpha, state, y).ln(),
            Kind::Additive => return n * trended_error(p, state, y).ln(),
            Kind::Multiplicative => {}
        }
    }
    let multiplicative = form.error == Kind::Multiplicative;
    let (mut squares, mut logs) = (0.0, 0.0);
    // The product of a few predictions is cheaper than the sum of their logarithms.
    let mut product = 1.0;
    for &v in y {
        let predicted = step(form, p, state, v);
        let error = if multiplicative {
            if predicted <= 0.0 {
                return f64::INFINITY;
            }
            product *= predicted;
            if !(1e-100..1e100).contains(&product) {
                logs += product.ln();
                product = 1.0;
            }
            (v - predicted) / predicted
        } else {
            v - predicted
        };
        squares += error * error;
    }
    logs += product.ln();
    // An exact fit has no finite likelihood: the floor keeps the search going without changing any order.
    n * squares.max(f64::MIN_POSITIVE).ln() + if multiplicative { 2.0 * logs } else { 0.0 }
}

/// Sum of squared errors with an additive, possibly damped trend, without branches.
fn trended_error(p: &Smoothing, state: &mut State, y: &[f64]) -> f64 {
    let (mut level, mut trend) = (state.level, state.trend);
    let mut squares = 0.0;
    for &v in y {
        let carried = p.phi * trend;
        let predicted = level + carried;
        let error = v - predicted;
        squares += error * error;
        // α·error moves the level and β·error the trend: the error-correction form of the same recursion.
        level = predicted + p.alpha * error;
        trend = carried + p.beta * error;
    }
    (state.level, state.trend) = (level, trend);
    squares.max(f64::MIN_POSITIVE)
}

/// Sum of squared errors of simple smoothing: the hot loop of long histories, without branches.
fn simple_error(alpha: f64, state: &mut State, y: &[f64]) -> f64 {
    let mut level = state.level;
    let mut squares = 0.0;
    for &v in y {
        let error = v - level;
        squares += error * error;
        level += alpha * error;
    }
    state.level = level;
    squares.max(f64::MIN_POSITIVE)
}
