//! Online anomaly detection of one regular series: each value is judged by the past alone.
//!
//! ```text
//!   value ─▶ forecasters (last, level, season, …) ─▶ residual ─▶ z ─▶ surprise: −log10 of its own tail probability
//!                   ▲                                   │                  │
//!                   └──── cleaned value, season ◀───────┘                  ▼ habituation: the same incident again counts less
//!                                                                    score in [0, 1): 0.5 where alarms begin
//! ```
//!
//! A score of 0.5 means: as rare as the sensitivity allows, measured in days between such values ([`Sensitivity`]), and at
//! least five robust deviations in size. The score is 1 − 2^(−surprise / threshold). Gaps in the data are not anomalies: after
//! one, forecasts start from the season, or, without one, silently anew. State: less than 1 KiB a series.

mod cusum;
mod episode;
mod experts;
mod season;
mod sigma;
mod surprise;
#[cfg(test)]
mod tests;
mod watch;

use series::{Millis, Timestamp};
use sketch::wire::{Reader, put_f32, put_f64, put_signed};
use sketch::{RobustLevel, SketchError};

use crate::spec::Sensitivity;
use cusum::Cusum;
pub(crate) use episode::Report;
use experts::Experts;
use season::Season;
use sigma::SigmaRule;
use surprise::{Rarity, Surprise};
pub(crate) use watch::Watch;

const DAY: i64 = 86_400_000;
/// Values before the first judgement.
const WARM_UP: f64 = 60.0;
/// Memory of deviations in values: a day, within these bounds.
const MEMORY: (f64, f64) = (100.0, 1500.0);
/// Laws of rarity remember this many times as long.
const LAW_MEMORY: f64 = 40.0;
/// A deviation is at least this share of the level: rounding noise is no scale.
const DEVIATION_FLOOR: f64 = 1e-4;
/// Residuals are cut off at so many deviations before forecasters and season learn from them.
const CLEAN_CLIP: f64 = 2.0;
const SEASON_CLIP: f64 = 2.0;
/// Alarms need this many deviations, however rare they are.
const SIZE_MIN: f64 = 5.0;
/// For so many values after an alarm, surprise is damped, unless it is this much greater.
const HABIT_VALUES: f64 = 200.0;
const HABIT_DAMPING: f64 = 0.9;
const HABIT_EXCESS: f64 = 1.1;
/// Each further value in a row beyond three deviations on one side adds this share to the surprise, at most ten times: one
/// value can be chance, ten are a level that moved. Far less than independence would allow, since residuals are correlated.
const SUSTAINED_SHARE: f64 = 0.05;
const SUSTAINED_MAX: f64 = 10.0;
/// So many values in a row beyond three deviations on one side are the new normal.
const REBASE_VALUES: f32 = 40.0;
/// Larger values are not judged: parts of the state are single floats.
const VALUE_MAX: f64 = 1e29;
/// More missing steps than this are a gap.
const GAP_STEPS: i64 = 10;

/// Stands for the simple rule in bytes, where others have their sensitivity's code.
const SIGMA_CODE: f64 = 0.0;

/// Judges the values of one series in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Calibrated(Box<Calibrated>),
    Sigma(Box<SigmaRule>),
}

/// What a value was judged to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment {
    /// 0 (ordinary) to 1; alarms begin at 0.5. Zero while warming up.
    pub score: f64,
    /// The forecast made before the value was seen.
    pub expected: f64,
    /// Expected less three robust deviations.
    pub lower: f64,
    /// Expected plus three robust deviations.
    pub upper: f64,
    /// Too little was seen to judge.
    pub warming_up: bool,
    /// Usual level at this time of the season, if known.
    pub(crate) usual: Option<f64>,
    /// When the level began to leave its place in the direction of this value, by a cumulative sum.
    pub(crate) moving_since: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
struct Calibrated {
    sensitivity: Sensitivity,
    step: i64,
    last_at: i64,
    seen: f64,
    season: Season,
    experts: Experts,
    residual: RobustLevel,
    surprise: Surprise,
    cusum: Cusum,
    /// Values beyond three deviations in a row, signed.
    run: f32,
    /// Number of the value at the last alarm, and its surprise.
    alarm_at: f64,
    alarm_surprise: f64,
}

impl Detector {
    /// A detector of values every `step` with a season (one day unless given).
    pub fn new(step: Option<Millis>, season: Option<Millis>, sensitivity: Sensitivity) -> Self {
        let step = step.map_or(60_000, |step| step.0).max(1);
        let rule = match sensitivity {
            Sensitivity::Sigma(sigma) => Rule::Sigma(Box::new(SigmaRule::new(sigma, memory(step) * step as f64))),
            _ => {
                let season = season.map_or(DAY, |season| season.0);
                Rule::Calibrated(Box::new(Calibrated::new(step, season, sensitivity)))
            }
        };
        Self { rule }
    }

