//! The model families. Each file holds one method, with its source; all of them implement [`crate::model::Model`].

pub(crate) mod combined;
pub(crate) mod ets;
pub(crate) mod fourier;
#[cfg(test)]
mod golden;
pub(crate) mod logged;
pub(crate) mod mstl;
pub(crate) mod naive;
pub(crate) mod profile;
pub(crate) mod sar;
pub(crate) mod theta;

pub use combined::Combined;
pub use ets::{Damping, Ets, EtsForm, Kind};
pub use fourier::{Fourier, Penalty};
pub use logged::Logged;
pub use mstl::Mstl;
pub use naive::{Drift, Naive, SeasonalAverage, SeasonalNaive, WindowAverage};
pub use profile::Profile;
pub use sar::Sar;
pub use theta::{Theta, ThetaKind};
