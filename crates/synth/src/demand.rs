//! How much work arrives: season × growth × events, and the noise on top.

use series::Timestamp;

use crate::calendar::Calendar;
use crate::catalogue::ServiceSpec;
use crate::events::ServiceEvents;
use crate::noise::{Noise, Wobble};

/// Least share of the final load that growth may lead back to in long traces.
const GROWTH_FLOOR: f64 = 0.2;

/// Expected load of a service, per second, without noise.
pub(crate) fn expected(
    spec: &ServiceSpec,
    events: &ServiceEvents,
    calendar: Calendar,
    end: Timestamp,
    at: Timestamp,
) -> f64 {
    let days = (at - end).0 as f64 / 86_400_000.0;
    let growth = (1.0 + spec.growth_per_day * days).max(GROWTH_FLOOR);
    spec.peak_rps * calendar.level(spec.season, at) * growth * events.traffic(at)
}

/// The noise of one service's load.
#[derive(Debug, Clone)]
pub(crate) struct DemandNoise {
    own: Wobble,
    arrivals: Noise,
}

impl DemandNoise {
    pub(crate) fn new(seed: u64, name: &str, step_s: f64) -> Self {
        let own = Wobble::new(Noise::new(seed, &format!("{name}/demand")), 0.02, 1800.0, step_s);
        Self { own, arrivals: Noise::new(seed, &format!("{name}/arrivals")) }
    }

    /// Arrivals during `step_s` seconds at an expected load of `rps`; `market` is the wobble all services share.
    pub(crate) fn arrivals(&mut self, rps: f64, market: f64, step_s: f64) -> f64 {
        let mean = rps * (1.0 + market) * (1.0 + self.own.step()) * step_s;
        self.arrivals.count(mean.max(0.0))
    }
}
