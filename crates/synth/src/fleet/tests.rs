//! The planted truth is in the data, and a seed always gives the same bits.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use series::{Step, is_stale};

use super::*;
use crate::truth::{AnomalyKind, ChangeCause, Sizing};

const END: Timestamp = Timestamp(1_795_248_000_000);
const STEP_S: f64 = 120.0;

/// A whole trace, a run of samples for each series.
struct Trace {
    fleet: Fleet,
    series: BTreeMap<Labels, Vec<(i64, f64)>>,
}

/// The default trace, made once for all tests.
static TRACE: LazyLock<Trace> = LazyLock::new(|| {
    let mut fleet = Fleet::new(&FleetSpec::ending_at(END)).expect("the default spec");
    let (mut batch, mut by_id) = (Batch::default(), BTreeMap::<_, (Labels, Vec<_>)>::new());
    for _ in 0..fleet.n_steps() {
        batch.clear();
        fleet.scrape(&mut batch).expect("one scrape fits");
        for one in batch.iter() {
            let entry = by_id.entry(one.id).or_insert_with(|| (one.labels.to_owned(), Vec::new()));
            entry.1.push((one.timestamps[0], one.values[0]));
        }
    }
    Trace { fleet, series: by_id.into_values().collect() }
});

impl Trace {
    fn find<'a>(
        &'a self,
        metric: &'a str,
        with: &'a [(&str, &str)],
    ) -> impl Iterator<Item = (&'a Labels, &'a [(i64, f64)])> {
        let fits = move |labels: &Labels| {
            labels.metric() == metric && with.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        self.series.iter().filter(move |(labels, _)| fits(labels)).map(|(labels, samples)| (labels, samples.as_slice()))
    }

    /// Increase of the counters over `(start, end]`, summed; resets count from zero.
    fn increase(&self, metric: &str, with: &[(&str, &str)], start: Timestamp, end: Timestamp) -> f64 {
        self.find(metric, with).map(|(_, samples)| increase(samples, start, end)).sum()
    }

    fn rate(&self, metric: &str, with: &[(&str, &str)], start: Timestamp, end: Timestamp) -> f64 {
        self.increase(metric, with, start, end) / (end - start).as_secs_f64()
    }

    /// The 99th percentile of a service's request durations over `(start, end]`, interpolated as PromQL does.
    fn p99(&self, service: &str, start: Timestamp, end: Timestamp) -> f64 {
        let bucket = |le: &str| {
            let with = [("service", service), ("le", le)];
            self.increase("http_request_duration_seconds_bucket", &with, start, end)
        };
        let rank = 0.99 * bucket("+Inf");
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, label) in crate::latency::BOUNDS.into_iter().zip(crate::latency::BOUND_LABELS) {
            let count = bucket(label);
            if count >= rank {
                return low + (bound - low) * (rank - below) / (count - below);
            }
            (low, below) = (bound, count);
        }
        low
    }

    fn value_at(&self, metric: &str, with: &[(&str, &str)], at: Timestamp) -> f64 {
        let values = self.find(metric, with).filter_map(|(_, samples)| samples.iter().find(|(t, _)| *t == at.0));
        values.map(|(_, value)| *value).filter(|value| !is_stale(*value)).sum()
    }
}

fn increase(samples: &[(i64, f64)], start: Timestamp, end: Timestamp) -> f64 {
    let inside = samples.iter().filter(|(at, value)| start.0 <= *at && *at <= end.0 && !is_stale(*value));
    let values: Vec<f64> = inside.map(|(_, value)| *value).collect();
    values.windows(2).map(|two| if two[1] >= two[0] { two[1] - two[0] } else { two[1] }).sum()
}

fn near(got: f64, want: f64, tolerance: f64) -> bool {
    (got / want - 1.0).abs() <= tolerance
}

