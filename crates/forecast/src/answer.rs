//! The answer: a path, its quantiles, and the evidence for both.

/// One forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// What produced it, for instance `ets(A,Ad,A)` or `mean(dot,ets(M,A,M))`.
    pub model: String,
    /// Seasons used, in cells, ascending; empty when the series has none.
    pub seasons: Vec<usize>,
    /// The point forecast, `horizon` values.
    pub mean: Vec<f64>,
    /// One path a quantile asked for, ascending by level, without duplicates. Paths never cross and stay inside the
    /// bounds.
    pub quantiles: Vec<QuantilePath>,
    /// How the choice and the intervals did on the past.
    pub backtest: Backtest,
    /// What a reader of the forecast should know about its input.
    pub notes: Vec<Note>,
}

impl Forecast {
    /// The path of one quantile, if it was asked for.
    pub fn quantile(&self, level: f64) -> Option<&[f64]> {
        self.quantiles.iter().find(|path| (path.level - level).abs() < 1e-9).map(|path| path.values.as_slice())
    }
}

/// One quantile over the horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantilePath {
    /// Probability that the value falls below, inside (0, 1).
    pub level: f64,
    /// `horizon` values.
    pub values: Vec<f64>,
}

/// Rolling-origin evidence. Errors are those of forecasts made from an origin with nothing but the past of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Backtest {
    /// Folds of one horizon each that the history allowed; 0 when it was too short for any.
    pub folds: usize,
    /// Every candidate that could be fitted, best first.
    pub candidates: Vec<CandidateScore>,
    /// Mean absolute error of the answer's model over that of the seasonal naive; below 1 is better. NaN without a
    /// back-test.
    pub chosen_rel: f64,
    /// Mean absolute scaled error of the answer's model (Hyndman & Koehler, 2006). NaN without a back-test.
    pub mase: f64,
    /// (nominal, observed) coverage of the central intervals among the quantiles asked for; each fold is judged by
    /// the residuals of the other folds.
    pub coverage: Vec<(f64, f64)>,
    /// `residuals_by_horizon[h]`: actual minus forecast, `h + 1` cells ahead, one value an origin, oldest origin
    /// first. Origins overlap, so neighbours are correlated.
    pub residuals_by_horizon: Vec<Vec<f64>>,
}

impl Backtest {
    /// Mean absolute error `h + 1` cells ahead; `None` where no origin reaches that far.
    pub fn mae_at(&self, h: usize) -> Option<f64> {
        let residuals = self.residuals_by_horizon.get(h).filter(|r| !r.is_empty())?;
        Some(residuals.iter().map(|r| r.abs()).sum::<f64>() / residuals.len() as f64)
    }
}

/// One candidate's score in the back-test.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateScore {
    /// Its name.
    pub model: String,
    /// Mean absolute error, in the unit of the history.
    pub mae: f64,
    /// Mean absolute scaled error: `mae` over the in-sample error of the seasonal naive. 0 when both are 0.
    pub mase: f64,
    /// `mae` over that of the seasonal naive on the same origins.
    pub rel_to_seasonal_naive: f64,
    /// Its share in the answer, 0 to 1; the shares of one back-test add up to 1.
    pub weight: f64,
}

/// A remark on the input or on a fallback taken.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// So many missing cells were filled before fitting.
    GapsFilled(usize),
    /// So many leading gaps were cut off.
    LeadingGapsCut(usize),
    /// The last so many cells are gaps: the forecast starts from older news than its origin says.
    StaleFor(usize),
    /// So many infinities were read as gaps.
    InfinitiesDropped(usize),
    /// So many isolated spikes were damped before fitting; scores are against the raw values.
    OutliersDamped(usize),
    /// The level moved for good at this index of the history.
    LevelShiftAt(usize),
    /// The history is too short for a full back-test; intervals rest on few or in-sample residuals.
    ShortHistory {
        /// Observed cells.
        cells: usize,
    },
    /// Only the most recent cells were used.
    WindowCapped {
        /// Cells used.
        used: usize,
        /// Cells given.
        given: usize,
    },
    /// The season was left out: the history does not hold two cycles beside the back-test.
    SeasonDropped(usize),
    /// Every observed value is the same; the forecast repeats it with intervals of no width.
    Constant,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::GapsFilled(n) => write!(f, "{n} missing cells were filled"),
            Self::LeadingGapsCut(n) => write!(f, "{n} leading gaps were cut off"),
            Self::StaleFor(n) => write!(f, "the last {n} cells are missing, the forecast rests on older values"),
            Self::InfinitiesDropped(n) => write!(f, "{n} infinite values were read as gaps"),
            Self::OutliersDamped(n) => write!(f, "{n} isolated spikes were damped"),
            Self::LevelShiftAt(index) => write!(f, "the level shifted at cell {index}"),
            Self::ShortHistory { cells } => write!(f, "{cells} cells are too short for a full back-test"),
            Self::WindowCapped { used, given } => write!(f, "the last {used} of {given} cells were used"),
            Self::SeasonDropped(season) => write!(f, "the season of {season} cells was left out, history too short"),
            Self::Constant => write!(f, "the history is constant"),
        }
    }
}
