//! One pass over runs of a day: series by series, in file order, from the inputs' chunks to new chunks and roll-ups.
//!
//! Memory holds one block of decoded samples and one unfinished file a table, whatever the day's size.

use std::collections::HashSet;
use std::sync::Arc;

use lake::RollupRow;
use series::{Columns, Resolution, SeriesId};

use super::plan::Run;
use super::sink::{Sink, Stamp, commit};
use crate::error::StoreError;
use crate::histograms::{self, Samples};
use crate::retention::{Keep, KeepTimes};
use crate::rollup::{self, OpenRollup};
use crate::rows::{ChunkSamples, DAY, RowsByDay};
use crate::set::decode_either;
use crate::state::{OpenFile, Replacement, Swap};
use crate::store::Shared;
use crate::tombstone::{self, Tombstones};

/// Samples decoded at a time, repeats included; a single series may have more.
const BLOCK_SAMPLES: u64 = 512 << 10;

/// Series named under one lock of the index.
const NAMED_AT_ONCE: usize = 4096;

/// What to do with one day.
pub(crate) struct DayPass<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) day: i64,
    /// Runs that follow each other in log order, oldest first.
    pub(crate) runs: &'a [Run],
    pub(crate) level: u8,
    /// Whether `runs` are all of the day and its roll-ups are wanted.
    pub(crate) rolls: bool,
    /// Deletions as of when the runs were listed, or later.
    pub(crate) tombstones: Arc<Tombstones>,
    /// Roll-up files of the day, by resolution; looked at when roll-ups are made.
    pub(crate) rollups: [Vec<Arc<OpenRollup>>; 2],
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Committed.
    Done {
        /// Samples read, repeats included.
        samples_in: u64,
        /// Samples written.
        samples_out: u64,
    },
    /// The store closes; nothing has changed.
    Stopped,
}

/// A series with what decides about it.
struct Named {
    metric: Arc<str>,
    id: SeriesId,
    times: KeepTimes,
}

/// Where a pass writes.
struct Sinks<'a> {
    chunks: Sink<'a, lake::ChunkFileWriter>,
    rollups: [Sink<'a, lake::RollupFileWriter>; 2],
    samples_in: u64,
    samples_out: u64,
}

