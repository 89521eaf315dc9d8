//! What all handlers share.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use series::Timestamp;

use crate::gate::Gate;
use crate::intake::Intake;
use crate::own_metrics::OwnMetrics;
use crate::parts::Parts;
use crate::pulse::Pulses;
use crate::write::{Admission, DecoderPool};

/// Shared state of a server.
pub(crate) type App = Arc<State>;

pub(crate) struct State {
    pub(crate) parts: Parts,
    pub(crate) admission: Admission,
    pub(crate) decoders: DecoderPool,
    pub(crate) intake: Intake,
    pub(crate) gate: Gate,
    pub(crate) live_slots: Arc<Semaphore>,
    pub(crate) metrics: OwnMetrics,
    pub(crate) pulses: Pulses,
    pub(crate) started: Timestamp,
    /// Cores, and so threads of one query.
    pub(crate) threads: usize,
    /// Becomes true when the server stops, so that endless answers end.
    pub(crate) stopping: watch::Sender<bool>,
}

impl State {
    pub(crate) fn new(parts: Parts) -> App {
        let settings = parts.settings.clone();
        Arc::new(Self {
            admission: Admission::new(settings.write_budget_bytes),
            decoders: DecoderPool::new(parts.append.recall(), &settings.limits),
            intake: Intake::new(&settings),
            gate: Gate::new(settings.queries_max, settings.query_queue_max),
            live_slots: Arc::new(Semaphore::new(settings.live_max)),
            metrics: OwnMetrics::default(),
            pulses: Pulses::default(),
            started: parts.clock.now(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            stopping: watch::Sender::new(false),
            parts,
        })
    }
}
