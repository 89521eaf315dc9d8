//! Loading: the made-up fleet and the recorded machine, as remote write over HTTP, both ending now.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use series::{Batch, Clock, SystemClock, Timestamp};
use synth::{Fleet, FleetSpec};

use super::Show;
use crate::cli::{CliError, Client, WRITE_HEADERS, encoded, replay};
use crate::engine::Engine;

/// The recording, inside the binary.
const RECORDING: &[u8] = include_bytes!("../../datasets/host-metrics.parquet");
/// Requests made ahead of the sender.
const AHEAD: usize = 8;

/// What one phase did and how long it took.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    pub(super) what: String,
    pub(super) took: Duration,
}

/// What was loaded.
pub(super) struct Loaded {
    pub(super) series: u64,
    pub(super) samples: u64,
    pub(super) timing: Timing,
    pub(super) truth: synth::Truth,
    /// The fleet where its trace ended; it can live on.
    pub(super) fleet: Fleet,
}

/// Loads both data sets into an empty store.
pub(super) fn run(engine: &Engine, url: &str, seed: u64, show: &Show) -> Result<Loaded, CliError> {
    let started = Instant::now();
    let spec = FleetSpec { seed, ..FleetSpec::ending_at(SystemClock.now()) };
    let mut fleet = Fleet::new(&spec).map_err(|err| CliError::Failed(format!("generate the fleet: {err}")))?;
    let truth = fleet.truth().clone();
    let bar = show.bar("load", fleet.n_steps() + RECORDING.len() as u64 / 1000);
    let sender = Sender { client: Client::new(url), engine };

    let (send, receive) = sync_channel::<Batch>(AHEAD);
    let samples = std::thread::scope(|scope| -> Result<u64, CliError> {
        let sender = &sender;
        let sending = scope.spawn(move || {
            let mut samples = 0;
            while let Ok(batch) = receive.recv() {
                sender.send(&batch)?;
                samples += batch.n_samples() as u64;
            }
            Ok::<u64, CliError>(samples)
        });
        let gone = || CliError::Failed("loading stopped".into());
        let mut metadata = Batch::default();
        fleet.metadata().into_iter().for_each(|one| metadata.push_metadata(one));
        send.send(metadata).map_err(|_| gone())?;
        let made = replay(&mut fleet, |batch| {
            bar.inc(20);
            send.send(batch).map_err(|_| gone())
        })
        .and_then(|_| recording(truth.end, |batch| send.send(batch).map_err(|_| gone().to_string())));
        drop(send);
        let sent = sending.join().map_err(|_| CliError::Failed("the sending thread failed".into()))?;
        // The sender's own error says more than the maker's "stopped".
        let sent = sent?;
        made.map(|()| sent)
    })?;
    bar.finish_and_clear();
    let series = engine.core().store.stats().series;
    let timing = Timing { what: format!("{series} series, {samples} samples"), took: started.elapsed() };
    Ok(Loaded { series, samples, timing, truth, fleet })
}

/// Lets the fleet live on: sends its scrapes when their time has come, until told to stop.
pub(super) fn go_on(mut fleet: Fleet, url: &str, stop: &std::sync::atomic::AtomicBool) {
    let client = Client::new(url);
    let mut batch = Batch::default();
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        if fleet.next_at() > SystemClock.now() {
            std::thread::sleep(Duration::from_millis(200));
            continue;
        }
        batch.clear();
        let sent = fleet.scrape(&mut batch).map_err(|err| CliError::Failed(err.to_string()));
        let sent = sent.and_then(|_| client.post("/api/v1/write", &WRITE_HEADERS, &encoded(&batch)?));
        if let Err(err) = sent {
            tracing::warn!(%err, "the demo's fleet stands still for a moment");
        }
    }
}

struct Sender<'a> {
    client: Client,
    engine: &'a Engine,
}

impl Sender<'_> {
    fn send(&self, batch: &Batch) -> Result<(), CliError> {
        // Standing queries see the past in order; a sender that outruns them would make them read it back instead.
        self.engine.wait_for_streams();
        self.client.post("/api/v1/write", &WRITE_HEADERS, &encoded(batch)?).map(drop)
    }
}

/// The recording, moved in time so that it ends at `end`, sent in order of time.
fn recording(end: Timestamp, mut take: impl FnMut(Batch) -> Result<(), String>) -> Result<(), CliError> {
    let fault = |err: &dyn std::fmt::Display| CliError::Failed(format!("recorded host metrics: {err}"));
    let mut all = Vec::new();
    sql::read_samples(bytes::Bytes::from_static(RECORDING), |batch| {
        all.push(batch);
        Ok(())
    })
    .map_err(|err| fault(&err))?;
    let times = || all.iter().flat_map(Batch::iter).flat_map(|series| series.timestamps.iter().copied());
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    const SLICE: i64 = 60_000;
    let mut start = first;
    while start <= last {
        let mut slice = Batch::default();
        for series in all.iter().flat_map(Batch::iter) {
            let inside = |at: &i64| start <= *at && *at < start + SLICE;
            let samples = series.timestamps.iter().zip(series.values).filter(|(at, _)| inside(at));
            let mut open = false;
            for (at, value) in samples {
                if !open {
                    slice.begin_labels(&series.labels.to_owned()).map_err(|err| fault(&err))?;
                    open = true;
                }
                slice.push(Timestamp(at - last + end.0), *value);
            }
        }
        if !slice.is_empty() {
            take(slice).map_err(|err| fault(&err))?;
        }
        start += SLICE;
    }
    Ok(())
}
