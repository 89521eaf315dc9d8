//! Which seasons a history has: the hour, day and week of its step, and the peaks of its autocorrelation.
//!
//! A season counts when the phase explains a good part of what is left after a moving average of one season: the
//! share of variance between phases, adjusted for the number of phases (adjusted R²). Each longer season is judged on
//! what the shorter ones leave over, so that a day does not pass again as a week.

use crate::classical::{autocorrelation, moving_average};
use crate::request::MAX_SEASON;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Least adjusted share of variance a season has to explain.
const LEAST_SHARE: f64 = 0.10;
/// A season nobody announced by its step has to explain more.
const LEAST_SHARE_UNANNOUNCED: f64 = 0.25;
/// Least part of what the strongest season explains, for shorter ones.
const LEAST_PART: f64 = 0.05;
/// Longest lag and longest stretch the search for autocorrelation peaks looks at.
const MAX_LAG: usize = 400;
const MAX_SEARCH_CELLS: usize = 3_000;

/// Seasons the step itself suggests, ascending, in cells: hour, day, week for steps that divide them; seven days for
/// daily steps; twelve months, four quarters for steps of about that length.
pub fn of_step(step_ms: i64) -> Vec<usize> {
    let months = 28 * DAY_MS..=31 * DAY_MS;
    let quarters = 89 * DAY_MS..=92 * DAY_MS;
    let weeks = 7 * DAY_MS;
    if step_ms <= 0 {
        return Vec::new();
    }
    if months.contains(&step_ms) {
        return vec![12];
    }
    if quarters.contains(&step_ms) {
        return vec![4];
    }
    if step_ms == weeks {
        return vec![52];
    }
    let spans = [HOUR_MS, DAY_MS, weeks];
    let cells = spans.iter().filter(|span| *span % step_ms == 0).map(|span| (span / step_ms) as usize);
    cells.filter(|m| (2..=MAX_SEASON).contains(m)).collect()
}

/// A season found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detected {
    /// Its length.
    pub cells: usize,
    /// Variance of its profile over the variance of the history, roughly 0 to 1.
    pub explained: f64,
}

/// The seasons `y` (finite, gaps filled, oldest first) shows, ascending, at most three. Needs two cycles of each.
///
/// Every season has to explain a share of what a moving average leaves; one shorter than the strongest also a
/// twentieth of what that explains: a faint pattern within the hour is not worth a season beside a strong day, while a
/// faint week is (measured: without it the error on the metric tasks grows by a tenth).
pub fn detect(y: &[f64], step_ms: i64) -> Vec<Detected> {
    let mut found: Vec<Detected> = Vec::new();
    let mut rest = y.to_vec();
    let total = variance(y);
    for cells in of_step(step_ms) {
        if share(&rest, cells) >= LEAST_SHARE {
            let explained = remove(&mut rest, cells) / total;
            found.push(Detected { cells, explained });
        }
    }
    let strongest = found.iter().copied().max_by(|a, b| a.explained.total_cmp(&b.explained));
    if let Some(main) = strongest {
        found.retain(|d| d.cells >= main.cells || d.explained >= LEAST_PART * main.explained);
    }
    if found.is_empty() {
        found.extend(strongest_peak(y).map(|cells| Detected { cells, explained: 1.0 }));
    }
    found
}

fn variance(y: &[f64]) -> f64 {
    let n = y.len().max(1) as f64;
    let mean = y.iter().sum::<f64>() / n;
    (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).max(f64::MIN_POSITIVE)
}

/// Share of the variance left by a moving average over `m` cells that the phase explains, adjusted for the number of
/// phases; 0 when `y` does not hold two cycles.
pub fn share(y: &[f64], m: usize) -> f64 {
    if m < 2 || y.len() < 2 * m + m / 2 {
        return 0.0;
    }
    let (mut sums, mut counts) = (vec![0.0; m], vec![0.0; m]);
    let trend = moving_average(y, m);
    let rest: Vec<f64> = trend.iter().zip(&y[m / 2..]).map(|(t, v)| v - t).collect();
    let mut total = 0.0;
    for (i, v) in rest.iter().enumerate() {
        sums[i % m] += v;
        counts[i % m] += 1.0;
        total += v * v;
    }
    let n = rest.len() as f64;
    let mean = rest.iter().sum::<f64>() / n;
    let total = total - n * mean * mean;
    let magnitude = y.iter().map(|v| v.abs()).fold(0.0, f64::max);
    // Below this, what varies is rounding.
    if total <= n * (1e-12 * magnitude).powi(2) {
        return 0.0;
    }
    let between: f64 = sums.iter().zip(&counts).map(|(s, c)| c * (s / c - mean).powi(2)).sum();
    let within = (total - between).max(0.0);
    let freedom = n - m as f64;
    if freedom <= 0.0 { 0.0 } else { 1.0 - (within / freedom) / (total / (n - 1.0)) }
}

