//! The text formats: Prometheus 0.0.4 and OpenMetrics 1.0 into a batch.
//!
//! ```text
//!   # HELP name text      # TYPE name kind      # UNIT name unit      # EOF
//!   name{label="value"} value [time] [# {trace="…"} value [time]]
//!   {"name with spaces", "label"="value"} value
//! ```
//!
//! Times are milliseconds in the Prometheus format and seconds (with a fraction) in OpenMetrics. A line that cannot be
//! read is refused alone, with its number. An OpenMetrics text must end with `# EOF`: without it, it was cut off and is
//! refused as a whole. `_created` lines are series of their own, as in Prometheus, and the starts of
//! the counters, histograms and summaries beside them. Source: prometheus.io, "Exposition
//! formats"; the OpenMetrics specification.

use std::ops::Range;

use series::{Batch, METRIC_NAME, Metadata, MetricType, Timestamp};

use crate::error::IngestError;
use crate::gather::{Gather, Place, Spelling};
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason, shorten};

mod line;
#[cfg(test)]
mod tests;

/// Which of the two formats: they differ in the unit of times, in exemplars and in their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextFormat {
    /// `text/plain; version=0.0.4`.
    #[default]
    Prometheus,
    /// `application/openmetrics-text`; it ends with `# EOF`.
    OpenMetrics,
}

/// What becomes of a label that the text and the request both name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelConflict {
    /// The request's value stays.
    #[default]
    Replace,
    /// The request's value stays, the text's goes on as `exported_name`: what a scrape does.
    Rename,
    /// The text's value stays: a scrape with `honor_labels`.
    Keep,
}

/// What the request says beside its body.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions<'a> {
    /// The format.
    pub format: TextFormat,
    /// Time of samples that carry none.
    pub default_at: Timestamp,
    /// Labels put on every series.
    pub extra_labels: &'a [(String, String)],
    /// What happens where these meet a label of the same name.
    pub conflict: LabelConflict,
    /// Whether times in the text are used; else all samples are of [`TextOptions::default_at`].
    pub honor_times: bool,
}

impl TextFormat {
    /// By a content type; anything but OpenMetrics is read as the Prometheus format.
    pub fn of(content_type: Option<&str>) -> Self {
        let media = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }
}

impl<'a> TextOptions<'a> {
    /// A format with a default time and labels that replace; times in the text are used.
    pub fn new(format: TextFormat, default_at: Timestamp, extra_labels: &'a [(String, String)]) -> Self {
        Self { format, default_at, extra_labels, conflict: LabelConflict::Replace, honor_times: true }
    }
}

/// Reads `text` into `batch`, which is emptied first. Lines of one series become one series.
///
/// # Errors
/// [`IngestError::DecodedTooLarge`], [`IngestError::TooMany`] and [`IngestError::NoEof`]; the batch is then empty.
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
    let mut parser = Parser {
        options,
        limits,
        family: Metadata::default(),
        decoded: Decoded::default(),
        gather: Gather::new(limits),
        labels: LineLabels::default(),
        set: LabelSet::default(),
        exemplar_labels: LineLabels::default(),
    };
    let read = parser.read(text, batch).and_then(|()| {
        parser.decoded.series = parser.gather.n_series();
        parser.decoded.samples = parser.gather.n_samples();
        parser.gather.finish(batch)
    });
    if read.is_err() {
        batch.clear();
    }
    read.map(|()| parser.decoded)
}

struct Parser<'a, 't> {
    options: &'a TextOptions<'a>,
    limits: &'a Limits,
    /// The family whose HELP, TYPE and UNIT lines are being collected.
    family: Metadata,
    decoded: Decoded,
    gather: Gather<Spelling<'t>>,
    labels: LineLabels,
    set: LabelSet<'static>,
    exemplar_labels: LineLabels,
}

/// The labels of one line: texts without escapes in one string, and where each pair lies in it.
#[derive(Debug, Default)]
pub(crate) struct LineLabels {
    pub(crate) texts: String,
    pub(crate) pairs: Vec<(Range<usize>, Range<usize>)>,
}

/// Why a line was not taken.
enum LineFault {
    /// It cannot be read.
    Unreadable(&'static str),
    /// A limit of the whole request.
    Request(IngestError),
}

impl<'t> Parser<'_, 't> {
    fn read(&mut self, text: &'t str, batch: &mut Batch) -> Result<(), IngestError> {
        let mut ended = self.options.format == TextFormat::Prometheus;
        for (i, raw) in text.lines().enumerate() {
            let line = raw.trim_matches([' ', '\t']);
            if let Some(comment) = line.strip_prefix('#') {
                if self.options.format == TextFormat::OpenMetrics && comment.trim() == "EOF" {
                    ended = true;
                    break;
                }
                self.read_comment(comment, batch);
            } else if !line.is_empty() {
                match self.read_line(line) {
                    Ok(()) => {}
                    Err(LineFault::Request(err)) => return Err(err),
                    Err(LineFault::Unreadable(why)) => {
                        let show = || format!("line {}: {why}: {}", i + 1, shorten(line));
                        self.decoded.refuse(RefusalReason::BadLine, 1, show);
                    }
                }
            }
        }
        self.close_family(batch);
        if ended { Ok(()) } else { Err(IngestError::NoEof) }
    }

