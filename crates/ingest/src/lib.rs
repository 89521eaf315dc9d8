//! Samples from the wire: remote write 1.0 and the text formats become a [`series::Batch`].
//!
//! ```text
//!   headers ─▶ schema (or 415)
//!   body ─▶ declared length checked ─▶ snappy ─▶ census ─▶ limits ─▶ labels checked, sorted ─▶ Batch
//!            413 before any buffer      reused    counts,            a bad series is refused
//!            grows                      buffer    no allocation      alone, with counts
//! ```
//!
//! The protobuf is read by hand: two passes over the message, no allocation per label or sample. The census pass counts
//! series, labels and samples before anything is kept, so 16 million empty series cost a walk and not a gigabyte.
//!
//! Refused: remote write 2.0 (415 that names 1.0), framed snappy, gzip, protobuf groups. Counted and not stored:
//! native histograms and exemplars. This room opens no socket, reads no clock and keeps no state but its buffers.

mod body;
mod census;
mod decode;
mod encode;
mod error;
mod gather;
mod head;
mod inflate;
mod influx;
mod label_set;
mod limits;
mod outcome;
mod text;
mod wire;

pub use decode::Decoder;
pub use encode::{EncodeError, encode_message, encode_write_request};
pub use error::IngestError;
pub use head::{CONTENT_TYPE, RequestHead, VERSION};
pub use inflate::{ContentEncoding, inflate};
pub use influx::{InfluxOptions, InfluxOutcome, LineFault, Precision, parse_lines};
pub use limits::Limits;
pub use outcome::{Decoded, Refusal, RefusalReason};
pub use text::{LabelConflict, TextFormat, TextOptions, parse_text};
