//! What happens to a history before any model sees it.

use crate::answer::Note;
use crate::clean;
use crate::error::ForecastError;
use crate::request::{MIN_CELLS, Request, Seasons};
use crate::rolling::Plan;
use crate::seasons;

/// Seasons are looked for in at most so many of the newest cells.
const MAX_CELLS: usize = 100_000;
/// Models see the larger of this many cells and [`CYCLES`] of the longest season plus the back-test.
const WINDOW: usize = 4_096;
const CYCLES: usize = 4;

/// A history ready for models.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// Finite, gaps filled, spikes damped, divided by `scale`.
    pub(crate) values: Vec<f64>,
    /// As observed, NaN where there was a gap, divided by `scale`: what forecasts are scored against.
    pub(crate) raw: Vec<f64>,
    /// A power of two near the largest magnitude, so that dividing is exact and no square overflows.
    pub(crate) scale: f64,
    /// Ascending, each at least 2, each with two cycles before the first origin.
    pub(crate) seasons: Vec<usize>,
    /// The season models of one season take, 1 without any.
    pub(crate) main: usize,
    /// Observed cells.
    pub(crate) observed: usize,
    pub(crate) constant: bool,
    pub(crate) notes: Vec<Note>,
}

/// Cuts, scales, finds seasons, fills and damps. `insisted` are the seasons of a specification; those of the request
/// win where it gives any.
pub(crate) fn prepare(request: &Request<'_>, insisted: Option<&Vec<usize>>) -> Result<Prepared, ForecastError> {
    let mut notes = Vec::new();
    let (mut raw, mut cut) = observed(request, &mut notes)?;
    let scale = scale_of(&raw);
    raw.iter_mut().for_each(|v| *v /= scale);
    let count = raw.iter().filter(|v| !v.is_nan()).count();
    if count < MIN_CELLS {
        return Err(ForecastError::TooShort { observed: count, cells: request.y.len(), needed: MIN_CELLS });
    }
    let first = raw[0];
    let constant = raw.iter().all(|v| v.is_nan() || *v == first);
    let given = match (&request.seasons, insisted) {
        (Seasons::Given(cells), _) => Some(cells),
        (Seasons::Auto, insisted) => insisted,
    };
    let mut seasons = match given {
        _ if constant => Vec::new(),
        Some(cells) => cells.clone(),
        None => strongest_first(seasons::detect(&clean::fill_gaps(&raw, 0).values, request.step_ms)),
    };
    seasons.retain(|m| *m > 1);
    let preferred = seasons.first().copied();
    seasons.sort_unstable();
    seasons.dedup();
    keep_fitting(&mut seasons, raw.len(), request.horizon, &mut notes);
    cap(&mut raw, &mut cut, &seasons, request, &mut notes);
    let main = preferred.filter(|m| seasons.contains(m)).or(seasons.last().copied()).unwrap_or(1);
    let filled = clean::fill_gaps(&raw, main);
    if filled.changed > 0 {
        notes.push(Note::GapsFilled(filled.changed));
    }
    let values = repair(filled.values, (&seasons, main), cut, request, &mut notes);
    Ok(Prepared { values, raw, scale, seasons, main, observed: count, constant, notes })
}

/// Seasons with the one that explains most in front.
fn strongest_first(detected: Vec<seasons::Detected>) -> Vec<usize> {
    let main = detected.iter().max_by(|a, b| a.explained.total_cmp(&b.explained)).map(|d| d.cells);
    main.into_iter().chain(detected.iter().map(|d| d.cells).filter(|m| Some(*m) != main)).collect()
}

/// The newest [`MAX_CELLS`] from the first observed cell on, infinities as gaps; and how many cells were cut off.
fn observed(request: &Request<'_>, notes: &mut Vec<Note>) -> Result<(Vec<f64>, usize), ForecastError> {
    let spare = request.y.len().saturating_sub(MAX_CELLS);
    let y = &request.y[spare..];
    let Some(first) = y.iter().position(|v| v.is_finite()) else {
        return Err(ForecastError::AllGaps { cells: request.y.len() });
    };
    let y = &y[first..];
    if first > 0 && spare == 0 {
        notes.push(Note::LeadingGapsCut(first));
    }
    let infinite = y.iter().filter(|v| v.is_infinite()).count();
    if infinite > 0 {
        notes.push(Note::InfinitiesDropped(infinite));
    }
    let stale = y.iter().rev().take_while(|v| !v.is_finite()).count();
    if stale > 0 {
        notes.push(Note::StaleFor(stale));
    }
    let kept = y.iter().map(|v| if v.is_finite() { *v } else { f64::NAN }).collect();
    Ok((kept, spare + first))
}

