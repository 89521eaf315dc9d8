//! Recommendations on their way out.

use super::csv::text;
use super::markdown::escape;
use super::*;
use crate::policy::{PerReplica, Policy};
use crate::signals::{Reading, Signals};
use crate::state::State;

const NOW: Timestamp = Timestamp(1_795_244_400_000);
const GIB: f64 = 1_073_741_824.0;

fn scale() -> Recommendation {
    let target = "deployment/shop/checkout".parse().expect("a target");
    let policy = Policy {
        per_replica: PerReplica::Given(100.0),
        max_replicas: 40,
        cost_per_replica_hour: 0.1,
        ..Policy::new("checkout", "sum(rate(http_requests_total[2m]))", target)
    };
    let signals = Signals {
        current_replicas: 12,
        ready_replicas: 12,
        demand: Some(Reading { at: NOW, value: 1300.0 }),
        ..Signals::default()
    };
    let (decision, _) = crate::step(NOW, &signals, None, &policy, &State::default());
    Recommendation::from_decision(&decision, policy.cost_per_replica_hour, &Prices::default(), Millis::from_mins(30))
        .expect("a change")
}

#[test]
fn a_scale_up_that_is_only_foreseen_has_its_price() {
    let mut decision = match scale().details {
        Details::Scale(decision) => *decision,
        other => panic!("{other:?}"),
    };
    (decision.action, decision.to, decision.cost_delta_per_hour) = (Action::Hold, decision.from, 0.0);
    let (when, needed) = (NOW + Millis::from_mins(55), NOW + Millis::from_mins(60));
    decision.upcoming = Some(crate::decision::Upcoming { to: decision.from + 3, when, needed, demand: 1500.0 });
    let advice =
        Recommendation::from_decision(&decision, 0.1, &Prices::default(), Millis::from_mins(30)).expect("advice");
    assert!((advice.cost_delta_monthly - 3.0 * 0.1 * HOURS_PER_MONTH).abs() < 1e-9, "{}", advice.cost_delta_monthly);
}

fn sizing(container: &str) -> Sizing {
    let current = Resources { cpu_request_cores: Some(1.0), memory_request_bytes: Some(GIB), ..Resources::default() };
    Sizing {
        target: "deployment/shop/checkout".parse().expect("a target"),
        container: container.into(),
        replicas: 2,
        current,
        proposed: Resources { cpu_request_cores: Some(0.42), memory_request_bytes: Some(1.5 * GIB), ..current },
        cpu: Advice::Lower,
        memory: Advice::Raise,
        confidence: Confidence::High,
        days: 14.0,
        days_missing: 0.0,
        cpu_peak_cores: Some(0.9),
        memory_peak_bytes: Some(1.1 * GIB),
        ooms: 0,
        why: "cpu p95 380m; mem peak 1.1Gi".into(),
        saving_monthly: 20.0,
        evidence_query: "container_cpu_usage_seconds_total".into(),
    }
}

fn rightsize(container: &str) -> Recommendation {
    Recommendation::from_sizing(&sizing(container), &Prices::default(), NOW, Millis::from_days(7))
}

fn capacity(resource: &str) -> Recommendation {
    let runway = Runway {
        resource: resource.into(),
        at: NOW,
        used: 1.42 * 1024.0 * GIB,
        limit: 2048.0 * GIB,
        in_bytes: true,
        threshold: 0.9,
        growth_per_day: 16.4 * GIB,
        days_p10: Some(17.0),
        days_p50: Some(23.0),
        days_p90: None,
        add: Some(1024.0 * GIB),
        add_before: Some(NOW + Millis::from_days(14)),
        cost_monthly: 81.92,
        history_days: 40.0,
        confidence: Confidence::Medium,
        summary: "full in 23 days (17–later than the horizon)".into(),
        evidence_query: "node_filesystem_avail_bytes".into(),
    };
    Recommendation::from_runway(&runway, &Prices::default(), Millis::from_days(1))
}

#[test]
fn every_kind_survives_json() {
    for one in [scale(), rightsize("app"), capacity("db-0 disk")] {
        let json = serde_json::to_string(&one).expect("serializable");
        assert_eq!(serde_json::from_str::<Recommendation>(&json).expect("readable"), one, "{json}");
    }
}

