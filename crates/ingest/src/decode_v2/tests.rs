//! What is taken of 2.0, what is refused with which answer, and that no bytes make the decoder fall over.

use super::*;
use crate::decode::Decoder;
use crate::encode_v2::{encode_message_v2, encode_write_request_v2};
use crate::head::{CONTENT_TYPE_V2, RequestHead};
use crate::wire::{put_bytes, put_varint};
use proptest::prelude::*;
use series::{Exemplar, Histogram, Labels, STALE_NAN};

const HEAD: RequestHead<'static> =
    RequestHead { content_type: Some(CONTENT_TYPE_V2), content_encoding: Some("snappy"), version: Some("2.0.0") };

fn decode_with(limits: &Limits, message: &[u8]) -> Result<(Decoded, Batch), IngestError> {
    let mut batch = Batch::default();
    decode_message_v2(message, limits, &mut batch).map(|decoded| (decoded, batch))
}

fn decode(message: &[u8]) -> Result<(Decoded, Batch), IngestError> {
    decode_with(&Limits::default(), message)
}

fn packed(numbers: &[u64]) -> Vec<u8> {
    let (mut bytes, mut field) = (Vec::new(), Vec::new());
    numbers.iter().for_each(|&number| put_varint(&mut bytes, number));
    put_bytes(&mut field, 1, &bytes);
    field
}

fn sample(at: u64, value: f64) -> Vec<u8> {
    let (mut bytes, mut field) = (vec![0x09], Vec::new());
    bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    bytes.push(0x10);
    put_varint(&mut bytes, at);
    put_bytes(&mut field, 2, &bytes);
    field
}

fn request(symbols: &[&[u8]], series: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    symbols.iter().for_each(|symbol| put_bytes(&mut bytes, 4, symbol));
    series.iter().for_each(|parts| put_bytes(&mut bytes, 5, &parts.concat()));
    bytes
}

const SYMBOLS: [&[u8]; 6] = [b"", b"__name__", b"up", b"job", b"a", b"\xff"];

#[test]
fn symbols_become_labels_in_any_order_and_form() {
    let unpacked = [0x08, 3, 0x08, 4, 0x08, 1, 0x08, 2].to_vec();
    for refs in [packed(&[3, 4, 1, 2]), packed(&[1, 2, 3, 4]), unpacked, [packed(&[1, 2]), packed(&[3, 4])].concat()] {
        let (decoded, batch) = decode(&request(&SYMBOLS, &[vec![sample(7, 1.5), refs]])).expect("valid");
        assert_eq!((decoded.series, decoded.samples, decoded.is_partial()), (1, 1, false));
        assert_eq!(batch.series(0).labels.to_string(), "up{job=\"a\"}");
        assert_eq!((batch.series(0).timestamps, batch.series(0).values), (&[7][..], &[1.5][..]));
    }
    // Symbols may stand behind the series that use them.
    let mut late = request(&[], &[vec![packed(&[1, 2]), sample(1, 1.0)]]);
    late.extend(request(&SYMBOLS, &[]));
    assert_eq!(decode(&late).expect("valid").1.series(0).labels.to_string(), "up");
}

#[test]
fn a_bad_series_is_refused_and_its_neighbours_are_taken() {
    let limits = Limits { labels_per_series: 2, ..Limits::default() };
    let good = vec![packed(&[1, 2]), sample(1, 1.0)];
    for (refs, reason) in [
        (&[1, 2, 3][..], RefusalReason::OddReferences),
        (&[1, 2, 3, 6], RefusalReason::UnknownSymbol),
        (&[1, u64::MAX], RefusalReason::UnknownSymbol),
        (&[1, 2, 3, 5], RefusalReason::NotUtf8),
        (&[1, 2, 0, 4], RefusalReason::EmptyLabelName),
        (&[3, 4], RefusalReason::NoMetricName),
        (&[1, 0, 3, 4], RefusalReason::NoMetricName),
        (&[], RefusalReason::NoMetricName),
        (&[1, 2, 1, 4], RefusalReason::RepeatedLabelName),
        (&[1, 2, 3, 4, 4, 4, 2, 2, 2, 2], RefusalReason::TooManyLabels { limit: 2 }),
    ] {
        let bad = vec![packed(refs), sample(1, 1.0), sample(2, 2.0), vec![0x1a, 0]];
        let (decoded, batch) =
            decode_with(&limits, &request(&SYMBOLS, &[good.clone(), bad, good.clone()])).expect("readable");
        assert_eq!((batch.n_series(), batch.n_samples()), (2, 2), "{reason}");
        assert_eq!(decoded.refused.len(), 1, "{reason}");
        let refusal = &decoded.refused[0];
        assert_eq!((refusal.reason, refusal.series, refusal.samples), (reason, 1, 3));
    }
    let (decoded, _) = decode(&request(&SYMBOLS, &[vec![packed(&[3, 4, 1, 9, 5]), sample(1, 1.0)]])).expect("readable");
    assert_eq!(decoded.refused[0].example, "{\"job\"=\"a\", \"__name__\"=(symbol 9 of 6), (not UTF-8)}");
}

