//! Line protocol: the three versions' paths, units, answers and errors.

use std::io::Write;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::Server;
use crate::fakes::{Mood, NOW, lock};

async fn stored(server: &Server, query: &str) -> serde_json::Value {
    server.get(&format!("/api/v1/query?query={query}&time={}", NOW.0 / 1000)).await.json()["data"]["result"].clone()
}

#[tokio::test]
async fn each_version_writes_with_its_own_units() {
    let server = Server::new();
    let seconds = NOW.0 / 1000;
    for (uri, line) in [
        ("/write?db=x&precision=s", format!("a value=1 {seconds}")),
        ("/write?db=x", format!("b value=1 {}", NOW.0 * 1_000_000)),
        ("/api/v2/write?org=o&bucket=b&precision=ms", format!("c value=1 {}", NOW.0)),
        ("/api/v3/write_lp?db=x", format!("d value=1 {seconds}")),
        ("/api/v3/write_lp?db=x&precision=nanosecond", format!("e value=1 {}", NOW.0 * 1_000_000)),
        ("/write?db=x", "f,host=h usage=0.5".to_owned()),
    ] {
        let answer = server.post(uri, "text/plain", line).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (204, ""), "{uri}");
    }
    for metric in ["a", "b", "c", "d", "e", "f_usage"] {
        let found = stored(&server, metric).await;
        assert_eq!(found[0]["value"][0], json!(seconds), "{metric}: {found}");
    }
    assert_eq!(stored(&server, "f_usage").await[0]["metric"]["host"], "h");
    let metrics = server.get("/metrics").await;
    assert!(metrics.text().contains("foretide_intake_samples_total{protocol=\"influx\"} 6\n"), "{}", metrics.text());
}

#[tokio::test]
async fn gzip_is_unpacked_and_bombs_are_counted() {
    let server = Server::new();
    let send = async |encoding: &str, plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain).expect("memory");
        let body = packed.finish().expect("memory");
        let request = Request::post("/write").header("content-encoding", encoding).header("content-length", body.len());
        server.send(request.body(Body::from(body)).expect("valid request")).await
    };
    assert_eq!(send("gzip", b"m value=1").await.status, 204);
    assert_eq!(send("gzip", &vec![b'#'; 64 << 20]).await.status, 413);
    assert_eq!(send("br", b"m value=1").await.status, 415);
    assert_eq!(send("zstd", b"m value=1").await.status, 400);
    let metrics = server.get("/metrics").await;
    for reason in ["bomb", "content_encoding", "packed"] {
        let line = format!("foretide_intake_refused_requests_total{{protocol=\"influx\",reason=\"{reason}\"}} 1\n");
        assert!(metrics.text().contains(&line), "{line} is not among {}", metrics.text());
    }
}

#[tokio::test]
async fn bad_lines_are_told_with_their_numbers_and_the_rest_is_written() {
    let server = Server::new();
    let body = "good value=1\nbad\nfine value=2\n";
    let v1 = server.post("/write", "text/plain", body).await;
    assert_eq!(v1.status, 400);
    let message = "partial write: 1 of 3 lines refused; line 2: there are no fields: \"bad\"; 2 samples written";
    assert_eq!(v1.json(), json!({ "error": message }));
    let v2 = server.post("/api/v2/write", "text/plain", body).await;
    assert_eq!(v2.json(), json!({ "code": "invalid", "message": message, "line": 2 }));
    let v3 = server.post("/api/v3/write_lp", "text/plain", body).await;
    let line = json!({ "original_line": "bad", "line_number": 2, "error_message": "there are no fields" });
    assert_eq!(v3.json(), json!({ "error": "partial write of line protocol occurred", "data": [line] }));
    assert_eq!(server.world.samples.load(Ordering::Relaxed), 6);
    assert_eq!(server.post("/api/v3/write_lp?accept_partial=false", "text/plain", body).await.status, 400);
    assert_eq!(server.world.samples.load(Ordering::Relaxed), 6, "all or nothing");
    assert_eq!(server.post("/write?precision=fortnight", "text/plain", body).await.status, 400);
}

#[tokio::test]
async fn the_stores_refusals_have_their_codes() {
    let server = Server::new();
    for (mood, status, code) in [
        (Mood::TooOld, 400, "invalid"),
        (Mood::SeriesLimit, 429, "too many requests"),
        (Mood::Overloaded, 503, "unavailable"),
        (Mood::LogFails, 500, "internal error"),
    ] {
        *lock(&server.world.mood) = mood;
        let answer = server.post("/api/v2/write", "text/plain", "m value=1").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{mood:?}");
        assert_eq!(answer.header("retry-after").is_empty(), status == 400, "{mood:?}");
    }
}

#[tokio::test]
async fn clients_that_ask_first_are_answered() {
    let server = Server::new();
    let ping = server.get("/ping").await;
    assert_eq!((ping.status.as_u16(), ping.header("x-influxdb-build")), (204, "foretide"));
    assert!(!ping.header("x-influxdb-version").is_empty());
    let health = server.get("/health").await;
    assert_eq!((health.status.as_u16(), health.json()["status"].as_str()), (200, Some("pass")));
    server.world.ready.store(false, Ordering::Relaxed);
    let health = server.get("/health").await;
    assert_eq!((health.status.as_u16(), health.json()["status"].as_str()), (503, Some("fail")));
}
