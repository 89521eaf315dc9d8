//! Metrics of this machine from procfs, under node_exporter's names so that dashboards for it work unchanged.

use std::sync::Arc;
use std::time::Duration;

use series::{Append, Batch, BatchTooLarge, Labels, Timestamp};

use super::Core;
use super::worker::Stop;

/// `/proc/stat` counts in hundredths of a second (USER_HZ, fixed by the kernel's interface).
const TICKS_PER_SECOND: f64 = 100.0;

/// Records this machine's metrics.
pub(crate) struct Recorder {
    core: Arc<Core>,
    append: Arc<dyn Append>,
    instance: String,
}

impl Recorder {
    pub(crate) fn new(core: Arc<Core>, append: Arc<dyn Append>) -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let instance = if name.trim().is_empty() { "localhost".into() } else { name.trim().to_owned() };
        Self { core, append, instance }
    }

    pub(crate) fn run(&self, stop: &Stop) {
        let every = self.core.settings.host.every.duration().max(Duration::from_secs(1));
        loop {
            let now = self.core.clock.now();
            match scrape(&self.instance, now) {
                Ok(batch) if !batch.is_empty() => {
                    if let Err(err) = self.append.append_wait(batch) {
                        tracing::warn!(%err, "host metrics not written");
                    }
                }
                Ok(_) => return, // No procfs here: nothing to record, now or later.
                Err(err) => tracing::warn!(%err, "host metrics not read"),
            }
            if stop.wait(every) {
                return;
            }
        }
    }
}

/// One reading of everything; empty where there is no procfs.
fn scrape(instance: &str, now: Timestamp) -> Result<Batch, BatchTooLarge> {
    let mut reading = Reading { batch: Batch::default(), instance, now };
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    cpu(&mut reading, &read("/proc/stat"))?;
    memory(&mut reading, &read("/proc/meminfo"))?;
    load(&mut reading, &read("/proc/loadavg"))?;
    network(&mut reading, &read("/proc/net/dev"))?;
    Ok(reading.batch)
}

struct Reading<'a> {
    batch: Batch,
    instance: &'a str,
    now: Timestamp,
}

impl Reading<'_> {
    fn put(&mut self, metric: &str, labels: &[(&str, &str)], value: f64) -> Result<(), BatchTooLarge> {
        let own = [("__name__", metric), ("instance", self.instance), ("job", "host")];
        let pairs = own.iter().chain(labels).copied();
        // Names here are constants and kernel names; a repeated one would be a fault of this file, not of the input.
        let Ok(labels) = Labels::from_pairs(pairs) else { return Ok(()) };
        self.batch.begin_labels(&labels)?;
        self.batch.push(self.now, value);
        Ok(())
    }
}

fn cpu(reading: &mut Reading<'_>, stat: &str) -> Result<(), BatchTooLarge> {
    const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")).filter(|n| !n.is_empty()) else {
            continue;
        };
        for (mode, ticks) in MODES.iter().zip(words) {
            if let Ok(ticks) = ticks.parse::<f64>() {
                reading.put("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], ticks / TICKS_PER_SECOND)?;
            }
        }
    }
    Ok(())
}

fn memory(reading: &mut Reading<'_>, meminfo: &str) -> Result<(), BatchTooLarge> {
    const WANTED: [&str; 6] = ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapFree"];
    for line in meminfo.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let kib = rest.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
        if let (true, Some(kib)) = (WANTED.contains(&name), kib) {
            reading.put(&format!("node_memory_{name}_bytes"), &[], kib * 1024.0)?;
        }
    }
    Ok(())
}

fn load(reading: &mut Reading<'_>, loadavg: &str) -> Result<(), BatchTooLarge> {
    for (metric, number) in ["node_load1", "node_load5", "node_load15"].iter().zip(loadavg.split_whitespace()) {
        if let Ok(value) = number.parse() {
            reading.put(metric, &[], value)?;
        }
    }
    Ok(())
}

fn network(reading: &mut Reading<'_>, dev: &str) -> Result<(), BatchTooLarge> {
    for line in dev.lines().skip(2) {
        let Some((device, rest)) = line.split_once(':') else { continue };
        let numbers: Vec<f64> = rest.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        if let (Some(received), Some(sent)) = (numbers.first(), numbers.get(8)) {
            let labels = [("device", device.trim())];
            reading.put("node_network_receive_bytes_total", &labels, *received)?;
            reading.put("node_network_transmit_bytes_total", &labels, *sent)?;
        }
    }
    Ok(())
}

/// CPU ticks so far, `(busy, all)`, for the page's gauge.
pub(crate) fn cpu_ticks() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
    let all: f64 = numbers.iter().sum();
    let idle = numbers.get(3)? + numbers.get(4)?;
    Some((all - idle, all))
}

/// Memory in use and in all, bytes.
pub(crate) fn memory_bytes() -> Option<(u64, u64)> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let (total, available) = (kib("MemTotal:")? * 1024, kib("MemAvailable:")? * 1024);
    Some((total.saturating_sub(available), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn procfs_texts_become_node_exporter_metrics() {
        let mut reading = Reading { batch: Batch::default(), instance: "a", now: Timestamp(1) };
        cpu(&mut reading, "cpu  1 2 3 4\ncpu0 100 0 50 1000 0 0 0 0\nintr 5\n").expect("small");
        memory(&mut reading, "MemTotal:       100 kB\nHugePages:   0\n").expect("small");
        load(&mut reading, "0.50 0.40 0.30 1/2 3\n").expect("small");
        network(&mut reading, "a\nb\n  eth0: 10 0 0 0 0 0 0 0 20 0\n").expect("small");
        let shown: Vec<_> = reading.batch.iter().map(|s| format!("{} {}", s.labels, s.values[0])).collect();
        assert_eq!(shown.len(), 8 + 1 + 3 + 2);
        assert!(
            shown.contains(&"node_cpu_seconds_total{cpu=\"0\", instance=\"a\", job=\"host\", mode=\"user\"} 1".into())
        );
        assert!(shown.contains(&"node_memory_MemTotal_bytes{instance=\"a\", job=\"host\"} 102400".into()));
    }
}
