//! Native histograms of one series: as blobs of the codec, as rows of the chunk table, and merged.
//!
//! ```text
//!   samples ─▶ runs of one layout ─▶ codec's histogram blob ─┬─▶ record of the log
//!           ─▶ times ─────────────▶ codec's timestamp blob ──┴─▶ chunk row: the value column holds the histogram blob
//! ```

use std::ops::Range;
use std::sync::Arc;

use codec::{HistogramLayout, HistogramRun};
use lake::{ChunkBytes, ChunkRow};
use series::{Buckets, Columns, Histogram, HistogramSample, ResetHint, SeriesId, Span, TimeRange, Timestamp};

use crate::merge::merge as merge_floats;
use crate::rows::{ChunkSamples, for_each_chunk};

#[cfg(test)]
mod tests;

/// Numbers of a chunk: 64 KiB to 512 KiB of counts. A histogram has 20,002 counts at most, so a chunk holds three of any.
const CHUNK_NUMBERS_MAX: usize = 64 << 10;

/// Appends the blobs of `samples` (within the bounds of a chunk): timestamps, then histograms.
pub(crate) fn encode(samples: &[HistogramSample]) -> (Vec<u8>, Vec<u8>) {
    let times: Vec<i64> = samples.iter().map(|sample| sample.at.0).collect();
    let (mut ts, mut values) = (Vec::new(), Vec::new());
    codec::encode_timestamps(&times, &mut ts);
    codec::encode_histograms(&runs(samples), &mut values);
    (ts, values)
}

/// Appends the samples of two blobs to `out`.
pub(crate) fn decode(ts: &[u8], values: &[u8], out: &mut Vec<HistogramSample>) -> Result<(), String> {
    let mut times = Vec::new();
    codec::decode_timestamps(ts, &mut times).map_err(|err| format!("timestamps: {err}"))?;
    let runs = codec::decode_histograms(values).map_err(|err| format!("histograms: {err}"))?;
    let n_histograms: usize = runs.iter().map(HistogramRun::len).sum();
    if times.len() != n_histograms {
        return Err(format!("{} timestamps but {n_histograms} histograms", times.len()));
    }
    out.reserve(n_histograms);
    let mut times = times.into_iter().map(Timestamp);
    for run in &runs {
        let layout = Layout::of(&run.layout);
        out.extend(times.by_ref().take(run.len()).enumerate().map(|(i, at)| layout.sample(run, i, at)));
    }
    Ok(())
}

/// Whether a chunk holds histograms rather than floats.
pub(crate) fn holds_histograms(chunk: &ChunkBytes) -> bool {
    codec::is_histograms(&chunk.values)
}

/// Appends the samples of a chunk of histograms.
pub(crate) fn decode_chunk(chunk: &ChunkBytes, out: &mut Vec<HistogramSample>) -> Result<(), String> {
    decode(&chunk.ts, &chunk.values, out)
}

/// Cuts samples, sorted and without repeats, into rows of the chunk table, each with its day.
pub(crate) fn for_each_row(
    metric: &Arc<str>,
    id: SeriesId,
    samples: &[HistogramSample],
    longest: ChunkSamples,
    mut each: impl FnMut(i64, ChunkRow),
) {
    let times: Vec<i64> = samples.iter().map(|sample| sample.at.0).collect();
    for_each_chunk(&times, longest, |day, chunk| {
        for part in cut_by_numbers(&samples[chunk]) {
            each(day, row(Arc::clone(metric), id, part));
        }
    });
}

/// Parts of at most [`CHUNK_NUMBERS_MAX`] numbers, and of one sample at least.
pub(crate) fn cut_by_numbers(samples: &[HistogramSample]) -> Vec<&[HistogramSample]> {
    let (mut parts, mut start, mut numbers) = (Vec::new(), 0, 0);
    for (i, sample) in samples.iter().enumerate() {
        let own = numbers_of(&sample.histogram);
        if i > start && numbers + own > CHUNK_NUMBERS_MAX {
            parts.push(&samples[start..i]);
            (start, numbers) = (i, 0);
        }
        numbers += own;
    }
    if start < samples.len() {
        parts.push(&samples[start..]);
    }
    parts
}

fn numbers_of(histogram: &Histogram) -> usize {
    let side = |side: &Buckets| side.spans.len() + side.counts.len();
    side(&histogram.positive) + side(&histogram.negative) + histogram.custom_bounds.len() + 2
}

