//! The controller as a specification.

use super::*;
use crate::{Constraint, LeadTime, MetricKind, MetricReading, Reading, Record};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_795_244_400_000);

fn policy() -> Policy {
    let target = "deployment/shop/checkout".parse().expect("a target");
    Policy {
        per_replica: PerReplica::Given(100.0),
        target_utilization: 0.8,
        min_replicas: 2,
        max_replicas: 40,
        lead_time: LeadTime::Given(Millis::from_mins(5)),
        cost_per_replica_hour: 0.1,
        ..Policy::new("checkout", "sum(rate(x[2m]))", target)
    }
}

fn signals(current: u32, demand: f64) -> Signals {
    let recent = (1..=8).rev().map(|ago| Reading { at: NOW - Millis(ago * 15_000), value: demand });
    Signals {
        current_replicas: current,
        ready_replicas: current,
        demand: Some(Reading { at: NOW, value: demand }),
        recent_demand: recent.collect(),
        metrics: Vec::new(),
    }
}

/// A minute grid from five minutes ago; `value` gets minutes from now.
fn forecast(value: impl Fn(i64) -> f64) -> DemandForecast {
    let row = |level: f64, factor: f64| (level, (0..240).map(|i| value(i - 5) * factor).collect::<Vec<_>>());
    DemandForecast {
        origin: NOW - Millis::from_mins(5),
        step_ms: 60_000,
        quantiles: vec![row(0.1, 0.9), row(0.5, 1.0), row(0.9, 1.1)],
        model: "test".into(),
        backtest_error: Some(0.7),
        coverage: Some(0.82),
    }
}

/// A state that has seen `replicas` long enough for anything.
fn settled(replicas: u32) -> State {
    State { last_replicas: Some(replicas), ..State::default() }
}

#[test]
fn demand_over_capacity_scales_up_and_says_why() {
    let (decision, next) = step(NOW, &signals(12, 1300.0), None, &policy(), &settled(12));
    assert_eq!((decision.action, decision.from, decision.to), (Action::Scale, 12, 17));
    assert_eq!(decision.reasons[0].kind, ReasonKind::Demand);
    assert_eq!(decision.reasons[0].text, "demand now 1300 / (100 × 0.80 a replica) needs 17 replicas");
    assert!((decision.cost_delta_per_hour - 0.5).abs() < 1e-12);
    assert_eq!(decision.undo, "kubectl -n shop scale deployment/checkout --replicas=12");
    assert_eq!(decision.counterfactual.to, 17);
    assert_eq!(next.last_replicas, Some(12));
}

#[test]
fn a_forecast_raises_before_the_need_and_names_what_reactive_would_do() {
    let rising = forecast(|minute| if minute >= 4 { 2000.0 } else { 900.0 });
    let (decision, _) = step(NOW, &signals(12, 900.0), Some(&rising), &policy(), &settled(12));
    assert_eq!((decision.to, decision.counterfactual.to), (24, 12), "p90 of 2200 needs 28, one period doubles to 24");
    assert_eq!(decision.constraint, Some(Constraint::Rate));
    assert_eq!(decision.reasons[0].kind, ReasonKind::Forecast);
    assert_eq!(decision.reasons[0].quantile, Some(0.9));
    assert!(decision.when < NOW, "the lead time is five minutes, the need four away: late by one");
    let band = decision.band.expect("a band");
    assert!((band.p50 - 2000.0).abs() < 1e-9 && (band.p90 - 2200.0).abs() < 1e-9);
}

#[test]
fn a_later_need_waits_and_is_announced() {
    let later = forecast(|minute| if minute >= 60 { 2000.0 } else { 900.0 });
    let (decision, _) = step(NOW, &signals(13, 900.0), Some(&later), &policy(), &settled(13));
    assert_eq!((decision.action, decision.to), (Action::Hold, 13));
    let upcoming = decision.upcoming.expect("an announcement");
    assert_eq!(upcoming.to, 28);
    assert_eq!(upcoming.needed, NOW + Millis::from_mins(60));
    assert_eq!(upcoming.when, NOW + Millis::from_mins(55));
}

#[test]
fn replicas_that_will_be_needed_soon_are_kept() {
    let dip = forecast(|minute| if minute < 8 { 400.0 } else { 900.0 });
    let (with, _) = step(NOW, &signals(12, 400.0), Some(&dip), &policy(), &settled(12));
    let (without, _) = step(NOW, &signals(12, 400.0), None, &policy(), &settled(12));
    assert_eq!((with.to, without.to, with.counterfactual.to), (12, 5, 5));
}