#[test]
fn the_fleet_has_a_demo_sized_number_of_series() {
    let (trace, mut fleet) = (&*TRACE, Fleet::new(&FleetSpec::ending_at(END)).expect("the default spec"));
    assert!((300..=420).contains(&trace.fleet.n_series()), "{}", trace.fleet.n_series());
    assert!((500..=900).contains(&trace.series.len()), "{}", trace.series.len());
    let mut batch = Batch::default();
    for _ in 0..20 {
        batch.clear();
        fleet.scrape(&mut batch).expect("fits");
        let live = batch.iter().filter(|one| !is_stale(one.values[0])).count();
        assert_eq!(live, fleet.n_series());
    }
    assert_eq!(trace.fleet.next_at(), END + Millis::from_mins(2));
}

#[test]
fn every_series_is_on_the_grid_and_ends_with_a_staleness_marker() {
    for (labels, samples) in &TRACE.series {
        for two in samples.windows(2) {
            let apart = two[1].0 - two[0].0;
            assert!(apart > 0 && apart % 120_000 == 0, "{labels}");
            assert!(apart == 120_000 || is_stale(two[0].1), "{labels} has a gap without a marker");
            assert!(!is_stale(two[0].1) || !is_stale(two[1].1), "{labels} ends twice");
        }
        let (first, last) = (samples[0], samples[samples.len() - 1]);
        assert!(first.1.is_finite(), "{labels}");
        assert_eq!(last.0 == END.0, !is_stale(last.1) || last.0 == END.0, "{labels}");
        assert!(samples.iter().all(|(_, value)| value.is_finite() || is_stale(*value)), "{labels}");
    }
}

#[test]
fn counters_only_fall_to_begin_again() {
    for (labels, samples) in TRACE.series.iter().filter(|(labels, _)| labels.metric().ends_with("_total")) {
        for two in samples.windows(2).filter(|two| two[1].1 < two[0].1) {
            let fresh = two[1].1 <= 0.2 * two[0].1.max(1.0) || two[1].1 < 3e5;
            assert!(fresh, "{labels} falls from {} to {}", two[0].1, two[1].1);
        }
    }
}

#[test]
fn histograms_are_cumulative_and_count_what_the_ingress_counts() {
    let (start, end) = (END - Millis::from_hours(2), END - Millis::from_hours(1));
    for truth in &TRACE.fleet.truth().services {
        let service = [("service", truth.service.as_str())];
        let counted = TRACE.increase("http_requests_total", &service, start, end);
        assert_eq!(counted, TRACE.increase("http_request_duration_seconds_count", &service, start, end));
        let within = crate::latency::BOUND_LABELS.map(|le| {
            let with = [service[0], ("le", le)];
            TRACE.increase("http_request_duration_seconds_bucket", &with, start, end)
        });
        assert!(within.windows(2).all(|two| two[0] <= two[1]) && within[9] == counted, "{}", truth.service);
    }
}

#[test]
fn rates_at_the_end_and_at_the_last_peak_are_the_true_ones() {
    for truth in &TRACE.fleet.truth().services {
        let with = [("service", truth.service.as_str())];
        let now = TRACE.rate("http_requests_total", &with, END - Millis::from_mins(10), END);
        assert!(near(now, truth.rps_at_end, 0.15), "{}: {now} against {}", truth.service, truth.rps_at_end);
    }
    let checkout = TRACE.fleet.truth().services.iter().find(|s| s.service == "checkout").expect("checkout");
    let evening = checkout.peak_at - Millis::from_days(7);
    let window = (evening - Millis::from_mins(15), evening + Millis::from_mins(15));
    let last_week = TRACE.rate("http_requests_total", &[("service", "checkout")], window.0, window.1);
    assert!(near(last_week, checkout.peak_rps * (1.0 - 7.0 * 0.009), 0.15), "{last_week}");
}

