//! OTLP by example and by accident: odd values, names, bombs, arbitrary bytes.

use proptest::prelude::*;
use series::{METRIC_NAME, is_stale};

use super::*;
use crate::wire::{put_bytes, put_varint};

const NS: &str = "1700000000000000000";

fn decode_with(options: &OtlpOptions, text: &str) -> Result<(OtlpOutcome, Batch), IngestError> {
    let (mut batch, delta) = (Batch::default(), DeltaStreams::new(100));
    let now = Timestamp(1_700_000_000_000);
    let read = |delta: &_, batch: &mut _| {
        decode_otlp(OtlpEncoding::Json, text.as_bytes(), options, now, &Limits::default(), delta, batch)
    };
    read(&delta, &mut batch).map(|outcome| (outcome, batch))
}

fn decode(text: &str) -> (OtlpOutcome, Batch) {
    decode_with(&OtlpOptions::default(), text).expect("the message is read")
}

/// A message with one metric.
fn metric(resource: &str, metric: &str) -> String {
    format!(
        r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"scope": {{"name": "lib", "version": "1"}}, "metrics": [{metric}]}}],
             "resource": {{"attributes": [{resource}]}}}}], "unknown": {{}}}}"#
    )
}

fn gauge(name: &str, points: &str) -> String {
    metric("", &format!(r#"{{"name": "{name}", "gauge": {{"dataPoints": [{points}]}}}}"#))
}

fn shown(batch: &Batch) -> Vec<String> {
    batch.iter().map(|s| format!("{} {:?} {:?}", s.labels, s.timestamps, s.values)).collect()
}

#[test]
fn values_and_attributes_of_all_kinds() {
    let text = gauge(
        "g",
        &format!(
            r#"{{"timeUnixNano": "{NS}", "asDouble": "NaN"}}, {{"timeUnixNano": {NS}, "asInt": "-7"}},
               {{"timeUnixNano": "{NS}", "asDouble": 1, "attributes": [
                 {{"key": "a.text", "value": {{"stringValue": "x\ny"}}}}, {{"key": "a/text", "value": {{"intValue": 5}}}},
                 {{"key": "flag", "value": {{"boolValue": false}}}}, {{"key": "ratio", "value": {{"doubleValue": 0.5}}}},
                 {{"key": "list", "value": {{"arrayValue": {{"values": [{{"intValue": "1"}}, {{"stringValue": "b"}}]}}}}}},
                 {{"key": "map", "value": {{"kvlistValue": {{"values": [{{"key": "k", "value": {{"boolValue": true}}}}]}}}}}},
                 {{"key": "none"}}, {{"key": "nil", "value": null}}]}}"#
        ),
    );
    let (outcome, batch) = decode(&text);
    assert_eq!((outcome.points, outcome.points_refused), (3, 0), "{outcome}");
    assert!(batch.series(0).values[0].is_nan());
    assert_eq!(batch.series(1).values, [-7.0]);
    let labels = batch.series(2).labels;
    for (name, value) in [
        ("a_text", Some("x\ny;5")),
        ("flag", Some("false")),
        ("ratio", Some("0.5")),
        ("list", Some("[1,\"b\"]")),
        ("map", Some("{\"k\":true}")),
        ("none", None),
        ("nil", None),
    ] {
        assert_eq!(labels.get(name), value, "{name}");
    }
}

#[test]
fn resources_name_the_target_and_describe_it() {
    let resource = r#"{"key": "service.name", "value": {"stringValue": "web"}},
                      {"key": "k8s.pod.name", "value": {"stringValue": "web-1"}}"#;
    let point = format!(
        r#"{{"name": "g", "gauge": {{"dataPoints": [{{"timeUnixNano": "{NS}", "asInt": "1",
        "attributes": [{{"key": "job", "value": {{"stringValue": "mine"}}}}]}}]}}}}"#
    );
    let text = metric(resource, &point);
    let (_, batch) = decode(&text);
    let at = 1_700_000_000_000_i64;
    let info = format!("target_info{{job=\"web\", k8s_pod_name=\"web-1\"}} [{at}] [1.0]");
    assert_eq!(shown(&batch), [format!("g{{job=\"web\"}} [{at}] [1.0]"), info]);
    let options = OtlpOptions { naming: Naming::Utf8, promote: vec!["k8s.pod.name".into()], scope_labels: true };
    let (_, batch) = decode_with(&options, &text).expect("read");
    let labels = batch.series(0).labels;
    assert_eq!((labels.get("k8s.pod.name"), labels.get("otel_scope_name")), (Some("web-1"), Some("lib")));
    let (_, batch) = decode(&metric("", &point));
    assert_eq!(batch.n_series(), 1, "nobody to describe");
}

