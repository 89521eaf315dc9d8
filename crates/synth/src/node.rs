//! The database machines: a disk that fills, one that is emptied in time, CPU and memory.

use series::{BatchTooLarge, LabelError, Labels, Millis, Timestamp};

use crate::calendar::{Calendar, Season};
use crate::noise::{Noise, Wobble};
use crate::pod::Scrape;
use crate::service::Moment;
use crate::truth::Capacity;

const GIB: f64 = 1_073_741_824.0;
const PAGE: f64 = 4096.0;
const MEMORY_TOTAL: f64 = 64.0 * GIB;
const MOUNT: &str = "/var/lib/postgresql";
/// Modes of `node_cpu_seconds_total`.
const MODES: [&str; 4] = ["idle", "user", "system", "iowait"];

/// How a disk's used share moves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fill {
    /// A straight line through `at_end`, with a ripple of a day's logs.
    Line { at_end: f64, per_day: f64 },
    /// From `low` to `high` within a week, then emptied on Sunday night.
    Weekly { low: f64, high: f64 },
}

/// One machine.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    name: &'static str,
    fill: Fill,
    disk_bytes: f64,
    end: Timestamp,
    calendar: Calendar,
    busy: Wobble,
    noise: Noise,
    cpu: [f64; 4],
    avail: f64,
    memory: f64,
    series: NodeSeries,
}

#[derive(Debug, Clone)]
struct NodeSeries {
    cpu: Vec<Labels>,
    disk_size: Labels,
    disk_avail: Labels,
    memory_total: Labels,
    memory_available: Labels,
}

impl Node {
    /// Machine `i` of the catalogue: the first fills its disk to 90 % within 23 days of the end, the others never.
    pub(crate) fn new(
        i: usize,
        name: &'static str,
        calendar: Calendar,
        world: &crate::spec::FleetSpec,
    ) -> Result<Self, LabelError> {
        let step_s = Millis(world.step.millis()).as_secs_f64();
        let fill = match i {
            0 => Fill::Line { at_end: 0.71, per_day: 0.19 / 23.0 },
            _ => Fill::Weekly { low: 0.48, high: 0.62 },
        };
        let mut noise = Noise::new(world.seed, &format!("{name}/node"));
        let cpu = MODES.map(|mode| if mode == "idle" { noise.between(2e6, 4e6).round() } else { 4e5 });
        Ok(Self {
            name,
            fill,
            disk_bytes: if i == 0 { 500.0 * GIB } else { 250.0 * GIB },
            end: world.end(),
            calendar,
            busy: Wobble::new(Noise::new(world.seed, &format!("{name}/busy")), 0.05, 1200.0, step_s),
            noise,
            cpu,
            avail: 0.0,
            memory: 0.0,
            series: NodeSeries::new(name)?,
        })
    }

    pub(crate) fn step(&mut self, moment: Moment) {
        let load = self.calendar.level(Season::Evening, moment.at) * (1.0 + moment.market) * (1.0 + self.busy.step());
        let (user, system) = ((0.10 + 0.26 * load).min(0.7), 0.03 + 0.04 * load);
        let is_backup = (2.0..3.0).contains(&self.calendar.hour(moment.at));
        let iowait = if is_backup { 0.14 } else { 0.015 };
        for (total, share) in self.cpu.iter_mut().zip([1.0 - user - system - iowait, user, system, iowait]) {
            *total = ((*total + share * moment.step_s) * 100.0).round() / 100.0;
        }
        let used = self.used(moment.at) + 0.0002 * self.noise.normal();
        self.avail = (self.disk_bytes * (1.0 - used) / PAGE).round() * PAGE;
        let available = 0.42 - 0.10 * load + 0.003 * self.noise.normal();
        self.memory = (MEMORY_TOTAL * available / PAGE).round() * PAGE;
    }

    /// Used share of the disk, without noise.
    fn used(&self, at: Timestamp) -> f64 {
        match self.fill {
            Fill::Line { at_end, per_day } => {
                let days = (at - self.end).0 as f64 / 86_400_000.0;
                let ripple = 0.003 * (self.calendar.hour(at) / 24.0 - 0.5);
                (at_end + per_day * days + ripple).clamp(0.05, 0.999)
            }
            Fill::Weekly { low, high } => low + (high - low) * self.calendar.week_share(at),
        }
    }

    /// When 90 % and all of the disk are used.
    pub(crate) fn capacity(&self) -> Vec<Capacity> {
        let of = |metric: &str| format!("{metric}{{instance=\"{}:9100\",mountpoint=\"{MOUNT}\"}}", self.name);
        let used = format!("1 - {} / {}", of("node_filesystem_avail_bytes"), of("node_filesystem_size_bytes"));
        let entry = |limit: f64| {
            let (used_at_end, growth_per_day) = match self.fill {
                Fill::Line { at_end, per_day } => (at_end, per_day),
                Fill::Weekly { .. } => (self.used(self.end), 0.0),
            };
            let days = (limit - used_at_end) / growth_per_day;
            let fills = growth_per_day > 0.0;
            Capacity {
                resource: format!("{} {MOUNT}", self.name),
                used: used.clone(),
                limit,
                used_at_end,
                growth_per_day,
                true_fill_date: fills.then(|| self.end + Millis((days * 86_400_000.0).round() as i64)),
            }
        };
        [0.9, 1.0].map(entry).into()
    }

    pub(crate) fn emit(&self, scrape: &mut Scrape<'_>) -> Result<(), BatchTooLarge> {
        for (labels, seconds) in self.series.cpu.iter().zip(self.cpu) {
            scrape.put(labels, seconds)?;
        }
        scrape.put(&self.series.disk_size, self.disk_bytes)?;
        scrape.put(&self.series.disk_avail, self.avail)?;
        scrape.put(&self.series.memory_total, MEMORY_TOTAL)?;
        scrape.put(&self.series.memory_available, self.memory)
    }

    pub(crate) fn n_series(&self) -> usize {
        MODES.len() + 4
    }
}

impl NodeSeries {
    fn new(name: &str) -> Result<Self, LabelError> {
        let instance = format!("{name}:9100");
        let labels = |metric: &str, more: &[(&str, &str)]| {
            let common = [("__name__", metric), ("job", "node"), ("instance", instance.as_str())];
            Labels::from_pairs(common.iter().chain(more).copied())
        };
        let disk = [("device", "/dev/nvme1n1"), ("fstype", "ext4"), ("mountpoint", MOUNT)];
        let cpu = |mode: &&str| labels("node_cpu_seconds_total", &[("cpu", "0"), ("mode", mode)]);
        Ok(Self {
            cpu: MODES.iter().map(cpu).collect::<Result<_, _>>()?,
            disk_size: labels("node_filesystem_size_bytes", &disk)?,
            disk_avail: labels("node_filesystem_avail_bytes", &disk)?,
            memory_total: labels("node_memory_MemTotal_bytes", &[])?,
            memory_available: labels("node_memory_MemAvailable_bytes", &[])?,
        })
    }
}
