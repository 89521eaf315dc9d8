//! What happens to the fleet: releases, incidents, bursts and restarts, and the truth about them.
//!
//! Times are floored to the scrape step, so an event at `t` changes exactly the samples after `t`. The last release of
//! payments stands at a fixed distance from the end; older events move with the seed.

use series::{Millis, Timestamp};

use crate::calendar::Calendar;
use crate::catalogue::ServiceSpec;
use crate::noise::Noise;
use crate::spec::FleetSpec;
use crate::truth::{Anomaly, AnomalyKind, ChangeCause, ChangePoint};

/// How long before the end payments is released with a fault.
const LAST_RELEASE: Millis = Millis::from_mins(24);

/// An effect on one service during `(start, end]`.
#[derive(Debug, Clone)]
struct Effect {
    start: Timestamp,
    end: Timestamp,
    kind: AnomalyKind,
    factor: f64,
}

/// A version that serves from `at` on.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) at: Timestamp,
    pub(crate) version: String,
}

/// Effects and releases of one service.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceEvents {
    effects: Vec<Effect>,
    /// Oldest first.
    pub(crate) releases: Vec<Release>,
}

/// All events of a trace.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// One entry a service, in the order of the catalogue.
    pub(crate) services: Vec<ServiceEvents>,
    /// Ingress pods that restart: index and time.
    pub(crate) restarts: Vec<(usize, Timestamp)>,
    pub(crate) anomalies: Vec<Anomaly>,
    pub(crate) change_points: Vec<ChangePoint>,
}

/// Builds a plan; keeps what only building needs.
struct Planner<'a> {
    spec: &'a FleetSpec,
    catalogue: &'a [ServiceSpec],
    calendar: Calendar,
    noise: Noise,
    plan: Plan,
}

impl ServiceEvents {
    /// Factor on the load at `at`.
    pub(crate) fn traffic(&self, at: Timestamp) -> f64 {
        self.active(at)
            .map(|effect| match effect.kind {
                AnomalyKind::Spike => 1.0 + (effect.factor - 1.0) * effect.spike_shape(at),
                AnomalyKind::LevelShift => effect.factor,
                AnomalyKind::Latency | AnomalyKind::ErrorBurst => 1.0,
            })
            .product()
    }

    /// Factor on request durations at `at`.
    pub(crate) fn latency(&self, at: Timestamp) -> f64 {
        self.active(at).filter(|effect| effect.kind == AnomalyKind::Latency).map(|effect| effect.factor).product()
    }

    /// Share of requests that fail on top of the usual at `at`.
    pub(crate) fn errors(&self, at: Timestamp) -> f64 {
        self.active(at).filter(|effect| effect.kind == AnomalyKind::ErrorBurst).map(|effect| effect.factor).sum()
    }

    fn active(&self, at: Timestamp) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(move |effect| effect.start < at && at <= effect.end)
    }
}

impl Effect {
    /// Up over the first fifth, down over the rest.
    fn spike_shape(&self, at: Timestamp) -> f64 {
        let through = (at - self.start).0 as f64 / (self.end - self.start).0 as f64;
        if through < 0.2 { through / 0.2 } else { (1.0 - through) / 0.8 }
    }
}

impl Plan {
    pub(crate) fn new(spec: &FleetSpec, catalogue: &[ServiceSpec], calendar: Calendar) -> Self {
        let plan = Self {
            services: vec![ServiceEvents::default(); catalogue.len()],
            restarts: Vec::new(),
            anomalies: Vec::new(),
            change_points: Vec::new(),
        };
        let noise = Noise::new(spec.seed, "events");
        let mut planner = Planner { spec, catalogue, calendar, noise, plan };
        planner.story();
        planner.older_weeks();
        let mut plan = planner.plan;
        plan.anomalies.sort_by_key(|anomaly| anomaly.start);
        plan.change_points.sort_by_key(|change| change.at);
        for service in &mut plan.services {
            service.releases.sort_by_key(|release| release.at);
        }
        plan
    }
}

