//! Any model on the logarithm of the values: multiplicative seasons and growth become additive.
//!
//! The back-transformed path is the median of the forecast distribution, not its mean; the intervals come from
//! residuals on the original scale, so no bias adjustment is needed for them.

use crate::error::FitError;
use crate::model::{Context, Fitted, Model, check, check_positive};

/// `exp(model(ln y))`, for positive values.
pub struct Logged {
    inner: Box<dyn Model>,
}

impl Logged {
    /// Wraps `inner`.
    pub fn new(inner: Box<dyn Model>) -> Self {
        Self { inner }
    }
}

struct FittedLog {
    inner: Box<dyn Fitted>,
    /// Least and largest logarithm a forecast may have: one range of the history beyond either end.
    range: (f64, f64),
}

impl Model for Logged {
    fn name(&self) -> String {
        format!("log({})", self.inner.name())
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 1)?;
        check_positive(y)?;
        let logs: Vec<f64> = y.iter().map(|v| v.ln()).collect();
        let low = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let room = (high - low).max(0.1);
        let inner = self.inner.fit(&logs, context)?;
        Ok(Box::new(FittedLog { inner, range: (low - room, high + room) }))
    }
}

impl Fitted for FittedLog {
    fn name(&self) -> String {
        format!("log({})", self.inner.name())
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let (low, high) = self.range;
        self.inner.predict(horizon).into_iter().map(|v| v.clamp(low, high).exp()).collect()
    }

    fn update(&mut self, y: &[f64]) {
        // A value that is not positive has no logarithm: it is read as the least value the range allows.
        let least = self.range.0;
        let logs: Vec<f64> = y.iter().map(|v| if *v > 0.0 { v.ln().max(least) } else { least }).collect();
        self.inner.update(&logs);
    }
}
