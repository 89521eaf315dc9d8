//! Samples from the wire: remote write 1.0 and 2.0, OTLP, line protocol and the text formats become a [`series::Batch`].
//!
//! ```text
//!   headers ─▶ schema (or 415)
//!   body ─▶ declared length checked ─▶ snappy ─▶ census ─▶ limits ─▶ labels checked, sorted ─▶ Batch
//!            413 before any buffer      reused    counts,            a bad series is refused
//!            grows                      buffer    no allocation      alone, with counts
//! ```
//!
//! The protobuf is read by hand and without an allocation per label or sample: the usual message in one pass (`usual`),
//! any other in two, of which the first, the census, counts series, samples, histograms and exemplars before anything is
//! kept, so 16 million empty series cost a walk and not a gigabyte. A native histogram that contradicts itself is refused
//! alone; an exemplar with impossible labels is left out.
//!
//! Refused: framed snappy, gzip in remote write, protobuf groups. This room opens no socket and reads no clock; its only state
//! are buffers and the totals of OTLP's deltas, which the caller holds.

mod body;
mod census;
mod decode;
mod decode_v2;
mod encode;
mod encode_histogram;
mod encode_v2;
mod error;
mod exemplar;
mod gather;
mod head;
mod histogram;
mod inflate;
mod influx;
mod label_set;
mod limits;
mod otlp;
mod outcome;
mod sink;
mod table;
mod text;
mod usual;
mod wire;

pub use decode::Decoder;
pub use encode::{EncodeError, encode_message, encode_write_request};
pub use encode_v2::{encode_message_v2, encode_write_request_v2};
pub use error::IngestError;
pub use head::{CONTENT_TYPE, CONTENT_TYPE_V2, RequestHead, VERSION, VERSION_V2};
pub use inflate::{ContentEncoding, inflate};
pub use influx::{InfluxOptions, InfluxOutcome, LineFault, Precision, parse_lines};
pub use limits::Limits;
pub use otlp::{DeltaStreams, Naming, OtlpEncoding, OtlpOptions, OtlpOutcome, PointRefusal, decode_otlp};
pub use outcome::{Decoded, Refusal, RefusalReason};
pub use table::{Cell, Mapping, MappingError, RowFault, TableOutcome, TableReader, TimeUnit};
pub use text::{LabelConflict, TextFormat, TextOptions, parse_text};
