//! Several additive seasons at once, by moving averages instead of loess.
//!
//! ```text
//!   y ──minus the other seasons──▶ minus moving average of one season ──▶ mean by phase, newest cycles heaviest
//!     ▲                                                                        │ shrunk towards 0 by its noise
//!     └───────────────────────────── twice, shortest season first ◀────────────┘
//! ```
//!
//! The shape follows MSTL (Bandara, Hyndman & Bergmeir, 2021). We differ on purpose: weighted means by phase replace
//! the loess passes, which is O(n) a pass and an order of magnitude faster, and each profile is shrunk by its
//! signal-to-noise ratio (empirical Bayes), so that a week of which only two or three cycles are known does not turn
//! noise into pattern.

use crate::classical::moving_average;

/// Weight of a cycle relative to the next newer one.
const CYCLE_DECAY: f64 = 0.85;
const PASSES: usize = 2;

/// Additive seasonal profiles.
#[derive(Debug, Clone)]
pub(crate) struct Seasonality {
    pub(crate) profiles: Vec<SeasonProfile>,
}

/// One season's values by phase; cell `t` of the history has phase `t % season`.
#[derive(Debug, Clone)]
pub(crate) struct SeasonProfile {
    pub(crate) values: Vec<f64>,
    /// Share of the raw phase means that was kept, 0 to 1.
    pub(crate) kept: f64,
}

impl SeasonProfile {
    #[inline]
    pub(crate) fn at(&self, cell: usize) -> f64 {
        self.values[cell % self.values.len()]
    }
}

impl Seasonality {
    /// Sum of the seasons at a cell, counted from the start of the history.
    #[inline]
    pub(crate) fn at(&self, cell: usize) -> f64 {
        self.profiles.iter().map(|p| p.at(cell)).sum()
    }

    /// `y` without its seasons.
    pub(crate) fn remove_from(&self, y: &[f64]) -> Vec<f64> {
        let mut adjusted = y.to_vec();
        for profile in &self.profiles {
            subtract(&mut adjusted, &profile.values);
        }
        adjusted
    }
}

/// Estimates one profile for each of `seasons` (ascending, each with two cycles in `y`).
pub(crate) fn seasonality(y: &[f64], seasons: &[usize]) -> Seasonality {
    let empty = |m: &usize| SeasonProfile { values: vec![0.0; *m], kept: 0.0 };
    let mut found = Seasonality { profiles: seasons.iter().map(empty).collect() };
    let passes = if seasons.len() > 1 { PASSES } else { 1 };
    for _ in 0..passes {
        for (i, &season) in seasons.iter().enumerate() {
            let mut rest = y.to_vec();
            for (j, profile) in found.profiles.iter().enumerate() {
                if i != j {
                    subtract(&mut rest, &profile.values);
                }
            }
            found.profiles[i] = profile(&rest, season);
        }
    }
    found
}

fn subtract(y: &mut [f64], profile: &[f64]) {
    for cycle in y.chunks_mut(profile.len()) {
        for (v, s) in cycle.iter_mut().zip(profile) {
            *v -= s;
        }
    }
}

/// Sums of one phase.
#[derive(Debug, Clone, Copy, Default)]
struct Phase {
    weight: f64,
    sum: f64,
    squares: f64,
    count: f64,
}

fn profile(y: &[f64], m: usize) -> SeasonProfile {
    let trend = extended_trend(y, m);
    let mut phases = vec![Phase::default(); m];
    let cycles = y.len().div_ceil(m);
    // Cycles are counted from the end, so that every phase has a newest value of weight one.
    let spare = cycles * m - y.len();
    for c in 0..cycles {
        let weight = CYCLE_DECAY.powi((cycles - 1 - c) as i32);
        let cells = (c * m).saturating_sub(spare)..((c + 1) * m - spare).min(y.len());
        for cell in cells {
            let seen = y[cell] - trend[cell];
            let phase = &mut phases[cell % m];
            phase.weight += weight;
            phase.sum += weight * seen;
            phase.squares += weight * seen * seen;
            phase.count += 1.0;
        }
    }
    shrunk(&phases)
}

/// Phase means, centred, times the share of their variance that is not noise.
fn shrunk(phases: &[Phase]) -> SeasonProfile {
    let m = phases.len() as f64;
    let means: Vec<f64> = phases.iter().map(|p| if p.weight > 0.0 { p.sum / p.weight } else { 0.0 }).collect();
    let centre = means.iter().sum::<f64>() / m;
    let between = means.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / m;
    let mut noise = 0.0;
    for (phase, mean) in phases.iter().zip(&means) {
        if phase.count > 1.0 {
            let within = (phase.squares / phase.weight - mean * mean).max(0.0) * phase.count / (phase.count - 1.0);
            noise += within / phase.count / m;
        }
    }
    let kept = if between > 0.0 { (1.0 - noise / between).clamp(0.0, 1.0) } else { 0.0 };
    SeasonProfile { values: means.iter().map(|v| kept * (v - centre)).collect(), kept }
}

/// Moving average over one season, carried to both ends along half of its last slope.
fn extended_trend(y: &[f64], m: usize) -> Vec<f64> {
    let inner = moving_average(y, m);
    let Some((&first, &last)) = inner.first().zip(inner.last()) else {
        let mean = y.iter().sum::<f64>() / y.len().max(1) as f64;
        return vec![mean; y.len()];
    };
    let half = (y.len() - inner.len()) / 2;
    let span = m.min(inner.len() - 1).max(1);
    let slope = |from: f64, to: f64| if inner.len() > 1 { 0.5 * (to - from) / span as f64 } else { 0.0 };
    let rise = slope(inner[inner.len() - 1 - span.min(inner.len() - 1)], last);
    let climb = slope(first, inner[span.min(inner.len() - 1)]);
    let mut trend = Vec::with_capacity(y.len());
    trend.extend((0..half).map(|i| first - climb * (half - i) as f64));
    trend.extend_from_slice(&inner);
    let tail = y.len() - trend.len();
    trend.extend((1..=tail).map(|i| last + rise * i as f64));
    trend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seasons_are_told_apart() {
        let day = [0.0, 1.0, 4.0, -5.0];
        let week: Vec<f64> = (0..28).map(|t| if t / 4 >= 5 { -5.0 } else { 2.0 }).collect();
        let y: Vec<f64> = (0..280).map(|t| 50.0 + day[t % 4] + week[t % 28]).collect();
        let found = seasonality(&y, &[4, 28]);
        let left = found.remove_from(&y);
        let worst = left.iter().map(|v| (v - 50.0).abs()).fold(0.0, f64::max);
        assert!(worst < 0.6, "{worst}");
    }

    #[test]
    fn noise_is_not_a_season() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31) - 0.5
        };
        let y: Vec<f64> = (0..600).map(|_| noise()).collect();
        let found = seasonality(&y, &[24]);
        let left = found.profiles[0].values.iter().map(|v| v.abs()).fold(0.0, f64::max);
        assert!(left < 0.15, "{left} of noise between -0.5 and 0.5");
    }
}
