//! Decoding with reused buffers and handing over to the store: small bodies on the runtime's own thread, large ones
//! beside it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use ingest::{Decoded, Decoder, IngestError, Limits, RequestHead};
use series::{AppendError, Appended, Batch, Recall};

use super::answer::Refusal;
use crate::fault::Fault;
use crate::state::{App, State};

/// Bodies up to this size are decoded where they are: about 2 ms of work, less than the hop to another thread is worth.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Decoders at rest. As many as there are cores may work at once, which also bounds decompressed messages in memory.
pub(crate) struct DecoderPool {
    idle: Mutex<Vec<Decoder>>,
    turns: Semaphore,
    n_decoders: usize,
    limits: Limits,
    recall: Option<Arc<dyn Recall>>,
}

impl DecoderPool {
    /// Decoders for the write side that has this memory.
    pub(crate) fn new(recall: Option<Arc<dyn Recall>>, limits: &Limits) -> Self {
        let n_decoders = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let (idle, turns) = (Mutex::new(Vec::new()), Semaphore::new(n_decoders));
        Self { idle, turns, n_decoders, limits: limits.clone(), recall }
    }

    /// A decoder that panicked is dropped with its half-filled buffers, not given back.
    fn with<T>(&self, work: impl FnOnce(&mut Decoder) -> T) -> T {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = idle.unwrap_or_else(|| Decoder::new(self.limits.clone()).recalling(self.recall.clone()));
        let result = work(&mut decoder);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.n_decoders {
            idle.push(decoder);
        }
        result
    }
}

/// What the store will say of a batch, and what the decoder refused before.
pub(crate) struct Handed {
    pub(crate) refused: Vec<Refusal>,
    pub(crate) appended: oneshot::Receiver<Result<Appended, AppendError>>,
}

/// Decodes `body` and hands its samples to the store, which answers later.
pub(crate) async fn hand_over(app: &App, headers: &HeaderMap, body: Bytes) -> Result<Handed, Fault> {
    let _turn = app.decoders.turns.acquire().await.map_err(|_| Fault::internal("decoders are closed"))?;
    if body.len() <= INLINE_BYTES_MAX {
        return hand_over_now(app, headers, &body);
    }
    let (state, headers) = (Arc::clone(app), headers.clone());
    let task = tokio::task::spawn_blocking(move || hand_over_now(&state, &headers, &body));
    task.await.unwrap_or_else(|join| {
        tracing::error!(error = %join, "write panicked");
        Err(Fault::internal("the write failed inside the server; the log has the reason"))
    })
}

fn hand_over_now(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<Handed, Fault> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let head = RequestHead {
        content_type: text(header::CONTENT_TYPE),
        content_encoding: text(header::CONTENT_ENCODING),
        version: text(HeaderName::from_static("x-prometheus-remote-write-version")),
    };
    let mut batch = Batch::default();
    let decoded = state.decoders.with(|decoder| decoder.decode(&head, body, &mut batch)).map_err(ingest_fault)?;
    let (send, appended) = oneshot::channel();
    // A failed send means that the client has gone; the samples are written all the same.
    let done = move |result| drop(send.send(result));
    if batch.is_empty() {
        done(Ok(Appended::default()));
    } else {
        state.parts.append.append(batch, Box::new(done));
    }
    Ok(Handed { refused: refusals(decoded), appended })
}

/// Everything the sender meant to store and the decoder left out; exemplars are hints and do not count.
pub(crate) fn refusals(decoded: Decoded) -> Vec<Refusal> {
    let refused = decoded.refused.into_iter().map(|item| Refusal {
        reason: item.reason.to_string(),
        series: item.series,
        samples: item.samples,
        example: item.example,
    });
    refused.collect()
}

fn ingest_fault(err: IngestError) -> Fault {
    let status = StatusCode::from_u16(err.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Fault::new(status, "refused", err.to_string())
}
