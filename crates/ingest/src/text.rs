//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0 into a batch.
//!
//! ```text
//!   # HELP name text      # TYPE name kind      # UNIT name unit      # EOF
//!   name{label="value"} value [time] [# {trace="…"} value [time]]
//!   {"name with spaces", "label"="value"} value
//! ```
//!
//! Times are milliseconds in the Prometheus format and seconds (with a fraction) in OpenMetrics. A line that cannot be
//! read is refused alone, with its number; exemplars are counted and not stored. Source: prometheus.io, "Exposition
//! formats"; the OpenMetrics specification.

use std::ops::Range;

use series::{Batch, METRIC_NAME, Metadata, MetricType, Timestamp};

use crate::error::IngestError;
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason, shorten};

mod line;
#[cfg(test)]
mod tests;

use line::{Sample, read_sample};

/// Which of the two formats: they differ in the unit of times and in exemplars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextFormat {
    /// `text/plain; version=0.0.4`.
    #[default]
    Prometheus,
    /// `application/openmetrics-text`; reading stops at `# EOF`.
    OpenMetrics,
}

/// What the request says beside its body.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions<'a> {
    /// The format.
    pub format: TextFormat,
    /// Time of samples that carry none.
    pub default_at: Timestamp,
    /// Labels put on every series; they replace labels of the same name.
    pub extra_labels: &'a [(String, String)],
}

/// Reads `text` into `batch`, which is emptied first. Consecutive lines of one series become one series.
///
/// # Errors
/// [`IngestError::DecodedTooLarge`] and [`IngestError::TooMany`]; the batch is then empty.
pub fn parse_text(
    text: &str,
    options: &TextOptions<'_>,
    limits: &Limits,
    batch: &mut Batch,
) -> Result<Decoded, IngestError> {
    batch.clear();
    if text.len() > limits.decoded_bytes {
        let (bytes, limit) = (text.len() as u64, limits.decoded_bytes as u64);
        return Err(IngestError::DecodedTooLarge { bytes, limit });
    }
    let mut parser = Parser { options, limits, family: Metadata::default(), decoded: Decoded::default() };
    let read = parser.read(text, batch);
    if read.is_err() {
        batch.clear();
    }
    read.map(|()| parser.decoded)
}

struct Parser<'a> {
    options: &'a TextOptions<'a>,
    limits: &'a Limits,
    /// The family whose HELP, TYPE and UNIT lines are being collected.
    family: Metadata,
    decoded: Decoded,
}

/// The labels of one line: texts without escapes in one string, and where each pair lies in it.
#[derive(Debug, Default)]
pub(crate) struct LineLabels {
    pub(crate) texts: String,
    pub(crate) pairs: Vec<(Range<usize>, Range<usize>)>,
}

impl Parser<'_> {
    fn read(&mut self, text: &str, batch: &mut Batch) -> Result<(), IngestError> {
        let (mut labels, mut set) = (LineLabels::default(), LabelSet::default());
        for (i, raw) in text.lines().enumerate() {
            let line = raw.trim_matches([' ', '\t']);
            if let Some(comment) = line.strip_prefix('#') {
                if self.options.format == TextFormat::OpenMetrics && comment.trim() == "EOF" {
                    break;
                }
                self.read_comment(comment, batch);
            } else if !line.is_empty() {
                match read_sample(line, self.options.format, &mut labels) {
                    Ok(sample) => set = self.take(&labels, set, &sample, line, batch)?.recycle(),
                    Err(why) => {
                        let show = || format!("line {}: {why}: {}", i + 1, shorten(line));
                        self.decoded.refuse(RefusalReason::BadLine, 1, show);
                    }
                }
            }
        }
        self.close_family(batch);
        Ok(())
    }

    fn take<'l>(
        &mut self,
        labels: &'l LineLabels,
        set: LabelSet<'_>,
        sample: &Sample,
        line: &str,
        batch: &mut Batch,
    ) -> Result<LabelSet<'l>, IngestError>
    where
        Self: 'l,
    {
        let mut set = set.recycle();
        self.decoded.exemplars_skipped += u64::from(sample.has_exemplar);
        let pairs = match self.fill(labels, &mut set) {
            Ok(()) => set.finish(),
            Err(reason) => Err(reason),
        };
        match pairs {
            Err(reason) => self.decoded.refuse(reason, 1, || line.to_owned()),
            Ok(pairs) => self.push(pairs, sample, batch)?,
        }
        Ok(set.recycle())
    }

    fn fill<'l>(&self, labels: &'l LineLabels, set: &mut LabelSet<'l>) -> Result<(), RefusalReason>
    where
        Self: 'l,
    {
        let extra = self.options.extra_labels;
        for (name, value) in &labels.pairs {
            let name = &labels.texts[name.clone()];
            if !extra.iter().any(|(replaced, _)| replaced == name) {
                set.push_text(name, &labels.texts[value.clone()], self.limits)?;
            }
        }
        extra.iter().try_for_each(|(name, value)| set.push_text(name, value, self.limits))
    }

    fn push(&mut self, pairs: &[(&str, &str)], sample: &Sample, batch: &mut Batch) -> Result<(), IngestError> {
        let last = batch.n_series().checked_sub(1).map(|i| batch.series(i).labels);
        if !last.is_some_and(|labels| labels.iter().eq(pairs.iter().copied())) {
            batch.begin(pairs.iter().copied())?;
            self.decoded.series += 1;
        }
        batch.push(sample.at.unwrap_or(self.options.default_at), sample.value);
        self.decoded.samples += 1;
        for (what, found, limit) in [
            ("series", self.decoded.series, self.limits.series),
            ("samples", self.decoded.samples, self.limits.samples),
        ] {
            if found > limit {
                return Err(IngestError::TooMany { what, found, limit });
            }
        }
        Ok(())
    }

    /// `HELP`, `TYPE` and `UNIT` lines; any other comment is only a comment.
    fn read_comment(&mut self, comment: &str, batch: &mut Batch) {
        let mut words = comment.trim_start().splitn(3, [' ', '\t']);
        let (Some(keyword), Some(name)) = (words.next(), words.next()) else { return };
        let rest = words.next().unwrap_or("").trim();
        if !matches!(keyword, "HELP" | "TYPE" | "UNIT") {
            return;
        }
        let name = line::unquote(name);
        if self.family.metric != name {
            self.close_family(batch);
            self.family.metric = name;
        }
        match keyword {
            "HELP" => self.family.help = line::unescape(rest),
            "UNIT" => self.family.unit = rest.to_owned(),
            _ => self.family.kind = kind_of(rest),
        }
    }

    fn close_family(&mut self, batch: &mut Batch) {
        let family = std::mem::take(&mut self.family);
        let fits = [&family.metric, &family.help, &family.unit].iter().all(|t| t.len() <= self.limits.value_bytes);
        if family.metric.is_empty() {
            return;
        }
        if fits && self.decoded.metadata < self.limits.series {
            batch.push_metadata(family);
            self.decoded.metadata += 1;
        } else {
            self.decoded.metadata_skipped += 1;
        }
    }
}

fn kind_of(word: &str) -> MetricType {
    (1..=7).map(MetricType::from_number).find(|kind| kind.as_str() == word).unwrap_or_default()
}

impl LineLabels {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.pairs.clear();
    }

    /// Adds the metric's name.
    pub(crate) fn push_metric(&mut self, metric: &str) {
        let start = self.texts.len();
        self.texts.push_str(METRIC_NAME);
        let middle = self.texts.len();
        self.texts.push_str(metric);
        self.pairs.push((start..middle, middle..self.texts.len()));
    }
}
