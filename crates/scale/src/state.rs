//! What a policy remembers between two steps.

use serde::{Deserialize, Serialize};
use series::{Millis, Timestamp};

use crate::lenient;
use crate::policy::Policy;

/// Most changes and proposals that are remembered; older ones are merged, never forgotten inside their window.
const REMEMBERED: usize = 256;

/// A change of the replicas that was seen to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaChange {
    /// When it was first seen.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// Replicas added, negative when removed.
    pub delta: i64,
}

/// A need of the past, before bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// When it was computed.
    #[serde(with = "lenient::instant", rename = "at_ms")]
    pub at: Timestamp,
    /// Replicas needed.
    pub replicas: u32,
}

/// Memory of one policy. [`State::default`] is a first start: nothing scales down until a stabilization window passed.
///
/// Cooldowns and rates count changes that were *seen* in `current_replicas`, whoever made them: a dry run delays
/// nothing, a manual change delays as ours would.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Replicas at the last step.
    pub last_replicas: Option<u32>,
    /// When replicas were last seen to grow.
    #[serde(with = "lenient::instant_opt", rename = "last_up_ms")]
    pub last_up: Option<Timestamp>,
    /// When replicas were last seen to fall.
    #[serde(with = "lenient::instant_opt", rename = "last_down_ms")]
    pub last_down: Option<Timestamp>,
    /// Changes inside the longest rate period, oldest first.
    pub changes: Vec<ReplicaChange>,
    /// Needs inside the stabilization window, oldest first; only those no later one exceeds.
    pub proposals: Vec<Proposal>,
    /// The same for reactive control alone, for the counterfactual.
    pub reactive_proposals: Vec<Proposal>,
}

impl State {
    /// Takes in what is seen now: clamps records of a clock that has stepped back, notes a change, drops old ones.
    pub(crate) fn observe(&mut self, now: Timestamp, current: u32, policy: &Policy) {
        self.clamp_to(now);
        match self.last_replicas {
            // The HPA does the same on its first sync: the present count is the first proposal, so a restarted
            // controller does not scale down before a whole window has been seen.
            None => {
                let first = Proposal { at: now, replicas: current };
                (self.proposals, self.reactive_proposals) = (vec![first], vec![first]);
            }
            Some(last) if last != current => {
                self.changes.push(ReplicaChange { at: now, delta: i64::from(current) - i64::from(last) });
                let seen = if current > last { &mut self.last_up } else { &mut self.last_down };
                *seen = Some(now);
            }
            Some(_) => {}
        }
        self.last_replicas = Some(current);
        let longest = policy.step_up.period.max(policy.step_down.period);
        self.changes.retain(|change| now - change.at < longest);
        while self.changes.len() > REMEMBERED {
            let merged = self.changes.remove(0).delta;
            self.changes[0].delta = self.changes[0].delta.saturating_add(merged);
        }
    }

    fn clamp_to(&mut self, now: Timestamp) {
        let seen = [&mut self.last_up, &mut self.last_down].into_iter().flatten();
        let changes = self.changes.iter_mut().map(|change| &mut change.at);
        let proposals = self.proposals.iter_mut().chain(&mut self.reactive_proposals).map(|proposal| &mut proposal.at);
        for at in seen.chain(changes).chain(proposals) {
            *at = (*at).min(now);
        }
    }

    /// `(added, removed)` replicas in the `period` before `now`.
    pub(crate) fn moved(&self, now: Timestamp, period: Millis) -> (u64, u64) {
        self.changes.iter().filter(|change| now - change.at < period).fold((0, 0), |(added, removed), change| {
            if change.delta > 0 {
                (added + change.delta.unsigned_abs(), removed)
            } else {
                (added, removed + change.delta.unsigned_abs())
            }
        })
    }
}

/// Adds a need to a window of needs and returns the largest one inside the window.
pub(crate) fn stabilize(proposals: &mut Vec<Proposal>, now: Timestamp, window: Millis, replicas: u32) -> u32 {
    proposals.retain(|proposal| now - proposal.at < window);
    // An older and smaller need can never be the maximum again.
    while proposals.last().is_some_and(|last| last.replicas <= replicas) {
        proposals.pop();
    }
    proposals.push(Proposal { at: now, replicas });
    while proposals.len() > REMEMBERED {
        // Drop the second: the first, larger one stands in for it until it leaves the window itself.
        let first_at = proposals[1].at;
        proposals.remove(1);
        proposals[0].at = proposals[0].at.max(first_at);
    }
    proposals.first().map_or(replicas, |largest| largest.replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_keeps_its_maximum_whatever_comes() {
        let (mut kept, mut all) = (Vec::new(), Vec::new());
        let mut random = crate::random::SplitMix64::new(1);
        for tick in 0..2000_i64 {
            let (now, need) = (Timestamp(tick * 15_000), random.below(50) as u32);
            all.push((now, need));
            let window = Millis::from_mins(5);
            let naive = all.iter().filter(|(at, _)| now - *at < window).map(|(_, need)| *need).max();
            assert_eq!(Some(stabilize(&mut kept, now, window, need)), naive);
            assert!(kept.len() <= REMEMBERED);
        }
    }

    #[test]
    fn a_clock_that_steps_back_leaves_nothing_in_the_future() {
        let policy = Policy::new("p", "x", "deployment/a/b".parse().expect("a target"));
        let mut state = State::default();
        state.observe(Timestamp(1_000_000), 3, &policy);
        state.observe(Timestamp(1_001_000), 5, &policy);
        state.observe(Timestamp(500_000), 5, &policy);
        assert_eq!(state.last_up, Some(Timestamp(500_000)));
        assert!(state.changes.iter().all(|change| change.at <= Timestamp(500_000)));
    }
}
