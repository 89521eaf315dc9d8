//! Real sockets: both protocols, slow clients, drain on stop.

use std::time::Duration;

use server::{ServerError, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fakes::World;

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
}

async fn start(set: impl FnOnce(&mut Settings)) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel();
    let mut parts = World::new().parts();
    set(&mut parts.settings);
    let ended = tokio::spawn(server::serve(listener, parts, async { drop(stopped.await) }));
    Running { address, stop, ended }
}

async fn exchange(stream: &mut TcpStream, request: &str, until: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("written");
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&bytes).contains(until) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const HEALTHY: &str = "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let running = start(|_| {}).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    for _ in 0..2 {
        let answer = exchange(&mut stream, HEALTHY, "healthy\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    drop(stream);
    running.stop.send(()).expect("running");
    running.ended.await.expect("no panic").expect("no error");
    assert!(TcpStream::connect(running.address).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn http2_without_tls_is_understood() {
    let running = start(|_| {}).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    // The preface and an empty SETTINGS frame; the server answers with its own SETTINGS (type 4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.expect("written");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4);
}

#[tokio::test]
async fn clients_that_say_nothing_or_too_little_are_dropped() {
    let running = start(|settings| settings.header_timeout = Duration::from_millis(50)).await;
    for first in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nHost"] {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        let answer = exchange(&mut stream, first, "never said").await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{first:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_between_requests_are_closed_after_the_idle_time_and_not_before() {
    let running = start(|settings| {
        settings.header_timeout = Duration::from_millis(300);
        // Ten pauses long, so that a busy machine does not make one of them look idle.
        settings.idle_timeout = Duration::from_secs(4);
    })
    .await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    for _ in 0..2 {
        exchange(&mut stream, HEALTHY, "healthy\n").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    // Still open after more than the time for a head; a head that has begun must be finished in that time.
    let answer = exchange(&mut stream, HEALTHY, "healthy\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let rest = exchange(&mut stream, "", "never said").await;
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "closed by the server: {rest}");
}

#[tokio::test]
async fn a_second_head_that_does_not_end_is_dropped() {
    let running = start(|settings| settings.header_timeout = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connected");
    exchange(&mut stream, HEALTHY, "healthy\n").await;
    let answer = exchange(&mut stream, "GET / HTTP/1.1\r\nHo", "never said").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn connections_are_limited_and_places_come_back() {
    let running = start(|settings| settings.connections_max = 1).await;
    let mut held = TcpStream::connect(running.address).await.expect("connected");
    assert!(exchange(&mut held, HEALTHY, "healthy\n").await.contains("200 OK"));
    let mut refused = TcpStream::connect(running.address).await.expect("connected");
    assert_eq!(exchange(&mut refused, HEALTHY, "healthy\n").await, "");
    drop(held);
    loop {
        let mut stream = TcpStream::connect(running.address).await.expect("connected");
        if exchange(&mut stream, HEALTHY, "healthy\n").await.contains("200 OK") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_live_streams_at_once() {
    let running = start(|_| {}).await;
    let mut idle = TcpStream::connect(running.address).await.expect("connected");
    exchange(&mut idle, HEALTHY, "healthy\n").await;
    let mut silent = TcpStream::connect(running.address).await.expect("connected");
    let mut live = TcpStream::connect(running.address).await.expect("connected");
    let head = exchange(&mut live, "GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n", "event: pulse").await;
    assert!(head.contains("text/event-stream"), "{head}");
    running.stop.send(()).expect("running");
    tokio::time::timeout(Duration::from_secs(8), running.ended)
        .await
        .expect("before the drain ends")
        .expect("no panic")
        .expect("no error");
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
}
