//! Right-sizing: CPU and memory requests from what a container really used.
//!
//! CPU request: the decayed quantile of usage, but never below a peak that comes back (an hour that was this busy on
//! two different days): a weekly batch of a few hours hides from a P95 and starves every week. Memory request: the
//! highest usage or kill in the window plus headroom, never below the observed peak. Limits keep their ratio to the
//! request where one was set and are never invented.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::cost::Prices;
use crate::lenient;
use crate::quantity::{human_bytes, human_cpu};
use crate::recommendation::Confidence;
use crate::robust;
use crate::target::Target;

const DAY_MS: f64 = 86_400_000.0;
const HOUR_MS: i64 = 3_600_000;
const MIB: f64 = 1_048_576.0;

/// One usage sample of one container (of the busiest pod, or of every pod one after the other).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UsageSample {
    /// Milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// Cores or bytes.
    #[serde(with = "lenient::float")]
    pub value: f64,
}

/// The kernel killed the container for memory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OomEvent {
    /// Milliseconds UTC.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// The memory limit (or request) it had then, bytes.
    #[serde(with = "lenient::float")]
    pub limit_bytes: f64,
}

/// Requests and limits of one container; absent is "not set".
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Cores.
    pub cpu_request_cores: Option<f64>,
    /// Cores.
    pub cpu_limit_cores: Option<f64>,
    /// Bytes.
    pub memory_request_bytes: Option<f64>,
    /// Bytes.
    pub memory_limit_bytes: Option<f64>,
}

/// Everything known of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerUsage {
    /// The workload.
    pub target: Target,
    /// Container name.
    pub container: String,
    /// Pods of the workload.
    pub replicas: u32,
    /// What is set now.
    pub current: Resources,
    /// CPU usage in cores, any order.
    pub cpu_cores: Vec<UsageSample>,
    /// Memory working set in bytes, any order.
    pub memory_bytes: Vec<UsageSample>,
    /// Kills for memory.
    pub ooms: Vec<OomEvent>,
    /// An autoscaler aims at CPU utilization: changing the request would change the replicas, and the replicas the
    /// usage (krr#80), so CPU is left alone.
    pub hpa_on_cpu: bool,
    /// An autoscaler aims at memory utilization.
    pub hpa_on_memory: bool,
    /// PromQL that shows the usage.
    pub evidence_query: String,
}

/// How to size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RightsizePolicy {
    /// Quantile of CPU usage to request, in (0, 1].
    #[serde(alias = "cpuQuantile")]
    pub cpu_quantile: f64,
    /// Share on top of the memory peak.
    #[serde(alias = "memoryHeadroom")]
    pub memory_headroom: f64,
    /// How far back; full confidence needs data for all of it.
    #[serde(with = "lenient::span")]
    pub window: Millis,
    /// Half of a CPU sample's weight is gone after this.
    #[serde(with = "lenient::span", alias = "halfLife")]
    pub half_life: Millis,
    /// With less data there is no advice.
    #[serde(alias = "minDays")]
    pub min_days: f64,
    /// Changes below this share of the present request are not worth a restart.
    pub tolerance: f64,
    /// Least CPU request and CPU rounding, cores.
    pub cpu_unit_cores: f64,
    /// Least memory request and memory rounding, bytes.
    pub memory_unit_bytes: f64,
    /// Keep CPU requests above peaks that come back.
    pub recurring_peaks: bool,
}

impl Default for RightsizePolicy {
    fn default() -> Self {
        Self {
            cpu_quantile: 0.95,
            memory_headroom: 0.15,
            window: Millis::from_days(14),
            half_life: Millis::from_days(7),
            min_days: 7.0,
            tolerance: 0.1,
            cpu_unit_cores: 0.01,
            memory_unit_bytes: 16.0 * MIB,
            recurring_peaks: true,
        }
    }
}

/// A right-sizing policy that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("right-sizing: {field} is {value}, it must be {rule}")]
pub struct SizingError {
    field: &'static str,
    value: f64,
    rule: &'static str,
}

/// What to do with one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Too little data, or an autoscaler owns it.
    None,
    /// The present request is right.
    Keep,
    /// Ask for less.
    Lower,
    /// Ask for more: at risk as it is.
    Raise,
}