#[test]
fn checkout_needs_more_replicas_for_the_evening() {
    let checkout = TRACE.fleet.truth().services.iter().find(|s| s.service == "checkout").expect("checkout");
    assert!(checkout.replicas_needed_at_peak >= checkout.replicas_at_end + 2, "{checkout:?}");
    let ahead = checkout.peak_at - END;
    assert!(ahead > Millis::from_hours(2) && ahead < Millis::from_hours(4), "{ahead}");
    let shown = TRACE.value_at("kube_deployment_status_replicas", &[("deployment", "checkout")], END);
    assert_eq!(shown, f64::from(checkout.replicas_at_end));
    // A day earlier the reactive scaler went as far as that evening needed.
    let yesterday = checkout.peak_at - Millis::from_days(1);
    let at = yesterday.floor(Step::from_secs(120));
    assert!(TRACE.value_at("kube_deployment_status_replicas", &[("deployment", "checkout")], at) >= 8.0);
}

#[test]
fn payments_has_just_become_slow() {
    let truth = TRACE.fleet.truth();
    let open: Vec<_> = truth.anomalies.iter().filter(|anomaly| anomaly.end.is_none()).collect();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].service.as_str(), open[0].kind), ("payments", AnomalyKind::Latency));
    assert_eq!(END - open[0].start, Millis::from_mins(24));
    let before = TRACE.p99("payments", open[0].start - Millis::from_hours(1), open[0].start);
    let after = TRACE.p99("payments", open[0].start, END);
    assert!((2.5..3.8).contains(&(after / before)), "{before} to {after}");
    let payments = truth.services.iter().find(|s| s.service == "payments").expect("payments");
    assert!(near(after, payments.p99_at_end_s, 0.12), "{after} against {}", payments.p99_at_end_s);
    let change = truth.change_points.last().expect("a change point");
    assert_eq!((change.at, change.version.as_deref()), (open[0].start, Some("3.2.0")));
    assert_eq!(TRACE.value_at("shop_build_info", &[("service", "payments"), ("version", "3.2.0")], END), 1.0);
    assert_eq!(TRACE.value_at("shop_build_info", &[("service", "payments")], END), 1.0);
}

#[test]
fn closed_anomalies_are_as_large_as_told() {
    for anomaly in TRACE.fleet.truth().anomalies.iter().filter(|anomaly| anomaly.end.is_some()) {
        let (start, end) = (anomaly.start, anomaly.end.expect("closed"));
        let quiet = (start - Millis::from_mins(40), start);
        let with = [("service", anomaly.service.as_str())];
        let ratio = match anomaly.kind {
            AnomalyKind::Spike | AnomalyKind::LevelShift => {
                let near_start = start + Millis::from_mins(12).min(end - start);
                let during = TRACE.rate("http_requests_total", &with, start, near_start);
                during / TRACE.rate("http_requests_total", &with, quiet.0, quiet.1)
            }
            AnomalyKind::Latency => {
                TRACE.p99(&anomaly.service, start, end) / TRACE.p99(&anomaly.service, quiet.0, quiet.1)
            }
            AnomalyKind::ErrorBurst => {
                let failed = [with[0], ("code", "500")];
                let failures = TRACE.increase("http_requests_total", &failed, start, end);
                failures / TRACE.increase("http_requests_total", &with, start, end)
            }
        };
        // Spikes are told by their top; the mean of their first part is lower.
        let (low, high) = if anomaly.kind == AnomalyKind::Spike { (0.55, 1.05) } else { (0.8, 1.25) };
        assert!((low..high).contains(&(ratio / anomaly.factor)), "{anomaly:?}: {ratio}");
    }
}

#[test]
fn releases_change_latency_by_the_told_factor() {
    let is_release = |change: &&crate::ChangePoint| change.cause == ChangeCause::Release;
    let changes: Vec<_> = TRACE.fleet.truth().change_points.iter().filter(is_release).collect();
    assert!(changes.len() >= 8);
    for change in changes {
        let mean = |start, end| {
            let sum = TRACE.increase("http_request_duration_seconds_sum", &[("service", &change.service)], start, end);
            sum / TRACE.increase("http_request_duration_seconds_count", &[("service", &change.service)], start, end)
        };
        let before = mean(change.at - Millis::from_mins(24), change.at);
        let after = mean(change.at, change.at + Millis::from_mins(24));
        assert!(near(after / before, change.factor, 0.12), "{change:?}: {before} to {after}");
    }
}

