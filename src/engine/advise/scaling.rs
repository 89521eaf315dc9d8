//! Replicas: signals from the store, the forecast of the demand, one step of the planner, the record for a replay.

use std::sync::atomic::Ordering;

use control::Kind;
use scale::{
    LeadTime, MetricKind, MetricReading, PerReplica, Policy, Reading, Recommendation, Record, Signals, StartSample,
    State, UtilizationSample,
};
use serde_json::{Value, json};
use series::{Millis, Step, Timestamp};

use super::Found;
use super::workload::pods_of;
use crate::engine::{Core, EngineError, ForecastRecord};

/// How far back capacity and start times are learned from.
const LEARN: Millis = Millis::from_days(7);
const LEARN_STEP: Step = Step::from_secs(600);
/// Demand that the planner compares the forecast with.
const RECENT: Millis = Millis::from_hours(1);
const RECENT_STEP: Step = Step::from_secs(60);
/// How long advice holds after the moment to act.
const VALID_FOR: Millis = Millis::from_hours(1);
/// Seed of the learners: the same history gives the same capacity.
const SEED: u64 = 1;

/// One evaluation of every policy. A policy that cannot be evaluated is reported and does not stop the others.
pub(super) fn evaluate(core: &Core, now: Timestamp) -> Result<Found, EngineError> {
    let mut found = Found::default();
    for policy in &core.settings.scaling.policies {
        match decide(core, policy, now) {
            Ok(Some(record)) => {
                let (per_replica, prices) = (record.policy.cost_per_replica_hour, &core.settings.cost);
                found.judged += 1;
                found.advice.extend(Recommendation::from_decision(&record.decision, per_replica, prices, VALID_FOR));
            }
            Ok(None) => {}
            Err(err) => tracing::warn!(policy = %policy.name, %err, "policy not evaluated"),
        }
    }
    Ok(found)
}

/// One step for one policy; `None` while the number of replicas is not known.
fn decide(core: &Core, policy: &Policy, now: Timestamp) -> Result<Option<Record>, EngineError> {
    let Some(current) = current_replicas(core, policy, now)? else {
        tracing::info!(policy = %policy.name, target = %policy.target, "no replica count yet, nothing to decide");
        return Ok(None);
    };
    let learned = learn(core, policy, now)?;
    let signals = signals(core, policy, current, now)?;
    let forecast = forecast_of(core, policy)?.map(|record| record.demand());
    let key = format!("scale/{}", policy.name);
    let state: State = core.control.get(Kind::Checkpoint, &key)?.unwrap_or_default();
    let record = Record::take(now, signals, forecast, learned, state);
    core.control.put(Kind::Checkpoint, &key, &record.next)?;
    keep(core, &record)?;
    Ok(Some(record))
}

/// Keeps the decision with everything that a replay needs.
fn keep(core: &Core, record: &Record) -> Result<(), EngineError> {
    let mut row = json!(record.decision);
    if let Value::Object(fields) = &mut row {
        fields.insert("record".into(), json!(record));
    }
    // Keys begin with the time, because the control log keeps the newest by key.
    let key = format!("{:013}-{}", record.now.0.max(0), record.decision.id);
    core.control.put(Kind::Decision, &key, &row)?;
    core.tallies.decisions.fetch_add(1, Ordering::Relaxed);
    let decision = &record.decision;
    core.tell(server::LiveKind::Decision, json!({"id": decision.id, "from": decision.from, "to": decision.to}));
    Ok(())
}

fn current_replicas(core: &Core, policy: &Policy, now: Timestamp) -> Result<Option<u32>, EngineError> {
    let count = core.number(&replicas_query(policy), now)?;
    Ok(count.filter(|count| *count >= 0.0 && *count < 1e6).map(|count| count.round() as u32))
}

/// What kube-state-metrics says of the target's replicas.
fn replicas_query(policy: &Policy) -> String {
    let (kind, target) = (policy.target.kind(), &policy.target);
    let namespace = target.namespace().map(|name| format!(",namespace=\"{name}\"")).unwrap_or_default();
    format!("max(kube_{kind}_status_replicas{{{kind}=\"{}\"{namespace}}})", target.name())
}

fn cpu_query(policy: &Policy) -> String {
    let pods = pods_of(&policy.target);
    format!(
        "sum(rate(container_cpu_usage_seconds_total{{{pods}}}[5m])) \
         / sum(kube_pod_container_resource_requests{{resource=\"cpu\",{pods}}})"
    )
}

fn memory_query(policy: &Policy) -> String {
    let pods = pods_of(&policy.target);
    format!(
        "sum(container_memory_working_set_bytes{{{pods}}}) \
         / sum(kube_pod_container_resource_requests{{resource=\"memory\",{pods}}})"
    )
}

