//! Histograms: what they have in common once a run, their numbers column by column.
//!
//! ```text
//!   run of n ──▶ layout (schema, bounds, spans)                      once
//!            ──▶ sums                                                a values blob
//!            ──▶ counts, zero counts, bucket 0, bucket 1, …          whole numbers: second differences as varints
//!                                                                    else: values blobs over all columns
//!   runs ──▶ body ──▶ shorter of: plain │ zstd 3
//! ```
//!
//! A bucket of a scraped counter rises about as fast as it did before, so second differences are small, and most buckets
//! of a histogram do not move at all: zeros, which zstd makes vanish.

use crate::error::CodecError;
use crate::frame;
use crate::values::{decode_values, encode_values, get_f64};
use crate::{MAX_SAMPLES, varint};

#[cfg(test)]
mod tests;

/// Tags live in the space of values blobs, so that one column of a file may hold either.
const PLAIN: u8 = 7;
const ZSTD: u8 = 8;

const INTEGRAL: u8 = 1;
const HINTS_DIFFER: u8 = 2;
const HINT_SHIFT: u8 = 2;
const FLAGS_MAX: u8 = INTEGRAL | HINTS_DIFFER | 3 << HINT_SHIFT;

/// Buckets, spans or bounds of one side of a layout.
const SIDE_MAX: u64 = 10_000;
/// Numbers of all runs of one blob, see [`HistogramRun::numbers`]: what decoders trust.
pub const HISTOGRAM_NUMBERS_MAX: usize = 1 << 20;
/// Bytes of an unpacked body. The longest that fits [`HISTOGRAM_NUMBERS_MAX`] has less than half of it.
const BODY_MAX: u64 = 32 << 20;
/// Shorter bodies are not worth a zstd frame.
const ZSTD_BYTES_MIN: usize = 48;
const ZSTD_LEVEL: i32 = 3;
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What the histograms of a run have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramLayout {
    /// Resolution of the buckets.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Which buckets below zero are present: buckets left out, then a run's length.
    pub negative: Vec<(i32, u32)>,
    /// Which buckets above zero are present.
    pub positive: Vec<(i32, u32)>,
    /// Bounds of custom buckets.
    pub bounds: Vec<f64>,
}

/// Histograms of one layout, by columns. All columns have the same length.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramRun {
    /// What they have in common.
    pub layout: HistogramLayout,
    /// Reset hints, 0 to 3.
    pub hints: Vec<u8>,
    /// Sums of the observations.
    pub sums: Vec<f64>,
    /// Column after column: counts, zero counts, each bucket below zero, each bucket above zero.
    pub columns: Vec<f64>,
}

impl HistogramLayout {
    /// Buckets of both sides.
    pub fn n_buckets(&self) -> usize {
        let side = |spans: &[(i32, u32)]| spans.iter().map(|&(_, length)| length as usize).sum::<usize>();
        side(&self.negative) + side(&self.positive)
    }

    /// Numbers needed to write it down.
    pub fn numbers(&self) -> usize {
        self.negative.len() + self.positive.len() + self.bounds.len()
    }

    /// Columns beside sums and hints.
    pub fn n_columns(&self) -> usize {
        self.n_buckets() + 2
    }
}

impl HistogramRun {
    /// Number of histograms.
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Numbers that the run adds to its blob; callers cut blobs so that their sum stays within
    /// [`HISTOGRAM_NUMBERS_MAX`].
    pub fn numbers(&self) -> usize {
        self.columns.len() + self.layout.numbers()
    }
}

/// Whether a values blob holds histograms.
pub fn is_histograms(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(PLAIN | ZSTD)))
}

/// Appends a blob of `runs` (none of them empty) to `out`. Every bit survives.
///
/// # Panics
/// Without a run, with columns of unequal length, a hint above 3, or beyond [`MAX_SAMPLES`] histograms or [`HISTOGRAM_NUMBERS_MAX`]
/// numbers: callers build runs and cut blobs, and such a blob could not be decoded again.
pub fn encode_histograms(runs: &[HistogramRun], out: &mut Vec<u8>) {
    let mut totals = Totals::default();
    let mut body = Vec::new();
    varint::put_u64(runs.len() as u64, &mut body);
    for run in runs {
        let (n, columns) = (run.len(), run.layout.n_columns());
        assert!(run.hints.len() == n && run.columns.len() == n * columns, "all columns of a run have the same length");
        assert!(run.hints.iter().all(|&hint| hint <= 3), "a reset hint is 0 to 3");
        assert!(totals.add(n, run.numbers()).is_ok(), "a blob of histograms is cut within its bounds");
        put_run(run, &mut body);
    }
    assert!(totals.histograms > 0, "a blob of histograms holds one at least");
    let mut packed = vec![ZSTD];
    varint::put_u64(body.len() as u64, &mut packed);
    // Without memory for a zstd context the body is written plain.
    let is_packed = body.len() >= ZSTD_BYTES_MIN && frame::compress(&body, ZSTD_LEVEL, &mut packed).is_ok();
    if is_packed && packed.len() <= body.len() {
        out.extend_from_slice(&packed);
    } else {
        out.push(PLAIN);
        out.extend_from_slice(&body);
    }
}

