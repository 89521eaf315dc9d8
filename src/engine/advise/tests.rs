//! Advice over a real data folder: what is kept, what is queued for whom, what is judged.

use std::path::Path;
use std::sync::Arc;

use control::outbox::{Message, MessageState};
use control::{CHANGES_MAX, ScanRange};
use scale::{PerReplica, Policy, Prices, Recommendation, Severity, Signals, State, Status};
use serde_json::Value;
use series::{Batch, Labels, ManualClock, Millis, Timestamp};

use super::outcome::{recommendations, replace_all};
use super::*;
use crate::engine::Engine;
use crate::settings::Settings;

const NOW: Timestamp = Timestamp(1_795_244_400_000);
const MINUTE: Millis = Millis::from_mins(1);
const POLICY: &str = "
scaling:
  mode: recommend
  policies:
    - {name: checkout, demand: demand, per_replica: 100, min_replicas: 2, max_replicas: 40, max_signal_age: 2m,
       target_memory_utilization: 0.8, target: deployment/shop/checkout}
";

/// An engine without background work, over a folder that can be opened again.
struct Bench {
    clock: Arc<ManualClock>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let clock = Arc::new(ManualClock::new(NOW));
        Self { clock, runtime, folder: tempfile::tempdir().expect("a folder") }
    }

    fn open(&self, settings: &str) -> Engine {
        let settings = Settings::parse(settings, "test.yaml").expect("valid");
        let clock = Arc::clone(&self.clock) as Arc<dyn series::Clock>;
        let data: &Path = self.folder.path();
        Engine::open(data, settings, clock, self.runtime.handle().clone()).expect("opens").0
    }
}

fn receivers(mode: &str) -> String {
    format!(
        "scaling: {{mode: {mode}}}\nnotify: [{{type: file, path: ./a}}, {{type: webhook, url: 'https://b.test/'}}]\n"
    )
}

/// Labels, time and value.
type Sample<'a> = (&'a [(&'a str, &'a str)], Timestamp, f64);

