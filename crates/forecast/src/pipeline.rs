//! From a request to a forecast.
//!
//! ```text
//!   y ─▶ prepare: cut, scale, seasons, fill, damp ─▶ roll every candidate ─▶ weights ─▶ refit the winners on all of y
//!                                                          │                                   │
//!                                                          └─ residuals of the mix ─▶ bands ───┴─▶ mean, quantiles
//! ```

use crate::answer::{Backtest, CandidateScore, Forecast, Note, QuantilePath};
use crate::bands::{self, Bands, Residuals};
use crate::catalogue;
use crate::error::{FitError, ForecastError};
use crate::family::combined::mean_of;
use crate::family::{Naive, SeasonalNaive};
use crate::metrics::{ratio, seasonal_scale};
use crate::model::{Context, Model};
use crate::policy::Policy;
use crate::prepare::{Prepared, prepare};
use crate::request::{ModelChoice, Request};
use crate::rolling::{Plan, Run, errors, mean_of_numbers, roll};
use crate::select;
use crate::spec::{self, Family};

/// Answers one request.
///
/// Deterministic: the same request gives the same bits. Cost: linear in the history (which is cut to its newest part,
/// see [`Note::WindowCapped`]) times the number of candidates.
///
/// # Errors
/// [`ForecastError`]. A candidate that cannot be fitted drops out under `Auto`; if all do, the naive forecast answers.
pub fn forecast(request: &Request<'_>) -> Result<Forecast, ForecastError> {
    request.validate()?;
    let choice = Choice::of(&request.model)?;
    let prepared = prepare(request, choice.seasons.as_ref())?;
    if prepared.constant {
        return Ok(constant(request, prepared));
    }
    let context =
        Context { step_ms: request.step_ms, seasons: &prepared.seasons, main: prepared.main, horizon: request.horizon };
    let race = Race::run(choice.field, &prepared, &context, request.folds)?;
    let answer = race.finish(&prepared, &context)?;
    Ok(assemble(request, prepared, answer))
}

/// Who competes, and the seasons a specification insists on.
struct Choice {
    field: Field,
    seasons: Option<Vec<usize>>,
}

enum Field {
    Competition(Policy),
    One(Box<dyn Model>),
}

impl Choice {
    fn of(model: &ModelChoice) -> Result<Self, ForecastError> {
        match model {
            ModelChoice::Auto => Ok(Self { field: Field::Competition(Policy::shipped()?.clone()), seasons: None }),
            ModelChoice::Named(name) => match spec::shipped(name.trim()) {
                Some(shipped) => Self::of_spec(&shipped?),
                None => Ok(Self { field: Field::One(catalogue::build(name)?), seasons: None }),
            },
            ModelChoice::Custom(spec) => Self::of_spec(spec),
        }
    }

    fn of_spec(spec: &spec::Spec) -> Result<Self, ForecastError> {
        let field = match &spec.family {
            Family::Auto(policy) => Field::Competition(policy.clone()),
            Family::One(parameters) => Field::One(parameters.build()?),
        };
        let seasons = match &spec.seasons {
            crate::request::Seasons::Auto => None,
            crate::request::Seasons::Given(cells) => Some(cells.clone()),
        };
        Ok(Self { field, seasons })
    }
}

/// The back-test of all candidates.
struct Race {
    plan: Plan,
    models: Vec<Box<dyn Model>>,
    runs: Vec<Run>,
    /// Mean absolute error of each run, in the unit of the prepared values.
    errors: Vec<f64>,
    weights: Vec<f64>,
    /// Mean absolute error of the seasonal naive.
    yardstick: f64,
}

/// What the race hands to the assembly, in the unit of the prepared values.
struct Answer {
    model: String,
    mean: Vec<f64>,
    bands: Option<Bands>,
    residuals: Residuals,
    backtest: Backtest,
    plan: Plan,
}

impl Race {
    fn run(field: Field, prepared: &Prepared, context: &Context<'_>, folds: usize) -> Result<Self, ForecastError> {
        let plan = Plan::new(prepared.values.len(), context.horizon, folds, context.seasons);
        let race = Self {
            yardstick: yardstick(prepared, context, &plan),
            plan,
            models: Vec::new(),
            runs: Vec::new(),
            errors: Vec::new(),
            weights: Vec::new(),
        };
        match field {
            Field::One(model) => Ok(race.alone(model, prepared, context)),
            Field::Competition(policy) => race.compete(&policy, prepared, context),
        }
    }