#[test]
fn a_first_start_does_not_scale_down_before_a_window_has_passed() {
    let (mut state, mut when) = (State::default(), NOW);
    for _ in 0..20 {
        let mut seen = signals(10, 100.0);
        seen.demand = Some(Reading { at: when, value: 100.0 });
        let (decision, next) = step(when, &seen, None, &policy(), &state);
        assert_eq!((decision.to, decision.constraint), (10, Some(Constraint::Stabilization)), "{}", when - NOW);
        (state, when) = (next, when + Millis::from_secs(15));
    }
    let mut seen = signals(10, 100.0);
    seen.demand = Some(Reading { at: when, value: 100.0 });
    assert_eq!(step(when, &seen, None, &policy(), &state).0.to, 2);
}

#[test]
fn a_gap_removes_nothing_and_a_forecast_still_adds() {
    let blind = Signals { demand: None, ..signals(10, 900.0) };
    let (decision, _) = step(NOW, &blind, None, &policy(), &settled(10));
    assert_eq!((decision.to, decision.reasons[0].kind), (10, ReasonKind::Gap));
    let (decision, _) = step(NOW, &blind, Some(&forecast(|_| 100.0)), &policy(), &settled(10));
    assert_eq!(decision.to, 10);
    let blind = Signals { recent_demand: Vec::new(), ..blind };
    let (decision, _) = step(NOW, &blind, Some(&forecast(|_| 1200.0)), &policy(), &settled(10));
    assert_eq!(decision.to, 17);
    let old = Signals { demand: Some(Reading { at: NOW - Millis::from_mins(3), value: 1.0 }), ..signals(10, 1.0) };
    assert_eq!(step(NOW, &old, None, &policy(), &settled(10)).0.to, 10, "a stale reading is a gap");
}

#[test]
fn foreign_and_stale_forecasts_leave_reactive_control() {
    let foreign = forecast(|_| 9000.0);
    let (decision, _) = step(NOW, &signals(12, 900.0), Some(&foreign), &policy(), &settled(12));
    assert_eq!((decision.to, decision.distrust), (12, Some(Distrust::Foreign)));
    assert!(decision.reasons.iter().any(|reason| reason.text.contains("reactive control only")));
    let stale = DemandForecast { origin: NOW - Millis::from_days(2), ..foreign };
    let (decision, _) = step(NOW, &signals(12, 900.0), Some(&stale), &policy(), &settled(12));
    assert_eq!((decision.distrust, decision.band), (Some(Distrust::Stale), None));
}

#[test]
fn a_single_spike_is_believed_only_in_part() {
    let mut spike = signals(3, 200.0);
    spike.demand = Some(Reading { at: NOW, value: 2000.0 });
    let (decision, _) = step(NOW, &spike, None, &policy(), &settled(3));
    assert_eq!(decision.reasons[0].value, Some(600.0));
    assert_eq!(decision.constraint, Some(Constraint::Rate));
}

#[test]
fn cooldown_counts_from_the_change_that_was_seen() {
    let slow = Policy { cooldown: crate::Cooldown { up: Millis::from_mins(3), down: Millis(0) }, ..policy() };
    let (decision, state) = step(NOW, &signals(5, 900.0), None, &slow, &settled(5));
    assert_eq!(decision.to, 10);
    // Nobody applied it: the advice stands.
    let (decision, state) = step(NOW, &signals(5, 900.0), None, &slow, &state);
    assert_eq!(decision.to, 10);
    // Applied: now the pause runs.
    let (decision, _) = step(NOW, &signals(10, 1800.0), None, &slow, &state);
    assert_eq!((decision.to, decision.constraint), (10, Some(Constraint::Cooldown)));
}

#[test]
fn demand_that_is_here_may_open_the_emergency_ceiling_and_a_forecast_may_not() {
    let policy = Policy { max_replicas: 20, emergency_ceiling: Some(50), ..policy() };
    let (decision, _) = step(NOW, &signals(20, 2400.0), None, &policy, &settled(20));
    assert_eq!((decision.to, decision.constraint), (30, None));
    let (decision, _) = step(
        NOW,
        &signals(20, 1500.0),
        Some(&forecast(|m| if m < 1 { 1500.0 } else { 3000.0 })),
        &policy,
        &settled(20),
    );
    assert_eq!((decision.to, decision.constraint), (20, Some(Constraint::Max)));
    let after = State { proposals: vec![crate::Proposal { at: NOW - Millis(15_000), replicas: 30 }], ..settled(30) };
    let (decision, _) = step(NOW, &signals(30, 1500.0), None, &policy, &after);
    assert_eq!(decision.to, 30, "an emergency ends through the stabilization window");
}

