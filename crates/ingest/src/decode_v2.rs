//! Remote write 2.0 into a batch.
//!
//! ```text
//!   Request{symbols = 4, timeseries = 5}                                  fields 1–3 are those of 1.0 and reserved
//!   TimeSeries{labels_refs = 1, samples = 2, histograms = 3, exemplars = 4, metadata = 5, created_timestamp = 6}
//!   Sample{value = 1 double, timestamp = 2 int64, start_timestamp = 3 int64}
//!   Metadata{type = 1, help_ref = 3, unit_ref = 4}
//! ```
//!
//! Texts are sent once, as symbols, and named by their number. They are checked once as well: a label is then two look-ups.
//! The census comes first, as for 1.0, so the table of symbols is no larger than the limits allow.
//!
//! The time at which a counter began came with the series in the drafts (field 6, which Prometheus 3 sends) and comes with
//! each sample in the final text. Both are taken, the sample's own first; gauges begin nowhere.
//! Source: prometheus.io, "Remote write 2.0".

use std::collections::HashSet;

use series::{Batch, METRIC_NAME, Metadata, MetricType, Timestamp};

use crate::error::IngestError;
use crate::exemplar::{ExemplarLabels, decode_exemplar, exemplar};
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason};
use crate::sink::Sink;
use crate::wire::{Payload, Reader, WireError, whole_varint};

#[cfg(test)]
mod tests;

/// Numbers of a whole message.
#[derive(Debug, Clone, Copy, Default)]
struct Census {
    symbols: u64,
    series: u64,
    samples: u64,
    histograms: u64,
    exemplars: u64,
    /// Fields 1 and 3, where 1.0 keeps its series and metadata.
    v1_fields: u64,
}

/// What a request's series share, and what is used again for each.
struct Request<'a> {
    /// `None`: not UTF-8.
    symbols: Vec<Option<&'a str>>,
    labels: LabelSet<'a>,
    refs: Vec<u32>,
    exemplar_labels: ExemplarLabels<'a>,
    /// Metadata taken already: metric name, type, help and unit by number. Senders repeat it for each series.
    seen: HashSet<[u64; 4]>,
}

/// What a series has beside labels and items.
#[derive(Default)]
struct Beside<'a> {
    metadata: Option<Reader<'a>>,
    /// Milliseconds; 0 when it names none.
    created: i64,
}

/// Reads a message of 2.0.
pub(crate) fn decode_message_v2(message: &[u8], limits: &Limits, batch: &mut Batch) -> Result<Decoded, IngestError> {
    let census = Census::take(message)?;
    census.check(limits)?;
    let mut request = Request {
        symbols: read_symbols(message, census.symbols as usize)?,
        labels: LabelSet::default(),
        refs: Vec::new(),
        exemplar_labels: ExemplarLabels::default(),
        seen: HashSet::new(),
    };
    let mut sink = Sink::new(batch, limits);
    let mut fields = Reader::new(message);
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 5 {
            request.series(field, &mut sink)?;
        }
    }
    Ok(sink.decoded)
}

impl Census {
    fn take(message: &[u8]) -> Result<Self, WireError> {
        let (mut census, mut request) = (Self::default(), Reader::new(message));
        while let Some((number, payload)) = request.field()? {
            match (number, payload) {
                (4, Payload::Bytes(_)) => census.symbols += 1,
                (5, Payload::Bytes(series)) => census.count_series(series)?,
                (4 | 5, _) => return Err(request.fault("symbols are strings and series are messages")),
                (1 | 3, _) => census.v1_fields += 1,
                _ => {}
            }
        }
        Ok(census)
    }

