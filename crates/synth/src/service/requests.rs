//! The HTTP side of a service: request counters at the ingress and the histogram of durations.

use series::{BatchTooLarge, LabelError, Labels};

use crate::catalogue::{HttpSpec, INGRESSES};
use crate::latency::{BOUND_LABELS, Durations};
use crate::noise::{Noise, Wobble};
use crate::pod::Scrape;

/// Counters of one service.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    spec: HttpSpec,
    noise: Noise,
    wobble: Wobble,
    /// Routes in the order of the catalogue, failures last.
    routes: Vec<Route>,
    durations: Durations,
    series: DurationSeries,
}

/// One method and code, counted by each ingress.
#[derive(Debug, Clone)]
struct Route {
    series: [Labels; 2],
    counts: [f64; 2],
}

/// Series of one version.
#[derive(Debug, Clone)]
struct DurationSeries {
    buckets: Vec<Labels>,
    sum: Labels,
    count: Labels,
    build_info: Labels,
}

impl Requests {
    pub(crate) fn new(
        service: &str,
        spec: HttpSpec,
        version: &str,
        seed: u64,
        step_s: f64,
    ) -> Result<Self, LabelError> {
        let mut noise = Noise::new(seed, &format!("{service}/requests"));
        let codes = spec.routes.iter().map(|(method, code, share)| (*method, *code, *share));
        let routes = codes.chain([(spec.error_method, "500", spec.error_ratio)]);
        let routes = routes.map(|(method, code, share)| {
            let before = || (noise.between(1e6, 4e7) * share).round();
            Ok(Route { counts: [(); 2].map(|()| 0.0), series: ingress_series(service, method, code)? }.with(before))
        });
        let routes = routes.collect::<Result<_, LabelError>>()?;
        let wobble = Wobble::new(Noise::new(seed, &format!("{service}/latency")), 0.02, 900.0, step_s);
        let series = DurationSeries::new(service, version)?;
        Ok(Self { spec, noise, wobble, routes, durations: Durations::default(), series })
    }

    /// Takes `n` requests that are `slow` times slower than without load, `failing` of them failing beside the usual
    /// share. Returns how many failed.
    pub(crate) fn step(&mut self, n: f64, slow: f64, failing: f64) -> f64 {
        let median = self.spec.median_s * slow * (1.0 + self.wobble.step());
        let dither = self.noise.uniform();
        self.durations.observe(n, median, dither);
        let failures = self.noise.count(n * (self.spec.error_ratio + failing)).min(n);
        let mut rest = n - failures;
        let fine = rest;
        for i in (1..self.spec.routes.len()).rev() {
            let taken = (fine * self.spec.routes[i].2 + dither).floor().min(rest);
            rest -= taken;
            self.routes[i].add(taken, dither);
        }
        self.routes[0].add(rest, dither);
        if let Some(failed) = self.routes.last_mut() {
            failed.add(failures, dither);
        }
        failures
    }

    pub(crate) fn emit(&self, scrape: &mut Scrape<'_>) -> Result<(), BatchTooLarge> {
        for route in &self.routes {
            for (labels, count) in route.series.iter().zip(route.counts) {
                scrape.put(labels, count)?;
            }
        }
        for (labels, count) in self.series.buckets.iter().zip(self.durations.buckets) {
            scrape.put(labels, count)?;
        }
        scrape.put(&self.series.sum, self.durations.sum)?;
        scrape.put(&self.series.count, self.durations.buckets[9])?;
        scrape.put(&self.series.build_info, 1.0)
    }

    pub(crate) fn n_series(&self) -> usize {
        self.routes.len() * INGRESSES.len() + BOUND_LABELS.len() + 3
    }

    /// A new version serves: its histogram starts at zero. Returns the series that end.
    pub(crate) fn relabel(&mut self, service: &str, version: &str) -> Result<Vec<Labels>, LabelError> {
        let old = std::mem::replace(&mut self.series, DurationSeries::new(service, version)?);
        self.durations = Durations::default();
        let DurationSeries { mut buckets, sum, count, build_info } = old;
        buckets.extend([sum, count, build_info]);
        Ok(buckets)
    }

    pub(crate) fn reset_ingress(&mut self, ingress: usize) {
        for count in self.routes.iter_mut().filter_map(|route| route.counts.get_mut(ingress)) {
            *count = 0.0;
        }
    }
}

impl Route {
    fn with(mut self, mut before: impl FnMut() -> f64) -> Self {
        self.counts = [before(), before()];
        self
    }

    /// Half to each ingress.
    fn add(&mut self, n: f64, dither: f64) {
        let first = (n * 0.5 + dither).floor().min(n);
        self.counts[0] += first;
        self.counts[1] += n - first;
    }
}

fn ingress_series(service: &str, method: &str, code: &str) -> Result<[Labels; 2], LabelError> {
    let labels = |instance| {
        Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("job", "ingress"),
            ("instance", instance),
            ("service", service),
            ("method", method),
            ("code", code),
        ])
    };
    Ok([labels(INGRESSES[0])?, labels(INGRESSES[1])?])
}

impl DurationSeries {
    fn new(service: &str, version: &str) -> Result<Self, LabelError> {
        let instance = format!("{service}.shop.svc:9090");
        let labels = |metric: &str, le: Option<&str>| {
            let pairs = [
                ("__name__", metric),
                ("job", "shop"),
                ("instance", instance.as_str()),
                ("service", service),
                ("version", version),
            ];
            Labels::from_pairs(pairs.into_iter().chain(le.map(|le| ("le", le))))
        };
        let bucket = |le: &&'static str| labels("http_request_duration_seconds_bucket", Some(le));
        Ok(Self {
            buckets: BOUND_LABELS.iter().map(bucket).collect::<Result<_, _>>()?,
            sum: labels("http_request_duration_seconds_sum", None)?,
            count: labels("http_request_duration_seconds_count", None)?,
            build_info: labels("shop_build_info", None)?,
        })
    }
}
