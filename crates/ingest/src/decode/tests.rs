//! What is taken, what is refused with which answer, and that no bytes make the decoder fall over.

use super::*;
use crate::encode::{encode_message, encode_write_request};
use crate::wire::{put_bytes, put_varint};
use proptest::prelude::*;
use series::{Labels, STALE_NAN, is_stale};

const HEAD: RequestHead<'static> =
    RequestHead { content_type: Some("application/x-protobuf"), content_encoding: Some("snappy"), version: None };

fn label(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let (mut pair, mut field) = (Vec::new(), Vec::new());
    put_bytes(&mut pair, 1, name.as_ref());
    put_bytes(&mut pair, 2, value.as_ref());
    put_bytes(&mut field, 1, &pair);
    field
}

fn sample(at: i64, value: f64) -> Vec<u8> {
    let (mut pair, mut field) = (vec![0x09], Vec::new());
    pair.extend_from_slice(&value.to_bits().to_le_bytes());
    pair.push(0x10);
    put_varint(&mut pair, at as u64);
    put_bytes(&mut field, 2, &pair);
    field
}

fn message(series: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for parts in series {
        put_bytes(&mut bytes, 1, &parts.concat());
    }
    bytes
}

fn pack(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("small")
}

fn decode_with(limits: Limits, message: &[u8]) -> Result<(Decoded, Batch), IngestError> {
    let mut batch = Batch::default();
    Decoder::new(limits).decode(&HEAD, &pack(message), &mut batch).map(|decoded| (decoded, batch))
}

fn decode(message: &[u8]) -> Result<(Decoded, Batch), IngestError> {
    decode_with(Limits::default(), message)
}

fn named(name: &str) -> Vec<u8> {
    label("__name__", name)
}

#[test]
fn unsorted_labels_are_sorted_and_empty_values_dropped() {
    let parts = vec![label("zz", "1"), named("up"), label("mid", ""), label("aa", "2"), sample(7, 1.5)];
    let (decoded, batch) = decode(&message(&[parts])).expect("valid");
    assert_eq!(batch.series(0).labels.to_string(), "up{aa=\"2\", zz=\"1\"}");
    let sorted = Labels::from_pairs([("aa", "2"), ("zz", "1"), ("__name__", "up")]).expect("valid");
    assert_eq!(batch.series(0).id, sorted.id());
    assert_eq!((decoded.series, decoded.samples, decoded.is_partial()), (1, 1, false));
}

#[test]
fn samples_before_labels_and_unknown_fields_are_read() {
    let mut odd = vec![0xc0, 0x0c, 7];
    put_bytes(&mut odd, 201, b"x");
    let parts = vec![sample(5, 4.0), odd.clone(), named("up"), sample(6, 5.0), odd];
    let mut bytes = message(&[parts]);
    put_bytes(&mut bytes, 100, b"abc");
    bytes.extend([0xad, 0x06, 1, 2, 3, 4]);
    let (_, batch) = decode(&bytes).expect("valid");
    assert_eq!(batch.series(0).timestamps, [5, 6]);
    assert_eq!(batch.series(0).values, [4.0, 5.0]);
}

#[test]
fn values_keep_their_bits_and_absent_fields_are_zero() {
    let payload = f64::from_bits(0x7ff8_dead_beef_0001);
    let values = [STALE_NAN, payload, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 4.0];
    let mut parts = vec![named("up"), vec![0x12, 0]];
    parts.extend(values.iter().enumerate().map(|(i, &value)| sample(-(i as i64), value)));
    let (_, batch) = decode(&message(&[parts])).expect("valid");
    let series = batch.series(0);
    assert_eq!((series.timestamps[0], series.values[0].to_bits()), (0, 0));
    assert!(is_stale(series.values[1]));
    for (i, value) in values.iter().enumerate() {
        assert_eq!((series.timestamps[i + 1], series.values[i + 1].to_bits()), (-(i as i64), value.to_bits()));
    }
}

