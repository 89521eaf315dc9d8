//! `/api/sql` and `/api/tables`.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use server::SqlFormat;

use crate::Server;
use crate::fakes::lock;

#[tokio::test]
async fn every_way_of_asking_reaches_the_service() {
    let server = Server::new();
    let expected = json!({ "columns": [{ "name": "one", "type": "Int64" }], "rows": [[1]] });
    for answer in [
        server.get("/api/sql?q=SELECT+1").await,
        server.form("/api/sql", "q=SELECT+1&format=json").await,
        server.post("/api/sql", "application/json", r#"{"q":"SELECT 1","limit":5}"#).await,
        server.post("/api/sql?format=json", "application/sql", "SELECT 1").await,
        server.post("/api/sql", "text/plain; charset=utf-8", "SELECT 1").await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected.clone()));
        assert_eq!(lock(&server.world.asked).as_ref().map(|asked| asked.sql.clone()), Some("SELECT 1".to_owned()));
    }
}

#[tokio::test]
async fn the_format_comes_from_the_word_then_from_accept() {
    let server = Server::new();
    let csv = server.get("/api/sql?q=SELECT+1&format=csv").await;
    assert_eq!((csv.header("content-type"), csv.text()), ("text/csv", "one\n1\n"));
    let ask = async |accept: &str, uri: &str| {
        server.send(Request::get(uri).header("accept", accept).body(Body::empty()).expect("valid request")).await;
        lock(&server.world.asked).as_ref().map(|asked| asked.format)
    };
    let arrow = "text/html, application/vnd.apache.arrow.stream;q=0.9";
    assert_eq!(ask(arrow, "/api/sql?q=SELECT+1").await, Some(SqlFormat::Arrow));
    assert_eq!(ask(arrow, "/api/sql?q=SELECT+1&format=md").await, Some(SqlFormat::Markdown));
    assert_eq!(ask("*/*", "/api/sql?q=SELECT+1").await, Some(SqlFormat::Json));
    assert_eq!(server.get("/api/sql?q=SELECT+1&format=xml").await.status, 400);
}

#[tokio::test]
async fn failures_carry_code_hint_and_place() {
    let server = Server::new();
    let answer = server.get("/api/sql?q=fail").await;
    assert_eq!(answer.status, 400);
    let error = json!({ "code": "sql_plan", "message": "column `x` does not exist", "hint": "did you mean `y`?", "line": 1, "column": 8 });
    assert_eq!(answer.json(), json!({ "error": error }));
    assert_eq!(server.get("/api/sql?q=large").await.status, 413);
}

#[tokio::test]
async fn what_cannot_be_a_statement_is_refused() {
    let server = Server::new();
    assert_eq!(server.get("/api/sql").await.status, 400);
    assert_eq!(server.get("/api/sql?q=++").await.status, 400);
    assert_eq!(server.post("/api/sql", "text/plain", "x".repeat((64 << 10) + 1)).await.status, 400);
    assert_eq!(server.post("/api/sql", "text/plain", "x".repeat(1 << 20)).await.status, 413);
    assert_eq!(server.post("/api/sql", "application/json", "{").await.status, 400);
    assert_eq!(server.post("/api/sql", "application/json", r#"{"q":"SELECT 1","writ":true}"#).await.status, 400);
    assert_eq!(server.post("/api/sql", "application/xml", "<q/>").await.status, 415);
    assert!(lock(&server.world.asked).is_none());
}

#[tokio::test]
async fn limits_and_timeouts_are_bounded_by_the_server() {
    let server = Server::with(|settings| settings.sql_rows_max = 100);
    for (uri, limit, truncate) in [
        ("/api/sql?q=SELECT+1", 100, false),
        ("/api/sql?q=SELECT+1&limit=7", 7, true),
        ("/api/sql?q=SELECT+1&limit=700", 100, false),
    ] {
        assert_eq!(server.get(uri).await.status, 200);
        let asked = lock(&server.world.asked).clone().expect("asked");
        assert_eq!((asked.limit, asked.truncate), (limit, truncate), "{uri}");
    }
    let answer = server.get("/api/sql?q=sleep&timeout=0.05").await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].clone()), (408, json!("timeout")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_holds_a_slot_no_longer_than_its_query_may_take() {
    let server = Server::with(|settings| (settings.queries_max, settings.query_queue_max) = (1, 0));
    let request = Request::get("/api/sql?q=endless&timeout=5").body(Body::empty()).expect("valid request");
    let answer = tower::ServiceExt::oneshot(server.router.clone(), request).await.expect("infallible");
    assert_eq!(answer.status(), 200);
    assert_eq!(server.get("/api/sql?q=SELECT+1").await.status, 503);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(server.get("/api/sql?q=SELECT+1").await.status, 200);
    let whole = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    assert!(whole.is_err(), "a part is not taken for the whole");
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_slot() {
    let server = Server::with(|settings| (settings.queries_max, settings.query_queue_max) = (1, 0));
    let request = Request::get("/api/sql?q=endless").body(Body::empty()).expect("valid request");
    drop(tower::ServiceExt::oneshot(server.router.clone(), request).await.expect("infallible"));
    while server.get("/api/sql?q=SELECT+1").await.status != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn queries_beyond_slots_and_queue_are_told_to_come_back() {
    let server = Server::with(|settings| (settings.queries_max, settings.query_queue_max) = (1, 0));
    let request = Request::get("/api/sql?q=sleep").body(Body::empty()).expect("valid request");
    let running = tokio::spawn(tower::ServiceExt::oneshot(server.router.clone(), request));
    while lock(&server.world.asked).is_none() {
        tokio::task::yield_now().await;
    }
    let sql = server.get("/api/sql?q=SELECT+1").await;
    assert_eq!((sql.status.as_u16(), sql.header("retry-after")), (503, "1"));
    let promql = server.get("/api/v1/query?query=up").await;
    assert_eq!((promql.status.as_u16(), promql.json()["errorType"].clone()), (503, json!("timeout")));
    running.abort();
    drop(running.await);
    assert_eq!(server.get("/api/sql?q=SELECT+1").await.status, 200);
}

#[tokio::test]
async fn tables_are_listed_with_their_columns() {
    let item = json!({ "name": "metrics.up", "description": "Whether up.", "columns": [{ "name": "ts", "type": "TIMESTAMP" }] });
    assert_eq!(Server::new().get("/api/tables").await.json(), json!({ "items": [item] }));
}