    fn count_series(&mut self, mut series: Reader<'_>) -> Result<(), WireError> {
        self.series += 1;
        while let Some((number, payload)) = series.field()? {
            match (number, payload) {
                (2, Payload::Bytes(_)) => self.samples += 1,
                (3, Payload::Bytes(_)) => self.histograms += 1,
                (4, Payload::Bytes(_)) => self.exemplars += 1,
                (2..=5, Payload::Bytes(_)) => {}
                (2..=5, _) => return Err(series.fault("samples, histograms, exemplars and metadata are messages")),
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self, limits: &Limits) -> Result<(), IngestError> {
        for (what, found, limit) in [
            ("symbols", self.symbols, limits.symbols),
            ("series", self.series, limits.series),
            ("samples", self.samples, limits.samples),
            ("native histograms", self.histograms, limits.histograms),
            ("exemplars", self.exemplars, limits.exemplars),
        ] {
            if found > limit {
                return Err(IngestError::TooMany { what, found, limit });
            }
        }
        if self.symbols == 0 && self.series == 0 && self.v1_fields > 0 {
            return Err(IngestError::LooksLikeV1);
        }
        Ok(())
    }
}

/// The table of symbols; they may stand anywhere in the message, so this is a pass of its own.
fn read_symbols(message: &[u8], n_symbols: usize) -> Result<Vec<Option<&str>>, WireError> {
    let (mut symbols, mut fields) = (Vec::with_capacity(n_symbols), Reader::new(message));
    while let Some((number, field)) = fields.bytes_field()? {
        if number == 4 {
            symbols.push(std::str::from_utf8(field.bytes()).ok());
        }
    }
    Ok(symbols)
}

impl<'a> Request<'a> {
    fn series(&mut self, series: Reader<'a>, sink: &mut Sink<'_>) -> Result<(), IngestError> {
        let Beside { metadata, created } = self.read_beside(series.clone(), sink.limits)?;
        let pairs = match resolve(&self.symbols, &self.refs, sink.limits, &mut self.labels) {
            Ok(pairs) => pairs,
            Err(reason) => {
                let n_samples = count_samples(series)?;
                sink.decoded.refuse(reason, n_samples, || show_labels(&self.symbols, &self.refs));
                return Ok(());
            }
        };
        sink.next_series();
        // Asked once a series: metadata is as long as a sender likes, and so is the list of samples.
        let mut counts_up = None;
        let mut items = series;
        while let Some((number, item)) = items.bytes_field()? {
            match number {
                2 => {
                    let (at, value, start) = decode_sample(item)?;
                    sink.sample(pairs, at, value)?;
                    if start != 0 || created != 0 {
                        let counts = match counts_up {
                            Some(counts) => counts,
                            None => *counts_up.insert(!is_gauge(metadata.as_ref())?),
                        };
                        if counts {
                            sink.start(at, if start == 0 { created } else { start });
                        }
                    }
                }
                3 => sink.histogram(pairs, item, created)?,
                4 => {
                    let symbols = &self.symbols;
                    let taken = read_exemplar(item, symbols, &mut self.refs, &mut self.exemplar_labels, sink.limits)?;
                    sink.exemplar(pairs, taken)?;
                }
                _ => {}
            }
        }
        if let Some(metadata) = metadata {
            take_metadata(metadata, pairs, &self.symbols, &mut self.seen, sink)?;
        }
        Ok(())
    }

    /// Gathers the series' references, at most a few more than labels are allowed; what else is not an item is handed
    /// back.
    fn read_beside(&mut self, mut series: Reader<'a>, limits: &Limits) -> Result<Beside<'a>, WireError> {
        let mut beside = Beside::default();
        self.refs.clear();
        let refs_max = 2 * limits.labels_per_series + 2;
        while let Some((number, payload)) = series.field()? {
            match (number, payload) {
                (1, payload) => read_packed(payload, &series, refs_max, &mut self.refs)?,
                (5, Payload::Bytes(message)) => beside.metadata = Some(message),
                (6, Payload::Varint(millis)) => beside.created = millis as i64,
                _ => {}
            }
        }
        Ok(beside)
    }
}

/// The checked label set that the references name.
fn resolve<'l, 'a>(
    symbols: &[Option<&'a str>],
    refs: &[u32],
    limits: &Limits,
    labels: &'l mut LabelSet<'a>,
) -> Result<&'l [(&'a str, &'a str)], RefusalReason> {
    let symbol = |number: u32| match symbols.get(number as usize) {
        Some(Some(text)) => Ok(*text),
        Some(None) => Err(RefusalReason::NotUtf8),
        None => Err(RefusalReason::UnknownSymbol),
    };
    labels.clear();
    let (pairs, odd) = refs.as_chunks::<2>();
    for &[name, value] in pairs {
        labels.push_text(symbol(name)?, symbol(value)?, limits)?;
    }
    if odd.is_empty() { labels.finish() } else { Err(RefusalReason::OddReferences) }
}

/// Appends packed or single numbers; those beyond `max` are read and left out.
fn read_packed(payload: Payload<'_>, message: &Reader<'_>, max: usize, out: &mut Vec<u32>) -> Result<(), WireError> {
    let mut push = |number: u64| {
        if out.len() < max {
            // A number that does not fit names no symbol either.
            out.push(u32::try_from(number).unwrap_or(u32::MAX));
        }
    };
    match payload {
        Payload::Varint(number) => push(number),
        Payload::Bytes(mut packed) => {
            while !packed.is_at_end() {
                push(packed.varint()?);
            }
        }
        _ => return Err(message.fault("references to symbols are integers")),
    }
    Ok(())
}

fn read_exemplar<'a>(
    message: Reader<'a>,
    symbols: &[Option<&'a str>],
    refs: &mut Vec<u32>,
    labels: &mut ExemplarLabels<'a>,
    limits: &Limits,
) -> Result<Option<series::Exemplar>, WireError> {
    refs.clear();
    labels.clear();
    let whole = message.clone();
    // One label has two characters at least, so more references than that cannot be kept; one more shows it.
    let (at, value) =
        decode_exemplar(message, |payload| read_packed(payload, &whole, limits.exemplar_chars + 3, refs))?;
    let (pairs, odd) = refs.as_chunks::<2>();
    let symbol = |number: u32| symbols.get(number as usize).copied().flatten();
    pairs.iter().for_each(|&[name, value]| labels.push(symbol(name), symbol(value), limits));
    Ok(if odd.is_empty() { exemplar(labels, at, value) } else { None })
}

/// Time, value and start (0: none).
#[inline]
fn decode_sample(sample: Reader<'_>) -> Result<(Timestamp, f64, i64), WireError> {
    // As senders write it: the value, then the time.
    if let Some((&[0x09, ref bits @ ..], &[0x10, ref time @ ..])) = sample.bytes().split_at_checked(9)
        && let (Ok(bits), Some(millis)) = (<[u8; 8]>::try_from(bits), whole_varint(time))
    {
        return Ok((Timestamp(millis as i64), f64::from_le_bytes(bits), 0));
    }
    decode_any_sample(sample)
}

fn decode_any_sample(mut sample: Reader<'_>) -> Result<(Timestamp, f64, i64), WireError> {
    let (mut at, mut value, mut start) = (0, 0.0, 0);
    while let Some((number, payload)) = sample.field()? {
        match (number, payload) {
            (1, Payload::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Payload::Varint(millis)) => at = millis as i64,
            (3, Payload::Varint(millis)) => start = millis as i64,
            (1..=3, _) => return Err(sample.fault("a sample is a double and two int64")),
            _ => {}
        }
    }
    Ok((Timestamp(at), value, start))
}

/// Whether metadata names a type that does not count up.
fn is_gauge(metadata: Option<&Reader<'_>>) -> Result<bool, WireError> {
    let Some(mut message) = metadata.cloned() else { return Ok(false) };
    let mut kind = MetricType::Unknown;
    while let Some((number, payload)) = message.field()? {
        if let (1, Payload::Varint(number)) = (number, payload) {
            kind = MetricType::from_number(number);
        }
    }
    use MetricType::{Counter, Histogram, Summary, Unknown};
    Ok(!matches!(kind, Unknown | Counter | Histogram | Summary))
}

/// Metadata of a series is that of its family; once a request is enough.
fn take_metadata(
    mut message: Reader<'_>,
    pairs: &[(&str, &str)],
    symbols: &[Option<&str>],
    seen: &mut HashSet<[u64; 4]>,
    sink: &mut Sink<'_>,
) -> Result<(), WireError> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    while let Some((number, payload)) = message.field()? {
        match (number, payload) {
            (1, Payload::Varint(number)) => kind = number,
            (3, Payload::Varint(number)) => help = number,
            (4, Payload::Varint(number)) => unit = number,
            (1 | 3 | 4, _) => return Err(message.fault("metadata is three numbers")),
            _ => {}
        }
    }
    let Some((_, metric)) = pairs.iter().find(|(name, _)| *name == METRIC_NAME) else { return Ok(()) };
    // Names borrow from the symbols, so their address stands for the symbol's number.
    if [kind, help, unit] == [0; 3] || !seen.insert([metric.as_ptr() as u64, kind, help, unit]) {
        return Ok(());
    }
    let text = |number: u64| {
        let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number)).copied().flatten();
        // Symbol 0 is the empty text by rule, whatever a sender put there.
        if number == 0 { Some("") } else { symbol }
    };
    let kind = MetricType::from_number(kind);
    match (text(help), text(unit)) {
        (Some(help), Some(unit)) if help.len() <= sink.limits.value_bytes && unit.len() <= sink.limits.name_bytes => {
            let metric = family(metric, kind).to_owned();
            sink.batch.push_metadata(Metadata { metric, kind, help: help.to_owned(), unit: unit.to_owned() });
            sink.decoded.metadata += 1;
        }
        _ => sink.decoded.metadata_skipped += 1,
    }
    Ok(())
}

