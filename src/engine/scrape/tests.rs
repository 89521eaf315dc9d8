//! Scraping against servers of our own on loopback: labels, markers, bounds, forbidden addresses, phases.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::mpsc;

use series::{AppendError, Appended, Batch, ManualClock, is_stale};
use server::Health;

use super::*;
use crate::settings::{BasicAuth, Settings, Span};

const NOW: Timestamp = Timestamp(1_795_271_520_000);

/// Keeps what is written, a line a sample; with its time unless that is now, as far as the grid of the target, whose port is
/// another each time, lets it be.
#[derive(Default)]
struct Sink(Mutex<Vec<String>>);

impl Append for Sink {
    fn append(&self, batch: Batch, done: Box<dyn FnOnce(Result<Appended, AppendError>) + Send>) {
        let lines = batch.iter().flat_map(|s| {
            let samples = s.timestamps.iter().zip(s.values);
            let show = move |(at, value): (&i64, &f64)| {
                let value = if is_stale(*value) { "stale".to_owned() } else { value.to_string() };
                format!(
                    "{} {value}{}",
                    s.labels,
                    if (*at - NOW.0).abs() <= ALIGN_MAX.0 { String::new() } else { format!(" @{at}") }
                )
            };
            samples.map(show).collect::<Vec<_>>()
        });
        lock(&self.0).extend(lines);
        done(Ok(Appended { samples: batch.n_samples() as u64, ..Appended::default() }));
    }
}

/// Answers one connection after the other with the given bytes and tells what it was asked.
fn serve(answers: Vec<Vec<u8>>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let (send, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut chunk) {
                    Ok(n) if n > 0 => head.extend_from_slice(&chunk[..n]),
                    _ => break,
                }
            }
            let _ = send.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(&answer);
        }
    });
    (address, asked)
}

fn page(content_type: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

fn job(target: &str) -> ScrapeJob {
    let text = format!("{{name: node, targets: ['{target}'], labels: {{zone: z}}}}");
    serde_saphyr::from_str(&text).expect("a job")
}

fn scraper(job: ScrapeJob) -> (Scraper, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    let settings = ScrapeSettings { jobs: vec![job], timeout: Span::seconds(2), ..ScrapeSettings::default() };
    let clock = Arc::new(ManualClock::new(NOW));
    let scraper =
        Scraper::new(&settings, &Limits::default(), Arc::clone(&sink) as Arc<dyn Append>, clock).expect("valid");
    (scraper, sink)
}

/// Scrapes the first target and gives what was written, without the scrape's own series but `up`.
fn scrape(scraper: &Scraper, sink: &Sink) -> Vec<String> {
    scraper.scrape(0);
    let own = |line: &String| line.starts_with("scrape_");
    std::mem::take(&mut *lock(&sink.0)).into_iter().filter(|line| !own(line)).collect()
}

#[test]
fn samples_get_the_targets_labels_and_series_that_go_get_a_marker() {
    let first = page("text/plain; version=0.0.4", "a{job=\"own\"} 1\nb 2\nold 7 1000\n");
    let second = page("application/openmetrics-text; version=1.0.0", "a{job=\"own\"} 3\n# EOF\n");
    let (address, asked) = serve(vec![first, second, b"HTTP/1.1 500 no\r\n\r\n".to_vec()]);
    let (scraper, sink) = scraper(job(&address));
    let own = format!("instance=\"{address}\", job=\"node\", zone=\"z\"");
    let a = format!("a{{exported_job=\"own\", {own}}}");
    let wanted = [format!("{a} 1"), format!("b{{{own}}} 2"), format!("old{{{own}}} 7 @1000"), format!("up{{{own}}} 1")];
    assert_eq!(scrape(&scraper, &sink), wanted);
    let head = asked.recv().expect("asked").to_ascii_lowercase();
    assert!(
        head.starts_with("get /metrics http/1.1\r\n") && head.contains("accept: application/openmetrics-text"),
        "{head}"
    );
    assert!(head.contains("x-prometheus-scrape-timeout-seconds: 2\r\n"), "{head}");
    assert_eq!(scrape(&scraper, &sink), [format!("{a} 3"), format!("b{{{own}}} stale"), format!("up{{{own}}} 1")]);
    assert_eq!(scraper.targets()[0].health, Health::Up);
    assert_eq!(scrape(&scraper, &sink), [format!("{a} stale"), format!("up{{{own}}} 0")]);
    let status = &scraper.targets()[0];
    assert_eq!((status.health, status.last_error.as_str()), (Health::Down, "answered 500"));
    assert_eq!(scrape(&scraper, &sink), [format!("up{{{own}}} 0")], "nobody listens any more; markers come once");
}

#[test]
fn honoured_labels_win_and_credentials_are_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "pass\n").expect("written");
    let (address, asked) = serve(vec![page("text/plain", "a{job=\"own\"} 1 5\n")]);
    let password = format!("file:{}", secret.display());
    let (scraper, sink) = scraper(ScrapeJob {
        honor_labels: true,
        honor_timestamps: false,
        metrics_path: "/probe?module=x".into(),
        basic_auth: Some(BasicAuth { username: "user".into(), password }),
        ..job(&address)
    });
    assert_eq!(scrape(&scraper, &sink)[0], format!("a{{instance=\"{address}\", job=\"own\", zone=\"z\"}} 1"));
    let head = asked.recv().expect("asked");
    assert!(head.starts_with("GET /probe?module=x "), "{head}");
    assert!(head.contains("authorization: Basic dXNlcjpwYXNz\r\n"), "{head}");
    assert!(!scraper.targets()[0].url.contains("pass"));
}