impl Planner<'_> {
    /// The last fourteen days.
    fn story(&mut self) {
        use AnomalyKind::{ErrorBurst, Latency, LevelShift, Spike};
        for (service, kind, days, hour, minutes, factor) in [
            ("catalog", Spike, 10, 12.0, 26, 2.6),
            ("payments", Latency, 9, 15.0, 36, 4.0),
            ("auth", LevelShift, 7, 9.0, 300, 2.2),
            ("checkout", ErrorBurst, 6, 12.0, 18, 0.12),
            ("search", Spike, 4, 20.5, 30, 1.9),
            ("search", Latency, 3, 11.0, 26, 3.0),
            ("payments", ErrorBurst, 2, 18.5, 12, 0.09),
        ] {
            let start = self.around(days, hour);
            let factor = self.scaled(kind, factor);
            self.incident(service, kind, start, Some(Millis::from_mins(minutes)), factor);
        }
        for (service, days, hour, version) in [
            ("checkout", 11, 10.0, "1.14.0"),
            ("frontend", 9, 11.0, "7.4.0"),
            ("checkout", 4, 10.5, "1.15.0"),
            ("frontend", 2, 10.0, "7.5.0"),
            ("search", 1, 11.0, "5.9.0"),
        ] {
            let at = self.around(days, hour);
            self.release(service, at, version, 1.0);
        }
        self.catalog_regression();
        let campaign = self.around(5, 9.0);
        self.campaign("search", campaign, 1.4);
        let last = self.on_grid(self.spec.end() - LAST_RELEASE);
        self.release("payments", last, "3.2.0", 3.1);
        self.incident("payments", AnomalyKind::Latency, last, None, 3.1);
        for (ingress, days, hour) in [(0, 12, 5.0), (1, 5, 3.0)] {
            let at = self.around(days, hour);
            self.plan.restarts.push((ingress, at));
        }
    }

    /// A release that is slower for two days, until the next one repairs it.
    fn catalog_regression(&mut self) {
        let (bad, good) = (self.around(8, 14.0), self.around(6, 10.0));
        self.release("catalog", bad, "2.3.0", 1.4);
        self.release("catalog", good, "2.3.1", 1.0 / 1.4);
        self.effect("catalog", AnomalyKind::Latency, bad, good, 1.4);
    }

    /// Longer traces get a spike, a slow hour and an error burst in each week before the story.
    fn older_weeks(&mut self) {
        let weeks = i64::from(self.spec.days).div_euclid(7);
        for week in 2..weeks {
            for (kind, minutes, factor) in
                [(AnomalyKind::Spike, 30, 2.2), (AnomalyKind::Latency, 40, 3.0), (AnomalyKind::ErrorBurst, 16, 0.1)]
            {
                let served = self.catalogue.iter().filter(|service| service.http.is_some()).count() as u64;
                let service = self.catalogue[(self.noise.bits() % served) as usize].name;
                let days = week * 7 + (self.noise.bits() % 7) as i64;
                let hour = self.noise.between(8.0, 22.0);
                let (start, factor) = (self.around(days, hour), self.scaled(kind, factor));
                self.incident(service, kind, start, Some(Millis::from_mins(minutes)), factor);
            }
        }
    }

    /// A shop hour give or take 45 minutes.
    fn around(&mut self, days: i64, hour: f64) -> Timestamp {
        let shift = Millis::from_mins(self.noise.between(-45.0, 45.0).round() as i64);
        self.on_grid(self.calendar.back(days, hour) + shift)
    }

    fn on_grid(&self, at: Timestamp) -> Timestamp {
        let step = self.spec.step.millis();
        Timestamp(self.spec.end().0 + (at - self.spec.end()).0.div_euclid(step) * step)
    }

    /// Sizes move by a tenth with the seed.
    fn scaled(&mut self, kind: AnomalyKind, factor: f64) -> f64 {
        let by = self.noise.between(0.9, 1.1);
        if kind == AnomalyKind::ErrorBurst { factor * by } else { 1.0 + (factor - 1.0) * by }
    }

    /// Truth lists what has an hour of quiet before it in the trace.
    fn is_told(&self, at: Timestamp) -> bool {
        at >= self.spec.start + Millis::from_hours(1)
    }

    fn effect(&mut self, service: &str, kind: AnomalyKind, start: Timestamp, end: Timestamp, factor: f64) {
        let at = self.catalogue.iter().position(|spec| spec.name == service);
        if let Some(events) = at.and_then(|i| self.plan.services.get_mut(i)) {
            events.effects.push(Effect { start, end, kind, factor });
        }
    }

    fn incident(&mut self, service: &str, kind: AnomalyKind, start: Timestamp, span: Option<Millis>, factor: f64) {
        let end = span.map(|span| self.on_grid(start + span));
        self.effect(service, kind, start, end.unwrap_or(Timestamp::MAX), factor);
        if self.is_told(start) {
            let (service, selector) = (service.to_owned(), selector(kind, service));
            self.plan.anomalies.push(Anomaly { kind, service, selector, start, end, factor });
        }
    }

    fn release(&mut self, service: &str, at: Timestamp, version: &str, factor: f64) {
        let position = self.catalogue.iter().position(|spec| spec.name == service);
        if let Some(events) = position.and_then(|i| self.plan.services.get_mut(i)) {
            events.releases.push(Release { at, version: version.to_owned() });
        }
        self.change(ChangeCause::Release, service, at, Some(version), factor);
    }

    fn campaign(&mut self, service: &str, at: Timestamp, factor: f64) {
        self.effect(service, AnomalyKind::LevelShift, at, Timestamp::MAX, factor);
        self.change(ChangeCause::Campaign, service, at, None, factor);
    }

    fn change(&mut self, cause: ChangeCause, service: &str, at: Timestamp, version: Option<&str>, factor: f64) {
        if !self.is_told(at) {
            return;
        }
        let kind = match cause {
            ChangeCause::Release => AnomalyKind::Latency,
            ChangeCause::Campaign => AnomalyKind::LevelShift,
        };
        self.plan.change_points.push(ChangePoint {
            cause,
            service: service.to_owned(),
            selector: selector(kind, service),
            at,
            version: version.map(str::to_owned),
            factor,
        });
    }
}

fn selector(kind: AnomalyKind, service: &str) -> String {
    match kind {
        AnomalyKind::Spike | AnomalyKind::LevelShift => format!("http_requests_total{{service=\"{service}\"}}"),
        AnomalyKind::Latency => format!("http_request_duration_seconds_bucket{{service=\"{service}\"}}"),
        AnomalyKind::ErrorBurst => format!("http_requests_total{{service=\"{service}\",code=\"500\"}}"),
    }
}
