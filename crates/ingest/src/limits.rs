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
    /// Native histograms in a request; more is answered 400 with the count.
    pub histograms: u64,
    /// Spans, buckets and bounds of all histograms of a request; more is answered 400.
    pub histogram_numbers: u64,
    /// Exemplars in a request; more is answered 400 with the count.
    pub exemplars: u64,
    /// Characters of all label names and values of one exemplar; a longer one is left out and counted.
    pub exemplar_chars: usize,
    /// Symbols of a request of remote write 2.0; more is answered 400 with the count.
    pub symbols: u64,
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
    /// 16 MiB body, 32 MiB unpacked, 100,000 series, 1,000,000 samples, 100,000 histograms with 4,000,000 numbers, 100,000
    /// exemplars of 128 characters, 1,000,000 symbols; 40 labels, names of 256 bytes, values of 4 KiB, 16 KiB a series.
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            decoded_bytes: 32 << 20,
            series: 100_000,
            samples: 1_000_000,
            histograms: 100_000,
            histogram_numbers: 4_000_000,
            exemplars: 100_000,
            exemplar_chars: 128,
            symbols: 1_000_000,
            labels_per_series: 40,
            name_bytes: 256,
            value_bytes: 4096,
            series_bytes: 16 << 10,
        }
    }
}