#[test]
fn what_is_wrong_with_a_scrape_is_told_and_nothing_of_it_is_kept() {
    let gzip_bomb = {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&vec![b'#'; 4 << 20]).expect("memory");
        let body = packed.finish().expect("memory");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    };
    let openmetrics = "application/openmetrics-text";
    for (answer, why) in [
        (page("text/plain", "good 1\nbad\n"), "the line cannot be read: line 2: there is no value: bad"),
        (page(openmetrics, "a 1\n"), "text does not end with `# EOF`; it was cut off on its way"),
        (
            page("text/plain", "a 1\nb 2\nc 3\n"),
            "request holds 3 series, more than the limit of 2; send smaller batches",
        ),
        (page("text/plain", &"# padding\n".repeat(200_000)), "the answer is larger than 1048576 bytes"),
        (gzip_bomb, "body unpacks to more than the limit of 1048576 bytes; send smaller batches"),
        (page("text/plain", "a 1").replace_length(100), ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec(), "answered 302"),
        (b"SSH-2.0-hello\r\n".to_vec(), ""),
    ] {
        let (address, _asked) = serve(vec![answer]);
        let (scraper, sink) = scraper(ScrapeJob { sample_limit: Some(2), body_limit_mib: Some(1), ..job(&address) });
        let lines = scrape(&scraper, &sink);
        assert_eq!(lines.len(), 1, "{why}: {lines:?}");
        assert!(lines[0].starts_with("up{") && lines[0].ends_with(" 0"), "{lines:?}");
        let found = scraper.targets()[0].last_error.clone();
        assert!(if why.is_empty() { !found.is_empty() } else { found == why }, "{why}: {found}");
    }
}

trait ReplaceLength {
    fn replace_length(self, length: usize) -> Self;
}

impl ReplaceLength for Vec<u8> {
    /// Announces more than there is.
    fn replace_length(self, length: usize) -> Self {
        String::from_utf8(self).expect("text").replace("Content-Length: 3", &format!("Content-Length: {length}")).into()
    }
}

#[derive(Debug)]
struct Answers(Vec<IpAddr>);

impl Lookup for Answers {
    fn lookup(&self, _: &str, _: Duration) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.clone())
    }
}

