//! Exponential smoothing in state-space form: all thirty combinations of error, trend and season.
//!
//! ```text
//!   error  A additive, M multiplicative        trend  N, A, Ad (damped), M, Md        season  N, A, M
//! ```
//!
//! Source: Hyndman, Koehler, Ord & Snyder, "Forecasting with Exponential Smoothing" (2008), chapters 2, 5 and 7. Smoothing
//! parameters and initial states maximise the likelihood (Nelder–Mead); [`Ets::auto`] takes the form with the least
//! AICc among the admissible ones. We differ in two places: the initial seasonal states are only searched for seasons
//! up to [`MAX_SEARCHED_SEASON`] cells (longer ones keep their classical-decomposition start), and seasons beyond
//! [`MAX_DIRECT_SEASON`] cells are removed by decomposition first ([`super::Mstl`]).

mod filter;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::error::FitError;
use crate::family::mstl;
use crate::model::{Context, Fitted, Model, check, check_positive};
use filter::{Smoothing, State};

/// Longest season whose states ETS carries itself.
pub(crate) const MAX_DIRECT_SEASON: usize = 24;
/// Longest season whose initial states are part of the likelihood search.
pub(crate) const MAX_SEARCHED_SEASON: usize = 12;
/// Coefficients are estimated on at most so many of the newest cells; older ones hardly weigh in.
pub(crate) const MAX_FIT_CELLS: usize = 1_500;

/// How a component enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Absent.
    None,
    /// Added.
    Additive,
    /// Multiplied; needs positive values.
    Multiplicative,
}

/// Whether the trend levels off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damping {
    /// The trend goes on.
    Off,
    /// The trend shrinks by a factor each cell.
    On,
}

/// One of the thirty forms, written `A,Ad,M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtsForm {
    /// Additive or multiplicative; `None` is not a form and is read as additive.
    pub error: Kind,
    /// Trend.
    pub trend: Kind,
    /// Damping of the trend, without meaning when there is none.
    pub damping: Damping,
    /// Season.
    pub season: Kind,
}

impl EtsForm {
    const fn new(error: Kind, trend: Kind, damping: Damping, season: Kind) -> Self {
        Self { error, trend, damping, season }
    }

    /// Simple exponential smoothing, `A,N,N`.
    pub const SIMPLE: Self = Self::new(Kind::Additive, Kind::None, Damping::Off, Kind::None);
    /// Damped additive trend without season, `A,Ad,N`.
    pub const DAMPED: Self = Self::new(Kind::Additive, Kind::Additive, Damping::On, Kind::None);

    fn is_damped(self) -> bool {
        self.trend != Kind::None && self.damping == Damping::On
    }

    /// Whether the form divides or multiplies by the values, so that they have to be positive.
    pub fn needs_positive(self) -> bool {
        [self.error, self.trend, self.season].contains(&Kind::Multiplicative)
    }

    /// The forms of finite forecast variance that [`Ets::auto`] compares (Hyndman et al., §15.1 leave out additive
    /// errors with multiplicative seasons or trends, and multiplicative trends altogether).
    pub fn admissible(positive: bool, seasonal: bool) -> Vec<Self> {
        let errors: &[Kind] = if positive { &[Kind::Additive, Kind::Multiplicative] } else { &[Kind::Additive] };
        let seasons: &[Kind] =
            if seasonal { &[Kind::None, Kind::Additive, Kind::Multiplicative] } else { &[Kind::None] };
        let trends = [(Kind::None, Damping::Off), (Kind::Additive, Damping::Off), (Kind::Additive, Damping::On)];
        let mut forms = Vec::new();
        for &error in errors {
            for (trend, damping) in trends {
                for &season in seasons {
                    if season != Kind::Multiplicative || error == Kind::Multiplicative {
                        forms.push(Self::new(error, trend, damping, season));
                    }
                }
            }
        }
        forms
    }
}

