//! Learning from the past: what one replica carries, and how long it takes to start.

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::lenient;
use crate::policy::{LeadTime, PerReplica};
use crate::random::SplitMix64;
use crate::robust::{self, Line};

/// Bins along the load axis: enough to see a bend, few enough for pairwise slopes.
const BINS: usize = 48;
const RESAMPLES: usize = 200;
const LEAST_SAMPLES: usize = 30;
const LEAST_STARTS: usize = 5;

/// One instant of a service: total demand, replicas that served it, their mean utilization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UtilizationSample {
    /// Total demand in its unit.
    pub demand: f64,
    /// Ready replicas.
    pub replicas: u32,
    /// Mean utilization of a replica, a share; 1 is full.
    pub utilization: f64,
}

/// One instant of a service: total demand, replicas that served it, a latency percentile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencySample {
    /// Total demand in its unit.
    pub demand: f64,
    /// Ready replicas.
    pub replicas: u32,
    /// Latency percentile, seconds.
    pub latency_secs: f64,
}

/// What one replica carries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CapacityFit {
    /// Demand at which one replica is full.
    pub capacity: f64,
    /// 90 % interval by bootstrap.
    pub interval: (f64, f64),
    /// Samples used.
    pub samples: usize,
    /// The highest load of one replica that was seen.
    pub highest_load: f64,
    /// The limit was never reached: the capacity is a lower bound (latency) or lies beyond what was seen (utilization).
    pub extrapolated: bool,
}

impl CapacityFit {
    /// For a policy.
    pub fn per_replica(&self) -> PerReplica {
        PerReplica::Learned { capacity: self.capacity, interval: self.interval }
    }
}

/// The capacity at which utilization reaches 1, by the utilization law `U = U₀ + (demand / replicas) / capacity`
/// (Denning & Buzen 1978, with an idle share U₀).
///
/// The line is a Theil–Sen fit over medians of load bins, so stalls and wrong scrapes do not move it; the interval
/// comes from 200 resamples of the bins. Saturated samples (utilization ≥ 0.97) carry no slope and are left out.
/// `None` for fewer than 30 usable samples, a load that hardly varies, or a slope that is not positive.
pub fn capacity_from_utilization(samples: &[UtilizationSample], seed: u64) -> Option<CapacityFit> {
    let usable = |s: &&UtilizationSample| s.demand.is_finite() && s.demand > 0.0 && s.replicas > 0;
    let in_range = |s: &&UtilizationSample| s.utilization > 0.0 && s.utilization < 0.97;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter(usable)
        .filter(in_range)
        .map(|s| (s.demand / f64::from(s.replicas), s.utilization))
        .collect();
    let bins = load_bins(&points)?;
    let full = |line: Line| {
        let capacity = (1.0 - line.intercept.clamp(-0.1, 0.9)) / line.slope;
        (line.slope > 0.0 && capacity.is_finite() && capacity > 0.0).then_some(capacity)
    };
    let capacity = full(robust::theil_sen(&bins)?)?;
    let highest_load = points.iter().map(|p| p.0).fold(0.0, f64::max);
    let interval = bootstrap(&bins, seed, capacity, |bins| full(robust::theil_sen(bins)?))?;
    let extrapolated = capacity > highest_load * 1.05;
    Some(CapacityFit { capacity, interval, samples: points.len(), highest_load, extrapolated })
}

/// The greatest load of one replica at which the latency percentile stays within `limit_secs`.
///
/// Latency is made monotone in the load (isotonic regression of bin medians, pool adjacent violators) and the crossing
/// is interpolated. When no bin crosses, the capacity is the highest load seen and `extrapolated` is set.
pub fn capacity_from_latency(samples: &[LatencySample], limit_secs: f64, seed: u64) -> Option<CapacityFit> {
    let usable = |s: &&LatencySample| {
        s.demand.is_finite() && s.demand > 0.0 && s.replicas > 0 && s.latency_secs.is_finite() && s.latency_secs >= 0.0
    };
    let points: Vec<(f64, f64)> =
        samples.iter().filter(usable).map(|s| (s.demand / f64::from(s.replicas), s.latency_secs)).collect();
    let bins = load_bins(&points)?;
    let highest_load = points.iter().map(|p| p.0).fold(0.0, f64::max);
    let crossing = |bins: &[(f64, f64)]| crossing(bins, limit_secs);
    let found = crossing(&bins);
    let capacity = found.unwrap_or(highest_load);
    let interval = bootstrap(&bins, seed, capacity, |bins| Some(crossing(bins).unwrap_or(highest_load)))?;
    Some(CapacityFit { capacity, interval, samples: points.len(), highest_load, extrapolated: found.is_none() })
}

