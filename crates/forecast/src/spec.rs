//! Model specifications: the TOML files of `models/`, text in, model out.
//!
//! ```toml
//! name = "weekly-ets"
//! family = "ets"              # a name of the catalogue, or "auto"
//! season = [24, 168]          # cells; "auto" (the default) detects them, [] means none
//! horizon = 48                # what it was tuned for, for readers
//! seed = 0                    # for methods that draw; none of the present ones does
//! notes = "why it exists"
//! [parameters]                # of the family; unknown ones are refused
//! form = "A,Ad,A"
//! ```

use serde::Deserialize;

use crate::catalogue;
use crate::error::ForecastError;
use crate::family::{
    Combined, Ets, Fourier, Logged, Mstl, Penalty, Profile, Sar, SeasonalAverage, SeasonalNaive, Theta, ThetaKind,
    WindowAverage,
};
use crate::model::Model;
use crate::policy::Policy;
use crate::request::{MAX_SEASON, MAX_SEASONS, Seasons};

/// Longest text that is read.
const MAX_BYTES: usize = 64 * 1024;

/// The specifications that ship with the product, as (name, text).
pub const SHIPPED: &[(&str, &str)] = &[
    ("auto", include_str!("../../../models/auto.toml")),
    ("dot", include_str!("../../../models/dot.toml")),
    ("ets", include_str!("../../../models/ets.toml")),
    ("fourier", include_str!("../../../models/fourier.toml")),
    ("mstl", include_str!("../../../models/mstl.toml")),
    ("profile", include_str!("../../../models/profile.toml")),
    ("sar", include_str!("../../../models/sar.toml")),
    ("seasonal-naive", include_str!("../../../models/seasonal-naive.toml")),
    ("theta", include_str!("../../../models/theta.toml")),
];

/// A parsed specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What it becomes.
    pub family: Family,
    /// Seasons; [`Seasons::Auto`] leaves the choice to the request.
    pub seasons: Seasons,
    /// Horizon it was made for, in cells. Informative: the request decides.
    pub horizon: Option<usize>,
    /// Seed of methods that draw random numbers; none of the present families does.
    pub seed: u64,
    /// Free text.
    pub notes: String,
}

/// What a specification becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Family {
    /// The competition of candidates, with its rules.
    Auto(Policy),
    /// One model, as an expression or with parameters an expression cannot state.
    One(Parameters),
}

