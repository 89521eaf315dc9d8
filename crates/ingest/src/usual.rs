//! The usual request of remote write 1.0, decoded in one pass: series with sorted labels and float samples, nothing else.
//!
//! ```text
//!   series   (0a len  0a n name  12 m value)*  (12 len  [09 f64] 10 time)+
//!   labels   n name m value …                  canonical bytes: the message's own, without the tags
//! ```
//!
//! Nearly everything that senders send looks like this, and most of it was sent before: a series whose labels come in
//! bytes that the store recalls is named by its number, and its labels are not read at all. Those of the others are in
//! their canonical form but for the tags, so they are copied in pieces of sixteen bytes and checked as a whole: text by
//! its highest bits, order by the first eight bytes of each name. Whatever is unusual (metadata, histograms, exemplars, unsorted labels, empty values, a limit reached) ends
//! the attempt; the careful decoder then reads the message from its start and says what is wrong, if anything is.

use std::sync::Arc;

use series::{Batch, KnownSeries, LabelsRef, Recall, Spelling, Timestamp};

use crate::limits::Limits;
use crate::outcome::Decoded;
use crate::wire::whole_varint;

/// Pieces in which short texts are copied.
const PIECE: usize = 16;
/// Canonical labels beyond this are unusual.
const LABEL_BYTES_MAX: usize = 4096;
/// `__name__` as a big-endian number.
const METRIC_NAME_KEY: u64 = u64::from_be_bytes(*b"__name__");

/// Decodes usual messages and keeps its buffers.
#[derive(Default)]
pub(crate) struct Usual {
    recall: Option<Arc<dyn Recall>>,
    spans: Vec<Span>,
    spellings: Vec<Spelling>,
    known: Vec<Option<KnownSeries>>,
}

/// Where a series lies in the message.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    /// End of the labels, start of the samples.
    middle: usize,
    end: usize,
}

impl Usual {
    pub(crate) fn recalling(recall: Option<Arc<dyn Recall>>) -> Self {
        Self { recall, ..Self::default() }
    }

    /// Decodes `message` if it is a usual one. On `None` the batch is in an unspecified state and must be cleared.
    pub(crate) fn decode(&mut self, message: &[u8], limits: &Limits, batch: &mut Batch) -> Option<Decoded> {
        self.find_spans(message, limits)?;
        let mut scratch = [0; LABEL_BYTES_MAX + PIECE];
        let mut samples = 0_u64;
        batch.reserve(self.spans.len(), self.spans.len());
        for (i, span) in self.spans.iter().enumerate() {
            match self.known[i] {
                Some(known) => batch.begin_known(known).ok()?,
                None => {
                    let mut at = span.start;
                    let n_label_bytes = labels(message, &mut at, span.middle, limits, &mut scratch)?;
                    if at != span.middle {
                        return None;
                    }
                    batch.begin_canonical(LabelsRef::trusted(&scratch[..n_label_bytes])).ok()?;
                    if let Some(&spelling) = self.spellings.get(i) {
                        batch.spelled(spelling);
                    }
                }
            }
            let mut at = span.middle;
            while at < span.end {
                let sample_end = enter(message, &mut at, 0x12, span.end)?;
                let (time, value) = sample(&message[at..sample_end])?;
                batch.push(Timestamp(time), value);
                samples += 1;
                at = sample_end;
            }
        }
        let series = self.spans.len() as u64;
        (samples <= limits.samples).then(|| Decoded { series, samples, ..Decoded::default() })
    }

