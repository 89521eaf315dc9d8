//! The HTTP surface over fake parts: shapes against the documented ones, bad input, limits, hostile names.

mod fakes;
mod guard;
mod import;
mod influx;
mod otlp;
mod own_api;
mod page;
mod prometheus;
mod sockets;
mod sql;
mod write;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use fakes::World;

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {}", self.text()))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// A router over a world, asked one request at a time.
struct Server {
    world: Arc<World>,
    router: axum::Router,
}

impl Server {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(set: impl FnOnce(&mut server::Settings)) -> Self {
        let world = World::new();
        let mut parts = world.parts();
        set(&mut parts.settings);
        Self { router: server::router(parts), world }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.expect("the router never fails");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        Answer { status: head.status, headers: head.headers, body }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).expect("valid request")).await
    }

    async fn post(&self, uri: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(uri).header("content-type", content_type).body(body.into());
        self.send(request.expect("valid request")).await
    }

    async fn form(&self, uri: &str, body: &'static str) -> Answer {
        self.post(uri, "application/x-www-form-urlencoded", body).await
    }
}
