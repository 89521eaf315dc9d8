//! Remote write 1.0 into a batch.
//!
//! ```text
//!   WriteRequest{timeseries = 1, metadata = 3}
//!   TimeSeries{labels = 1, samples = 2, exemplars = 3, histograms = 4}    Label{name = 1, value = 2}
//!   Sample{value = 1 double, timestamp = 2 int64}    Exemplar{labels = 1, value = 2, timestamp = 3}
//!   MetricMetadata{type = 1, metric_family_name = 2, help = 4, unit = 5}
//! ```
//!
//! Unknown fields are skipped and absent ones have their default, as protobuf wants. Values keep their bits, so staleness
//! markers and NaN payloads pass through. Source: prometheus.io, "Remote write 1.0".

use std::fmt;
use std::sync::Arc;

use series::{Batch, Exemplar, Metadata, MetricType, Recall, Timestamp};

use crate::body::unpack;
use crate::census::Census;
use crate::decode_v2::decode_message_v2;
use crate::error::IngestError;
use crate::exemplar::{ExemplarLabels, decode_exemplar, exemplar};
use crate::head::{RequestHead, Schema};
use crate::label_set::LabelSet;
use crate::limits::Limits;
use crate::outcome::{Decoded, RefusalReason};
use crate::sink::Sink;
use crate::usual::Usual;
use crate::wire::{Payload, Reader, WireError, whole_varint};

#[cfg(test)]
mod tests;

/// Decodes requests one after the other and keeps its buffer. One decoder serves one thread.
pub struct Decoder {
    limits: Limits,
    unpacked: Vec<u8>,
    usual: Usual,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("limits", &self.limits).field("buffer_bytes", &self.buffer_bytes()).finish()
    }
}

impl Decoder {
    /// A decoder with an empty buffer.
    pub fn new(limits: Limits) -> Self {
        Self { limits, unpacked: Vec::new(), usual: Usual::default() }
    }

    /// The same, for batches that go to the store with this memory: series that it recalls are named by number. All
    /// decoders for one store must have the same limits, as what one has checked no other will check again.
    #[must_use]
    pub fn recalling(self, recall: Option<Arc<dyn Recall>>) -> Self {
        Self { usual: Usual::recalling(recall), ..self }
    }

    /// The limits it was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes its buffer holds: at most [`Limits::decoded_bytes`] (rounded up by the allocator's growth).
    pub fn buffer_bytes(&self) -> usize {
        self.unpacked.capacity()
    }

    /// Reads `body` into `batch`, which is emptied first. A series with bad labels, or a histogram that cannot be, is
    /// refused alone and told in [`Decoded::refused`]; series without items leave no trace. After an error the batch is empty.
    ///
    /// # Errors
    /// [`IngestError`] when nothing was taken; [`IngestError::status`] is the answer.
    pub fn decode(&mut self, head: &RequestHead<'_>, body: &[u8], batch: &mut Batch) -> Result<Decoded, IngestError> {
        batch.clear();
        let schema = head.schema()?;
        let message = unpack(body, &self.limits, &mut self.unpacked)?;
        let decoded = match schema {
            Schema::V1 => decode_message(message, &self.limits, &mut self.usual, batch),
            Schema::V2 => decode_message_v2(message, &self.limits, batch),
        };
        if decoded.is_err() {
            batch.clear();
        }
        decoded
    }
}

fn decode_message(
    message: &[u8],
    limits: &Limits,
    usual: &mut Usual,
    batch: &mut Batch,
) -> Result<Decoded, IngestError> {
    if let Some(decoded) = usual.decode(message, limits, batch) {
        return Ok(decoded);
    }
    batch.clear();
    decode_carefully(message, limits, batch)
}

/// Decodes any message, and says what is wrong with it.
pub(crate) fn decode_carefully(message: &[u8], limits: &Limits, batch: &mut Batch) -> Result<Decoded, IngestError> {
    let census = Census::take(message)?;
    census.check(limits)?;
    let mut sink = Sink::new(batch, limits);
    let (mut labels, mut exemplar_labels) = (LabelSet::default(), ExemplarLabels::default());
    let mut request = Reader::new(message);
    while let Some((number, field)) = request.bytes_field()? {
        match number {
            1 => {
                let mut samples = field.clone();
                let fault = if census.has_late_labels {
                    read_labels(&mut field.clone(), true, limits, &mut labels)?
                } else {
                    read_labels(&mut samples, false, limits, &mut labels)?
                };
                match fault.map_or_else(|| labels.finish(), Err) {
                    Ok(pairs) => take_items(samples, pairs, &mut exemplar_labels, &mut sink)?,
                    Err(reason) => sink.decoded.refuse(reason, count_samples(samples)?, || show_labels(field.bytes())),
                }
            }
            3 => decode_metadata(field, &mut sink)?,
            _ => {}
        }
    }
    Ok(sink.decoded)
}

/// Reads labels up to the first item, or past all items when labels may hide `behind` them. Returns the first fault.
#[inline]
fn read_labels<'a>(
    series: &mut Reader<'a>,
    behind: bool,
    limits: &Limits,
    labels: &mut LabelSet<'a>,
) -> Result<Option<RefusalReason>, WireError> {
    labels.clear();
    let mut fault = None;
    loop {
        let before = series.clone();
        match series.bytes_field()? {
            None => return Ok(fault),
            Some((1, label)) => {
                let (name, value) = decode_label(label)?;
                fault = fault.or(labels.push(name, value, limits).err());
            }
            Some((2..=4, _)) if !behind => {
                *series = before;
                return Ok(fault);
            }
            Some(_) => {}
        }
    }
}

