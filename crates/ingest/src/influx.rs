//! Influx line protocol into a batch: versions 1, 2 and 3 send the same lines.
//!
//! ```text
//!   measurement[,tag=value…] field=value[,field=value…] [time]
//!   field value := 1.5 | 1i | 1u | t | true | "text"
//! ```
//!
//! A field becomes the series `measurement_field`, or `measurement` when the line's only field is called `value`; tags
//! become labels. Booleans are 1 and 0. Texts are counted and not stored. A line that cannot be read is refused alone,
//! with its number. Names are taken as they are: any UTF-8.
//! Source: docs.influxdata.com, "Line protocol".

use series::{Batch, METRIC_NAME, Timestamp};

use crate::error::IngestError;
use crate::gather::{Gather, Place, Spelling};
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason, shorten};

mod line;
#[cfg(test)]
mod tests;

use line::{Cursor, Field, Number};

/// Refused lines that are told with number and reason; the others are only counted.
const FAULTS_TOLD: usize = 20;

/// Unit of the times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// `ns`, `n`, `nanosecond`.
    #[default]
    Nanoseconds,
    /// `us`, `u`, `µ`, `microsecond`.
    Microseconds,
    /// `ms`, `millisecond`.
    Milliseconds,
    /// `s`, `second`.
    Seconds,
    /// `m`.
    Minutes,
    /// `h`.
    Hours,
    /// `auto`: by the size of each number, as InfluxDB 3 does.
    Auto,
}

/// What the request says beside its body.
#[derive(Debug, Clone, Copy)]
pub struct InfluxOptions {
    /// Unit of the times.
    pub precision: Precision,
    /// Time of lines that carry none.
    pub default_at: Timestamp,
}

/// What became of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InfluxOutcome {
    /// Series, samples and refusals (of lines).
    pub decoded: Decoded,
    /// Lines that hold a point.
    pub lines: u64,
    /// Lines refused.
    pub lines_refused: u64,
    /// Text fields, which are not stored.
    pub texts_skipped: u64,
    /// The first refused lines.
    pub faults: Vec<LineFault>,
}

/// A refused line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
    /// Its beginning.
    pub text: String,
}

impl Precision {
    /// By the word of any of the three versions; `None` for others.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "" | "ns" | "n" | "nanosecond" => Self::Nanoseconds,
            "us" | "u" | "µ" | "microsecond" => Self::Microseconds,
            "ms" | "millisecond" => Self::Milliseconds,
            "s" | "second" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            "auto" => Self::Auto,
            _ => return None,
        })
    }

    /// `time` in milliseconds, rounded down; `None` beyond the range of 64 bits.
    fn millis(self, time: i64) -> Option<i64> {
        match self {
            Self::Nanoseconds => Some(time.div_euclid(1_000_000)),
            Self::Microseconds => Some(time.div_euclid(1000)),
            Self::Milliseconds => Some(time),
            Self::Seconds => time.checked_mul(1000),
            Self::Minutes => time.checked_mul(60_000),
            Self::Hours => time.checked_mul(3_600_000),
            Self::Auto => Self::guessed(time).millis(time),
        }
    }

    fn guessed(time: i64) -> Self {
        let size = time.unsigned_abs();
        let bounds = [
            (5_000_000_000, Self::Seconds),
            (5_000_000_000_000, Self::Milliseconds),
            (5_000_000_000_000_000, Self::Microseconds),
        ];
        bounds.into_iter().find(|(bound, _)| size < *bound).map_or(Self::Nanoseconds, |(_, unit)| unit)
    }
}

