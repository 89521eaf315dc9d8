//! What to expect next: five simple forecasters, mixed by how well each did lately.
//!
//! | forecaster | good for |
//! |---|---|
//! | the last value | slow, wandering series |
//! | a short moving level | noise around a level |
//! | the season's level | strong seasons |
//! | season plus a moving offset | seasons on a moving base |
//! | last value plus the season's step | smooth seasons |
//!
//! Weights are the inverse squares of decayed absolute errors (a power form of the weighted-majority idea: Littlestone and
//! Warmuth 1994). Forecasters learn from cleaned values, so that one outlier is not the next expectation.

use sketch::SketchError;
use sketch::wire::{Reader, put_f32, put_f64};

const EXPERTS: usize = 5;
/// Place of the season's level among them.
const SEASON_ALONE: usize = 2;
/// Rate of the short moving level.
const LEVEL_RATE: f64 = 0.1;
/// Rate of the offset from the season.
const OFFSET_RATE: f64 = 0.05;
/// Errors beyond this many deviations count as so many: an incident is no forecaster's fault.
const ERROR_CAP: f64 = 4.0;

/// State of the forecasters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Experts {
    last: f64,
    last_usual: f64,
    level: f64,
    offset: f64,
    /// Single floats: they only weigh.
    errors: [f32; EXPERTS],
}

/// Forecasts of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forecasts {
    each: [f64; EXPERTS],
    /// The season's level used.
    usual: f64,
    /// The mixture.
    pub(crate) expected: f64,
}

impl Experts {
    /// Begins with the first value.
    pub(crate) fn new(first: f64) -> Self {
        Self { last: first, last_usual: first, level: first, offset: 0.0, errors: [0.0; EXPERTS] }
    }

    /// The short moving level.
    pub(crate) fn level(&self) -> f64 {
        self.level
    }

    /// Forecasts the next value; `usual` is the season's level there, if known.
    pub(crate) fn forecast(&self, usual: Option<f64>) -> Forecasts {
        let season = usual.unwrap_or(self.level);
        let season_step = usual.map_or(0.0, |usual| usual - self.last_usual);
        let each = [self.last, self.level, season, season + self.offset, self.last + season_step];
        let floor = 1e-9 * (1.0 + self.level.abs());
        let (mut sum, mut total) = (0.0, 0.0);
        for (forecast, error) in each.iter().zip(&self.errors) {
            let weight = (f64::from(*error) + floor).powi(-2);
            sum += weight * forecast;
            total += weight;
        }
        let expected = if total.is_finite() && total > 0.0 { sum / total } else { self.level };
        Forecasts { each, usual: season, expected }
    }

    /// Learns from a value: `cleaned` is the value pulled towards the expectation, `deviation` the usual error, `rate` how fast
    /// errors fade (1 / n at the start).
    pub(crate) fn learn(&mut self, forecasts: &Forecasts, value: f64, cleaned: f64, deviation: f64, rate: f64) {
        for (error, forecast) in self.errors.iter_mut().zip(&forecasts.each) {
            let size = (value - forecast).abs().min(ERROR_CAP * deviation);
            *error += (rate * (size - f64::from(*error))) as f32;
        }
        self.level += LEVEL_RATE.max(rate) * (cleaned - self.level);
        self.offset += OFFSET_RATE * (cleaned - forecasts.usual - self.offset);
        (self.last, self.last_usual) = (cleaned, forecasts.usual);
    }

    /// Goes on after a gap from the season's level and the offset it had.
    pub(crate) fn resume(&mut self, usual: f64) {
        let value = usual + self.offset;
        (self.last, self.last_usual, self.level) = (value, usual, value);
    }

    /// Takes the present value as the new normal: after a shift, or after a gap where the season is not known.
    pub(crate) fn rebase(&mut self, value: f64, usual: f64) {
        (self.last, self.last_usual, self.level, self.offset) = (value, usual, value, value - usual);
        // The season alone does not know of the move; the others were moved.
        self.errors[SEASON_ALONE] = self.errors[SEASON_ALONE].max((value - usual).abs() as f32);
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        [self.last, self.last_usual, self.level, self.offset].into_iter().for_each(|field| put_f64(out, field));
        self.errors.iter().for_each(|&error| put_f32(out, error));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let at = reader.at();
        let (last, last_usual) = (reader.f64()?, reader.f64()?);
        let (level, offset) = (reader.f64()?, reader.f64()?);
        let mut errors = [0.0; EXPERTS];
        for error in &mut errors {
            *error = reader.f32()?;
        }
        let finite = [last, last_usual, level, offset].iter().all(|field| field.is_finite());
        if !finite || errors.iter().any(|error| error.is_nan()) {
            return Err(SketchError::Damaged { at, what: "forecasters" });
        }
        Ok(Self { last, last_usual, level, offset, errors })
    }
}
