//! One step of the replica controller.
//!
//! ```text
//!  readings ──▶ reactive need ─┐
//!                              ├─ max ─▶ bounds, pauses, stabilization, rate ─▶ Decision, State
//!  forecast ──▶ trusted? ──────┘
//! ```
//!
//! A forecast only ever raises what reactive control asks for: it adds replicas before they are needed and keeps those
//! that will be needed again soon. When it is stale, broken, too short or foreign, control is reactive and says so.
//! Two windows matter. Scale-ups look at `(now, now + lead + interval]`: a replica asked for now serves at its end,
//! later needs can wait for a later step. Scale-downs look as far again as the stabilization window, so that nothing is
//! removed that would have to be started again at once.

#[cfg(test)]
mod tests;

use series::{Millis, Timestamp};

use crate::constrain::{Asked, Ruling, constrain};
use crate::decision::{Action, Band, Counterfactual, Decision, Reason, ReasonKind, Upcoming, digest};
use crate::demand::DemandForecast;
use crate::need::{Ahead, Capacity, Need, Reactive, knows_capacity, reactive};
use crate::policy::{PerReplica, Policy};
use crate::signals::Signals;
use crate::state::State;
use crate::trust::{Distrust, distrust};

/// Decides for one target. Pure: the same arguments give the same result bit for bit.
///
/// The policy should be valid ([`Policy::validate`]); an invalid one never panics, but may hold for ever.
/// Cost: O(forecast length); about 20 µs for three quantiles of a day in minutes.
pub fn step(
    now: Timestamp,
    signals: &Signals,
    forecast: Option<&DemandForecast>,
    policy: &Policy,
    state: &State,
) -> (Decision, State) {
    let mut next = state.clone();
    let current = signals.current_replicas;
    next.observe(now, current, policy);

    let Reactive { need: present, mut reasons, gap } = reactive(now, signals, policy);
    let foreseen = forecast.filter(|_| knows_capacity(policy)).map(|forecast| foresee(now, forecast, signals, policy));
    let distrusted = foreseen.as_ref().and_then(|foreseen| foreseen.as_ref().err().copied());
    let foreseen = foreseen.and_then(Result::ok);
    let need = match (present, foreseen.as_ref().map(|foreseen| foreseen.need)) {
        (Some(present), Some(ahead)) => Some(present.max(ahead)),
        // Without any reading a forecast may raise; it alone is never a reason to remove.
        (None, Some(ahead)) => Some(ahead.max(Need { up: 0, down: current })),
        (present, None) => present,
    };

    let asked = Asked { need, present: present.map(|need| need.up), gap: gap || present.is_none() };
    let mut proposals = std::mem::take(&mut next.proposals);
    let ruling = constrain(now, current, asked, policy, &next, &mut proposals);
    next.proposals = proposals;
    let mut proposals = std::mem::take(&mut next.reactive_proposals);
    let alone = constrain(now, current, Asked { need: present, ..asked }, policy, &next, &mut proposals);
    next.reactive_proposals = proposals;

    reasons.extend(foreseen.as_ref().map(|foreseen| foreseen.reason.clone()));
    rank(&mut reasons);
    if let Some(distrust) = distrusted {
        let text = format!("{}; reactive control only", distrust.text());
        reasons.push(Reason::note(ReasonKind::Reactive, "forecast", text));
    }
    let upcoming = foreseen.as_ref().and_then(|foreseen| foreseen.upcoming(now, current.max(ruling.to), policy));
    let context = Context { now, signals, policy, forecast, distrusted, gap };
    (context.decision(ruling, alone, reasons, foreseen.as_ref(), upcoming), next)
}

/// What a trusted forecast says.
struct Foreseen<'a> {
    ahead: Ahead<'a>,
    need: Need,
    needed: Timestamp,
    reason: Reason,
    band: Option<Band>,
}