#[test]
fn a_bad_series_is_refused_and_its_neighbours_are_taken() {
    let limits =
        Limits { labels_per_series: 3, name_bytes: 10, value_bytes: 20, series_bytes: 40, ..Limits::default() };
    let long = "v".repeat(18);
    for (labels, reason) in [
        (vec![label("", "1"), named("m")], RefusalReason::EmptyLabelName),
        (vec![named("m"), label("a", "1"), label("a", "2")], RefusalReason::RepeatedLabelName),
        (vec![named("m"), named("n")], RefusalReason::RepeatedLabelName),
        (vec![label("job", "x")], RefusalReason::NoMetricName),
        (vec![named(""), label("job", "x")], RefusalReason::NoMetricName),
        (vec![], RefusalReason::NoMetricName),
        (vec![named("m"), label([0xff, 0xfe], "1")], RefusalReason::NotUtf8),
        (vec![named("m"), label("a", [0xff, 0xfe])], RefusalReason::NotUtf8),
        (
            vec![named("m"), label("a", "1"), label("b", "1"), label("c", "1")],
            RefusalReason::TooManyLabels { limit: 3 },
        ),
        (vec![named("m"), label("elevenchars", "1")], RefusalReason::NameTooLong { limit: 10 }),
        (vec![named("m"), label("a", "v".repeat(21))], RefusalReason::ValueTooLong { limit: 20 }),
        (vec![named("m"), label("a", &long), label("b", &long)], RefusalReason::SeriesTooLong { limit: 40 }),
    ] {
        let mut bad = labels;
        bad.extend([sample(1, 1.0), sample(2, 2.0)]);
        let good = vec![named("good"), sample(1, 1.0)];
        let (decoded, batch) = decode_with(limits.clone(), &message(&[good.clone(), bad, good])).expect("readable");
        assert_eq!((batch.n_series(), batch.n_samples()), (2, 2), "{reason}");
        assert_eq!(decoded.refused.len(), 1, "{reason}");
        let refusal = &decoded.refused[0];
        assert_eq!((refusal.reason, refusal.series, refusal.samples), (reason, 1, 2));
        assert!(decoded.is_partial());
    }
}

#[test]
fn a_refusal_shows_the_labels_as_they_were_sent() {
    let bad = vec![label("job", "a\n"), label("", "x"), sample(1, 1.0)];
    let (decoded, _) = decode(&message(&[bad])).expect("readable");
    assert_eq!(decoded.refused[0].example, "{job=\"a\\n\", =\"x\"}");
}

#[test]
fn exemplars_and_histograms_stay_with_their_series_and_open_it_alone() {
    let exemplar = |pairs: &[Vec<u8>]| {
        let (mut message, mut field) = (pairs.concat(), Vec::new());
        message.extend([0x11, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 0x18, 9]);
        put_bytes(&mut field, 3, &message);
        field
    };
    let mut empty_histogram = Vec::new();
    put_bytes(&mut empty_histogram, 4, b"");
    let traced = exemplar(&[label("trace_id", "abc"), label("a", "")]);
    let (decoded, batch) = decode(&message(&[
        vec![named("up"), sample(1, 1.0), traced.clone(), empty_histogram.clone()],
        vec![named("only_exemplar"), traced],
        vec![named("only_histogram"), empty_histogram],
    ]))
    .expect("valid");
    assert_eq!((decoded.series, decoded.samples, decoded.histograms, decoded.exemplars), (3, 1, 2, 2));
    assert!(!decoded.is_partial());
    let first = &batch.series(1).exemplars[0];
    assert_eq!((first.labels.to_string(), first.value, first.at.0), ("{trace_id=\"abc\"}".to_owned(), 0.5, 9));
    assert_eq!((batch.series(0).histograms.len(), batch.series(2).histograms.len()), (1, 1));
    assert_eq!(batch.series(2).labels.to_string(), "only_histogram");
}

#[test]
fn exemplars_that_are_no_label_set_are_left_out_and_counted() {
    let exemplar = |pairs: Vec<u8>| {
        let mut field = Vec::new();
        put_bytes(&mut field, 3, &pairs);
        field
    };
    let bad =
        [label("", "x"), label("a", [0xff]), [label("a", "1"), label("a", "2")].concat(), label("a", "é".repeat(128))];
    let mut parts = vec![named("up"), sample(1, 1.0)];
    parts.extend(bad.map(exemplar));
    parts.push(exemplar(label("a", "é".repeat(127))));
    let (decoded, batch) = decode(&message(&[parts])).expect("valid");
    assert_eq!((decoded.exemplars, decoded.exemplars_skipped, decoded.is_partial()), (1, 4, false));
    assert_eq!(batch.series(0).exemplars.len(), 1);
}

