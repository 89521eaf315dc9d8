//! The Prometheus API: envelopes, shapes, parameters.

use axum::body::Body;
use serde_json::json;

use crate::Server;
use crate::fakes::{HOSTILE, Mood, lock};

fn stocked() -> Server {
    let server = Server::new();
    let samples: Vec<(i64, f64)> = (0..=10).map(|i| (i * 15_000, i as f64)).collect();
    server.world.put(&[("__name__", "up"), ("job", "api")], &samples);
    server.world.put(&[("__name__", "up"), ("job", "db")], &samples);
    server.world.put(&[("__name__", "odd"), ("http.status", "200"), ("job", HOSTILE)], &[(0, f64::INFINITY)]);
    server
}

#[tokio::test]
async fn an_instant_query_answers_in_the_documented_envelope() {
    let server = stocked();
    let answer = server.get("/api/v1/query?query=up&time=60.5").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let item = |job: &str| json!({ "metric": { "__name__": "up", "job": job }, "value": [60.5, "4"] });
    let data = json!({ "resultType": "vector", "result": [item("api"), item("db")] });
    assert_eq!(answer.json(), json!({ "status": "success", "data": data }));
}

#[tokio::test]
async fn grafanas_first_call_is_answered() {
    let answer = stocked().form("/api/v1/query", "query=1%2B1&time=4").await;
    let data = json!({ "resultType": "scalar", "result": [4, "2"] });
    assert_eq!(answer.json(), json!({ "status": "success", "data": data }));
}

#[tokio::test]
async fn texts_and_values_that_json_lacks_are_strings() {
    let server = stocked();
    let text = server.get("/api/v1/query?query=%22hi%22&time=1").await.json();
    assert_eq!(text["data"], json!({ "resultType": "string", "result": [1, "hi"] }));
    let odd = server.get("/api/v1/query?query=odd&time=1").await.json();
    let metric = json!({ "__name__": "odd", "http.status": "200", "job": HOSTILE });
    assert_eq!(odd["data"]["result"], json!([{ "metric": metric, "value": [1, "+Inf"] }]));
}

#[tokio::test]
async fn a_range_query_answers_a_matrix_and_post_works_under_the_prefix() {
    let server = stocked();
    let expected = json!({ "status": "success", "data": { "resultType": "matrix", "result": [
        { "metric": { "__name__": "up", "job": "api" }, "values": [[0, "0"], [30, "2"], [60, "4"]] },
    ] } });
    let query = "query=up%7Bjob%3D%22api%22%7D&start=0&end=60&step=30";
    assert_eq!(server.get(&format!("/api/v1/query_range?{query}")).await.json(), expected);
    let posted = server
        .form(
            "/prometheus/api/v1/query_range",
            "query=up%7Bjob%3D%22api%22%7D&start=0&end=1970-01-01T00:01:00Z&step=30s",
        )
        .await;
    assert_eq!(posted.json(), expected);
}

#[tokio::test]
async fn bad_parameters_are_bad_data() {
    let server = stocked();
    for (uri, part) in [
        ("/api/v1/query", "`query` is missing"),
        ("/api/v1/query?query=up%7B", "`query`"),
        ("/api/v1/query?query=up&time=soon", "`time`"),
        ("/api/v1/query?query=up&timeout=x", "`timeout`"),
        ("/api/v1/query?query=up&limit=-1", "`limit`"),
        ("/api/v1/query?query=up&lookback_delta=0s", "`lookback_delta`"),
        ("/api/v1/query?query=%ff", "percent-encoded"),
        ("/api/v1/query_range?query=up&end=1&step=1", "`start` is missing"),
        ("/api/v1/query_range?query=up&start=5&end=1&step=1", "before the start"),
        ("/api/v1/query_range?query=up&start=0&end=1&step=0", "not positive"),
        ("/api/v1/query_range?query=up&start=0&end=1&step=-5", "not positive"),
        ("/api/v1/query_range?query=up&start=0&end=11001&step=1", "11000 points"),
        ("/api/v1/series", "`match[]` is missing"),
        ("/api/v1/series?match[]=rate(up[5m])", "more than a selector"),
        ("/api/v1/labels?match[]=%7B", "selector"),
        ("/api/v1/labels?start=9&end=1", "before the start"),
        ("/api/v1/status/tsdb?limit=0", "`limit`"),
    ] {
        let answer = server.get(uri).await;
        let body = answer.json();
        assert_eq!(answer.status, 400, "{uri}: {body}");
        assert_eq!((&body["status"], &body["errorType"]), (&json!("error"), &json!("bad_data")), "{uri}");
        assert!(body["error"].as_str().is_some_and(|text| text.contains(part)), "{uri}: {body}");
    }
}