/// The power of two at or below the largest magnitude; 1 for a history of zeros.
fn scale_of(raw: &[f64]) -> f64 {
    let largest = raw.iter().filter(|v| !v.is_nan()).map(|v| v.abs()).fold(0.0, f64::max);
    if largest < f64::MIN_POSITIVE {
        return if largest > 0.0 { f64::MIN_POSITIVE } else { 1.0 };
    }
    // Clearing the mantissa leaves the power of two.
    f64::from_bits(largest.to_bits() & 0x7ff0_0000_0000_0000)
}

/// Leaves out, longest first, the seasons of which the history does not hold two cycles besides a part of the horizon.
fn keep_fitting(seasons: &mut Vec<usize>, n: usize, horizon: usize, notes: &mut Vec<Note>) {
    while let Some(&longest) = seasons.last() {
        let judged = horizon.min(longest).div_ceil(3).max(1);
        if 2 * longest + 1 + judged <= n {
            break;
        }
        seasons.pop();
        notes.push(Note::SeasonDropped(longest));
    }
}

/// Cuts the history to what models look at, by whole cycles of the longest season.
fn cap(raw: &mut Vec<f64>, cut: &mut usize, seasons: &[usize], request: &Request<'_>, notes: &mut Vec<Note>) {
    let longest = seasons.last().copied().unwrap_or(1);
    let window = WINDOW.max(CYCLES * longest) + request.folds * request.horizon;
    let spare = raw.len().saturating_sub(window) / longest * longest;
    raw.drain(..spare);
    *cut += spare;
    if raw.len() < request.y.len() && (spare > 0 || request.y.len() > MAX_CELLS) {
        notes.push(Note::WindowCapped { used: raw.len(), given: request.y.len() });
    }
    // A drained history may start with a gap; the fill takes the first value seen there.
}

/// Damps spikes, and moves what lies before an old level shift to the level after it.
fn repair(
    filled: Vec<f64>,
    (seasons, season): (&[usize], usize),
    cut: usize,
    request: &Request<'_>,
    notes: &mut Vec<Note>,
) -> Vec<f64> {
    let damped = clean::damp_spikes(&filled, season);
    if damped.changed > 0 {
        notes.push(Note::OutliersDamped(damped.changed));
    }
    let mut values = damped.values;
    let Some(shift) = clean::level_shift(&values, season) else { return values };
    notes.push(Note::LevelShiftAt(cut + shift.at));
    // Moving the past is only fair to a back-test whose first origin knew the new level already.
    let plan = Plan::new(values.len(), request.horizon, request.folds, seasons);
    let known = shift.at + season.max(5);
    let lowest = values[..shift.at].iter().copied().fold(f64::INFINITY, f64::min);
    let stays_positive = lowest + shift.by > 0.0 || values.iter().any(|v| *v <= 0.0);
    if plan.origins.first().is_none_or(|first| *first >= known) && stays_positive {
        values[..shift.at].iter_mut().for_each(|v| *v += shift.by);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_exact_powers_of_two() {
        assert_eq!(scale_of(&[3.0, -9.0, f64::NAN]), 8.0);
        assert_eq!(scale_of(&[0.0]), 1.0);
        assert_eq!(scale_of(&[f64::MAX]), 2f64.powi(1023));
        assert_eq!(scale_of(&[5e-324]), f64::MIN_POSITIVE);
    }

    #[test]
    fn every_remark_is_noted() {
        let mut y: Vec<f64> = (0..9_000).map(|t| f64::from(t % 24) + f64::from(t * 7 % 5)).collect();
        y[8_000] = f64::NAN;
        y[8_100] = f64::INFINITY;
        y[8_500] = 900.0;
        y[8_999] = f64::NAN;
        let request = Request { seasons: Seasons::Given(vec![24, 8_000, 1]), ..Request::new(&y, 3_600_000, 24) };
        let prepared = prepare(&request, None).unwrap();
        assert_eq!(prepared.seasons, [24]);
        let expected = [
            Note::InfinitiesDropped(1),
            Note::StaleFor(1),
            Note::SeasonDropped(8_000),
            Note::WindowCapped { used: prepared.raw.len(), given: 9_000 },
            Note::GapsFilled(3),
            Note::OutliersDamped(1),
        ];
        for note in expected {
            assert!(prepared.notes.contains(&note), "{note:?} is missing in {:?}", prepared.notes);
        }
    }
}
