//! The whole fleet, one scrape after the other.

use series::{Batch, LabelError, Labels, Metadata, Millis, Timestamp};

use crate::calendar::Calendar;
use crate::catalogue::{INGRESSES, NODES, REGIONS, services};
use crate::events::Plan;
use crate::metadata::metadata;
use crate::node::Node;
use crate::noise::{Noise, Wobble};
use crate::pod::Scrape;
use crate::service::{Moment, Service};
use crate::spec::{FleetSpec, SynthError};
use crate::sum_up;
use crate::truth::Truth;

#[cfg(test)]
mod tests;

/// Share of successful checkout requests that place an order: its POSTs times the shoppers who do not give up.
const ORDERS_PER_CHECKOUT: f64 = 0.45 * 0.31;
/// Deviation and memory of the load all services share.
const MARKET: (f64, f64) = (0.03, 2.0 * 3600.0);

/// A generator of scrapes. Memory is constant in the length of the trace.
#[derive(Debug, Clone)]
pub struct Fleet {
    spec: FleetSpec,
    truth: Truth,
    simulation: Simulation,
    n_done: u64,
}

/// The moving parts.
#[derive(Debug, Clone)]
pub(crate) struct Simulation {
    pub(crate) services: Vec<Service>,
    pub(crate) nodes: Vec<Node>,
    step_s: f64,
    market: Wobble,
    orders: Vec<(Labels, f64)>,
    orders_noise: Noise,
    up: Vec<Labels>,
    /// Ingress restarts to come, oldest first.
    restarts: Vec<(usize, Timestamp)>,
}

impl Fleet {
    /// Plans the trace and lives through it once to learn its truth (a fraction of a second for two weeks).
    ///
    /// # Errors
    /// [`SynthError`] for a spec out of bounds.
    pub fn new(spec: &FleetSpec) -> Result<Self, SynthError> {
        spec.check()?;
        let calendar = Calendar::new(spec.end());
        let plan = Plan::new(spec, &services(), calendar);
        let simulation = Simulation::new(spec, &plan, calendar)?;
        let truth = sum_up::truth(spec, &plan, simulation.clone())?;
        Ok(Self { spec: spec.clone(), truth, simulation, n_done: 0 })
    }

    /// Scrapes from the start to the end of the trace.
    pub fn n_steps(&self) -> u64 {
        self.spec.n_steps()
    }

    /// Scrapes made so far.
    pub fn n_done(&self) -> u64 {
        self.n_done
    }

    /// Time of the next scrape.
    pub fn next_at(&self) -> Timestamp {
        let next = i64::try_from(self.n_done.saturating_add(1)).unwrap_or(i64::MAX);
        self.spec.start + Millis(self.spec.step.millis().saturating_mul(next))
    }

    /// Series alive after the last scrape (before the first: at the start).
    pub fn n_series(&self) -> usize {
        let at = self.next_at() - Millis(self.spec.step.millis());
        self.simulation.n_series(at)
    }

    /// Appends the next step of all series to `batch`, one sample each, and returns its time. Series that ended since the
    /// step before get a staleness marker. Past the end of the trace the fleet lives on by the same rules, so a demo can
    /// go on; the truth tells only what happened until the end.
    ///
    /// # Errors
    /// [`SynthError::Batch`] when `batch` is full; clear it between scrapes.
    pub fn scrape(&mut self, batch: &mut Batch) -> Result<Timestamp, SynthError> {
        let at = self.next_at();
        self.simulation.step(at)?;
        self.simulation.emit(&mut Scrape { batch, at, is_first: self.n_done == 0 })?;
        self.n_done += 1;
        Ok(at)
    }

    /// What is planted in the trace.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Metadata of all metric families, sorted by name.
    pub fn metadata(&self) -> Vec<Metadata> {
        metadata()
    }
}

impl Simulation {
    fn new(spec: &FleetSpec, plan: &Plan, calendar: Calendar) -> Result<Self, LabelError> {
        let step_s = Millis(spec.step.millis()).as_secs_f64();
        let deployments = services().into_iter().zip(&plan.services);
        let deployments = deployments.map(|(service, events)| Service::new(service, events.clone(), calendar, spec));
        let nodes = NODES.iter().enumerate().map(|(i, name)| Node::new(i, name, calendar, spec));
        let mut orders_noise = Noise::new(spec.seed, "orders");
        let orders = REGIONS.iter().map(|(region, share)| {
            let pairs = [("job", "shop"), ("instance", "checkout.shop.svc:9090"), ("region", region)];
            let labels = Labels::from_pairs(pairs.into_iter().chain([("__name__", "orders_total")]))?;
            Ok((labels, (orders_noise.between(4e6, 9e6) * share).round()))
        });
        let mut restarts = plan.restarts.clone();
        restarts.retain(|(_, at)| *at >= spec.start);
        restarts.sort_by_key(|(_, at)| *at);
        Ok(Self {
            services: deployments.collect::<Result<_, _>>()?,
            nodes: nodes.collect::<Result<_, _>>()?,
            step_s,
            market: Wobble::new(Noise::new(spec.seed, "market"), MARKET.0, MARKET.1, step_s),
            orders: orders.collect::<Result<_, LabelError>>()?,
            orders_noise,
            up: targets()?,
            restarts,
        })
    }

    /// Lives through the step before `at`.
    pub(crate) fn step(&mut self, at: Timestamp) -> Result<(), LabelError> {
        let moment = Moment { at, step_s: self.step_s, market: self.market.step() };
        while let Some(&(ingress, due)) = self.restarts.first()
            && due < at
        {
            self.services.iter_mut().for_each(|service| service.reset_ingress(ingress));
            self.restarts.remove(0);
        }
        self.services.iter_mut().try_for_each(|service| service.step(moment))?;
        self.nodes.iter_mut().for_each(|node| node.step(moment));
        let checkout = self.services.iter().find(|service| service.spec.name == "checkout");
        let sold = checkout.map_or(0.0, |service| service.load.requests - service.load.failures);
        for ((_, total), (_, share)) in self.orders.iter_mut().zip(REGIONS) {
            *total += self.orders_noise.count(sold * ORDERS_PER_CHECKOUT * share);
        }
        Ok(())
    }

    fn emit(&mut self, scrape: &mut Scrape<'_>) -> Result<(), SynthError> {
        for service in &mut self.services {
            service.emit(scrape)?;
        }
        for (labels, total) in &self.orders {
            scrape.put(labels, *total)?;
        }
        for node in &self.nodes {
            node.emit(scrape)?;
        }
        for labels in &self.up {
            scrape.put(labels, 1.0)?;
        }
        Ok(())
    }

    fn n_series(&self, at: Timestamp) -> usize {
        let services: usize = self.services.iter().map(|service| service.n_series(at)).sum();
        let nodes: usize = self.nodes.iter().map(Node::n_series).sum();
        services + nodes + self.orders.len() + self.up.len()
    }
}

/// `up` of every target.
fn targets() -> Result<Vec<Labels>, LabelError> {
    let served = services().into_iter().filter(|service| service.http.is_some());
    let shop = served.map(|service| ("shop", format!("{}.shop.svc:9090", service.name)));
    let ingresses = INGRESSES.map(|instance| ("ingress", instance.to_owned()));
    let nodes = NODES.map(|name| ("node", format!("{name}:9100")));
    let all = shop.chain(ingresses).chain(nodes);
    all.map(|(job, instance)| Labels::from_pairs([("__name__", "up"), ("job", job), ("instance", &instance)])).collect()
}
