//! The two traits every model implements.
//!
//! ```text
//!   Model (name, parameters) ──fit(y[..o])──▶ Fitted (parameters + state at o) ──predict(h)──▶ path
//!                                               └─update(y[o..o'])──▶ state at o', same parameters
//! ```
//!
//! `update` is what makes a rolling-origin back-test cheap: parameters are estimated once on the oldest window, then
//! the state walks forward, so that every prediction saw nothing but its past.

use crate::error::FitError;

/// What a model may know besides the values.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Distance of two cells in milliseconds.
    pub step_ms: i64,
    /// Seasons in cells, ascending, each at least 2; may be empty.
    pub seasons: &'a [usize],
    /// The season that explains most, one of `seasons`; 1 without any. Models of one season take this one.
    pub main: usize,
    /// Cells that will be forecast; models may tune themselves to it.
    pub horizon: usize,
}

impl Context<'_> {
    /// The main season if `cells` hold two cycles of it, else the longest one of which they do, else 1.
    pub fn primary(&self, cells: usize) -> usize {
        if self.main > 1 && 2 * self.main <= cells {
            return self.main;
        }
        self.seasons.iter().rev().copied().find(|m| 2 * m <= cells).unwrap_or(1)
    }

    /// The seasons of which `cells` hold two cycles.
    pub fn usable(&self, cells: usize) -> Vec<usize> {
        self.seasons.iter().copied().filter(|m| *m >= 2 && 2 * m <= cells).collect()
    }
}

/// A forecasting method with its parameters fixed and its coefficients still open.
pub trait Model: Send + Sync {
    /// The expression that names it, as accepted by [`crate::ModelChoice::Named`].
    fn name(&self) -> String;

    /// Estimates the coefficients on `y`: finite values, oldest first, one a step.
    ///
    /// # Errors
    /// [`FitError`] when the history is too short or unfit for the form. Never panics on finite input.
    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError>;
}

/// A model fitted to a history, standing at the end of it.
pub trait Fitted: Send + Sync {
    /// The form found, for instance `ets(A,Ad,N)`.
    fn name(&self) -> String;

    /// The next `horizon` values. Finite for every finite history whose magnitude is sane (the pipeline scales).
    fn predict(&self, horizon: usize) -> Vec<f64>;

    /// Takes in the next values (finite, oldest first) without estimating anew: the state moves, the coefficients
    /// stay.
    fn update(&mut self, y: &[f64]);
}

/// Checks what every model needs: enough cells, all of them finite.
pub(crate) fn check(y: &[f64], needed: usize) -> Result<(), FitError> {
    if let Some(index) = y.iter().position(|v| !v.is_finite()) {
        return Err(FitError::NotFinite { index });
    }
    if y.len() < needed {
        return Err(FitError::TooShort { cells: y.len(), needed });
    }
    Ok(())
}

/// Checks that every value is above zero.
pub(crate) fn check_positive(y: &[f64]) -> Result<(), FitError> {
    match y.iter().position(|v| *v <= 0.0) {
        Some(index) => Err(FitError::NotPositive { index }),
        None => Ok(()),
    }
}