    fn compete(mut self, policy: &Policy, prepared: &Prepared, context: &Context<'_>) -> Result<Self, ForecastError> {
        for model in policy.candidates(prepared.values.len(), context.seasons)? {
            if let Ok(run) = roll(model.as_ref(), &prepared.values, context, &self.plan) {
                self.score(run, prepared);
                self.models.push(model);
            }
        }
        self.weights = select::weights(&self.errors, self.plan.folds as f64, policy);
        if self.weights.iter().all(|w| *w == 0.0) {
            self.fall_back(policy, prepared, context)?;
        }
        Ok(self)
    }

    /// One model asked for by name: it is scored where there is anything to score; whether it fits shows at the end.
    fn alone(mut self, model: Box<dyn Model>, prepared: &Prepared, context: &Context<'_>) -> Self {
        if let Ok(run) = roll(model.as_ref(), &prepared.values, context, &self.plan) {
            self.score(run, prepared);
        }
        self.models.push(model);
        self.weights.push(1.0);
        self
    }

    fn score(&mut self, run: Run, prepared: &Prepared) {
        self.errors.push(mean_of_numbers(&errors(&run.paths, &prepared.raw, &self.plan)));
        self.runs.push(run);
    }

    /// Nobody could be scored: too short, or gaps all over the back-test. The candidates that fit the whole history
    /// at all are averaged, with the naive as the last resort.
    fn fall_back(&mut self, policy: &Policy, prepared: &Prepared, context: &Context<'_>) -> Result<(), ForecastError> {
        let n = prepared.values.len();
        let fits = |model: &dyn Model| model.fit(&prepared.values, context).is_ok();
        let preferred = ["ets", "theta", "seasonal-naive"];
        let candidates = policy.candidates(n, context.seasons)?.into_iter();
        self.models = candidates.filter(|m| preferred.contains(&m.name().as_str()) && fits(m.as_ref())).collect();
        if self.models.is_empty() {
            self.models.push(Box::new(Naive));
        }
        self.weights = vec![1.0 / self.models.len() as f64; self.models.len()];
        self.runs.clear();
        self.errors.clear();
        Ok(())
    }

    /// Refits the winners on the whole history.
    fn finish(self, prepared: &Prepared, context: &Context<'_>) -> Result<Answer, ForecastError> {
        let mut mean = vec![0.0; context.horizon];
        let (mut total, mut names, mut fault) = (0.0, Vec::new(), None);
        let mut order: Vec<usize> = (0..self.models.len()).filter(|i| self.weights[*i] > 0.0).collect();
        order.sort_by(|a, b| self.weights[*b].total_cmp(&self.weights[*a]));
        for i in order {
            match refit(self.models[i].as_ref(), prepared, context) {
                Ok((name, path)) => {
                    total += self.weights[i];
                    names.push(name);
                    mean.iter_mut().zip(path).for_each(|(m, v)| *m += self.weights[i] * v);
                }
                Err(source) => fault = Some(ForecastError::Fit { model: self.models[i].name(), source }),
            }
        }
        if total <= 0.0 {
            return Err(fault.unwrap_or_else(|| catalogue::unknown("")));
        }
        mean.iter_mut().for_each(|m| *m /= total);
        let residuals = self.residuals(&prepared.raw);
        let learnt = Bands::learn(residuals.iter(), context.horizon, self.plan.independent);
        let bands = learnt.or_else(|| Bands::random_walk(&prepared.values, context.horizon));
        let backtest = self.report(&residuals, prepared, context);
        Ok(Answer { model: mean_of(names.into_iter()), mean, bands, residuals, backtest, plan: self.plan })
    }

    /// Residuals of the weighted mix, an origin a row.
    fn residuals(&self, raw: &[f64]) -> Residuals {
        let mixed: Vec<(f64, &[Vec<f64>])> = self
            .runs
            .iter()
            .zip(&self.weights)
            .filter(|(_, w)| **w > 0.0)
            .map(|(r, w)| (*w, r.paths.as_slice()))
            .collect();
        let paths = select::combine(&mixed);
        let rows = paths.iter().zip(&self.plan.origins);
        rows.map(|(path, &o)| path.iter().zip(&raw[o..]).map(|(f, y)| y - f).collect()).collect()
    }

