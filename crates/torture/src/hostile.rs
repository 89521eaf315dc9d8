//! R9: clients that mean no good, while good ones go on: slow heads, idle connections, bodies that claim too much.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock};

use crate::plan::{Outcome, Plan};
use crate::process::Process;
use crate::{http, remote_write};

/// Good requests timed before and during each attack.
const GOOD: usize = 60;
/// Memory that an attack may cost.
const GROWTH_MAX: f64 = 64.0 * 1024.0 * 1024.0;
/// A good request may take twice as long as in peace, but short times are noise.
const SLOWER_MAX: f64 = 2.0;
const NOISE: Duration = Duration::from_millis(250);

/// Runs every attack with `plan.count` connections.
pub fn run(plan: &Plan) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Process::start(&plan.binary, &folder.path().join("data"), &folder.path().join("serve.log"), &[]);
    let quiet = p99(server.address());
    let mut figures = Vec::new();
    type Attack = fn(&str, u64) -> Vec<TcpStream>;
    let attacks: [(&str, Attack); 5] = [
        ("idle connections", idle),
        ("slow heads", slow_heads),
        ("slow bodies", slow_bodies),
        ("huge lengths", huge_lengths),
        ("bombs", bombs),
    ];
    for (name, attack) in attacks {
        let before = server.figure("process_resident_memory_bytes").unwrap_or(0.0);
        let held = attack(server.address(), plan.count);
        let during = p99(server.address());
        let growth = server.figure("process_resident_memory_bytes").unwrap_or(0.0) - before;
        drop(held);
        let allowed = quiet.mul_f64(SLOWER_MAX).max(NOISE * plan.patience);
        assert!(during <= allowed, "{name}: good requests took {during:?}, in peace {quiet:?}");
        assert!(growth <= GROWTH_MAX, "{name}: memory grew by {:.0} MiB", growth / 1_048_576.0);
        figures.push(format!("{name} {during:.0?} +{:.0} MiB", (growth / 1_048_576.0).max(0.0)));
    }
    server.kill();
    Outcome::Passed(format!("p99 of good requests: quiet {quiet:.0?}; {}", figures.join(", ")))
}

/// The slowest but one of a hundred good writes and reads.
fn p99(address: &str) -> Duration {
    let mut took: Vec<Duration> = (0..GOOD)
        .map(|i| {
            let started = Instant::now();
            let mut batch = Batch::default();
            remote_write::put(&mut batch, &[("__name__", "good")], &[(SystemClock.now().0 + i as i64, 1.0)]);
            remote_write::send_all(address, &batch);
            http::get(address, "/api/v1/query?query=good").ok();
            started.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() * 99 / 100]
}

fn connect(address: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(2))).ok()?;
    Some(stream)
}

fn with(address: &str, count: u64, say: impl Fn(&mut TcpStream)) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        if let Some(mut stream) = connect(address) {
            say(&mut stream);
            held.push(stream);
        }
    }
    held
}

/// What an attacker's connection answers is of no interest; a refused one has had its effect.
fn say(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn idle(address: &str, count: u64) -> Vec<TcpStream> {
    with(address, count, |_| {})
}

fn slow_heads(address: &str, count: u64) -> Vec<TcpStream> {
    with(address, count, |stream| say(stream, b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nX-Slow: "))
}

fn slow_bodies(address: &str, count: u64) -> Vec<TcpStream> {
    let head = "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\nxx";
    with(address, count.min(64), |stream| say(stream, head.as_bytes()))
}

fn huge_lengths(address: &str, count: u64) -> Vec<TcpStream> {
    let head = "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\nContent-Length: 1073741824\r\n\r\n";
    with(address, count, |stream| say(stream, head.as_bytes()))
}

/// Small bodies that unpack to much: a claimed length of 4 GiB, and 30 MiB of empty series.
fn bombs(address: &str, count: u64) -> Vec<TcpStream> {
    let claims = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let many = snappy_of_empty_series();
    for i in 0..count.min(40) {
        let body: &[u8] = if i % 2 == 0 { &claims } else { &many };
        let sent = http::Connection::open(address)
            .and_then(|mut connection| connection.send("POST", remote_write::PATH, &remote_write::HEADERS, body));
        if let Ok(answer) = sent {
            assert!(
                (400..500).contains(&answer.status) || answer.status == 503,
                "a bomb was answered {}",
                answer.status
            );
        }
    }
    Vec::new()
}

/// Snappy's block format: a literal `0a 00` (an empty series), then copies of it, 64 bytes each.
fn snappy_of_empty_series() -> Vec<u8> {
    const SIZE: usize = 30 << 20;
    let mut out = Vec::new();
    let mut left = SIZE;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
    out.extend_from_slice(&[1 << 2, 0x0a, 0x00]);
    for _ in 0..(SIZE - 2) / 64 {
        out.extend_from_slice(&[63 << 2 | 2, 2, 0]);
    }
    out
}