#[test]
fn labels_behind_any_item_are_read() {
    let mut empty_histogram = Vec::new();
    put_bytes(&mut empty_histogram, 4, b"");
    let (decoded, batch) = decode(&message(&[vec![empty_histogram, named("late")]])).expect("valid");
    assert_eq!((decoded.histograms, batch.series(0).labels.to_string()), (1, "late".to_owned()));
}

#[test]
fn histograms_and_exemplars_beyond_the_limits_are_refused_with_the_count() {
    let limits = Limits { histograms: 2, exemplars: 3, ..Limits::default() };
    for (number, what, limit) in [(4, "native histograms", 2), (3, "exemplars", 3)] {
        let mut field = Vec::new();
        put_bytes(&mut field, number, b"");
        let parts = std::iter::once(named("up")).chain(std::iter::repeat_n(field, 4)).collect();
        let error = decode_with(limits.clone(), &message(&[parts])).expect_err("too many");
        assert_eq!(error, IngestError::TooMany { what, found: 4, limit });
    }
}

#[test]
fn metadata_is_kept_or_counted() {
    let mut batch = Batch::default();
    let kept =
        Metadata { metric: "m".into(), kind: MetricType::Counter, help: "h\nelp".into(), unit: "seconds".into() };
    batch.push_metadata(kept.clone());
    batch.push_metadata(Metadata::default());
    batch.push_metadata(Metadata { help: "h".repeat(5000), ..kept.clone() });
    let mut bytes = Vec::new();
    encode_message(&batch, &mut bytes);
    let (decoded, batch) = decode(&bytes).expect("valid");
    assert_eq!((decoded.metadata, decoded.metadata_skipped), (1, 2));
    assert_eq!(batch.metadata(), [kept]);
}

#[test]
fn an_empty_request_is_fine_and_an_empty_body_is_not() {
    let (decoded, batch) = decode(b"").expect("an empty request");
    assert_eq!((decoded, batch.n_series()), (Decoded::default(), 0));
    let (decoded, batch) = decode(&message(&[vec![named("up")]])).expect("no samples");
    assert_eq!((decoded.is_partial(), batch.n_series()), (false, 0));
    let error = Decoder::new(Limits::default()).decode(&HEAD, b"", &mut Batch::default()).expect_err("no body");
    assert_eq!(error.status(), 400);
}

#[test]
fn malformed_messages_name_the_byte_and_leave_the_batch_empty() {
    let mut bytes = message(&[vec![named("up"), sample(1, 1.0)]]);
    bytes.truncate(bytes.len() - 4);
    let error = decode(&bytes).expect_err("cut");
    assert_eq!(error, IngestError::Malformed { offset: 2, what: "length points behind the end of the message" });
    // The label's value is a number: found only after a first series was taken.
    let good = vec![named("up"), sample(1, 1.0)];
    let bad = vec![vec![0x0a, 2, 0x10, 1]];
    let (mut decoder, mut batch) = (Decoder::new(Limits::default()), Batch::default());
    let error = decoder.decode(&HEAD, &pack(&message(&[good, bad])), &mut batch).expect_err("wrong type");
    assert!(matches!(error, IngestError::Malformed { what: "label names and values are strings", .. }), "{error}");
    assert_eq!((batch.n_series(), error.status()), (0, 400));
}

#[test]
fn a_2_0_message_under_the_1_0_type_is_not_taken_for_nothing() {
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, 4, b"");
    put_bytes(&mut bytes, 4, b"__name__");
    put_bytes(&mut bytes, 5, &[0x0a, 2, 0, 1]);
    assert_eq!(decode(&bytes).expect_err("2.0"), IngestError::LooksLikeV2);
}

