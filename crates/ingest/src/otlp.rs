//! OpenTelemetry metrics (OTLP) into a batch, from protobuf or JSON.
//!
//! ```text
//!   ResourceMetrics ▶ ScopeMetrics ▶ Metric ▶ points      one at a time, no object for the whole message
//!        │                              │        │
//!     job, instance,                 name,    labels ▶ delta? total so far ▶ samples, native histograms, exemplars
//!     target_info                    unit
//! ```
//!
//! Gauges and sums become series, histograms the classic `_bucket`, `_sum` and `_count`, exponential histograms native
//! ones, summaries `quantile`, `_sum` and `_count`. Deltas are added up ([`DeltaStreams`]). Points that cannot be stored
//! are counted with their reason; the rest of the request is taken.

mod answer;
mod delta;
mod emit;
mod exponential;
mod json;
mod json_fields;
mod model;
mod names;
mod outcome;
mod protobuf;
#[cfg(test)]
mod tests;
mod translate;
mod value;

use series::{Batch, Timestamp};

use crate::error::IngestError;
use crate::limits::Limits;

pub use answer::OtlpEncoding;
pub use delta::DeltaStreams;
pub use names::Naming;
pub use outcome::{OtlpOutcome, PointRefusal};

use translate::Translator;

/// How OTLP becomes series.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtlpOptions {
    /// How names are written.
    pub naming: Naming,
    /// Resource attributes put on every series, beside `job` and `instance`; the others are on `target_info`.
    pub promote: Vec<String>,
    /// Whether the instrumentation scope is put on every series (`otel_scope_name`, `otel_scope_version`, …).
    pub scope_labels: bool,
}

/// Reads an `ExportMetricsServiceRequest` into `batch`, which is emptied first. After an error the batch is empty and
/// `delta` is as before.
///
/// # Errors
/// [`IngestError`] when nothing was taken; [`IngestError::status`] is the answer.
pub fn decode_otlp(
    encoding: OtlpEncoding,
    message: &[u8],
    options: &OtlpOptions,
    now: Timestamp,
    limits: &Limits,
    delta: &DeltaStreams,
    batch: &mut Batch,
) -> Result<OtlpOutcome, IngestError> {
    batch.clear();
    if message.len() > limits.decoded_bytes {
        let (bytes, limit) = (message.len() as u64, limits.decoded_bytes as u64);
        return Err(IngestError::DecodedTooLarge { bytes, limit });
    }
    let mut out = Translator::new(options, now, limits, delta, batch);
    let read = match encoding {
        OtlpEncoding::Protobuf => protobuf::read(message, limits, &mut out),
        OtlpEncoding::Json => json::read(message, &mut out),
    };
    let outcome = out.finish(read.is_ok());
    if read.is_err() {
        batch.clear();
    }
    read.map(|()| outcome)
}