/// Medians of up to [`BINS`] groups of equal size along the load, or `None` when there is too little to fit.
fn load_bins(points: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
    if points.len() < LEAST_SAMPLES {
        return None;
    }
    let mut sorted = points.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let loads: Vec<f64> = sorted.iter().map(|p| p.0).collect();
    let (low, high) = (robust::quantile_sorted(&loads, 0.05)?, robust::quantile_sorted(&loads, 0.95)?);
    // Within a tenth of one load a slope is mostly noise.
    if high < low * 1.1 {
        return None;
    }
    let size = sorted.len().div_ceil(BINS).max(3);
    let middle = |chunk: &[(f64, f64)]| {
        let xs: Vec<f64> = chunk.iter().map(|p| p.0).collect();
        let ys: Vec<f64> = chunk.iter().map(|p| p.1).collect();
        Some((robust::median(&xs)?, robust::median(&ys)?))
    };
    sorted.chunks(size).map(middle).collect()
}

/// 5 % and 95 % of `fit` over resampled bins, widened to hold `centre`.
fn bootstrap(
    bins: &[(f64, f64)],
    seed: u64,
    centre: f64,
    fit: impl Fn(&[(f64, f64)]) -> Option<f64>,
) -> Option<(f64, f64)> {
    let mut random = SplitMix64::new(seed);
    let mut fits = Vec::with_capacity(RESAMPLES);
    let mut drawn = Vec::with_capacity(bins.len());
    for _ in 0..RESAMPLES {
        drawn.clear();
        drawn.extend((0..bins.len()).map(|_| bins[random.below(bins.len())]));
        drawn.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        fits.extend(fit(&drawn));
    }
    // A fit that fails on a fifth of the resamples is an accident, not a fit.
    if fits.len() < RESAMPLES * 4 / 5 {
        return None;
    }
    Some((robust::quantile(&fits, 0.05)?.min(centre), robust::quantile(&fits, 0.95)?.max(centre)))
}

/// Where the isotonic fit of `bins` (sorted by load) first exceeds `limit`.
fn crossing(bins: &[(f64, f64)], limit: f64) -> Option<f64> {
    // Pool adjacent violators: blocks of (mean latency, weight, first load, last load).
    let mut blocks: Vec<(f64, f64, f64, f64)> = Vec::with_capacity(bins.len());
    for &(load, latency) in bins {
        blocks.push((latency, 1.0, load, load));
        while let [.., a, b] = blocks[..]
            && a.0 > b.0
        {
            let weight = a.1 + b.1;
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a.0 * a.1 + b.0 * b.1) / weight, weight, a.2, b.3));
        }
    }
    let above = blocks.iter().position(|block| block.0 > limit)?;
    let high = blocks[above];
    let Some(low) = above.checked_sub(1).map(|below| blocks[below]) else {
        return Some(high.2);
    };
    let share = ((limit - low.0) / (high.0 - low.0)).clamp(0.0, 1.0);
    Some(low.3 + (high.2 - low.3) * share)
}

/// One observed start of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSample {
    /// When it was asked for, milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "asked_ms")]
    pub asked: Timestamp,
    /// When it served, or `None` while it does not.
    #[serde(with = "lenient::instant_opt", rename = "ready_ms")]
    pub ready: Option<Timestamp>,
}

/// How long starts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadTimeFit {
    /// Half of the starts took no longer.
    #[serde(with = "lenient::span")]
    pub p50: Millis,
    /// 90 % of the starts took no longer.
    #[serde(with = "lenient::span")]
    pub p90: Millis,
    /// Starts seen, finished or not.
    pub starts: u32,
}

impl LeadTimeFit {
    /// For a policy.
    pub const fn lead_time(&self) -> LeadTime {
        LeadTime::Learned { p90: self.p90, starts: self.starts }
    }
}

