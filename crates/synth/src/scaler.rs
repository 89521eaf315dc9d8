//! The reactive autoscaler that the fleet already has: it follows the load, and so it is late at every evening peak.
//!
//! The rule of the Kubernetes HPA in short: desired = ceil(replicas × utilisation / target), nothing within a tolerance of
//! a tenth, up at once, down only to the highest wish of the last 15 minutes.

use std::collections::VecDeque;

use series::{Millis, Timestamp};

use crate::catalogue::ServiceSpec;

const TOLERANCE: f64 = 0.1;
const STABILISATION: Millis = Millis::from_mins(15);

/// Wishes of the stabilisation window, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scaler {
    wishes: VecDeque<(Timestamp, u32)>,
}

/// Replicas that serve `rps` at the aimed utilisation, within the bounds of the service.
pub(crate) fn needed(spec: &ServiceSpec, rps: f64) -> u32 {
    let (low, high) = spec.replicas;
    ((rps / (spec.rps_per_replica * spec.target)).ceil() as u32).clamp(low, high)
}

impl Scaler {
    /// Replicas wanted at `at`, now `replicas` (at least 1) of them and a load of `rps`.
    pub(crate) fn desired(&mut self, spec: &ServiceSpec, at: Timestamp, replicas: u32, rps: f64) -> u32 {
        let ratio = rps / (f64::from(replicas) * spec.rps_per_replica * spec.target);
        let wish = if (ratio - 1.0).abs() <= TOLERANCE { replicas } else { needed(spec, rps) };
        self.wishes.push_back((at, wish));
        while self.wishes.front().is_some_and(|(then, _)| *then <= at - STABILISATION) {
            self.wishes.pop_front();
        }
        let highest = self.wishes.iter().map(|(_, wish)| *wish).max().unwrap_or(wish);
        if wish >= replicas { wish } else { highest.min(replicas) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::services;

    #[test]
    fn up_at_once_down_after_a_quarter_of_an_hour() {
        let checkout = &services()[1];
        let mut scaler = Scaler::default();
        let minute = |m: i64| Timestamp(m * 60_000);
        assert_eq!(scaler.desired(checkout, minute(0), 4, 3000.0), 7);
        assert_eq!(scaler.desired(checkout, minute(2), 7, 3300.0), 7);
        for m in 3..17 {
            assert_eq!(scaler.desired(checkout, minute(m), 7, 1500.0), 7, "minute {m}");
        }
        assert_eq!(scaler.desired(checkout, minute(17), 7, 1500.0), 4);
        assert_eq!(scaler.desired(checkout, minute(18), 4, 1e9), 16);
    }
}
