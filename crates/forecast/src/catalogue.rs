//! Models by name: what there is, and how an expression such as `mean(ets(A,Ad,N),log(mstl))` becomes a model.

use crate::error::ForecastError;
use crate::family::{
    Combined, Drift, Ets, Fourier, Logged, Mstl, Naive, Penalty, Profile, Sar, SeasonalAverage, SeasonalNaive, Theta,
    ThetaKind, WindowAverage,
};
use crate::model::Model;
use crate::request::MAX_SEASON;

/// Longest expression and deepest nesting that is read.
const MAX_LENGTH: usize = 1_000;
const MAX_DEPTH: usize = 6;

/// One entry of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name, as [`crate::ModelChoice::Named`] takes it.
    pub name: &'static str,
    /// Optional arguments in parentheses, empty when there are none.
    pub arguments: &'static str,
    /// One line on what it does.
    pub about: &'static str,
}

const CATALOGUE: &[ModelInfo] = &[
    info("auto", "", "candidates compete in a rolling-origin back-test, the best few are combined"),
    info("naive", "", "the last value"),
    info("drift", "", "the last value plus the mean step of the history"),
    info("seasonal-naive", "(season)", "the last season"),
    info("window-average", "(cells)", "mean of the last cells"),
    info("seasonal-average", "(season,cycles)", "mean of the same phase over the last cycles"),
    info("profile", "(season,cycles)", "median of the same phase over the last cycles, moved to the recent level"),
    info("ets", "(error,trend,season)", "exponential smoothing; without arguments the form with the least AICc"),
    info("theta", "", "standard Theta method on seasonally adjusted values"),
    info("theta-optimised", "", "Theta with an optimised second line"),
    info("dot", "", "dynamic optimised Theta"),
    info("mstl", "(season,…)", "several seasons removed by moving averages, exponential smoothing of the remainder"),
    info("sar", "(season)", "autoregression on seasonal differences, ridge-penalised"),
    info("fourier", "(pairs)", "elastic-net regression on a line and sine waves of every season"),
    info("harmonic", "(pairs)", "least-squares regression on a line and sine waves of every season"),
    info("log", "(model)", "any model on the logarithm of positive values"),
    info("mean", "(model,…)", "equally weighted mean of models"),
];

const fn info(name: &'static str, arguments: &'static str, about: &'static str) -> ModelInfo {
    ModelInfo { name, arguments, about }
}

/// Every model there is, with its arguments and one line of explanation.
pub fn models() -> &'static [ModelInfo] {
    CATALOGUE
}

/// Builds the model an expression names. `auto` is not a single model and is refused here.
///
/// # Errors
/// [`ForecastError::UnknownModel`] and [`ForecastError::Parameters`].
pub fn build(expression: &str) -> Result<Box<dyn Model>, ForecastError> {
    if expression.len() > MAX_LENGTH {
        let start: String = expression.chars().take(20).collect();
        return Err(parameters(&start, format!("expressions are read up to {MAX_LENGTH} bytes")));
    }
    build_at(expression, 0)
}

fn build_at(expression: &str, depth: usize) -> Result<Box<dyn Model>, ForecastError> {
    if depth > MAX_DEPTH {
        return Err(parameters(expression, format!("models nest at most {MAX_DEPTH} deep")));
    }
    let call = Call::parse(expression)?;
    let nested = |text: &&str| build_at(text, depth + 1);
    match call.name {
        "log" => {
            call.at_most(1)?;
            let inner = call.arguments.first().ok_or_else(|| call.fault("needs a model, as in `log(mstl)`"))?;
            Ok(Box::new(Logged::new(nested(inner)?)))
        }
        "mean" => {
            if call.arguments.is_empty() {
                return Err(call.fault("needs models, as in `mean(ets,theta)`"));
            }
            let members = call.arguments.iter().map(nested).collect::<Result<Vec<_>, _>>()?;
            Ok(Box::new(Combined::new(members)))
        }
        _ => call.leaf(),
    }
}

fn parameters(model: &str, reason: impl Into<String>) -> ForecastError {
    ForecastError::Parameters { model: model.into(), reason: reason.into() }
}

pub(crate) fn unknown(name: &str) -> ForecastError {
    let known: Vec<&str> = CATALOGUE.iter().map(|m| m.name).collect();
    ForecastError::UnknownModel { name: name.into(), known: known.join(", ") }
}

/// `name(argument,…)`, arguments split at the commas outside nested parentheses.
struct Call<'a> {
    name: &'a str,
    arguments: Vec<&'a str>,
}

