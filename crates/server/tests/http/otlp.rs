//! OpenTelemetry: both encodings over HTTP, gRPC on the same router, partial success, errors in the sender's encoding.

use std::io::Write;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::Server;
use crate::fakes::{Mood, NOW, lock};

const RECORDED: &[u8] = include_bytes!("../../../ingest/tests/recorded/cumulative.pb");
const RECORDED_JSON: &[u8] = include_bytes!("../../../ingest/tests/recorded/cumulative.json");
const PROTOBUF: &str = "application/x-protobuf";
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

fn point(metric: &str) -> String {
    let point = json!({ "timeUnixNano": format!("{}000000", NOW.0), "asDouble": 1.5 });
    let metrics = json!([{ "name": metric, "gauge": { "dataPoints": [point, { "asInt": 1 }] } }]);
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] }).to_string()
}

#[tokio::test]
async fn both_encodings_and_both_paths_are_taken() {
    for (uri, content_type, body) in [
        ("/v1/metrics", PROTOBUF, RECORDED),
        ("/api/v1/otlp/v1/metrics", "application/json", RECORDED_JSON),
        ("/prometheus/api/v1/otlp/v1/metrics", PROTOBUF, RECORDED),
    ] {
        let server = Server::new();
        let answer = server.post(uri, content_type, body).await;
        let empty = if content_type == PROTOBUF { "" } else { "{}" };
        assert_eq!((answer.status.as_u16(), answer.text()), (200, empty), "{uri}");
        assert_eq!(answer.header("content-type"), content_type, "{uri}");
        let names: Vec<_> = lock(&server.world.stored).keys().map(|labels| labels.metric().to_owned()).collect();
        for name in ["http_server_requests_total", "http_server_duration_milliseconds_bucket", "target_info"] {
            assert!(names.iter().any(|found| found == name), "{uri}: {name} is not among {names:?}");
        }
    }
}

#[tokio::test]
async fn what_is_refused_is_told_as_partial_success() {
    let server = Server::new();
    let answer = server.post("/v1/metrics", "application/json", point("g")).await;
    assert_eq!(answer.status, 200);
    let partial =
        json!({ "rejectedDataPoints": "1", "errorMessage": "1 points refused: a point has no time (first of g)" });
    assert_eq!(answer.json(), json!({ "partialSuccess": partial }));
    *lock(&server.world.mood) = Mood::TooOld;
    let answer = server.post("/v1/metrics", "application/json", RECORDED_JSON).await;
    let message = answer.json()["partialSuccess"]["errorMessage"].as_str().map(str::to_owned).unwrap_or_default();
    assert!(message.contains("older than the out-of-order window of 2h"), "{message}");
    let metrics = server.get("/metrics").await;
    assert!(metrics.text().contains("foretide_intake_refused_samples_total{protocol=\"otlp\"}"), "{}", metrics.text());
}

#[tokio::test]
async fn errors_are_statuses_in_the_encoding_of_the_request() {
    let server = Server::new();
    let answer = server.post("/v1/metrics", "application/json", "{\"resourceMetrics\": [").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (400, json!(3)));
    let answer = server.post("/v1/metrics", PROTOBUF, b"\x0a\xff".to_vec()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..2]), (400, &b"\x08\x03"[..]));
    assert_eq!(server.post("/v1/metrics", "text/plain", "x").await.status, 415);
    for (mood, status, retry_after) in [(Mood::Overloaded, 503, "1"), (Mood::DiskFull, 503, "30")] {
        *lock(&server.world.mood) = mood;
        let answer = server.post("/v1/metrics", "application/json", point("g")).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after));
        assert_eq!(answer.json()["code"], 14, "{mood:?}");
    }
}

#[tokio::test]
async fn gzip_is_unpacked_within_the_bound() {
    let server = Server::new();
    let send = async |plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain).expect("memory");
        let request = Request::post("/v1/metrics").header("content-type", PROTOBUF).header("content-encoding", "gzip");
        server.send(request.body(Body::from(packed.finish().expect("memory"))).expect("valid request")).await
    };
    assert_eq!(send(RECORDED).await.status, 200);
    assert_eq!(send(&vec![0; 40 << 20]).await.status, 413);
    let metrics = server.get("/metrics").await;
    let line = "foretide_intake_refused_requests_total{protocol=\"otlp\",reason=\"bomb\"} 1\n";
    assert!(metrics.text().contains(line), "{}", metrics.text());
}