fn put_run(run: &HistogramRun, body: &mut Vec<u8>) {
    let integral = run.columns.iter().all(|&number| is_whole(number));
    let hint = run.hints.first().copied().unwrap_or(0);
    let hints_differ = run.hints.iter().any(|&other| other != hint);
    varint::put_u64(run.len() as u64, body);
    body.push(u8::from(integral) | u8::from(hints_differ) << 1 | if hints_differ { 0 } else { hint << HINT_SHIFT });
    put_layout(&run.layout, body);
    if hints_differ {
        body.extend_from_slice(&run.hints);
    }
    put_blob(&run.sums, body);
    if integral {
        run.columns.chunks(run.len()).for_each(|column| put_whole(column, body));
    } else {
        run.columns.chunks(MAX_SAMPLES).for_each(|part| put_blob(part, body));
    }
}

fn put_layout(layout: &HistogramLayout, body: &mut Vec<u8>) {
    varint::put_i64(i64::from(layout.schema), body);
    body.extend_from_slice(&layout.zero_threshold.to_le_bytes());
    for spans in [&layout.negative, &layout.positive] {
        varint::put_u64(spans.len() as u64, body);
        for &(offset, length) in spans {
            varint::put_i64(i64::from(offset), body);
            varint::put_u64(u64::from(length), body);
        }
    }
    varint::put_u64(layout.bounds.len() as u64, body);
    for bound in &layout.bounds {
        body.extend_from_slice(&bound.to_le_bytes());
    }
}

fn put_blob(values: &[f64], body: &mut Vec<u8>) {
    let mut blob = Vec::new();
    encode_values(values, &mut blob);
    varint::put_u64(blob.len() as u64, body);
    body.extend_from_slice(&blob);
}

/// −0 is not: its sign would be lost.
fn is_whole(number: f64) -> bool {
    number.abs() <= WHOLE_MAX && (number as i64 as f64).to_bits() == number.to_bits()
}

fn put_whole(column: &[f64], body: &mut Vec<u8>) {
    let (mut last, mut last_step) = (0_i64, 0_i64);
    for &number in column {
        // At most 2^53 each, so neither difference overflows.
        let item = number as i64;
        let step = item - last;
        varint::put_i64(step - last_step, body);
        (last, last_step) = (item, step);
    }
}

/// The runs of a blob.
///
/// # Errors
/// [`CodecError`] when `bytes` are not a blob of [`encode_histograms`].
pub fn decode_histograms(bytes: &[u8]) -> Result<Vec<HistogramRun>, CodecError> {
    match *bytes.first().ok_or(CodecError::Empty)? {
        PLAIN => decode_body(&bytes[1..]),
        ZSTD => {
            let mut at = 1;
            let len = varint::get_u64(bytes, &mut at)?;
            if len > BODY_MAX {
                return Err(CodecError::malformed("histograms", format!("they claim to unpack to {len} bytes")));
            }
            let body = frame::decompress(&bytes[at..], len as usize)?;
            if body.len() as u64 != len {
                return Err(CodecError::malformed("histograms", format!("{} bytes instead of {len}", body.len())));
            }
            decode_body(&body)
        }
        tag => Err(CodecError::UnknownTag(tag)),
    }
}

/// What has been decoded so far, held against the bounds before memory is taken.
#[derive(Default)]
struct Totals {
    histograms: usize,
    numbers: usize,
}

impl Totals {
    fn add(&mut self, n: usize, numbers: usize) -> Result<(), CodecError> {
        self.histograms = self.histograms.saturating_add(n);
        self.numbers = self.numbers.saturating_add(numbers);
        if n == 0 {
            return Err(CodecError::malformed("histograms", "a run of none"));
        }
        if self.histograms > MAX_SAMPLES {
            return Err(CodecError::TooMany(self.histograms as u64));
        }
        if self.numbers > HISTOGRAM_NUMBERS_MAX {
            return Err(CodecError::malformed("histograms", format!("{} numbers in one blob", self.numbers)));
        }
        Ok(())
    }
}

/// A cursor over the body.
struct Body<'a> {
    bytes: &'a [u8],
    at: usize,
}

