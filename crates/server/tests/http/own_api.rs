//! Our own API: lists, items, chart columns, figures, live events, management.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use server::{LiveEvent, LiveKind};
use tower::ServiceExt;

use crate::Server;
use crate::fakes::{HOSTILE, Mood, World, lock};

#[tokio::test]
async fn advice_says_all_that_an_advice_must_say() {
    let answer = Server::new().get("/api/recommendations?kind=scale").await.json();
    assert_eq!((&answer["total"], &answer["next"]), (&json!(1), &Value::Null));
    let advice = answer["items"][0].as_object().expect("an object");
    for field in
        ["id", "current", "proposed", "reason", "confidence", "saving", "risk", "undo", "evidence", "due", "created"]
    {
        assert!(advice.contains_key(field), "{field}");
    }
}

#[tokio::test]
async fn a_person_may_apply_or_dismiss_advice() {
    let server = Server::new();
    let post = |uri: &str| Request::post(uri).body(Body::empty()).expect("valid request");
    for (word, state) in [("apply", "applied"), ("dismiss", "dismissed")] {
        let answer = server.send(post(&format!("/api/recommendations/rec-2/{word}"))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["state"]), (200, &json!(state)));
        assert_eq!(server.get(&format!("/api/recommendations/rec-2/{word}")).await.status, 405);
    }
    assert_eq!(server.send(post("/api/recommendations/x/dismiss")).await.status, 404);
    server.world.insightful.store(false, Ordering::Relaxed);
    let over = server.send(post("/api/recommendations/rec-2/dismiss")).await;
    assert_eq!((over.status.as_u16(), &over.json()["error"]["code"]), (409, &json!("over")));
    let foreign = Request::post("/api/recommendations/rec-2/dismiss").header("origin", "https://evil.test");
    assert_eq!(server.send(foreign.body(Body::empty()).expect("valid request")).await.status, 403);
}

#[tokio::test]
async fn lists_are_paged_by_cursor() {
    let server = Server::new();
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = server.get(&format!("/api/recommendations?limit=3&cursor={cursor}")).await.json();
        seen.extend(page["items"].as_array().expect("a list").iter().map(|item| item["id"].clone()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["rec-1", "rec-2", "rec-3", "rec-4"]);
    for uri in ["/api/recommendations?limit=0", "/api/recommendations?limit=1001", "/api/recommendations?cursor=gone"] {
        assert_eq!(server.get(uri).await.status, 400, "{uri}");
    }
}

#[tokio::test]
async fn items_are_found_by_id_or_missed_with_a_hint() {
    let server = Server::new();
    assert_eq!(server.get("/api/recommendations/rec-2").await.json()["id"], "rec-2");
    assert_eq!(server.get("/api/anomalies/an-1").await.json()["kind"], "regression");
    let chart = server.get("/api/forecasts/search-cpu").await.json();
    assert_eq!(chart["median"].as_array().map(Vec::len), Some(289));
    assert_eq!(chart["bands"][0]["level"], 0.5);
    for uri in ["/api/recommendations/x", "/api/anomalies/x", "/api/forecasts/x"] {
        let answer = server.get(uri).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["code"].clone()),
            (404, json!("not_found")),
            "{uri}"
        );
    }
    assert_eq!(server.get(&format!("/api/anomalies/{}", "x".repeat(300))).await.status, 400);
    assert_eq!(server.get("/api/jobs").await.json()["items"][0]["id"], "job-1");
    assert_eq!(server.get("/api/scaling/policies").await.json()["items"][0]["id"], "checkout");
}

#[tokio::test]
async fn chart_columns_have_at_most_four_points_a_pixel() {
    let server = Server::new();
    let samples: Vec<(i64, f64)> = (0..50_000).map(|i| (i * 100, f64::from(i as i32 % 1000))).collect();
    server.world.put(&[("__name__", "load")], &samples);
    let answer = server.get("/api/series?match[]=load&start=0&end=5000&width=100").await.json();
    let points = answer["series"][0]["points"].as_array().expect("points").len();
    assert!((100..=404).contains(&points), "{points}");
    assert_eq!((answer["matched"].clone(), answer["pixel_ms"].clone()), (json!(1), json!(50_000)));
    assert_eq!(answer["series"][0]["points"][0], json!([0, 0.0]));
    for uri in [
        "/api/series",
        "/api/series?match[]=load&width=0",
        "/api/series?match[]=load&start=9&end=1",
        "/api/series?match[]=load&limit=201",
    ] {
        assert_eq!(server.get(uri).await.status, 400, "{uri}");
    }
    let all_of_time = server
        .get("/api/series?match[]=load&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z")
        .await;
    assert_eq!(all_of_time.status, 200, "{}", all_of_time.text());
}

#[tokio::test]
async fn figures_are_plotly_figures_with_a_sentence() {
    let server = Server::new();
    server.world.put(&[("__name__", HOSTILE)], &[(0, 1.0), (1000, f64::NAN), (2000, 2.0)]);
    server.get("/api/pulse").await;
    for uri in [
        "/api/figures/forecast",
        "/api/figures/forecast?id=search-cpu&theme=dark&width=300",
        "/api/figures/ingest",
        "/api/figures/host?theme=dark",
        "/api/figures/series?match[]=%7B__name__!%3D%22%22%7D&start=0&end=10",
    ] {
        let figure = server.get(uri).await;
        assert_eq!(figure.status, 200, "{uri}: {}", figure.text());
        let figure = figure.json();
        assert!(figure["data"].is_array() && figure["layout"].is_object() && figure["config"].is_object(), "{uri}");
        assert!(figure["meta"]["summary"].as_str().is_some_and(|text| !text.is_empty()), "{uri}");
    }
    for (uri, status) in [
        ("/api/figures/forecast?id=x", 404),
        ("/api/figures/forecast?theme=pink", 400),
        ("/api/figures/forecast?width=9999", 400),
        ("/api/figures/x", 404),
    ] {
        assert_eq!(server.get(uri).await.status, status, "{uri}");
    }
    server.world.insightful.store(false, Ordering::Relaxed);
    assert_eq!(server.get("/api/figures/forecast").await.status, 404);
}