#[test]
fn start_timestamps_and_odd_values_pass() {
    let mut with_start = vec![0x12, 13, 0x09];
    with_start.extend_from_slice(&STALE_NAN.to_bits().to_le_bytes());
    with_start.extend([0x10, 9, 0x18, 5]);
    let (_, batch) = decode(&request(&SYMBOLS, &[vec![packed(&[1, 2]), with_start]])).expect("valid");
    assert_eq!((batch.series(0).timestamps, batch.series(0).values[0].to_bits()), (&[9][..], STALE_NAN.to_bits()));
    assert_eq!(starts(&batch, 0), [(9, 5)]);
}

fn starts(batch: &Batch, i: usize) -> Vec<(i64, i64)> {
    batch.series(i).starts.iter().map(|one| (one.at.0, one.start.0)).collect()
}

#[test]
fn a_start_comes_with_the_series_or_with_the_sample_and_never_with_a_gauge() {
    let created = vec![0x30, 5];
    let mut own = vec![0x12, 13, 0x09];
    own.extend_from_slice(&1.0_f64.to_bits().to_le_bytes());
    own.extend([0x10, 9, 0x18, 7]);
    let kind = |kind: u8| vec![0x2a, 2, 0x08, kind];
    let histogram = vec![0x1a, 2, 0x78, 11];
    let own_histogram = vec![0x1a, 5, 0x78, 12, 0x88, 1, 8];
    let series =
        |parts: &[&Vec<u8>]| std::iter::once(packed(&[1, 2])).chain(parts.iter().map(|&p| p.clone())).collect();
    let (_, batch) = decode(&request(
        &SYMBOLS,
        &[
            series(&[&sample(6, 1.0), &own, &created]),
            series(&[&own, &created, &kind(1)]),
            series(&[&own, &created, &kind(2)]),
            series(&[&histogram, &own_histogram, &created]),
            series(&[&sample(6, 1.0)]),
        ],
    ))
    .expect("valid");
    let found: Vec<_> = (0..5).map(|i| starts(&batch, i)).collect();
    assert_eq!(found, [vec![(6, 5), (9, 7)], vec![(9, 7)], vec![], vec![(11, 5), (12, 8)], vec![]]);
}

#[test]
fn starts_come_back_as_they_were_sent() {
    let mut batch = Batch::default();
    batch.begin([("__name__", "a_total")]).expect("small");
    batch.push(Timestamp(10), 3.0);
    batch.push_start(Timestamp(10), Timestamp(4));
    batch.begin([("__name__", "b")]).expect("small");
    batch.push_histogram(Timestamp(20), Histogram::default());
    batch.push_start(Timestamp(20), Timestamp(6));
    let mut message = Vec::new();
    encode_message_v2(&batch, &mut message);
    let (_, back) = decode(&message).expect("valid");
    assert_eq!([starts(&back, 0), starts(&back, 1)], [[(10, 4)], [(20, 6)]]);
}

#[test]
fn metadata_is_taken_once_and_for_the_family() {
    let metadata = |kind: u8, help: u8, unit: u8| vec![0x2a, 6, 0x08, kind, 0x18, help, 0x20, unit];
    let symbols: [&[u8]; 6] = [b"", b"__name__", b"took_seconds_bucket", b"How long.", b"seconds", b"took_seconds_sum"];
    let series = |metric: u64, parts: Vec<u8>| vec![packed(&[1, metric]), sample(1, 1.0), parts];
    let (decoded, batch) = decode(&request(
        &symbols,
        &[
            series(2, metadata(3, 3, 4)),
            series(2, metadata(3, 3, 4)),
            series(5, metadata(1, 3, 9)),
            series(5, metadata(0, 0, 0)),
        ],
    ))
    .expect("valid");
    assert_eq!((decoded.metadata, decoded.metadata_skipped), (1, 1));
    let expected = Metadata {
        metric: "took_seconds".into(),
        kind: MetricType::Histogram,
        help: "How long.".into(),
        unit: "seconds".into(),
    };
    assert_eq!(batch.metadata(), [expected]);
    assert_eq!(family("a_total", MetricType::Counter), "a_total");
    assert_eq!(family("a_sum", MetricType::Summary), "a");
}

#[test]
fn an_empty_request_is_fine_and_a_1_0_message_is_not() {
    let (decoded, batch) = decode(b"").expect("an empty request");
    assert_eq!((decoded, batch.n_series()), (Decoded::default(), 0));
    let mut v1 = Vec::new();
    put_bytes(&mut v1, 1, b"");
    let error = decode(&v1).expect_err("1.0");
    assert_eq!((error.status(), error), (400, IngestError::LooksLikeV1));
}

