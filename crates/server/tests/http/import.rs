//! Imports: text formats and messages, parameters, answers.

use axum::body::Body;
use axum::http::Request;
use series::{Batch, Timestamp};

use crate::Server;
use crate::fakes::{Mood, lock};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[tokio::test]
async fn both_text_formats_are_imported_with_their_units_of_time() {
    let server = Server::new();
    let text = "# TYPE a counter\na{l=\"x\"} 1 1000\na{l=\"x\"} 2 2000\nb 7\n";
    let uri = "/api/v1/import/prometheus?timestamp=3000&extra_label=job%3Dold&extra_label=zone%3Dz";
    let answer = server.post(uri, "text/plain", text).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    let answer = server.post("/prometheus/api/v1/import/prometheus", OPEN_METRICS, "c 1 4.5\n# EOF\n").await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let stored = lock(&server.world.stored);
    let shown: Vec<_> = stored.iter().map(|(labels, samples)| format!("{labels} {samples:?}")).collect();
    let wanted = [
        "a{job=\"old\", l=\"x\", zone=\"z\"} {1000: 1.0, 2000: 2.0}",
        "b{job=\"old\", zone=\"z\"} {3000: 7.0}",
        "c {4500: 1.0}",
    ];
    assert_eq!(shown, wanted);
}

#[tokio::test]
async fn what_cannot_be_read_is_told() {
    let server = Server::new();
    let send = async |uri: &str, content_type: &str, text: &'static [u8]| server.post(uri, content_type, text).await;
    let path = "/api/v1/import/prometheus";
    let partial = send(path, "text/plain", b"a 1\nb one\n").await;
    assert_eq!(partial.status, 400);
    assert!(partial.text().contains("1 samples refused, 1 written"), "{}", partial.text());
    assert!(partial.text().contains("line 2"), "{}", partial.text());
    let cut = send(path, OPEN_METRICS, b"a 1\n").await;
    assert_eq!((cut.status.as_u16(), cut.text().contains("# EOF")), (400, true), "{}", cut.text());
    assert_eq!(send(path, "text/plain", b"a \xff 1\n").await.status, 400);
    for params in ["timestamp=soon", "extra_label=job", "extra_label=%3Dx"] {
        assert_eq!(send(&format!("{path}?{params}"), "text/plain", b"a 1").await.status, 400, "{params}");
    }
    *lock(&server.world.mood) = Mood::SeriesLimit;
    assert_eq!(send(path, "text/plain", b"a 1").await.status, 429);
    *lock(&server.world.mood) = Mood::DiskFull;
    assert_eq!(send(path, "text/plain", b"a 1").await.status, 503);
}

#[tokio::test]
async fn a_write_request_is_imported_as_it_is() {
    let server = Server::new();
    let mut batch = Batch::default();
    batch.begin([("__name__", "up")]).expect("small");
    batch.push(Timestamp(1000), 1.0);
    let body = ingest::encode_write_request(&batch).expect("small");
    let request = Request::post("/api/v1/import/write")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .body(Body::from(body));
    let answer = server.send(request.expect("valid request")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    assert_eq!(lock(&server.world.stored).len(), 1);
    let bomb = server.post("/api/v1/import/write", "application/x-protobuf", b"\xff\xff\xff\xff\x0f".to_vec()).await;
    assert_eq!(bomb.status, 413);
}