#[tokio::test]
async fn a_forecast_figure_shows_past_bands_now_line_limit_and_marks() {
    let figure = Server::new().get("/api/figures/forecast?id=checkout-rps").await.json();
    let traces = figure["data"].as_array().expect("traces");
    let named = |name: &str| traces.iter().find(|trace| trace["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(named("95 % band")["fill"], "tonexty");
    assert_eq!(named("forecast (median)")["line"]["dash"], "dash");
    assert!(named("measured")["y"].as_array().expect("values").contains(&Value::Null), "the gap stays");
    assert_eq!(named("spike")["marker"]["symbol"], "circle");
    assert_eq!(named("regression")["marker"]["symbol"], "diamond");
    assert_eq!(figure["layout"]["shapes"].as_array().map(Vec::len), Some(2));
    assert_eq!(figure["layout"]["annotations"][0]["text"], "now");
    assert_eq!(figure["layout"]["annotations"][1]["text"], "capacity of 12 replicas");
    let types: Vec<_> = traces.iter().map(|trace| trace["type"].clone()).collect();
    assert!(types.iter().all(|kind| kind == "scatter"), "WebGL traces need eval: {types:?}");
}

#[tokio::test]
async fn hostile_names_are_never_markup_in_a_figure() {
    let server = Server::new();
    server.world.put(&[("__name__", "x"), ("job", HOSTILE)], &[(0, 1.0)]);
    for uri in [
        "/api/figures/forecast?id=hostile",
        "/api/figures/forecast?id=checkout-rps",
        "/api/figures/series?match[]=x&start=0&end=10",
    ] {
        let figure = server.get(uri).await.json();
        let drawn = json!([figure["data"], figure["layout"]]).to_string();
        // Our own hover templates hold `<extra>…</extra>`; nothing else may look like a tag.
        let foreign = drawn.replace("<extra>", "").replace("</extra>", "");
        assert!(foreign.contains("&lt;img") && !foreign.contains('<'), "{uri}: {foreign}");
    }
}

#[tokio::test]
async fn the_pulse_is_there_from_the_first_request() {
    let answer = Server::new().get("/api/pulse").await.json();
    assert_eq!(answer["history"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["now"]["samples_per_second"], Value::Null, "one beat has no rate");
    assert_eq!(answer["now"]["host"]["cpu"], 0.25);
}

#[tokio::test]
async fn live_events_arrive_as_server_sent_events() {
    let world = World::new();
    let parts = world.parts();
    let events = parts.live.clone();
    let router = server::router(parts);
    let request = Request::get("/api/live").body(Body::empty()).expect("valid request");
    let answer = router.oneshot(request).await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    events
        .send(LiveEvent { kind: LiveKind::Anomaly, payload: json!({ "id": HOSTILE, "text": "a\nb" }) })
        .expect("a listener");
    let mut body = answer.into_body();
    let frame = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
    let text = std::str::from_utf8(&frame).expect("UTF-8");
    let data = text.strip_prefix("event: anomaly\ndata: ").expect(text).trim_end();
    assert_eq!(serde_json::from_str::<Value>(data).expect("JSON")["id"], HOSTILE);
}

#[tokio::test]
async fn listeners_are_limited() {
    let server = Server::with(|settings| settings.live_max = 1);
    let request = || Request::get("/api/live").body(Body::empty()).expect("valid request");
    let held = server.router.clone().oneshot(request()).await.expect("an answer");
    assert_eq!(held.status(), 200);
    assert_eq!(server.send(request()).await.status, 503);
    drop(held);
    let again = server.router.clone().oneshot(request()).await.expect("an answer");
    assert_eq!(again.status(), 200);
}

#[tokio::test]
async fn health_readiness_and_flush() {
    let server = Server::new();
    for path in ["/-/healthy", "/-/ready", "/prometheus/-/ready"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
        let head = server.send(Request::head(path).body(Body::empty()).expect("valid request")).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{path}");
    }
    server.world.ready.store(false, Ordering::Relaxed);
    let answer = server.get("/-/ready").await;
    assert_eq!((answer.status.as_u16(), answer.json()["phase"].clone()), (503, json!("replaying the log")));
    let flushed = server.post("/-/flush?merge=true", "", Body::empty()).await;
    assert_eq!((flushed.status.as_u16(), flushed.json()["merged"].clone()), (200, json!(1)));
    assert_eq!(server.post("/-/flush?merge=maybe", "", Body::empty()).await.status, 400);
    *lock(&server.world.mood) = Mood::DiskFull;
    assert_eq!(server.post("/-/flush", "", Body::empty()).await.status, 503);
}

#[tokio::test]
async fn own_metrics_are_in_the_text_format() {
    let server = Server::new();
    server.get("/api/v1/labels").await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    assert!(text.contains("# TYPE foretide_up gauge\nforetide_up 1\n"), "{text}");
    assert!(text.contains("foretide_http_requests_total{route=\"/api/v1/labels\",code=\"200\"} 1\n"), "{text}");
    assert!(text.contains("foretide_http_request_seconds_bucket{route=\"/api/v1/labels\",le=\"+Inf\"} 1\n"), "{text}");
}
