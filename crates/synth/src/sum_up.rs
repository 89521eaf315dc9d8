//! The truth of a trace, found by living through it once without writing it down.

use series::{Millis, Timestamp};

use crate::events::Plan;
use crate::fleet::Simulation;
use crate::latency::P99_OF_MEDIAN;
use crate::scaler::needed;
use crate::service::{Service, queueing};
use crate::spec::{FleetSpec, SynthError};
use crate::truth::{RightSizing, ServiceTruth, Sizing, Truth};

/// Cores are counted in bins of a millicore up to this many.
const CORES_MAX: usize = 16;

/// What one workload used.
#[derive(Debug, Clone)]
struct Usage {
    millicores: Vec<u64>,
    memory_peak: f64,
    oom_kills: u64,
}

/// Runs `simulation` to the end of the trace.
pub(crate) fn truth(spec: &FleetSpec, plan: &Plan, mut simulation: Simulation) -> Result<Truth, SynthError> {
    let empty = Usage { millicores: vec![0; CORES_MAX * 1000 + 1], memory_peak: 0.0, oom_kills: 0 };
    let mut usages = vec![empty; simulation.services.len()];
    for i in 1..=spec.n_steps() {
        let at = spec.start + Millis(spec.step.millis() * i as i64);
        let restarts = simulation.services.iter().map(restarts).collect::<Vec<_>>();
        simulation.step(at)?;
        for ((usage, service), before) in usages.iter_mut().zip(&simulation.services).zip(restarts) {
            usage.add(service, at, before);
        }
    }
    let served = simulation.services.iter().filter(|service| service.spec.http.is_some());
    Ok(Truth {
        seed: spec.seed,
        start: spec.start,
        end: spec.end(),
        step: spec.step,
        anomalies: plan.anomalies.clone(),
        change_points: plan.change_points.clone(),
        capacity: simulation.nodes.iter().flat_map(|node| node.capacity()).collect(),
        services: served.map(|service| service_truth(service, spec.end())).collect(),
        sizing: usages.iter().zip(&simulation.services).map(|(usage, service)| usage.sizing(service)).collect(),
    })
}

fn restarts(service: &Service) -> u64 {
    service.pods.iter().map(|pod| u64::from(pod.restarts)).sum()
}

fn service_truth(service: &Service, end: Timestamp) -> ServiceTruth {
    let spec = &service.spec;
    let minutes = (1..=24 * 60).map(|minute| end + Millis::from_mins(minute));
    let loads = minutes.map(|at| (service.expected_rps(at), at));
    let (peak_rps, peak_at) = loads.fold((0.0, end), |best, next| if next.0 > best.0 { next } else { best });
    let (rps_at_end, replicas) = (service.expected_rps(end), service.pods.len() as u32);
    let utilisation = rps_at_end / (f64::from(replicas.max(1)) * spec.rps_per_replica);
    let median = spec.http.as_ref().map_or(0.0, |http| http.median_s);
    ServiceTruth {
        service: spec.name.to_owned(),
        rps_at_end,
        peak_rps,
        peak_at,
        rps_per_replica: spec.rps_per_replica,
        target_utilisation: spec.target,
        replicas_at_end: replicas,
        replicas_needed_at_peak: needed(spec, peak_rps),
        replicas_bounds: spec.replicas,
        lead_time_s: spec.lead_time_s,
        p99_at_end_s: median * service.events.latency(end) * queueing(utilisation) * P99_OF_MEDIAN,
        version_at_end: service.version.clone(),
    }
}

impl Usage {
    fn add(&mut self, service: &Service, at: Timestamp, restarts_before: u64) {
        for pod in service.pods.iter().filter(|pod| pod.serves(at)) {
            let bin = (pod.cores * 1000.0).ceil().clamp(0.0, (CORES_MAX * 1000) as f64) as usize;
            self.millicores[bin] += 1;
        }
        self.memory_peak = service.pods.iter().map(|pod| pod.memory).fold(self.memory_peak, f64::max);
        // Fewer than before: pods were replaced, and new ones start at zero.
        self.oom_kills += restarts(service).saturating_sub(restarts_before);
    }

    fn sizing(&self, service: &Service) -> RightSizing {
        let spec = &service.spec;
        let total: u64 = self.millicores.iter().sum();
        let mut below = 0;
        let p95 = self.millicores.iter().position(|count| {
            below += count;
            below * 100 >= total * 95
        });
        let cpu_p95_cores = p95.unwrap_or(0) as f64 / 1000.0;
        RightSizing {
            workload: spec.name.to_owned(),
            cpu_request_cores: spec.cpu_request,
            cpu_p95_cores,
            cpu: Sizing::of(cpu_p95_cores, spec.cpu_request),
            memory_request_bytes: spec.memory.request as u64,
            memory_peak_bytes: self.memory_peak as u64,
            memory: Sizing::of(self.memory_peak, spec.memory.request),
            oom_kills: self.oom_kills,
        }
    }
}
