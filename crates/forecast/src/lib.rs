//! Forecasts of one regular series: slices of `f64` and a step in, a path with calibrated quantiles out.
//!
//! ```text
//!   Request { y, step, seasons, horizon, quantiles, model, bounds, folds }
//!      │ prepare   cut, scale by a power of two, find seasons, fill gaps, damp spikes        prepare, clean, seasons
//!      │ roll      every candidate predicts from up to 24 past origins                       rolling, family/*
//!      │ select    shrunk errors become weights                                              select, policy
//!      │ refit     the winners, on the whole history
//!      │ bands     residuals of the mix by horizon become quantiles                          bands
//!      ▼
//!   Forecast { model, seasons, mean, quantiles, backtest, notes }
//! ```
//!
//! The room knows no labels, files, clocks or threads, and draws no random numbers: the same request gives the same
//! bits. Limits: [`MAX_HORIZON`], [`MAX_SEASON`], [`MAX_SEASONS`], [`MAX_QUANTILES`], [`MAX_FOLDS`]; of long histories
//! only the newest 4,096 cells, or four cycles of the longest season, plus the back-test are used
//! ([`Note::WindowCapped`]).
//!
//! New methods implement [`Model`] and [`Fitted`], get a line in the catalogue and, once they earn it in a measured
//! back-test, a place in `models/auto.toml`.

mod answer;
mod bands;
mod catalogue;
mod classical;
pub mod clean;
mod decompose;
mod error;
pub mod family;
mod linear;
pub mod metrics;
mod model;
mod nelder_mead;
mod pipeline;
mod policy;
mod prepare;
mod request;
mod ring;
mod rolling;
pub mod seasons;
mod select;
pub mod spec;
mod track;

pub use answer::{Backtest, CandidateScore, Forecast, Note, QuantilePath};
pub use catalogue::{ModelInfo, build, models};
pub use error::{FitError, ForecastError};
pub use model::{Context, Fitted, Model};
pub use pipeline::forecast;
pub use policy::Policy;
pub use request::{
    Bounds, DEFAULT_FOLDS, MAX_FOLDS, MAX_HORIZON, MAX_QUANTILES, MAX_SEASON, MAX_SEASONS, MIN_CELLS, ModelChoice,
    Request, Seasons,
};
pub use spec::Spec;
pub use track::{Accuracy, track};
