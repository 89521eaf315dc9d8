//! How many values a second one core puts into a quantile sketch: `cargo run --release -p sketch --example insert_rate`.

use std::io::Write as _;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let values: Vec<f64> = (0..1_000_000_u64)
        .map(|i| (sketch::wire::mix(i) >> 11) as f64 / (1_u64 << 53) as f64)
        .map(|u| 0.05 * (-(1.0 - u).ln()).powf(1.7) + 0.001)
        .collect();
    let mut sketch = sketch::QuantileSketch::default();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        sketch.insert_all(&values);
        best = best.min(start.elapsed().as_secs_f64());
    }
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    let (held, encoded) = (sketch.bytes(), bytes.len());
    let p99 = sketch.quantile(0.99);
    writeln!(std::io::stdout(), "{:.1} M values/s, p99 {p99:?}, {held} B held, {encoded} B encoded", 1.0 / best)
}
