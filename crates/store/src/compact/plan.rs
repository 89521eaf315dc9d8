//! Which files to merge next: a pure function of sizes, levels and times.
//!
//! A *run* is what one flush or one compaction wrote: files of one day with the same log span, whose series do not
//! overlap. Only runs that follow each other in log order are merged, so the later position keeps winning between the
//! result and every other run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::rows::DAY;
use crate::state::OpenFile;

/// Runs of like size that are merged into one: each sample is rewritten about log₈ of the day's flushes times.
const FAN_IN: usize = 8;
/// Runs of one day at which they are merged whatever their sizes.
const RUNS_MAX: usize = 48;
/// Fresh runs are merged when the oldest is this old.
const HOUR: i64 = 3_600_000;
/// A day is closed this long after its end and after its newest file: the last flush and the usual late samples are in.
const SETTLE: i64 = HOUR / 2;
/// A few late samples wait this long for more before the whole day is written again.
const LATE_WAIT: i64 = 6 * HOUR;
/// Late samples of more than this part of the day do not wait.
const LATE_PART: u64 = 10;
/// Bytes of the smallest size class.
const CLASS_BYTES: u64 = 1 << 20;

/// What one flush or compaction wrote for one day.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) files: Vec<Arc<OpenFile>>,
    pub(crate) shape: Shape,
}

/// What the plan looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) level: u8,
    pub(crate) bytes: u64,
    pub(crate) committed_at: i64,
}

/// Runs to merge, as positions in the day's list, and the level of the result. Level 2 always takes the whole day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merge {
    pub(crate) runs: Range<usize>,
    pub(crate) level: u8,
}

/// Files by day number, each day's runs by rising log position.
pub(crate) fn days(files: &[Arc<OpenFile>]) -> BTreeMap<i64, Vec<Run>> {
    let mut by_span: BTreeMap<(i64, u64, u64, u8), Vec<Arc<OpenFile>>> = BTreeMap::new();
    for file in files {
        let entry = &file.entry;
        let key = (entry.min_ts.div_euclid(DAY), entry.lsn_hi, entry.lsn_lo, entry.level);
        by_span.entry(key).or_default().push(Arc::clone(file));
    }
    let mut days: BTreeMap<i64, Vec<Run>> = BTreeMap::new();
    for ((day, _, _, level), files) in by_span {
        let bytes = files.iter().map(|file| file.entry.size).sum();
        let committed_at = files.iter().map(|file| file.entry.committed_at).max().unwrap_or(0);
        days.entry(day).or_default().push(Run { files, shape: Shape { level, bytes, committed_at } });
    }
    days
}

/// The merge that is due for the day that ends at `day_end`.
pub(crate) fn choose(runs: &[Shape], day_end: i64, now: i64) -> Option<Merge> {
    // A commit of the future was made by a clock that has been set back since: its age says nothing, so it does not wait.
    let aged = |run: &Shape| Shape { committed_at: if run.committed_at > now { 0 } else { run.committed_at }, ..*run };
    let runs: &[Shape] = &runs.iter().map(aged).collect::<Vec<_>>();
    let newest = runs.last()?;
    if day_end.saturating_add(SETTLE) <= now && newest.committed_at.saturating_add(SETTLE) <= now {
        return choose_closed(runs, now);
    }
    choose_open(runs, now)
}

/// Everything into one, at once: what `/-/flush?merge=true` asks for.
pub(crate) fn merge_all(runs: &[Shape], day_end: i64, now: i64) -> Option<Merge> {
    let done = runs.is_empty() || (runs.len() == 1 && runs[0].level > 0);
    let level = if day_end <= now { 2 } else { 1 };
    (!done).then_some(Merge { runs: 0..runs.len(), level })
}

fn choose_closed(runs: &[Shape], now: i64) -> Option<Merge> {
    let whole = Some(Merge { runs: 0..runs.len(), level: 2 });
    let late = match runs.split_first() {
        Some((first, late)) if first.level == 2 => late,
        _ => return whole,
    };
    let oldest = late.iter().map(|run| run.committed_at).min()?;
    let bytes: u64 = late.iter().map(|run| run.bytes).sum();
    if bytes.saturating_mul(LATE_PART) >= runs[0].bytes || oldest.saturating_add(LATE_WAIT) <= now {
        return whole;
    }
    choose_open(runs, now)
}

fn choose_open(runs: &[Shape], now: i64) -> Option<Merge> {
    let tail = |fits: &dyn Fn(&Shape) -> bool| runs.iter().rev().take_while(|run| fits(run)).count();
    let last = |n: usize| Some(Merge { runs: runs.len() - n..runs.len(), level: 1 });
    let highest = runs.iter().map(class).max()?;
    for limit in 0..=highest {
        let like = tail(&|run| run.level < 2 && class(run) <= limit);
        let of_class = runs[runs.len() - like..].iter().filter(|run| class(run) == limit).count();
        if of_class >= FAN_IN {
            return last(like);
        }
    }
    let fresh = tail(&|run| run.level == 0);
    let aged = fresh >= 2 && runs[runs.len() - fresh].committed_at.saturating_add(HOUR) <= now;
    if aged {
        return last(fresh);
    }
    let small = tail(&|run| run.level < 2);
    (small >= RUNS_MAX).then(|| last(small)).flatten()
}