#[tokio::test]
async fn eleven_thousand_steps_are_allowed() {
    let answer = stocked().get("/api/v1/query_range?query=up&start=0&end=11000&step=1").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_limit_cuts_and_says_so() {
    let server = stocked();
    let answer = server.get("/api/v1/query?query=up&time=60&limit=1").await.json();
    assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    let exact = server.get("/api/v1/query?query=up&time=60&limit=2").await.json();
    assert_eq!(exact.get("warnings"), None);
    let labels = server.get("/api/v1/labels?limit=2").await.json();
    assert_eq!(
        labels,
        json!({ "status": "success", "data": ["__name__", "http.status"], "warnings": ["results truncated due to limit"] })
    );
}

#[tokio::test]
async fn statistics_come_when_asked_for() {
    let answer = stocked().get("/api/v1/query?query=up&time=60&stats=all").await.json();
    assert!(answer["data"]["stats"]["timings"]["evalTotalTime"].is_number(), "{answer}");
    assert!(answer["data"]["stats"]["samples"]["totalQueryableSamples"].is_number(), "{answer}");
}

#[tokio::test]
async fn series_labels_and_values_are_listed() {
    let server = stocked();
    let up = |job: &str| json!({ "__name__": "up", "job": job });
    let list = |data| json!({ "status": "success", "data": data });
    assert_eq!(server.get("/api/v1/series?match[]=up").await.json(), list(json!([up("api"), up("db")])));
    assert_eq!(
        server.form("/api/v1/series", "match%5B%5D=up%7Bjob%3D%22db%22%7D&match[]=nothing").await.json(),
        list(json!([up("db")]))
    );
    assert_eq!(server.form("/api/v1/labels", "match[]=up").await.json(), list(json!(["__name__", "job"])));
    assert_eq!(server.get("/api/v1/label/__name__/values").await.json(), list(json!(["odd", "up"])));
    assert_eq!(
        server.get("/api/v1/label/job/values?match[]=up&limit=40000&start=0&end=60").await.json(),
        list(json!(["api", "db"]))
    );
    assert_eq!(server.get("/api/v1/label/U__http_2e_status/values").await.json(), list(json!(["200"])));
    assert_eq!(
        server.get("/api/v1/label/job/values?start=1700000000000&end=1700000001000").await.json(),
        list(json!([]))
    );
}

#[tokio::test]
async fn metadata_is_grouped_by_family_and_limited() {
    let server = stocked();
    let up = json!([{ "type": "gauge", "help": "Whether up.", "unit": "" }]);
    assert_eq!(
        server.get("/api/v1/metadata?metric=up").await.json(),
        json!({ "status": "success", "data": { "up": up } })
    );
    let one = server.get("/api/v1/metadata?limit=1").await.json();
    assert_eq!(one["data"].as_object().map(serde_json::Map::len), Some(1));
}

#[tokio::test]
async fn build_information_satisfies_grafana() {
    let body = stocked().get("/api/v1/status/buildinfo").await.json();
    let version = body["data"]["version"].as_str().expect("a version");
    let major: u32 = version.split('.').next().and_then(|part| part.parse().ok()).expect("a number");
    assert!(major >= 3, "{version}");
    assert_eq!(body["data"].get("features"), None, "would make Grafana take us for a Mimir");
}

#[tokio::test]
async fn the_other_status_pages_and_empty_lists_have_their_shapes() {
    let server = stocked();
    let data = async |path: &str| server.get(path).await.json()["data"].clone();
    assert_eq!(data("/api/v1/rules").await, json!({ "groups": [] }));
    assert_eq!(data("/api/v1/alerts").await, json!({ "alerts": [] }));
    assert_eq!(data("/api/v1/targets").await, json!({ "activeTargets": [], "droppedTargets": [] }));
    assert_eq!(data("/api/v1/query_exemplars?query=test&start=1700000000000&end=1700000100000").await, json!([]));
    assert_eq!(data("/api/v1/status/flags").await, json!({ "listen": "127.0.0.1:4280" }));
    assert_eq!(data("/api/v1/status/runtimeinfo").await["storageRetention"], "30d");
    let tsdb = data("/api/v1/status/tsdb?limit=1").await;
    assert_eq!(
        tsdb["headStats"],
        json!({ "numSeries": 3, "numLabelPairs": 5, "chunkCount": 4, "minTime": 0, "maxTime": 0 })
    );
    assert_eq!(tsdb["seriesCountByMetricName"], json!([{ "name": "up", "value": 2 }]));
    assert_eq!(tsdb["seriesCountByLabelValuePair"], json!([]));
}

#[tokio::test]
async fn a_query_is_formatted() {
    let answer = stocked().form("/api/v1/format_query", "query=sum+by(job)(up)").await.json();
    assert_eq!(answer["status"], "success");
    assert!(answer["data"].as_str().is_some_and(|text| text.starts_with("sum by (job)")), "{answer}");
}

#[tokio::test]
async fn the_probe_for_a_ruler_finds_none() {
    let answer = stocked().get("/api/v1/rules/test/test").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("page not found"), "{}", answer.text());
}

