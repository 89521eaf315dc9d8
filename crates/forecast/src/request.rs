//! The question: one regular history, how far to look ahead, and how.

use crate::error::ForecastError;
use crate::spec::Spec;

/// Least number of observed cells a forecast starts from.
pub const MIN_CELLS: usize = 4;
/// Largest horizon, in cells (a fortnight of minutes).
pub const MAX_HORIZON: usize = 20_160;
/// Largest season, in cells (30 days of minutes).
pub const MAX_SEASON: usize = 43_200;
/// Most seasons of one request.
pub const MAX_SEASONS: usize = 4;
/// Most quantiles of one request.
pub const MAX_QUANTILES: usize = 99;
/// Most folds of the rolling-origin back-test.
pub const MAX_FOLDS: usize = 50;
/// Folds unless asked otherwise.
pub const DEFAULT_FOLDS: usize = 5;

/// One forecast asked for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The history, oldest first, one value a step. NaN is a gap; an infinity counts as a gap and is noted.
    pub y: &'a [f64],
    /// Distance of two cells in milliseconds, positive.
    pub step_ms: i64,
    /// Season lengths in cells.
    pub seasons: Seasons,
    /// Cells to forecast, 1 to [`MAX_HORIZON`].
    pub horizon: usize,
    /// Quantiles to forecast, each inside (0, 1), in any order; may be empty.
    pub quantiles: &'a [f64],
    /// Which model.
    pub model: ModelChoice,
    /// Where values can lie; forecasts and quantiles are clamped to it.
    pub bounds: Bounds,
    /// Folds of the rolling-origin back-test, 1 to [`MAX_FOLDS`]; each spans one horizon where the history allows.
    pub folds: usize,
}

impl<'a> Request<'a> {
    /// A request with seasons, model and folds left to the defaults, no bounds, and the quantiles 0.025, 0.1, 0.5,
    /// 0.9 and 0.975 (the 80 % and 95 % central intervals and the median).
    pub fn new(y: &'a [f64], step_ms: i64, horizon: usize) -> Self {
        const CENTRAL: &[f64] = &[0.025, 0.1, 0.5, 0.9, 0.975];
        Self {
            y,
            step_ms,
            seasons: Seasons::Auto,
            horizon,
            quantiles: CENTRAL,
            model: ModelChoice::Auto,
            bounds: Bounds::default(),
            folds: DEFAULT_FOLDS,
        }
    }

    /// Checks everything that does not need the values of the history.
    ///
    /// # Errors
    /// The first fault found, see [`ForecastError`].
    pub fn validate(&self) -> Result<(), ForecastError> {
        if self.y.is_empty() {
            return Err(ForecastError::Empty { needed: MIN_CELLS });
        }
        if self.step_ms <= 0 {
            return Err(ForecastError::Step { step_ms: self.step_ms });
        }
        if self.horizon == 0 {
            return Err(ForecastError::HorizonZero { max: MAX_HORIZON });
        }
        if self.horizon > MAX_HORIZON {
            return Err(ForecastError::HorizonTooLong { horizon: self.horizon, max: MAX_HORIZON });
        }
        if self.folds == 0 || self.folds > MAX_FOLDS {
            return Err(ForecastError::Folds { folds: self.folds, max: MAX_FOLDS });
        }
        self.validate_quantiles()?;
        self.seasons.validate()?;
        self.bounds.validate()
    }

    fn validate_quantiles(&self) -> Result<(), ForecastError> {
        if self.quantiles.len() > MAX_QUANTILES {
            return Err(ForecastError::TooManyQuantiles { count: self.quantiles.len(), max: MAX_QUANTILES });
        }
        match self.quantiles.iter().find(|q| !(**q > 0.0 && **q < 1.0)) {
            Some(&value) => Err(ForecastError::Quantile { value }),
            None => Ok(()),
        }
    }
}

/// Season lengths, in cells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seasons {
    /// Try the hour, day and week of the step and the strongest autocorrelations ([`crate::seasons::detect`]).
    #[default]
    Auto,
    /// These, the main one first: models of one season and the seasonal-naive yardstick take it. `Given(vec![])` or `Given(vec![1])` means no season. A season of which the history does
    /// not hold two cycles is left out and noted.
    Given(Vec<usize>),
}

impl Seasons {
    fn validate(&self) -> Result<(), ForecastError> {
        let Self::Given(given) = self else { return Ok(()) };
        if given.len() > MAX_SEASONS {
            return Err(ForecastError::TooManySeasons { count: given.len(), max: MAX_SEASONS });
        }
        match given.iter().find(|s| **s == 0 || **s > MAX_SEASON) {
            Some(&season) => Err(ForecastError::Season { season, max: MAX_SEASON }),
            None => Ok(()),
        }
    }
}

/// Which model answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ModelChoice {
    /// Candidates compete in a rolling-origin back-test; the best few are combined.
    #[default]
    Auto,
    /// One model by an expression: a name of [`crate::models()`], with arguments (`ets(A,Ad,N)`,
    /// `seasonal-naive(168)`), nested (`log(mstl)`, `mean(ets,theta)`), or the name of a shipped specification.
    Named(String),
    /// A parsed specification.
    Custom(Box<Spec>),
}

/// Where values can lie.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds {
    /// Least value, in the unit of the history.
    pub lower: Option<f64>,
    /// Largest value.
    pub upper: Option<f64>,
}

impl Bounds {
    /// At least zero: counts, rates, bytes, utilisation.
    pub const NON_NEGATIVE: Self = Self { lower: Some(0.0), upper: None };

    /// `value` moved inside.
    pub fn clamp(&self, value: f64) -> f64 {
        let raised = self.lower.map_or(value, |lower| value.max(lower));
        self.upper.map_or(raised, |upper| raised.min(upper))
    }

    fn validate(&self) -> Result<(), ForecastError> {
        let fault = ForecastError::Bounds { lower: self.lower, upper: self.upper };
        if self.lower.is_some_and(f64::is_nan) || self.upper.is_some_and(f64::is_nan) {
            return Err(fault);
        }
        match (self.lower, self.upper) {
            (Some(lower), Some(upper)) if lower >= upper => Err(fault),
            _ => Ok(()),
        }
    }
}
