//! The server's own counters: requests by route and status, time by route, writes, connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::parts::{MetricFamily, MetricKind, MetricSample};
use crate::state::State;

/// Upper bounds of the time histogram in seconds.
const BUCKETS_S: [f64; 8] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];

/// Counters since start.
#[derive(Default)]
pub(crate) struct OwnMetrics {
    /// Keyed by route, not by path: the number of routes is fixed, that of paths is not.
    routes: Mutex<BTreeMap<String, RouteMetrics>>,
    samples_written: AtomicU64,
    samples_refused: AtomicU64,
    histograms_written: AtomicU64,
    exemplars_written: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) panics: AtomicU64,
}

#[derive(Default, Clone)]
struct RouteMetrics {
    by_status: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS_S.len()],
    count: u64,
    sum_s: f64,
}

impl OwnMetrics {
    /// Counts a request.
    pub(crate) fn request(&self, route: &str, status: u16, took: Duration) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        // The key is only copied for a route's first request.
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), RouteMetrics::default());
        }
        let Some(metrics) = routes.get_mut(route) else { return };
        let seconds = took.as_secs_f64();
        *metrics.by_status.entry(status).or_default() += 1;
        metrics.count += 1;
        metrics.sum_s += seconds;
        if let Some(bucket) = BUCKETS_S.iter().position(|bound| seconds <= *bound) {
            metrics.buckets[bucket] += 1;
        }
    }

    /// Counts a write.
    pub(crate) fn wrote(&self, written: u64, refused: u64) {
        self.samples_written.fetch_add(written, Ordering::Relaxed);
        self.samples_refused.fetch_add(refused, Ordering::Relaxed);
    }

    /// Counts what a write brought beside floats.
    pub(crate) fn wrote_beside(&self, histograms: u64, exemplars: u64) {
        self.histograms_written.fetch_add(histograms, Ordering::Relaxed);
        self.exemplars_written.fetch_add(exemplars, Ordering::Relaxed);
    }

    /// All families.
    pub(crate) fn gather(&self, state: &State) -> Vec<MetricFamily> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counter = |name, help, value: &AtomicU64| {
            MetricFamily::single(name, help, MetricKind::Counter, value.load(Ordering::Relaxed) as f64)
        };
        let gauge = |name, help, value: f64| MetricFamily::single(name, help, MetricKind::Gauge, value);
        let mut families = vec![
            requests(&routes),
            seconds(&routes),
            counter("foretide_write_samples_total", "Samples made durable by remote write.", &self.samples_written),
            counter(
                "foretide_write_refused_samples_total",
                "Samples of remote write not written.",
                &self.samples_refused,
            ),
            counter(
                "foretide_write_histograms_total",
                "Native histograms made durable by remote write.",
                &self.histograms_written,
            ),
            counter(
                "foretide_write_exemplars_total",
                "Exemplars made durable by remote write.",
                &self.exemplars_written,
            ),
            gauge(
                "foretide_write_admitted_bytes",
                "Bytes held by write requests under way.",
                state.admission.used() as f64,
            ),
            gauge("foretide_http_connections", "Open connections.", self.connections.load(Ordering::Relaxed) as f64),
            counter(
                "foretide_http_connections_refused_total",
                "Connections closed at once, over a limit.",
                &self.connections_refused,
            ),
            counter("foretide_http_panics_total", "Handlers that panicked.", &self.panics),
            gauge("foretide_query_slots_free", "Queries that could start now.", state.gate.free() as f64),
            gauge("foretide_query_waiting", "Queries that wait for a slot.", state.gate.waiting() as f64),
        ];
        families.extend(state.intake.metrics.gather());
        families.push(gauge(
            "foretide_otlp_delta_streams",
            "Streams of OpenTelemetry deltas that are added up.",
            state.intake.delta.len() as f64,
        ));
        families
    }
}

fn requests(routes: &BTreeMap<String, RouteMetrics>) -> MetricFamily {
    let samples = routes.iter().flat_map(|(route, metrics)| {
        metrics.by_status.iter().map(move |(status, count)| MetricSample {
            suffix: "",
            labels: vec![("route".to_owned(), route.clone()), ("code".to_owned(), status.to_string())],
            value: *count as f64,
        })
    });
    MetricFamily {
        name: "foretide_http_requests_total".to_owned(),
        help: "Requests answered.".to_owned(),
        kind: MetricKind::Counter,
        samples: samples.collect(),
    }
}

fn seconds(routes: &BTreeMap<String, RouteMetrics>) -> MetricFamily {
    let mut samples = Vec::new();
    for (route, metrics) in routes {
        let label = || ("route".to_owned(), route.clone());
        let mut below = 0;
        for (bound, count) in BUCKETS_S.iter().zip(metrics.buckets) {
            below += count;
            let labels = vec![label(), ("le".to_owned(), bound.to_string())];
            samples.push(MetricSample { suffix: "_bucket", labels, value: below as f64 });
        }
        let labels = vec![label(), ("le".to_owned(), "+Inf".to_owned())];
        samples.push(MetricSample { suffix: "_bucket", labels, value: metrics.count as f64 });
        samples.push(MetricSample { suffix: "_sum", labels: vec![label()], value: metrics.sum_s });
        samples.push(MetricSample { suffix: "_count", labels: vec![label()], value: metrics.count as f64 });
    }
    MetricFamily {
        name: "foretide_http_request_seconds".to_owned(),
        help: "Time from a request's head to its answer's head.".to_owned(),
        kind: MetricKind::Histogram,
        samples,
    }
}
