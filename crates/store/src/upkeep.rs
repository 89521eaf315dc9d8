//! What happens to files as they age: merged, cleaned of deletions, rolled up, dropped. One pass at a time, on a thread of
//! its own, so that flushes never wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::compact::{self, DayPass, End, Merge, Run};
use crate::error::StoreError;
use crate::options::RollupTime;
use crate::rollup::OpenRollup;
use crate::rows::DAY;
use crate::state::Layers;
use crate::stats::StoreStats;
use crate::store::{Shared, lock};
use crate::tier::TierMemory;
use crate::tombstone::{Tombstone, Tombstones};

/// Free space that a pass leaves for the log and the next flush.
const RESERVE_BYTES: u64 = 64 << 20;
/// A day whose pass failed is left alone this long: damage does not mend itself, and other days have their turn.
const FAILED_PAUSE: i64 = 600_000;
/// Deletions are taken out of files that nothing else writes again at least this often.
const CLEAN_EVERY: i64 = 3_600_000;
/// A clock that is this much ahead or behind of the time that has passed has jumped.
const CLOCK_JUMP: i64 = 60_000;
/// How long a file of a closed day that no query reads keeps its keys in memory.
const REST_AFTER: i64 = 60_000;
/// Commits and checkpoints of the tables are kept this long for readers of other engines.
const LOG_KEPT: i64 = 7 * DAY;

/// What the thread remembers between its rounds; nothing here has to survive a restart.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Keep times that a day had outlived when it was last looked at, and its newest log position then.
    outlived: BTreeMap<i64, (usize, u64)>,
    /// Days whose roll-ups were made, with the newest log position in them.
    rolled: BTreeMap<i64, u64>,
    /// Days to leave alone, until when.
    paused: BTreeMap<i64, i64>,
    /// When deletions were last looked for.
    cleaned_at: Option<i64>,
    /// Days dropped by retention when series were last dropped.
    dropped_seen: u64,
    /// When unused files were last made to forget where series lie, and each file's reads then.
    rested_at: Option<i64>,
    reads: BTreeMap<u64, u64>,
    /// What the clock said at an instant of the last round.
    clock: Option<(i64, Instant)>,
    /// When the tables were last swept.
    swept_at: Option<i64>,
    tiers: TierMemory,
}

/// Counters of the ageing of files.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passes: AtomicU64,
    pub(crate) samples_in: AtomicU64,
    pub(crate) samples_out: AtomicU64,
    pub(crate) days_dropped: AtomicU64,
    pub(crate) postponed: AtomicU64,
    pub(crate) deletions: AtomicU64,
    pub(crate) moved_away: AtomicU64,
    pub(crate) moved_back: AtomicU64,
}

impl Memory {
    /// Compares the clock with the time that has passed; true when it has jumped since the last round.
    pub(crate) fn clock_jumped(&mut self, now: i64, instant: Instant) -> bool {
        let before = self.clock.replace((now, instant));
        before.is_some_and(|(clock, at)| {
            let passed = i64::try_from(instant.saturating_duration_since(at).as_millis()).unwrap_or(i64::MAX);
            now.saturating_sub(clock).saturating_sub(passed).abs() > CLOCK_JUMP
        })
    }

    /// Somebody asks: days that failed get another try, and deletions are looked for again.
    pub(crate) fn forget_pauses(&mut self) {
        self.paused.clear();
        self.cleaned_at = None;
    }
}

impl Tally {
    pub(crate) fn fill(&self, stats: &mut StoreStats) {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        stats.compactions = load(&self.passes);
        stats.compacted_samples = load(&self.samples_in);
        stats.dropped_samples = stats.compacted_samples.saturating_sub(load(&self.samples_out));
        stats.postponed = load(&self.postponed);
        stats.days_dropped = load(&self.days_dropped);
        stats.deletions = load(&self.deletions);
        stats.moved_away = load(&self.moved_away);
        stats.moved_back = load(&self.moved_back);
    }
}

/// A UTC day with everything that is stored of it.
pub(crate) struct Day {
    pub(crate) number: i64,
    pub(crate) runs: Vec<Run>,
    pub(crate) rollups: [Vec<Arc<OpenRollup>>; 2],
}

impl Day {
    pub(crate) fn end(&self) -> i64 {
        (self.number + 1).saturating_mul(DAY)
    }

    fn shapes(&self) -> Vec<compact::Shape> {
        self.runs.iter().map(|run| run.shape).collect()
    }

    fn newest_lsn(&self) -> u64 {
        self.runs.iter().flat_map(|run| &run.files).map(|file| file.entry.lsn_hi).max().unwrap_or(0)
    }

