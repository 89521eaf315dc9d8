//! One deployment through time: load arrives, pods come and go, requests take their time and some fail.

use series::{BatchTooLarge, LabelError, Labels, Millis, STALE_NAN, Timestamp};

use crate::calendar::Calendar;
use crate::catalogue::ServiceSpec;
use crate::demand::{DemandNoise, expected};
use crate::events::ServiceEvents;
use crate::noise::Noise;
use crate::pod::{Pod, Scrape};
use crate::scaler::{Scaler, needed};

mod requests;

use requests::Requests;

/// What every service needs to know about a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Time of the scrape; the step is the time before it.
    pub(crate) at: Timestamp,
    pub(crate) step_s: f64,
    /// Wobble of the whole shop's load.
    pub(crate) market: f64,
}

/// Load of a service during the last step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    pub(crate) failures: f64,
    pub(crate) rps: f64,
}

/// A deployment with its pods.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) spec: ServiceSpec,
    pub(crate) events: ServiceEvents,
    pub(crate) pods: Vec<Pod>,
    pub(crate) load: Load,
    pub(crate) version: String,
    /// Index of the release after the version that serves.
    next_release: usize,
    is_rolling: bool,
    seed: u64,
    calendar: Calendar,
    end: Timestamp,
    demand: DemandNoise,
    scaler: Scaler,
    noise: Noise,
    requests: Option<Requests>,
    replicas_series: Labels,
    /// Series that ended since the last scrape.
    ended: Vec<Labels>,
}

/// How much longer requests take at a utilisation: little until 85 %, then steeply.
pub(crate) fn queueing(utilisation: f64) -> f64 {
    let beyond = (utilisation.min(2.0) - 0.85).max(0.0);
    1.0 + 0.15 * utilisation * utilisation + 60.0 * beyond * beyond
}

impl Service {
    /// The service as it stood at `start`.
    pub(crate) fn new(
        spec: ServiceSpec,
        events: ServiceEvents,
        calendar: Calendar,
        world: &crate::spec::FleetSpec,
    ) -> Result<Self, LabelError> {
        let next_release = events.releases.iter().filter(|release| release.at <= world.start).count();
        let served = next_release.checked_sub(1).and_then(|i| events.releases.get(i));
        let version = served.map_or(spec.version, |release| &release.version).to_owned();
        let (seed, step_s) = (world.seed, Millis(world.step.millis()).as_secs_f64());
        let labels = [
            ("__name__", "kube_deployment_status_replicas"),
            ("job", "kube-state-metrics"),
            ("namespace", "shop"),
            ("deployment", spec.name),
        ];
        let requests = spec.http.clone().map(|http| Requests::new(spec.name, http, &version, seed, step_s));
        let mut service = Self {
            demand: DemandNoise::new(seed, spec.name, step_s),
            noise: Noise::new(seed, &format!("{}/pods", spec.name)),
            requests: requests.transpose()?,
            replicas_series: Labels::from_pairs(labels)?,
            scaler: Scaler::default(),
            pods: Vec::new(),
            load: Load::default(),
            ended: Vec::new(),
            end: world.end(),
            is_rolling: false,
            spec,
            events,
            version,
            next_release,
            seed,
            calendar,
        };
        service.populate(world.start)?;
        Ok(service)
    }

    /// Expected load at `at`, without noise.
    pub(crate) fn expected_rps(&self, at: Timestamp) -> f64 {
        expected(&self.spec, &self.events, self.calendar, self.end, at)
    }

    fn populate(&mut self, start: Timestamp) -> Result<(), LabelError> {
        let rps = self.expected_rps(start);
        let replicas = needed(&self.spec, rps);
        for _ in 0..replicas {
            let age = Millis::from_mins(self.noise.between(1500.0, 7000.0) as i64);
            let leaked = Millis::from_mins(self.noise.between(0.0, 1200.0) as i64);
            self.start_pod(start - age, None)?;
            if let Some(pod) = self.pods.last_mut() {
                pod.season(rps / f64::from(replicas), start, start - leaked);
            }
        }
        Ok(())
    }

    /// Starts a pod at `created`; ready after the service's lead time, or at `ready_at` when that is known.
    fn start_pod(&mut self, created: Timestamp, ready_at: Option<Timestamp>) -> Result<(), LabelError> {
        let version = match ready_at {
            Some(_) => self.events.releases.get(self.next_release).map_or(&self.version, |release| &release.version),
            None => &self.version,
        };
        let name = self.free_name(version);
        let lead_s = self.spec.lead_time_s * self.noise.between(0.85, 1.15);
        let ready_at = ready_at.unwrap_or(created + Millis((lead_s * 1000.0).round() as i64));
        let noise = Noise::new(self.noise.bits(), &name);
        self.pods.push(Pod::new(&self.spec, &name, noise, created, ready_at)?);
        Ok(())
    }