    /// Judges a value and learns from it. Values that are not finite or beyond 1e29, and times not after the last one, are
    /// judged ordinary and not learned.
    pub fn push(&mut self, at: Timestamp, value: f64) -> Assessment {
        let value = if value.abs() > VALUE_MAX { f64::NAN } else { value };
        match &mut self.rule {
            Rule::Calibrated(rule) => rule.push(at.0, value),
            Rule::Sigma(rule) => rule.push(at, value),
        }
    }

    /// Takes the present level for the new normal.
    pub(crate) fn accept_level(&mut self, at: Timestamp, value: f64) {
        if let Rule::Calibrated(rule) = &mut self.rule {
            let usual = rule.season.at(at.0).unwrap_or(value);
            rule.experts.rebase(value, usual);
            rule.run = 0.0;
        }
    }

    /// Bytes held, heap included.
    pub fn bytes(&self) -> usize {
        let heap = match self.rule {
            Rule::Calibrated(_) => size_of::<Calibrated>(),
            Rule::Sigma(_) => size_of::<SigmaRule>(),
        };
        size_of::<Self>() + heap
    }

    /// Appends the state, bit for bit.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.rule {
            Rule::Calibrated(rule) => rule.encode(out),
            Rule::Sigma(rule) => {
                put_f64(out, SIGMA_CODE);
                rule.encode(out);
            }
        }
    }

    /// Reads what [`Detector::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError::Truncated`], [`SketchError::Damaged`].
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let at = reader.at();
        let code = reader.f64()?;
        let rule = if code == SIGMA_CODE {
            Rule::Sigma(Box::new(SigmaRule::decode(reader)?))
        } else {
            let sensitivity = Sensitivity::from_code(code).ok_or(SketchError::Damaged { at, what: "detector" })?;
            Rule::Calibrated(Box::new(Calibrated::decode(reader, sensitivity)?))
        };
        Ok(Self { rule })
    }
}

/// Scores of a whole series, each from the values before it alone: high sensitivity, a season of one day. The step is the
/// median distance of the first fifty timestamps, all of which lie in the warm-up, where scores are 0.
pub fn score_series(values: &[(Timestamp, f64)]) -> Vec<f64> {
    let mut steps: Vec<i64> =
        values.windows(2).take(50).map(|two| (two[1].0 - two[0].0).0).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    let step = steps.get(steps.len() / 2).map(|&step| Millis(step));
    let mut detector = Detector::new(step, None, Sensitivity::High);
    values.iter().map(|&(at, value)| detector.push(at, value).score).collect()
}

/// Memory of deviations in values.
fn memory(step: i64) -> f64 {
    (DAY as f64 / step as f64).clamp(MEMORY.0, MEMORY.1)
}

/// Surprise at which alarms begin: that of one value in so many days, and a tenth more because three signals are joined.
fn threshold(sensitivity: Sensitivity, step: i64) -> f64 {
    let days = match sensitivity {
        Sensitivity::Low => 300.0,
        Sensitivity::Normal => 60.0,
        Sensitivity::High | Sensitivity::Sigma(_) => 12.0,
    };
    1.1 * (days * DAY as f64 / step as f64).log10().clamp(1.5, 6.5)
}

impl Calibrated {
    fn new(step: i64, season: i64, sensitivity: Sensitivity) -> Self {
        Self {
            sensitivity,
            step,
            last_at: i64::MIN,
            seen: 0.0,
            season: Season::new(season),
            experts: Experts::new(0.0),
            residual: RobustLevel::default(),
            surprise: Surprise::new(),
            cusum: Cusum::default(),
            run: 0.0,
            alarm_at: f64::NEG_INFINITY,
            alarm_surprise: 0.0,
        }
    }

    fn push(&mut self, at: i64, value: f64) -> Assessment {
        if !value.is_finite() || at <= self.last_at {
            return Assessment::silent(self.experts.level());
        }
        self.seen += 1.0;
        if self.seen == 1.0 {
            self.experts = Experts::new(value);
            self.season.learn(at, value, f64::INFINITY, self.step);
            self.last_at = at;
            return Assessment::silent(value);
        }
        let gap = at.saturating_sub(self.last_at) > GAP_STEPS.saturating_mul(self.step);
        if gap && self.bridge(at, value) {
            return Assessment::silent(value);
        }
        self.judge(at, value)
    }

    /// After a gap, starts from the season where it is known; `true` when nothing is known and the value only starts anew.
    fn bridge(&mut self, at: i64, value: f64) -> bool {
        self.surprise.restart_means();
        self.cusum = Cusum::default();
        self.run = 0.0;
        let usual = self.season.at(at);
        match usual {
            Some(usual) => self.experts.resume(usual),
            None => {
                self.experts.rebase(value, value);
                self.season.learn(at, value, f64::INFINITY, self.step);
                self.last_at = at;
            }
        }
        usual.is_none()
    }