impl<'a> Call<'a> {
    fn parse(text: &'a str) -> Result<Self, ForecastError> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Self { name: text, arguments: Vec::new() });
        };
        let name = name.trim();
        let inner = rest.strip_suffix(')').ok_or_else(|| parameters(name, "the closing parenthesis is missing"))?;
        let (mut arguments, mut depth, mut start) = (Vec::new(), 0i32, 0);
        for (i, c) in inner.char_indices() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    arguments.push(inner[start..i].trim());
                    start = i + 1;
                }
                _ => {}
            }
            if depth < 0 {
                return Err(parameters(name, "the parentheses do not match"));
            }
        }
        if depth != 0 {
            return Err(parameters(name, "the parentheses do not match"));
        }
        arguments.push(inner[start..].trim());
        arguments.retain(|a| !a.is_empty());
        Ok(Self { name, arguments })
    }

    fn fault(&self, reason: impl Into<String>) -> ForecastError {
        parameters(self.name, reason)
    }

    fn at_most(&self, count: usize) -> Result<(), ForecastError> {
        if self.arguments.len() > count {
            return Err(self.fault(format!("takes at most {count} arguments, {} were given", self.arguments.len())));
        }
        Ok(())
    }

    fn number(&self, index: usize, least: usize, most: usize) -> Result<Option<usize>, ForecastError> {
        let Some(text) = self.arguments.get(index) else { return Ok(None) };
        match text.parse::<usize>() {
            Ok(n) if (least..=most).contains(&n) => Ok(Some(n)),
            _ => Err(self.fault(format!("`{text}` is not a whole number from {least} to {most}"))),
        }
    }

    fn season(&self) -> Result<Option<usize>, ForecastError> {
        self.number(0, 2, MAX_SEASON)
    }

    fn leaf(&self) -> Result<Box<dyn Model>, ForecastError> {
        let most = match self.name {
            "ets" => 3,
            "seasonal-average" | "profile" => 2,
            "mstl" => crate::request::MAX_SEASONS,
            "naive" | "drift" => 0,
            _ => 1,
        };
        self.at_most(most)?;
        Ok(match self.name {
            "naive" => Box::new(Naive),
            "drift" => Box::new(Drift),
            "seasonal-naive" => Box::new(SeasonalNaive { season: self.season()? }),
            "window-average" => Box::new(WindowAverage { window: self.number(0, 1, MAX_SEASON)? }),
            "seasonal-average" => {
                let cycles = self.number(1, 1, 52)?.unwrap_or(SeasonalAverage::default().cycles);
                Box::new(SeasonalAverage { season: self.season()?, cycles })
            }
            "profile" => {
                let cycles = self.number(1, 1, 16)?.unwrap_or(Profile::default().cycles);
                Box::new(Profile { season: self.season()?, cycles })
            }
            "ets" if self.arguments.is_empty() => Box::new(Ets::auto()),
            "ets" => Box::new(Ets::of(self.arguments.join(",").parse().map_err(|why: String| self.fault(why))?)),
            "theta" => self.theta(ThetaKind::Standard)?,
            "theta-optimised" => self.theta(ThetaKind::Optimised)?,
            "dot" => self.theta(ThetaKind::DynamicOptimised)?,
            "mstl" => Box::new(self.mstl()?),
            "sar" => Box::new(Sar { season: self.season()? }),
            "fourier" => Box::new(self.fourier(Fourier::default().penalty)?),
            "harmonic" => Box::new(self.fourier(Penalty::None)?),
            other => return Err(unknown(other)),
        })
    }

    fn theta(&self, kind: ThetaKind) -> Result<Box<dyn Model>, ForecastError> {
        Ok(Box::new(Theta { kind, season: self.season()? }))
    }

    fn fourier(&self, penalty: Penalty) -> Result<Fourier, ForecastError> {
        Ok(Fourier { penalty, pairs: self.number(0, 1, 30)?.unwrap_or(Fourier::default().pairs) })
    }

    fn mstl(&self) -> Result<Mstl, ForecastError> {
        let mut seasons = Vec::new();
        for index in 0..self.arguments.len() {
            seasons.extend(self.number(index, 2, MAX_SEASON)?);
        }
        seasons.sort_unstable();
        seasons.dedup();
        Ok(Mstl { remainder: None, seasons: (!seasons.is_empty()).then_some(seasons) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_but_auto_builds_under_its_own_name() {
        for entry in models().iter().filter(|m| m.name != "auto") {
            let expression = match entry.name {
                "log" => "log(mstl)".to_owned(),
                "mean" => "mean(ets,theta)".to_owned(),
                name => name.to_owned(),
            };
            let model = build(&expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
            assert!(build(&model.name()).is_ok(), "{} does not read back", model.name());
        }
    }

    #[test]
    fn expressions_nest() {
        let model = build(" mean( ets(A,Ad,N), log( mstl(24,168) ), seasonal-naive(7) ) ").unwrap();
        assert_eq!(model.name(), "mean(ets(A,Ad,N),log(mstl(24,168)),seasonal-naive(7))");
    }

    #[test]
    fn faults_name_the_model_and_the_argument() {
        let fault = |text: &str| build(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(fault("prophet").starts_with("no model is called `prophet`; known are auto, naive"));
        assert!(fault("ets(X,N,N)").contains("`X` is none of N, A, M"));
        assert!(fault("ets(A,N)").contains("not of the form"));
        assert!(fault("seasonal-naive(1)").contains("`1` is not a whole number from 2"));
        assert!(fault("naive(3)").contains("takes at most 0 arguments"));
        assert!(fault("log").contains("needs a model"));
        assert!(fault("mean(ets").contains("closing parenthesis"));
        assert!(fault("mean(ets))").contains("do not match"));
        assert!(fault(&format!("{}ets{}", "log(".repeat(9), ")".repeat(9))).contains("nest at most"));
        assert!(fault(&"x".repeat(2_000)).contains("up to 1000 bytes"));
    }
}