/// Advice for one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sizing {
    /// The workload.
    pub target: Target,
    /// Container name.
    pub container: String,
    /// Pods of the workload.
    pub replicas: u32,
    /// What is set now.
    pub current: Resources,
    /// What should be set; equal to `current` where nothing changes.
    pub proposed: Resources,
    /// What happens to CPU.
    pub cpu: Advice,
    /// What happens to memory.
    pub memory: Advice,
    /// How sure.
    pub confidence: Confidence,
    /// Days with data inside the window.
    pub days: f64,
    /// Days still missing for full confidence.
    pub days_missing: f64,
    /// Highest CPU usage in the window, cores.
    pub cpu_peak_cores: Option<f64>,
    /// Highest memory usage in the window, bytes.
    pub memory_peak_bytes: Option<f64>,
    /// Kills for memory in the window.
    pub ooms: u32,
    /// For people.
    pub why: String,
    /// Saving of all pods a month, negative when more is needed.
    pub saving_monthly: f64,
    /// PromQL that shows the usage.
    pub evidence_query: String,
}

impl RightsizePolicy {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`SizingError`] names the field, the value and the rule.
    pub fn validate(&self) -> Result<(), SizingError> {
        let days = self.window.0 as f64 / DAY_MS;
        let rules = [
            ("cpu_quantile", self.cpu_quantile, self.cpu_quantile > 0.0 && self.cpu_quantile <= 1.0, "in (0, 1]"),
            ("memory_headroom", self.memory_headroom, (0.0..=10.0).contains(&self.memory_headroom), "in [0, 10]"),
            ("window (days)", days, (1.0..=366.0).contains(&days), "from 1d to 366d"),
            ("half_life (ms)", self.half_life.0 as f64, self.half_life.0 > 0, "positive"),
            ("min_days", self.min_days, self.min_days > 0.0 && self.min_days <= days, "positive and inside the window"),
            ("tolerance", self.tolerance, (0.0..1.0).contains(&self.tolerance), "in [0, 1)"),
            ("cpu_unit_cores", self.cpu_unit_cores, self.cpu_unit_cores >= 0.001, "at least 0.001"),
            ("memory_unit_bytes", self.memory_unit_bytes, self.memory_unit_bytes >= 1.0, "at least 1"),
        ];
        match rules.into_iter().find(|rule| !rule.2) {
            Some((field, value, _, rule)) => Err(SizingError { field, value, rule }),
            None => Ok(()),
        }
    }
}

/// Sizes one container as of `now`.
///
/// # Errors
/// [`SizingError`] when the policy is not valid. Too little data is not an error: the advice is then
/// [`Advice::None`] and says how many days are missing.
pub fn rightsize(
    now: Timestamp,
    usage: &ContainerUsage,
    policy: &RightsizePolicy,
    prices: &Prices,
) -> Result<Sizing, SizingError> {
    policy.validate()?;
    let cpu = window_of(now, &usage.cpu_cores, policy);
    let memory = window_of(now, &usage.memory_bytes, policy);
    let days = days_of(&cpu).min(days_of(&memory));
    let window_days = policy.window.0 as f64 / DAY_MS;
    let ooms = usage.ooms.iter().filter(|oom| in_window(now, oom.at, policy) && oom.limit_bytes.is_finite());
    let mut sizing = Sizing {
        target: usage.target.clone(),
        container: usage.container.clone(),
        replicas: usage.replicas,
        current: usage.current,
        proposed: usage.current,
        cpu: Advice::None,
        memory: Advice::None,
        confidence: confidence(days, policy, window_days),
        days: (days * 10.0).round() / 10.0,
        days_missing: ((window_days - days).max(0.0) * 10.0).round() / 10.0,
        cpu_peak_cores: peak(&cpu),
        memory_peak_bytes: peak(&memory),
        ooms: u32::try_from(ooms.clone().count()).unwrap_or(u32::MAX),
        why: String::new(),
        saving_monthly: 0.0,
        evidence_query: usage.evidence_query.clone(),
    };
    // A kill is a fact, not a statistic: memory is raised for it on the first day.
    let needed_after_oom =
        ooms.map(|oom| (oom.limit_bytes + 100.0 * MIB).max(oom.limit_bytes * 1.2)).fold(0.0, f64::max);
    if sizing.confidence == Confidence::None {
        size_memory_after_oom(&mut sizing, needed_after_oom, policy);
    } else {
        let notes = [
            size_cpu(&mut sizing, now, &cpu, usage.hpa_on_cpu, policy),
            size_memory(&mut sizing, needed_after_oom, usage.hpa_on_memory, policy),
        ];
        sizing.why = notes.into_iter().flatten().collect::<Vec<_>>().join("; ");
    }
    sizing.saving_monthly = saving(&sizing, prices);
    Ok(sizing)
}