#[test]
fn the_largest_of_several_signals_wins() {
    let mut seen = signals(10, 500.0);
    let cpu = |value| MetricReading {
        name: "cpu".into(),
        kind: MetricKind::Mean,
        target: 0.6,
        reading: Some(Reading { at: NOW, value }),
    };
    seen.metrics = vec![cpu(0.9)];
    let (decision, _) = step(NOW, &seen, None, &policy(), &settled(10));
    assert_eq!((decision.to, decision.reasons[0].signal.as_str()), (15, "cpu"));
    seen.metrics = vec![MetricReading { reading: None, ..cpu(0.0) }];
    let (decision, _) = step(NOW, &seen, None, &policy(), &settled(10));
    assert_eq!((decision.to, decision.constraint), (10, Some(Constraint::MetricGap)));
}

#[test]
fn an_unknown_capacity_leaves_utilization_in_charge() {
    let policy = Policy { per_replica: PerReplica::Auto, ..policy() };
    let (decision, _) = step(NOW, &signals(10, 9999.0), Some(&forecast(|_| 9999.0)), &policy, &settled(10));
    assert_eq!((decision.to, decision.distrust), (10, None));
    assert!(decision.reasons.iter().any(|reason| reason.kind == ReasonKind::CapacityUnknown));
}

#[test]
fn an_uncertain_capacity_makes_a_band_of_rest() {
    let policy = Policy {
        per_replica: PerReplica::Learned { capacity: 100.0, interval: (80.0, 120.0) },
        tolerance: 0.0,
        ..policy()
    };
    let to = |current, demand| step(NOW, &signals(current, demand), None, &policy, &settled(current)).0.to;
    assert_eq!((to(9, 800.0), to(10, 800.0), to(12, 800.0), to(13, 800.0), to(20, 800.0)), (10, 10, 12, 13, 13));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.0..5000.0f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-1.0)]
}

fn any_signals() -> impl Strategy<Value = Signals> {
    let reading = |ago: i64, value: f64| Reading { at: NOW - Millis(ago), value };
    let recent = prop::collection::vec((0..1_000_000i64, any_value()), 0..12);
    let demand = prop::option::of((-10_000..200_000i64, any_value()));
    let metric = prop::option::of((0..200_000i64, 0.0..3.0f64, any::<bool>()));
    (0u32..60, 0u32..60, demand, recent, metric).prop_map(move |(current, ready, demand, recent, metric)| Signals {
        current_replicas: current,
        ready_replicas: ready,
        demand: demand.map(|(ago, value)| reading(ago, value)),
        recent_demand: recent.into_iter().map(|(ago, value)| reading(ago, value)).collect(),
        metrics: metric
            .map(|(ago, value, mean)| MetricReading {
                name: "cpu".into(),
                kind: if mean { MetricKind::Mean } else { MetricKind::Total },
                target: 0.6,
                reading: (ago < 150_000).then(|| reading(ago, value)),
            })
            .into_iter()
            .collect(),
    })
}

