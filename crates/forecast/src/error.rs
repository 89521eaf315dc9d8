//! What can go wrong, named after the fault, with the numbers and the next step in the message.

/// Why a request could not be answered at all.
///
/// Faults of single candidates ([`FitError`]) only surface here when the model was asked for by name; under
/// [`ModelChoice::Auto`](crate::ModelChoice::Auto) a candidate that cannot be fitted drops out of the race.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForecastError {
    /// The slice holds no cell.
    #[error("the history is empty; pass at least {needed} observed cells")]
    Empty {
        /// Least number of observed cells.
        needed: usize,
    },
    /// Every cell is a gap (NaN or infinite).
    #[error("all {cells} cells of the history are gaps; check the selector and the time range")]
    AllGaps {
        /// Length of the history.
        cells: usize,
    },
    /// Some cells are observed, but too few to forecast from.
    #[error("only {observed} of {cells} cells are observed, {needed} are needed; widen the time range")]
    TooShort {
        /// Observed cells.
        observed: usize,
        /// Length of the history.
        cells: usize,
        /// Least number of observed cells.
        needed: usize,
    },
    /// A horizon of zero asks for nothing.
    #[error("the horizon is 0 cells; ask for 1 to {max}")]
    HorizonZero {
        /// Largest horizon.
        max: usize,
    },
    /// A horizon beyond the limit.
    #[error("the horizon of {horizon} cells exceeds {max}; use a longer step")]
    HorizonTooLong {
        /// Asked for.
        horizon: usize,
        /// Largest horizon.
        max: usize,
    },
    /// The distance of two cells must be positive.
    #[error("the step is {step_ms} ms; it must be positive")]
    Step {
        /// Asked for.
        step_ms: i64,
    },
    /// A quantile outside (0, 1).
    #[error("quantile {value} is not inside (0, 1); write 0.95, not 95")]
    Quantile {
        /// Asked for.
        value: f64,
    },
    /// Too many quantiles in one request.
    #[error("{count} quantiles were asked for, at most {max} are answered; split the request")]
    TooManyQuantiles {
        /// Asked for.
        count: usize,
        /// Limit.
        max: usize,
    },
    /// A season of zero cells or beyond the limit.
    #[error("a season of {season} cells is outside 1 to {max}; use a longer step or leave the season to `auto`")]
    Season {
        /// Asked for.
        season: usize,
        /// Largest season.
        max: usize,
    },
    /// Too many seasons in one request.
    #[error("{count} seasons were given, at most {max} are used; keep the strongest ones")]
    TooManySeasons {
        /// Asked for.
        count: usize,
        /// Limit.
        max: usize,
    },
    /// Bounds that leave no room or are not numbers.
    #[error("the bounds lower {lower:?} and upper {upper:?} leave no room; lower must be below upper and neither NaN")]
    Bounds {
        /// Lower bound asked for.
        lower: Option<f64>,
        /// Upper bound asked for.
        upper: Option<f64>,
    },
    /// A number of folds outside the limits.
    #[error("{folds} folds are outside 1 to {max}; 5 is the default")]
    Folds {
        /// Asked for.
        folds: usize,
        /// Limit.
        max: usize,
    },
    /// No model of that name.
    #[error("no model is called `{name}`; known are {known}")]
    UnknownModel {
        /// Asked for.
        name: String,
        /// The names, separated by commas.
        known: String,
    },
    /// Arguments or parameters a model does not understand.
    #[error("model `{model}`: {reason}")]
    Parameters {
        /// The model or family.
        model: String,
        /// What is wrong with which parameter.
        reason: String,
    },
    /// A model specification that does not parse.
    #[error("model specification: {reason}")]
    Spec {
        /// The parser's message, with line and column.
        reason: String,
    },
    /// The model asked for by name cannot be fitted to this history.
    #[error("model `{model}` cannot be fitted; try `auto`")]
    Fit {
        /// The model.
        model: String,
        /// Why.
        #[source]
        source: FitError,
    },
}

/// Why one model could not be fitted to one history.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// Fewer cells than the model has to have.
    #[error("{cells} cells are too few, {needed} are needed")]
    TooShort {
        /// Length of the history.
        cells: usize,
        /// Least length.
        needed: usize,
    },
    /// A value that is not a finite number; fill gaps before fitting ([`crate::clean::fill_gaps`]).
    #[error("cell {index} is not a finite number; fill the gaps first")]
    NotFinite {
        /// Its index.
        index: usize,
    },
    /// A multiplicative or logarithmic form met a value that is zero or negative.
    #[error("cell {index} is not positive, which a multiplicative form needs")]
    NotPositive {
        /// Its index.
        index: usize,
    },
    /// The model needs a season and none was given or found.
    #[error("the model needs a season of at least 2 cells with two full cycles of history")]
    NoSeason,
    /// The optimiser or the linear solver found no usable parameters.
    #[error("no usable parameters were found: {reason}")]
    Unsolvable {
        /// What happened.
        reason: &'static str,
    },
}
