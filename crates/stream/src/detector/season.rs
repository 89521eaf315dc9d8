//! The profile of a season: what is usual at this time of the day (or of any other season), learned as data arrives.
//!
//! Ninety-six levels around the season, read with linear interpolation. The first visit sets a level; later ones pull the two
//! nearest levels towards the value, at a rate that falls from one over the seasons seen to one over [`SEASONS_KEPT`], and by
//! no more than a few deviations, so that an incident does not become tomorrow's expectation.

use sketch::SketchError;
use sketch::wire::{Reader, put_f32, put_signed};

/// Levels around the season: 15 minutes each for a day.
const LEVELS: usize = 96;
/// Memory in seasons.
const SEASONS_KEPT: f64 = 5.0;
/// Interpolation shares a pull between two levels; this makes up for what each of them then misses.
const SHARE_GAIN: f64 = 1.3;

/// Levels by phase.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Season {
    period: i64,
    start: i64,
    levels: [f32; LEVELS],
}

/// Where a time lies: two neighbouring levels and the share of the second.
struct Phase {
    before: usize,
    after: usize,
    share: f64,
}

impl Season {
    /// An empty profile of `period` milliseconds (at least one).
    pub(crate) fn new(period: i64) -> Self {
        Self { period: period.max(1), start: i64::MAX, levels: [f32::NAN; LEVELS] }
    }

    fn phase(&self, at: i64) -> Phase {
        let position = at.rem_euclid(self.period) as f64 / self.period as f64 * LEVELS as f64 - 0.5;
        let low = position.floor();
        let before = (low as i64).rem_euclid(LEVELS as i64) as usize;
        Phase { before, after: (before + 1) % LEVELS, share: position - low }
    }

    /// The usual value at a time; `None` where nothing was seen yet.
    pub(crate) fn at(&self, at: i64) -> Option<f64> {
        let phase = self.phase(at);
        let (before, after) = (f64::from(self.levels[phase.before]), f64::from(self.levels[phase.after]));
        match (before.is_nan(), after.is_nan()) {
            (false, false) => Some(before * (1.0 - phase.share) + after * phase.share),
            (false, true) => Some(before),
            (true, false) => Some(after),
            (true, true) => None,
        }
    }

    /// Learns a value, cut off at `clip` from what was usual; `step` is the distance of values in milliseconds.
    pub(crate) fn learn(&mut self, at: i64, value: f64, clip: f64, step: i64) {
        self.start = self.start.min(at);
        let phase = self.phase(at);
        let usual = self.at(at).unwrap_or(value);
        let seasons = (at - self.start).max(0) as f64 / self.period as f64;
        let values_a_level = (self.period as f64 / (LEVELS as f64 * step.max(1) as f64)).max(1.0);
        let rate = (1.0 / (values_a_level * (seasons + 1.0).min(SEASONS_KEPT))).min(0.5);
        let pull = (value - usual).clamp(-clip, clip) * rate * SHARE_GAIN;
        for (slot, weight) in [(phase.before, 1.0 - phase.share), (phase.after, phase.share)] {
            let level = &mut self.levels[slot];
            if !level.is_nan() {
                *level += (pull * weight) as f32;
            } else if weight >= 0.5 {
                *level = value as f32;
            }
        }
    }

    /// Whether a whole season was seen by `at`.
    pub(crate) fn is_full(&self, at: i64) -> bool {
        self.start != i64::MAX && at.saturating_sub(self.start) >= self.period
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_signed(out, self.period);
        put_signed(out, self.start);
        self.levels.iter().for_each(|&level| put_f32(out, level));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let at = reader.at();
        let mut season = Self::new(reader.signed()?);
        season.start = reader.signed()?;
        for level in &mut season.levels {
            *level = reader.f32()?;
        }
        if season.levels.iter().any(|level| level.is_infinite()) {
            return Err(SketchError::Damaged { at, what: "season" });
        }
        Ok(season)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daily_wave_is_known_after_two_days() {
        let (day, step) = (86_400_000_i64, 300_000_i64);
        let wave = |at: i64| 50.0 + 20.0 * (std::f64::consts::TAU * at as f64 / day as f64).sin();
        let mut season = Season::new(day);
        assert_eq!(season.at(0), None);
        (0..2 * day / step).for_each(|i| season.learn(i * step, wave(i * step), 1e9, step));
        assert!(season.is_full(2 * day));
        for i in 0..288 {
            let at = 2 * day + i * step;
            assert!((season.at(at).expect("seen") - wave(at)).abs() < 0.6, "{i}");
        }
    }
}