/// Quantiles of start times by Kaplan & Meier (1958): starts that are still under way count as "at least this long", so
/// a fleet that hangs does not look quick. `None` with fewer than five finished starts.
pub fn lead_time_from_starts(now: Timestamp, starts: &[StartSample]) -> Option<LeadTimeFit> {
    let span = |start: &StartSample| (start.ready.unwrap_or(now) - start.asked).0;
    let mut spans: Vec<(i64, bool)> =
        starts.iter().map(|start| (span(start), start.ready.is_some())).filter(|(span, _)| *span >= 0).collect();
    // Finished before unfinished at the same length: the unfinished one was still at risk then.
    spans.sort_unstable_by_key(|&(span, finished)| (span, !finished));
    let finished = spans.iter().filter(|start| start.1).count();
    if finished < LEAST_STARTS {
        return None;
    }
    let quantile = |q: f64| {
        let mut surviving = 1.0;
        for (at, &(span, finished)) in spans.iter().enumerate() {
            if finished {
                let at_risk = (spans.len() - at) as f64;
                surviving *= 1.0 - 1.0 / at_risk;
                if surviving <= 1.0 - q + 1e-9 {
                    return span;
                }
            }
        }
        // Too many unfinished ones to know the quantile: the longest span seen is the least it can be.
        spans.last().map_or(0, |longest| longest.0)
    };
    let starts = u32::try_from(spans.len()).unwrap_or(u32::MAX);
    Some(LeadTimeFit { p50: Millis(quantile(0.5)), p90: Millis(quantile(0.9)), starts })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utilization(noise: f64, wild: usize) -> Vec<UtilizationSample> {
        let mut random = SplitMix64::new(7);
        let mut unit = move || random.below(1_000_000) as f64 / 1e6;
        (0..600)
            .map(|i| {
                let replicas = 4 + (i % 5) as u32;
                let load = 10.0 + 60.0 * unit();
                let exact = 0.05 + load / 100.0 * 0.95;
                let utilization = if wild > 0 && i % wild == 0 { unit() } else { exact + noise * (unit() - 0.5) };
                UtilizationSample { demand: load * f64::from(replicas), replicas, utilization }
            })
            .collect()
    }

    #[test]
    fn the_utilization_law_finds_the_capacity() {
        for (noise, wild) in [(0.0, 0), (0.1, 0), (0.1, 10)] {
            let fit = capacity_from_utilization(&utilization(noise, wild), 1).expect("a fit");
            assert!((fit.capacity - 100.0).abs() < 6.0, "{fit:?}");
            assert!(fit.interval.0 <= fit.capacity && fit.capacity <= fit.interval.1);
            assert!(fit.extrapolated);
            assert_eq!(capacity_from_utilization(&utilization(noise, wild), 1), Some(fit), "same seed, same fit");
        }
    }

    #[test]
    fn too_little_or_flat_load_teaches_nothing() {
        assert_eq!(capacity_from_utilization(&utilization(0.0, 0)[..20], 1), None);
        let flat = vec![UtilizationSample { demand: 100.0, replicas: 2, utilization: 0.5 }; 100];
        assert_eq!(capacity_from_utilization(&flat, 1), None);
    }

    #[test]
    fn latency_finds_the_knee() {
        // M/M/1-like: 10 ms / (1 - load / 100); 50 ms is reached at a load of 80.
        let sample = |i: u32| {
            let load = 10.0 + f64::from(i % 85);
            LatencySample { demand: load * 3.0, replicas: 3, latency_secs: 0.01 / (1.0 - load / 100.0) }
        };
        let samples: Vec<LatencySample> = (0..850).map(sample).collect();
        let fit = capacity_from_latency(&samples, 0.05, 3).expect("a fit");
        assert!((fit.capacity - 80.0).abs() < 3.0 && !fit.extrapolated, "{fit:?}");
        let easy = capacity_from_latency(&samples, 10.0, 3).expect("a fit");
        assert!(easy.extrapolated && easy.capacity == easy.highest_load);
    }

    #[test]
    fn starts_that_hang_count_as_long() {
        let start =
            |asked: i64, ready: Option<i64>| StartSample { asked: Timestamp(asked), ready: ready.map(Timestamp) };
        let done: Vec<StartSample> = (1..=10).map(|i| start(0, Some(i * 1000))).collect();
        let fit = lead_time_from_starts(Timestamp(60_000), &done).expect("a fit");
        assert_eq!((fit.p50, fit.p90, fit.starts), (Millis(5000), Millis(9000), 10));
        let mut hanging = done.clone();
        hanging.extend((0..5).map(|_| start(0, None)));
        let slow = lead_time_from_starts(Timestamp(60_000), &hanging).expect("a fit");
        assert!(slow.p50 > fit.p50 && slow.p90 == Millis(60_000), "{slow:?}");
        assert_eq!(lead_time_from_starts(Timestamp(0), &done[..4]), None);
    }
}
