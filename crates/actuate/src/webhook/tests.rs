//! Webhooks against a small server on loopback that answers as badly as told.

use super::*;
use crate::error::Retry;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

const NOW: Timestamp = Timestamp(1_795_244_400_000);

/// What the server does with one connection.
enum Reply {
    /// Writes this.
    Raw(Vec<u8>),
    /// Closes after reading the request.
    Drop,
    /// Says nothing for this long, then closes.
    Silent(Duration),
    /// Writes a head that promises more than it sends, byte by byte.
    Trickle,
}

fn status(line: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes())
}

struct Seen {
    head: String,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let wanted = format!("{}:", name.to_lowercase());
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&wanted))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

/// Serves the replies one after the other and hands over what it saw.
fn serve(replies: Vec<Reply>) -> (u16, Receiver<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (seen, received) = channel();
    std::thread::spawn(move || {
        for reply in replies {
            let Ok((stream, _)) = listener.accept() else { return };
            answer(stream, reply, &seen);
        }
    });
    (port, received)
}

fn answer(mut stream: TcpStream, reply: Reply, seen: &Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let _ = seen.send(Seen { head, body });
    match reply {
        Reply::Raw(bytes) => drop(stream.write_all(&bytes)),
        Reply::Drop => {}
        Reply::Silent(span) => std::thread::sleep(span),
        Reply::Trickle => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            for _ in 0..3 {
                let _ = stream.write_all(b"x");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn message() -> Message {
    Message {
        id: "7f".into(),
        idempotency_key: "key-1".into(),
        event_type: "io.foretide.recommendation.created".into(),
        source: "/foretide/ä".into(),
        subject: "deployment/shop/checkout".into(),
        time: NOW,
        approved_by: None,
        payload: json!({"proposed": {"replicas": 5}}),
    }
}

fn settings(port: u16) -> WebhookSettings {
    WebhookSettings {
        egress: Egress::parse(&["http://127.0.0.1", "http://hooks.test"]).expect("readable"),
        ..WebhookSettings::new("hook", format!("http://127.0.0.1:{port}/in?x=1"))
    }
}

fn hook(port: u16) -> WebhookActuator {
    // A name whose private addresses are fine is what the allow list needs for loopback in plain http.
    let settings = WebhookSettings { url: format!("http://hooks.test:{port}/in?x=1"), ..settings(port) };
    WebhookActuator::with_lookup(settings, Arc::new(Loopback::default())).expect("settings")
}

/// Answers loopback and counts how often it was asked.
#[derive(Debug, Default)]
struct Loopback(AtomicUsize);

impl Lookup for Loopback {
    fn lookup(&self, _: &str, _: Duration) -> std::io::Result<Vec<IpAddr>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    }
}

#[test]
fn a_binary_event_arrives_signed_and_keyed() {
    let (port, seen) = serve(vec![status("202 Accepted")]);
    let secret = Secret::new("0123456789abcdef");
    let with_headers = WebhookSettings {
        secret: Some(secret.clone()),
        headers: vec![("Authorization".into(), Secret::new("Bearer abc"))],
        url: format!("http://hooks.test:{port}/in?x=1"),
        ..settings(port)
    };
    let hook = WebhookActuator::with_lookup(with_headers, Arc::new(Loopback::default())).expect("settings");
    let receipt = hook.apply(&message(), NOW).expect("accepted");
    assert_eq!((receipt.status, receipt.repeated), (Some(202), false));
    let seen = seen.recv().expect("a request");
    assert!(seen.head.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{}", seen.head);
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "7f"),
        ("ce-type", "io.foretide.recommendation.created"),
        ("ce-source", "/foretide/%C3%A4"),
        ("ce-subject", "deployment/shop/checkout"),
        ("ce-time", "2026-11-21T07:00:00.000Z"),
        ("content-type", "application/json"),
        ("idempotency-key", "key-1"),
        ("authorization", "Bearer abc"),
        ("x-timestamp", "1795244400"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!(seen.body, br#"{"proposed":{"replicas":5}}"#);
    let signed = seen.header("x-signature").expect("a signature");
    assert!(verify_signature(&secret, "1795244400", signed, &seen.body, NOW, Millis::from_mins(5)));
    let plan = hook.plan(&message()).expect("a plan");
    assert!(!format!("{plan:?} {hook:?}").contains("abc") && !format!("{hook:?}").contains("0123456789abcdef"));
}

#[test]
fn a_structured_event_is_one_object() {
    let (port, seen) = serve(vec![status("200 OK")]);
    let settings =
        WebhookSettings { mode: ContentMode::Structured, url: format!("http://hooks.test:{port}/"), ..settings(port) };
    let hook = WebhookActuator::with_lookup(settings, Arc::new(Loopback::default())).expect("settings");
    hook.apply(&message(), NOW).expect("accepted");
    let seen = seen.recv().expect("a request");
    assert_eq!(seen.header("content-type"), Some("application/cloudevents+json"));
    assert_eq!(seen.header("ce-id"), None);
    let event: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!((&event["specversion"], &event["source"]), (&json!("1.0"), &json!("/foretide/ä")));
    assert_eq!(event["data"], message().payload);
}

#[test]
fn answers_decide_about_another_try() {
    let late = "503 Service Unavailable\r\nRetry-After: 7";
    for (line, retry) in [
        ("429 Too Many Requests", Retry::Backoff),
        ("500 Oops", Retry::Backoff),
        ("502 Bad Gateway", Retry::Backoff),
        (late, Retry::After(Millis::from_secs(7))),
        ("400 Bad Request", Retry::Never),
        ("401 Unauthorized", Retry::Never),
        ("404 Not Found", Retry::Never),
        ("409 Conflict", Retry::Never),
        ("301 Moved\r\nLocation: http://169.254.169.254/", Retry::Never),
        ("304 Not Modified", Retry::Never),
    ] {
        let (port, _seen) = serve(vec![status(line)]);
        let fault = hook(port).apply(&message(), NOW).expect_err(line);
        assert_eq!(fault.retry(), retry, "{line}: {fault}");
        assert!(!fault.to_string().contains("x=1"), "paths and queries are not logged: {fault}");
    }
}

#[test]
fn silence_drops_and_nonsense_may_be_tried_again() {
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(200_000)).into_bytes();
    for reply in [
        Reply::Drop,
        Reply::Raw(b"SSH-2.0-OpenSSH_9\r\n".to_vec()),
        Reply::Raw(long_head),
        Reply::Silent(Duration::from_secs(3)),
    ] {
        let (port, _seen) = serve(vec![reply]);
        let quick =
            WebhookSettings { timeout: Millis(300), url: format!("http://hooks.test:{port}/"), ..settings(port) };
        let hook = WebhookActuator::with_lookup(quick, Arc::new(Loopback::default())).expect("settings");
        let fault = hook.apply(&message(), NOW).expect_err("no answer");
        assert_eq!(fault.retry(), Retry::Backoff, "{fault}");
    }
    // Nobody listens.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a port").port();
    assert_eq!(hook(port).apply(&message(), NOW).expect_err("refused").retry(), Retry::Backoff);
}

#[test]
fn an_accepted_message_is_accepted_whatever_follows_the_status() {
    let endless =
        Reply::Raw([b"HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n".to_vec(), vec![b'x'; 3 << 20]].concat());
    for reply in [Reply::Trickle, endless] {
        let (port, _seen) = serve(vec![reply]);
        assert!(hook(port).apply(&message(), NOW).is_ok());
    }
}

#[test]
fn a_long_refusal_is_cut_and_printable() {
    let body = format!("no \u{1b}[31m{}", "y".repeat(2 << 20));
    let reply = format!("HTTP/1.1 422 No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let (port, _seen) = serve(vec![Reply::Raw(reply.into_bytes())]);
    let text = hook(port).apply(&message(), NOW).expect_err("refused").to_string();
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_repeat_carries_the_same_key_and_id() {
    let (port, seen) = serve(vec![Reply::Drop, status("500 Oops"), status("200 OK")]);
    let hook = hook(port);
    let results: Vec<bool> = (0..3).map(|_| hook.apply(&message(), NOW).is_ok()).collect();
    assert_eq!(results, [false, false, true]);
    for _ in 0..3 {
        let seen = seen.recv().expect("a request");
        assert_eq!((seen.header("idempotency-key"), seen.header("ce-id")), (Some("key-1"), Some("7f")));
    }
}

/// Answers a public address first and loopback afterwards.
#[derive(Debug)]
struct Rebinding(Mutex<Vec<IpAddr>>);

impl Lookup for Rebinding {
    fn lookup(&self, _: &str, _: Duration) -> std::io::Result<Vec<IpAddr>> {
        let mut left = self.0.lock().expect("not poisoned");
        Ok(vec![if left.len() > 1 { left.remove(0) } else { left[0] }])
    }
}

#[test]
fn a_name_is_looked_up_once_and_a_rebound_one_is_refused() {
    let (port, seen) = serve(vec![status("200 OK")]);
    let lookup = Arc::new(Loopback::default());
    let named = WebhookSettings { url: format!("http://hooks.test:{port}/"), ..settings(port) };
    let hook = WebhookActuator::with_lookup(named, Arc::<Loopback>::clone(&lookup)).expect("settings");
    hook.apply(&message(), NOW).expect("accepted");
    assert_eq!(lookup.0.load(Ordering::SeqCst), 1);
    assert!(seen.recv().is_ok());
    // Not allowed by name: the second answer is loopback and never connected to.
    let (port, seen) = serve(vec![status("200 OK")]);
    let rebinding = Rebinding(Mutex::new(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]));
    let url = format!("https://rebind.test:{port}/");
    let hook = WebhookActuator::with_lookup(WebhookSettings::new("hook", url), Arc::new(rebinding)).expect("settings");
    let fault = hook.apply(&message(), NOW).expect_err("loopback");
    assert_eq!(fault.retry(), Retry::Never, "{fault}");
    assert!(seen.try_recv().is_err());
}

#[test]
fn bad_settings_are_refused_at_the_start() {
    let good = || settings(1);
    let header =
        |name: &str, value: &str| WebhookSettings { headers: vec![(name.to_owned(), Secret::new(value))], ..good() };
    for (bad, says) in [
        (WebhookSettings { timeout: Millis(0), ..good() }, "timeout is 0s"),
        (WebhookSettings { timeout: Millis::from_secs(11), ..good() }, "at most 10s"),
        (WebhookSettings { secret: Some(Secret::new("short")), ..good() }, "shorter than 16"),
        (WebhookSettings { url: "not a url".into(), ..good() }, "not a URL"),
        (WebhookSettings { url: "ftp://x/".into(), ..good() }, "scheme"),
        (WebhookSettings { url: "https://u:p@x/".into(), ..good() }, "user names"),
        (header("X-A", "a\r\nX-Evil: 1"), "printable ASCII"),
        (header("X-A\r\nX-Evil", "a"), "not a header name"),
        (header("Host", "evil"), "set by us"),
        (header("ce-id", "evil"), "set by us"),
        (header("Transfer-Encoding", "chunked"), "set by us"),
    ] {
        let fault = WebhookActuator::new(bad).expect_err(says).to_string();
        assert!(fault.contains(says), "{fault}");
    }
}
