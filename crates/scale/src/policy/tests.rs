//! Policies as users write them.

use super::*;

fn read(json: &str) -> Result<Policy, String> {
    serde_json::from_str(json).map_err(|fault| fault.to_string())
}

fn valid() -> Policy {
    let target = "deployment/shop/checkout".parse().expect("a target");
    Policy { per_replica: PerReplica::Given(100.0), ..Policy::new("checkout", "sum(rate(x[2m]))", target) }
}

#[test]
fn the_configuration_example_reads() {
    let policy = read(
        r#"{"name":"checkout","demand":"sum(rate(http_requests_total[2m]))","per_replica":"auto","min_replicas":2,
            "max_replicas":40,"lead_time":"10m","quantile":0.9,"cooldown":{"up":"3m","down":"10m"},
            "target":"deployment/shop/checkout"}"#,
    )
    .expect("a policy");
    assert_eq!(policy.per_replica, PerReplica::Auto);
    assert_eq!(policy.lead_time, LeadTime::Given(Millis::from_mins(10)));
    assert_eq!(policy.cooldown, Cooldown { up: Millis::from_mins(3), down: Millis::from_mins(10) });
    assert_eq!(policy.stabilization_down, Millis::from_mins(5));
    assert_eq!(policy.validate(), Ok(()));
}

#[test]
fn older_names_read_alike() {
    let policy = read(
        r#"{"name":"api","minReplicas":2,"maxReplicas":20,"targetCPUUtilization":70,"scaleUpCooldown":"3m",
            "scaleDownCooldown":600000,"target":"deployment/shop/api","perReplica":120.5,"headroom":0.25,
            "behavior":"aggressive"}"#,
    )
    .expect("a policy");
    assert_eq!((policy.min_replicas, policy.max_replicas), (2, 20));
    assert_eq!(policy.target_cpu_utilization, Some(0.7));
    assert_eq!(policy.cooldown, Cooldown { up: Millis::from_mins(3), down: Millis::from_mins(10) });
    assert!((policy.target_utilization - 0.8).abs() < 1e-12);
    assert_eq!(policy.step_up.percent, 300.0);
    assert_eq!(policy.validate(), Ok(()));
}

#[test]
fn a_policy_survives_json() {
    for (per_replica, lead_time) in [
        (PerReplica::Auto, LeadTime::Auto),
        (PerReplica::Given(0.1 + 0.2), LeadTime::Given(Millis(61_001))),
        (
            PerReplica::Learned { capacity: 1.0 / 3.0, interval: (0.3, 0.4) },
            LeadTime::Learned { p90: Millis(42), starts: 7 },
        ),
    ] {
        let policy = Policy { per_replica, lead_time, ..valid() };
        let json = serde_json::to_string(&policy).expect("serializable");
        assert_eq!(read(&json), Ok(policy), "{json}");
    }
}

#[test]
fn unknown_and_double_keys_are_refused() {
    let base = r#""name":"a","demand":"x","target":"deployment/a/b""#;
    for (extra, says) in [
        (r#""minReplica":2"#, "minReplica"),
        (r#""minReplicas":2,"min_replicas":3"#, "duplicate"),
        (r#""cooldown":{"up":"1m"},"scaleUpCooldown":"3m""#, "not both"),
        (r#""headroom":0.2,"target_utilization":0.8"#, "not both"),
        (r#""lead_time":"soon""#, "10m"),
        (r#""per_replica":"many""#, "auto"),
    ] {
        let fault = read(&format!("{{{base},{extra}}}")).expect_err(extra);
        assert!(fault.contains(says), "{extra}: {fault}");
    }
}

#[test]
fn every_bad_value_is_named() {
    let cases: [(Policy, &str); 10] = [
        (Policy { min_replicas: 11, ..valid() }, "min_replicas 11 is above max_replicas 10"),
        (Policy { quantile: 1.0, ..valid() }, "quantile is 1, it must be between 0 and 1"),
        (Policy { quantile: f64::NAN, ..valid() }, "quantile is NaN"),
        (Policy { target_utilization: 0.0, ..valid() }, "target_utilization is 0, it must be in (0, 1]"),
        (Policy { emergency_ceiling: Some(5), ..valid() }, "emergency_ceiling 5 is below max_replicas 10"),
        (Policy { per_replica: PerReplica::Given(-1.0), ..valid() }, "per_replica is -1"),
        (Policy { lead_time: LeadTime::Given(Millis(-1)), ..valid() }, "lead_time is -1ms"),
        (Policy { min_replicas: 0, max_replicas: 0, ..valid() }, "max_replicas is 0"),
        (Policy { demand: " ".into(), ..valid() }, "give `demand`"),
        (Policy { name: String::new(), ..valid() }, "policy name"),
    ];
    for (policy, says) in cases {
        let fault = policy.validate().expect_err(says).to_string();
        assert!(fault.contains(says), "{fault}");
    }
}