#[test]
fn the_disk_fills_when_told() {
    let truth = TRACE.fleet.truth();
    let full = &truth.capacity[0];
    assert_eq!((full.resource.as_str(), full.limit), ("db-0 /var/lib/postgresql", 0.9));
    let days = (full.true_fill_date.expect("it fills") - END).as_secs_f64() / 86_400.0;
    assert!((22.9..23.1).contains(&days), "{days}");
    let used = |at| {
        let with = [("instance", "db-0:9100")];
        1.0 - TRACE.value_at("node_filesystem_avail_bytes", &with, at)
            / TRACE.value_at("node_filesystem_size_bytes", &with, at)
    };
    let slope = (used(END) - used(END - Millis::from_days(10))) / 10.0;
    assert!(near(slope, full.growth_per_day, 0.03), "{slope}");
    assert!((used(END) - full.used_at_end).abs() < 0.005);
    assert!(truth.capacity.iter().filter(|c| c.resource.starts_with("db-1")).all(|c| c.true_fill_date.is_none()));
}

#[test]
fn sizings_are_what_the_pods_used() {
    let truth = TRACE.fleet.truth();
    for (workload, cpu, memory) in [
        ("frontend", Sizing::Right, Sizing::Over),
        ("checkout", Sizing::Right, Sizing::Right),
        ("search", Sizing::Under, Sizing::Right),
        ("catalog", Sizing::Right, Sizing::Right),
        ("payments", Sizing::Right, Sizing::Right),
        ("cart", Sizing::Right, Sizing::Under),
        ("recommendations", Sizing::Over, Sizing::Under),
        ("auth", Sizing::Over, Sizing::Over),
        ("emails", Sizing::Over, Sizing::Over),
        ("reports", Sizing::Right, Sizing::Right),
        ("cache", Sizing::Right, Sizing::Right),
    ] {
        let sizing = truth.sizing.iter().find(|sizing| sizing.workload == workload).expect(workload);
        assert_eq!((sizing.cpu, sizing.memory), (cpu, memory), "{sizing:?}");
        let with = [("container", workload)];
        let mut rates = Vec::new();
        for (_, samples) in TRACE.find("container_cpu_usage_seconds_total", &with) {
            let pairs = samples.windows(2).filter(|two| two[1].1 >= two[0].1);
            rates.extend(pairs.map(|two| (two[1].1 - two[0].1) / STEP_S));
        }
        rates.sort_by(f64::total_cmp);
        let p95 = rates[rates.len() * 95 / 100];
        assert!(near(p95, sizing.cpu_p95_cores, 0.03), "{workload}: {p95} against {}", sizing.cpu_p95_cores);
        let peaks = TRACE.find("container_memory_working_set_bytes", &with).flat_map(|(_, samples)| samples);
        let peak = peaks.map(|(_, value)| *value).filter(|value| !is_stale(*value)).fold(0.0, f64::max);
        assert_eq!(peak as u64, sizing.memory_peak_bytes, "{workload}");
        let kills = TRACE.find("kube_pod_container_status_restarts_total", &with);
        let kills: f64 = kills.map(|(_, samples)| increase(samples, Timestamp(0), END)).sum();
        assert_eq!(kills as u64, sizing.oom_kills, "{workload}");
    }
    assert!(truth.sizing.iter().any(|sizing| sizing.oom_kills > 5));
}

#[test]
fn pods_tell_their_lead_time() {
    for truth in &TRACE.fleet.truth().services {
        let mut leads = Vec::new();
        for (labels, ready) in TRACE.find("kube_pod_status_ready_time", &[]) {
            let pod = labels.get("pod").expect("a pod");
            if pod.starts_with(&truth.service) {
                let with = [("pod", pod)];
                let (_, created) = TRACE.find("kube_pod_created", &with).next().expect("created");
                leads.push(ready[0].1 - created[0].1);
            }
        }
        let mean = leads.iter().sum::<f64>() / leads.len() as f64;
        assert!(near(mean, truth.lead_time_s, 0.15), "{}: {mean}", truth.service);
    }
}

