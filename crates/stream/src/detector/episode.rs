//! From scores to events: when an incident begins, what it grows into, and when it is over.
//!
//! ```text
//!   score ≥ 0.5 ─▶ Spike ─ third value outside ─▶ Burst ─┐ twentieth value outside
//!               └▶ Drop ──────────────────────────────── ┴▶ LevelShiftUp / LevelShiftDown (closed: the new normal)
//!   three values back inside: closed at the first of them
//! ```
//!
//! "Outside" means further from the baseline than half the first jump. The baseline is what was expected when the incident
//! began, moved along with the season; it does not adapt while the incident lasts.

use series::Timestamp;
use sketch::SketchError;
use sketch::wire::{Reader, put_f64, put_signed, put_varint};

use crate::detector::Assessment;
use crate::emission::EventKind;

const BURST_VALUES: u64 = 3;
const SHIFT_VALUES: u64 = 20;
const BACK_VALUES: u64 = 3;
/// An open event is said again when its score rose by this much.
const WORSE: f64 = 0.1;

/// The incident in progress, if any.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Episodes {
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    start: Timestamp,
    change_point: Option<Timestamp>,
    /// Expected less usual at the start.
    baseline: f64,
    /// Usual level at the start; without one the baseline stands still.
    usual: Option<f64>,
    /// The first jump, signed.
    jump: f64,
    outside: u64,
    back: u64,
    first_back: Timestamp,
    score: f64,
    said_score: f64,
    said_kind: EventKind,
    expected: f64,
    seen: f64,
}

/// What to say of an incident.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Report {
    pub(crate) kind: EventKind,
    pub(crate) start: Timestamp,
    pub(crate) end: Option<Timestamp>,
    pub(crate) score: f64,
    pub(crate) expected: f64,
    pub(crate) seen: f64,
    pub(crate) change_point: Option<Timestamp>,
}

impl Episodes {
    /// Follows one value; answers when something new is to be said.
    pub(crate) fn push(&mut self, at: Timestamp, value: f64, judged: &Assessment) -> Option<Report> {
        match &mut self.open {
            None if judged.score < 0.5 || judged.warming_up || value == judged.expected => None,
            None => {
                let open = Open::new(at, value, judged);
                self.open = Some(open);
                Some(open.report(None))
            }
            Some(open) => {
                let report = open.follow(at, value, judged);
                if report.is_some_and(|report| report.end.is_some()) {
                    self.open = None;
                }
                report
            }
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Some(open) = &self.open else { return out.push(0) };
        out.push(1);
        put_signed(out, open.start.0);
        put_signed(out, open.first_back.0);
        put_optional(out, open.change_point.map(|at| at.0 as f64));
        put_optional(out, open.usual);
        put_varint(out, open.outside);
        put_varint(out, open.back);
        out.push(open.said_kind as u8);
        for value in [open.baseline, open.jump, open.score, open.said_score, open.expected, open.seen] {
            put_f64(out, value);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        if reader.u8()? == 0 {
            return Ok(Self::default());
        }
        let (start, first_back) = (Timestamp(reader.signed()?), Timestamp(reader.signed()?));
        let change_point = read_optional(reader)?.map(|at| Timestamp(at as i64));
        let usual = read_optional(reader)?;
        let (outside, back) = (reader.varint()?, reader.varint()?);
        let at = reader.at();
        let said_kind = kind_of(reader.u8()?).ok_or(SketchError::Damaged { at, what: "event" })?;
        let (baseline, jump, score) = (reader.f64()?, reader.f64()?, reader.f64()?);
        let (said_score, expected, seen) = (reader.f64()?, reader.f64()?, reader.f64()?);
        let open = Open {
            start,
            change_point,
            baseline,
            usual,
            jump,
            outside,
            back,
            first_back,
            score,
            said_score,
            said_kind,
            expected,
            seen,
        };
        Ok(Self { open: Some(open) })
    }
}

impl Open {
    fn new(at: Timestamp, value: f64, judged: &Assessment) -> Self {
        let jump = value - judged.expected;
        Self {
            start: at,
            change_point: judged.moving_since,
            baseline: judged.expected,
            usual: judged.usual,
            jump,
            outside: 1,
            back: 0,
            first_back: at,
            score: judged.score,
            said_score: judged.score,
            said_kind: if jump > 0.0 { EventKind::Spike } else { EventKind::Drop },
            expected: judged.expected,
            seen: value,
        }
    }

    fn follow(&mut self, at: Timestamp, value: f64, judged: &Assessment) -> Option<Report> {
        let moved = match (self.usual, judged.usual) {
            (Some(then), Some(now)) => now - then,
            _ => 0.0,
        };
        if judged.score > self.score {
            (self.score, self.expected, self.seen) = (judged.score, judged.expected, value);
        }
        let outside = (value - self.baseline - moved) * self.jump.signum() > 0.5 * self.jump.abs();
        if !outside {
            if self.back == 0 {
                self.first_back = at;
            }
            self.back += 1;
            return (self.back >= BACK_VALUES).then(|| self.report(Some(self.first_back)));
        }
        self.back = 0;
        self.outside += 1;
        let kind = self.kind();
        let shifted = self.outside >= SHIFT_VALUES;
        if shifted || kind != self.said_kind || self.score >= self.said_score + WORSE {
            (self.said_kind, self.said_score) = (kind, self.score);
            return Some(self.report(shifted.then_some(at)));
        }
        None
    }

    fn kind(&self) -> EventKind {
        match (self.jump > 0.0, self.outside) {
            (true, SHIFT_VALUES..) => EventKind::LevelShiftUp,
            (true, BURST_VALUES..) => EventKind::Burst,
            (true, _) => EventKind::Spike,
            (false, SHIFT_VALUES..) => EventKind::LevelShiftDown,
            (false, _) => EventKind::Drop,
        }
    }

    fn report(&self, end: Option<Timestamp>) -> Report {
        Report {
            kind: self.kind(),
            start: self.start,
            end,
            score: self.score,
            expected: self.expected,
            seen: self.seen,
            change_point: self.change_point,
        }
    }
}

fn put_optional(out: &mut Vec<u8>, value: Option<f64>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_f64(out, value);
    }
}

fn read_optional(reader: &mut Reader<'_>) -> Result<Option<f64>, SketchError> {
    if reader.u8()? == 0 { Ok(None) } else { Ok(Some(reader.f64()?)) }
}

fn kind_of(code: u8) -> Option<EventKind> {
    use EventKind::{Burst, Drop, LevelShiftDown, LevelShiftUp, Spike, Trend};
    [Spike, Drop, Burst, LevelShiftUp, LevelShiftDown, Trend].into_iter().find(|kind| *kind as u8 == code)
}
