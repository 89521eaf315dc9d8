//! One pod: what it uses and what the kubelet and kube-state-metrics say about it.

use series::{Batch, BatchTooLarge, LabelError, Labels, Timestamp};

use crate::catalogue::ServiceSpec;
use crate::noise::Noise;

const PAGE: f64 = 4096.0;
/// Seconds over which memory follows the load.
const MEMORY_LAG_S: f64 = 1800.0;
/// Cores a pod burns while it starts, beside its idle use.
const START_CORES: f64 = 0.25;

/// One step of all series on its way into a batch.
pub(crate) struct Scrape<'b> {
    pub(crate) batch: &'b mut Batch,
    pub(crate) at: Timestamp,
    /// Whether no scrape came before.
    pub(crate) is_first: bool,
}

impl Scrape<'_> {
    pub(crate) fn put(&mut self, labels: &Labels, value: f64) -> Result<(), BatchTooLarge> {
        self.batch.begin_labels(labels)?;
        self.batch.push(self.at, value);
        Ok(())
    }
}

/// A running pod with one container.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    /// Serves at scrapes after this time.
    pub(crate) ready_at: Timestamp,
    /// Replaced by a newer version: gone at scrapes after this time.
    pub(crate) retire_at: Option<Timestamp>,
    /// Cores used during the last step.
    pub(crate) cores: f64,
    pub(crate) memory: f64,
    pub(crate) restarts: u32,
    cpu_total: f64,
    share: f64,
    rps: f64,
    leak_since: Timestamp,
    noise: Noise,
    series: PodSeries,
}

#[derive(Debug, Clone)]
struct PodSeries {
    cpu: Labels,
    memory: Labels,
    cpu_request: Labels,
    memory_request: Labels,
    created: Labels,
    ready: Labels,
    restarts: Labels,
}

impl Pod {
    /// A pod called `name` that starts at `created`.
    pub(crate) fn new(
        spec: &ServiceSpec,
        name: &str,
        mut noise: Noise,
        created: Timestamp,
        ready_at: Timestamp,
    ) -> Result<Self, LabelError> {
        Ok(Self {
            name: name.to_owned(),
            created,
            ready_at,
            retire_at: None,
            cores: 0.0,
            memory: spec.memory.base * 0.6,
            restarts: 0,
            cpu_total: 0.0,
            share: noise.between(0.95, 1.05),
            rps: 0.0,
            leak_since: created,
            noise,
            series: PodSeries::new(spec, name)?,
        })
    }

    /// Makes it look as if it had served `rps` for long, leaking since `leak_since`.
    pub(crate) fn season(&mut self, rps: f64, at: Timestamp, leak_since: Timestamp) {
        (self.rps, self.leak_since) = (rps, leak_since);
        self.cpu_total = ((at - self.created).as_secs_f64() * self.cores.max(0.1)).round();
    }

    pub(crate) fn serves(&self, at: Timestamp) -> bool {
        at > self.ready_at
    }

    /// Lives through the `step_s` seconds before `at`, serving `rps` requests a second if it is ready.
    pub(crate) fn step(&mut self, spec: &ServiceSpec, at: Timestamp, step_s: f64, rps: f64) {
        let rps = if self.serves(at) { rps * self.share } else { 0.0 };
        let busy = if self.serves(at) { rps * spec.cpu_per_request_s } else { START_CORES };
        self.cores = (spec.cpu_idle + busy) * (1.0 + 0.03 * self.noise.normal());
        let lived_s = (at - self.created).as_secs_f64().clamp(0.0, step_s);
        self.cpu_total = ((self.cpu_total + self.cores * lived_s) * 1000.0).round() / 1000.0;
        self.rps += (rps - self.rps) * (step_s / MEMORY_LAG_S).min(1.0);
        self.step_memory(spec, at);
    }

    fn step_memory(&mut self, spec: &ServiceSpec, at: Timestamp) {
        let memory = &spec.memory;
        let leaked = memory.leak_per_hour * (at - self.leak_since).as_secs_f64() / 3600.0;
        let wanted = (memory.base + memory.per_rps * self.rps) * (1.0 + 0.004 * self.noise.normal()) + leaked;
        if wanted > memory.limit {
            // Killed for memory: the container starts afresh in the same pod, so its counters restart at zero.
            self.restarts += 1;
            self.leak_since = at;
            (self.cpu_total, self.rps, self.memory) = (0.0, 0.0, memory.base);
        } else {
            self.memory = wanted;
        }
        self.memory = (self.memory / PAGE).round() * PAGE;
    }

    pub(crate) fn emit(&self, spec: &ServiceSpec, scrape: &mut Scrape<'_>) -> Result<(), BatchTooLarge> {
        scrape.put(&self.series.cpu, self.cpu_total)?;
        scrape.put(&self.series.memory, self.memory)?;
        scrape.put(&self.series.cpu_request, spec.cpu_request)?;
        scrape.put(&self.series.memory_request, spec.memory.request)?;
        scrape.put(&self.series.created, whole_seconds(self.created))?;
        scrape.put(&self.series.restarts, f64::from(self.restarts))?;
        if self.serves(scrape.at) {
            scrape.put(&self.series.ready, whole_seconds(self.ready_at))?;
        }
        Ok(())
    }

    /// Series that [`Pod::emit`] writes at `at`.
    pub(crate) fn n_series(&self, at: Timestamp) -> usize {
        6 + usize::from(self.serves(at))
    }

    /// Its series, for the staleness markers after its end; `at` is its last scrape.
    pub(crate) fn into_series(self, at: Timestamp) -> impl Iterator<Item = Labels> {
        let ready = self.serves(at).then_some(self.series.ready);
        let PodSeries { cpu, memory, cpu_request, memory_request, created, restarts, .. } = self.series;
        [cpu, memory, cpu_request, memory_request, created, restarts].into_iter().chain(ready)
    }
}

fn whole_seconds(at: Timestamp) -> f64 {
    (at.0.div_euclid(1000)) as f64
}

impl PodSeries {
    fn new(spec: &ServiceSpec, pod: &str) -> Result<Self, LabelError> {
        let labels = |metric: &str, job: &str, more: &[(&str, &str)]| {
            let common = [("__name__", metric), ("job", job), ("namespace", "shop"), ("pod", pod)];
            Labels::from_pairs(common.iter().chain(more).copied())
        };
        let container = ("container", spec.name);
        let request = |resource: &str, unit: &str| {
            let more = [container, ("resource", resource), ("unit", unit)];
            labels("kube_pod_container_resource_requests", "kube-state-metrics", &more)
        };
        Ok(Self {
            cpu: labels("container_cpu_usage_seconds_total", "kubelet", &[container])?,
            memory: labels("container_memory_working_set_bytes", "kubelet", &[container])?,
            cpu_request: request("cpu", "core")?,
            memory_request: request("memory", "byte")?,
            created: labels("kube_pod_created", "kube-state-metrics", &[])?,
            ready: labels("kube_pod_status_ready_time", "kube-state-metrics", &[])?,
            restarts: labels("kube_pod_container_status_restarts_total", "kube-state-metrics", &[container])?,
        })
    }
}