/// Sends a gRPC request; its status, its message and the answer's bytes behind the frame's head.
async fn grpc(server: &Server, encoding: Option<&str>, flag: u8, message: &[u8]) -> (String, String, Vec<u8>) {
    let mut body = vec![flag];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    let mut request = Request::post(EXPORT).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(Body::from(body)).expect("valid request");
    let answer = server.router.clone().oneshot(request).await.expect("the router never fails");
    assert_eq!(answer.status(), 200, "gRPC has its own status");
    let (head, body) = answer.into_parts();
    let collected = body.collect().await.expect("a whole body");
    let trailers = collected.trailers().cloned().unwrap_or_else(|| head.headers.clone());
    let text = |name: &str| trailers.get(name).map_or("", |value| value.to_str().expect("ASCII")).to_owned();
    let bytes = collected.to_bytes();
    (text("grpc-status"), text("grpc-message"), bytes.get(5..).unwrap_or_default().to_vec())
}

#[tokio::test]
async fn grpc_is_answered_on_the_same_router() {
    let server = Server::new();
    assert_eq!(grpc(&server, None, 0, RECORDED).await, ("0".into(), String::new(), Vec::new()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(RECORDED).expect("memory");
    assert_eq!(grpc(&server, Some("gzip"), 1, &packed.finish().expect("memory")).await.0, "0");
    let n_series = lock(&server.world.stored).len();
    assert!(n_series > 10, "{n_series}");
    *lock(&server.world.mood) = Mood::TooOld;
    let (status, _, partial) = grpc(&server, None, 0, RECORDED).await;
    assert_eq!((status.as_str(), partial[0]), ("0", 0x0a), "partial success");
}

#[tokio::test]
async fn grpc_errors_have_their_codes_and_are_counted() {
    let server = Server::new();
    assert_eq!(grpc(&server, None, 0, b"\x0a\xff").await.0, "3");
    assert_eq!(grpc(&server, Some("snappy"), 1, RECORDED).await.0, "12");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 40 << 20]).expect("memory");
    assert_eq!(grpc(&server, Some("gzip"), 1, &packed.finish().expect("memory")).await.0, "8");
    *lock(&server.world.mood) = Mood::Overloaded;
    let (status, message, _) = grpc(&server, None, 0, RECORDED).await;
    assert_eq!(status, "14", "{message}");
    assert_eq!(server.post(EXPORT, "application/json", "{}").await.status, 415);
    let metrics = server.get("/metrics").await;
    for reason in ["malformed", "content_encoding", "bomb"] {
        let line = format!("foretide_intake_refused_requests_total{{protocol=\"otlp\",reason=\"{reason}\"}} 1\n");
        assert!(metrics.text().contains(&line), "{line} is not among {}", metrics.text());
    }
}

#[tokio::test]
async fn deltas_of_two_requests_are_one_counter() {
    let server = Server::new();
    let body = |ago_s: i64, value: i64| {
        let at = |s: i64| format!("{}000000", NOW.0 - s * 1000);
        let point =
            json!({ "startTimeUnixNano": at(ago_s + 10), "timeUnixNano": at(ago_s), "asInt": value.to_string() });
        let sum = json!({ "aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point] });
        let metrics = json!([{ "name": "jobs", "sum": sum }]);
        json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] }).to_string()
    };
    for (ago_s, value) in [(20, 5), (10, 3), (10, 3), (0, 4)] {
        assert_eq!(server.post("/v1/metrics", "application/json", body(ago_s, value)).await.text(), "{}");
    }
    let values: Vec<f64> = lock(&server.world.stored).values().flat_map(|samples| samples.values().copied()).collect();
    assert_eq!(values, [0.0, 5.0, 8.0, 12.0]);
    let found: Value = server.get(&format!("/api/v1/query?query=jobs_total&time={}", NOW.0 / 1000)).await.json();
    assert_eq!(found["data"]["result"][0]["value"][1], "12");
}