#[test]
fn the_same_advice_has_the_same_id() {
    let later = Recommendation::from_sizing(&sizing("app"), &Prices::default(), NOW + Millis(1), Millis(1));
    assert_eq!(rightsize("app").id, later.id);
    assert_ne!(rightsize("app").id, rightsize("sidecar").id);
}

#[test]
fn tables_read_like_the_manual() {
    let shown = table(Kind::Rightsize, &[scale(), rightsize("app")]);
    assert_eq!(shown.rows.len(), 1);
    assert_eq!(
        shown.rows[0],
        ["Deployment/checkout", "app", "1 → 420m", "1Gi → 1.5Gi (!)", "cpu p95 380m; mem peak 1.1Gi", "high", "$20"]
    );
    assert_eq!(
        shown.footer.as_deref(),
        Some("1 workloads · CPU -58 % · memory +50 % · saves $20/month · 1 raise first (!)")
    );
    let shown = table(Kind::Capacity, &[capacity("db-0 disk")]);
    assert_eq!(
        shown.rows[0],
        ["db-0 disk", "71 %", "2Ti", "90 %: 14 Dec", "08 Dec – not in sight", "+0.8 %/day", "+1Ti before 05 Dec"]
    );
    let shown = table(Kind::Scale, &[scale()]);
    assert_eq!(shown.rows[0][..2], ["Deployment/checkout", "12 → 17"]);
    assert_eq!(shown.header.len(), shown.rows[0].len());
}

#[test]
fn a_spreadsheet_runs_nothing() {
    for (cell, written) in [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("a,b", "\"a,b\""),
        ("a\"b", "\"a\"\"b\""),
        ("=a,\"b\"", "\"'=a,\"\"b\"\"\""),
        ("plain", "plain"),
    ] {
        assert_eq!(text(cell), written);
    }
    let csv = to_csv(&[capacity("=HYPERLINK(\"http://evil\")"), rightsize("app")]);
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://evil\"\")\","), "{csv}");
    assert!(csv.lines().count() == 3 && csv.contains(",-20.0000,20.0000,USD,"), "{csv}");
}

#[test]
fn markdown_keeps_hostile_names_as_text() {
    assert_eq!(escape("<b>|`x`\n[a](b)"), "&lt;b&gt;\\|\\`x\\` \\[a\\](b)");
    let mut one = capacity("<script>alert(1)</script>|x");
    one.evidence_query = "a``b".into();
    let text = to_markdown(&[one, scale()]);
    assert!(!text.contains("<script>") && text.contains("``` a``b ```"), "{text}");
    assert!(to_markdown(&[]).contains("Nothing to advise"));
}

#[test]
fn manifests_hold_only_what_changes() {
    let plan = plan_yaml(&[scale(), rightsize("app: \"x\"\n"), capacity("disk\nkind: Evil")]);
    assert!(
        plan.contains(
            "kind: Deployment\nmetadata:\n  name: \"checkout\"\n  namespace: \"shop\"\nspec:\n  replicas: 17\n"
        )
    );
    assert!(
        plan.contains("            requests:\n              cpu: \"420m\"\n              memory: \"1536Mi\"\n"),
        "{plan}"
    );
    assert!(plan.contains("- name: \"app: \\\"x\\\"\\U0000000a\""), "{plan}");
    assert!(!plan.contains("\nkind: Evil") && !plan.contains("limits:"), "{plan}");
    let applied = Recommendation { status: Status::Applied, ..scale() };
    assert_eq!(plan_yaml(&[applied]), "# foretide plan\n");
}

#[test]
fn metrics_have_sorted_labels_and_grouped_lines() {
    let all = [scale(), rightsize("app"), capacity("disk \"0\"")];
    for line in to_metrics(&all) {
        assert!(line.labels.is_sorted_by(|a, b| a.0 < b.0), "{line:?}");
        assert!(line.name.starts_with("foretide_recommendation_"));
    }
    let text = to_exposition(&all);
    assert!(text.contains("foretide_recommendation_full_in_seconds{kind=\"capacity\",quantile=\"0.9\",target=\"disk \\\"0\\\"\"} +Inf\n"), "{text}");
    assert_eq!(text.matches("# TYPE foretide_recommendation_info gauge").count(), 1);
}
