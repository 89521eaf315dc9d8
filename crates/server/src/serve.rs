//! Sockets: accept within limits, serve HTTP/1 and HTTP/2 on one port, drain on stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::idle::{HeadLimit, Requests, Tracked};
use crate::parts::Parts;
use crate::preface::{self, Protocol};
use crate::state::{App, State};
use crate::{pulse, router};

/// Connections of one address; the own machine is exempt, because everything behind a local proxy comes from it.
const PER_ADDRESS_MAX: usize = 256;
const HEADERS_MAX: usize = 100;
const HEADER_BYTES_MAX: u32 = 32 << 10;
const BUFFER_BYTES_MAX: usize = 64 << 10;
const HTTP2_STREAMS_MAX: u32 = 128;
const HTTP2_RESETS_MAX: usize = 100;
const HTTP2_PING: Duration = Duration::from_secs(20);
/// Pause after a failed accept (out of file handles, for instance), and failures in a row that end the server.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_FAILURES_MAX: u32 = 600;
/// Restarts of the pulse after a panic in a part.
const PULSE_RESTARTS_MAX: u32 = 5;

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The listener does not work any more.
    #[error("accept connections: {failures} failures in a row; check the limit of open files")]
    Accept {
        /// How many.
        failures: u32,
        /// The last one.
        #[source]
        source: std::io::Error,
    },
}

/// Serves until `shutdown` completes, then stops accepting, gives requests under way
/// [`crate::Settings::drain_timeout`] to end, cuts what is left, and returns.
///
/// # Errors
/// [`ServerError::Accept`] when the listener fails for a minute on end.
pub async fn serve(listener: TcpListener, parts: Parts, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
    let app = State::new(parts);
    let server = Server { router: router::routes(Arc::clone(&app)), builder: builder(&app), app: Arc::clone(&app) };
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(supervised_pulse(Arc::clone(&app)));
    let ended = server.accept_until(&listener, &graceful, &mut tasks, shutdown).await;
    drop(listener);
    app.stopping.send_replace(true);
    let drained = tokio::time::timeout(app.parts.settings.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!(connections = tasks.len(), "cut connections that did not end in time");
    }
    tasks.shutdown().await;
    ended
}

struct Server {
    app: App,
    router: Router,
    builder: Builder<TokioExecutor>,
}

impl Server {
    async fn accept_until(
        &self,
        listener: &TcpListener,
        graceful: &GracefulShutdown,
        tasks: &mut JoinSet<()>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let (mut shutdown, mut failures) = (std::pin::pin!(shutdown), 0);
        let addresses = Addresses::default();
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failures = 0;
                    self.admit(stream, peer, &addresses, graceful, tasks);
                }
                Err(source) => {
                    failures += 1;
                    if failures >= ACCEPT_FAILURES_MAX {
                        return Err(ServerError::Accept { failures, source });
                    }
                    tracing::warn!(error = %source, failures, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Starts serving a connection, or closes it at once when there are too many.
    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        addresses: &Addresses,
        graceful: &GracefulShutdown,
        tasks: &mut JoinSet<()>,
    ) {
        let metrics = &self.app.metrics;
        let room = metrics.connections.load(Ordering::Relaxed) < self.app.parts.settings.connections_max as u64;
        let Some(place) = room.then(|| addresses.enter(peer.ip())).flatten() else {
            metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // Small answers must not wait for the peer's acknowledgement of the one before.
        drop(stream.set_nodelay(true));
        metrics.connections.fetch_add(1, Ordering::Relaxed);
        let open = Open { app: Arc::clone(&self.app), _place: place };
        let serving = connection(stream, self.builder.clone(), self.router.clone(), graceful.watcher(), open);
        tasks.spawn(serving);
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, builder: Builder<TokioExecutor>, router: Router, watcher: Watcher, open: Open) {
    let mut stopping = open.app.stopping.subscribe();
    let detected = tokio::select! {
        detected = preface::detect(stream, open.app.parts.settings.header_timeout) => detected,
        _ = stopping.wait_for(|stop| *stop) => return,
    };
    let Ok((protocol, stream)) = detected else { return };
    let served = match protocol {
        Protocol::Http1 => {
            let requests = Requests::default();
            let stream = HeadLimit::new(stream, requests.clone(), open.app.parts.settings.header_timeout);
            watcher
                .watch(
                    builder.http1_only().serve_connection(TokioIo::new(stream), tracked(router, requests)).into_owned(),
                )
                .await
        }
        Protocol::Http2 => {
            let service = TowerToHyperService::new(router.map_request(unread));
            watcher.watch(builder.http2_only().serve_connection(TokioIo::new(stream), service).into_owned()).await
        }
    };
    if let Err(err) = served {
        // Clients that go away, time out or send garbage are the weather, not an incident.
        tracing::debug!(error = %err, "connection ended");
    }
}

/// The router as a service that counts its requests, each until its answer is written.
fn tracked(
    router: Router,
    requests: Requests,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::http::Response<Tracked>,
    Error = Infallible,
    Future: Send,
> {
    hyper::service::service_fn(move |request: Request<Incoming>| {
        let (under_way, answer) = (requests.begin(), router.clone().oneshot(unread(request)));
        async move { answer.await.map(|answer| answer.map(|body| Tracked::new(body, under_way))) }
    })
}

fn unread(request: Request<Incoming>) -> Request {
    request.map(axum::body::Body::new)
}

fn builder(app: &App) -> Builder<TokioExecutor> {
    let settings = &app.parts.settings;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_timeout.max(settings.header_timeout))
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(HTTP2_RESETS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

/// The pulse, started again a few times if one of the parts panics in it.
async fn supervised_pulse(app: App) {
    for restart in 0..=PULSE_RESTARTS_MAX {
        match tokio::spawn(pulse::run(Arc::clone(&app))).await {
            Ok(()) => return,
            Err(err) => tracing::error!(error = %err, restart, "pulse failed"),
        }
        tokio::time::sleep(pulse::BEAT * 2_u32.pow(restart)).await;
    }
}

/// An open connection; counted down when it ends, however it ends.
struct Open {
    app: App,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Open connections by address.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

struct Place {
    addresses: Addresses,
    ip: IpAddr,
}

impl Addresses {
    fn enter(&self, ip: IpAddr) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(ip).or_default();
        if *count >= PER_ADDRESS_MAX && !ip.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.ip);
            }
        }
    }
}