/// Selectors look back no further than the policy lets a signal age: what a query answers carries the time it was asked
/// for, so a series that has ended would look fresh for as long as selectors look back.
fn signals(core: &Core, policy: &Policy, current: u32, now: Timestamp) -> Result<Signals, EngineError> {
    let core = core.looking_back(policy.max_signal_age);
    let reading = |query: &str| -> Result<Option<Reading>, EngineError> {
        let items = core.instant(query, now)?;
        Ok(items.first().and_then(|item| Some(Reading { at: item.at, value: item.point.number()? })))
    };
    let mut metrics = Vec::new();
    if let Some(target) = policy.target_cpu_utilization {
        let reading = reading(&cpu_query(policy))?;
        metrics.push(MetricReading { name: "cpu".into(), kind: MetricKind::Mean, target, reading });
    }
    if let Some(target) = policy.target_memory_utilization {
        let reading = reading(&memory_query(policy))?;
        metrics.push(MetricReading { name: "memory".into(), kind: MetricKind::Mean, target, reading });
    }
    let (mut demand, mut recent_demand) = (None, Vec::new());
    if !policy.demand.is_empty() {
        demand = reading(&policy.demand)?;
        let items = core.range(&policy.demand, now - RECENT, now, RECENT_STEP)?;
        let points = items.into_iter().next().map(|item| item.points).unwrap_or_default();
        recent_demand = points.into_iter().map(|(at, value)| Reading { at, value }).collect();
    }
    Ok(Signals { current_replicas: current, ready_replicas: current, demand, recent_demand, metrics })
}

/// The newest forecast of the policy's demand.
fn forecast_of(core: &Core, policy: &Policy) -> Result<Option<ForecastRecord>, EngineError> {
    if policy.demand.is_empty() {
        return Ok(None);
    }
    let jobs = crate::engine::jobs::effective(&core.settings);
    let Some(job) = jobs.iter().find(|job| job.promql.as_deref() == Some(&policy.demand)) else { return Ok(None) };
    Ok(core.control.get(Kind::Forecast, &job.name)?)
}

/// The policy with what `auto` stands for, as far as the past tells.
fn learn(core: &Core, policy: &Policy, now: Timestamp) -> Result<Policy, EngineError> {
    let mut learned = policy.clone();
    if learned.per_replica == PerReplica::Auto && !policy.demand.is_empty() {
        let samples = utilization_samples(core, policy, now)?;
        if let Some(fit) = scale::capacity_from_utilization(&samples, SEED) {
            learned.per_replica = fit.per_replica();
        }
    }
    if learned.lead_time == LeadTime::Auto
        && let Some(fit) = scale::lead_time_from_starts(now, &starts(core, policy, now)?)
    {
        learned.lead_time = fit.lead_time();
    }
    if learned.cost_per_replica_hour == 0.0 {
        learned.cost_per_replica_hour = replica_cost(core, policy, now)?;
    }
    Ok(learned)
}

/// What a replica costs an hour by what its containers request; 0 when nothing is known of that.
fn replica_cost(core: &Core, policy: &Policy, now: Timestamp) -> Result<f64, EngineError> {
    let requests = |resource: &str| {
        let pods = pods_of(&policy.target);
        let of_pod = format!("sum by (pod) (kube_pod_container_resource_requests{{resource=\"{resource}\",{pods}}})");
        core.number(&format!("avg({of_pod})"), now).map(|mean| mean.unwrap_or(0.0).max(0.0))
    };
    Ok(core.settings.cost.hourly(requests("cpu")?, requests("memory")?))
}

fn utilization_samples(core: &Core, policy: &Policy, now: Timestamp) -> Result<Vec<UtilizationSample>, EngineError> {
    let one = |query: &str| -> Result<Vec<(Timestamp, f64)>, EngineError> {
        let items = core.range(query, (now - LEARN).floor(LEARN_STEP), now.floor(LEARN_STEP), LEARN_STEP)?;
        Ok(items.into_iter().next().map(|item| item.points).unwrap_or_default())
    };
    let by_time = |points: Vec<(Timestamp, f64)>| points.into_iter().collect::<std::collections::BTreeMap<_, _>>();
    let (replicas, cpu) = (by_time(one(&replicas_query(policy))?), by_time(one(&cpu_query(policy))?));
    let sample = |(at, demand): (Timestamp, f64)| {
        let (replicas, utilization) = (*replicas.get(&at)?, *cpu.get(&at)?);
        Some(UtilizationSample { demand, replicas: replicas.round() as u32, utilization })
    };
    Ok(one(&policy.demand)?.into_iter().filter_map(sample).collect())
}

/// When pods of the target were made and when they served.
fn starts(core: &Core, policy: &Policy, now: Timestamp) -> Result<Vec<StartSample>, EngineError> {
    let pods = pods_of(&policy.target);
    let days = LEARN.0 / 86_400_000;
    let last = |metric: &str| core.instant(&format!("last_over_time({metric}{{{pods}}}[{days}d])"), now);
    let ready = last("kube_pod_status_ready_time")?;
    let at = |seconds: f64| Timestamp((seconds * 1000.0) as i64);
    let begun = (now - LEARN).0 as f64 / 1000.0;
    let start = |item: promql::VectorItem| {
        let pod = item.labels.get("pod")?.to_owned();
        let ready = ready.iter().find(|other| other.labels.get("pod") == Some(&pod));
        let ready = ready.and_then(|other| other.point.number()).map(at);
        item.point.number().filter(|asked| *asked >= begun).map(|asked| StartSample { asked: at(asked), ready })
    };
    Ok(last("kube_pod_created")?.into_iter().filter_map(start).collect())
}