    /// Finds the series of a message and asks which of them are known.
    fn find_spans(&mut self, message: &[u8], limits: &Limits) -> Option<()> {
        self.spans.clear();
        self.spellings.clear();
        let seed = self.recall.as_ref().map(|recall| recall.seed());
        let mut at = 0;
        while at < message.len() {
            let end = enter(message, &mut at, 0x0a, message.len())?;
            let middle = likely_end_of_labels(message, at, end).or_else(|| end_of_labels(message, at, end))?;
            // A series without samples leaves no trace; the careful decoder knows how, and how many are too many.
            if middle == end || self.spans.len() as u64 >= limits.series {
                return None;
            }
            self.spans.push(Span { start: at, middle, end });
            if let Some(seed) = seed {
                self.spellings.push(Spelling::of(&message[at..middle], seed));
            }
            at = end;
        }
        if self.spans.is_empty() {
            return None;
        }
        self.ask();
        if self.correct(message)? {
            self.ask();
        }
        Some(())
    }

    fn ask(&mut self) {
        match &self.recall {
            Some(recall) => recall.recall(&self.spellings, &mut self.known),
            None => self.known.clear(),
        }
        self.known.resize(self.spans.len(), None);
    }

    /// Looks where the labels of unknown series really end; whether any end was another than it seemed. A known spelling
    /// was such labels once, and a sample follows it, so there they end.
    fn correct(&mut self, message: &[u8]) -> Option<bool> {
        let mut corrected = false;
        for (i, span) in self.spans.iter_mut().enumerate().filter(|(i, _)| self.known[*i].is_none()) {
            let middle = end_of_labels(message, span.start, span.end)?;
            if middle == span.end {
                return None;
            }
            if middle != span.middle {
                (span.middle, corrected) = (middle, true);
                if let (Some(recall), Some(spelling)) = (&self.recall, self.spellings.get_mut(i)) {
                    *spelling = Spelling::of(&message[span.start..middle], recall.seed());
                }
            }
        }
        Some(corrected)
    }
}

/// Where the labels end if one sample of the usual length follows them, without walking over them: value and time, or the
/// time alone.
#[inline]
fn likely_end_of_labels(message: &[u8], start: usize, end: usize) -> Option<usize> {
    let series = message.get(start..end)?;
    let ends = |n: usize, tags: &[u8]| series.len().checked_sub(n).filter(|&at| series[at..].starts_with(tags));
    ends(18, &[0x12, 0x10, 0x09]).or_else(|| ends(9, &[0x12, 0x07, 0x10])).map(|at| start + at)
}

/// Steps over the labels of a series without looking into them.
#[inline]
fn end_of_labels(message: &[u8], mut at: usize, end: usize) -> Option<usize> {
    while at < end && message[at] == 0x0a {
        at = enter(message, &mut at, 0x0a, end)?;
    }
    Some(at)
}

/// Steps over `tag` and a length of one to three bytes; the end of what follows, at most `limit`.
#[inline]
fn enter(message: &[u8], at: &mut usize, tag: u8, limit: usize) -> Option<usize> {
    if *message.get(*at)? != tag {
        return None;
    }
    let mut i = *at + 1;
    let mut len = usize::from(*message.get(i)?);
    i += 1;
    if len >= 0x80 {
        let second = usize::from(*message.get(i)?);
        i += 1;
        len = len & 0x7f | (second & 0x7f) << 7;
        if second >= 0x80 {
            let third = usize::from(*message.get(i)?);
            i += 1;
            if third >= 0x80 {
                return None;
            }
            len |= third << 14;
        }
    }
    *at = i;
    i.checked_add(len).filter(|&end| end <= limit)
}