#[test]
fn floods_are_counted_and_refused() {
    let limits = Limits { symbols: 10, series: 3, ..Limits::default() };
    let symbols: Vec<u8> = [0x22, 0].repeat(11);
    let series: Vec<u8> = [0x2a, 0].repeat(4);
    for (bytes, what, found, limit) in [(symbols, "symbols", 11, 10), (series, "series", 4, 3)] {
        let error = decode_with(&limits, &bytes).expect_err("too many");
        assert_eq!(error, IngestError::TooMany { what, found, limit });
    }
    // A million references in one series are read and not kept.
    let refs = vec![0_u64; 1_000_000];
    let (decoded, _) = decode(&request(&SYMBOLS, &[vec![packed(&refs), sample(1, 1.0)]])).expect("readable");
    assert_eq!(decoded.refused[0].reason, RefusalReason::EmptyLabelName);
}

prop_compose! {
    fn a_series()(
        labels in proptest::collection::btree_map("[a-zé_]{1,8}", "[^\\x00]{0,8}", 0..4),
        metric in "[a-z_:]{1,8}",
        samples in proptest::collection::vec((any::<i64>(), any::<u64>()), 1..6),
        histograms in proptest::collection::vec((any::<i64>(), 0_u32..9), 0..3),
        traces in proptest::collection::vec((any::<i64>(), "[a-z]{1,9}"), 0..3),
    ) -> Batch {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).filter(|(n, _)| *n != "__name__");
        let labels = Labels::from_pairs(pairs.chain([("__name__", metric.as_str())])).expect("unique");
        let mut batch = Batch::default();
        batch.begin_labels(&labels).expect("small");
        for (at, bits) in samples {
            batch.push(Timestamp(at), f64::from_bits(bits));
        }
        for (at, count) in histograms {
            let zero_count = f64::from(count);
            batch.push_histogram(Timestamp(at), Histogram { count: zero_count, zero_count, ..Histogram::default() });
        }
        for (at, trace) in traces {
            let labels = Labels::from_pairs([("trace_id", trace)]).expect("valid");
            batch.push_exemplar(Exemplar { labels, value: 0.5, at: Timestamp(at) });
        }
        batch
    }
}

fn together(parts: &[Batch]) -> Batch {
    let mut batch = Batch::default();
    for series in parts.iter().flat_map(Batch::iter) {
        batch.begin_labels(&series.labels.to_owned()).expect("small");
        series.timestamps.iter().zip(series.values).for_each(|(&at, &value)| batch.push(Timestamp(at), value));
        series.histograms.iter().for_each(|item| batch.push_histogram(item.at, item.histogram.clone()));
        series.exemplars.iter().for_each(|exemplar| batch.push_exemplar(exemplar.clone()));
    }
    batch
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(parts in proptest::collection::vec(a_series(), 0..6)) {
        let sent = together(&parts);
        let body = encode_write_request_v2(&sent).expect("small");
        let mut got = Batch::default();
        let decoded = Decoder::new(Limits::default()).decode(&HEAD, &body, &mut got).expect("valid");
        prop_assert!(!decoded.is_partial());
        let counts = (decoded.samples, decoded.histograms, decoded.exemplars, decoded.exemplars_skipped);
        let expected = (sent.n_samples() as u64, sent.n_histograms() as u64, sent.n_exemplars() as u64, 0);
        prop_assert_eq!(counts, expected);
        prop_assert_eq!(got.n_series(), sent.n_series());
        for (got, sent) in got.iter().zip(sent.iter()) {
            prop_assert_eq!((got.id, got.timestamps), (sent.id, sent.timestamps));
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(got.values), bits(sent.values));
            prop_assert_eq!((got.histograms, got.exemplars), (sent.histograms, sent.exemplars));
        }
    }

    #[test]
    fn random_bytes_never_panic_nor_pass_the_limits(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let limits = Limits { series: 10, samples: 20, histograms: 5, exemplars: 5, symbols: 8, ..Limits::default() };
        match decode_with(&limits, &bytes) {
            Ok((decoded, batch)) => {
                prop_assert!(batch.n_series() <= 10 && batch.n_samples() <= 20 && batch.n_histograms() <= 5);
                prop_assert_eq!(decoded.samples as usize, batch.n_samples());
            }
            Err(error) => prop_assert_eq!(error.status(), 400),
        }
    }

    #[test]
    fn damaged_messages_never_panic_and_stay_consistent(
        parts in proptest::collection::vec(a_series(), 1..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode_message_v2(&together(&parts), &mut bytes);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok((decoded, batch)) = decode(bytes) {
                prop_assert_eq!(decoded.histograms as usize, batch.n_histograms());
                for one in batch.iter() {
                    prop_assert!(Labels::from_canonical(one.labels.canonical()).is_ok());
                }
            }
        }
    }
}
