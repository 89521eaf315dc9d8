//! Robust seasonal profile: the median of the same phase over the last cycles, moved to the recent level.
//!
//! ```text
//!   forecast(h) = profile(phase) + lasting + (now - lasting) · ρ^h
//! ```
//!
//! `lasting` is the median distance of the last cycle from the profile before it, `now` that of the last few cells, ρ
//! the lag-one autocorrelation of these distances. Medians keep one bad day out of tomorrow's forecast; this is the
//! benchmark that anomalies in operational metrics ask for.

use crate::error::FitError;
use crate::family::naive::season_of;
use crate::model::{Context, Fitted, Model, check};
use crate::ring::Ring;

/// Most cells of the last cycle whose distance from the profile is looked at; longer cycles are sampled evenly.
const SAMPLES: usize = 192;
/// Cells that tell where the values are now.
const RECENT: usize = 3;

/// Robust seasonal profile.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Season in cells; `None` takes the main season of the context.
    pub season: Option<usize>,
    /// Most cycles the median is taken over, at least 1.
    pub cycles: usize,
}

impl Default for Profile {
    fn default() -> Self {
        Self { season: None, cycles: 5 }
    }
}

impl Model for Profile {
    fn name(&self) -> String {
        self.season.map_or("profile".into(), |m| format!("profile({m},{})", self.cycles))
    }

    fn fit(&self, y: &[f64], context: &Context<'_>) -> Result<Box<dyn Fitted>, FitError> {
        check(y, 4)?;
        let season = season_of(self.season, y, context, 2)?;
        let cycles = self.cycles.clamp(1, y.len() / season);
        // One more cycle than the median needs: the last cycle is compared with the profile of those before it.
        let mut fitted = FittedProfile { ring: Ring::of(y, season * (cycles + 1)), season, cycles, persistence: 0.0 };
        fitted.persistence = fitted.estimate_persistence();
        Ok(Box::new(fitted))
    }
}

struct FittedProfile {
    ring: Ring,
    season: usize,
    cycles: usize,
    /// Lag-one autocorrelation of the distances from the profile, 0 to 0.999.
    persistence: f64,
}

impl FittedProfile {
    /// Median over the cycles at `lag` cells back, at `lag + season` and so on.
    fn median_from(&self, lag: usize) -> f64 {
        let mut seen = [0.0; 16];
        let mut count = 0;
        let mut at = lag;
        while count < self.cycles.min(seen.len()) && at <= self.ring.len() {
            seen[count] = self.ring.back(at);
            count += 1;
            at += self.season;
        }
        let seen = &mut seen[..count];
        seen.sort_unstable_by(f64::total_cmp);
        match count {
            0 => self.ring.back(1),
            n if n % 2 == 1 => seen[n / 2],
            n => 0.5 * (seen[n / 2 - 1] + seen[n / 2]),
        }
    }

    /// Distance of the cell `lag` back from the median of the cycles before it.
    fn distance(&self, lag: usize) -> f64 {
        self.ring.back(lag) - self.median_from(lag + self.season)
    }

    fn estimate_persistence(&self) -> f64 {
        let usable = self.ring.len().saturating_sub(self.season).min(SAMPLES);
        if usable < 8 {
            return 0.5;
        }
        let distances: Vec<f64> = (1..=usable).map(|lag| self.distance(lag)).collect();
        crate::classical::autocorrelation(&distances, 1).clamp(0.0, 0.999)
    }

    fn lasting(&self) -> f64 {
        let usable = self.season.min(self.ring.len().saturating_sub(self.season));
        if usable == 0 {
            return 0.0;
        }
        let stride = usable.div_ceil(SAMPLES);
        let mut distances: Vec<f64> = (1..=usable).step_by(stride).map(|lag| self.distance(lag)).collect();
        median(&mut distances)
    }
}

/// Median of a non-empty slice, which it reorders.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return *middle;
    }
    let upper = *middle;
    0.5 * (upper + below.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

impl Fitted for FittedProfile {
    fn name(&self) -> String {
        format!("profile({},{})", self.season, self.cycles)
    }

    fn predict(&self, horizon: usize) -> Vec<f64> {
        // The profile ahead includes the last cycle, so only the part of the shift it does not yet hold is added.
        let lasting = self.lasting() * if self.cycles > 2 { 0.5 } else { 0.0 };
        let recent = RECENT.min(self.ring.len().saturating_sub(self.season)).max(1);
        let ahead_of = |lag: usize| self.ring.back(lag) - self.median_from(lag);
        let now = (1..=recent).map(ahead_of).sum::<f64>() / recent as f64;
        let mut fading = self.persistence;
        let phases: Vec<f64> = (0..horizon.min(self.season)).map(|h| self.median_from(self.season - h)).collect();
        (0..horizon)
            .map(|h| {
                let value = phases[h % self.season] + lasting + (now - lasting) * fading;
                fading *= self.persistence;
                value
            })
            .collect()
    }

    fn update(&mut self, y: &[f64]) {
        y.iter().for_each(|v| self.ring.push(*v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_day_does_not_come_back() {
        let mut y: Vec<f64> = (0..60).map(|t| f64::from(t % 6)).collect();
        y[48] = 1_000.0;
        let context = Context { step_ms: 1, seasons: &[6], main: 6, horizon: 6 };
        let path = Profile::default().fit(&y, &context).unwrap().predict(6);
        for (h, v) in path.iter().enumerate() {
            assert!((v - h as f64).abs() < 1e-9, "{path:?}");
        }
    }

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }
}