fn row(metric: Arc<str>, id: SeriesId, samples: &[HistogramSample]) -> ChunkRow {
    let (ts, values) = encode(samples);
    let at = |sample: Option<&HistogramSample>| sample.map_or(0, |sample| sample.at.0);
    ChunkRow {
        metric,
        series_id: id.0,
        min_ts: at(samples.first()),
        max_ts: at(samples.last()),
        count: u32::try_from(samples.len()).unwrap_or(u32::MAX),
        // No number among them: no aggregate speaks for a histogram.
        numbers: 0,
        sum: 0.0,
        min: f64::NAN,
        max: f64::NAN,
        first: f64::NAN,
        last: f64::NAN,
        increase: 0.0,
        ts_chunk: ts.into(),
        value_chunk: values.into(),
    }
}

/// Memory that a sample takes.
pub(crate) fn bytes_of(sample: &HistogramSample) -> usize {
    size_of::<HistogramSample>() + numbers_of(&sample.histogram) * 8
}

fn runs(samples: &[HistogramSample]) -> Vec<HistogramRun> {
    let mut runs = Vec::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let alike = rest.iter().take_while(|other| same_layout(&first.histogram, &other.histogram)).count();
        let (run, after) = rest.split_at(alike.max(1));
        runs.push(run_of(run));
        rest = after;
    }
    runs
}

fn same_layout(a: &Histogram, b: &Histogram) -> bool {
    let bits = |bounds: &[f64]| bounds.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive.spans == b.positive.spans
        && a.negative.spans == b.negative.spans
        && a.custom_bounds.len() == b.custom_bounds.len()
        && (a.custom_bounds.is_empty() || bits(&a.custom_bounds) == bits(&b.custom_bounds))
}

/// Samples of one layout by columns.
fn run_of(samples: &[HistogramSample]) -> HistogramRun {
    let all = || samples.iter().map(|sample| &sample.histogram);
    let Some(first) = all().next() else { return HistogramRun::default() };
    let spans = |side: &Buckets| side.spans.iter().map(|span| (span.offset, span.length)).collect();
    let mut columns = Vec::with_capacity(samples.len() * numbers_of(first));
    columns.extend(all().map(|histogram| histogram.count));
    columns.extend(all().map(|histogram| histogram.zero_count));
    for bucket in 0..first.negative.counts.len() {
        columns.extend(all().map(|histogram| histogram.negative.counts[bucket]));
    }
    for bucket in 0..first.positive.counts.len() {
        columns.extend(all().map(|histogram| histogram.positive.counts[bucket]));
    }
    HistogramRun {
        layout: HistogramLayout {
            schema: first.schema,
            zero_threshold: first.zero_threshold,
            negative: spans(&first.negative),
            positive: spans(&first.positive),
            bounds: first.custom_bounds.clone(),
        },
        hints: all().map(|histogram| histogram.reset as u8).collect(),
        sums: all().map(|histogram| histogram.sum).collect(),
        columns,
    }
}

/// A layout in the words of `series`.
struct Layout {
    negative: Vec<Span>,
    positive: Vec<Span>,
    n_negative: usize,
    n_positive: usize,
}

impl Layout {
    fn of(layout: &HistogramLayout) -> Self {
        let spans = |spans: &[(i32, u32)]| -> Vec<Span> {
            spans.iter().map(|&(offset, length)| Span { offset, length }).collect()
        };
        let n_buckets = |spans: &[(i32, u32)]| spans.iter().map(|&(_, length)| length as usize).sum();
        Self {
            negative: spans(&layout.negative),
            positive: spans(&layout.positive),
            n_negative: n_buckets(&layout.negative),
            n_positive: n_buckets(&layout.positive),
        }
    }

    /// The `i`-th histogram of `run`.
    fn sample(&self, run: &HistogramRun, i: usize, at: Timestamp) -> HistogramSample {
        let n = run.len();
        let number = |column: usize| run.columns[column * n + i];
        let counts = |columns: Range<usize>| columns.map(number).collect();
        let split = 2 + self.n_negative;
        let histogram = Histogram {
            reset: ResetHint::from_number(u64::from(run.hints[i])),
            schema: run.layout.schema,
            zero_threshold: run.layout.zero_threshold,
            zero_count: number(1),
            count: number(0),
            sum: run.sums[i],
            positive: Buckets { spans: self.positive.clone(), counts: counts(split..split + self.n_positive) },
            negative: Buckets { spans: self.negative.clone(), counts: counts(2..split) },
            custom_bounds: run.layout.bounds.clone(),
        };
        HistogramSample { at, histogram }
    }
}

