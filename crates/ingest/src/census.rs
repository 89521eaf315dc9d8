//! Counts what a `WriteRequest` holds before anything of it is kept.
//!
//! 32 MiB of empty series (two bytes each) would be 16.7 million structs; walking them costs no memory.

use crate::error::IngestError;
use crate::limits::Limits;
use crate::wire::{Payload, Reader, WireError};

/// Numbers of a whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub(crate) series: u64,
    pub(crate) samples: u64,
    pub(crate) exemplars: u64,
    pub(crate) histograms: u64,
    pub(crate) metadata: u64,
    /// Whether a series has a label behind a sample or another item, which no known sender does.
    pub(crate) has_late_labels: bool,
    /// Fields 4 and 5, where remote write 2.0 keeps its symbols and series.
    symbols_or_v2_series: u64,
}

impl Census {
    /// Walks the message: its fields and those of its series, not the labels and samples themselves.
    pub(crate) fn take(message: &[u8]) -> Result<Self, WireError> {
        let (mut census, mut request) = (Self::default(), Reader::new(message));
        while let Some((number, payload)) = request.field()? {
            match (number, payload) {
                (1, Payload::Bytes(series)) => census.count_series(series)?,
                (3, Payload::Bytes(_)) => census.metadata += 1,
                (1 | 3, _) => return Err(request.fault("series and metadata are messages")),
                (4 | 5, Payload::Bytes(_)) => census.symbols_or_v2_series += 1,
                _ => {}
            }
        }
        Ok(census)
    }

    fn count_series(&mut self, mut series: Reader<'_>) -> Result<(), WireError> {
        self.series += 1;
        let mut has_items = false;
        loop {
            let number = match series.short() {
                Some((number, _)) => u32::from(number),
                None => match series.field()? {
                    None => return Ok(()),
                    Some((number, Payload::Bytes(_))) => number,
                    Some((1..=4, _)) => return Err(series.fault("labels, samples and histograms are messages")),
                    Some(_) => continue,
                },
            };
            match number {
                1 => self.has_late_labels |= has_items,
                2 => self.samples += 1,
                3 => self.exemplars += 1,
                4 => self.histograms += 1,
                _ => continue,
            }
            has_items = number != 1;
        }
    }

    /// Holds the counts against the limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), IngestError> {
        for (what, found, limit) in [
            ("series", self.series, limits.series),
            ("samples", self.samples, limits.samples),
            ("native histograms", self.histograms, limits.histograms),
            ("exemplars", self.exemplars, limits.exemplars),
            ("metadata entries", self.metadata, limits.series),
        ] {
            if found > limit {
                return Err(IngestError::TooMany { what, found, limit });
            }
        }
        if self.series == 0 && self.metadata == 0 && self.symbols_or_v2_series > 0 {
            return Err(IngestError::LooksLikeV2);
        }
        Ok(())
    }
}