#[test]
fn sixteen_million_empty_series_are_counted_and_refused() {
    let bytes: Vec<u8> = [0x0a, 0].into_iter().cycle().take(32 << 20).collect();
    let error = decode(&bytes).expect_err("too many");
    assert_eq!(error, IngestError::TooMany { what: "series", found: 16 << 20, limit: 100_000 });
    assert_eq!(error.status(), 400);
    let metadata: Vec<u8> = [0x1a, 0].into_iter().cycle().take(1 << 20).collect();
    assert_eq!(decode(&metadata).expect_err("too many").status(), 400);
}

#[test]
fn the_buffer_is_kept_between_requests() {
    let body = pack(&message(&[vec![named("up"), sample(1, 1.0)]]));
    let (mut decoder, mut batch) = (Decoder::new(Limits::default()), Batch::default());
    decoder.decode(&HEAD, &body, &mut batch).expect("valid");
    let held = decoder.buffer_bytes();
    decoder.decode(&HEAD, &body, &mut batch).expect("valid");
    assert_eq!((decoder.buffer_bytes(), batch.n_series()), (held, 1));
}

prop_compose! {
    fn a_series()(
        labels in proptest::collection::btree_map("[a-zé_]{1,12}", "[^\\x00]{0,12}", 0..6),
        metric in "[a-z_:]{1,12}",
        samples in proptest::collection::vec((any::<i64>(), any::<u64>()), 1..8),
    ) -> (Labels, Vec<(i64, u64)>) {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).filter(|(n, _)| *n != "__name__");
        (Labels::from_pairs(pairs.chain([("__name__", metric.as_str())])).expect("unique"), samples)
    }
}

fn batch_of(series: &[(Labels, Vec<(i64, u64)>)]) -> Batch {
    let mut batch = Batch::default();
    for (labels, samples) in series {
        batch.begin_labels(labels).expect("small");
        for &(at, bits) in samples {
            batch.push(Timestamp(at), f64::from_bits(bits));
        }
    }
    batch
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(series in proptest::collection::vec(a_series(), 0..8)) {
        let sent = batch_of(&series);
        let body = encode_write_request(&sent).expect("small");
        let mut got = Batch::default();
        let decoded = Decoder::new(Limits::default()).decode(&HEAD, &body, &mut got).expect("valid");
        prop_assert!(!decoded.is_partial());
        prop_assert_eq!(decoded.samples as usize, sent.n_samples());
        prop_assert_eq!(got.n_series(), series.len());
        for (one, (labels, samples)) in got.iter().zip(&series) {
            prop_assert_eq!(one.id, labels.id());
            prop_assert_eq!(one.labels, labels.as_ref());
            let bits: Vec<_> = one.timestamps.iter().copied().zip(one.values.iter().map(|v| v.to_bits())).collect();
            prop_assert_eq!(&bits, samples);
        }
    }

    #[test]
    fn random_bytes_never_panic_nor_pass_the_limits(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let limits = Limits { decoded_bytes: 4096, series: 10, samples: 20, ..Limits::default() };
        let (mut decoder, mut batch) = (Decoder::new(limits), Batch::default());
        for body in [&bytes[..], &pack(&bytes)] {
            let result = decoder.decode(&HEAD, body, &mut batch);
            prop_assert!(decoder.buffer_bytes() <= 4096);
            prop_assert!(batch.n_series() <= 10 && batch.n_samples() <= 20);
            match result {
                Ok(decoded) => prop_assert_eq!(decoded.samples as usize, batch.n_samples()),
                Err(error) => prop_assert!(matches!(error.status(), 400 | 413)),
            }
        }
    }

    #[test]
    fn damaged_messages_never_panic_and_stay_consistent(
        series in proptest::collection::vec(a_series(), 1..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode_message(&batch_of(&series), &mut bytes);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok((decoded, batch)) = decode(bytes) {
                prop_assert_eq!(decoded.samples as usize, batch.n_samples());
                prop_assert!(batch.n_series() <= series.len() * bytes.len());
                for one in batch.iter() {
                    prop_assert!(Labels::from_canonical(one.labels.canonical()).is_ok());
                }
            }
        }
    }
}
