//! Right-sizing on made-up containers.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_795_244_400_000);
const GIB: f64 = 1_073_741_824.0;

fn samples(days: i64, value: impl Fn(i64) -> f64) -> Vec<UsageSample> {
    let minutes = days * 1440;
    (0..minutes).step_by(5).map(|ago| UsageSample { at: NOW - Millis::from_mins(ago), value: value(ago) }).collect()
}

fn container(days: i64) -> ContainerUsage {
    ContainerUsage {
        target: "deployment/shop/checkout".parse().expect("a target"),
        container: "app".into(),
        replicas: 3,
        current: Resources {
            cpu_request_cores: Some(1.0),
            cpu_limit_cores: Some(2.0),
            memory_request_bytes: Some(GIB),
            memory_limit_bytes: Some(2.0 * GIB),
        },
        cpu_cores: samples(days, |_| 0.3),
        memory_bytes: samples(days, |_| 0.4 * GIB),
        ooms: Vec::new(),
        hpa_on_cpu: false,
        hpa_on_memory: false,
        evidence_query: "container_cpu_usage_seconds_total".into(),
    }
}

fn size(usage: &ContainerUsage) -> Sizing {
    rightsize(NOW, usage, &RightsizePolicy::default(), &Prices::default()).expect("a valid policy")
}

#[test]
fn an_idle_container_gives_back() {
    let sizing = size(&container(15));
    assert_eq!((sizing.cpu, sizing.memory, sizing.confidence), (Advice::Lower, Advice::Lower, Confidence::High));
    assert_eq!(sizing.proposed.cpu_request_cores, Some(0.3));
    assert_eq!(sizing.proposed.cpu_limit_cores, Some(0.6), "the ratio of limit to request is kept");
    assert_eq!(sizing.proposed.memory_request_bytes, Some(480.0 * MIB));
    let expected = Prices::default().monthly(0.7, GIB - 480.0 * MIB) * 3.0;
    assert!((sizing.saving_monthly - expected).abs() < 1e-9);
    assert_eq!(sizing.why, "cpu p95 300m; mem peak 410Mi");
}

#[test]
fn too_few_days_give_no_advice_and_say_how_many_are_missing() {
    let sizing = size(&container(6));
    assert_eq!((sizing.cpu, sizing.memory, sizing.confidence), (Advice::None, Advice::None, Confidence::None));
    assert_eq!((sizing.why.as_str(), sizing.changes()), ("6 days of data, 14 needed", false));
    assert!((sizing.days_missing - 8.0).abs() < 0.11, "{}", sizing.days_missing);
    assert_eq!(size(&container(8)).confidence, Confidence::Low);
    assert_eq!(size(&container(11)).confidence, Confidence::Medium);
}

#[test]
fn a_weekly_peak_keeps_its_cores() {
    let mut usage = container(15);
    // Two hours each seven days: far outside a P95.
    usage.cpu_cores = samples(15, |ago| if ago % (7 * 1440) < 120 { 1.9 } else { 0.3 });
    usage.current.cpu_request_cores = Some(2.0);
    let sizing = size(&usage);
    assert_eq!(sizing.cpu, Advice::Keep, "{}", sizing.why);
    assert!(sizing.why.contains("peak that returns 1.9 cores"), "{}", sizing.why);
}

#[test]
fn one_strange_hour_does_not() {
    let mut usage = container(15);
    usage.cpu_cores = samples(15, |ago| if (3000..3060).contains(&ago) { 7.0 } else { 0.3 });
    let sizing = size(&usage);
    assert_eq!(sizing.proposed.cpu_request_cores, Some(0.3));
    assert_eq!(sizing.proposed.cpu_limit_cores, Some(7.0), "a limit never cuts a peak that was seen");
}

#[test]
fn a_kill_raises_memory_even_on_the_first_day() {
    let mut usage = container(1);
    usage.ooms = vec![OomEvent { at: NOW - Millis::from_hours(1), limit_bytes: 2.0 * GIB }];
    let sizing = size(&usage);
    assert_eq!((sizing.memory, sizing.cpu), (Advice::Raise, Advice::None));
    assert!(sizing.proposed.memory_request_bytes.is_some_and(|bytes| bytes >= 2.4 * GIB));
    assert!(sizing.saving_monthly < 0.0 && sizing.is_at_risk());
}

#[test]
fn an_autoscaler_on_cpu_is_not_disturbed() {
    let sizing = size(&ContainerUsage { hpa_on_cpu: true, ..container(15) });
    assert_eq!((sizing.cpu, sizing.memory), (Advice::None, Advice::Lower));
    assert_eq!(sizing.proposed.cpu_request_cores, Some(1.0));
}

#[test]
fn a_bad_policy_is_named() {
    let policy = RightsizePolicy { cpu_quantile: 1.5, ..RightsizePolicy::default() };
    let fault = rightsize(NOW, &container(15), &policy, &Prices::default()).expect_err("out of range");
    assert_eq!(fault.to_string(), "right-sizing: cpu_quantile is 1.5, it must be in (0, 1]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn memory_is_never_below_its_peak(values in prop::collection::vec(1e6..8e9f64, 400..500), request in 1e6..1e10f64) {
        let hour = |ago: usize| NOW - Millis::from_hours(i64::try_from(ago).unwrap_or(0));
        let memory: Vec<UsageSample> =
            values.iter().enumerate().map(|(ago, value)| UsageSample { at: hour(ago), value: *value }).collect();
        let mut usage = container(15);
        usage.memory_bytes = memory;
        usage.current.memory_request_bytes = Some(request);
        let sizing = size(&usage);
        let peak = values[..=336].iter().copied().fold(0.0, f64::max);
        let after = sizing.proposed.memory_request_bytes.unwrap_or(0.0);
        prop_assert!(after >= peak, "{after} < {peak}");
        let json = serde_json::to_string(&sizing).expect("serializable");
        prop_assert_eq!(serde_json::from_str::<Sizing>(&json).expect("readable"), sizing);
    }
}

#[test]
fn rounding_up_never_falls_below_the_need() {
    for (value, unit, expected) in [(0.39, 0.4, 0.4), (0.41, 0.4, 0.8), (0.42, 0.01, 0.42), (0.7, 0.25, 0.75)] {
        assert_eq!(round_up(value, unit), expected, "{value} in units of {unit}");
    }
}
