//! How many samples a second does one core decode? Requests of 10,000 series with ten labels and one sample each (what a
//! scrape sends), and of 100 series with 1,000 samples (what a backfill sends). Prints samples/s and the body's size.

use std::io::Write;
use std::time::{Duration, Instant};

use ingest::{Decoder, Limits, RequestHead, encode_write_request};
use series::{Batch, Labels, Timestamp};

fn request(n_series: usize, n_samples: usize) -> Batch {
    let mut batch = Batch::default();
    for i in 0..n_series {
        let pod = format!("checkout-7d9f8b6c5d-{i:05}");
        let labels = Labels::from_pairs([
            ("__name__", "container_cpu_usage_seconds_total"),
            ("cluster", "eu-west-1"),
            ("container", "checkout"),
            ("endpoint", "https-metrics"),
            ("image", "registry.example.com/shop/checkout:1.15.0"),
            ("instance", "10.24.3.17:10250"),
            ("job", "kubelet"),
            ("namespace", "shop"),
            ("node", "node-17"),
            ("pod", &pod),
        ]);
        batch.begin_labels(&labels.expect("names are unique")).expect("small");
        for k in 0..n_samples {
            batch.push(Timestamp(1_795_248_000_000 + 15_000 * k as i64), (i * 31 + k * 7) as f64 / 8.0);
        }
    }
    batch
}

fn main() {
    // Under `cargo test` the bench only shows that it runs.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let budget = Duration::from_millis(if is_bench { 2000 } else { 1 });
    let (mut decoder, mut batch) = (Decoder::new(Limits::default()), Batch::default());
    for (n_series, n_samples) in [(10_000, 1), (100, 1_000)] {
        let body = encode_write_request(&request(n_series, n_samples)).expect("small");
        let (start, mut n_decoded) = (Instant::now(), 0);
        while start.elapsed() < budget {
            let decoded = decoder.decode(&RequestHead::default(), &body, &mut batch).expect("valid");
            n_decoded += decoded.samples;
        }
        let per_second = n_decoded as f64 / start.elapsed().as_secs_f64() / 1e6;
        let line = format!("{n_series} series × {n_samples}: {per_second:.1} M samples/s, body {} bytes\n", body.len());
        std::io::stdout().write_all(line.as_bytes()).expect("stdout");
    }
}
