//! Identity of a series and the one special value of the field.

/// Staleness marker of the Prometheus protocols: a NaN with exactly this payload. Compare bits, never values.
pub const STALE_NAN: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether `value` is the staleness marker (bit comparison; an ordinary NaN is not stale).
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN.to_bits()
}

/// xxh3-64 of a label set's canonical bytes (see [`crate::Labels`]); the same on every machine and after every restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u64);

impl std::fmt::Display for SeriesId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