impl Sizing {
    /// Whether anything would change.
    pub fn changes(&self) -> bool {
        self.current != self.proposed
    }

    /// Whether a resource is too small as it is, so that this container comes first.
    pub fn is_at_risk(&self) -> bool {
        self.memory == Advice::Raise || self.ooms > 0
    }
}

fn in_window(now: Timestamp, at: Timestamp, policy: &RightsizePolicy) -> bool {
    at <= now && now - at <= policy.window
}

fn window_of(now: Timestamp, samples: &[UsageSample], policy: &RightsizePolicy) -> Vec<UsageSample> {
    let usable = |s: &&UsageSample| s.value.is_finite() && s.value >= 0.0 && in_window(now, s.at, policy);
    samples.iter().filter(usable).copied().collect()
}

/// Days with data: distinct hours that have a sample, so that gaps and double samples count for what they are.
fn days_of(samples: &[UsageSample]) -> f64 {
    let mut hours: Vec<i64> = samples.iter().map(|sample| sample.at.0.div_euclid(HOUR_MS)).collect();
    hours.sort_unstable();
    hours.dedup();
    hours.len() as f64 / 24.0
}

fn peak(samples: &[UsageSample]) -> Option<f64> {
    samples.iter().map(|sample| sample.value).reduce(f64::max)
}

fn confidence(days: f64, policy: &RightsizePolicy, window_days: f64) -> Confidence {
    if days < policy.min_days {
        Confidence::None
    } else if days >= window_days * 0.97 {
        Confidence::High
    } else if days >= (policy.min_days + window_days) / 2.0 {
        Confidence::Medium
    } else {
        Confidence::Low
    }
}

fn round_up(value: f64, unit: f64) -> f64 {
    let units = (value / unit - 1e-9).ceil().max(1.0);
    // 42 · 0.01 is not 0.42 in binary; rounded to whole nanocores it is.
    if unit < 1.0 { (units * unit * 1e9).round() / 1e9 } else { units * unit }
}

fn size_cpu(
    sizing: &mut Sizing,
    now: Timestamp,
    samples: &[UsageSample],
    hpa: bool,
    policy: &RightsizePolicy,
) -> Option<String> {
    if hpa {
        return Some("an autoscaler aims at CPU, so its request is left alone".into());
    }
    let weight = |at: Timestamp| (-((now - at).0 as f64) / policy.half_life.0 as f64).exp2();
    let mut pairs: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.value, weight(sample.at))).collect();
    let quantile = robust::weighted_quantile(&mut pairs, policy.cpu_quantile)?;
    let recurring = if policy.recurring_peaks { recurring_peak(samples) } else { None };
    let mut why = format!("cpu p{} {}", (policy.cpu_quantile * 1000.0).round() / 10.0, human_cpu(quantile));
    let mut wanted = quantile;
    if let Some((value, at)) = recurring.filter(|peak| peak.0 > quantile * 1.05) {
        wanted = value;
        why = format!("peak that returns {}, {}", human_cpu(value), weekday_and_hour(at));
    }
    let proposed = round_up(wanted, policy.cpu_unit_cores);
    let current = sizing.current.cpu_request_cores;
    sizing.cpu = advice(current, proposed, wanted, policy.tolerance);
    if matches!(sizing.cpu, Advice::Lower | Advice::Raise) {
        sizing.proposed.cpu_request_cores = Some(proposed);
        let peak = sizing.cpu_peak_cores.unwrap_or(0.0);
        let unit = policy.cpu_unit_cores;
        sizing.proposed.cpu_limit_cores =
            sizing.current.cpu_limit_cores.map(|limit| round_up(scaled(limit, current, proposed).max(peak), unit));
    }
    Some(why)
}

fn size_memory(sizing: &mut Sizing, after_oom: f64, hpa: bool, policy: &RightsizePolicy) -> Option<String> {
    if hpa {
        return Some("an autoscaler aims at memory, so its request is left alone".into());
    }
    let peak = sizing.memory_peak_bytes?;
    let wanted = (peak * (1.0 + policy.memory_headroom)).max(after_oom);
    let proposed = round_up(wanted, policy.memory_unit_bytes);
    sizing.memory = advice(sizing.current.memory_request_bytes, proposed, peak.max(after_oom), policy.tolerance);
    put_memory(sizing, proposed, policy);
    let kills = if sizing.ooms > 0 { format!(", {} out-of-memory kills", sizing.ooms) } else { String::new() };
    Some(format!("mem peak {}{kills}", human_bytes(peak)))
}

