//! Container sizes: requests and limits from what containers really used.

use std::collections::BTreeMap;

use scale::{ContainerUsage, OomEvent, Recommendation, Resources, Target, UsageSample};
use series::{Millis, Step, Timestamp};

use super::Found;
use super::workload::target_of;
use crate::engine::{Core, EngineError};

/// Distance of usage samples, as the VPA aggregates them.
const STEP: Step = Step::from_secs(300);
/// How long advice holds.
const VALID_FOR: Millis = Millis::from_days(1);

pub(super) type Containers = BTreeMap<(Target, String), ContainerUsage>;

/// Sizes of all containers that the store knows of.
pub(super) fn evaluate(core: &Core, now: Timestamp) -> Result<Found, EngineError> {
    if !core.settings.rightsizing.enabled {
        return Ok(Found::default());
    }
    let mut containers = Containers::new();
    gather(core, &mut containers, now)?;
    let policy = core.settings.rightsizing.policy();
    let mut found = Found::default();
    for usage in containers.values() {
        match scale::rightsize(now, usage, &policy, &core.settings.cost) {
            Ok(sizing) => {
                found.judged += 1;
                found.advice.push(Recommendation::from_sizing(&sizing, &core.settings.cost, now, VALID_FOR));
            }
            Err(err) => tracing::warn!(target = %usage.target, %err, "container not sized"),
        }
    }
    Ok(found)
}

pub(super) fn gather(core: &Core, containers: &mut Containers, now: Timestamp) -> Result<(), EngineError> {
    let start = (now - core.settings.rightsizing.window.0).floor(STEP);
    let range = |query: &str| core.range(query, start, now.floor(STEP), STEP);
    let labels = "namespace, pod, container";
    let cpu = format!(
        "sum by ({labels}) (rate(container_cpu_usage_seconds_total{{container!=\"\",container!=\"POD\"}}[5m]))"
    );
    for item in range(&cpu)? {
        if let Some(usage) = entry(containers, &item.labels) {
            usage.cpu_cores.extend(item.points.iter().map(|&(at, value)| UsageSample { at, value }));
        }
    }
    let memory = format!(
        "max by ({labels}) (max_over_time(container_memory_working_set_bytes{{container!=\"\",container!=\"POD\"}}[5m]))"
    );
    for item in range(&memory)? {
        if let Some(usage) = entry(containers, &item.labels) {
            usage.memory_bytes.extend(item.points.iter().map(|&(at, value)| UsageSample { at, value }));
        }
    }
    requests(core, containers, now)?;
    ooms(core, containers, start, now)
}

fn entry<'a>(containers: &'a mut Containers, labels: &series::Labels) -> Option<&'a mut ContainerUsage> {
    let (target, container) = (target_of(labels)?, labels.get("container")?.to_owned());
    let usage = containers.entry((target.clone(), container.clone())).or_insert_with(|| ContainerUsage {
        evidence_query: format!(
            "sum by (pod) (rate(container_cpu_usage_seconds_total{{{},container=\"{container}\"}}[5m]))",
            super::workload::pods_of(&target)
        ),
        target,
        container,
        replicas: 0,
        current: Resources::default(),
        cpu_cores: Vec::new(),
        memory_bytes: Vec::new(),
        ooms: Vec::new(),
        hpa_on_cpu: false,
        hpa_on_memory: false,
    });
    Some(usage)
}

/// Present requests and limits, and the number of replicas that have them.
fn requests(core: &Core, containers: &mut Containers, now: Timestamp) -> Result<(), EngineError> {
    for (metric, is_limit) in
        [("kube_pod_container_resource_requests", false), ("kube_pod_container_resource_limits", true)]
    {
        for item in core.instant(metric, now)? {
            let Some(resource) = item.labels.get("resource").map(str::to_owned) else { continue };
            let Some(asked) = item.point.number() else { continue };
            let Some(usage) = entry(containers, &item.labels) else { continue };
            let place = match (resource.as_str(), is_limit) {
                ("cpu", false) => &mut usage.current.cpu_request_cores,
                ("cpu", true) => &mut usage.current.cpu_limit_cores,
                ("memory", false) => &mut usage.current.memory_request_bytes,
                ("memory", true) => &mut usage.current.memory_limit_bytes,
                _ => continue,
            };
            *place = Some(place.unwrap_or(0.0).max(asked));
            if resource == "cpu" && !is_limit {
                usage.replicas += 1;
            }
        }
    }
    for policy in &core.settings.scaling.policies {
        for ((_, _), usage) in containers.iter_mut().filter(|((target, _), _)| *target == policy.target) {
            usage.hpa_on_cpu |= policy.target_cpu_utilization.is_some();
            usage.hpa_on_memory |= policy.target_memory_utilization.is_some();
        }
    }
    containers.retain(|_, usage| usage.replicas > 0);
    Ok(())
}

/// Restarts of containers that kube-state-metrics says ended for lack of memory.
fn ooms(core: &Core, containers: &mut Containers, start: Timestamp, now: Timestamp) -> Result<(), EngineError> {
    let reason = "kube_pod_container_status_last_terminated_reason{reason=\"OOMKilled\"}";
    let query = format!(
        "increase(kube_pod_container_status_restarts_total[5m]) > 0 and on (namespace, pod, container) {reason}"
    );
    for item in core.range(&query, start, now.floor(STEP), STEP)? {
        let Some(usage) = entry(containers, &item.labels) else { continue };
        let limit_bytes = usage.current.memory_limit_bytes.or(usage.current.memory_request_bytes).unwrap_or(0.0);
        usage.ooms.extend(item.points.iter().map(|&(at, _)| OomEvent { at, limit_bytes }));
    }
    Ok(())
}
