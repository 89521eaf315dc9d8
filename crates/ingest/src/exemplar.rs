//! Exemplars of remote write: their labels are looser than those of series, as they need no name, and tighter in length.
//!
//! An exemplar is a hint, so one that cannot be kept is counted and costs its request nothing.

use series::{Exemplar, Labels, Timestamp};

use crate::limits::Limits;
use crate::wire::{Payload, Reader, WireError};

/// Labels of one exemplar on their way; reuse one, it keeps its buffer.
#[derive(Debug, Default)]
pub(crate) struct ExemplarLabels<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    n_chars: usize,
    is_bad: bool,
}

impl<'a> ExemplarLabels<'a> {
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
        self.n_chars = 0;
        self.is_bad = false;
    }

    /// Adds a label; `None` stands for a text that is not UTF-8 or not there.
    pub(crate) fn push(&mut self, name: Option<&'a str>, value: Option<&'a str>, limits: &Limits) {
        let (Some(name), Some(value)) = (name, value) else {
            self.is_bad = true;
            return;
        };
        self.n_chars += name.chars().count() + value.chars().count();
        self.is_bad |= name.is_empty() || self.n_chars > limits.exemplar_chars;
        if !self.is_bad && !value.is_empty() {
            self.pairs.push((name, value));
        }
    }

    /// The label set, or `None` when the exemplar cannot be kept.
    pub(crate) fn finish(&self) -> Option<Labels> {
        if self.is_bad { None } else { Labels::from_pairs(self.pairs.iter().copied()).ok() }
    }
}

/// Reads `Exemplar{labels = 1, value = 2, timestamp = 3}`, both versions; field 1 goes to `label` as it comes.
pub(crate) fn decode_exemplar<'a>(
    mut message: Reader<'a>,
    mut label: impl FnMut(Payload<'a>) -> Result<(), WireError>,
) -> Result<(Timestamp, f64), WireError> {
    let (mut at, mut value) = (0, 0.0);
    while let Some((number, payload)) = message.field()? {
        match (number, payload) {
            (1, payload) => label(payload)?,
            (2, Payload::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Payload::Varint(millis)) => at = millis as i64,
            (2 | 3, _) => return Err(message.fault("an exemplar has labels, a double and an int64")),
            _ => {}
        }
    }
    Ok((Timestamp(at), value))
}

/// The exemplar of what was read.
pub(crate) fn exemplar(labels: &ExemplarLabels<'_>, at: Timestamp, value: f64) -> Option<Exemplar> {
    labels.finish().map(|labels| Exemplar { labels, value, at })
}
