//! Bytes ⇄ columns: a run of timestamps or values as a short byte string, and back bit for bit.
//!
//! ```text
//!   timestamps ──▶ regular? ─▶ first, step
//!                     └──────▶ second differences as varints │ pco
//!   values ──────▶ constant? ─▶ one value
//!                     ├──────▶ decimal? ─▶ integer mantissas, one exponent ─▶ deltas │ pco
//!                     └──────▶ shorter of: pco over f64 │ raw
//!   both ────────▶ packed as they came, for files that will be merged soon
//!   histograms ──▶ layout once a run, numbers by columns (+ zstd)
//! ```
//!
//! `FORMAT.md` beside this crate describes every byte. The first byte is the encoding's tag; tags are never reused.
//! Decoders take any bytes: they answer with an error or with at most [`MAX_SAMPLES`] items, never with a panic, and
//! never allocate more than a valid blob of that size would need. They do not detect damage (a flipped bit may decode to
//! another number): checksums belong to the file around the blobs.

mod block;
mod decimal;
mod error;
mod frame;
mod histograms;
pub mod packed;
mod timestamps;
mod values;
pub mod varint;

pub use decimal::single as decimal_value;
pub use error::CodecError;
pub use frame::{compress, decompress};
pub use histograms::{
    HISTOGRAM_NUMBERS_MAX, HistogramLayout, HistogramRun, decode_histograms, encode_histograms, is_histograms,
};
pub use packed::{decode_samples, is_packed};
pub use timestamps::{decode_timestamps, encode_timestamps};
pub use values::{decode_values, encode_values};

/// Most items in one blob. Chunks are far shorter (≤ 8,192); the bound is what decoders trust.
pub const MAX_SAMPLES: usize = 1 << 16;

/// Shorter runs are written plain: compress many of their blobs together.
pub const PACKED_ITEMS_MIN: usize = block::PACKED_ITEMS_MIN;
