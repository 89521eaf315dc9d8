//! A detector with the incident it is following: what a group holds.

use series::{Millis, Timestamp};
use sketch::SketchError;
use sketch::wire::Reader;

use crate::detector::episode::{Episodes, Report};
use crate::detector::{Assessment, Detector};
use crate::emission::EventKind;
use crate::spec::Sensitivity;

/// Judges values and follows incidents.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Watch {
    detector: Detector,
    episodes: Episodes,
}

impl Watch {
    pub(crate) fn new(step: Millis, season: Option<Millis>, sensitivity: Sensitivity) -> Self {
        Self { detector: Detector::new(Some(step), season, sensitivity), episodes: Episodes::default() }
    }

    /// Judges a value; a report when there is something new to say. A level shift, once said, is the new normal.
    pub(crate) fn push(&mut self, at: Timestamp, value: f64) -> (Assessment, Option<Report>) {
        let judged = self.detector.push(at, value);
        let report = self.episodes.push(at, value, &judged);
        let shifted = [EventKind::LevelShiftUp, EventKind::LevelShiftDown];
        if report.is_some_and(|report| report.end.is_some() && shifted.contains(&report.kind)) {
            self.detector.accept_level(at, value);
        }
        (judged, report)
    }

    /// Bytes held, heap included.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Detector>() + self.detector.bytes()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.detector.encode(out);
        self.episodes.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        Ok(Self { detector: Detector::decode(reader)?, episodes: Episodes::decode(reader)? })
    }
}
