//! Where the items of a series go: into the batch, opened with the first of them, and into the counts.

use series::{Batch, BatchTooLarge, Exemplar, Timestamp};

use crate::error::IngestError;
use crate::histogram::decode_histogram;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason};
use crate::wire::Reader;

/// What decoding writes to, for one request.
pub(crate) struct Sink<'b> {
    pub(crate) batch: &'b mut Batch,
    pub(crate) decoded: Decoded,
    pub(crate) limits: &'b Limits,
    /// Spans, buckets and bounds that the request may still have.
    numbers_left: u64,
    is_open: bool,
}

impl<'b> Sink<'b> {
    pub(crate) fn new(batch: &'b mut Batch, limits: &'b Limits) -> Self {
        Self { batch, decoded: Decoded::default(), limits, numbers_left: limits.histogram_numbers, is_open: false }
    }

    /// The next item belongs to another series.
    #[inline]
    pub(crate) fn next_series(&mut self) {
        self.is_open = false;
    }

    #[inline]
    fn open(&mut self, pairs: &[(&str, &str)]) -> Result<(), BatchTooLarge> {
        if !self.is_open {
            self.batch.begin(pairs.iter().copied())?;
            self.decoded.series += 1;
            self.is_open = true;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn sample(&mut self, pairs: &[(&str, &str)], at: Timestamp, value: f64) -> Result<(), BatchTooLarge> {
        self.open(pairs)?;
        self.batch.push(at, value);
        self.decoded.samples += 1;
        Ok(())
    }

    /// Says since when the sample just taken counts; 0 is no start.
    #[inline]
    pub(crate) fn start(&mut self, at: Timestamp, start: i64) {
        if start != 0 {
            self.batch.push_start(at, Timestamp(start));
        }
    }

    /// Reads a histogram; one that cannot be is refused alone. `created` is its series' start, for one without its own.
    pub(crate) fn histogram(
        &mut self,
        pairs: &[(&str, &str)],
        message: Reader<'_>,
        created: i64,
    ) -> Result<(), IngestError> {
        let read = decode_histogram(message, &mut self.numbers_left)?;
        match read.histogram {
            Ok(histogram) => {
                self.open(pairs)?;
                self.batch.push_histogram(read.at, histogram);
                self.start(read.at, if read.start == 0 { created } else { read.start });
                self.decoded.histograms += 1;
            }
            Err(fault) => {
                let example = || format!("{} ({fault})", show_pairs(pairs));
                self.decoded.refuse_samples(RefusalReason::BadHistogram, 1, example);
            }
        }
        Ok(())
    }

    /// Takes an exemplar, or counts one that cannot be kept.
    pub(crate) fn exemplar(&mut self, pairs: &[(&str, &str)], exemplar: Option<Exemplar>) -> Result<(), BatchTooLarge> {
        match exemplar {
            Some(exemplar) => {
                self.open(pairs)?;
                self.batch.push_exemplar(exemplar);
                self.decoded.exemplars += 1;
            }
            None => self.decoded.exemplars_skipped += 1,
        }
        Ok(())
    }
}

fn show_pairs(pairs: &[(&str, &str)]) -> String {
    let mut shown = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            shown.push_str(", ");
        }
        shown.push_str(&format!("{name}={value:?}"));
        if shown.len() > 100 {
            shown.push('…');
            break;
        }
    }
    shown.push('}');
    shown
}