/// Samples of one series in one layer of the store, by kind. Within a kind times rise strictly, and no time has both.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples {
    pub(crate) floats: Columns,
    pub(crate) histograms: Vec<HistogramSample>,
}

impl Samples {
    /// Number of samples of both kinds.
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// Whether there is neither kind.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Sorts by time and keeps the last of equal times.
pub(crate) fn normalise(samples: &mut Vec<HistogramSample>) {
    if samples.windows(2).all(|two| two[0].at < two[1].at) {
        return;
    }
    samples.sort_by_key(|sample| sample.at);
    let mut kept: Vec<HistogramSample> = Vec::with_capacity(samples.len());
    for sample in samples.drain(..) {
        match kept.last_mut() {
            Some(last) if last.at == sample.at => *last = sample,
            _ => kept.push(sample),
        }
    }
    *samples = kept;
}

/// The part of sorted `samples` inside `range`.
pub(crate) fn part(samples: &[HistogramSample], range: TimeRange) -> &[HistogramSample] {
    let end = samples.partition_point(|sample| sample.at < range.end);
    let start = samples.partition_point(|sample| sample.at < range.start).min(end);
    &samples[start..end]
}

/// Takes out of each run what a later run has for the same time, of either kind. Runs are given oldest log position
/// first.
pub(crate) fn settle(runs: &mut [Samples]) {
    if runs.iter().all(|run| run.histograms.is_empty()) {
        return;
    }
    for i in (0..runs.len()).rev() {
        let (older, newer) = runs.split_at_mut(i);
        let Some(winner) = newer.first() else { continue };
        for run in older {
            drop_histograms(&mut run.histograms, |at| has_time(winner, at));
            drop_floats(&mut run.floats, |at| has_histogram(&winner.histograms, at));
        }
    }
}

/// Both kinds of `runs` as one, settled.
pub(crate) fn merge_samples(mut runs: Vec<Samples>) -> Samples {
    settle(&mut runs);
    let (floats, histograms) = runs.into_iter().map(|run| (run.floats, run.histograms)).unzip();
    let mut merged = Samples { floats: Columns::default(), histograms: merge(histograms) };
    merge_floats(floats, &mut merged.floats);
    merged
}

/// Histograms of settled runs as one, by time.
pub(crate) fn merge(runs: Vec<Vec<HistogramSample>>) -> Vec<HistogramSample> {
    let mut runs = runs.into_iter().filter(|run| !run.is_empty());
    let Some(mut merged) = runs.next() else { return Vec::new() };
    let mut is_sorted = true;
    for mut run in runs {
        is_sorted &= merged.last().map(|last| last.at) < run.first().map(|first| first.at);
        merged.append(&mut run);
    }
    if !is_sorted {
        // Stable, so of equal times the one of the later run comes last and is kept.
        normalise(&mut merged);
    }
    merged
}

/// Takes the floats out whose time `is_gone`.
pub(crate) fn drop_floats(floats: &mut Columns, is_gone: impl Fn(i64) -> bool) {
    if !floats.timestamps.iter().any(|&at| is_gone(at)) {
        return;
    }
    let kept: Vec<(i64, f64)> =
        floats.iter().map(|(at, value)| (at.0, value)).filter(|&(at, _)| !is_gone(at)).collect();
    floats.clear();
    kept.into_iter().for_each(|(at, value)| floats.push(Timestamp(at), value));
}

/// Takes the histograms out whose time `is_gone`.
pub(crate) fn drop_histograms(histograms: &mut Vec<HistogramSample>, is_gone: impl Fn(i64) -> bool) {
    histograms.retain(|sample| !is_gone(sample.at.0));
}

/// Whether sorted `histograms` have one at `at`.
pub(crate) fn has_histogram(histograms: &[HistogramSample], at: i64) -> bool {
    histograms.binary_search_by_key(&at, |sample| sample.at.0).is_ok()
}

fn has_time(samples: &Samples, at: i64) -> bool {
    has_histogram(&samples.histograms, at) || samples.floats.timestamps.binary_search(&at).is_ok()
}