/// A family's name and its parameters, each of which belongs to some families only.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// Name in the catalogue.
    pub family: String,
    /// Form of `ets`, for instance `A,Ad,M`.
    pub form: Option<String>,
    /// Season of `seasonal-naive`, `seasonal-average`, `profile`, `theta`, `dot`, `sar`.
    pub season: Option<usize>,
    /// Cycles of `seasonal-average` and `profile`.
    pub cycles: Option<usize>,
    /// Cells of `window-average`.
    pub window: Option<usize>,
    /// Sine and cosine pairs of `fourier` and `harmonic`.
    pub pairs: Option<usize>,
    /// Weight of the penalty of `fourier`.
    pub penalty: Option<f64>,
    /// Share of the absolute penalty of `fourier`, 0 to 1.
    pub l1: Option<f64>,
    /// Form of the remainder of `mstl`.
    pub remainder: Option<String>,
    /// Members of `mean`, as expressions; the only member of `log`.
    pub members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    family: String,
    season: Option<RawSeason>,
    horizon: Option<usize>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    notes: String,
    #[serde(default)]
    parameters: toml::Table,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSeason {
    Word(String),
    Cells(Vec<usize>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameters {
    form: Option<String>,
    season: Option<usize>,
    cycles: Option<usize>,
    window: Option<usize>,
    pairs: Option<usize>,
    penalty: Option<f64>,
    l1: Option<f64>,
    remainder: Option<String>,
    #[serde(default)]
    members: Vec<String>,
}

impl Spec {
    /// Parses one specification.
    ///
    /// # Errors
    /// [`ForecastError::Spec`] with line and column for text that is not such a file, [`ForecastError::UnknownModel`]
    /// and [`ForecastError::Parameters`] for families and parameters that do not fit.
    pub fn parse(text: &str) -> Result<Self, ForecastError> {
        if text.len() > MAX_BYTES {
            return Err(ForecastError::Spec { reason: format!("{} bytes exceed {MAX_BYTES}", text.len()) });
        }
        let raw: Raw = toml::from_str(text).map_err(unreadable)?;
        let family = match raw.family.as_str() {
            "auto" => Family::Auto(Policy::from_table(raw.parameters)?),
            name => Family::One(Parameters::from_table(name, raw.parameters)?),
        };
        let spec = Self {
            seasons: seasons(raw.season)?,
            name: raw.name,
            family,
            horizon: raw.horizon,
            seed: raw.seed,
            notes: raw.notes,
        };
        if let Family::One(parameters) = &spec.family {
            parameters.build()?;
        }
        Ok(spec)
    }
}

/// The shipped specification of that name.
pub fn shipped(name: &str) -> Option<Result<Spec, ForecastError>> {
    SHIPPED.iter().find(|(n, _)| *n == name).map(|(_, text)| Spec::parse(text))
}

pub(crate) fn unreadable(why: toml::de::Error) -> ForecastError {
    ForecastError::Spec { reason: why.to_string().trim_end().to_owned() }
}

fn seasons(raw: Option<RawSeason>) -> Result<Seasons, ForecastError> {
    match raw {
        None => Ok(Seasons::Auto),
        Some(RawSeason::Word(word)) if word == "auto" => Ok(Seasons::Auto),
        Some(RawSeason::Word(word)) => {
            Err(ForecastError::Spec { reason: format!("season is `{word}`; write \"auto\" or a list of cells") })
        }
        Some(RawSeason::Cells(cells)) if cells.len() > MAX_SEASONS => {
            Err(ForecastError::TooManySeasons { count: cells.len(), max: MAX_SEASONS })
        }
        Some(RawSeason::Cells(cells)) => match cells.iter().find(|s| **s == 0 || **s > MAX_SEASON) {
            Some(&season) => Err(ForecastError::Season { season, max: MAX_SEASON }),
            None => Ok(Seasons::Given(cells)),
        },
    }
}

impl Parameters {
    fn from_table(family: &str, table: toml::Table) -> Result<Self, ForecastError> {
        let raw: RawParameters = table.try_into().map_err(unreadable)?;
        let parameters = Self {
            family: family.into(),
            form: raw.form,
            season: raw.season,
            cycles: raw.cycles,
            window: raw.window,
            pairs: raw.pairs,
            penalty: raw.penalty,
            l1: raw.l1,
            remainder: raw.remainder,
            members: raw.members,
        };
        parameters.refuse_foreign()?;
        Ok(parameters)
    }

    /// Parameters of another family are a mistake, not a default.
    fn refuse_foreign(&self) -> Result<(), ForecastError> {
        let own: &[&str] = match self.family.as_str() {
            "ets" => &["form", "season"],
            "seasonal-naive" | "theta" | "theta-optimised" | "dot" | "sar" => &["season"],
            "seasonal-average" | "profile" => &["season", "cycles"],
            "window-average" => &["window"],
            "fourier" => &["pairs", "penalty", "l1"],
            "harmonic" => &["pairs"],
            "mstl" => &["remainder"],
            "mean" | "log" => &["members"],
            "naive" | "drift" => &[],
            other => return Err(catalogue::unknown(other)),
        };
        let given = [
            ("form", self.form.is_some()),
            ("season", self.season.is_some()),
            ("cycles", self.cycles.is_some()),
            ("window", self.window.is_some()),
            ("pairs", self.pairs.is_some()),
            ("penalty", self.penalty.is_some()),
            ("l1", self.l1.is_some()),
            ("remainder", self.remainder.is_some()),
            ("members", !self.members.is_empty()),
        ];
        match given.iter().find(|(name, is)| *is && !own.contains(name)) {
            Some((name, _)) => Err(self.fault(format!("has no parameter `{name}`; it takes {own:?}"))),
            None => Ok(()),
        }
    }

    fn fault(&self, reason: impl Into<String>) -> ForecastError {
        ForecastError::Parameters { model: self.family.clone(), reason: reason.into() }
    }

    fn within(
        &self,
        name: &str,
        value: Option<usize>,
        least: usize,
        most: usize,
    ) -> Result<Option<usize>, ForecastError> {
        match value {
            Some(v) if !(least..=most).contains(&v) => {
                Err(self.fault(format!("`{name}` is {v}; it lies between {least} and {most}")))
            }
            other => Ok(other),
        }
    }

    /// Builds the model.
    ///
    /// # Errors
    /// [`ForecastError::Parameters`] for values outside their limits.
    pub fn build(&self) -> Result<Box<dyn Model>, ForecastError> {
        let season = self.within("season", self.season, 2, MAX_SEASON)?;
        let cycles = self.within("cycles", self.cycles, 1, 52)?;
        let form = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|why: String| self.fault(why)),
        };
        let theta = |kind| Ok(Box::new(Theta { kind, season }) as Box<dyn Model>);
        match self.family.as_str() {
            "ets" => Ok(Box::new(Ets { form: form(&self.form)?, season })),
            "seasonal-naive" => Ok(Box::new(SeasonalNaive { season })),
            "theta" => theta(ThetaKind::Standard),
            "theta-optimised" => theta(ThetaKind::Optimised),
            "dot" => theta(ThetaKind::DynamicOptimised),
            "sar" => Ok(Box::new(Sar { season })),
            "seasonal-average" => {
                Ok(Box::new(SeasonalAverage { season, cycles: cycles.unwrap_or(SeasonalAverage::default().cycles) }))
            }
            "profile" => Ok(Box::new(Profile { season, cycles: cycles.unwrap_or(Profile::default().cycles).min(16) })),
            "window-average" => {
                Ok(Box::new(WindowAverage { window: self.within("window", self.window, 1, MAX_SEASON)? }))
            }
            "mstl" => Ok(Box::new(Mstl { remainder: form(&self.remainder)?, seasons: None })),
            "fourier" | "harmonic" => self.fourier(),
            "log" if self.members.len() == 1 => Ok(Box::new(Logged::new(catalogue::build(&self.members[0])?))),
            "log" => Err(self.fault("`members` has to hold exactly one model")),
            "mean" if self.members.is_empty() => Err(self.fault("`members` has to hold at least one model")),
            "mean" => {
                let members = self.members.iter().map(|m| catalogue::build(m)).collect::<Result<Vec<_>, _>>()?;
                Ok(Box::new(Combined::new(members)))
            }
            other => catalogue::build(other),
        }
    }

    fn fourier(&self) -> Result<Box<dyn Model>, ForecastError> {
        let pairs = self.within("pairs", self.pairs, 1, 30)?.unwrap_or(Fourier::default().pairs);
        if self.family == "harmonic" {
            return Ok(Box::new(Fourier { penalty: Penalty::None, pairs }));
        }
        let (weight, l1) = (self.penalty.unwrap_or(1e-3), self.l1.unwrap_or(0.5));
        if !(0.0..=1e6).contains(&weight) || !(0.0..=1.0).contains(&l1) {
            return Err(self.fault(format!("penalty {weight} must be 0 or more, l1 {l1} between 0 and 1")));
        }
        Ok(Box::new(Fourier { penalty: Penalty::Elastic { weight, l1 }, pairs }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_parses_under_its_file_name() {
        for (name, text) in SHIPPED {
            let spec = Spec::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(&spec.name, name);
            assert!(!spec.notes.is_empty(), "{name} says nothing about itself");
        }
    }

    #[test]
    fn a_custom_file_becomes_a_model() {
        let text = "name = \"mine\"\nfamily = \"ets\"\nseason = [24, 168]\n[parameters]\nform = \"A,Ad,A\"\n";
        let spec = Spec::parse(text).unwrap();
        assert_eq!(spec.seasons, Seasons::Given(vec![24, 168]));
        let Family::One(parameters) = &spec.family else { panic!("one model") };
        assert_eq!(parameters.build().unwrap().name(), "ets(A,Ad,A)");
    }

    #[test]
    fn unknown_keys_families_and_values_are_refused() {
        let fault = |text: &str| Spec::parse(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(fault("name = \"a\"\nfamily = \"ets\"\ncolour = 1").contains("unknown field `colour`"));
        assert!(fault("name = \"a\"\nfamily = \"oracle\"").contains("no model is called `oracle`"));
        assert!(
            fault("name = \"a\"\nfamily = \"ets\"\n[parameters]\ncycles = 3").contains("has no parameter `cycles`")
        );
        assert!(fault("name = \"a\"\nfamily = \"ets\"\n[parameters]\nform = \"Q\"").contains("not of the form"));
        assert!(fault("name = \"a\"\nfamily = \"ets\"\nseason = \"dayly\"").contains("season is `dayly`"));
        assert!(fault("name = \"a\"\nfamily = \"ets\"\nseason = [0]").contains("outside 1 to"));
        assert!(fault("name = \"a\"\nfamily = \"log\"").contains("exactly one model"));
        assert!(fault("name").contains("model specification"));
    }
}
