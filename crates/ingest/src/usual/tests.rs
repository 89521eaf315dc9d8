//! The usual request takes one pass and means what the general decoder makes of it.

use super::*;
use crate::encode::encode_message;
use crate::{Decoder, RequestHead};
use proptest::prelude::*;
use std::sync::Mutex;

use series::{Batch, Labels, SeriesId};

fn samples_of(batch: &Batch) -> Vec<(Labels, u64, Vec<i64>, Vec<u64>)> {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect();
    batch.iter().map(|run| (run.labels.to_owned(), run.id.0, run.timestamps.to_vec(), bits(run.values))).collect()
}

fn usual(message: &[u8], limits: &Limits) -> Option<(Decoded, Batch)> {
    let mut batch = Batch::default();
    let decoded = Usual::default().decode(message, limits, &mut batch)?;
    Some((decoded, batch))
}

/// What the careful decoder makes of a message.
fn careful(message: &[u8]) -> Option<Batch> {
    let mut batch = Batch::default();
    super::super::decode::decode_carefully(message, &Limits::default(), &mut batch).ok()?;
    Some(batch)
}

fn put(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    crate::wire::put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A series as its bytes, whatever its labels are.
fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        put(&mut label, 0x0a, name.as_bytes());
        put(&mut label, 0x12, value.as_bytes());
        put(&mut series, 0x0a, &label);
    }
    for &(at, value) in samples {
        let mut sample = Vec::new();
        if value.to_bits() != 0 {
            sample.push(0x09);
            sample.extend_from_slice(&value.to_le_bytes());
        }
        sample.push(0x10);
        crate::wire::put_varint(&mut sample, at as u64);
        put(&mut series, 0x12, &sample);
    }
    let mut message = Vec::new();
    put(&mut message, 0x0a, &series);
    message
}

#[test]
fn what_is_usual_is_decoded_like_the_rest() {
    let long = "v".repeat(300);
    let all: &[&[(&str, &str)]] = &[
        &[("__name__", "up"), ("job", "a")],
        &[("A", "b"), ("__name__", "up"), ("zone", "grün")],
        &[("__name__", "m"), ("a_very_long_label_name_that_needs_two_pieces", &long), ("z", "1")],
        &[("__name__", "m"), ("same_prefix_a", "1"), ("same_prefix_b", "2")],
    ];
    for labels in all {
        let message = series(labels, &[(1_795_000_000_000, 1.5), (1_795_000_015_000, 0.0)]);
        let (decoded, batch) = usual(&message, &Limits::default()).expect("usual");
        assert_eq!((decoded.series, decoded.samples), (1, 2));
        assert_eq!(samples_of(&batch), samples_of(&careful(&message).expect("valid")));
    }
}