fn any_forecast() -> impl Strategy<Value = Option<DemandForecast>> {
    let rows = prop::collection::vec((0.01..0.99f64, prop::collection::vec(any_value(), 0..40)), 0..4);
    let tame = prop::collection::vec(0.0..5000.0f64, 30..60);
    let wild = (-10_000_000..100_000i64, -1..600_000i64, rows)
        .prop_map(|(ahead, step_ms, quantiles)| (ahead, step_ms, quantiles));
    let sound = tame.prop_map(|row| {
        (-120_000i64, 60_000i64, vec![(0.5, row.clone()), (0.9, row.iter().map(|v| v * 1.2).collect())])
    });
    prop::option::of(prop_oneof![wild, sound].prop_map(|(ahead, step_ms, quantiles)| DemandForecast {
        origin: NOW + Millis(ahead),
        step_ms,
        quantiles,
        model: "any".into(),
        backtest_error: Some(0.9),
        coverage: None,
    }))
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let per_replica = prop_oneof![
        1 => Just(PerReplica::Auto),
        4 => (1.0..500.0f64).prop_map(PerReplica::Given),
        2 => (10.0..500.0f64).prop_map(|c| PerReplica::Learned { capacity: c, interval: (c * 0.8, c * 1.3) }),
    ];
    let spans = (0..600_000i64, 0..300_000i64, 0..300_000i64, 0..600_000i64);
    (per_replica, 0u32..10, 0u32..40, prop::option::of(0u32..30), spans, 0.0..0.3f64).prop_map(
        |(per_replica, min_replicas, more, ceiling, (lead, up, down, window), tolerance)| {
            let max_replicas = (min_replicas + more).max(1);
            Policy {
                per_replica,
                min_replicas,
                max_replicas,
                emergency_ceiling: ceiling.map(|extra| max_replicas + extra),
                lead_time: LeadTime::Given(Millis(lead)),
                cooldown: crate::Cooldown { up: Millis(up), down: Millis(down) },
                stabilization_down: Millis(window),
                tolerance,
                ..policy()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replicas_stay_in_bounds_and_gaps_remove_nothing(
        signals in any_signals(), forecast in any_forecast(), policy in any_policy(), last in prop::option::of(0u32..60),
    ) {
        prop_assert_eq!(policy.validate(), Ok(()));
        let state = State { last_replicas: last, ..State::default() };
        let (decision, next) = step(NOW, &signals, forecast.as_ref(), &policy, &state);
        let ceiling = policy.emergency_ceiling.unwrap_or(0).max(policy.max_replicas);
        let current = signals.current_replicas;
        if (policy.min_replicas..=ceiling).contains(&current) {
            prop_assert!((policy.min_replicas..=ceiling).contains(&decision.to), "{} → {}", current, decision.to);
        }
        let fresh = |r: Option<Reading>| r.and_then(|r| r.fresh(NOW, policy.max_signal_age)).is_some_and(|v| v >= 0.0);
        let gap = !fresh(signals.demand) || signals.metrics.iter().any(|metric| !fresh(metric.reading));
        if gap {
            prop_assert!(decision.to >= current, "{} → {} in a gap", current, decision.to);
        }
        prop_assert!((0.0..=1.0).contains(&decision.confidence));
        prop_assert_eq!(decision.action == Action::Hold, decision.to == current);
        prop_assert_eq!(next.last_replicas, Some(current));
    }

    #[test]
    fn more_demand_never_means_fewer_replicas(
        signals in any_signals(), forecast in any_forecast(), policy in any_policy(), low in 0.0..4000.0f64, more in 0.0..4000.0f64,
    ) {
        let at = |value| {
            let demand = Some(Reading { at: NOW, value });
            let seen = Signals { demand, ..signals.clone() };
            step(NOW, &seen, forecast.as_ref(), &policy, &settled(signals.current_replicas)).0.to
        };
        prop_assert!(at(low) <= at(low + more));
    }

    #[test]
    fn records_replay_bit_for_bit_also_through_json(
        signals in any_signals(), forecast in any_forecast(), policy in any_policy(), last in prop::option::of(0u32..60),
    ) {
        let state = State { last_replicas: last, ..State::default() };
        let record = Record::take(NOW, signals, forecast, policy, state);
        prop_assert_eq!(record.replay(), Ok(()));
        let json = serde_json::to_string(&record).expect("serializable");
        let read: Record = serde_json::from_str(&json).expect("readable");
        prop_assert_eq!(read.replay(), Ok(()));
        prop_assert_eq!(serde_json::to_string(&read).expect("serializable"), json);
    }
}

#[test]
fn an_altered_record_is_found_out() {
    let mut record = Record::take(NOW, signals(12, 1300.0), None, policy(), settled(12));
    record.decision.to = 40;
    assert!(record.replay().is_err_and(|fault| fault.to_string().contains("says 40 replicas")));
}

#[test]
fn a_day_of_noise_reverses_seldom() {
    let (mut state, mut current, mut changes) = (State::default(), 10_u32, 0);
    let mut random = crate::random::SplitMix64::new(5);
    for tick in 0..5760_i64 {
        let now = NOW + Millis(tick * 15_000);
        let value = 800.0 * (0.97 + random.below(600) as f64 / 10_000.0);
        let seen = Signals {
            current_replicas: current,
            ready_replicas: current,
            demand: Some(Reading { at: now, value }),
            ..Signals::default()
        };
        let (decision, next) = step(now, &seen, None, &policy(), &state);
        changes += u32::from(decision.to != current);
        (state, current) = (next, decision.to);
    }
    assert!(changes <= 3, "{changes} changes");
}