fn size_memory_after_oom(sizing: &mut Sizing, after_oom: f64, policy: &RightsizePolicy) {
    let window_days = policy.window.0 as f64 / DAY_MS;
    sizing.why = format!("{:.0} days of data, {window_days:.0} needed", sizing.days.floor());
    let current = sizing.current.memory_request_bytes.or(sizing.current.memory_limit_bytes);
    if after_oom > 0.0 && current.is_some_and(|current| current < after_oom) {
        let proposed = round_up(after_oom.max(sizing.memory_peak_bytes.unwrap_or(0.0)), policy.memory_unit_bytes);
        (sizing.memory, sizing.confidence) = (Advice::Raise, Confidence::Low);
        put_memory(sizing, proposed, policy);
        sizing.why = format!("{} out-of-memory kills; {}", sizing.ooms, sizing.why);
    }
}

fn put_memory(sizing: &mut Sizing, proposed: f64, policy: &RightsizePolicy) {
    if !matches!(sizing.memory, Advice::Lower | Advice::Raise) {
        return;
    }
    let current = sizing.current;
    sizing.proposed.memory_request_bytes = Some(proposed);
    sizing.proposed.memory_limit_bytes = current.memory_limit_bytes.map(|limit| {
        let scaled = scaled(limit, current.memory_request_bytes, proposed).max(proposed);
        round_up(scaled, policy.memory_unit_bytes)
    });
}

/// A limit keeps its ratio to the request; a limit without a request becomes the request.
fn scaled(limit: f64, request: Option<f64>, proposed: f64) -> f64 {
    match request.filter(|request| *request > 0.0) {
        Some(request) => (limit / request).max(1.0) * proposed,
        None => proposed,
    }
}

/// `least` is what must fit: a request below it is raised however small the difference.
fn advice(current: Option<f64>, proposed: f64, least: f64, tolerance: f64) -> Advice {
    match current.filter(|current| *current > 0.0) {
        None => Advice::Raise,
        Some(current) if current < least && proposed > current => Advice::Raise,
        Some(current) if (proposed - current).abs() <= tolerance * current => Advice::Keep,
        Some(current) if proposed < current => Advice::Lower,
        Some(_) => Advice::Raise,
    }
}

/// The busiest hour (by its median) that came on at least two different days: the second highest of the daily maxima.
fn recurring_peak(samples: &[UsageSample]) -> Option<(f64, Timestamp)> {
    let mut sorted: Vec<(i64, f64)> = samples.iter().map(|s| (s.at.0.div_euclid(HOUR_MS), s.value)).collect();
    sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut best_of_day: Vec<(i64, f64, i64)> = Vec::new();
    for chunk in sorted.chunk_by(|a, b| a.0 == b.0) {
        // Sorted by value inside the hour, so the middle is the (upper) median.
        let (hour, median) = chunk[chunk.len() / 2];
        let day = hour.div_euclid(24);
        match best_of_day.last_mut() {
            Some(best) if best.0 == day => {
                if median > best.1 {
                    (best.1, best.2) = (median, hour);
                }
            }
            _ => best_of_day.push((day, median, hour)),
        }
    }
    best_of_day.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    best_of_day.get(1).map(|&(_, value, hour)| (value, Timestamp(hour * HOUR_MS)))
}

/// `Sun 20:00`, UTC.
fn weekday_and_hour(at: Timestamp) -> String {
    // 1 January 1970 was a Thursday.
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let hours = at.0.div_euclid(HOUR_MS);
    let day = hours.div_euclid(24).rem_euclid(7) as usize;
    format!("{} {:02}:00", DAYS[day], hours.rem_euclid(24))
}

/// Only requests cost: that is what fills nodes. A container without a request saves nothing by getting one.
fn saving(sizing: &Sizing, prices: &Prices) -> f64 {
    let less = |current: Option<f64>, proposed: Option<f64>| match (current, proposed) {
        (Some(current), Some(proposed)) => current - proposed,
        _ => 0.0,
    };
    let cores = less(sizing.current.cpu_request_cores, sizing.proposed.cpu_request_cores);
    let bytes = less(sizing.current.memory_request_bytes, sizing.proposed.memory_request_bytes);
    prices.monthly(cores, bytes) * f64::from(sizing.replicas)
}