#[test]
fn metadata_covers_every_metric() {
    let families: Vec<String> = TRACE.fleet.metadata().into_iter().map(|entry| entry.metric).collect();
    assert!(families.is_sorted());
    for labels in TRACE.series.keys() {
        let metric = labels.metric();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(metric);
        assert!(families.iter().any(|known| known == family), "{metric}");
    }
}

#[test]
fn truth_serialises_with_millisecond_times() {
    let json = serde_json::to_value(TRACE.fleet.truth()).expect("plain structs");
    assert_eq!(json["end"], END.0);
    assert_eq!(json["anomalies"][0]["kind"], "spike");
    assert!(json["anomalies"].as_array().expect("a list").iter().any(|anomaly| anomaly["end"].is_null()));
}

/// FNV-1a over series ids, times and value bits.
fn fingerprint(spec: &FleetSpec, n_steps: u64) -> u64 {
    let (mut fleet, mut batch) = (Fleet::new(spec).expect("a good spec"), Batch::default());
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for _ in 0..n_steps {
        batch.clear();
        fleet.scrape(&mut batch).expect("fits");
        for one in batch.iter() {
            for word in [one.id.0, one.timestamps[0] as u64, one.values[0].to_bits()] {
                hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    hash
}

#[test]
fn a_seed_gives_the_same_bits_everywhere() {
    let spec = FleetSpec { seed: 42, start: END - Millis::from_days(2), days: 2, step: Step::from_secs(120) };
    let whole = fingerprint(&spec, 1440);
    // Recorded once: a change here changes every published number of the demo.
    assert_eq!(whole, 0x281c_dbb1_a139_7352, "{whole:#x}");
    assert_ne!(fingerprint(&FleetSpec { seed: 43, ..spec.clone() }, 50), fingerprint(&spec, 50));
}

#[test]
fn other_seeds_steps_and_lengths_keep_the_story() {
    for (seed, days, step_s) in [(1, 1, 60), (2, 3, 30), (3, 35, 120), (4, 8, 90)] {
        let spec =
            FleetSpec { seed, start: END - Millis::from_days(i64::from(days)), days, step: Step::from_secs(step_s) };
        let mut fleet = Fleet::new(&spec).expect("a good spec");
        let truth = fleet.truth();
        assert!(truth.anomalies.iter().any(|anomaly| anomaly.service == "payments" && anomaly.end.is_none()));
        let checkout = truth.services.iter().find(|s| s.service == "checkout").expect("checkout");
        assert!(checkout.replicas_needed_at_peak > checkout.replicas_at_end, "seed {seed}: {checkout:?}");
        assert_eq!(truth.anomalies.len() >= 17, days == 35, "{}", truth.anomalies.len());
        let mut batch = Batch::default();
        assert_eq!(fleet.scrape(&mut batch).expect("fits"), spec.start + Millis(spec.step.millis()));
        assert_eq!(batch.n_series(), batch.n_samples());
    }
}

#[test]
fn the_fleet_lives_on_past_the_end() {
    let spec = FleetSpec { seed: 5, start: END - Millis::from_days(1), days: 1, step: Step::from_secs(120) };
    let (mut fleet, mut batch) = (Fleet::new(&spec).expect("a good spec"), Batch::default());
    for _ in 0..fleet.n_steps() + 120 {
        batch.clear();
        fleet.scrape(&mut batch).expect("fits");
    }
    let payments = fleet.truth().anomalies.iter().filter(|anomaly| anomaly.end.is_none()).count();
    assert_eq!((payments, fleet.n_done()), (1, 720 + 120));
    assert_eq!(fleet.next_at(), END + Millis::from_mins(2 * 121));
}