impl DayPass<'_> {
    /// Reads, writes, commits, and shows the result to readers.
    pub(crate) fn run(self) -> Result<End, StoreError> {
        let inputs: Vec<Arc<OpenFile>> = self.runs.iter().flat_map(|run| run.files.iter().map(Arc::clone)).collect();
        let mut sinks = self.sinks(&inputs);
        let series = self.series(&inputs)?;
        let mut rest = &series[..];
        while !rest.is_empty() {
            if self.shared.is_stopped() {
                return Ok(End::Stopped);
            }
            let (block, after) = rest.split_at(block_len(&inputs, rest)?);
            self.block(&inputs, block, &mut sinks)?;
            rest = after;
        }
        self.finish(&inputs, sinks)
    }

    fn sinks(&self, inputs: &[Arc<OpenFile>]) -> Sinks<'_> {
        let made_from = self.rollups.iter().flatten().map(|file| (file.entry.lsn_lo, file.entry.lsn_hi));
        let spans = inputs.iter().map(|file| (file.entry.lsn_lo, file.entry.lsn_hi));
        let span = |spans: &mut dyn Iterator<Item = (u64, u64)>| {
            spans.fold((u64::MAX, 0), |(lo, hi), span| (lo.min(span.0), hi.max(span.1)))
        };
        let cleaned = self.tombstones.newest();
        let chunk_stamp = Stamp { day: self.day, level: self.level, lsns: span(&mut spans.clone()), cleaned };
        let rollup_stamp = Stamp { level: 2, lsns: span(&mut spans.chain(made_from)), ..chunk_stamp };
        let tables = &self.shared.tables;
        let rollup = |i: usize| Sink::new(self.shared, &tables.rollups[i], rollup_stamp);
        Sinks {
            chunks: Sink::new(self.shared, &tables.chunks, chunk_stamp),
            rollups: [rollup(0), rollup(1)],
            samples_in: 0,
            samples_out: 0,
        }
    }

    /// Every series of the inputs and roll-ups, in file order.
    fn series(&self, inputs: &[Arc<OpenFile>]) -> Result<Vec<Named>, StoreError> {
        let mut ids: Vec<u64> = Vec::new();
        for file in inputs {
            ids.extend(file.file.keys()?.series().map(|(id, _)| id));
        }
        for file in self.rollups.iter().flatten().filter(|_| self.rolls) {
            ids.extend(file.file.series()?);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut metrics: HashSet<Arc<str>> = HashSet::new();
        let mut series = Vec::with_capacity(ids.len());
        for some in ids.chunks(NAMED_AT_ONCE) {
            // Given back in between: whoever adds a series waits for it.
            let index = self.shared.tables.index();
            for id in some.iter().copied().map(SeriesId) {
                // The dictionary is committed before the chunks, so an id without labels means that the dictionary has
                // lost some. Its samples are kept, under the metric that they were stored with.
                let labels = index.find_id(id).map(|number| &index.entry(number).labels);
                let lost = labels.is_none().then(|| self.shared.tables.damage.metric_of(id));
                let metric = labels.map_or(lost.as_deref().unwrap_or_default(), |labels| labels.metric());
                let known = metrics.get(metric).map(Arc::clone);
                let metric = known.unwrap_or_else(|| {
                    let new: Arc<str> = Arc::from(metric);
                    metrics.insert(Arc::clone(&new));
                    new
                });
                let retention = self.shared.retention();
                let times = labels.map_or(KeepTimes::default(), |labels| retention.times_of(labels.as_ref()));
                series.push(Named { metric, id, times });
            }
        }
        series.sort_unstable_by(|a, b| (&a.metric, a.id).cmp(&(&b.metric, b.id)));
        Ok(series)
    }

    fn block(&self, inputs: &[Arc<OpenFile>], block: &[Named], sinks: &mut Sinks<'_>) -> Result<(), StoreError> {
        let mut runs: Vec<Vec<Samples>> = vec![Vec::new(); block.len()];
        for file in inputs {
            sinks.samples_in += self.read(file, block, &mut runs)?;
        }
        for (named, runs) in block.iter().zip(runs) {
            let merged = histograms::merge_samples(runs);
            if self.rolls {
                self.roll(named, &merged.floats, sinks)?;
            }
            // Samples go only where their roll-ups were made in this very pass.
            if self.rolls && self.is_over(named.times.raw) {
                continue;
            }
            sinks.samples_out += merged.len() as u64;
            let mut rows = RowsByDay::default();
            rows.add_samples(&named.metric, named.id, &merged, ChunkSamples::COMPACTED);
            sinks.chunks.add(rows.0.into_values().flatten())?;
        }
        Ok(())
    }

    /// Decodes the block's chunks of one file, without what was deleted from them; answers how many samples it had.
    fn read(&self, file: &OpenFile, block: &[Named], runs: &mut [Vec<Samples>]) -> Result<u64, StoreError> {
        let keys = file.file.keys()?;
        let mut wanted: Vec<(u32, usize)> = Vec::new();
        for (at, named) in block.iter().enumerate() {
            wanted.extend(keys.rows_of(named.id.0).map(|row| (row, at)));
        }
        wanted.sort_unstable();
        let rows: Vec<u32> = wanted.iter().map(|&(row, _)| row).collect();
        let mut decoded: Vec<Samples> = vec![Samples::default(); block.len()];
        for (&(_, at), bytes) in wanted.iter().zip(file.file.fetch(&rows)?) {
            decode_either(&bytes, &mut decoded[at])
                .map_err(|why| lake::LakeError::Damaged { file: file.entry.path.clone(), why })?;
        }
        let mut samples = 0;
        for ((runs, mut decoded), named) in runs.iter_mut().zip(decoded).zip(block) {
            samples += decoded.len() as u64;
            let deleted = self.tombstones.ranges_of(&file.entry, named.id.0);
            tombstone::cut(&mut decoded.floats, 0, &deleted);
            tombstone::cut_histograms(&mut decoded.histograms, &deleted);
            if !decoded.is_empty() {
                runs.push(decoded);
            }
        }
        Ok(samples)
    }

    /// Writes the roll-ups of one series: made from its samples when they are all there, else as they were.
    fn roll(&self, named: &Named, samples: &Columns, sinks: &mut Sinks<'_>) -> Result<(), StoreError> {
        let keep = [named.times.rollup_5m, named.times.rollup_1h];
        for (i, resolution) in Resolution::ALL.into_iter().enumerate() {
            if self.is_over(keep[i]) {
                continue;
            }
            let mut rows = Vec::new();
            if !self.has_all_samples(named.id, &self.rollups[i])? {
                rows = self.rows_before(named.id, i, resolution)?;
            }
            if rows.is_empty() {
                rollup::roll(&named.metric, named.id.0, samples, resolution, &mut rows);
            }
            sinks.rollups[i].add(rows)?;
        }
        Ok(())
    }

    fn rows_before(&self, id: SeriesId, i: usize, resolution: Resolution) -> Result<Vec<RollupRow>, StoreError> {
        let mut rows = Vec::new();
        for file in &self.rollups[i] {
            let mut made = Vec::new();
            file.file.read(id.0, &mut made)?;
            rows.extend(
                made.into_iter().filter(|row| !rollup::is_deleted(&self.tombstones, &file.entry, row, resolution)),
            );
        }
        Ok(rows)
    }

    /// Whether the inputs reach back to what the roll-ups were made from and hold the series there. A series that expired
    /// and came back late has a few samples only, of which its old roll-ups must not be made again.
    fn has_all_samples(&self, id: SeriesId, made: &[Arc<OpenRollup>]) -> Result<bool, StoreError> {
        let (Some(made), Some(oldest)) = (made.first(), self.runs.first()) else { return Ok(true) };
        for file in oldest.files.iter().filter(|file| file.entry.lsn_lo <= made.entry.lsn_lo) {
            if !file.file.keys()?.rows_of(id.0).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_over(&self, keep: Keep) -> bool {
        let day_end = (self.day + 1).saturating_mul(DAY);
        self.shared.expiry_now().is_some_and(|now| keep.is_over(day_end, now))
    }

    /// Roll-ups first: they describe the inputs as well as the outputs, so a crash or failure between the commits harms
    /// nothing.
    fn finish(&self, inputs: &[Arc<OpenFile>], mut sinks: Sinks<'_>) -> Result<End, StoreError> {
        let (disk, state) = (&self.shared.disk, &self.shared.tables.state);
        let entries = sinks.chunks.files()?.into_iter();
        let new = entries.map(|entry| OpenFile::open(disk, entry)).collect::<Result<_, _>>()?;
        for (i, mut sink) in sinks.rollups.into_iter().enumerate().filter(|_| self.rolls) {
            let entries = sink.files()?.into_iter();
            let new = entries.map(|entry| OpenRollup::open(disk, entry)).collect::<Result<_, _>>()?;
            let old = self.rollups[i].clone();
            sink.commit(old.iter().map(|file| file.entry.path.clone()).collect(), "OVERWRITE")?;
            state.replace(Replacement::of_rollups(i, Swap { old, new }));
        }
        let kept_all = sinks.samples_in == sinks.samples_out;
        let removes = inputs.iter().map(|file| file.entry.path.clone()).collect();
        sinks.chunks.commit(removes, if kept_all { "OPTIMIZE" } else { "REPLACE" })?;
        state.replace(Replacement::of_chunks(Swap { old: inputs.to_vec(), new }));
        Ok(End::Done { samples_in: sinks.samples_in, samples_out: sinks.samples_out })
    }
}

/// Drops a whole day's files without reading them: nothing in them is kept any more.
pub(crate) fn drop_day(shared: &Shared, runs: &[Run], rollups: [Vec<Arc<OpenRollup>>; 2]) -> Result<(), StoreError> {
    let inputs: Vec<Arc<OpenFile>> = runs.iter().flat_map(|run| run.files.iter().map(Arc::clone)).collect();
    let paths = |files: &[Arc<OpenRollup>]| files.iter().map(|file| file.entry.path.clone()).collect::<Vec<_>>();
    let state = &shared.tables.state;
    for (i, old) in rollups.into_iter().enumerate().filter(|(_, files)| !files.is_empty()) {
        commit(shared, &shared.tables.rollups[i], Vec::new(), paths(&old), "DELETE")?;
        state.replace(Replacement::of_rollups(i, Swap { old, new: Vec::new() }));
    }
    if !inputs.is_empty() {
        let removes = inputs.iter().map(|file| file.entry.path.clone()).collect();
        commit(shared, &shared.tables.chunks, Vec::new(), removes, "DELETE")?;
        state.replace(Replacement::of_chunks(Swap { old: inputs, new: Vec::new() }));
    }
    Ok(())
}

/// How many of `series` make up the next block: at least one.
fn block_len(inputs: &[Arc<OpenFile>], series: &[Named]) -> Result<usize, StoreError> {
    let keys = inputs.iter().map(|file| file.file.keys()).collect::<Result<Vec<_>, _>>()?;
    let mut samples = 0_u64;
    for (n, named) in series.iter().enumerate() {
        for keys in &keys {
            samples += keys.rows_of(named.id.0).map(|row| u64::from(keys.count[row as usize])).sum::<u64>();
        }
        if samples >= BLOCK_SAMPLES {
            return Ok(n + 1);
        }
    }
    Ok(series.len())
}
