//! Hot, warm, cold: decoded in the cache, on the local disk, in a second object store. Files move by age and by use.
//!
//! ```text
//!   warm ── closed, compacted, older than `after` ──▶ cold
//!   warm ◀── read by `promote_reads` queries within an hour ── cold      (stays for `stay` at least)
//! ```
//!
//! A move copies, checks the copy, commits, and lets the old file go with its last reader; a crash between leaves one copy
//! that no commit names. Queries read cold files where they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lake::{FarStore, FileEntry};
use object_store::ObjectStore;
use series::Millis;

use crate::compact;
use crate::error::StoreError;
use crate::rows::DAY;
use crate::state::{OpenFile, Replacement, Swap};
use crate::store::Shared;

const HOUR: i64 = 3_600_000;
/// Files that move in one round, so that compactions get their turn.
const MOVES_MAX: usize = 8;

/// Where and when files move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierOptions {
    /// Address of the second object store, such as `file:///mnt/slow/metrics`.
    pub url: String,
    /// Age of a day, counted from its end, at which its files move away.
    pub after: Millis,
    /// Queries within an hour that bring a file back; 0 never does.
    pub promote_reads: u64,
    /// How long a file that was brought back stays at least.
    pub stay: Millis,
}

/// Both places that files may be in.
#[derive(Clone)]
pub(crate) struct Disks {
    pub(crate) near: Arc<dyn ObjectStore>,
    pub(crate) far: Option<FarStore>,
}

/// What is remembered of files between rounds.
#[derive(Debug, Default)]
pub(crate) struct TierMemory {
    /// Start of the running hour.
    hour: Option<i64>,
    /// Reads of each open file, by number, before the running hour.
    before: BTreeMap<u64, u64>,
    /// Files that were brought back, by number, and until when they stay.
    stays: BTreeMap<u64, i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Away,
    Back,
}

/// What decides about a file.
#[derive(Debug, Clone, Copy)]
struct Facts {
    is_far: bool,
    level: u8,
    day_end: i64,
    reads_in_hour: u64,
    stays_until: i64,
}

impl Disks {
    /// Opens the second store, if there is one.
    pub(crate) fn open(near: Arc<dyn ObjectStore>, options: Option<&TierOptions>) -> Result<Self, StoreError> {
        let far = options.map(|options| lake::open_far(&options.url)).transpose()?;
        Ok(Self { near, far })
    }

    /// The store that holds a file.
    pub(crate) fn of(&self, entry: &FileEntry) -> Result<&Arc<dyn ObjectStore>, StoreError> {
        match &self.far {
            _ if !entry.is_far() => Ok(&self.near),
            Some(far) if entry.path.starts_with(&far.base) => Ok(&far.store),
            _ => Err(StoreError::Elsewhere { file: entry.path.clone() }),
        }
    }
}

fn wish(facts: Facts, options: &TierOptions, now: i64) -> Option<Move> {
    if facts.is_far {
        let used = options.promote_reads > 0 && facts.reads_in_hour >= options.promote_reads;
        return used.then_some(Move::Back);
    }
    let old = facts.day_end.saturating_add(options.after.0) <= now;
    (old && facts.level == 2 && facts.stays_until <= now).then_some(Move::Away)
}

impl TierMemory {
    /// Begins a new hour when the last one is over, or when the clock went back.
    fn turn(&mut self, files: &[Arc<OpenFile>], now: i64) {
        if self.hour.is_some_and(|hour| (hour..hour.saturating_add(HOUR)).contains(&now)) {
            return;
        }
        // At the very first look nothing is known of earlier hours, so all reads count.
        let known = self.hour.replace(now).is_some();
        self.before = files.iter().filter(|_| known).map(|f| (f.number, f.reads.load(Ordering::Relaxed))).collect();
        self.stays.retain(|_, until| *until > now);
    }

    fn facts(&self, file: &OpenFile) -> Facts {
        let reads = file.reads.load(Ordering::Relaxed);
        Facts {
            is_far: file.entry.is_far(),
            level: file.entry.level,
            day_end: (file.entry.min_ts.div_euclid(DAY) + 1).saturating_mul(DAY),
            reads_in_hour: reads.saturating_sub(self.before.get(&file.number).copied().unwrap_or(0)),
            stays_until: self.stays.get(&file.number).copied().unwrap_or(i64::MIN),
        }
    }
}

impl Shared {
    /// Moves a few files that want to be elsewhere.
    pub(crate) fn move_files(&self, memory: &mut TierMemory) -> Result<(), StoreError> {
        let (Some(options), Some(far)) = (self.tiers(), &self.disks.far) else { return Ok(()) };
        let now = self.clock.now().0;
        let files = self.tables.state.layers().files;
        memory.turn(&files, now);
        let wishes = files.iter().filter_map(|file| Some((file, wish(memory.facts(file), options, now)?)));
        for (file, wish) in wishes.take(MOVES_MAX).collect::<Vec<_>>() {
            if self.is_stopped() {
                return Ok(());
            }
            let moved = self.move_file(file, wish, far)?;
            if wish == Move::Back {
                memory.stays.insert(moved, now.saturating_add(options.stay.0));
            }
        }
        Ok(())
    }

    /// Moves one file and answers the number of its successor.
    fn move_file(&self, file: &Arc<OpenFile>, wish: Move, far: &FarStore) -> Result<u64, StoreError> {
        let (from, to, base, tally) = match wish {
            Move::Away => (&self.disks.near, &far.store, Some(far.base.as_str()), &self.tally.moved_away),
            Move::Back => (&far.store, &self.disks.near, None, &self.tally.moved_back),
        };
        let entry = lake::copy_chunk_file(&file.entry, from, to, base, self.ids.next())?;
        let copy = OpenFile::open(to, entry.clone())?;
        compact::commit(self, &self.tables.chunks, vec![entry], vec![file.entry.path.clone()], "OPTIMIZE")?;
        let number = copy.number;
        let swap = Swap { old: vec![Arc::clone(file)], new: vec![copy] };
        self.tables.state.replace(Replacement::of_chunks(swap));
        tally.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_move_by_age_and_come_back_by_use() {
        let options =
            TierOptions { url: String::new(), after: Millis(7 * DAY), promote_reads: 3, stay: Millis::from_days(1) };
        let warm = Facts { is_far: false, level: 2, day_end: DAY, reads_in_hour: 0, stays_until: i64::MIN };
        assert_eq!(wish(warm, &options, 8 * DAY - 1), None);
        assert_eq!(wish(warm, &options, 8 * DAY), Some(Move::Away));
        assert_eq!(wish(Facts { level: 1, ..warm }, &options, 9 * DAY), None, "not compacted yet");
        assert_eq!(wish(Facts { stays_until: 10 * DAY, ..warm }, &options, 9 * DAY), None);
        let cold = Facts { is_far: true, reads_in_hour: 2, ..warm };
        assert_eq!(wish(cold, &options, 9 * DAY), None);
        assert_eq!(wish(Facts { reads_in_hour: 3, ..cold }, &options, 9 * DAY), Some(Move::Back));
        let never = TierOptions { promote_reads: 0, ..options };
        assert_eq!(wish(Facts { reads_in_hour: 300, ..cold }, &never, 9 * DAY), None);
    }
}