fn foresee<'a>(
    now: Timestamp,
    forecast: &'a DemandForecast,
    signals: &Signals,
    policy: &Policy,
) -> Result<Foreseen<'a>, Distrust> {
    if let Some(distrust) = distrust(now, forecast, signals, policy) {
        return Err(distrust);
    }
    let lead = policy.lead_time.span();
    let until_up = now + lead + policy.evaluation_interval;
    let until_down = until_up + policy.stabilization_down;
    let ahead = Ahead::new(forecast, policy).ok_or(Distrust::Broken)?;
    let peak_up = ahead.peak(now, until_up).ok_or(Distrust::TooShort)?;
    let peak_down = ahead.peak(now, until_down).unwrap_or(peak_up);
    let need = Need { up: ahead.need(peak_up.value).up, down: ahead.need(peak_down.value).down };
    let level = policy.quantile;
    let signal = format!("forecast p{}", percent(level));
    let mut reason = Reason::of_demand(&signal, peak_up.value, need.up, policy, peak_up.at);
    (reason.kind, reason.quantile) = (ReasonKind::Forecast, Some(level));
    reason.text = format!("{} at {} ({})", reason.text, peak_up.at, forecast.model);
    let at = now + lead;
    Ok(Foreseen { ahead, need, needed: peak_up.at, reason, band: band(forecast, at) })
}

/// `90` for 0.9, `99.5` for 0.995.
fn percent(level: f64) -> f64 {
    (level * 1e6).round() / 1e4
}

fn band(forecast: &DemandForecast, at: Timestamp) -> Option<Band> {
    let index = forecast.index(at)?;
    let value = |level| forecast.curve(level)?.at(index);
    Some(Band { at, p10: value(0.1)?, p50: value(0.5)?, p90: value(0.9)? })
}

impl Foreseen<'_> {
    /// The first need above `have`, at least one evaluation later than now.
    fn upcoming(&self, now: Timestamp, have: u32, policy: &Policy) -> Option<Upcoming> {
        let lead = policy.lead_time.span();
        if have >= policy.max_replicas {
            return None;
        }
        let first = self.ahead.first_above(now, have)?;
        let when = (first.at - lead).max(now);
        // What is needed until a second scale-up could follow.
        let peak = self.ahead.peak(first.at, first.at + lead.max(policy.cooldown.up)).unwrap_or(first);
        let to = self.ahead.need(peak.value.max(first.value)).up.min(policy.max_replicas);
        (to > have).then_some(Upcoming { to, when, needed: first.at, demand: first.value })
    }
}

/// The strongest reason first; equal ones keep their order: demand, metrics, forecast.
fn rank(reasons: &mut [Reason]) {
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.replicas.map_or(-1, i64::from)));
}

struct Context<'a> {
    now: Timestamp,
    signals: &'a Signals,
    policy: &'a Policy,
    forecast: Option<&'a DemandForecast>,
    distrusted: Option<Distrust>,
    gap: bool,
}

