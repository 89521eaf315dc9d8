//! Remote write: what senders are told in each case.

use axum::body::Body;
use axum::http::Request;
use series::{Batch, Timestamp};

use crate::fakes::{HOSTILE, Mood, lock};
use crate::{Answer, Server};

fn message(job: &str) -> Vec<u8> {
    let mut batch = Batch::default();
    batch.begin([("__name__", "up"), ("job", job)]).expect("small");
    batch.push(Timestamp(1000), 1.0);
    batch.push(Timestamp(2000), 2.0);
    ingest::encode_write_request(&batch).expect("small")
}

async fn write(server: &Server, body: Vec<u8>) -> Answer {
    let request = Request::post("/api/v1/write")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .header("content-length", body.len())
        .body(Body::from(body));
    server.send(request.expect("valid request")).await
}

#[tokio::test]
async fn samples_are_durable_before_the_204_and_can_be_queried() {
    let server = Server::new();
    let answer = write(&server, message(HOSTILE)).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, ""));
    let found = server.get("/api/v1/query?query=up&time=2").await.json();
    assert_eq!(found["data"]["result"][0]["metric"]["job"], HOSTILE);
    let metrics = server.get("/metrics").await;
    assert!(metrics.text().contains("foretide_write_samples_total 2\n"), "{}", metrics.text());
}

