//! Merging sorted runs of samples of one series: at equal timestamps the later run wins.
//!
//! Runs are given oldest log position first, so "later" means acknowledged later (reliability promise D3). The common
//! case, runs that follow each other in time, is a plain concatenation.

use std::ops::Range;

use series::{Columns, TimeRange};

/// Sorts one run by time and keeps the last of equal timestamps; a sorted run is left alone.
pub(crate) fn normalise(run: &mut Columns) {
    if run.timestamps.windows(2).all(|two| two[0] < two[1]) {
        return;
    }
    let mut order: Vec<usize> = (0..run.len()).collect();
    order.sort_by_key(|&i| run.timestamps[i]);
    let mut sorted = Columns { timestamps: Vec::with_capacity(run.len()), values: Vec::with_capacity(run.len()) };
    for i in order {
        push_latest(&mut sorted, run.timestamps[i], run.values[i]);
    }
    *run = sorted;
}

/// Where sorted `timestamps` lie inside `range`.
fn inside(timestamps: &[i64], range: TimeRange) -> Range<usize> {
    let end = timestamps.partition_point(|&at| at < range.end.0);
    timestamps.partition_point(|&at| at < range.start.0).min(end)..end
}

/// Appends what of `run`, which is sorted, lies inside `range`.
pub(crate) fn append_inside(run: &Columns, range: TimeRange, out: &mut Columns) {
    let part = inside(&run.timestamps, range);
    out.timestamps.extend_from_slice(&run.timestamps[part.clone()]);
    out.values.extend_from_slice(&run.values[part]);
}

/// Takes out of `run[start..]`, which is sorted, what lies outside `range`.
pub(crate) fn clip_tail(run: &mut Columns, start: usize, range: TimeRange) {
    let part = inside(&run.timestamps[start..], range);
    run.timestamps.truncate(start + part.end);
    run.values.truncate(start + part.end);
    if part.start > 0 {
        run.timestamps.drain(start..start + part.start);
        run.values.drain(start..start + part.start);
    }
}

/// Appends the union of `runs` (each strictly rising) to `out`, strictly rising; `out` must end before every run begins.
pub(crate) fn merge(mut runs: Vec<Columns>, out: &mut Columns) {
    runs.retain(|run| !run.is_empty());
    sort_if_apart(&mut runs);
    let Some(mut merged) = runs.first_mut().map(std::mem::take) else { return };
    for run in runs.into_iter().skip(1) {
        merged = merge_two(merged, run);
    }
    if out.is_empty() {
        *out = merged;
    } else {
        out.timestamps.append(&mut merged.timestamps);
        out.values.append(&mut merged.values);
    }
}

/// Runs that do not overlap may be joined in order of time; otherwise their order decides which repeat wins.
fn sort_if_apart(runs: &mut [Columns]) {
    let mut spans: Vec<(i64, i64)> =
        runs.iter().map(|run| (run.timestamps[0], run.timestamps[run.len() - 1])).collect();
    spans.sort_unstable();
    if spans.windows(2).all(|two| two[0].1 < two[1].0) {
        runs.sort_by_key(|run| run.timestamps[0]);
    }
}

fn merge_two(mut older: Columns, newer: Columns) -> Columns {
    let follows = older.timestamps.last() < newer.timestamps.first();
    if follows {
        older.timestamps.extend_from_slice(&newer.timestamps);
        older.values.extend_from_slice(&newer.values);
        return older;
    }
    let capacity = older.len() + newer.len();
    let mut out = Columns { timestamps: Vec::with_capacity(capacity), values: Vec::with_capacity(capacity) };
    let (mut i, mut j) = (0, 0);
    while i < older.len() && j < newer.len() {
        if older.timestamps[i] <= newer.timestamps[j] {
            push_latest(&mut out, older.timestamps[i], older.values[i]);
            i += 1;
        } else {
            push_latest(&mut out, newer.timestamps[j], newer.values[j]);
            j += 1;
        }
    }
    for k in i..older.len() {
        push_latest(&mut out, older.timestamps[k], older.values[k]);
    }
    for k in j..newer.len() {
        push_latest(&mut out, newer.timestamps[k], newer.values[k]);
    }
    out
}

fn push_latest(out: &mut Columns, at: i64, value: f64) {
    match (out.timestamps.last(), out.values.last_mut()) {
        (Some(&last), Some(kept)) if last == at => *kept = value,
        _ => {
            out.timestamps.push(at);
            out.values.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn columns(samples: &[(i64, f64)]) -> Columns {
        Columns { timestamps: samples.iter().map(|s| s.0).collect(), values: samples.iter().map(|s| s.1).collect() }
    }

    proptest! {
        #[test]
        fn merging_equals_inserting_into_a_map(runs in proptest::collection::vec(
            proptest::collection::vec((0_i64..50, -9.0..9.0), 0..30), 0..5)) {
            let mut naive = BTreeMap::new();
            for (at, value) in runs.iter().flatten() {
                naive.insert(*at, *value);
            }
            let sorted = runs.iter().map(|run| {
                let mut run = columns(run);
                normalise(&mut run);
                run
            });
            let mut out = Columns::default();
            merge(sorted.collect(), &mut out);
            prop_assert_eq!(out.timestamps, naive.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(out.values, naive.values().copied().collect::<Vec<_>>());
        }
    }
}