/// Writes the labels at `at` as canonical bytes into `out` and answers how many; `at` then stands behind them.
#[inline]
fn labels(message: &[u8], at: &mut usize, end: usize, limits: &Limits, out: &mut [u8]) -> Option<usize> {
    let (mut len, mut n_labels, mut n_text_bytes) = (0, 0, 0);
    let (mut name_before, mut key_before): (&[u8], u64) = (&[], 0);
    let mut has_metric_name = false;
    while *at < end && message[*at] == 0x0a {
        let mut i = *at;
        let label_end = enter(message, &mut i, 0x0a, end)?;
        // The name: its length in one byte, so that the byte is the canonical one as well.
        let &[0x0a, n_name, ..] = message.get(i..label_end)? else { return None };
        let name_at = i + 2;
        let name_end = name_at + usize::from(n_name);
        let name = message.get(name_at..name_end)?;
        let key = key_of(message, name_at, name.len());
        let rises = key > key_before || key == key_before && name > name_before;
        if n_name == 0 || n_name >= 0x80 || !rises {
            return None;
        }
        has_metric_name |= key == METRIC_NAME_KEY && n_name == 8;
        (name_before, key_before) = (name, key);
        // The value fills the rest of the label; its length must be written as short as it can be.
        let mut value_at = name_end;
        let value_end = enter(message, &mut value_at, 0x12, label_end)?;
        let n_value = value_end - value_at;
        let n_len_bytes = value_at - name_end - 1;
        if value_end != label_end || n_value == 0 || n_len_bytes != 1 + usize::from(n_value >= 0x80) {
            return None;
        }
        let n_bytes = 1 + name.len() + n_len_bytes + n_value;
        n_text_bytes += name.len() + n_value;
        n_labels += 1;
        if len + n_bytes > LABEL_BYTES_MAX || n_value > limits.value_bytes || name.len() > limits.name_bytes {
            return None;
        }
        copy(message, name_at - 1, out, len, 1 + name.len());
        copy(message, name_end + 1, out, len + 1 + name.len(), n_len_bytes + n_value);
        len += n_bytes;
        *at = label_end;
    }
    let within = n_labels <= limits.labels_per_series && n_text_bytes <= limits.series_bytes;
    // Lengths below 128 and ASCII have no high bit; anything else is looked at text by text.
    let is_text = out[..len].is_ascii() || LabelsRef::checked(&out[..len]).is_ok();
    (within && has_metric_name && is_text).then_some(len)
}

/// The first eight bytes of a name as a number that sorts like them; zeros stand for bytes behind its end. A name that
/// holds a zero byte may get the key of another one, so equal keys are not yet equal names.
#[inline]
fn key_of(message: &[u8], at: usize, len: usize) -> u64 {
    match message.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        Some(eight) if len >= 8 => u64::from_be_bytes(eight),
        Some(eight) if len > 0 => u64::from_be_bytes(eight) & (u64::MAX << (64 - 8 * len)),
        _ => {
            let mut eight = [0; 8];
            let name = message.get(at..at + len.min(8)).unwrap_or(&[]);
            eight[..name.len()].copy_from_slice(name);
            u64::from_be_bytes(eight)
        }
    }
}

/// Copies `len` bytes; short ones as whole pieces, which may write behind them, where there is room in both.
#[inline]
fn copy(from: &[u8], at: usize, to: &mut [u8], to_at: usize, len: usize) {
    if len <= PIECE
        && let (Some(source), Some(target)) = (from.get(at..at + PIECE), to.get_mut(to_at..to_at + PIECE))
    {
        target.copy_from_slice(source);
    } else if len <= 2 * PIECE
        && let (Some(source), Some(target)) = (from.get(at..at + 2 * PIECE), to.get_mut(to_at..to_at + 2 * PIECE))
    {
        target.copy_from_slice(source);
    } else {
        to[to_at..to_at + len].copy_from_slice(&from[at..at + len]);
    }
}

/// Value, then time, as every sender writes them; zero is left out by some.
#[inline]
fn sample(bytes: &[u8]) -> Option<(i64, f64)> {
    let (value, time) = match bytes.split_at_checked(9) {
        Some((&[0x09, ref bits @ ..], &[0x10, ref time @ ..])) => {
            (f64::from_le_bytes(<[u8; 8]>::try_from(bits).ok()?), time)
        }
        _ => match bytes {
            [0x10, time @ ..] => (0.0, time),
            _ => return None,
        },
    };
    Some((whole_varint(time)? as i64, value))
}

#[cfg(test)]
mod tests;