#[test]
fn names_with_one_forbidden_address_are_not_connected_to() {
    let mixed = Answers(vec!["127.0.0.1".parse().expect("an address"), "169.254.169.254".parse().expect("an address")]);
    let settings = ScrapeSettings { jobs: vec![job("sly.example:80")], ..ScrapeSettings::default() };
    let sink = Arc::new(Sink::default());
    let append = Arc::clone(&sink) as Arc<dyn Append>;
    let clock = Arc::new(ManualClock::new(NOW));
    let scraper = Scraper::with_lookup(&settings, &Limits::default(), append, clock, Arc::new(mixed)).expect("valid");
    scrape(&scraper, &sink);
    let fault = &scraper.targets()[0].last_error;
    assert!(fault.contains("169.254.169.254 is a link-local address"), "{fault}");
    for target in ["169.254.169.254:80", "[fd00:ec2::254]:80", "8.8.8.8:80", "[::ffff:169.254.169.254]:80"] {
        let (scraper, sink) = super::tests::scraper(job(target));
        assert_eq!(scrape(&scraper, &sink).len(), 1, "{target}");
        let fault = &scraper.targets()[0].last_error;
        assert!(fault.contains("never scraped") || fault.contains("scrape.allow"), "{target}: {fault}");
    }
}

#[test]
fn configurations_that_cannot_work_are_refused_with_their_key() {
    let fault = |yaml: &str| match Settings::load(None, [("FORETIDE__SCRAPE".into(), yaml.into())]) {
        Ok(_) => panic!("{yaml} is taken"),
        Err(err) => err.to_string(),
    };
    for (yaml, part) in [
        (r#"{"jobs": [{"name": "a", "targets": ["h:1"]}, {"name": "a", "targets": ["h:2"]}]}"#, "unique"),
        (r#"{"jobs": [{"name": "a", "targets": ["h:1"], "timeout": "1m"}]}"#, "timeout is longer"),
        (r#"{"jobs": [{"name": "a", "targets": ["h:1", "h:1"]}]}"#, "twice"),
        (r#"{"jobs": [{"name": "a", "targets": ["http://h:1"]}]}"#, "host:port"),
        (r#"{"jobs": [{"name": "a", "targets": ["u:p@h:1"]}]}"#, "host:port"),
        (r#"{"jobs": [{"name": "a", "targets": ["h:1"], "labels": {"job": "x"}}]}"#, "`job` is set"),
        (r#"{"jobs": [{"name": "a", "targets": ["h:1"], "bearer_token": "plain"}]}"#, "not the secret itself"),
        (r#"{"jobs": [{"name": "a", "targets": ["h:1"], "metrics_path": "m"}]}"#, "metrics_path"),
        (r#"{"allow": ["10.0.0.0/99"]}"#, "scrape.allow"),
        (r#"{"sample_limit": 0}"#, "at least 1"),
    ] {
        let found = fault(yaml);
        assert!(found.contains(part), "{yaml}: {found}");
    }
}

#[test]
fn targets_are_spread_over_the_interval_and_keep_their_phase() {
    let interval = Millis::from_secs(15);
    let phases: Vec<i64> = (0..300).map(|i| phase(&labels(&job("x"), &format!("10.0.0.1:{i}")), interval).0).collect();
    let per_third = |i: i64| phases.iter().filter(|phase| **phase / 5000 == i).count();
    assert!((0..3).all(|third| per_third(third) > 70), "{phases:?}");
    let own = labels(&job("x"), "10.0.0.1:1");
    for now in [0, 7_499, 14_999, NOW.0] {
        let first = now + first_pause(&own, interval, Timestamp(now)).as_millis() as i64;
        assert_eq!(first.rem_euclid(interval.0), phase(&own, interval).0);
    }
}

#[test]
fn times_are_put_on_the_grid_when_they_are_near() {
    let at = |now| aligned(Timestamp(now), Millis(3), Millis(10_000)).0;
    assert_eq!([at(10_003), at(10_050), at(9_950), at(10_103)], [10_003, 10_003, 10_003, 10_003]);
    assert_eq!([at(10_104), at(9_902), at(15_000)], [10_104, 9_902, 15_000]);
}