    /// Whether the roll-ups were made from all files that there are, with all deletions.
    pub(crate) fn is_rolled(&self, tombstones: &Tombstones) -> bool {
        let newest = self.newest_lsn();
        let pending = |made: u64| tombstones.list.iter().any(|one| one.number > made && self.is_touched(one));
        self.rollups
            .iter()
            .all(|files| files.first().is_some_and(|file| file.entry.lsn_hi >= newest && !pending(file.entry.cleaned)))
    }

    pub(crate) fn is_touched(&self, tombstone: &Tombstone) -> bool {
        tombstone.overlaps(self.number.saturating_mul(DAY), self.end() - 1)
    }
}

/// Every stored day, oldest first.
pub(crate) fn stored_days(layers: &Layers) -> Vec<Day> {
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    let empty = |number| Day { number, runs: Vec::new(), rollups: [Vec::new(), Vec::new()] };
    for (number, runs) in compact::days(&layers.files) {
        days.entry(number).or_insert_with(|| empty(number)).runs = runs;
    }
    for (i, files) in layers.rollups.iter().enumerate() {
        for file in files {
            days.entry(file.day()).or_insert_with(|| empty(file.day())).rollups[i].push(Arc::clone(file));
        }
    }
    days.into_values().collect()
}

impl Shared {
    /// Does what is due, day by day; the first failure is answered after the other days had their turn.
    pub(crate) fn tidy(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let now = self.clock.now().0;
        memory.paused.retain(|_, until| *until > now);
        let mut failure = None;
        let layers = self.tables.state.layers();
        for day in stored_days(&layers) {
            if self.is_stopped() {
                return Ok(());
            }
            if memory.paused.contains_key(&day.number) {
                continue;
            }
            if let Err(err) = self.tidy_day(&day, &layers, memory) {
                memory.paused.insert(day.number, now.saturating_add(FAILED_PAUSE));
                failure = failure.or(Some(err));
            }
        }
        let due = memory.cleaned_at.is_none_or(|at| at.saturating_add(CLEAN_EVERY) <= now);
        if due && failure.is_none() {
            self.clean_deleted()?;
            memory.cleaned_at = Some(now);
        }
        self.rest_files(memory, now);
        self.move_files(&mut memory.tiers)?;
        if memory.swept_at.is_none_or(|at| at.saturating_add(DAY) <= now) {
            self.sweep_tables(now)?;
            self.drop_dead_series(memory)?;
            memory.swept_at = Some(now);
        }
        self.tidy_dictionary(false)?;
        failure.map_or(Ok(()), Err)
    }

    /// Series leave only with their last samples, so there are none to look for unless something was dropped.
    fn drop_dead_series(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let dropped = self.tally.days_dropped.load(Ordering::Relaxed) + self.tally.passes.load(Ordering::Relaxed);
        if dropped > memory.dropped_seen {
            self.tidy_dictionary(true)?;
            memory.dropped_seen = dropped;
        }
        Ok(())
    }

    /// Old days are many and rarely asked for: what is kept in memory of where their series lie goes after a minute.
    fn rest_files(&self, memory: &mut Memory, now: i64) {
        if memory.rested_at.is_some_and(|at| (at..at.saturating_add(REST_AFTER)).contains(&now)) {
            return;
        }
        memory.rested_at = Some(now);
        let layers = self.tables.state.layers();
        let reads = layers.files.iter().filter(|file| file.entry.level == 2);
        let reads: BTreeMap<u64, u64> = reads.map(|file| (file.number, file.reads.load(Ordering::Relaxed))).collect();
        for file in layers.files.iter().filter(|file| reads.contains_key(&file.number)) {
            if memory.reads.get(&file.number) == reads.get(&file.number) {
                file.file.forget_keys();
            }
        }
        layers.rollups.iter().flatten().for_each(|file| file.file.forget());
        memory.reads = reads;
    }

    /// Forgets old commits, and files that nothing names any more.
    fn sweep_tables(&self, now: i64) -> Result<(), StoreError> {
        let tables = &self.tables;
        for table in [&tables.chunks, &tables.dictionary, &tables.rollups[0], &tables.rollups[1]] {
            table.expire_log(now.saturating_sub(LOG_KEPT))?;
            // Whatever the clock says, a file that a flush has put and not named yet must not go; passes run on this thread.
            let _no_flush = lock(&self.flushing);
            lake::remove_orphans(table, now, DAY)?;
        }
        Ok(())
    }

