//! Regression on a straight line and sine waves of every season, with an autoregressive correction of the last error.
//!
//! Source: "dynamic harmonic regression", Hyndman & Athanasopoulos (3rd ed.), §10.5. The regression itself is linfa's:
//! ordinary least squares or elastic net (Zou & Hastie, 2005). The error of the last cell fades by its lag-one
//! autocorrelation instead of a full ARMA model.

use std::f64::consts::TAU;

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};

use crate::classical::autocorrelation;
use crate::error::FitError;
use crate::model::{Context, Fitted, Model, check};

/// Rows the regression sees at most; longer histories are cut to their newest cells.
const MAX_ROWS: usize = 4_032;
/// Sine and cosine pairs of the shortest season, and of each longer one.
const PAIRS: (usize, usize) = (8, 5);

/// What keeps the coefficients small.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Penalty {
    /// Nothing: ordinary least squares.
    None,
    /// Elastic net on standardised values.
    Elastic {
        /// Weight of the penalty, 0 or more.
        weight: f64,
        /// Share of the absolute part, 0 (ridge) to 1 (lasso).
        l1: f64,
    },
}

/// Fourier regression.
#[derive(Debug, Clone, Copy)]
pub struct Fourier {
    /// Penalty.
    pub penalty: Penalty,
    /// Sine and cosine pairs of the shortest season; longer seasons take five eighths of it.
    pub pairs: usize,
}

impl Default for Fourier {
    fn default() -> Self {
        Self { penalty: Penalty::Elastic { weight: 1e-3, l1: 0.5 }, pairs: PAIRS.0 }
    }
}

impl Model for Fourier {
    fn name(&self) -> String {
        "fourier".into()
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 8)?;
        let seasons = context.usable(y.len());
        let longest = seasons.last().copied().unwrap_or(1);
        let rows = y.len().min(MAX_ROWS.max(2 * longest));
        let tail = &y[y.len() - rows..];
        let waves = waves(&seasons, self.pairs.max(1));
        let features = Features { waves, start: y.len() - rows, rows };
        if features.width() + 4 > rows {
            return Err(FitError::TooShort { cells: y.len(), needed: features.width() + 4 });
        }
        let (intercept, coefficients) = self.regress(&features, tail)?;
        let mut fitted =
            FittedFourier { features, intercept, coefficients, persistence: 0.0, cells: y.len(), error: 0.0 };
        let residuals: Vec<f64> =
            tail.iter().enumerate().map(|(i, v)| v - fitted.line_at(y.len() - rows + i)).collect();
        fitted.persistence = autocorrelation(&residuals, 1).clamp(0.0, 0.999);
        fitted.error = residuals[residuals.len() - 1];
        Ok(Box::new(fitted))
    }
}

impl Fourier {
    /// Intercept and coefficients, in the unit of `y`.
    fn regress(&self, features: &Features, y: &[f64]) -> Result<(f64, Vec<f64>), FitError> {
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let deviation = (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / y.len() as f64).sqrt();
        if deviation <= 1e-12 * mean.abs() || deviation == 0.0 {
            return Ok((mean, vec![0.0; features.width()]));
        }
        let mut design = Array2::zeros((y.len(), features.width()));
        for (i, mut row) in design.rows_mut().into_iter().enumerate() {
            for (x, v) in row.iter_mut().zip(features.at(features.start + i)) {
                *x = v;
            }
        }
        let target: Array1<f64> = y.iter().map(|v| (v - mean) / deviation).collect();
        let dataset = Dataset::new(design, target);
        let unsolvable = FitError::Unsolvable { reason: "the regression on sine waves did not converge" };
        let (intercept, coefficients) = match self.penalty {
            Penalty::None => {
                let fitted = LinearRegression::new().fit(&dataset).map_err(|_| unsolvable.clone())?;
                (fitted.intercept(), fitted.params().to_vec())
            }
            Penalty::Elastic { weight, l1 } => {
                let net = ElasticNet::params().penalty(weight).l1_ratio(l1).max_iterations(200).tolerance(1e-3);
                let fitted = net.fit(&dataset).map_err(|_| unsolvable.clone())?;
                (fitted.intercept(), fitted.hyperplane().to_vec())
            }
        };
        let scaled: Vec<f64> = coefficients.iter().map(|c| c * deviation).collect();
        let finite = scaled.iter().all(|c| c.is_finite()) && intercept.is_finite();
        if finite { Ok((mean + intercept * deviation, scaled)) } else { Err(unsolvable) }
    }
}

/// Periods of the waves, in cells, without those a shorter season already has.
fn waves(seasons: &[usize], pairs: usize) -> Vec<f64> {
    let mut waves = Vec::new();
    for (i, &m) in seasons.iter().enumerate() {
        let most = if i == 0 { pairs } else { (pairs * PAIRS.1 / PAIRS.0).max(1) };
        let shared = |k: usize| seasons[..i].iter().any(|shorter| (k * shorter).is_multiple_of(m));
        // Below the Nyquist wave, whose sine and cosine are the same column.
        let fresh = (1..m.div_ceil(2)).filter(|k| !shared(*k)).take(most);
        waves.extend(fresh.map(|k| m as f64 / k as f64));
    }
    waves
}

/// The regressors of a cell: a line over the fitted rows, then a sine and a cosine a wave.
struct Features {
    waves: Vec<f64>,
    start: usize,
    rows: usize,
}

impl Features {
    fn width(&self) -> usize {
        1 + 2 * self.waves.len()
    }

    fn at(&self, cell: usize) -> impl Iterator<Item = f64> + '_ {
        // From -1.7 to 1.7 over the rows: variance one, like twice that of a sine. Beyond the end it stands still
        // after a quarter of the rows, since a straight line ages badly.
        let offset = (cell as f64 - self.start as f64) / self.rows as f64;
        let line = 3.4 * (offset.min(1.25) - 0.5);
        let waves = self.waves.iter().flat_map(move |period| {
            let angle = TAU * (cell as f64 / period).fract();
            [angle.sin(), angle.cos()]
        });
        std::iter::once(line).chain(waves)
    }
}

struct FittedFourier {
    features: Features,
    intercept: f64,
    coefficients: Vec<f64>,
    /// Lag-one autocorrelation of the errors.
    persistence: f64,
    cells: usize,
    /// Error of the last cell.
    error: f64,
}

impl FittedFourier {
    fn line_at(&self, cell: usize) -> f64 {
        self.intercept + self.features.at(cell).zip(&self.coefficients).map(|(x, c)| x * c).sum::<f64>()
    }
}

impl Fitted for FittedFourier {
    fn name(&self) -> String {
        format!("fourier({})", self.features.waves.len())
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut error = self.error;
        (0..horizon)
            .map(|h| {
                error *= self.persistence;
                self.line_at(self.cells + h) + error
            })
            .collect()
    }

    fn update(&mut self, y: &[f64]) {
        if let Some(last) = y.last() {
            self.cells += y.len();
            self.error = last - self.line_at(self.cells - 1);
        }
    }
}