#[tokio::test]
async fn both_paths_and_the_prefix_take_writes() {
    let server = Server::new();
    for path in ["/api/v1/push", "/prometheus/api/v1/write"] {
        let request =
            Request::post(path).header("content-type", "application/x-protobuf").header("content-encoding", "snappy");
        let answer = server.send(request.body(Body::from(message("a"))).expect("valid request")).await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_partial_write_is_a_400_with_counts_reasons_and_an_example() {
    let server = Server::new();
    *lock(&server.world.mood) = Mood::TooOld;
    let answer = write(&server, message("a")).await;
    assert_eq!(answer.status, 400);
    let line = "1 samples refused, 1 written: 1 older than the out-of-order window of 2h (e.g. old{a=\"b\"})";
    assert_eq!(answer.text(), line);
}

#[tokio::test]
async fn the_series_limit_is_429_and_our_own_trouble_never() {
    let server = Server::new();
    for (mood, status, retry_after) in [
        (Mood::SeriesLimit, 429, "60"),
        (Mood::DiskFull, 503, "30"),
        (Mood::Overloaded, 503, "1"),
        (Mood::LogFails, 500, "5"),
    ] {
        *lock(&server.world.mood) = mood;
        let answer = write(&server, message("a")).await;
        assert_eq!(answer.status, status, "{mood:?}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), retry_after, "{mood:?}");
        assert!(!answer.text().is_empty(), "{mood:?}");
    }
}

#[tokio::test]
async fn a_panic_in_a_part_is_a_500_and_the_next_request_works() {
    let server = Server::new();
    *lock(&server.world.mood) = Mood::Panics;
    let answer = write(&server, message("a")).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"]["code"], "internal");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    *lock(&server.world.mood) = Mood::Fine;
    assert_eq!(write(&server, message("a")).await.status, 204);
}

#[tokio::test]
async fn other_formats_are_415_and_garbage_is_400() {
    let server = Server::new();
    let send = async |content_type: &str, encoding: &str, body: Vec<u8>| {
        let request =
            Request::post("/api/v1/write").header("content-type", content_type).header("content-encoding", encoding);
        server.send(request.body(Body::from(body)).expect("valid request")).await
    };
    assert_eq!(send("application/json", "snappy", message("a")).await.status, 415);
    assert_eq!(send("application/x-protobuf", "gzip", message("a")).await.status, 415);
    assert_eq!(send("application/x-protobuf", "snappy", b"not snappy at all".to_vec()).await.status, 400);
    let misnamed = send(ingest::CONTENT_TYPE_V2, "snappy", message("a")).await;
    assert_eq!((misnamed.status.as_u16(), counts(&misnamed)), (400, ["0", "0", "0"].map(str::to_owned)));
    let packed = send(ingest::CONTENT_TYPE_V2, "gzip", message("a")).await;
    assert_eq!((packed.status.as_u16(), counts(&packed)), (415, ["0", "0", "0"].map(str::to_owned)));
    assert_eq!(lock(&server.world.stored).len(), 0);
}

/// The counts that senders of 2.0 are told.
fn counts(answer: &Answer) -> [String; 3] {
    ["samples", "histograms", "exemplars"]
        .map(|what| answer.header(&format!("x-prometheus-remote-write-{what}-written")).to_owned())
}

#[tokio::test]
async fn senders_of_2_0_are_told_what_was_written_on_success_and_on_failure() {
    let server = Server::new();
    let mut batch = Batch::default();
    batch.begin([("__name__", "up")]).expect("small");
    batch.push(Timestamp(1000), 1.0);
    batch.push(Timestamp(2000), 2.0);
    batch.push_histogram(Timestamp(3000), series::Histogram::stale());
    batch.push_exemplar(exemplar("t1", 2.5));
    let body = ingest::encode_write_request_v2(&batch).expect("small");
    for (mood, status, written) in
        [(Mood::Fine, 204, ["2", "1", "1"]), (Mood::TooOld, 400, ["1", "1", "1"]), (Mood::DiskFull, 503, ["0"; 3])]
    {
        *lock(&server.world.mood) = mood;
        let request = Request::post("/api/v1/write")
            .header("content-type", ingest::CONTENT_TYPE_V2)
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", ingest::VERSION_V2)
            .body(Body::from(body.clone()));
        let answer = server.send(request.expect("valid request")).await;
        assert_eq!(answer.status, status, "{mood:?}: {}", answer.text());
        assert_eq!(counts(&answer), written.map(str::to_owned), "{mood:?}");
    }
    let metrics = server.get("/metrics").await;
    assert!(metrics.text().contains("foretide_write_histograms_total 2\n"), "{}", metrics.text());
}

fn exemplar(trace: &str, value: f64) -> series::Exemplar {
    let labels = series::Labels::from_pairs([("trace_id", trace)]).expect("valid");
    series::Exemplar { labels, value, at: Timestamp(1500) }
}

#[tokio::test]
async fn exemplars_are_found_by_the_selectors_of_a_query() {
    let server = Server::new();
    let mut batch = Batch::default();
    for (job, value) in [("a", 2.5), (HOSTILE, f64::INFINITY)] {
        batch.begin([("__name__", "up"), ("job", job)]).expect("small");
        batch.push(Timestamp(1000), 1.0);
        batch.push_exemplar(exemplar("t1", value));
    }
    assert_eq!(write(&server, ingest::encode_write_request(&batch).expect("small")).await.status, 204);
    let found = async |query: &str| {
        let answer = server.get(&format!("/api/v1/query_exemplars?{query}")).await.json();
        answer["data"].as_array().cloned().unwrap_or_default()
    };
    let both = found("query=rate(up[1m])%2Brate(down[1m])&start=1&end=1.5").await;
    assert_eq!(both.len(), 2);
    assert_eq!(
        both[0],
        serde_json::json!({
            "seriesLabels": { "__name__": "up", "job": "a" },
            "exemplars": [{ "labels": { "trace_id": "t1" }, "value": "2.5", "timestamp": 1.5 }],
        })
    );
    assert_eq!((&both[1]["seriesLabels"]["job"], &both[1]["exemplars"][0]["value"]), (&HOSTILE.into(), &"+Inf".into()));
    assert!(found("query=up%7Bjob=%22b%22%7D").await.is_empty());
    assert!(found("query=up&start=2").await.is_empty());
    assert!(found("query=1%2B1").await.is_empty());
    assert_eq!(server.get("/api/v1/query_exemplars?query=up(").await.status, 400);
    assert_eq!(server.get("/api/v1/query_exemplars").await.status, 400);
}

#[tokio::test]
async fn sizes_are_checked_before_and_while_reading() {
    let server = Server::with(|settings| settings.write_bytes_max = 2 << 20);
    let announced = Request::post("/api/v1/write").header("content-length", (2 << 20) + 1).body(Body::empty());
    assert_eq!(server.send(announced.expect("valid request")).await.status, 413);
    let endless = || futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![0_u8; 64 << 10])));
    let unsized_body = Request::post("/api/v1/write").body(Body::from_stream(endless()));
    assert_eq!(server.send(unsized_body.expect("valid request")).await.status, 411);
    let lying = Request::post("/api/v1/write").header("content-length", 10).body(Body::from_stream(endless()));
    assert_eq!(server.send(lying.expect("valid request")).await.status, 413);
    let bomb = b"\xff\xff\xff\xff\x0f".to_vec();
    assert_eq!(write(&server, bomb).await.status, 413);
}

#[tokio::test]
async fn without_room_a_write_is_refused_at_once() {
    let server = Server::with(|settings| settings.write_budget_bytes = 1 << 20);
    let stalled = Request::post("/api/v1/write")
        .header("content-length", 1 << 20)
        .body(Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>()))
        .expect("valid request");
    let router = server.router.clone();
    let held = tokio::spawn(tower::ServiceExt::oneshot(router, stalled));
    tokio::task::yield_now().await;
    let answer = write(&server, message("a")).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    held.abort();
    drop(held.await);
    assert_eq!(write(&server, message("a")).await.status, 204);
}