impl Context<'_> {
    fn decision(
        &self,
        ruling: Ruling,
        alone: Ruling,
        mut reasons: Vec<Reason>,
        foreseen: Option<&Foreseen<'_>>,
        upcoming: Option<Upcoming>,
    ) -> Decision {
        let (now, policy, from) = (self.now, self.policy, self.signals.current_replicas);
        if let Some(constraint) = ruling.constraint {
            let text = format!("held at {} by {}", ruling.to, constraint_text(constraint, policy));
            reasons.push(Reason::note(ReasonKind::Constraint, "policy", text));
        }
        let action = if ruling.to == from { Action::Hold } else { Action::Scale };
        let lead = policy.lead_time.span();
        // A forecast that won is to be met at its peak; anything else is needed now.
        let won = foreseen.filter(|_| reasons.first().is_some_and(|reason| reason.kind == ReasonKind::Forecast));
        let when = if ruling.to > from { won.map_or(now, |foreseen| (foreseen.needed - lead).min(now)) } else { now };
        let (from_bytes, to_bytes, at_bytes) = (from.to_le_bytes(), ruling.to.to_le_bytes(), now.0.to_le_bytes());
        let target = policy.target.to_string();
        let window = now.0.div_euclid(window_ms(policy)).to_le_bytes();
        let (name, bound) = (policy.name.as_bytes(), target.as_bytes());
        Decision {
            id: digest(&[name, bound, &at_bytes, &from_bytes, &to_bytes]),
            idempotency_key: digest(&[bound, name, &window, &to_bytes]),
            at: now,
            policy: policy.name.clone(),
            target: policy.target.clone(),
            action,
            from,
            to: ruling.to,
            when,
            effective: now + lead,
            band: foreseen.and_then(|foreseen| foreseen.band),
            constraint: ruling.constraint,
            distrust: self.distrusted,
            counterfactual: Counterfactual { to: alone.to, constraint: alone.constraint },
            upcoming,
            confidence: self.confidence(foreseen.is_some()),
            cost_delta_per_hour: (f64::from(ruling.to) - f64::from(from)) * policy.cost_per_replica_hour,
            undo: undo(policy, from),
            evidence_query: policy.demand.clone(),
            reasons,
        }
    }

    /// How far the evidence carries: the forecast's record when it was used, how well capacity and lead time are known,
    /// and whether every signal was there.
    fn confidence(&self, foreseen: bool) -> f64 {
        let forecast = match (self.forecast, foreseen) {
            (Some(forecast), true) => {
                let error = forecast.backtest_error.filter(|error| error.is_finite()).unwrap_or(1.0).max(0.0);
                let coverage = forecast.coverage.filter(|share| share.is_finite()).unwrap_or(0.7).clamp(0.0, 1.0);
                (1.0 / (0.5 + 0.5 * error)).min(1.0) * (1.0 - (coverage - 0.8).abs())
            }
            _ => 0.7,
        };
        let capacity = match self.policy.per_replica {
            PerReplica::Given(_) => 1.0,
            PerReplica::Learned { capacity, interval: (low, high) } => {
                (1.0 - ((high - low) / (2.0 * capacity)).clamp(0.0, 0.7)).clamp(0.0, 1.0)
            }
            PerReplica::Auto => 0.6,
        };
        let seen = if self.gap { 0.4 } else { 1.0 };
        let known = if Capacity::of(self.policy).is_none() { 0.8 } else { 1.0 };
        let product = forecast * capacity * seen * known;
        if product.is_finite() { (product * 1000.0).round() / 1000.0 } else { 0.0 }
    }
}

/// The window of an intent: a minute, or the longer cooldown.
fn window_ms(policy: &Policy) -> i64 {
    policy.cooldown.up.max(policy.cooldown.down).max(Millis::from_mins(1)).0
}

fn undo(policy: &Policy, from: u32) -> String {
    let target = &policy.target;
    match (target.manifest(), target.namespace()) {
        (Some(_), Some(namespace)) => {
            format!("kubectl -n {namespace} scale {}/{} --replicas={from}", target.kind(), target.name())
        }
        _ => format!("set {target} back to {from} replicas"),
    }
}

fn constraint_text(constraint: crate::Constraint, policy: &Policy) -> String {
    use crate::Constraint as C;
    match constraint {
        C::Min => format!("min_replicas {}", policy.min_replicas),
        C::Max => format!("max_replicas {}", policy.max_replicas),
        C::EmergencyCeiling => format!("emergency_ceiling {}", policy.emergency_ceiling.unwrap_or(0)),
        C::Cooldown => format!("the cooldown (up {}, down {})", policy.cooldown.up, policy.cooldown.down),
        C::Stabilization => format!("a higher need within {}", policy.stabilization_down),
        C::Rate => "the rate of change".into(),
        C::MetricGap => "a missing signal: nothing is removed unseen".into(),
        C::Tolerance => format!("tolerance {}: the change is too small", policy.tolerance),
    }
}
