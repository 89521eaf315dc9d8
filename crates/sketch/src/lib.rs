//! Mergeable summaries: small states that stand for many values, each with its error bound and its source.
//!
//! | summary | answers | bound | merge |
//! |---|---|---|---|
//! | [`QuantileSketch`] | any percentile | relative error of the value ≤ α (1 % by default) | exact |
//! | [`Distinct`] | how many different keys | standard error 1.04 / √2ᵖ | exact |
//! | [`TopKeys`] | the most frequent keys | count too high by at most n / k | bound holds in any order |
//! | [`LeastSquares`] | slope and level with an interval | exact up to rounding | exact up to rounding |
//! | [`Reservoir`] | a uniform sample of points, for robust slopes | sample size k | exact |
//! | [`Ewma`] | decayed mean and deviation of irregular samples | exact | – |
//! | [`RobustLevel`] | level and scale that outliers cannot drag | breakdown by clipping | – |
//! | [`TailSketch`] | how rare a magnitude is | bucket width 2^(1/3), decayed | exact up to rounding |
//!
//! "Exact" merge means: the summary of two parts equals, bit for bit, the summary of the whole, whatever the order. No summary
//! reads a clock or draws random numbers. [`wire`] holds the byte format they share.

mod distinct;
mod error;
mod ewma;
mod heavy;
mod quantile;
mod regression;
mod reservoir;
mod robust;
mod robust_line;
mod student;
mod tail;
pub mod wire;

pub use distinct::Distinct;
pub use error::SketchError;
pub use ewma::Ewma;
pub use heavy::{Heavy, TopKeys};
pub use quantile::QuantileSketch;
pub use regression::{LeastSquares, Line};
pub use reservoir::Reservoir;
pub use robust::RobustLevel;
pub use robust_line::{ROBUST_POINTS_MAX, robust_line};
pub use student::student_t_quantile;
pub use tail::TailSketch;
