//! Gaps, spikes and level shifts, repaired before fitting.
//!
//! Filling and damping are causal: what happens to a cell depends on nothing after it. So a history can be cleaned
//! once and still be cut at any origin of a back-test without leaking the future into the past. Scores are always
//! against the raw values.

use crate::family::profile::median;

/// Spread of typical changes is tracked with this memory.
const SPREAD_GAIN: f64 = 0.02;
/// A spike stands out by so many typical changes beyond everything seen near it, in time and in phase.
const SPIKE: f64 = 8.0;
/// Cells before the spread is trusted.
const WARM_UP: usize = 24;
/// Blocks a history is cut into in the search for a level shift.
const MIN_BLOCKS: usize = 4;
const MAX_BLOCKS: usize = 64;

/// A repaired history and how many cells were changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Repaired {
    /// Finite values, as many as came in.
    pub values: Vec<f64>,
    /// Cells changed.
    pub changed: usize,
}

/// Fills NaN and infinite cells: with the cell one season before, moved by the distance the last seen cell has from
/// its own season before (fading over the gap), or with the last seen value while there is no season yet. Leading gaps
/// take the first seen value; a history without any finite value becomes zeros.
pub fn fill_gaps(y: &[f64], season: usize) -> Repaired {
    let mut values = Vec::with_capacity(y.len());
    let first = y.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
    let (mut last, mut changed, mut gap) = (None::<usize>, 0, 0usize);
    for (t, &v) in y.iter().enumerate() {
        if v.is_finite() {
            values.push(v);
            last = Some(t);
            gap = 0;
            continue;
        }
        changed += 1;
        gap += 1;
        let filled = match last {
            None => first,
            Some(seen) if season > 1 && seen >= season => {
                let away = values[seen] - values[seen - season];
                let fading = 1.0 - (gap as f64 / (2.0 * season as f64)).min(1.0);
                values[t - season] + away * fading
            }
            Some(seen) => values[seen],
        };
        values.push(filled);
    }
    Repaired { values, changed }
}

/// Damps spikes to the edge of what was seen near them: the last few cells and the same phase of the last three
/// cycles. A deviation that lasts longer than `season / 24` (at least 3) cells is accepted as real from then on.
pub fn damp_spikes(y: &[f64], season: usize) -> Repaired {
    const NEAR: usize = 5;
    let patience = (season / 24).max(3);
    let mut values: Vec<f64> = Vec::with_capacity(y.len());
    let (mut spread, mut changed, mut run) = (0.0, 0, 0usize);
    let warm = WARM_UP.max(if season > 1 { season } else { 0 });
    for (t, &v) in y.iter().enumerate() {
        let mut kept = v;
        if t >= warm && spread > 0.0 {
            let (low, high) = neighbourhood(&values, t, season, NEAR);
            let inside = v.clamp(low - SPIKE * spread, high + SPIKE * spread);
            if inside == v {
                run = 0;
            } else if run < patience {
                kept = inside;
                run += 1;
                changed += 1;
            }
        }
        if t > 0 {
            let change = (kept - values[t - 1]).abs();
            let gain = if t < WARM_UP { 1.0 / t as f64 } else { SPREAD_GAIN };
            spread += gain * (change - spread);
        }
        values.push(kept);
    }
    Repaired { values, changed }
}

/// Least and largest value among the last cells and around the same phase of the last three cycles.
fn neighbourhood(values: &[f64], t: usize, season: usize, near: usize) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut see = |v: f64| {
        low = low.min(v);
        high = high.max(v);
    };
    values[t.saturating_sub(near)..t].iter().for_each(|v| see(*v));
    for cycle in 1..=3 {
        if season < 2 || t < cycle * season {
            break;
        }
        let centre = t - cycle * season;
        let around = centre.saturating_sub(1)..(centre + 2).min(t);
        values[around].iter().for_each(|v| see(*v));
    }
    (low, high)
}

/// A lasting move of the level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelShift {
    /// First cell of the new level.
    pub at: usize,
    /// New level minus old level, in the unit of the values.
    pub by: f64,
}

