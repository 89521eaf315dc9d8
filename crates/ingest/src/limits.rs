//! How much of a request is taken. Every number has an answer that names it (413, 400 or a refused series).

/// Bounds of one request and of one series in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the compressed body; more is answered 413.
    pub body_bytes: usize,
    /// Bytes the body may declare to unpack to; more is answered 413 before any memory is taken.
    pub decoded_bytes: usize,
    /// Series in a request; more is answered 400 with the count. Also bounds metadata entries.
    pub series: u64,
    /// Samples in a request; more is answered 400 with the count.
    pub samples: u64,
    /// Labels of one series, the metric's name included; a series with more is refused alone.
    pub labels_per_series: usize,
    /// Bytes of one label name.
    pub name_bytes: usize,
    /// Bytes of one label value (the metric's name is a value).
    pub value_bytes: usize,
    /// Bytes of all names and values of one series.
    pub series_bytes: usize,
}

impl Default for Limits {
    /// 16 MiB body, 32 MiB unpacked, 100,000 series, 1,000,000 samples; 40 labels, names of 256 bytes, values of 4 KiB,
    /// 16 KiB a series.
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            decoded_bytes: 32 << 20,
            series: 100_000,
            samples: 1_000_000,
            labels_per_series: 40,
            name_bytes: 256,
            value_bytes: 4096,
            series_bytes: 16 << 10,
        }
    }
}
