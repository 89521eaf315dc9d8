//! What the OpenTelemetry SDK for Python really sends (`recorded/record.py`), as series.

use ingest::{DeltaStreams, Limits, OtlpEncoding, OtlpOptions, OtlpOutcome, decode_otlp};
use series::{Batch, Timestamp};

const CUMULATIVE: &[u8] = include_bytes!("recorded/cumulative.pb");
const CUMULATIVE_JSON: &[u8] = include_bytes!("recorded/cumulative.json");
const DELTAS: [&[u8]; 2] = [include_bytes!("recorded/delta-1.pb"), include_bytes!("recorded/delta-2.pb")];
const OWN: &str = "instance=\"pod-1\", job=\"shop/checkout\"";

fn decode(encoding: OtlpEncoding, message: &[u8], delta: &DeltaStreams) -> (OtlpOutcome, Batch) {
    let options = OtlpOptions::default();
    let mut batch = Batch::default();
    let outcome = decode_otlp(encoding, message, &options, Timestamp(0), &Limits::default(), delta, &mut batch);
    (outcome.expect("the message is read"), batch)
}

/// Each series with its only value, in the order of the message.
fn shown(batch: &Batch) -> Vec<String> {
    let floats = batch.iter().filter(|s| !s.values.is_empty());
    floats.map(|s| format!("{} {}", s.labels, s.values[s.values.len() - 1])).collect()
}

fn wanted(times: f64) -> Vec<String> {
    let of = |labels: &str| if labels.is_empty() { OWN.to_owned() } else { format!("{labels}{OWN}") };
    let cart = "http_route=\"/cart\", ";
    let latency = |le: &str| format!("http_route=\"/cart\", instance=\"pod-1\", job=\"shop/checkout\", le=\"{le}\"");
    let line = |name: &str, labels: String, value: f64| format!("{name}{{{labels}}} {value}");
    vec![
        line("http_server_requests_total", format!("{}, ok=\"true\"", of(cart)), 5.0 * times),
        line("http_server_requests_total", format!("{}, ok=\"false\"", of("http_route=\"/pay\", ")), 2.0 * times),
        line("network_io_bytes_total", of(""), 1.5 * times),
        line("queue_length", of(""), -4.0 * times),
        line("cpu_utilization_ratio", of(""), 0.75),
        line("http_server_duration_milliseconds_bucket", format!("{}, ok=\"true\"", latency("10")), 2.0 * times),
        line("http_server_duration_milliseconds_bucket", format!("{}, ok=\"true\"", latency("100")), 3.0 * times),
        line("http_server_duration_milliseconds_bucket", format!("{}, ok=\"true\"", latency("+Inf")), 4.0 * times),
        line("http_server_duration_milliseconds_count", format!("{}, ok=\"true\"", of(cart)), 4.0 * times),
        line("http_server_duration_milliseconds_sum", format!("{}, ok=\"true\"", of(cart)), 565.0 * times),
        format!("target_info{{deployment_environment_name=\"test\", {OWN}, replicas=\"3\"}} 1"),
    ]
}

#[test]
fn a_cumulative_export_becomes_the_series_of_prometheus() {
    let (outcome, batch) = decode(OtlpEncoding::Protobuf, CUMULATIVE, &DeltaStreams::new(0));
    assert_eq!((outcome.points, outcome.points_refused), (7, 0), "{outcome}");
    assert_eq!(shown(&batch), wanted(1.0));
    let helps: Vec<_> = batch.metadata().iter().map(|family| (family.metric.as_str(), family.kind.as_str())).collect();
    assert!(helps.contains(&("http_server_requests_total", "counter")), "{helps:?}");
    let times: Vec<_> = batch.iter().flat_map(|s| s.timestamps.to_vec()).collect();
    assert!(times.iter().all(|at| *at == times[0] && *at > 1_700_000_000_000), "{times:?}");
}

#[test]
fn the_exponential_histogram_becomes_a_native_one() {
    let (_, batch) = decode(OtlpEncoding::Protobuf, CUMULATIVE, &DeltaStreams::new(0));
    let series = batch.iter().find(|s| !s.histograms.is_empty()).expect("one");
    assert_eq!(series.labels.to_string(), format!("http_client_duration_seconds{{{OWN}}}"));
    let native = &series.histograms[0].histogram;
    assert_eq!((native.schema, native.count, native.sum, native.zero_count), (3, 4.0, 5.5, 1.0));
    // 0.5, 1 and 4 are upper bounds of the buckets −8, 0 and 16 of schema 3.
    let buckets: Vec<_> = native.positive.iter().filter(|(_, count)| *count > 0.0).collect();
    assert_eq!(buckets, [(-8, 1.0), (0, 1.0), (16, 1.0)]);
}

#[test]
fn exemplars_lie_in_their_buckets() {
    let (_, batch) = decode(OtlpEncoding::Protobuf, CUMULATIVE, &DeltaStreams::new(0));
    let of = |le: &str| {
        let series = batch.iter().find(|s| s.labels.get("le") == Some(le)).expect("a bucket");
        series.exemplars.iter().map(|exemplar| exemplar.value).collect::<Vec<_>>()
    };
    let all: Vec<f64> = [of("10"), of("100"), of("+Inf")].concat();
    assert!(!all.is_empty() && of("10").iter().all(|value| *value <= 10.0), "{all:?}");
    assert!(of("+Inf").iter().all(|value| *value > 100.0), "{all:?}");
}

#[test]
fn json_says_the_same_as_protobuf() {
    let (outcome, batch) = decode(OtlpEncoding::Protobuf, CUMULATIVE, &DeltaStreams::new(0));
    let (json_outcome, json_batch) = decode(OtlpEncoding::Json, CUMULATIVE_JSON, &DeltaStreams::new(0));
    assert_eq!(json_outcome, outcome);
    let all = |batch: &Batch| batch.iter().map(|s| format!("{s:?} {}", s.labels)).collect::<Vec<_>>();
    assert_eq!(all(&json_batch), all(&batch));
    assert_eq!(json_batch.metadata(), batch.metadata());
}

#[test]
fn deltas_are_added_up_and_a_repeat_changes_nothing() {
    let delta = DeltaStreams::new(100);
    let (outcome, batch) = decode(OtlpEncoding::Protobuf, DELTAS[0], &delta);
    assert_eq!((outcome.points_refused, shown(&batch)), (0, wanted(1.0)), "{outcome}");
    for _ in 0..2 {
        let (_, batch) = decode(OtlpEncoding::Protobuf, DELTAS[1], &delta);
        let all = shown(&batch);
        // The up-and-down counter is cumulative in any case.
        let queue = all.iter().position(|line| line.starts_with("queue_length")).expect("there");
        let sums = wanted(2.0);
        assert!(all.iter().enumerate().all(|(i, line)| i == queue || *line == sums[i]), "{all:#?}");
        let series = batch.iter().find(|s| !s.histograms.is_empty()).expect("one");
        assert_eq!(series.histograms[0].histogram.count, 8.0);
    }
    let (outcome, _) = decode(OtlpEncoding::Protobuf, DELTAS[0], &delta);
    assert_eq!(outcome.refused[0].why, "a delta is older than the newest of its stream");
    let (outcome, batch) = decode(OtlpEncoding::Protobuf, DELTAS[0], &DeltaStreams::new(0));
    assert_eq!(outcome.refused[0].why, "more than 0 streams of deltas are added up");
    assert_eq!(outcome.points - outcome.points_refused, 2, "gauge and up-and-down counter: {:?}", shown(&batch));
}
