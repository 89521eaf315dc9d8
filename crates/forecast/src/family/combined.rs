//! The mean of several models, plain or weighted.
//!
//! Source: Bates & Granger (1969); the strongest M4 entries of the statistical kind are such means.

use crate::error::FitError;
use crate::model::{Context, Fitted, Model};

/// The equally weighted mean of its members; members that cannot be fitted drop out.
pub struct Combined {
    members: Vec<Box<dyn Model>>,
}

impl Combined {
    /// Combines `members`, at least one.
    pub fn new(members: Vec<Box<dyn Model>>) -> Self {
        Self { members }
    }
}

impl Model for Combined {
    fn name(&self) -> String {
        mean_of(self.members.iter().map(|m| m.name()))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        let mut fault = FitError::Unsolvable { reason: "a mean of no models" };
        let mut members = Vec::with_capacity(self.members.len());
        for member in &self.members {
            match member.fit(y, context) {
                Ok(fitted) => members.push((1.0, fitted)),
                Err(why) => fault = why,
            }
        }
        if members.is_empty() { Err(fault) } else { Ok(Box::new(FittedMean::new(members))) }
    }
}

/// The name of a mean: the only member's own, or `mean(a,b)`.
pub(crate) fn mean_of(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [only] => only.clone(),
        several => format!("mean({})", several.join(",")),
    }
}

/// A weighted mean of fitted models.
pub(crate) struct FittedMean {
    members: Vec<(f64, Box<dyn Fitted>)>,
}

impl FittedMean {
    /// Weights are scaled to add up to 1; they must be positive.
    pub(crate) fn new(mut members: Vec<(f64, Box<dyn Fitted>)>) -> Self {
        let total: f64 = members.iter().map(|m| m.0).sum();
        members.iter_mut().for_each(|m| m.0 /= total);
        Self { members }
    }
}

impl Fitted for FittedMean {
    fn name(&self) -> String {
        mean_of(self.members.iter().map(|(_, m)| m.name()))
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut path = vec![0.0; horizon];
        for (weight, member) in &self.members {
            for (sum, v) in path.iter_mut().zip(member.predict(horizon)) {
                *sum += weight * v;
            }
        }
        path
    }

    fn update(&mut self, y: &[f64]) {
        self.members.iter_mut().for_each(|(_, m)| m.update(y));
    }
}
