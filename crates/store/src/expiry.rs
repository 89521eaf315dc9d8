//! Expiry: days and series that have outlived their keep times, and clocks that cannot be trusted with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use series::{Millis, Timestamp};

use crate::compact::{self, End, Run};
use crate::error::StoreError;
use crate::retention::{Keep, KeepTimes};
use crate::rollup::OpenRollup;
use crate::state::Layers;
use crate::store::{Shared, lock};
use crate::upkeep::{Day, Memory};

/// Nothing expires this long after the clock jumped: a wrong clock must not cost data, and somebody may set it right.
const HOLD_AFTER_JUMP: Duration = Duration::from_secs(3600);

impl Shared {
    /// Looks whether the clock has jumped; nothing expires for a while then.
    pub(crate) fn watch_clock(&self, memory: &mut Memory) {
        let instant = Instant::now();
        if memory.clock_jumped(self.clock.now().0, instant) {
            tracing::warn!("the clock jumped; nothing expires for an hour");
            *lock(&self.expiry_held) = Some(instant + HOLD_AFTER_JUMP);
        }
    }

    /// The time that keep times are held against; `None` while nothing expires.
    pub(crate) fn expiry_now(&self) -> Option<Timestamp> {
        let held = lock(&self.expiry_held).is_some_and(|until| Instant::now() < until);
        (!held).then(|| self.clock.now())
    }

    /// Whether samples of some series of the day are over, or will be in `ahead` milliseconds: their roll-ups must be made by
    /// then.
    pub(crate) fn expires_within(&self, day: &Day, ahead: i64) -> bool {
        let Some(now) = self.expiry_now().map(|now| now + Millis(ahead)) else { return false };
        let retention = self.retention();
        let raw = std::iter::once(retention.times.raw).chain(retention.rules.iter().map(|rule| rule.times.raw));
        raw.into_iter().any(|keep| keep.is_over(day.end(), now))
    }

    /// Drops what the day's keep times say, after its roll-ups are made where they are kept longer than the samples.
    pub(crate) fn expire(&self, day: &Day, layers: &Layers, now: Timestamp) -> Result<End, StoreError> {
        let retention = self.retention();
        let over = |of: fn(&KeepTimes) -> Keep| {
            let keeps = std::iter::once(&retention.times).chain(retention.rules.iter().map(|rule| &rule.times));
            let over: Vec<bool> = keeps.map(|times| of(times).is_over(day.end(), now)).collect();
            (over.iter().any(|over| *over), over.iter().all(|over| *over))
        };
        let (raw, fine, coarse) = (over(|t| t.raw), over(|t| t.rollup_5m), over(|t| t.rollup_1h));
        let any_rollup_over = (fine.0 && !day.rollups[0].is_empty()) || (coarse.0 && !day.rollups[1].is_empty());
        let any_raw_over = raw.0 && !day.runs.is_empty();
        if !any_raw_over && !any_rollup_over {
            return Ok(End::Done { samples_in: 0, samples_out: 0 });
        }
        let rollups_over = fine.1 && coarse.1;
        let raw_goes = day.runs.is_empty() || raw.1;
        if raw_goes && rollups_over {
            return self.drop_files(&day.runs, day.rollups.clone());
        }
        if raw_goes && !any_rollup_over && day.is_rolled(&layers.tombstones) {
            return self.drop_files(&day.runs, Default::default());
        }
        if !self.holds_expired(day, now)? {
            return Ok(End::Done { samples_in: 0, samples_out: 0 });
        }
        self.pass_with_rollups(day, layers)
    }

    fn drop_files(&self, runs: &[Run], rollups: [Vec<Arc<OpenRollup>>; 2]) -> Result<End, StoreError> {
        let samples_in = runs.iter().flat_map(|run| &run.files).map(|file| file.entry.samples).sum();
        compact::drop_day(self, runs, rollups)?;
        self.tally.days_dropped.fetch_add(1, Ordering::Relaxed);
        Ok(End::Done { samples_in, samples_out: 0 })
    }

    /// Whether any series of the day has something that is over: after a restart most days were done before.
    fn holds_expired(&self, day: &Day, now: Timestamp) -> Result<bool, StoreError> {
        let is_over = |id: u64, of: fn(&KeepTimes) -> Keep| {
            let index = self.tables.index();
            let number = index.find_id(series::SeriesId(id));
            number
                .is_some_and(|n| of(&self.retention().times_of(index.entry(n).labels.as_ref())).is_over(day.end(), now))
        };
        for file in day.runs.iter().flat_map(|run| &run.files) {
            if file.file.keys()?.series().any(|(id, _)| is_over(id, |times| times.raw)) {
                return Ok(true);
            }
        }
        let of: [fn(&KeepTimes) -> Keep; 2] = [|times| times.rollup_5m, |times| times.rollup_1h];
        for (files, of) in day.rollups.iter().zip(of) {
            for file in files {
                if file.file.series()?.into_iter().any(|id| is_over(id, of)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
