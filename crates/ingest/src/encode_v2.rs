//! A batch as a remote write 2.0 body: what our own senders and the tests send.

use std::collections::HashMap;

use series::{Batch, BatchSeries, LabelsRef, Metadata};

use crate::encode::{EncodeError, pack, put_double, put_observation};
use crate::encode_histogram::put_histogram;
use crate::wire::{put_bytes, put_varint};

/// The body of a remote write 2.0 request: protobuf in one snappy block. Send it with [`crate::CONTENT_TYPE_V2`],
/// `Content-Encoding: snappy` and [`crate::VERSION_V2`].
///
/// # Errors
/// [`EncodeError`] beyond 4 GiB.
pub fn encode_write_request_v2(batch: &Batch) -> Result<Vec<u8>, EncodeError> {
    let mut message = Vec::new();
    encode_message_v2(batch, &mut message);
    pack(&message)
}

/// Appends the protobuf message alone. Metadata travels with the series of its metric; that of other metrics is left out,
/// as 2.0 has no place for it.
pub fn encode_message_v2(batch: &Batch, out: &mut Vec<u8>) {
    let metadata: HashMap<&str, &Metadata> = batch.metadata().iter().map(|one| (one.metric.as_str(), one)).collect();
    let (mut symbols, mut fields) = (Symbols::default(), Vec::new());
    symbols.number("");
    for series in batch.iter() {
        let known = series.labels.get(series::METRIC_NAME).and_then(|metric| metadata.get(metric));
        put_series(&series, known.copied(), &mut symbols, &mut fields);
    }
    symbols.texts.iter().for_each(|text| put_bytes(out, 4, text.as_bytes()));
    out.extend_from_slice(&fields);
}

/// Texts in order of their numbers.
#[derive(Default)]
struct Symbols {
    texts: Vec<String>,
    numbers: HashMap<String, u64>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

fn put_series(series: &BatchSeries<'_>, metadata: Option<&Metadata>, symbols: &mut Symbols, out: &mut Vec<u8>) {
    let (mut message, mut item) = (Vec::new(), Vec::new());
    put_labels(series.labels, symbols, &mut message);
    for (&at, &value) in series.timestamps.iter().zip(series.values) {
        item.clear();
        put_double(&mut item, 1, value);
        put_varint(&mut item, 2 << 3);
        put_varint(&mut item, at as u64);
        put_start(&mut item, 3, series, at);
        put_bytes(&mut message, 2, &item);
    }
    for sample in series.histograms {
        item.clear();
        put_histogram(&mut item, sample);
        put_start(&mut item, 17, series, sample.at.0);
        put_bytes(&mut message, 3, &item);
    }
    for exemplar in series.exemplars {
        item.clear();
        put_labels(exemplar.labels.as_ref(), symbols, &mut item);
        put_observation(&mut item, exemplar);
        put_bytes(&mut message, 4, &item);
    }
    if let Some(metadata) = metadata {
        item.clear();
        for (number, value) in
            [(1, metadata.kind as u64), (3, symbols.number(&metadata.help)), (4, symbols.number(&metadata.unit))]
        {
            put_varint(&mut item, number << 3);
            put_varint(&mut item, value);
        }
        put_bytes(&mut message, 5, &item);
    }
    put_bytes(out, 5, &message);
}

/// Field `number` with the start of the sample at `at`, if it has one.
fn put_start(item: &mut Vec<u8>, number: u64, series: &BatchSeries<'_>, at: i64) {
    if let Some(known) = series.starts.iter().find(|known| known.at.0 == at) {
        put_varint(item, number << 3);
        put_varint(item, known.start.0 as u64);
    }
}

fn put_labels(labels: LabelsRef<'_>, symbols: &mut Symbols, message: &mut Vec<u8>) {
    let mut packed = Vec::new();
    for (name, value) in labels.iter() {
        put_varint(&mut packed, symbols.number(name));
        put_varint(&mut packed, symbols.number(value));
    }
    put_bytes(message, 1, &packed);
}