    fn judge(&mut self, at: i64, value: f64) -> Assessment {
        let memory = memory(self.step);
        let usual = self.season.at(at);
        let forecasts = self.experts.forecast(usual);
        let expected = forecasts.expected;
        let floor = (DEVIATION_FLOOR * self.experts.level().abs()).max(1e-12);
        let deviation = self.residual.deviation().max(floor);
        let residual = value - expected;
        let z = residual / deviation;
        let warming_up = self.seen <= WARM_UP;
        let rarity = self.surprise.push(z, 1.0 / memory, 1.0 - 1.0 / (memory * LAW_MEMORY), !warming_up);
        let score = if warming_up { 0.0 } else { self.score(rarity, self.sustained(z)) };
        self.cusum.push(Timestamp(at), z);
        self.residual.push(residual, 1.0 / memory);

        let young = self.seen < 30.0;
        let clip = if young { f64::INFINITY } else { CLEAN_CLIP * deviation };
        let cap = if young { f64::INFINITY } else { deviation };
        let cleaned = expected + residual.clamp(-clip, clip);
        self.experts.learn(&forecasts, value, cleaned, cap, (2.0 / memory).max(1.0 / self.seen));
        let season_clip = if self.season.is_full(at) { SEASON_CLIP * deviation } else { f64::INFINITY };
        self.season.learn(at, value, season_clip, self.step);
        self.follow_shift(value, z, usual);
        self.last_at = at;
        Assessment {
            score,
            expected,
            lower: expected - 3.0 * deviation,
            upper: expected + 3.0 * deviation,
            warming_up,
            usual,
            moving_since: self.cusum.since(residual),
        }
    }

    /// How much more a value says because the ones before it said the same.
    fn sustained(&self, z: f64) -> f64 {
        let run = f64::from(self.run) * z.signum();
        1.0 + SUSTAINED_SHARE * run.clamp(0.0, SUSTAINED_MAX)
    }

    fn score(&mut self, rarity: Rarity, sustained: f64) -> f64 {
        let threshold = threshold(self.sensitivity, self.step);
        let rarity =
            Rarity { surprise: rarity.surprise * if rarity.size >= SIZE_MIN { sustained } else { 1.0 }, ..rarity };
        let score_of = |surprise: f64| 1.0 - (-surprise / threshold).exp2();
        let surprise = if rarity.size < SIZE_MIN { rarity.surprise.min(0.98 * threshold) } else { rarity.surprise };
        let habituated = self.seen - self.alarm_at < HABIT_VALUES;
        if surprise >= threshold && (!habituated || surprise > HABIT_EXCESS * self.alarm_surprise) {
            (self.alarm_at, self.alarm_surprise) = (self.seen, surprise);
            return score_of(surprise);
        }
        score_of(if habituated { HABIT_DAMPING * surprise } else { surprise })
    }

    /// Takes a level that stays for its new normal.
    fn follow_shift(&mut self, value: f64, z: f64, usual: Option<f64>) {
        let side = z.signum() as f32;
        self.run = if z.abs() <= 3.0 {
            self.run * 0.8
        } else if self.run * side > 0.0 {
            self.run + side
        } else {
            side
        };
        if self.run.abs() >= REBASE_VALUES {
            self.experts.rebase(value, usual.unwrap_or(value));
            self.run = 0.0;
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_f64(out, self.sensitivity.code());
        put_signed(out, self.step);
        put_signed(out, self.last_at);
        put_f64(out, self.seen);
        self.season.encode(out);
        self.experts.encode(out);
        self.residual.encode(out);
        self.surprise.encode(out);
        self.cusum.encode(out);
        put_f32(out, self.run);
        put_f64(out, self.alarm_at);
        put_f64(out, self.alarm_surprise);
    }

    fn decode(reader: &mut Reader<'_>, sensitivity: Sensitivity) -> Result<Self, SketchError> {
        let at = reader.at();
        let mut rule = Self::new(reader.signed()?, DAY, sensitivity);
        if rule.step <= 0 {
            return Err(SketchError::Damaged { at, what: "detector" });
        }
        rule.last_at = reader.signed()?;
        rule.seen = reader.f64()?;
        rule.season = Season::decode(reader)?;
        rule.experts = Experts::decode(reader)?;
        rule.residual = RobustLevel::decode(reader)?;
        rule.surprise = Surprise::decode(reader)?;
        rule.cusum = Cusum::decode(reader)?;
        rule.run = reader.f32()?;
        (rule.alarm_at, rule.alarm_surprise) = (reader.f64()?, reader.f64()?);
        Ok(rule)
    }
}

impl Assessment {
    /// Nothing can be said.
    fn silent(expected: f64) -> Self {
        Self {
            score: 0.0,
            expected,
            lower: expected,
            upper: expected,
            warming_up: true,
            usual: None,
            moving_since: None,
        }
    }
}