impl fmt::Display for EtsForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |kind| match kind {
            Kind::None => "N",
            Kind::Additive => "A",
            Kind::Multiplicative => "M",
        };
        let error = if self.error == Kind::Multiplicative { "M" } else { "A" };
        let damped = if self.is_damped() { "d" } else { "" };
        write!(f, "{error},{}{damped},{}", letter(self.trend), letter(self.season))
    }
}

impl FromStr for EtsForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [error, trend, season] = parts.as_slice() else {
            return Err(format!("`{text}` is not of the form `A,Ad,N`: error, trend, season"));
        };
        let kind = |letter: &str| match letter {
            "N" => Ok(Kind::None),
            "A" => Ok(Kind::Additive),
            "M" => Ok(Kind::Multiplicative),
            other => Err(format!("`{other}` is none of N, A, M (or Ad, Md for a trend)")),
        };
        let (trend, damping) = match trend.strip_suffix('d') {
            Some(stem) => (kind(stem)?, Damping::On),
            None => (kind(trend)?, Damping::Off),
        };
        let error = kind(error)?;
        if error == Kind::None || (trend == Kind::None && damping == Damping::On) {
            return Err(format!("`{text}`: the error is A or M, and only an A or M trend can be damped"));
        }
        Ok(Self::new(error, trend, damping, kind(season)?))
    }
}

/// Exponential smoothing, of one form or of the best one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ets {
    /// The form; `None` selects by AICc.
    pub form: Option<EtsForm>,
    /// Season in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
}

impl Ets {
    /// The admissible form with the least AICc.
    pub fn auto() -> Self {
        Self::default()
    }

    /// One form.
    pub fn of(form: EtsForm) -> Self {
        Self { form: Some(form), season: None }
    }
}

impl Model for Ets {
    fn name(&self) -> String {
        self.form.map_or("ets".into(), |form| format!("ets({form})"))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 4)?;
        let season = match self.season {
            Some(season) => super::naive::season_of(Some(season), y, context, 2)?,
            None => context.primary(y.len()),
        };
        let wants_season = self.form.is_none_or(|form| form.season != Kind::None);
        if season > MAX_DIRECT_SEASON && wants_season {
            return mstl::ets_on_remainder(self.form, y, context);
        }
        Ok(Box::new(fit(self.form, if wants_season { season } else { 1 }, y)?))
    }
}

/// Fits `form`, or the best admissible one, with a season of `season` cells (1: none).
pub(crate) fn fit(form: Option<EtsForm>, season: usize, y: &[f64]) -> Result<FittedEts, FitError> {
    // A whole number of seasons is cut off, so that phases keep their place.
    let spare = y.len().saturating_sub(MAX_FIT_CELLS);
    let tail = &y[spare / season * season..];
    let positive = check_positive(tail);
    match form {
        Some(form) => {
            if form.needs_positive() {
                positive?;
            }
            if form.season != Kind::None && season < 2 {
                return Err(FitError::NoSeason);
            }
            search::one(form, season, tail)
        }
        None => search::best(&EtsForm::admissible(positive.is_ok(), season > 1), season, tail),
    }
}

/// An ETS model at the end of its history.
#[derive(Debug, Clone)]
pub(crate) struct FittedEts {
    form: EtsForm,
    smoothing: Smoothing,
    state: State,
    /// Corrected Akaike criterion, as R's `forecast::ets` states it.
    pub(crate) aicc: f64,
}

impl FittedEts {
    /// Takes in one value; returns what had been predicted for it.
    pub(crate) fn step(&mut self, y: f64) -> f64 {
        filter::step(self.form, &self.smoothing, &mut self.state, y)
    }
}

impl Fitted for FittedEts {
    fn name(&self) -> String {
        format!("ets({})", self.form)
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        filter::extrapolate(self.form, self.smoothing.phi, &self.state, horizon)
    }

    fn update(&mut self, y: &[f64]) {
        for &v in y {
            self.step(v);
        }
    }
}
