//! Bounds, pauses, stabilization and rates: what may be done of what is needed.

use serde::{Deserialize, Serialize};
use series::Timestamp;

use crate::need::Need;
use crate::policy::{Policy, RateLimit};
use crate::state::{Proposal, State, stabilize};

/// What kept a decision from the need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// `min_replicas`.
    Min,
    /// `max_replicas`.
    Max,
    /// `emergency_ceiling`, reached while demand that is here needs more than `max_replicas`.
    EmergencyCeiling,
    /// The last applied change is too recent.
    Cooldown,
    /// A need inside the stabilization window was higher.
    Stabilization,
    /// More would exceed the rate of change.
    Rate,
    /// A signal is missing, so nothing is removed.
    MetricGap,
    /// The change is too small to be worth it.
    Tolerance,
}

/// One application of the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ruling {
    pub(crate) to: u32,
    pub(crate) constraint: Option<Constraint>,
}

/// Which needs are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// What all evidence needs; `None` holds.
    pub(crate) need: Option<Need>,
    /// What demand that is here needs, never a forecast: only it may open the emergency ceiling.
    pub(crate) present: Option<u32>,
    /// Whether a signal is missing.
    pub(crate) gap: bool,
}

/// Applies the policy to `asked`. `proposals` is the window this need joins.
pub(crate) fn constrain(
    now: Timestamp,
    current: u32,
    asked: Asked,
    policy: &Policy,
    state: &State,
    proposals: &mut Vec<Proposal>,
) -> Ruling {
    let ceiling = policy.emergency_ceiling.unwrap_or(0).max(policy.max_replicas);
    let emergency = asked.present.is_some_and(|present| present > policy.max_replicas);
    let (cap, cap_name) = if emergency && ceiling > policy.max_replicas {
        (ceiling, Constraint::EmergencyCeiling)
    } else {
        (policy.max_replicas, Constraint::Max)
    };
    let floor = policy.min_replicas.min(cap);
    let need = asked.need.unwrap_or(Need::exactly(current));
    let stable = stabilize(proposals, now, policy.stabilization_down, need.down).clamp(floor, ceiling);
    let (up, down) = (need.up.clamp(floor, cap), need.down.clamp(floor, cap));
    if up > current {
        return grow(now, current, up, bound_of(need.up, floor, cap, cap_name), floor, policy, state);
    }
    if down < current {
        let bound = bound_of(need.down, floor, cap, cap_name);
        // An emergency that ends gives its replicas back through the stabilization window, not at once.
        return shrink(now, current, Fall { down, stable, ceiling, gap: asked.gap, bound }, policy, state);
    }
    Ruling { to: current, constraint: bound_of(need.up, floor, cap, cap_name) }
}

fn bound_of(need: u32, floor: u32, cap: u32, cap_name: Constraint) -> Option<Constraint> {
    if need > cap {
        Some(cap_name)
    } else if need < floor {
        Some(Constraint::Min)
    } else {
        None
    }
}

/// Below the floor nothing waits: bounds are the user's word, pauses are ours.
fn grow(
    now: Timestamp,
    current: u32,
    want: u32,
    bound: Option<Constraint>,
    floor: u32,
    policy: &Policy,
    state: &State,
) -> Ruling {
    let at_least = current.max(floor);
    if state.last_up.is_some_and(|last| now - last < policy.cooldown.up) {
        return Ruling { to: at_least, constraint: Some(Constraint::Cooldown) };
    }
    let limit = limit_up(now, current, policy.step_up, state).max(at_least);
    if want > limit {
        return Ruling { to: limit, constraint: Some(Constraint::Rate) };
    }
    Ruling { to: want, constraint: bound }
}

struct Fall {
    down: u32,
    stable: u32,
    ceiling: u32,
    gap: bool,
    bound: Option<Constraint>,
}

/// A gap stops every fall, even one that a new maximum asks for: what is not seen is not taken away.
fn shrink(now: Timestamp, current: u32, fall: Fall, policy: &Policy, state: &State) -> Ruling {
    let hold = |constraint| Ruling { to: current, constraint: Some(constraint) };
    if fall.gap {
        return hold(Constraint::MetricGap);
    }
    let at_most = current.min(fall.ceiling);
    let want = fall.down.max(fall.stable).min(current);
    if want >= at_most {
        let constraint = if at_most < current { Constraint::Max } else { Constraint::Stabilization };
        return Ruling { to: at_most, constraint: Some(constraint) };
    }
    if f64::from(current - want) < policy.tolerance * f64::from(current) && at_most == current {
        return hold(Constraint::Tolerance);
    }
    if state.last_down.is_some_and(|last| now - last < policy.cooldown.down) {
        return Ruling { to: at_most, constraint: Some(Constraint::Cooldown) };
    }
    let limit = limit_down(now, current, policy.step_down, state).min(at_most);
    if want < limit {
        return Ruling { to: limit, constraint: Some(Constraint::Rate) };
    }
    let stabilized = (want > fall.down).then_some(Constraint::Stabilization);
    Ruling { to: want, constraint: stabilized.or(fall.bound) }
}

/// The most a period allows (Kubernetes `behavior`, the more generous of percent and count).
fn limit_up(now: Timestamp, current: u32, rate: RateLimit, state: &State) -> u32 {
    let start = period_start(now, current, rate, state);
    let by_percent = (start * (1.0 + rate.percent / 100.0) - 1e-9).ceil();
    by_percent.max(start + f64::from(rate.replicas)) as u32
}

fn limit_down(now: Timestamp, current: u32, rate: RateLimit, state: &State) -> u32 {
    let start = period_start(now, current, rate, state);
    let by_percent = (start * (1.0 - rate.percent / 100.0) + 1e-9).floor();
    by_percent.min(start - f64::from(rate.replicas)).max(0.0) as u32
}

fn period_start(now: Timestamp, current: u32, rate: RateLimit, state: &State) -> f64 {
    let (added, removed) = state.moved(now, rate.period);
    (f64::from(current) - added as f64 + removed as f64).max(0.0)
}
