//! From samples to a receiver: advice goes through the outbox to a file and to a webhook, once, also after a crash.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::folder;
use crate::remote_write;
use crate::server::Server;

const DAY: i64 = 86_400_000;
/// Longest wait for a delivery.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as the webhook saw it.
struct Seen {
    headers: Vec<(String, String)>,
    body: serde_json::Value,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }
}

/// Answers requests on a port of its own: the first with 503, the others with 204.
fn webhook() -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/advice", listener.local_addr().expect("an address"));
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            drop(answer(stream, number == 0, &send));
        }
    });
    (url, receive)
}

fn answer(stream: TcpStream, busy: bool, send: &Sender<Seen>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut headers, mut line) = (Vec::new(), String::new());
    reader.read_line(&mut line)?;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let status = if busy { "503 Service Unavailable" } else { "204 No Content" };
    write!(reader.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")?;
    if !busy {
        // The test may have ended already.
        drop(send.send(Seen { headers, body: serde_json::from_slice(&body).unwrap_or_default() }));
    }
    Ok(())
}

/// Six days of a disk that grows by a twentieth a day.
fn filling_disk() -> Batch {
    let now = SystemClock.now().0;
    let mut batch = Batch::default();
    let labels = |name| [("__name__", name), ("fstype", "ext4"), ("instance", "db:9100"), ("mountpoint", "/")];
    let times: Vec<i64> = (0..=6 * 24 * 30).map(|step| now - 6 * DAY + step * 120_000).collect();
    let avail = |at: &i64| (*at, 1e12 * (0.35 - 0.05 * (at - now) as f64 / DAY as f64));
    remote_write::put(&mut batch, &labels("node_filesystem_avail_bytes"), &times.iter().map(avail).collect::<Vec<_>>());
    let size = |at: &i64| (*at, 1e12);
    remote_write::put(&mut batch, &labels("node_filesystem_size_bytes"), &times.iter().map(size).collect::<Vec<_>>());
    batch
}

fn documents(folder: &Path) -> Vec<serde_json::Value> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
}

#[test]
fn advice_reaches_file_and_webhook_once_and_survives_a_crash() {
    let (own, (url, seen)) = (folder::fresh(), webhook());
    let (data, advice) = (own.path().join("data"), own.path().join("advice"));
    let notify = serde_json::json!([{"type": "file", "path": advice}, {"type": "webhook", "url": url}]).to_string();
    let variables = [
        ("FORETIDE__HOST__ENABLED", "false"),
        ("FORETIDE__STREAMS__STARTERS", "false"),
        ("FORETIDE__SCALING__MODE", "recommend"),
        ("FORETIDE__CAPACITY__EVERY", "1s"),
        ("FORETIDE__EGRESS__ALLOW", r#"["http://127.0.0.1"]"#),
        ("FORETIDE__STORE__OOO_WINDOW", "30d"),
        ("FORETIDE__NOTIFY", notify.as_str()),
    ];
    let server = Server::start_with(&data, &variables);
    remote_write::send_all(server.address(), &filling_disk());

    let first = seen.recv_timeout(PATIENCE).expect("the webhook gets the advice after its 503");
    assert_eq!(first.header("ce-specversion"), "1.0");
    assert_eq!(first.header("ce-type"), "io.foretide.recommendation.created");
    assert!(!first.header("Idempotency-Key").is_empty());
    assert_eq!((&first.body["kind"], &first.body["target"]), (&"capacity".into(), &"db disk".into()));
    let started = Instant::now();
    while documents(&advice).is_empty() && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(documents(&advice).len(), 1);

    server.kill();
    let server = Server::start_with(&data, &variables);
    let audit = server.sql("SELECT verb, count(*) AS n FROM audit GROUP BY verb ORDER BY verb", "csv").ok().text();
    assert!(audit.contains("notify,"), "{audit}");
    // A repeat may come when the crash fell between sending and noting it; it then carries the same key.
    while let Ok(again) = seen.recv_timeout(Duration::from_secs(3)) {
        assert_eq!(again.header("Idempotency-Key"), first.header("Idempotency-Key"));
    }
    assert_eq!(documents(&advice).len(), 1);
    server.stop();
}