fn decode_body(bytes: &[u8]) -> Result<Vec<HistogramRun>, CodecError> {
    let mut body = Body { bytes, at: 0 };
    let n_runs = body.number("runs", MAX_SAMPLES as u64)?;
    let mut totals = Totals::default();
    let mut runs = Vec::new();
    for _ in 0..n_runs {
        runs.push(body.run(&mut totals)?);
    }
    match (totals.histograms, bytes.len() - body.at) {
        (0, _) => Err(CodecError::malformed("histograms", "no run")),
        (_, 0) => Ok(runs),
        (_, rest) => Err(CodecError::Trailing(rest)),
    }
}

impl Body<'_> {
    fn run(&mut self, totals: &mut Totals) -> Result<HistogramRun, CodecError> {
        let n = self.number("histograms", MAX_SAMPLES as u64)?;
        let flags = self.take(1)?[0];
        if flags > FLAGS_MAX {
            return Err(CodecError::malformed("histograms", format!("flags {flags:#x}")));
        }
        let layout = self.layout()?;
        let columns = n * layout.n_columns();
        totals.add(n, columns + layout.numbers())?;
        let hints = if flags & HINTS_DIFFER != 0 { self.take(n)?.to_vec() } else { vec![flags >> HINT_SHIFT; n] };
        if hints.iter().any(|&hint| hint > 3) {
            return Err(CodecError::malformed("histograms", "a reset hint above 3"));
        }
        let mut run = HistogramRun { layout, hints, sums: Vec::new(), columns: Vec::new() };
        self.blob(n, &mut run.sums)?;
        if flags & INTEGRAL != 0 {
            self.whole(n, columns, &mut run.columns)?;
        } else {
            while run.columns.len() < columns {
                let part = (columns - run.columns.len()).min(MAX_SAMPLES);
                self.blob(part, &mut run.columns)?;
            }
        }
        Ok(run)
    }

    fn layout(&mut self) -> Result<HistogramLayout, CodecError> {
        let narrow = |what, wide: i64| i32::try_from(wide).map_err(|_| CodecError::malformed(what, wide));
        let schema = narrow("schema", varint::get_i64(self.bytes, &mut self.at)?)?;
        let zero_threshold = get_f64(self.bytes, &mut self.at)?;
        let mut sides = [Vec::new(), Vec::new()];
        for spans in &mut sides {
            let mut buckets = 0;
            for _ in 0..self.number("spans", SIDE_MAX)? {
                let offset = narrow("span", varint::get_i64(self.bytes, &mut self.at)?)?;
                let length = self.number("buckets", SIDE_MAX)?;
                buckets += length;
                if buckets as u64 > SIDE_MAX {
                    return Err(CodecError::malformed("spans", format!("{buckets} buckets on one side")));
                }
                spans.push((offset, length as u32));
            }
        }
        let n_bounds = self.number("bounds", SIDE_MAX)?;
        let bounds = self.take(n_bounds * 8)?.as_chunks().0.iter().map(|bits| f64::from_le_bytes(*bits)).collect();
        let [negative, positive] = sides;
        Ok(HistogramLayout { schema, zero_threshold, negative, positive, bounds })
    }

    /// `columns` numbers in columns of `n`.
    fn whole(&mut self, n: usize, columns: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
        // A byte a number at least, so a short body cannot make us reserve for a long one.
        if self.bytes.len() - self.at < columns {
            return Err(CodecError::Truncated { len: self.bytes.len(), what: "counts" });
        }
        out.reserve_exact(columns);
        for _ in 0..columns / n {
            let (mut last, mut step) = (0_i64, 0_i64);
            for _ in 0..n {
                step = step.wrapping_add(varint::get_i64(self.bytes, &mut self.at)?);
                last = last.wrapping_add(step);
                out.push(last as f64);
            }
        }
        Ok(())
    }

    /// Appends `n` numbers of a values blob.
    fn blob(&mut self, n: usize, out: &mut Vec<f64>) -> Result<(), CodecError> {
        let len = self.number("blob", BODY_MAX)?;
        let (before, blob) = (out.len(), self.take(len)?);
        decode_values(blob, out)?;
        if out.len() - before == n {
            Ok(())
        } else {
            Err(CodecError::malformed("blob", format!("{} numbers instead of {n}", out.len() - before)))
        }
    }

    fn number(&mut self, what: &'static str, max: u64) -> Result<usize, CodecError> {
        match varint::get_u64(self.bytes, &mut self.at)? {
            number if number > max => Err(CodecError::malformed(what, format!("{number} is more than {max}"))),
            number => Ok(number as usize),
        }
    }

    fn take(&mut self, len: usize) -> Result<&[u8], CodecError> {
        let end = self.at.saturating_add(len);
        let taken = self.bytes.get(self.at..end);
        let taken = taken.ok_or(CodecError::Truncated { len: self.bytes.len(), what: "a histogram" })?;
        self.at = end;
        Ok(taken)
    }
}
