//! What the bench found, for people and for programs.

use serde_json::{Value, json};

use super::disk::Usage;
use super::senders::Sent;

/// Bytes of a sample before anything is done about them: a time and a value.
const RAW_BYTES: f64 = 16.0;
const MIB: f64 = 1_048_576.0;

/// One run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) series: u64,
    pub(super) scrapes: u64,
    pub(super) samples: u64,
    pub(super) connections: usize,
    /// Samples a second that were kept to.
    pub(super) rate: Option<f64>,
    pub(super) sent: Sent,
    /// CPU time of the server at the last acknowledgement, when it was quiet, and after flush and merge.
    pub(super) cpu_s: [f64; 3],
    /// Its folder when it was quiet, and after flush and merge.
    pub(super) disk: [Usage; 2],
    pub(super) peak_memory_bytes: f64,
}

impl Report {
    /// A line a figure.
    pub(super) fn to_text(&self) -> String {
        let held = self.rate.map_or(String::new(), |rate| format!(", held to {rate:.0} samples/s"));
        let mut text = format!(
            "{} series × {} scrapes, {} samples, {} connections{held}\n",
            self.series, self.scrapes, self.samples, self.connections
        );
        let mut row = |what: &str, value: f64, unit: &str| {
            let value = if value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") };
            text.push_str(&format!("  {what:30} {value:>12}  {unit}\n"));
        };
        row("acknowledged", self.samples_per_s(), "samples/s");
        for (when, cpu_s) in ["at the last answer", "when quiet", "flush and merge included"].iter().zip(self.cpu_s) {
            row(&format!("CPU {when}"), cpu_s / self.millions(), "s/M samples");
        }
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            row(&format!("answer {what}"), self.ack_ms(share), "ms");
        }
        if self.sent.retries > 0 {
            row("requests sent again", self.sent.retries as f64, "");
        }
        for (when, usage) in ["before the merge", "after the merge"].iter().zip(self.disk) {
            row(&format!("folder {when}"), self.a_sample(usage.total()), "B/sample");
            for (part, bytes) in usage.parts().into_iter().filter(|(_, bytes)| *bytes > 0) {
                row(&format!("  {part}"), self.a_sample(bytes), "B/sample");
            }
        }
        row("smaller than time and value", RAW_BYTES / self.a_sample(self.disk[1].total()), "×");
        row("peak memory", self.peak_memory_bytes / MIB, "MiB");
        text
    }

    /// One JSON document.
    pub(super) fn to_json(&self) -> String {
        let [last_ack, settled, merged] = self.cpu_s.map(|cpu_s| figure(cpu_s / self.millions()));
        let [before, after] = self.disk.map(|usage| self.bytes_a_sample(usage));
        let document = json!({
            "series": self.series,
            "scrapes": self.scrapes,
            "samples": self.samples,
            "connections": self.connections,
            "rate": self.rate,
            "seconds": figure(self.sent.seconds),
            "samples_per_second": figure(self.samples_per_s()),
            "requests": self.sent.acks_ms.len(),
            "retries": self.sent.retries,
            "cpu_seconds_per_million": { "last_ack": last_ack, "settled": settled, "merged": merged },
            "ack_ms": {
                "p50": figure(self.ack_ms(0.5)),
                "p99": figure(self.ack_ms(0.99)),
                "max": figure(self.ack_ms(1.0)),
            },
            "bytes_per_sample": { "before_merge": before, "after_merge": after },
            "peak_rss_mib": figure(self.peak_memory_bytes / MIB),
        });
        document.to_string()
    }

    fn bytes_a_sample(&self, usage: Usage) -> Value {
        let part = |bytes: u64| figure(self.a_sample(bytes));
        json!({
            "log": part(usage.log),
            "chunks": part(usage.chunks),
            "series": part(usage.series),
            "rollups": part(usage.rollups),
            "control": part(usage.control),
            "other": part(usage.other),
            "total": part(usage.total()),
        })
    }

    fn samples_per_s(&self) -> f64 {
        self.samples as f64 / self.sent.seconds
    }

    fn millions(&self) -> f64 {
        self.samples as f64 / 1e6
    }

    fn a_sample(&self, bytes: u64) -> f64 {
        bytes as f64 / self.samples as f64
    }

    /// A quantile of the times to the answer; NaN without any.
    fn ack_ms(&self, share: f64) -> f64 {
        let acks = &self.sent.acks_ms;
        let place = (acks.len().saturating_sub(1) as f64 * share).round() as usize;
        acks.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Rounded; null for what could not be measured.
fn figure(value: f64) -> Value {
    json!((value * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_by_the_million_and_by_the_sample() {
        let report = Report {
            series: 100,
            scrapes: 20,
            samples: 2_000,
            connections: 4,
            rate: None,
            sent: Sent { seconds: 0.5, retries: 0, acks_ms: (1..=100).map(f64::from).collect() },
            cpu_s: [0.01, 0.02, f64::NAN],
            disk: [Usage { log: 4_000, ..Usage::default() }, Usage { chunks: 2_000, rollups: 500, ..Usage::default() }],
            peak_memory_bytes: 10.0 * MIB,
        };
        let json: Value = serde_json::from_str(&report.to_json()).expect("JSON");
        assert_eq!(json["samples_per_second"], 4_000.0);
        assert_eq!(json["cpu_seconds_per_million"], json!({ "last_ack": 5.0, "settled": 10.0, "merged": null }));
        assert_eq!(json["ack_ms"], json!({ "p50": 51.0, "p99": 99.0, "max": 100.0 }));
        assert_eq!(json["bytes_per_sample"]["before_merge"]["total"], 2.0);
        assert_eq!(json["bytes_per_sample"]["after_merge"]["rollups"], 0.25);
        let text = report.to_text();
        assert!(text.starts_with("100 series × 20 scrapes, 2000 samples, 4 connections\n"), "{text}");
        assert!(text.contains("\n  peak memory") && text.contains("\n    roll-ups"), "{text}");
    }
}
