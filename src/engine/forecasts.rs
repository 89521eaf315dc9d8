//! A forecast as it is kept: what was forecast, from when, how far, with which quantiles and which proof.

use forecast::Forecast;
use scale::DemandForecast;
use serde::{Deserialize, Serialize};
use series::{Labels, Timestamp};

use crate::settings::ForecastJob;

/// The newest forecast of one series of one job; kept in the control log under [`ForecastRecord::id`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForecastRecord {
    /// `job` or `job-<series>` when the job has several series; safe in a path.
    pub(crate) id: String,
    pub(crate) job: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    /// Labels of the series, without those of the forecast.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) query: String,
    pub(crate) model: String,
    /// The last instant that was known, ms; the first value is for one step later.
    pub(crate) origin_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) mean: Vec<f64>,
    pub(crate) quantiles: Vec<(f64, Vec<f64>)>,
    /// Error relative to the seasonal naive forecast in the back-test; below 1 is better.
    pub(crate) relative_error: Option<f64>,
    pub(crate) mase: Option<f64>,
    /// (nominal, observed) coverage of central intervals in the back-test.
    pub(crate) coverage: Vec<(f64, f64)>,
    pub(crate) folds: usize,
    pub(crate) seasons: Vec<usize>,
    /// `(model, error relative to seasonal naive, share)`, best first.
    pub(crate) candidates: Vec<(String, Option<f64>, f64)>,
    pub(crate) notes: Vec<String>,
    /// How the forecast before this one did, once its future arrived.
    pub(crate) tracked: Option<Tracked>,
    /// The forecast before this one, to draw behind what came: origin and median.
    pub(crate) earlier: Option<(i64, Vec<f64>)>,
}

/// A combination is called by the number of its members and the best of them; the members stand under `candidates`.
fn short_model(name: &str, candidates: &[forecast::CandidateScore]) -> String {
    let members = candidates.iter().filter(|candidate| candidate.weight > 0.0).count();
    match candidates.first() {
        Some(best) if name.starts_with("mean(") && members > 1 => format!("mean of {members}, best {}", best.model),
        _ => name.to_owned(),
    }
}

/// Accuracy against what really came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub(crate) cells: usize,
    pub(crate) mae: f64,
    pub(crate) bias: f64,
    /// Observed coverage of the widest central interval.
    pub(crate) coverage: Option<f64>,
}

impl ForecastRecord {
    pub(crate) fn new(job: &ForecastJob, id: String, labels: &Labels, origin: Timestamp, found: Forecast) -> Self {
        let number = |value: f64| value.is_finite().then_some(value);
        let backtest = found.backtest;
        Self {
            id,
            job: job.name.clone(),
            title: if job.title.is_empty() { job.name.clone() } else { job.title.clone() },
            unit: job.unit.clone(),
            labels: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: job.promql.clone().or_else(|| job.sql.clone()).unwrap_or_default(),
            model: short_model(&found.model, &backtest.candidates),
            origin_ms: origin.0,
            step_ms: job.step.0.0,
            mean: found.mean,
            quantiles: found.quantiles.into_iter().map(|path| (path.level, path.values)).collect(),
            relative_error: number(backtest.chosen_rel),
            mase: number(backtest.mase),
            coverage: backtest.coverage.into_iter().filter(|pair| pair.1.is_finite()).collect(),
            folds: backtest.folds,
            seasons: found.seasons,
            candidates: backtest
                .candidates
                .into_iter()
                .map(|c| (c.model, number(c.rel_to_seasonal_naive), c.weight))
                .collect(),
            notes: found.notes.iter().map(ToString::to_string).collect(),
            tracked: None,
            earlier: None,
        }
    }

    /// Time of value `i`.
    pub(crate) fn time(&self, i: usize) -> Timestamp {
        Timestamp(self.origin_ms + (i as i64 + 1) * self.step_ms)
    }

    /// The path of a quantile, if it was forecast.
    pub(crate) fn quantile(&self, level: f64) -> Option<&[f64]> {
        self.quantiles.iter().find(|(known, _)| (known - level).abs() < 1e-9).map(|(_, values)| values.as_slice())
    }

    /// The median, or the mean without one.
    pub(crate) fn median(&self) -> &[f64] {
        self.quantile(0.5).unwrap_or(&self.mean)
    }

    /// Coverage of the widest interval in the back-test.
    pub(crate) fn widest_coverage(&self) -> Option<(f64, f64)> {
        self.coverage.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// As the planner reads it: value `i` stands for the step that ends at [`ForecastRecord::time`].
    pub(crate) fn demand(&self) -> DemandForecast {
        DemandForecast {
            origin: Timestamp(self.origin_ms),
            step_ms: self.step_ms,
            quantiles: self.quantiles.clone(),
            model: self.model.clone(),
            backtest_error: self.relative_error,
            coverage: self.coverage.iter().find(|(nominal, _)| (nominal - 0.8).abs() < 1e-6).map(|pair| pair.1),
        }
    }
}
