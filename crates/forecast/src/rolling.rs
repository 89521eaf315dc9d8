//! The rolling-origin back-test: where the origins lie, and what a model predicts from each of them.
//!
//! ```text
//!   0 ─────────── first ──┬────┬────┬────┬─── n        every prediction from an origin saw y[..origin] only
//!     fit once on y[..first]   predict, walk on, predict …
//! ```
//!
//! Source: Tashman (2000). Coefficients are estimated once, on the oldest window, and only the state walks on
//! ([`Fitted::update`](crate::model::Fitted::update)): that is what a production forecast does between two refits, and
//! it makes twenty origins cheaper than two refits.

use crate::error::FitError;
use crate::model::{Context, Model};

/// Origins a horizon apart overlap by three quarters with their neighbours.
const ORIGINS_PER_HORIZON: usize = 4;
/// Most origins of one back-test.
const MAX_ORIGINS: usize = 24;
/// Least cells the oldest window holds.
const MIN_TRAIN: usize = 6;

/// Where the origins lie.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Ascending; a prediction from `o` is for the cells `o..`.
    pub(crate) origins: Vec<usize>,
    /// Horizons of one length that fit between the first origin and the end, at least 1 if there is any origin.
    pub(crate) folds: usize,
    /// Cells behind the first origin over the horizon: how many independent looks at the future there are.
    pub(crate) independent: f64,
    pub(crate) horizon: usize,
}

impl Plan {
    /// Origins for `n` cells. Empty when the history is too short for any. The oldest window holds two cycles of
    /// every season and at least 60 % of a short history.
    pub(crate) fn new(n: usize, horizon: usize, folds: usize, seasons: &[usize]) -> Self {
        let longest = seasons.last().copied().unwrap_or(1);
        let floor = MIN_TRAIN.max(2 * longest + usize::from(longest > 1)).max(n * 3 / 5);
        let first = n.saturating_sub(folds.saturating_mul(horizon)).max(floor);
        if first >= n {
            return Self { origins: Vec::new(), folds: 0, independent: 0.0, horizon };
        }
        let span = n - first;
        let stride = (horizon / ORIGINS_PER_HORIZON).max(1).max(span.div_ceil(MAX_ORIGINS));
        // With two horizons or more behind the first origin, the newest origin sees one whole horizon; else paths
        // are cut where the history ends, down to a third of the horizon.
        let full = span >= 2 * horizon;
        let last = if full { n - horizon } else { n - (horizon / 3).clamp(1, span) };
        let mut origins: Vec<usize> =
            (0..).map_while(|k| last.checked_sub(k * stride)).take_while(|o| *o >= first).collect();
        origins.reverse();
        let independent = span as f64 / horizon as f64;
        Self { origins, folds: (span / horizon).clamp(1, folds), independent, horizon }
    }

    /// Cells between origin `o` and the end, at most the horizon.
    pub(crate) fn reach(&self, o: usize, n: usize) -> usize {
        self.horizon.min(n - o)
    }
}

/// One candidate's predictions.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) name: String,
    /// One path an origin, each as long as [`Plan::reach`].
    pub(crate) paths: Vec<Vec<f64>>,
}

/// Predicts from every origin.
pub(crate) fn roll(model: &dyn Model, y: &[f64], context: &Context<'_>, plan: &Plan) -> Result<Run, FitError> {
    let Some(&first) = plan.origins.first() else {
        return Err(FitError::TooShort { cells: y.len(), needed: MIN_TRAIN + 1 });
    };
    let mut fitted = model.fit(&y[..first], context)?;
    let mut paths = Vec::with_capacity(plan.origins.len());
    let mut at = first;
    for &origin in &plan.origins {
        fitted.update(&y[at..origin]);
        at = origin;
        let path = fitted.predict(plan.reach(origin, y.len()));
        if path.iter().any(|v| !v.is_finite()) {
            return Err(FitError::Unsolvable { reason: "a prediction left the finite numbers" });
        }
        paths.push(path);
    }
    Ok(Run { name: model.name(), paths })
}

/// Mean absolute error of the paths of each origin against `actual`, NaN cells skipped; NaN for an origin of gaps.
pub(crate) fn errors(paths: &[Vec<f64>], actual: &[f64], plan: &Plan) -> Vec<f64> {
    let scored = paths.iter().zip(&plan.origins);
    scored.map(|(path, &o)| crate::metrics::mae(&actual[o..o + path.len()], path)).collect()
}

/// Mean of the values that are numbers; NaN if none is.
pub(crate) fn mean_of_numbers(values: &[f64]) -> f64 {
    let (sum, count) = values.iter().filter(|v| !v.is_nan()).fold((0.0, 0usize), |(s, c), v| (s + v, c + 1));
    if count == 0 { f64::NAN } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::build;

    #[test]
    fn plans_keep_their_promises() {
        for n in 1..200 {
            for horizon in [1, 2, 6, 18, 48, 300] {
                for seasons in [&[][..], &[4], &[4, 28]] {
                    let plan = Plan::new(n, horizon, 5, seasons);
                    assert!(plan.origins.windows(2).all(|w| w[0] < w[1]));
                    assert!(plan.origins.iter().all(|o| *o < n && *o >= 2 * seasons.last().unwrap_or(&1)));
                    assert!(plan.origins.len() <= MAX_ORIGINS + 1);
                    assert_eq!(plan.origins.is_empty(), plan.folds == 0);
                }
            }
        }
        let plan = Plan::new(700, 48, 5, &[24, 168]);
        assert_eq!((plan.origins[0], plan.folds), (460, 5));
        assert_eq!(plan.origins.last(), Some(&652));
    }

    #[test]
    fn predictions_do_not_see_the_future() {
        let y: Vec<f64> = (0..300).map(|t| 50.0 + 10.0 * f64::from(t % 12) + f64::from(t * 31 % 17)).collect();
        let plan = Plan::new(300, 12, 4, &[12]);
        let context = Context { step_ms: 1, seasons: &[12], main: 12, horizon: 12 };
        for entry in crate::models().iter().filter(|m| !["auto", "log", "mean"].contains(&m.name)) {
            let model = build(entry.name).unwrap();
            let whole = roll(model.as_ref(), &y, &context, &plan).unwrap();
            for (i, &origin) in plan.origins.iter().enumerate() {
                let mut other = y.clone();
                other[origin..].iter_mut().for_each(|v| *v = 1_000.0 - *v);
                let changed = roll(model.as_ref(), &other, &context, &plan);
                let changed = changed.unwrap_or_else(|why| panic!("{}: {why}", entry.name));
                assert_eq!(changed.paths[i], whole.paths[i], "{} at {origin}", entry.name);
            }
        }
    }
}