    fn read_line(&mut self, line: &'t str) -> Result<(), LineFault> {
        let (spelling, rest) = line::split_series(line)?;
        let known = self.gather.find(&(spelling, ""));
        if known.is_none() {
            line::read_series(spelling, &mut self.labels)?;
        }
        let sample = line::read_numbers(rest, self.options.format)?;
        let place = match known {
            Some(place) => place,
            None => self.add(spelling)?,
        };
        let series = match place {
            Place::Series(series) => series,
            Place::Refused(reason) => {
                self.decoded.refuse(reason, 1, || line);
                return Ok(());
            }
        };
        let own_time = sample.at.filter(|_| self.options.honor_times);
        let at = own_time.unwrap_or(self.options.default_at);
        let exemplar =
            sample.exemplar.map(|text| line::read_exemplar(text, at, &mut self.exemplar_labels)).transpose()?;
        self.gather.push(series, at, sample.value)?;
        if self.tells_a_start(spelling) && sample.value.is_finite() && sample.value > 0.0 {
            self.gather.push_created(series, Timestamp((sample.value * 1000.0).round() as i64));
        }
        match exemplar {
            Some(Some(exemplar)) => {
                self.gather.push_exemplar(series, exemplar);
                self.decoded.exemplars += 1;
            }
            Some(None) => self.decoded.exemplars_skipped += 1,
            None => {}
        }
        Ok(())
    }

    /// Whether a line is the `_created` of the family whose type was named last.
    fn tells_a_start(&self, spelling: &str) -> bool {
        let counts = matches!(self.family.kind, MetricType::Counter | MetricType::Histogram | MetricType::Summary);
        if self.options.format != TextFormat::OpenMetrics || !counts {
            return false;
        }
        let rest = spelling.strip_prefix(&self.family.metric).and_then(|rest| rest.strip_prefix("_created"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['{', ' ', '\t']))
    }

    /// Numbers the series whose labels were just read.
    fn add(&mut self, spelling: &'t str) -> Result<Place, IngestError> {
        let (labels, extra) = (&self.labels, self.options.extra_labels);
        let renamed = self.renamed();
        let mut set = std::mem::take(&mut self.set).recycle();
        let mut fill = || {
            for (i, (name, value)) in labels.pairs.iter().enumerate() {
                let new_name = renamed.iter().find(|(pair, _)| *pair == i).map(|(_, name)| name.as_str());
                let name = new_name.unwrap_or(&labels.texts[name.clone()]);
                let replaced = || extra.iter().any(|(other, _)| other == name);
                if self.options.conflict != LabelConflict::Replace || !replaced() {
                    set.push_text(name, &labels.texts[value.clone()], self.limits)?;
                }
            }
            for (name, value) in extra {
                if self.options.conflict != LabelConflict::Keep || !labels.has(name) {
                    set.push_text(name, value, self.limits)?;
                }
            }
            Ok(())
        };
        let filled = fill();
        let place = self.gather.add((spelling, ""), filled.and_then(|()| set.finish()));
        self.set = set.recycle();
        place
    }

    /// Pairs that get another name because the request's labels take theirs.
    fn renamed(&self) -> Vec<(usize, String)> {
        let (labels, extra) = (&self.labels, self.options.extra_labels);
        if self.options.conflict != LabelConflict::Rename {
            return Vec::new();
        }
        let taken = |name: &str| labels.has(name) || extra.iter().any(|(other, _)| other == name);
        let mut renamed = Vec::new();
        for (i, (name, value)) in labels.pairs.iter().enumerate() {
            let name = &labels.texts[name.clone()];
            if value.is_empty() || !extra.iter().any(|(other, _)| other == name) {
                continue;
            }
            let mut new_name = format!("exported_{name}");
            while taken(&new_name) && new_name.len() <= self.limits.name_bytes {
                new_name.insert_str(0, "exported_");
            }
            renamed.push((i, new_name));
        }
        renamed
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

impl From<&'static str> for LineFault {
    fn from(why: &'static str) -> Self {
        Self::Unreadable(why)
    }
}

impl From<IngestError> for LineFault {
    fn from(err: IngestError) -> Self {
        Self::Request(err)
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

    fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(own, value)| self.texts[own.clone()] == *name && !value.is_empty())
    }
}