#[tokio::test]
async fn series_are_deleted_in_the_range_that_is_named() {
    let server = Server::new();
    server.world.put(&[("__name__", "up"), ("job", "a")], &[(1000, 1.0), (2000, 1.0), (3000, 1.0)]);
    server.world.put(&[("__name__", "up"), ("job", "b")], &[(2000, 1.0)]);
    let path = "/api/v1/admin/tsdb/delete_series";
    let gone = server.post(&format!("{path}?match[]=up%7Bjob%3D%22a%22%7D&start=2&end=3"), "", Body::empty()).await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    let left: Vec<usize> = lock(&server.world.stored).values().map(|samples| samples.len()).collect();
    assert_eq!(left, [1, 1], "the end is inclusive and the other job is untouched");
    for (query, words) in
        [("", "no match[]"), ("?match[]=sum(up)", "selector"), ("?match[]=up&start=5&end=1", "before")]
    {
        let refused = server.post(&format!("{path}{query}"), "", Body::empty()).await;
        assert_eq!((refused.status.as_u16(), refused.json()["errorType"].clone()), (400, json!("bad_data")), "{query}");
        assert!(refused.text().contains(words), "{}", refused.text());
    }
    assert_eq!(server.get(path).await.status, 405);
    *lock(&server.world.mood) = Mood::DiskFull;
    assert_eq!(server.post(&format!("{path}?match[]=up"), "", Body::empty()).await.status, 500);
}

#[tokio::test]
async fn administration_that_is_off_says_so() {
    let off = Server::new().post("/api/v1/admin/tsdb/clean_tombstones", "", Body::empty()).await;
    assert_eq!((off.status.as_u16(), off.json()["errorType"].clone()), (503, json!("unavailable")));
    assert!(off.text().contains("admin_api: true"), "{}", off.text());
}
