//! Decomposition into several seasons, then exponential smoothing of the remainder.
//!
//! Source: Bandara, Hyndman & Bergmeir, "MSTL" (2021) for the shape; see [`crate::decompose`] for where we differ.
//! Between fits the seasonal profiles keep learning from one-step errors, like the seasonal states of ETS.

use crate::decompose::{Seasonality, seasonality};
use crate::error::FitError;
use crate::family::ets::{self, EtsForm, FittedEts};
use crate::model::{Context, Fitted, Model, check};

/// Share of a one-step error that goes into a seasonal profile on update.
const SEASONAL_GAIN: f64 = 0.1;
/// The remainder's smoothing is estimated on at most so many of its newest cells.
const REMAINDER_CELLS: usize = 400;

/// Multiple seasonal decomposition with ETS on the remainder.
#[derive(Debug, Clone, Default)]
pub struct Mstl {
    /// Form of the remainder's ETS without season; `None` takes the better of `A,N,N` and `A,Ad,N`.
    pub remainder: Option<EtsForm>,
    /// Seasons in cells; `None` takes those of the context.
    pub seasons: Option<Vec<usize>>,
}

impl Model for Mstl {
    fn name(&self) -> String {
        match &self.seasons {
            None => "mstl".into(),
            Some(seasons) => format!("mstl({})", list(seasons)),
        }
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 4)?;
        let given = self.seasons.as_deref().unwrap_or(context.seasons);
        let seasons = Context { seasons: given, ..*context }.usable(y.len());
        if seasons.is_empty() {
            return Err(FitError::NoSeason);
        }
        let season = seasonality(y, &seasons);
        let adjusted = season.remove_from(y);
        let tail = &adjusted[adjusted.len().saturating_sub(REMAINDER_CELLS)..];
        let remainder = match self.remainder {
            Some(form) => ets::fit(Some(form), 1, tail)?,
            None => better(ets::fit(Some(EtsForm::SIMPLE), 1, tail), ets::fit(Some(EtsForm::DAMPED), 1, tail))?,
        };
        Ok(Box::new(FittedMstl { season, remainder, cells: y.len() }))
    }
}

fn better(a: Result<FittedEts, FitError>, b: Result<FittedEts, FitError>) -> Result<FittedEts, FitError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok(if b.aicc < a.aicc { b } else { a }),
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(only),
        (Err(why), Err(_)) => Err(why),
    }
}

/// The detour of ETS with a season too long for its own states.
pub(crate) fn ets_on_remainder(
    form: Option<EtsForm>,
    y: &[f64],
    context: &Context<'_>,
) -> Result<Box<dyn Fitted>, FitError> {
    let multiplicative = form.is_some_and(|f| f.season == ets::Kind::Multiplicative);
    let remainder = form.map(|f| EtsForm { season: ets::Kind::None, error: ets::Kind::Additive, ..f });
    let model = Mstl { remainder, seasons: None };
    if multiplicative {
        return super::Logged::new(Box::new(model)).fit(y, context);
    }
    model.fit(y, context)
}

fn list(seasons: &[usize]) -> String {
    seasons.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

struct FittedMstl {
    season: Seasonality,
    remainder: FittedEts,
    cells: usize,
}

impl Fitted for FittedMstl {
    fn name(&self) -> String {
        let seasons: Vec<usize> = self.season.profiles.iter().map(|p| p.values.len()).collect();
        format!("mstl({})+{}", list(&seasons), self.remainder.name())
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        let mut path = self.remainder.predict(horizon);
        path.iter_mut().enumerate().for_each(|(h, v)| *v += self.season.at(self.cells + h));
        path
    }

    fn update(&mut self, y: &[f64]) {
        for &v in y {
            let adjusted = v - self.season.at(self.cells);
            let error = adjusted - self.remainder.step(adjusted);
            for profile in &mut self.season.profiles {
                let m = profile.values.len();
                profile.values[self.cells % m] += SEASONAL_GAIN * profile.kept * error;
            }
            self.cells += 1;
        }
    }
}