#[test]
fn what_is_unusual_is_left_to_the_careful_decoder() {
    let all: &[&[(&str, &str)]] = &[
        &[("job", "a")],
        &[("__name__", "up"), ("b", "1"), ("a", "2")],
        &[("__name__", "up"), ("a", "1"), ("a", "1")],
        &[("__name__", "up"), ("a", "")],
        &[("", "x"), ("__name__", "up")],
        &[],
    ];
    for labels in all {
        assert!(usual(&series(labels, &[(1, 1.0)]), &Limits::default()).is_none(), "{labels:?}");
    }
    let up: &[(&str, &str)] = &[("__name__", "up")];
    assert!(usual(&series(up, &[]), &Limits::default()).is_none());
    assert!(usual(&series(up, &[(-1, 1.0)]), &Limits::default()).is_none());
    assert!(usual(&[], &Limits::default()).is_none());
    let two = [series(up, &[(1, 1.0)]), series(up, &[(2, 1.0)])].concat();
    assert!(usual(&two, &Limits::default()).is_some());
    for limits in [
        Limits { series: 1, ..Limits::default() },
        Limits { samples: 1, ..Limits::default() },
        Limits { labels_per_series: 0, ..Limits::default() },
        Limits { name_bytes: 7, ..Limits::default() },
        Limits { value_bytes: 1, ..Limits::default() },
        Limits { series_bytes: 9, ..Limits::default() },
    ] {
        assert!(usual(&two, &limits).is_none(), "{limits:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_not_usual() {
    let mut message = series(&[("__name__", "up"), ("a", "xxxx")], &[(1, 1.0)]);
    let at = message.windows(4).position(|four| four == b"xxxx").expect("the value");
    message[at] = 0xff;
    assert!(usual(&message, &Limits::default()).is_none());
}

proptest! {
    #[test]
    fn a_usual_message_means_the_same_to_both_decoders(
        all in proptest::collection::vec((
            proptest::collection::btree_map("[a-zA-Z_.é\u{0}]{1,20}", "[a-z€]{0,40}", 0..6),
            proptest::collection::vec((any::<i64>(), any::<u64>()), 0..3),
        ), 0..6),
        flip in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let mut message: Vec<u8> = Vec::new();
        for (labels, samples) in &all {
            let mut pairs: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            pairs.push(("__name__", "m"));
            pairs.sort_unstable();
            let samples: Vec<_> = samples.iter().map(|&(at, bits)| (at, f64::from_bits(bits))).collect();
            message.extend(series(&pairs, &samples));
        }
        if let (Some((at, byte)), false) = (flip, message.is_empty()) {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some((decoded, batch)) = usual(&message, &Limits::default()) {
            let expected = careful(&message);
            prop_assert_eq!(Some(samples_of(&batch)), expected.as_ref().map(samples_of));
            prop_assert_eq!(decoded.series as usize, batch.n_series());
            prop_assert_eq!(decoded.samples as usize, batch.n_samples());
        }
    }
}

#[test]
fn our_own_encoding_is_usual() {
    let mut batch = Batch::default();
    for i in 0..50_i64 {
        let host = i.to_string();
        let labels = Labels::from_pairs([("__name__", "up"), ("host", host.as_str())]).expect("valid");
        batch.begin_labels(&labels).expect("small");
        batch.push(Timestamp(1_795_000_000_000 + i), i as f64);
    }
    let mut message = Vec::new();
    encode_message(&batch, &mut message);
    let (_, found) = usual(&message, &Limits::default()).expect("usual");
    assert_eq!(samples_of(&found), samples_of(&batch));
    let body = crate::encode_write_request(&batch).expect("small");
    let mut whole = Batch::default();
    let decoded = Decoder::new(Limits::default()).decode(&RequestHead::default(), &body, &mut whole).expect("valid");
    assert_eq!((decoded.samples, samples_of(&whole)), (50, samples_of(&batch)));
}

/// Recalls the spellings it was told, numbered in that order.
#[derive(Default)]
struct Memory(Mutex<Vec<Spelling>>);

impl Recall for Memory {
    fn seed(&self) -> u64 {
        7
    }

    fn recall(&self, spellings: &[Spelling], known: &mut Vec<Option<KnownSeries>>) {
        let told = self.0.lock().expect("not poisoned");
        known.clear();
        known.extend(spellings.iter().map(|spelling| {
            let at = told.iter().position(|one| one == spelling)?;
            Some(KnownSeries { number: at as u32, id: SeriesId(at as u64) })
        }));
    }

    fn labels_of(&self, _: u32) -> Option<Labels> {
        None
    }
}

#[test]
fn what_was_spelled_before_is_named_by_its_number() {
    let memory = Arc::new(Memory::default());
    let mut usual = Usual::recalling(Some(Arc::clone(&memory) as Arc<dyn Recall>));
    let (a, b) = ([("__name__", "up"), ("job", "a")], [("__name__", "up"), ("job", "b")]);
    let mut decode = |parts: &[Vec<u8>]| {
        let mut batch = Batch::default();
        let decoded = usual.decode(&parts.concat(), &Limits::default(), &mut batch);
        decoded.map(|_| batch)
    };
    let first = decode(&[series(&a, &[(1, 1.0)])]).expect("usual");
    assert!(first.series(0).known.is_none());
    memory.0.lock().expect("not poisoned").push(first.series(0).spelling.expect("it may be remembered"));
    let second = decode(&[series(&b, &[(2, 2.0)]), series(&a, &[(2, 3.0), (3, 4.0)])]).expect("usual");
    assert!(second.series(0).known.is_none());
    assert_eq!(second.series(0).labels.to_owned(), Labels::from_pairs(b).expect("valid"));
    assert_eq!(second.series(1).known.map(|known| known.number), Some(0));
    assert_eq!((second.series(1).timestamps, second.series(1).values), (&[2, 3][..], &[3.0, 4.0][..]));
    assert!(second.series(1).labels.canonical().is_empty() && second.series(1).spelling.is_none());
    // Samples are looked at whoever they belong to, and what follows the labels is not taken for a part of them.
    assert!(decode(&[series(&a, &[])]).is_none());
    let (mut inside, mut late) = (series(&a, &[(4, 1.0)]).split_off(2), Vec::new());
    put(&mut inside, 0x0a, &[0x0a, 1, b'z', 0x12, 1, b'z']);
    put(&mut late, 0x0a, &inside);
    assert!(decode(&[late]).is_none(), "labels behind the samples");
}
