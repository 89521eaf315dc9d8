//! The rules of the competition: who takes part, how many win, how sharply errors turn into weights.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::catalogue;
use crate::error::ForecastError;
use crate::model::Model;
use crate::spec::unreadable;

/// Most candidates of one competition.
const MAX_CANDIDATES: usize = 40;
/// Histories longer than this, or with a longer season than [`SHORT_SEASON`], take the candidates for long ones.
const SHORT_CELLS: usize = 400;
const SHORT_SEASON: usize = 24;

/// Rules of `auto`. Candidates are expressions; `each` as an argument stands for every season of the history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Candidates for histories without a season.
    pub plain: Vec<String>,
    /// Candidates for up to 400 cells with a season of up to 24 cells.
    pub seasonal: Vec<String>,
    /// Candidates for longer histories or seasons.
    pub long: Vec<String>,
    /// Most members of the combination, at least 1.
    pub members: usize,
    /// Candidates whose shrunk error exceeds that of the best by more than this factor stay out, at least 1.
    pub keep: f64,
    /// Weights are the shrunk relative errors to minus this power, 0 or more.
    pub sharpness: f64,
    /// Pseudo-origins by which every candidate's error is pulled towards the mean of all, 0 or more.
    pub shrinkage: f64,
}

impl Policy {
    pub(crate) fn from_table(table: toml::Table) -> Result<Self, ForecastError> {
        let policy: Self = table.try_into().map_err(unreadable)?;
        policy.validate()?;
        Ok(policy)
    }

    /// The shipped rules (`models/auto.toml`).
    ///
    /// # Errors
    /// Only if the shipped file were broken, which a test rules out.
    pub fn shipped() -> Result<&'static Self, ForecastError> {
        static SHIPPED: OnceLock<Result<Policy, ForecastError>> = OnceLock::new();
        let parse = || match crate::spec::shipped("auto") {
            Some(Ok(crate::spec::Spec { family: crate::spec::Family::Auto(policy), .. })) => Ok(policy),
            Some(Err(why)) => Err(why),
            _ => Err(ForecastError::Spec { reason: "models/auto.toml is not of family auto".into() }),
        };
        SHIPPED.get_or_init(parse).as_ref().map_err(Clone::clone)
    }

    fn validate(&self) -> Result<(), ForecastError> {
        let fault = |reason: String| ForecastError::Parameters { model: "auto".into(), reason };
        let ok = self.members >= 1 && self.keep >= 1.0 && self.sharpness >= 0.0 && self.shrinkage >= 0.0;
        if !ok || !self.keep.is_finite() || !self.sharpness.is_finite() || !self.shrinkage.is_finite() {
            return Err(fault("members and keep are at least 1, sharpness and shrinkage at least 0".into()));
        }
        for list in [&self.plain, &self.seasonal, &self.long] {
            if list.is_empty() || list.len() > MAX_CANDIDATES {
                return Err(fault(format!("every list holds 1 to {MAX_CANDIDATES} candidates")));
            }
            for expression in list {
                catalogue::build(&expression.replace("each", "24"))?;
            }
        }
        Ok(())
    }

    /// The candidates for a history of `cells` values with these seasons.
    ///
    /// # Errors
    /// Those of [`catalogue::build`].
    pub(crate) fn candidates(&self, cells: usize, seasons: &[usize]) -> Result<Vec<Box<dyn Model>>, ForecastError> {
        let list = match seasons.last() {
            None => &self.plain,
            Some(longest) if cells <= SHORT_CELLS && *longest <= SHORT_SEASON => &self.seasonal,
            Some(_) => &self.long,
        };
        let mut candidates = Vec::with_capacity(list.len() + seasons.len());
        for expression in list {
            if expression.contains("each") {
                for season in seasons {
                    candidates.push(catalogue::build(&expression.replace("each", &season.to_string()))?);
                }
            } else {
                candidates.push(catalogue::build(expression)?);
            }
        }
        Ok(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_rules_hold_and_each_becomes_every_season() {
        let policy = Policy::shipped().unwrap();
        let long = policy.candidates(700, &[24, 168]).unwrap();
        assert!(long.iter().any(|m| m.name() == "seasonal-naive(168)"));
        assert!(!policy.candidates(50, &[]).unwrap().is_empty());
    }
}
