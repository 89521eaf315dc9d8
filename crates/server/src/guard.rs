//! What holds for every request: odd paths, foreign hosts and cross-site writes are refused, panics become answers,
//! headers are set, requests are counted.

use std::any::Any;
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State as Extract};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::fault::Fault;
use crate::state::App;

/// Scripts only from us and never inline; styles also inline, because the chart library sets them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

const FIXED: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses what no honest client sends.
pub(crate) async fn guard(Extract(app): Extract<App>, request: Request, next: Next) -> Response {
    match objection(&app.parts.settings.hosts, &request) {
        Some(fault) => fault.into_response(),
        None => next.run(request).await,
    }
}

/// Outermost: sets the headers and counts the answer.
pub(crate) async fn finish(Extract(app): Extract<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut answer = next.run(request).await;
    for (name, value) in FIXED {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // Only the embedded assets say otherwise: an answer of today is not an answer of tomorrow.
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    app.metrics.request(route, answer.status().as_u16(), started.elapsed());
    answer
}

/// Turns a panic into a 500 instead of a dropped connection.
#[derive(Clone)]
pub(crate) struct Panicked(pub(crate) App);

impl tower_http::catch_panic::ResponseForPanic for Panicked {
    type ResponseBody = axum::body::Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        tracing::error!(panic = text, "handler panicked");
        self.0.metrics.panics.fetch_add(1, Ordering::Relaxed);
        Fault::internal("the request failed inside the server; the log has the reason").into_response()
    }
}

fn objection(hosts: &[String], request: &Request) -> Option<Fault> {
    let path = request.uri().path();
    if let Some(why) = odd_path(path) {
        return Some(Fault::bad_request(format!("path {path:?} {why}")));
    }
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        // A proxy in front and this server could each believe another one (RFC 9112, 3.2).
        return Some(Fault::bad_request("the request has more than one Host header"));
    }
    let host = host_of(request.uri(), request.headers());
    if !hosts.is_empty() && !hosts.iter().any(|known| known.eq_ignore_ascii_case(without_port(&host))) {
        let message = format!("host {host:?} is not one this server answers for");
        let fault = Fault::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", message);
        return Some(fault.hint("use http://localhost or http://127.0.0.1 with this port; other names are refused so that no web page can reach us by renaming itself"));
    }
    (changes_state(request.method()) && is_cross_site(&host, request.headers())).then(|| {
        let fault =
            Fault::new(StatusCode::FORBIDDEN, "cross_site", "a page of another origin may not change anything here");
        fault.hint("send the request from this server's own page, or without an Origin header from a program")
    })
}

/// Spellings that a router and a proxy in front of it could read differently.
fn odd_path(path: &str) -> Option<&'static str> {
    if path.contains("//") {
        return Some("has an empty segment");
    }
    let lower = path.to_ascii_lowercase();
    if ["%2f", "%5c", "%00", "%2e"].iter().any(|escape| lower.contains(escape)) || path.contains('\\') {
        return Some("escapes a character that changes its meaning");
    }
    let dots = path.split('/').any(|segment| matches!(segment, "." | ".."));
    dots.then_some("has a relative segment")
}

fn changes_state(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A browser names the origin of a cross-site request; programs send none.
fn is_cross_site(host: &str, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host)),
        None => text(HeaderName::from_static("sec-fetch-site")).is_some_and(|site| site == "cross-site"),
    }
}

/// HTTP/1.1 names the host in a header, HTTP/2 in the target.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Cow<'a, str> {
    match uri.authority() {
        Some(authority) => Cow::Borrowed(authority.as_str()),
        None => headers.get(header::HOST).map_or(Cow::Borrowed(""), |value| String::from_utf8_lossy(value.as_bytes())),
    }
}

/// `[::1]:4280` and `localhost:4280` without the port.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_named() {
        for path in
            ["//api", "/api//sql", "/api/%2fsql", "/a/%2E%2e/b", "/a/../b", "/a/./b", "/x%00", "/a\\b", "/a%5Cb"]
        {
            assert!(odd_path(path).is_some(), "{path}");
        }
        for path in ["/", "/api/v1/query", "/-/ready", "/api/v1/label/U__a_2e_b/values", "/assets/a.b.css", "/a..b"] {
            assert_eq!(odd_path(path), None, "{path}");
        }
    }

    #[test]
    fn hosts_lose_their_port() {
        for (host, name) in [("localhost:4280", "localhost"), ("[::1]:4280", "::1"), ("a.b", "a.b"), ("", "")] {
            assert_eq!(without_port(host), name);
        }
    }

    #[test]
    fn only_the_same_origin_may_write() {
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert!(!is_cross_site("h:1", &HeaderMap::new()));
        assert!(!is_cross_site("h:1", &with("origin", "http://h:1")));
        assert!(is_cross_site("h:1", &with("origin", "http://h:2")));
        assert!(is_cross_site("h:1", &with("origin", "null")));
        assert!(is_cross_site("h:1", &with("sec-fetch-site", "cross-site")));
    }
}