    fn report(&self, residuals: &Residuals, prepared: &Prepared, context: &Context<'_>) -> Backtest {
        let season = context.primary(prepared.values.len());
        let unit = seasonal_scale(&prepared.raw, season);
        let mut candidates: Vec<CandidateScore> = self
            .runs
            .iter()
            .zip(&self.errors)
            .zip(&self.weights)
            .map(|((run, &error), &weight)| CandidateScore {
                model: run.name.clone(),
                mae: error * prepared.scale,
                mase: ratio(error, unit),
                rel_to_seasonal_naive: ratio(error, self.yardstick),
                weight,
            })
            .collect();
        candidates.sort_by(|a, b| a.mae.total_cmp(&b.mae));
        let row_errors: Vec<f64> = residuals.iter().map(|row| absolute_mean(row)).collect();
        let error = mean_of_numbers(&row_errors);
        Backtest {
            folds: if residuals.is_empty() { 0 } else { self.plan.folds },
            candidates,
            chosen_rel: ratio(error, self.yardstick),
            mase: ratio(error, unit),
            coverage: Vec::new(),
            residuals_by_horizon: Vec::new(),
        }
    }
}

fn absolute_mean(row: &[f64]) -> f64 {
    mean_of_numbers(&row.iter().map(|r| r.abs()).collect::<Vec<_>>())
}

/// Mean absolute error of the seasonal naive (the naive without a season) in the back-test; NaN without one.
fn yardstick(prepared: &Prepared, context: &Context<'_>, plan: &Plan) -> f64 {
    let season = context.primary(prepared.values.len());
    let seasonal = SeasonalNaive { season: Some(season) };
    let model: &dyn Model = if season > 1 { &seasonal } else { &Naive };
    match roll(model, &prepared.values, context, plan) {
        Ok(run) => mean_of_numbers(&errors(&run.paths, &prepared.raw, plan)),
        Err(_) => f64::NAN,
    }
}

fn refit(model: &dyn Model, prepared: &Prepared, context: &Context<'_>) -> Result<(String, Vec<f64>), FitError> {
    let fitted = model.fit(&prepared.values, context)?;
    let path = fitted.predict(context.horizon);
    if path.iter().any(|v| !v.is_finite()) {
        return Err(FitError::Unsolvable { reason: "a prediction left the finite numbers" });
    }
    Ok((fitted.name(), path))
}

/// Ascending levels without duplicates.
fn levels(request: &Request<'_>) -> Vec<f64> {
    let mut levels = request.quantiles.to_vec();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    levels
}

/// Back to the unit of the request, inside its bounds.
fn assemble(request: &Request<'_>, mut prepared: Prepared, answer: Answer) -> Forecast {
    let restore = |v: f64| {
        let value = (v * prepared.scale).clamp(-f64::MAX, f64::MAX);
        request.bounds.clamp(value)
    };
    let levels = levels(request);
    let paths = levels.iter().map(|&level| {
        let values = match &answer.bands {
            Some(bands) => answer.mean.iter().zip(bands.offsets(level)).map(|(m, o)| restore(m + o)).collect(),
            None => answer.mean.iter().map(|m| restore(*m)).collect(),
        };
        QuantilePath { level, values }
    });
    let quantiles = paths.collect();
    let mut backtest = answer.backtest;
    backtest.coverage = bands::coverage(&answer.residuals, &answer.plan, &levels);
    backtest.residuals_by_horizon = by_horizon(&answer.residuals, request.horizon, prepared.scale);
    if backtest.folds < request.folds.min(2) {
        prepared.notes.push(Note::ShortHistory { cells: prepared.observed });
    }
    let mean = answer.mean.iter().map(|m| restore(*m)).collect();
    Forecast { model: answer.model, seasons: prepared.seasons, mean, quantiles, backtest, notes: prepared.notes }
}

/// Rows of origins turned into rows of horizons, gaps left out.
fn by_horizon(residuals: &Residuals, horizon: usize, scale: f64) -> Vec<Vec<f64>> {
    if residuals.is_empty() {
        return Vec::new();
    }
    let at = |h: usize| residuals.iter().filter_map(move |row| row.get(h)).filter(|r| !r.is_nan());
    (0..horizon).map(|h| at(h).map(|r| r * scale).collect()).collect()
}

/// A history that never moved.
fn constant(request: &Request<'_>, mut prepared: Prepared) -> Forecast {
    let value = request.bounds.clamp(prepared.values.first().map_or(0.0, |v| v * prepared.scale));
    let values = vec![value; request.horizon];
    let paths = levels(request).into_iter().map(|level| QuantilePath { level, values: values.clone() });
    let quantiles = paths.collect();
    prepared.notes.push(Note::Constant);
    let backtest = Backtest { chosen_rel: f64::NAN, mase: f64::NAN, ..Backtest::default() };
    Forecast { model: "naive".into(), seasons: Vec::new(), mean: values, quantiles, backtest, notes: prepared.notes }
}
