//! Seasonal autoregression on seasonal differences, by ridge-penalised least squares.
//!
//! ```text
//!   z(t) = y(t) - y(t-m)        z(t) ≈ c + Σ φ(l) z(t-l),   l ∈ { 1, 2, 3, m-1, m, m+1, 2m, and the same of longer seasons }
//! ```
//!
//! A subset ARIMA(p,0,0)(P,1,0) in the sense of Box & Jenkins (1970), estimated by least squares instead of exact
//! likelihood: the cost is one pass over the history. With all coefficients shrunk to zero it is the seasonal naive.
//! Without season it is an autoregression on the values around their mean.

use crate::error::FitError;
use crate::linear::Normal;
use crate::model::{Context, Fitted, Model, check};
use crate::ring::Ring;

/// Penalty in pseudo-observations: how many cells of evidence each coefficient has to outweigh.
const PSEUDO_CELLS: f64 = 4.0;
/// Coefficients are estimated on at most so many of the newest cells.
const MAX_FIT_CELLS: usize = 20_000;

/// Seasonal autoregression.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sar {
    /// Season of the differences, in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
}

impl Model for Sar {
    fn name(&self) -> String {
        self.season.map_or("sar".into(), |m| format!("sar({m})"))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 12)?;
        let season = match self.season {
            Some(season) => super::naive::season_of(Some(season), y, context, 2)?,
            None => context.primary(y.len()),
        };
        let tail = &y[y.len().saturating_sub(MAX_FIT_CELLS)..];
        let equation = Equation::estimate(tail, season, context)?;
        let reach = equation.reach();
        Ok(Box::new(FittedSar { ring: Ring::of(y, reach), equation }))
    }
}

/// Lags and their coefficients.
struct Equation {
    /// 0 when the values themselves are regressed.
    difference: usize,
    lags: Vec<usize>,
    coefficients: Vec<f64>,
    constant: f64,
    /// Least and largest forecast: one range of the history beyond either end.
    range: (f64, f64),
}

impl Equation {
    fn reach(&self) -> usize {
        self.difference + self.lags.last().copied().unwrap_or(0)
    }

    fn estimate(y: &[f64], season: usize, context: &Context<'_>) -> Result<Self, FitError> {
        let difference = if season > 1 { season } else { 0 };
        let z: Vec<f64> =
            if difference > 0 { y[difference..].iter().zip(y).map(|(a, b)| a - b).collect() } else { y.to_vec() };
        let lags = lags(season, context.seasons, z.len());
        let Some(&longest) = lags.last() else {
            return Err(FitError::TooShort { cells: y.len(), needed: difference + 12 });
        };
        let (mean, variance) = moments(&z);
        let mut normal = Normal::new(lags.len());
        let mut row = vec![0.0; lags.len()];
        // One heavy-tailed cell must not bend the coefficients: rows are weighted down beyond three deviations.
        let limit = 3.0 * variance.sqrt();
        for t in longest..z.len() {
            for (x, lag) in row.iter_mut().zip(&lags) {
                *x = z[t - lag] - mean;
            }
            let target = z[t] - mean;
            let weight = if target.abs() > limit { limit / target.abs() } else { 1.0 };
            normal.add(&row, target, weight);
        }
        let penalty = vec![PSEUDO_CELLS * variance.max(f64::MIN_POSITIVE); lags.len()];
        let coefficients =
            normal.solve(&penalty).ok_or(FitError::Unsolvable { reason: "the lagged values are collinear" })?;
        // A lasting mean of seasonal differences is growth; half of it is believed.
        let believed = if difference > 0 { 0.5 * mean } else { mean };
        let constant = believed * (1.0 - coefficients.iter().sum::<f64>());
        let low = y.iter().copied().fold(f64::INFINITY, f64::min);
        let high = y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = (low - (high - low), high + (high - low));
        Ok(Self { difference, lags, coefficients, constant, range })
    }

    /// The next value after `y`, which holds at least [`Self::reach`] cells.
    #[inline]
    fn next(&self, y: &[f64]) -> f64 {
        let n = y.len();
        let mut z = self.constant;
        for (lag, c) in self.lags.iter().zip(&self.coefficients) {
            let past = y[n - lag];
            z += c * if self.difference > 0 { past - y[n - lag - self.difference] } else { past };
        }
        let base = if self.difference > 0 { y[n - self.difference] } else { 0.0 };
        (base + z).clamp(self.range.0, self.range.1)
    }
}

/// Ascending lags that leave at least as many rows as they reach back.
fn lags(season: usize, seasons: &[usize], cells: usize) -> Vec<usize> {
    let mut lags = vec![1, 2, 3];
    let long = seasons.iter().copied().filter(|m| *m >= season);
    for m in long.chain((season > 1).then_some(season)).filter(|m| *m > 1) {
        lags.extend([m - 1, m, m + 1]);
        if m == season {
            lags.push(2 * m);
        }
    }
    // The week of a daily difference: the same weekday seen through day-to-day changes.
    lags.sort_unstable();
    lags.dedup();
    lags.retain(|lag| *lag >= 1 && 2 * lag < cells && cells - lag >= 8);
    lags
}

fn moments(z: &[f64]) -> (f64, f64) {
    let n = z.len().max(1) as f64;
    let mean = z.iter().sum::<f64>() / n;
    (mean, z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

struct FittedSar {
    equation: Equation,
    ring: Ring,
}

impl Fitted for FittedSar {
    fn name(&self) -> String {
        format!("sar({})", self.equation.difference.max(1))
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut y = self.ring.to_vec();
        let start = y.len();
        y.reserve(horizon);
        for _ in 0..horizon {
            let next = self.equation.next(&y);
            y.push(next);
        }
        y.split_off(start)
    }

    fn update(&mut self, y: &[f64]) {
        y.iter().for_each(|v| self.ring.push(*v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovers_an_autoregression() {
        let mut state = 7u64;
        let mut y = vec![0.0; 2];
        for t in 2..4_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 33) as f64 / f64::from(1u32 << 31) - 0.5;
            y.push(0.6 * y[t - 1] + 0.3 * y[t - 2] + noise);
        }
        let context = Context { step_ms: 1, seasons: &[], main: 1, horizon: 1 };
        let found = Equation::estimate(&y, 1, &context).unwrap();
        assert!((found.coefficients[0] - 0.6).abs() < 0.05, "{:?}", found.coefficients);
        assert!((found.coefficients[1] - 0.3).abs() < 0.05, "{:?}", found.coefficients);
    }

    #[test]
    fn an_exact_season_is_continued() {
        let y: Vec<f64> = (0..120).map(|t| f64::from(t % 12)).collect();
        let context = Context { step_ms: 1, seasons: &[12], main: 12, horizon: 24 };
        let path = Sar::default().fit(&y, &context).unwrap().predict(24);
        for (h, v) in path.iter().enumerate() {
            assert!((v - (h % 12) as f64).abs() < 1e-9, "{path:?}");
        }
    }
}