fn write(engine: &Engine, samples: &[Sample<'_>]) {
    let mut batch = Batch::default();
    for (labels, at, value) in samples {
        let labels = Labels::from_pairs(labels.iter().copied()).expect("labels");
        batch.begin_labels(&labels).expect("small");
        batch.push(*at, *value);
    }
    engine.appender().append_wait(batch).expect("written");
}

/// `checkout` from 12 replicas to more, as asked for at `at`.
fn scale_up(at: Timestamp) -> Recommendation {
    scale_for(1300.0, at)
}

fn scale_for(demand: f64, at: Timestamp) -> Recommendation {
    let target = "deployment/shop/checkout".parse().expect("a target");
    let policy =
        Policy { per_replica: PerReplica::Given(100.0), max_replicas: 40, ..Policy::new("checkout", "demand", target) };
    let demand = Some(scale::Reading { at, value: demand });
    let signals = Signals { current_replicas: 12, ready_replicas: 12, demand, ..Signals::default() };
    let (decision, _) = scale::step(at, &signals, None, &policy, &State::default());
    Recommendation::from_decision(&decision, 0.1, &Prices::default(), Millis::from_mins(30)).expect("a change")
}

/// A container that needs more memory.
fn raise(container: &str) -> Recommendation {
    let gib = f64::from(1 << 30);
    let usage =
        |value: f64| (0..14 * 24).map(move |hour| scale::UsageSample { at: NOW - Millis::from_hours(hour), value });
    let usage = scale::ContainerUsage {
        target: "deployment/shop/checkout".parse().expect("a target"),
        container: container.into(),
        replicas: 2,
        current: scale::Resources {
            cpu_request_cores: Some(1.0),
            memory_request_bytes: Some(gib),
            ..scale::Resources::default()
        },
        cpu_cores: usage(0.9).collect(),
        memory_bytes: usage(2.0 * gib).collect(),
        ooms: Vec::new(),
        hpa_on_cpu: false,
        hpa_on_memory: false,
        evidence_query: String::new(),
    };
    let sizing = scale::rightsize(NOW, &usage, &scale::RightsizePolicy::default(), &Prices::default()).expect("sized");
    Recommendation::from_sizing(&sizing, &Prices::default(), NOW, Millis::from_days(1))
}

fn messages(engine: &Engine) -> Vec<Message> {
    let range = ScanRange::default();
    let rows: Vec<(String, Message)> = engine.core().control.scan(control::Kind::Outbox, &range).expect("readable");
    rows.into_iter().map(|(_, message)| message).collect()
}

fn n_waiting(engine: &Engine) -> usize {
    messages(engine).iter().filter(|message| message.state == MessageState::Audited).count()
}

#[test]
fn advice_that_returns_is_a_new_piece_and_is_sent_again() {
    let bench = Bench::new();
    let engine = bench.open(&receivers("recommend"));
    let core = engine.core();
    let days = |n: i64| NOW + Millis::from_days(n);
    for (day, found) in [(0, vec![scale_up(NOW)]), (1, vec![]), (2, vec![scale_up(days(2))])] {
        replace_all(core, Kind::Scale, found, days(day)).expect("kept");
    }
    let kept = recommendations(core).expect("readable");
    assert_eq!((kept.len(), kept[0].status, kept[0].created_at), (1, Status::Open, days(2)));
    let windows: Vec<i64> = messages(&engine).iter().map(|message| message.window_start).collect();
    assert_eq!(windows, [NOW.0, NOW.0, days(2).0, days(2).0], "two receivers, twice");
    // While it is given it stays the same piece.
    replace_all(core, Kind::Scale, vec![scale_up(days(2) + MINUTE)], days(2) + MINUTE).expect("kept");
    assert_eq!(messages(&engine).len(), 4);
    assert_eq!(recommendations(core).expect("readable")[0].created_at, days(2));
}

#[test]
fn advice_that_wavers_is_sent_once_unless_something_else_was_sent_since() {
    let bench = Bench::new();
    let engine = bench.open(&receivers("recommend"));
    let minute = |n: i64| NOW + Millis::from_mins(n);
    for (n, demand, sent) in
        [(0, 1300.0, 2), (1, 0.0, 2), (2, 1300.0, 2), (3, 1500.0, 4), (4, 1300.0, 6), (5, 1300.0, 6)]
    {
        let found = if demand > 0.0 { vec![scale_for(demand, minute(n))] } else { Vec::new() };
        replace_all(engine.core(), Kind::Scale, found, minute(n)).expect("kept");
        assert_eq!(messages(&engine).len(), sent, "minute {n}");
    }
    let waiting: Vec<_> = messages(&engine).into_iter().filter(|m| m.state == MessageState::Audited).collect();
    assert_eq!(waiting.len(), 2, "the newest word for each receiver");
    assert!(waiting.iter().all(|message| message.payload["id"] == scale_up(NOW).id.as_str()));
    let open = recommendations(engine.core()).expect("readable");
    assert_eq!(open.iter().filter(|advice| advice.status == Status::Open).count(), 1);
}

#[test]
fn advice_that_holds_side_by_side_is_sent_side_by_side() {
    let bench = Bench::new();
    let engine = bench.open(&receivers("recommend"));
    replace_all(engine.core(), Kind::Rightsize, vec![raise("app"), raise("proxy")], NOW).expect("kept");
    replace_all(engine.core(), Kind::Scale, vec![scale_up(NOW)], NOW).expect("kept");
    assert_eq!(n_waiting(&engine), 6, "three pieces for two receivers");
    let subjects: std::collections::BTreeSet<String> =
        messages(&engine).into_iter().map(|message| message.target).collect();
    let expected = ["", "/containers/app", "/containers/proxy"].map(|more| format!("deployment/shop/checkout{more}"));
    assert_eq!(subjects, expected.into());
}

#[test]
fn advice_found_while_observing_is_sent_once_the_mode_allows_it_and_to_new_receivers() {
    let bench = Bench::new();
    let evaluate = |engine: &Engine| replace_all(engine.core(), Kind::Scale, vec![scale_up(NOW)], NOW).expect("kept");
    let engine = bench.open(&receivers("observe"));
    evaluate(&engine);
    assert_eq!(messages(&engine).len(), 0);
    engine.close();
    let engine = bench.open("scaling: {mode: recommend}\nnotify: [{type: webhook, url: 'https://b.test/'}]\n");
    evaluate(&engine);
    evaluate(&engine);
    assert_eq!(messages(&engine).len(), 1);
    engine.close();
    let engine = bench.open(&receivers("recommend"));
    evaluate(&engine);
    let topics: Vec<String> = messages(&engine).into_iter().map(|message| message.topic).collect();
    assert_eq!(topics.len(), 2, "{topics:?}");
    assert!(topics[0].starts_with("webhook-") && topics[1].starts_with("file-"), "{topics:?}");
}

#[test]
fn a_persons_word_stands_until_the_advice_ends_or_its_validity_does() {
    use server::{AdviceError, Verdict};
    let bench = Bench::new();
    let engine = bench.open(&receivers("recommend"));
    let (core, id) = (engine.core(), scale_up(NOW).id);
    let give = |at: Timestamp| replace_all(core, Kind::Scale, vec![scale_up(at)], at).expect("kept");
    let status = || recommendations(core).expect("readable")[0].status;
    assert_eq!(judge(core, "none", Verdict::Applied), Err(AdviceError::Unknown));
    assert_eq!(give(NOW), 1);
    assert_eq!(judge(core, &id, Verdict::Dismissed).expect("noted").status, Status::Dismissed);
    assert_eq!((give(NOW + Millis::from_days(2)), status()), (0, Status::Dismissed), "dismissed stays dismissed");
    judge(core, &id, Verdict::Applied).expect("noted");
    judge(core, &id, Verdict::Applied).expect("noted already");
    // Still given shortly after: it has not taken effect yet. Given later than it held: it is needed again.
    let marked = NOW + Millis::from_days(2);
    assert_eq!((give(marked + MINUTE), status()), (0, Status::Applied));
    assert_eq!((give(marked + Millis::from_hours(2)), status()), (1, Status::Open));
    replace_all(core, Kind::Scale, Vec::new(), marked + Millis::from_hours(3)).expect("kept");
    assert!(matches!(judge(core, &id, Verdict::Dismissed), Err(AdviceError::Over(_))));
    let audit = core.control.scan::<Value>(control::Kind::Audit, &ScanRange::default()).expect("readable");
    let verbs: Vec<_> = audit.iter().filter_map(|(_, row)| row["entry"]["verb"].as_str()).collect();
    assert_eq!(verbs.iter().filter(|verb| ["apply", "dismiss"].contains(verb)).count(), 2, "{verbs:?}");
}

#[test]
fn more_advice_than_one_record_holds_is_kept_and_kept_again() {
    let bench = Bench::new();
    let engine = bench.open("host: {enabled: false}\n");
    let one = raise("app");
    let many = || (0..CHANGES_MAX + 5).map(|n| Recommendation { id: format!("{n:032x}"), ..one.clone() }).collect();
    assert_eq!(replace_all(engine.core(), Kind::Rightsize, many(), NOW).expect("kept"), CHANGES_MAX + 5);
    let later = NOW + Millis::from_hours(1);
    let given =
        many().into_iter().map(|advice: Recommendation| Recommendation { severity: Severity::Critical, ..advice });
    assert_eq!(replace_all(engine.core(), Kind::Rightsize, given.collect(), later).expect("kept"), CHANGES_MAX + 5);
    let kept = recommendations(engine.core()).expect("readable");
    assert_eq!(kept.len(), CHANGES_MAX + 5);
    assert!(kept.iter().all(|advice| advice.severity == Severity::Critical && advice.created_at == NOW));
}

#[test]
fn a_policy_that_holds_counts_as_judged_and_a_signal_that_ended_is_a_gap() {
    let bench = Bench::new();
    let engine = bench.open(POLICY);
    assert_eq!(evaluate(engine.core(), Kind::Scale).expect("evaluated").judged, 0, "no replica count yet");
    let replicas = [("__name__", "kube_deployment_status_replicas"), ("deployment", "checkout"), ("namespace", "shop")];
    write(&engine, &[(&replicas, NOW, 12.0), (&[("__name__", "demand")], NOW, 900.0)]);
    let found = evaluate(engine.core(), Kind::Scale).expect("evaluated");
    assert_eq!((found.judged, found.open), (1, 0));
    let gap = |engine: &Engine| {
        let newest = engine.core().control.scan::<Value>(control::Kind::Decision, &ScanRange::newest(1));
        let reasons = newest.expect("readable")[0].1["reasons"].clone();
        reasons
            .as_array()
            .is_some_and(|reasons| reasons.iter().any(|reason| reason["kind"] == "gap" && reason["signal"] == "demand"))
    };
    assert!(!gap(&engine));
    bench.clock.advance(Millis::from_mins(3));
    evaluate(engine.core(), Kind::Scale).expect("evaluated");
    assert!(gap(&engine), "the demand is three minutes old, two are allowed");
}

#[test]
fn a_replica_costs_what_its_containers_request_and_memory_targets_reach_the_sizes() {
    let bench = Bench::new();
    let engine = bench.open(POLICY);
    let replicas = [("__name__", "kube_deployment_status_replicas"), ("deployment", "checkout"), ("namespace", "shop")];
    let request = |pod: &'static str, resource: &'static str| {
        let name = "kube_pod_container_resource_requests";
        [("__name__", name), ("namespace", "shop"), ("pod", pod), ("container", "app"), ("resource", resource)]
    };
    let (pods, gib) = (["checkout-7d9f8c6b5-x2x4z", "checkout-7d9f8c6b5-b2b4b"], f64::from(1 << 30));
    for pod in pods {
        write(&engine, &[(&request(pod, "cpu"), NOW, 2.0), (&request(pod, "memory"), NOW, 4.0 * gib)]);
    }
    write(&engine, &[(&replicas, NOW, 12.0), (&[("__name__", "demand")], NOW, 1300.0)]);
    evaluate(engine.core(), Kind::Scale).expect("evaluated");
    let advice = recommendations(engine.core()).expect("readable").remove(0);
    let (Some(scale::Field::Count(from)), Some(scale::Field::Count(to))) =
        (advice.current.get("replicas"), advice.proposed.get("replicas"))
    else {
        panic!("{advice:?}")
    };
    let hourly = 2.0 * 0.031 + 4.0 * 0.004;
    assert!(to > from && (advice.cost_delta_monthly - (to - from) as f64 * hourly * 730.5).abs() < 1e-6, "{advice:?}");
    let mut containers = rightsizing::Containers::new();
    rightsizing::gather(engine.core(), &mut containers, NOW).expect("gathered");
    let sized: Vec<_> = containers.values().map(|usage| (usage.hpa_on_cpu, usage.hpa_on_memory)).collect();
    assert_eq!(sized, [(false, true)]);
}