/// Puts a series into the batch unless it has no items.
#[inline]
fn take_items<'a>(
    mut items: Reader<'a>,
    pairs: &[(&str, &str)],
    exemplar_labels: &mut ExemplarLabels<'a>,
    sink: &mut Sink<'_>,
) -> Result<(), IngestError> {
    sink.next_series();
    while let Some((number, item)) = items.bytes_field()? {
        match number {
            2 => {
                let (at, value) = decode_sample(item)?;
                sink.sample(pairs, at, value)?;
            }
            3 => {
                let taken = read_exemplar(item, exemplar_labels, sink.limits)?;
                sink.exemplar(pairs, taken)?;
            }
            4 => sink.histogram(pairs, item, 0)?,
            _ => {}
        }
    }
    Ok(())
}

fn read_exemplar<'a>(
    message: Reader<'a>,
    labels: &mut ExemplarLabels<'a>,
    limits: &Limits,
) -> Result<Option<Exemplar>, WireError> {
    labels.clear();
    let whole = message.clone();
    let (at, value) = decode_exemplar(message, |label| {
        let Payload::Bytes(label) = label else { return Err(whole.fault("labels are messages")) };
        let (name, value) = decode_label(label)?;
        labels.push(std::str::from_utf8(name).ok(), std::str::from_utf8(value).ok(), limits);
        Ok(())
    })?;
    Ok(exemplar(labels, at, value))
}

fn count_samples(mut items: Reader<'_>) -> Result<u64, WireError> {
    let mut n_samples = 0;
    while let Some((number, _)) = items.bytes_field()? {
        n_samples += u64::from(matches!(number, 2 | 4));
    }
    Ok(n_samples)
}

#[inline]
fn decode_label(label: Reader<'_>) -> Result<(&[u8], &[u8]), WireError> {
    // As every sender writes it: name, value, nothing else.
    let mut usual = label.clone();
    if let (Some((1, name)), Some((2, value))) = (usual.short(), usual.short())
        && usual.is_at_end()
    {
        return Ok((name.bytes(), value.bytes()));
    }
    decode_any_label(label)
}

fn decode_any_label(mut label: Reader<'_>) -> Result<(&[u8], &[u8]), WireError> {
    let (mut name, mut value) = (&[][..], &[][..]);
    while let Some((number, payload)) = label.field()? {
        match (number, payload) {
            (1, Payload::Bytes(text)) => name = text.bytes(),
            (2, Payload::Bytes(text)) => value = text.bytes(),
            (1 | 2, _) => return Err(label.fault("label names and values are strings")),
            _ => {}
        }
    }
    Ok((name, value))
}

#[inline]
fn decode_sample(sample: Reader<'_>) -> Result<(Timestamp, f64), WireError> {
    // As every sender writes it: the value, then the time.
    if let Some((&[0x09, ref bits @ ..], &[0x10, ref time @ ..])) = sample.bytes().split_at_checked(9)
        && let (Ok(bits), Some(millis)) = (<[u8; 8]>::try_from(bits), whole_varint(time))
    {
        return Ok((Timestamp(millis as i64), f64::from_le_bytes(bits)));
    }
    decode_any_sample(sample)
}

fn decode_any_sample(mut sample: Reader<'_>) -> Result<(Timestamp, f64), WireError> {
    let (mut at, mut value) = (0, 0.0);
    while let Some((number, payload)) = sample.field()? {
        match (number, payload) {
            (1, Payload::Fixed64(bits)) => value = f64::from_bits(bits),
            (2, Payload::Varint(millis)) => at = millis as i64,
            (1 | 2, _) => return Err(sample.fault("a sample is a double and an int64")),
            _ => {}
        }
    }
    Ok((Timestamp(at), value))
}

fn decode_metadata(mut entry: Reader<'_>, sink: &mut Sink<'_>) -> Result<(), WireError> {
    let (mut kind, mut texts) = (MetricType::Unknown, [&[][..]; 3]);
    while let Some((number, payload)) = entry.field()? {
        match (number, payload) {
            (1, Payload::Varint(type_number)) => kind = MetricType::from_number(type_number),
            (2, Payload::Bytes(text)) => texts[0] = text.bytes(),
            (4, Payload::Bytes(text)) => texts[1] = text.bytes(),
            (5, Payload::Bytes(text)) => texts[2] = text.bytes(),
            (1 | 2 | 4 | 5, _) => return Err(entry.fault("metadata is a number and three strings")),
            _ => {}
        }
    }
    let limits = sink.limits;
    let fits = texts.iter().all(|text| text.len() <= limits.value_bytes) && texts[2].len() <= limits.name_bytes;
    match texts.map(|text| std::str::from_utf8(text).map(str::to_owned)) {
        [Ok(metric), Ok(help), Ok(unit)] if fits && !metric.is_empty() => {
            sink.batch.push_metadata(Metadata { metric, kind, help, unit });
            sink.decoded.metadata += 1;
        }
        _ => sink.decoded.metadata_skipped += 1,
    }
    Ok(())
}

/// The labels as sent, for the message about a refused series: unsorted, damaged bytes replaced.
fn show_labels(series: &[u8]) -> String {
    let (mut shown, mut reader) = (String::from("{"), Reader::new(series));
    while let Ok(Some((number, payload))) = reader.field() {
        let (1, Payload::Bytes(label)) = (number, payload) else { continue };
        let Ok((name, value)) = decode_label(label) else { break };
        if shown.len() > 1 {
            shown.push_str(", ");
        }
        shown.push_str(&format!("{}={:?}", String::from_utf8_lossy(cut(name)), String::from_utf8_lossy(cut(value))));
        if shown.len() > 400 {
            break;
        }
    }
    shown.push('}');
    shown
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(100)]
}

impl From<WireError> for IngestError {
    fn from(error: WireError) -> Self {
        Self::Malformed { offset: error.offset, what: error.what }
    }
}