/// Reads `text` into `batch`, which is emptied first.
///
/// # Errors
/// [`IngestError::DecodedTooLarge`], [`IngestError::NotUtf8`] and [`IngestError::TooMany`]; the batch is then empty.
pub fn parse_lines(
    text: &[u8],
    options: InfluxOptions,
    limits: &Limits,
    batch: &mut Batch,
) -> Result<InfluxOutcome, IngestError> {
    batch.clear();
    if text.len() > limits.decoded_bytes {
        let (bytes, limit) = (text.len() as u64, limits.decoded_bytes as u64);
        return Err(IngestError::DecodedTooLarge { bytes, limit });
    }
    let text = std::str::from_utf8(text).map_err(|err| IngestError::NotUtf8 { offset: err.valid_up_to() })?;
    let mut reader = Reader {
        options,
        limits,
        gather: Gather::new(limits),
        outcome: InfluxOutcome::default(),
        fields: Vec::new(),
        plain: Plain::default(),
        labels: LabelSet::default(),
    };
    let read = reader.read(text).and_then(|()| {
        reader.outcome.decoded.series = reader.gather.n_series();
        reader.outcome.decoded.samples = reader.gather.n_samples();
        reader.gather.finish(batch)
    });
    if read.is_err() {
        batch.clear();
    }
    read.map(|()| reader.outcome)
}

struct Reader<'l, 't> {
    options: InfluxOptions,
    limits: &'l Limits,
    gather: Gather<Spelling<'t>>,
    outcome: InfluxOutcome,
    fields: Vec<Field<'t>>,
    plain: Plain,
    labels: LabelSet<'static>,
}

/// Texts of one new series without their escapes.
#[derive(Debug, Default)]
struct Plain {
    metric: String,
    tags: Vec<(String, String)>,
}

impl<'t> Reader<'_, 't> {
    fn read(&mut self, text: &'t str) -> Result<(), IngestError> {
        let mut cursor = Cursor::new(text);
        while cursor.next_point() {
            let start = cursor.clone();
            self.outcome.lines += 1;
            let read = self.read_point(&mut cursor)?;
            if let Err(why) = read {
                cursor = start.clone();
                self.refuse(start.line(), &why, cursor.skip_line());
            }
        }
        Ok(())
    }

    /// Reads one point; the inner error is the line's own.
    fn read_point(&mut self, cursor: &mut Cursor<'t>) -> Result<Result<(), String>, IngestError> {
        self.fields.clear();
        let (set, time) = match cursor.point(&mut self.fields) {
            Ok(point) => point,
            Err(why) => return Ok(Err(why.to_owned())),
        };
        let at = match time.map(|time| self.options.precision.millis(time)) {
            None => self.options.default_at,
            Some(Some(millis)) => Timestamp(millis),
            Some(None) => return Ok(Err("the time is beyond the range of 64-bit milliseconds".to_owned())),
        };
        let is_value_alone = self.fields.len() == 1 && self.fields[0].key == "value";
        for i in 0..self.fields.len() {
            let Field { key, value } = self.fields[i];
            let key = if is_value_alone { "" } else { key };
            let Number::Stored(value) = value else {
                self.outcome.texts_skipped += 1;
                continue;
            };
            let place = match self.gather.find(&(set, key)) {
                Some(place) => place,
                None => self.add(set, key)?,
            };
            match place {
                Place::Series(series) => self.gather.push(series, at, value)?,
                // All fields of a line share its tags, so the first refusal stands for the line.
                Place::Refused(reason) => return Ok(Err(reason.to_string())),
            }
        }
        Ok(Ok(()))
    }

    fn add(&mut self, set: &'t str, key: &'t str) -> Result<Place, IngestError> {
        let plain = &mut self.plain;
        line::unescape_set(set, &mut plain.metric, &mut plain.tags);
        if !key.is_empty() {
            plain.metric.push('_');
            plain.metric.push_str(&line::unescape(key));
        }
        let mut labels = std::mem::take(&mut self.labels).recycle();
        let mut filled = labels.push_text(METRIC_NAME, &plain.metric, self.limits);
        for (name, value) in &plain.tags {
            filled = filled.and_then(|()| labels.push_text(name, value, self.limits));
        }
        let place = self.gather.add((set, key), filled.and_then(|()| labels.finish()));
        self.labels = labels.recycle();
        place
    }

    fn refuse(&mut self, line: u64, why: &str, text: &str) {
        self.outcome.lines_refused += 1;
        self.outcome.decoded.refuse(RefusalReason::BadLine, 1, || format!("line {line}: {why}: {text}"));
        if self.outcome.faults.len() < FAULTS_TOLD {
            self.outcome.faults.push(LineFault { line, why: why.to_owned(), text: shorten(text) });
        }
    }
}
