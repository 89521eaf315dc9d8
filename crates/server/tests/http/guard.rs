//! What holds for every path: headers, methods, odd requests.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::Server;

#[tokio::test]
async fn security_headers_are_on_every_answer() {
    let server = Server::new();
    for uri in ["/", "/api/jobs", "/nothing", "/assets/app.css", "//"] {
        let answer = server.get(uri).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self';") && policy.starts_with("default-src 'none'"), "{uri}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{uri}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{uri}");
    }
}

#[tokio::test]
async fn unknown_paths_suggest_the_nearest() {
    let answer = Server::new().get("/api/recomendations").await;
    let error = json!({ "code": "not_found", "message": "page not found: /api/recomendations", "hint": "did you mean /api/recommendations ?" });
    assert_eq!((answer.status.as_u16(), answer.json()), (404, json!({ "error": error })));
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let server = Server::new();
    for (method, uri, allow) in [
        ("DELETE", "/api/sql", "GET,HEAD,POST"),
        ("GET", "/api/v1/write", "POST"),
        ("PUT", "/api/v1/query", "GET,HEAD,POST"),
        ("GET", "/-/flush", "POST"),
    ] {
        let answer =
            server.send(Request::builder().method(method).uri(uri).body(Body::empty()).expect("valid request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allow), "{method} {uri}");
        assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    }
}

#[tokio::test]
async fn odd_paths_are_refused() {
    let server = Server::new();
    for uri in [
        "/api//jobs",
        "/api/%2e%2e/jobs",
        "/api/v1/label/a%2Fb/values",
        "/api/jobs%00",
        "/assets/../Cargo.toml",
        "/assets/..%5cCargo.toml",
    ] {
        assert_eq!(server.get(uri).await.status, 400, "{uri}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_cannot_write() {
    let server = Server::new();
    let flush = async |origin: &str| {
        let request =
            Request::post("/-/flush").header("host", "127.0.0.1:4280").header("origin", origin).body(Body::empty());
        server.send(request.expect("valid request")).await.status.as_u16()
    };
    assert_eq!(flush("http://127.0.0.1:4280").await, 200);
    assert_eq!(flush("https://evil.example").await, 403);
    assert_eq!(flush("null").await, 403);
}

#[tokio::test]
async fn only_known_hosts_are_answered_when_a_list_is_given() {
    let server = Server::with(|settings| settings.hosts = vec!["localhost".into(), "::1".into()]);
    let ask = async |host: &str| {
        let request = Request::get("/api/jobs").header("host", host).body(Body::empty());
        server.send(request.expect("valid request")).await.status.as_u16()
    };
    assert_eq!(ask("LOCALHOST:4280").await, 200);
    assert_eq!(ask("[::1]:4280").await, 200);
    assert_eq!(ask("rebound.example:4280").await, 421);
}

#[tokio::test]
async fn two_hosts_are_refused() {
    let server = Server::new();
    let request = Request::get("/-/healthy").header("host", "localhost").header("host", "evil.example");
    assert_eq!(server.send(request.body(Body::empty()).expect("valid request")).await.status, 400);
}
