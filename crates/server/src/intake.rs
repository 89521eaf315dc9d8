//! Intake: the protocols beside remote write, and what they have in common.
//!
//! ```text
//!   Content-Length ▶ admission (bytes) ▶ body ▶ unpack within a bound ▶ read (bounded turns) ▶ Append ▶ answer
//! ```
//!
//! Each protocol has its own words for the same answers: all durable, partly refused, malformed (never send again), too
//! large, try again later. What is refused is counted by protocol and reason in `/metrics`.

pub(crate) mod grpc;
pub(crate) mod import;
pub(crate) mod influx;
mod metrics;
pub(crate) mod otlp;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use ingest::{ContentEncoding, DeltaStreams, IngestError, Limits};
use series::{Append, AppendError, Appended, Batch, RejectionReason};

use crate::fault::Fault;
use crate::settings::Settings;
use crate::state::{App, State};
use crate::write::{Admitted, append_fault, expected_bytes, unsized_bytes_max, whole_body};

pub(crate) use metrics::IntakeMetrics;

/// Bodies up to this size are read where they are: less work than the hop to another thread is worth.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Which protocol a request speaks, as `/metrics` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Influx,
    Import,
    Otlp,
}

/// What the intake keeps between requests.
pub(crate) struct Intake {
    turns: Semaphore,
    limits: Limits,
    pub(crate) metrics: IntakeMetrics,
    pub(crate) delta: DeltaStreams,
}

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Influx => "influx",
            Self::Import => "import",
            Self::Otlp => "otlp",
        }
    }
}

impl Intake {
    pub(crate) fn new(settings: &Settings) -> Self {
        let turns = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        Self {
            turns: Semaphore::new(turns),
            limits: settings.limits.clone(),
            metrics: IntakeMetrics::default(),
            delta: DeltaStreams::new(settings.otlp_delta_streams_max),
        }
    }

    /// Bounds of a request.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The body without its content encoding.
    pub(crate) fn plain<'b>(
        &self,
        headers: &HeaderMap,
        body: &'b [u8],
    ) -> Result<std::borrow::Cow<'b, [u8]>, IngestError> {
        let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        ingest::inflate(ContentEncoding::of(encoding)?, body, &self.limits)
    }
}

/// Admits a request by its size and reads its body. Keep what is admitted until the answer is made.
pub(crate) async fn receive(app: &App, headers: &HeaderMap, body: Body) -> Result<(Admitted, Bytes), Fault> {
    let admitted = app.admission.enter(expected_bytes(app, headers)?.unwrap_or(unsized_bytes_max()))?;
    Ok((admitted, whole_body(app, headers, body).await?))
}

/// Does the `work` of reading a body of `n_bytes` when it has its turn: small bodies here, large ones beside the
/// runtime. An error is counted.
pub(crate) async fn read<T: Send + 'static>(
    app: &App,
    protocol: Protocol,
    n_bytes: usize,
    work: impl FnOnce(&State) -> Result<T, IngestError> + Send + 'static,
) -> Result<T, Fault> {
    let _turn = app.intake.turns.acquire().await.map_err(|_| Fault::internal("the intake is closed"))?;
    let read = if n_bytes <= INLINE_BYTES_MAX {
        work(app)
    } else {
        let state = Arc::clone(app);
        tokio::task::spawn_blocking(move || work(&state)).await.map_err(|join| {
            tracing::error!(error = %join, "reading a request panicked");
            Fault::internal("the request failed inside the server; the log has the reason")
        })?
    };
    read.map_err(|err| {
        app.intake.metrics.refused_request(protocol, err.as_str());
        let status = StatusCode::from_u16(err.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Fault::new(status, err.as_str(), err.to_string())
    })
}

/// Hands a batch to the store and waits until it is durable.
pub(crate) async fn append(to: &Arc<dyn Append>, batch: Batch) -> Result<Appended, Fault> {
    if batch.is_empty() {
        return Ok(Appended::default());
    }
    let (send, appended) = oneshot::channel();
    // A failed send means that the client has gone; the samples are written all the same.
    to.append(batch, Box::new(move |result| drop(send.send(result))));
    appended.await.unwrap_or(Err(AppendError::Closed)).map_err(append_fault)
}

/// Samples that the store refused.
pub(crate) fn n_rejected(appended: &Appended) -> u64 {
    appended.rejected.iter().map(|item| item.samples).sum()
}

/// Whether a retry may help: series beyond the limit may fit later.
pub(crate) fn is_series_limit(appended: &Appended) -> bool {
    appended.rejected.iter().any(|item| matches!(item.reason, RejectionReason::SeriesLimit { .. }))
}

/// `10 samples older than … (e.g. up{job="a"}); …`; empty when nothing was refused.
pub(crate) fn rejected_text(appended: &Appended) -> String {
    let item = |item: &series::Rejection| {
        let example: String = item.example.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{} samples {} (e.g. {example})", item.samples, item.reason)
    };
    appended.rejected.iter().map(item).collect::<Vec<_>>().join("; ")
}