/// Sizes a factor of [`FAN_IN`] apart.
fn class(run: &Shape) -> u32 {
    (run.bytes / CLASS_BYTES).max(1).ilog2() / (FAN_IN as u32).ilog2() + u32::from(run.bytes >= CLASS_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn run(level: u8, bytes: u64, committed_at: i64) -> Shape {
        Shape { level, bytes, committed_at }
    }

    #[test]
    fn an_open_day_merges_runs_of_like_size_at_its_end() {
        let mut runs = vec![run(0, 30 * MIB, 0); 7];
        assert_eq!(choose(&runs, DAY, 1), None);
        runs.push(run(0, 30 * MIB, 0));
        assert_eq!(choose(&runs, DAY, 1), Some(Merge { runs: 0..8, level: 1 }));
        let mut later = vec![run(1, 240 * MIB, 0)];
        later.extend(vec![run(0, 30 * MIB, 0); 8]);
        assert_eq!(choose(&later, DAY, 1), Some(Merge { runs: 1..9, level: 1 }), "the large one stays");
    }

    #[test]
    fn a_clock_that_was_ahead_holds_no_merge_up() {
        let runs = [run(0, MIB, 9 * DAY), run(0, MIB, 9 * DAY + 1)];
        assert_eq!(choose(&runs, DAY, DAY + SETTLE), Some(Merge { runs: 0..2, level: 2 }));
        assert_eq!(choose(&runs, 10 * DAY, 2 * DAY), Some(Merge { runs: 0..2, level: 1 }));
    }

    #[test]
    fn a_quiet_hour_merges_what_is_fresh() {
        let runs = [run(1, 50 * MIB, 0), run(0, MIB, 10), run(0, MIB, 20)];
        assert_eq!(choose(&runs, 10 * DAY, HOUR), None);
        assert_eq!(choose(&runs, 10 * DAY, HOUR + 10), Some(Merge { runs: 1..3, level: 1 }));
    }

    #[test]
    fn a_closed_day_becomes_one_and_waits_for_more_late_samples() {
        assert_eq!(choose(&[run(0, MIB, 5)], DAY, DAY + SETTLE - 1), None);
        assert_eq!(choose(&[run(0, MIB, 5)], DAY, DAY + SETTLE), Some(Merge { runs: 0..1, level: 2 }));
        assert_eq!(choose(&[run(2, MIB, 5)], DAY, 9 * DAY), None);
        let committed = 2 * DAY;
        let late = [run(2, 100 * MIB, 5), run(0, MIB, committed)];
        assert_eq!(choose(&late, DAY, committed + SETTLE), None);
        assert_eq!(choose(&late, DAY, committed + LATE_WAIT), Some(Merge { runs: 0..2, level: 2 }));
        let much = [run(2, 100 * MIB, 5), run(0, 10 * MIB, committed)];
        assert_eq!(choose(&much, DAY, committed + SETTLE), Some(Merge { runs: 0..2, level: 2 }));
        let mut many = vec![run(2, 1000 * MIB, 5)];
        many.extend(vec![run(0, 100, committed); 8]);
        assert_eq!(choose(&many, DAY, committed + SETTLE), Some(Merge { runs: 1..9, level: 1 }));
    }

    #[test]
    fn any_number_of_flushes_stays_a_few_runs_and_few_rewrites() {
        let (mut runs, mut written, n) = (Vec::<Shape>::new(), 0, 3000);
        for flush in 0..n {
            runs.push(run(0, 3 * MIB, flush));
            while let Some(merge) = choose(&runs, i64::MAX, flush) {
                let bytes = runs[merge.runs.clone()].iter().map(|run| run.bytes).sum();
                written += bytes;
                runs.splice(merge.runs, [run(merge.level, bytes, flush)]);
            }
            assert!(runs.len() < RUNS_MAX, "{} runs", runs.len());
        }
        let flushed = n as u64 * 3 * MIB;
        assert!(written < 5 * flushed, "rewritten {} times", written as f64 / flushed as f64);
    }

    #[test]
    fn asked_for_everything_a_day_becomes_one() {
        assert_eq!(merge_all(&[], DAY, 0), None);
        assert_eq!(merge_all(&[run(1, 1, 0)], DAY, 0), None);
        assert_eq!(merge_all(&[run(0, 1, 0)], DAY, 0), Some(Merge { runs: 0..1, level: 1 }));
        assert_eq!(merge_all(&[run(2, 1, 0), run(0, 1, 0)], DAY, DAY), Some(Merge { runs: 0..2, level: 2 }));
    }
}