#[test]
fn points_that_cannot_be_stored_are_refused_alone_with_their_reason() {
    let fine = format!(r#"{{"timeUnixNano": "{NS}", "asInt": 1}}"#);
    for (kind, point, why) in [
        ("gauge", r#"{"asInt": 1}"#.to_owned(), "a point has no time"),
        ("gauge", format!(r#"{{"timeUnixNano": "{NS}"}}"#), "a point has no value"),
        ("sum", fine.clone(), "the aggregation temporality is not specified"),
        (
            "histogram",
            format!(r#"{{"timeUnixNano": "{NS}", "count": 3, "bucketCounts": [1, 2], "explicitBounds": [1, 2]}}"#),
            "a histogram's counts do not fit its bounds",
        ),
        (
            "histogram",
            format!(r#"{{"timeUnixNano": "{NS}", "count": 3, "bucketCounts": [1, 1, 1], "explicitBounds": [2, 1]}}"#),
            "a histogram's bounds do not rise",
        ),
        (
            "exponentialHistogram",
            format!(r#"{{"timeUnixNano": "{NS}", "count": 3, "scale": -9}}"#),
            "scale -9 is coarser than native histograms can be (-4)",
        ),
        (
            "gauge",
            format!(
                r#"{{"timeUnixNano": "{NS}", "asInt": 1, "attributes": [{{"key": "l", "value": {{"stringValue": "{}"}}}}]}}"#,
                "x".repeat(5000)
            ),
            "a label value has more than 4096 bytes (setting labels.value_bytes)",
        ),
    ] {
        let other = format!(r#"{{"name": "fine", "gauge": {{"dataPoints": [{fine}]}}}}"#);
        let bad = format!(r#"{other}, {{"name": "bad", "{kind}": {{"dataPoints": [{point}]}}}}"#);
        let (outcome, batch) = decode(&metric("", &bad));
        assert_eq!((outcome.points, outcome.points_refused), (2, 1), "{kind} {why}");
        let refused = PointRefusal { why: why.into(), points: 1, metric: "bad".into() };
        assert_eq!(outcome.refused, [refused], "{kind}");
        assert_eq!(batch.n_samples(), 1, "{kind} {why}");
        assert!(outcome.to_string().contains(why), "{outcome}");
    }
}

#[test]
fn summaries_markers_and_zeros_before_deltas() {
    let summary = format!(
        r#"{{"name": "s", "summary": {{"dataPoints": [{{"timeUnixNano": "{NS}", "count": "3", "sum": 1.5,
            "quantileValues": [{{"quantile": 0.5, "value": 0.4}}, {{"quantile": 1, "value": 1}}]}}]}}}}"#
    );
    let stale = format!(r#"{{"name": "g", "gauge": {{"dataPoints": [{{"timeUnixNano": "{NS}", "flags": 1}}]}}}}"#);
    let delta = r#"{"name": "c", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "isMonotonic": true,
        "dataPoints": [{"startTimeUnixNano": "1699999990000000000", "timeUnixNano": "1700000000000000000", "asInt": 4}]}}"#;
    let (_, batch) = decode(&metric("", &format!("{summary}, {stale}, {delta}")));
    let values: Vec<_> = batch.iter().map(|s| (s.labels.to_string(), s.timestamps[0], s.values[0])).collect();
    let at = 1_700_000_000_000;
    assert_eq!(values[0], ("s{quantile=\"0.5\"}".to_owned(), at, 0.4));
    assert_eq!(values[1], ("s{quantile=\"1\"}".to_owned(), at, 1.0));
    assert_eq!((&values[2], &values[3]), (&("s_count".to_owned(), at, 3.0), &("s_sum".to_owned(), at, 1.5)));
    assert!(values[4].0 == "g" && is_stale(values[4].2), "{:?}", values[4]);
    assert_eq!(values[5], ("c_total".to_owned(), 1_699_999_990_001, 0.0));
    assert_eq!(values[6], ("c_total".to_owned(), at, 4.0));
}

#[test]
fn malformed_messages_are_refused_as_a_whole_and_change_no_totals() {
    for text in ["", "[]", "{\"resourceMetrics\": {}}", "{\"resourceMetrics\": [1]}", "{\"resourceMetrics\": [{]}"] {
        let err = decode_with(&OtlpOptions::default(), text).expect_err("malformed");
        assert_eq!(err.status(), 400, "{text}: {err}");
    }
    let err = decode_with(&OtlpOptions::default(), &gauge("g", r#"{"timeUnixNano": "soon"}"#)).expect_err("no time");
    assert!(err.to_string().contains("unsigned 64-bit"), "{err}");
    let (mut batch, delta) = (Batch::default(), DeltaStreams::new(9));
    let point = r#"{"timeUnixNano": "1", "asInt": 4}"#;
    let sum = |points: &str| {
        let sum = format!(r#"{{"aggregationTemporality": 1, "dataPoints": [{points}]}}"#);
        metric("", &format!(r#"{{"name": "c", "sum": {sum}}}"#))
    };
    let options = OtlpOptions::default();
    for text in [sum(&format!("{point}, {{\"asInt\": true}}")), sum(point)] {
        let limits = Limits::default();
        let read =
            decode_otlp(OtlpEncoding::Json, text.as_bytes(), &options, Timestamp(0), &limits, &delta, &mut batch);
        assert_eq!(delta.len(), usize::from(read.is_ok()));
    }
}

/// Nested messages: field numbers from the outside in, with `inner` repeated.
fn nested(path: &[u32], inner: &[u8], times: usize) -> Vec<u8> {
    let mut message = Vec::new();
    let (last, before) = path.split_last().expect("a path");
    (0..times).for_each(|_| put_bytes(&mut message, *last, inner));
    for number in before.iter().rev() {
        let mut outer = Vec::new();
        put_bytes(&mut outer, *number, &message);
        message = outer;
    }
    message
}

#[test]
fn many_empty_things_are_counted_and_refused() {
    let limits = Limits::default();
    let read = |message: &[u8]| {
        let (mut batch, delta) = (Batch::default(), DeltaStreams::new(9));
        let options = OtlpOptions::default();
        decode_otlp(OtlpEncoding::Protobuf, message, &options, Timestamp(0), &limits, &delta, &mut batch)
    };
    let points = nested(&[1, 2, 2, 5, 1], b"", 15_000_000);
    let error = read(&points).expect_err("15 million points");
    assert_eq!(error, IngestError::TooMany { what: "data points", found: 15_000_000, limit: 1_000_000 });
    let attributes = nested(&[1, 2, 2, 5, 1, 7], b"", 3_000_000);
    assert!(read(&attributes).expect_err("many").to_string().contains("1024 attributes"));
    let quantiles = nested(&[1, 2, 2, 11, 1, 6], b"", 3_000_000);
    assert!(read(&quantiles).expect_err("many").to_string().contains("1024 quantiles"));
    let mut packed = Vec::new();
    put_bytes(&mut packed, 2, &vec![0; 3_000_000]);
    let buckets = nested(&[1, 2, 2, 10, 1, 8], &packed, 1);
    assert!(read(&buckets).expect_err("many").to_string().contains("10000 buckets"));
    let exemplars = nested(&[1, 2, 2, 5, 1, 5], b"", 3_000_000);
    assert_eq!(read(&exemplars).expect("exemplars are hints").points_refused, 1);
    let mut value = Vec::new();
    put_varint(&mut value, 1 << 3);
    for _ in 0..60 {
        let mut list = Vec::new();
        put_bytes(&mut list, 1, &value);
        value.clear();
        put_bytes(&mut value, 5, &list);
    }
    let deep = nested(&[1, 1, 1, 2], &value, 1);
    assert!(read(&deep).expect_err("deep").to_string().contains("nested too deeply"));
    let text = format!("{{\"resourceMetrics\": [{}1]}}", "{},".repeat(1_000_000));
    assert_eq!(decode_with(&OtlpOptions::default(), &text).expect_err("the last one").status(), 400);
    let deep = "[".repeat(200_000);
    assert_eq!(decode_with(&OtlpOptions::default(), &format!("{{\"a\": {deep}")).expect_err("deep").status(), 400);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(message in prop::collection::vec(any::<u8>(), 0..200), json: bool) {
        let (mut batch, delta) = (Batch::default(), DeltaStreams::new(9));
        let encoding = if json { OtlpEncoding::Json } else { OtlpEncoding::Protobuf };
        let options = OtlpOptions::default();
        let _ = decode_otlp(encoding, &message, &options, Timestamp(0), &Limits::default(), &delta, &mut batch);
    }

    #[test]
    fn a_flipped_byte_of_a_real_message_is_read_without_a_panic(at in 0_usize..1041, byte: u8) {
        let mut message = include_bytes!("../../tests/recorded/delta-1.pb").to_vec();
        let at = at % message.len();
        message[at] = byte;
        let (mut batch, delta) = (Batch::default(), DeltaStreams::new(9));
        let options = OtlpOptions::default();
        let read = decode_otlp(
            OtlpEncoding::Protobuf, &message, &options, Timestamp(0), &Limits::default(), &delta, &mut batch,
        );
        if read.is_ok() {
            for series in batch.iter() {
                prop_assert!(series.labels.get(METRIC_NAME).is_some());
                prop_assert!(series.histograms.iter().all(|sample| sample.histogram.check().is_ok()));
            }
        }
    }
}