    /// The first name of the version that no pod has. A pod that is scaled away and back returns under its old name (as in
    /// a StatefulSet): its series have gaps and resets, but two weeks of evenings do not make thousands of series.
    fn free_name(&self, version: &str) -> String {
        let base = format!("{}/{version}", self.spec.name);
        let hash = Noise::new(self.seed, &base).suffix(9);
        let mut slot = 0;
        loop {
            let suffix = Noise::new(self.seed, &format!("{base}/{slot}")).suffix(5);
            let name = format!("{}-{hash}-{suffix}", self.spec.name);
            if self.pods.iter().all(|pod| pod.name != name) {
                return name;
            }
            slot += 1;
        }
    }

    /// Lives through the step before `moment.at`.
    pub(crate) fn step(&mut self, moment: Moment) -> Result<(), LabelError> {
        self.roll_out(moment)?;
        let expected = self.expected_rps(moment.at);
        self.load.requests = self.demand.arrivals(expected, moment.market, moment.step_s);
        self.load.rps = self.load.requests / moment.step_s;
        self.scale(moment)?;
        let serving = self.serving(moment.at);
        let (rps, at) = (self.load.rps / serving, moment.at);
        for pod in &mut self.pods {
            pod.step(&self.spec, at, moment.step_s, rps);
        }
        let utilisation = rps / self.spec.rps_per_replica;
        if let Some(requests) = &mut self.requests {
            let slow = self.events.latency(at) * queueing(utilisation);
            let failing = self.events.errors(at) + ((utilisation - 1.0) * 0.5).clamp(0.0, 0.3);
            self.load.failures = requests.step(self.load.requests, slow, failing);
        }
        Ok(())
    }

    /// Pods that serve, at least one.
    fn serving(&self, at: Timestamp) -> f64 {
        self.pods.iter().filter(|pod| pod.serves(at)).count().max(1) as f64
    }

    /// New pods start ahead of a release; at its time they take over and the old ones end.
    fn roll_out(&mut self, moment: Moment) -> Result<(), LabelError> {
        let Some(release) = self.events.releases.get(self.next_release).cloned() else { return Ok(()) };
        let lead = Millis((self.spec.lead_time_s * 1300.0).round() as i64);
        if !self.is_rolling && moment.at >= release.at - lead {
            self.is_rolling = true;
            for _ in 0..self.pods.len() {
                let lead_s = self.spec.lead_time_s * self.noise.between(0.85, 1.15);
                let created = release.at - Millis((lead_s * 1000.0).round() as i64);
                self.start_pod(created, Some(release.at))?;
            }
            for pod in self.pods.iter_mut().filter(|pod| pod.ready_at < release.at) {
                pod.retire_at = Some(release.at);
            }
        }
        if moment.at > release.at {
            self.finish_roll_out(moment, release.version)?;
        }
        Ok(())
    }

    fn finish_roll_out(&mut self, moment: Moment, version: String) -> Result<(), LabelError> {
        self.is_rolling = false;
        self.next_release += 1;
        self.version = version;
        let (gone, kept) = std::mem::take(&mut self.pods).into_iter().partition(|pod| pod.retire_at.is_some());
        self.pods = kept;
        self.end_pods(gone, moment);
        if let Some(requests) = &mut self.requests {
            let old = requests.relabel(self.spec.name, &self.version)?;
            self.ended.extend(old);
        }
        Ok(())
    }

    fn end_pods(&mut self, gone: Vec<Pod>, moment: Moment) {
        let last_scrape = moment.at - Millis((moment.step_s * 1000.0).round() as i64);
        self.ended.extend(gone.into_iter().flat_map(|pod| pod.into_series(last_scrape)));
    }

    fn scale(&mut self, moment: Moment) -> Result<(), LabelError> {
        let ((low, high), at) = (self.spec.replicas, moment.at);
        let replicas = self.pods.len() as u32;
        if low == high || self.is_rolling {
            return Ok(());
        }
        let desired = self.scaler.desired(&self.spec, at, replicas.max(1), self.load.rps);
        for _ in replicas..desired {
            self.start_pod(at, None)?;
        }
        if desired < replicas {
            // The newest go first, as Kubernetes does among equals.
            let gone = self.pods.split_off(desired as usize);
            self.end_pods(gone, moment);
        }
        Ok(())
    }

    pub(crate) fn emit(&mut self, scrape: &mut Scrape<'_>) -> Result<(), BatchTooLarge> {
        for labels in self.ended.drain(..) {
            // What ended before the first scrape was never seen.
            if !scrape.is_first {
                scrape.put(&labels, STALE_NAN)?;
            }
        }
        if let Some(requests) = &self.requests {
            requests.emit(scrape)?;
        }
        scrape.put(&self.replicas_series, self.pods.len() as f64)?;
        self.pods.iter().try_for_each(|pod| pod.emit(&self.spec, scrape))
    }

    /// Series that live at `at`.
    pub(crate) fn n_series(&self, at: Timestamp) -> usize {
        let pods: usize = self.pods.iter().map(|pod| pod.n_series(at)).sum();
        1 + pods + self.requests.as_ref().map_or(0, Requests::n_series)
    }

    /// An ingress pod restarts: its counters begin at zero.
    pub(crate) fn reset_ingress(&mut self, ingress: usize) {
        if let Some(requests) = &mut self.requests {
            requests.reset_ingress(ingress);
        }
    }
}