    fn tidy_day(&self, day: &Day, layers: &Layers, memory: &mut Memory) -> Result<(), StoreError> {
        if let Some(now) = self.expiry_now() {
            let outlived = (self.retention().passed(day.end(), now), day.newest_lsn());
            if outlived.0 > 0 && memory.outlived.get(&day.number) != Some(&outlived) {
                if self.expire(day, layers, now)? != End::Stopped {
                    memory.outlived.insert(day.number, outlived);
                }
                return Ok(());
            }
        }
        match compact::choose(&day.shapes(), day.end(), self.clock.now().0) {
            Some(merge) => self.pass(day, &merge, layers).map(drop),
            None => self.roll_up(day, layers, memory),
        }
    }

    /// Makes the roll-ups of a merged day that wants them by now: every closed day, or one whose samples expire within a day.
    /// So expiry itself only drops files, which needs no room on the disk.
    fn roll_up(&self, day: &Day, layers: &Layers, memory: &mut Memory) -> Result<(), StoreError> {
        let is_merged = matches!(&day.runs[..], [run] if run.shape.level == 2);
        let wanted = self.rollups() == RollupTime::Daily || self.expires_within(day, DAY);
        // A day of histograms alone has no roll-ups to show for it.
        let done = memory.rolled.get(&day.number) == Some(&day.newest_lsn()) || day.is_rolled(&layers.tombstones);
        if !is_merged || !wanted || done {
            return Ok(());
        }
        if self.pass_with_rollups(day, layers)? != End::Stopped {
            memory.rolled.insert(day.number, day.newest_lsn());
        }
        Ok(())
    }

    /// Merges every day into one run.
    pub(crate) fn merge_everything(&self) -> Result<u64, StoreError> {
        let _one = lock(&self.compacting);
        let layers = self.tables.state.layers();
        let mut merged = 0;
        for day in stored_days(&layers) {
            if let Some(merge) = compact::merge_all(&day.shapes(), day.end(), self.clock.now().0) {
                self.pass(&day, &merge, &layers)?;
                merged += 1;
            }
        }
        Ok(merged)
    }

    /// Runs one merge. One of the whole day makes its roll-ups where they are wanted by now, and anew where there are any.
    pub(crate) fn pass(&self, day: &Day, merge: &Merge, layers: &Layers) -> Result<End, StoreError> {
        let has_some = day.rollups.iter().any(|files| !files.is_empty());
        let wanted = has_some || self.rollups() == RollupTime::Daily || self.expires_within(day, 0);
        let rolls = merge.level == 2 && wanted;
        self.run_pass(day, merge, layers, rolls)
    }

    /// Runs a merge of the whole day that makes its roll-ups: what expires is in them then.
    pub(crate) fn pass_with_rollups(&self, day: &Day, layers: &Layers) -> Result<End, StoreError> {
        self.run_pass(day, &Merge { runs: 0..day.runs.len(), level: 2 }, layers, true)
    }

    fn run_pass(&self, day: &Day, merge: &Merge, layers: &Layers, rolls: bool) -> Result<End, StoreError> {
        let runs = &day.runs[merge.runs.clone()];
        self.check_room(runs)?;
        let rollups = if rolls { day.rollups.clone() } else { Default::default() };
        let tombstones = Arc::clone(&layers.tombstones);
        let pass = DayPass { shared: self, day: day.number, runs, level: merge.level, rolls, tombstones, rollups };
        let end = pass.run()?;
        if let End::Done { samples_in, samples_out } = end {
            self.tally.passes.fetch_add(1, Ordering::Relaxed);
            self.tally.samples_in.fetch_add(samples_in, Ordering::Relaxed);
            self.tally.samples_out.fetch_add(samples_out, Ordering::Relaxed);
        }
        Ok(end)
    }

    /// Inputs live until the outputs are committed, so both need room.
    fn check_room(&self, runs: &[Run]) -> Result<(), StoreError> {
        let need = runs.iter().map(|run| run.shape.bytes).sum::<u64>() + RESERVE_BYTES;
        match self.storage.free_bytes() {
            Ok(free) if free < need => {
                self.tally.postponed.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::NoRoom { need, free })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_jump_of_the_clock_is_told_from_time_that_passes() {
        let mut memory = Memory::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(!memory.clock_jumped(1_000_000, start), "nothing to compare with");
        assert!(!memory.clock_jumped(1_000_000 + 7_200_000, at(7200)));
        assert!(!memory.clock_jumped(1_000_000 + 7_230_000, at(7201)), "half a minute is no jump");
        assert!(memory.clock_jumped(1_000_000 + DAY, at(7202)));
        assert!(memory.clock_jumped(1_000_000, at(7203)), "and back");
        assert!(!memory.clock_jumped(1_001_000, at(7204)));
    }
}