/// The family of a series' name: parts of classic histograms and summaries belong to one.
fn family(metric: &str, kind: MetricType) -> &str {
    let parts: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    parts.iter().find_map(|part| metric.strip_suffix(part)).unwrap_or(metric)
}

fn count_samples(mut series: Reader<'_>) -> Result<u64, WireError> {
    let mut n_samples = 0;
    while let Some((number, _)) = series.bytes_field()? {
        n_samples += u64::from(matches!(number, 2 | 3));
    }
    Ok(n_samples)
}

/// The labels as sent, for the message about a refused series.
fn show_labels(symbols: &[Option<&str>], refs: &[u32]) -> String {
    let text = |number: u32| match symbols.get(number as usize) {
        Some(Some(text)) => format!("{:?}", text.chars().take(100).collect::<String>()),
        Some(None) => "(not UTF-8)".to_owned(),
        None => format!("(symbol {number} of {})", symbols.len()),
    };
    let mut shown = String::from("{");
    for (i, pair) in refs.chunks(2).enumerate() {
        if i > 0 {
            shown.push_str(", ");
        }
        shown.push_str(&text(pair[0]));
        if let Some(&value) = pair.get(1) {
            shown.push('=');
            shown.push_str(&text(value));
        }
        if shown.len() > 400 {
            break;
        }
    }
    shown.push('}');
    shown
}