/// The largest lasting level shift: block medians on either side of it differ by more than four times their own
/// scatter, and most of the difference happens from one block to the next (so it is no trend). Blocks span one
/// season, or the history is cut into at most 64. `y` is finite.
pub fn level_shift(y: &[f64], season: usize) -> Option<LevelShift> {
    let width = if season > 1 { season } else { 5 }.max(y.len() / MAX_BLOCKS);
    if width == 0 || y.len() / width < MIN_BLOCKS {
        return None;
    }
    let spare = y.len() % width;
    let blocks: Vec<f64> = y[spare..].chunks(width).map(|block| median(&mut block.to_vec())).collect();
    let mut best: Option<(f64, usize, f64)> = None;
    for cut in 2..=blocks.len() - 2 {
        let (before, after) = (&blocks[..cut], &blocks[cut..]);
        let (old, new) = (median(&mut before.to_vec()), median(&mut after.to_vec()));
        let scatter = deviation(before, old).max(deviation(after, new));
        let by = new - old;
        let jump = blocks[cut] - blocks[cut - 1];
        let lasting = by.abs() > 4.0 * scatter && jump / by > 0.7;
        let strength = by.abs() - 4.0 * scatter;
        if lasting && best.is_none_or(|(s, ..)| strength > s) {
            best = Some((strength, cut, by));
        }
    }
    let magnitude = y.iter().map(|v| v.abs()).fold(0.0, f64::max);
    let (_, cut, by) = best.filter(|(_, _, by)| by.abs() > 1e-9 * magnitude)?;
    let around = spare + (cut - 1) * width..spare + (cut + 1) * width;
    Some(LevelShift { at: edge(y, around, by), by })
}

/// Mean absolute distance from `centre`.
fn deviation(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|v| (v - centre).abs()).sum::<f64>() / values.len() as f64
}

/// The cell inside `around` that splits it best into a lower and a higher part.
fn edge(y: &[f64], around: std::ops::Range<usize>, by: f64) -> usize {
    let cells = &y[around.clone()];
    let total: f64 = cells.iter().sum();
    let (mut left, mut best, mut at) = (0.0, f64::NEG_INFINITY, around.start + cells.len() / 2);
    for (i, v) in cells.iter().enumerate().take(cells.len() - 1) {
        left += v;
        let (k, rest) = ((i + 1) as f64, (cells.len() - i - 1) as f64);
        let difference = (total - left) / rest - left / k;
        let gain = difference * by.signum() * (k * rest).sqrt();
        if gain > best {
            (best, at) = (gain, around.start + i + 1);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_follow_the_season_and_the_level() {
        let nan = f64::NAN;
        let mut y: Vec<f64> = (0..12).map(|t| f64::from(t % 4)).collect();
        y[9] = nan;
        y[10] = f64::INFINITY;
        let filled = fill_gaps(&y, 4);
        assert_eq!(filled.changed, 2);
        assert_eq!(filled.values[9..11], [1.0, 2.0]);
        assert_eq!(fill_gaps(&[nan, 2.0, nan], 0).values, [2.0, 2.0, 2.0]);
        assert_eq!(fill_gaps(&[nan; 3], 0).values, [0.0; 3]);
    }

    #[test]
    fn a_spike_is_damped_and_a_new_level_is_accepted() {
        let mut y: Vec<f64> = (0..200).map(|t| f64::from(t % 10)).collect();
        y[100] = 500.0;
        let damped = damp_spikes(&y, 10);
        assert_eq!(damped.changed, 1);
        assert!(damped.values[100] < 60.0, "{}", damped.values[100]);
        let shifted: Vec<f64> = y.iter().enumerate().map(|(t, v)| v + if t > 150 { 1_000.0 } else { 0.0 }).collect();
        let damped = damp_spikes(&shifted, 10);
        assert_eq!(damped.values[160..], shifted[160..]);
    }

    #[test]
    fn cleaning_never_looks_ahead() {
        let mut y: Vec<f64> = (0..300).map(|t| f64::from(t * 37 % 11) + if t == 150 { 400.0 } else { 0.0 }).collect();
        y[200] = f64::NAN;
        let whole = damp_spikes(&fill_gaps(&y, 11).values, 11).values;
        for cut in [60, 151, 201, 299] {
            assert_eq!(damp_spikes(&fill_gaps(&y[..cut], 11).values, 11).values, whole[..cut]);
        }
    }

    #[test]
    fn a_shift_is_found_where_it_happened_and_a_trend_is_none() {
        let y: Vec<f64> = (0..240).map(|t| f64::from(t % 6) + if t >= 130 { 50.0 } else { 0.0 }).collect();
        let shift = level_shift(&y, 12).unwrap();
        assert!(shift.at.abs_diff(130) <= 2, "{shift:?}");
        assert!((shift.by - 50.0).abs() < 1.0);
        let trend: Vec<f64> = (0..240).map(f64::from).collect();
        assert_eq!(level_shift(&trend, 12), None);
        assert_eq!(level_shift(&[5.0; 100], 0), None);
    }
}