/// Takes the mean profile of `m` cells out of `y`; returns its variance.
fn remove(y: &mut [f64], m: usize) -> f64 {
    let found = crate::decompose::seasonality(y, &[m]);
    let adjusted = found.remove_from(y);
    y.copy_from_slice(&adjusted);
    found.profiles.iter().map(|p| variance(&p.values)).sum()
}

/// The lag of the highest autocorrelation peak of the changes, if its season explains enough.
fn strongest_peak(y: &[f64]) -> Option<usize> {
    let tail = &y[y.len().saturating_sub(MAX_SEARCH_CELLS)..];
    let most = MAX_LAG.min(tail.len() / 3);
    if most < 4 {
        return None;
    }
    let changes: Vec<f64> = tail.windows(2).map(|w| w[1] - w[0]).collect();
    let at: Vec<f64> = (0..=most + 1).map(|lag| autocorrelation(&changes, lag)).collect();
    let noise = 2.0 / (changes.len() as f64).sqrt();
    let is_peak = |lag: usize| at[lag] > noise.max(0.2) && at[lag] >= at[lag - 1] && at[lag] > at[lag + 1];
    let mut peaks: Vec<usize> = (3..=most).filter(|lag| is_peak(*lag)).collect();
    peaks.sort_by(|a, b| at[*b].total_cmp(&at[*a]));
    // A multiple of the season peaks as well, slightly higher by chance: the shortest of the near-equals is meant.
    let best = at[*peaks.first()?];
    let lag = peaks.into_iter().filter(|lag| at[*lag] > 0.9 * best).min()?;
    (share(tail, lag) >= LEAST_SHARE_UNANNOUNCED).then_some(lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f64> {
        let mut state = 11u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31) - 0.5
        };
        (0..n).map(|_| next()).collect()
    }

    fn cells(y: &[f64], step_ms: i64) -> Vec<usize> {
        detect(y, step_ms).iter().map(|d| d.cells).collect()
    }

    #[test]
    fn the_step_names_its_seasons() {
        assert_eq!(of_step(60_000), [60, 1_440, 10_080]);
        assert_eq!(of_step(HOUR_MS), [24, 168]);
        assert_eq!(of_step(DAY_MS), [7]);
        assert_eq!(of_step(30 * DAY_MS), [12]);
        assert_eq!(of_step(7_000), [0usize; 0]);
        assert_eq!(of_step(0), [0usize; 0]);
    }

    #[test]
    fn day_and_week_are_found_and_noise_is_not() {
        let wave = |t: usize| (t as f64 / 24.0 * std::f64::consts::TAU).sin();
        let noise = noise(24 * 28);
        let daily: Vec<f64> = noise.iter().enumerate().map(|(t, e)| wave(t) + 0.3 * e).collect();
        assert_eq!(cells(&daily, HOUR_MS), [24]);
        let weekly: Vec<f64> =
            daily.iter().enumerate().map(|(t, v)| v * if t / 24 % 7 > 4 { 0.3 } else { 1.5 }).collect();
        assert_eq!(cells(&weekly, HOUR_MS), [24, 168]);
        assert_eq!(cells(&noise, HOUR_MS), [0usize; 0]);
    }

    #[test]
    fn an_unannounced_season_is_found_by_its_peak() {
        let wave = |t: usize| (t as f64 / 17.0 * std::f64::consts::TAU).sin();
        let y: Vec<f64> = noise(400).iter().enumerate().map(|(t, e)| 3.0 * wave(t) + e).collect();
        assert_eq!(cells(&y, 7_000), [17]);
        assert_eq!(cells(&[1.0; 100], 7_000), [0usize; 0]);
        assert_eq!(cells(&[], 7_000), [0usize; 0]);
    }
}
