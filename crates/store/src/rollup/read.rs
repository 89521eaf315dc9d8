//! Selecting roll-ups: rows from files where a day's file is fresh, made from samples where it is not.
//!
//! A day is fresh when its roll-up file was made from all of the day's chunk files that there are, with every deletion
//! that touches the day applied, and no sample of the day is in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use lake::{FileEntry, LakeError, RollupFile, RollupRow};
use object_store::ObjectStore;
use series::{
    Columns, Labels, METRIC_NAME, MatchOp, Matcher, Resolution, Rollup, RollupSet, SelectError, SelectRequest,
    SeriesId, SeriesOrder, SeriesSet, TimeRange, Timestamp,
};

use super::roll;
use crate::rows::DAY;
use crate::set::Selection;
use crate::state::{FileGuard, Layers, OpenFile};
use crate::tables::{Tables, lake_fault};
use crate::tombstone::Tombstones;

/// A committed roll-up file. Once replaced it is deleted when its last reader lets go.
pub(crate) struct OpenRollup {
    pub(crate) entry: FileEntry,
    pub(crate) file: RollupFile,
    pub(crate) guard: FileGuard,
}

impl OpenRollup {
    pub(crate) fn open(disk: &Arc<dyn ObjectStore>, entry: FileEntry) -> Result<Arc<Self>, LakeError> {
        let file = RollupFile::open(Arc::clone(disk), &entry)?;
        let guard = FileGuard::new(disk, &entry);
        Ok(Arc::new(Self { entry, file, guard }))
    }

    /// Number of the UTC day.
    pub(crate) fn day(&self) -> i64 {
        self.entry.min_ts.div_euclid(DAY)
    }
}

/// The roll-ups of one day.
struct Day {
    files: Vec<Arc<OpenRollup>>,
    fresh: bool,
    /// The oldest chunk files of the day when they reach back to what the roll-ups were made from: a series that is in
    /// them has all of its samples.
    base: Vec<Arc<OpenFile>>,
}

/// Selected series with their roll-ups.
struct RollupSelection {
    resolution: Resolution,
    range: TimeRange,
    /// Sorted by labels.
    series: Vec<(Labels, SeriesId)>,
    /// Samples of the days that are not fresh, and the place of each series in them.
    samples: Selection,
    places: Vec<Option<usize>>,
    sample_range: TimeRange,
    days: BTreeMap<i64, Day>,
    tombstones: Arc<Tombstones>,
}

/// See [`series::Select::rollups`].
pub(crate) fn select(
    tables: &Tables,
    resolution: Resolution,
    request: &SelectRequest<'_>,
) -> Result<Box<dyn RollupSet>, SelectError> {
    let layers = tables.state.layers();
    if let Some(lacking) = tables.damage.lacking_rollups(request.matchers, request.range).into_iter().next() {
        return Err(lacking);
    }
    let days = days(&layers, resolution, request);
    let sample_range = stale_range(&layers, &days, resolution, request.range);
    let samples = tables.select_in(
        &layers,
        &SelectRequest { range: sample_range, order: SeriesOrder::Labels, ..*request },
        None,
    )?;
    let mut series = tables.named(request.matchers);
    if request.series_max > 0 && series.len() > request.series_max {
        return Err(SelectError::TooManySeries { found: series.len(), limit: request.series_max });
    }
    series.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let places: Vec<Option<usize>> = series.iter().map(|(labels, _)| samples.place(labels)).collect();
    let (range, tombstones) = (request.range, layers.tombstones);
    let mut selection = RollupSelection { resolution, range, series, samples, places, sample_range, days, tombstones };
    selection.drop_absent()?;
    Ok(Box::new(selection))
}

fn days(layers: &Layers, resolution: Resolution, request: &SelectRequest<'_>) -> BTreeMap<i64, Day> {
    let at = Resolution::ALL.iter().position(|one| *one == resolution).unwrap_or(0);
    let mut days: BTreeMap<i64, Day> = BTreeMap::new();
    for file in &layers.rollups[at] {
        let day = file.day();
        if overlaps(day, request.range) && may_hold(&file.entry, request.matchers) {
            let made = days.entry(day).or_insert_with(|| Day { files: Vec::new(), fresh: true, base: Vec::new() });
            made.files.push(Arc::clone(file));
        }
    }
    for (day, made) in &mut days {
        made.judge(*day, layers);
    }
    days
}

impl Day {
    fn judge(&mut self, day: i64, layers: &Layers) {
        let (first, last) = (day.saturating_mul(DAY), day.saturating_mul(DAY).saturating_add(DAY - 1));
        let span = TimeRange::new(Timestamp(first), Timestamp(last + 1));
        let Some(made) = self.files.first().map(|file| &file.entry) else { return };
        let chunks: Vec<_> = layers.files.iter().filter(|file| file.entry.min_ts.div_euclid(DAY) == day).collect();
        let newer = chunks.iter().any(|file| file.entry.lsn_hi > made.lsn_hi);
        let deleted = layers.tombstones.list.iter().any(|one| made.cleaned < one.number && one.overlaps(first, last));
        let in_memory = layers.frozen.iter().chain([&layers.active]).any(|table| table.overlaps(span));
        self.fresh = !newer && !deleted && !in_memory;
        let oldest = chunks.iter().map(|file| file.entry.lsn_lo).min().unwrap_or(u64::MAX);
        let lsn_lo = made.lsn_lo;
        let reaches_back = |file: &&&Arc<OpenFile>| file.entry.lsn_lo == oldest && oldest <= lsn_lo;
        self.base = chunks.iter().filter(reaches_back).map(|file| Arc::clone(file)).collect();
    }
}

/// Whether a file may have rows of the metric that is asked for; files without are as good as not there.
fn may_hold(entry: &FileEntry, matchers: &[Matcher]) -> bool {
    let named = |matcher: &&Matcher| matcher.name == METRIC_NAME && matcher.op == MatchOp::Equal;
    matchers.iter().filter(named).all(|matcher| entry.may_hold(&matcher.value))
}

fn overlaps(day: i64, range: TimeRange) -> bool {
    range.overlaps(Timestamp(day.saturating_mul(DAY)), Timestamp(day.saturating_mul(DAY).saturating_add(DAY - 1)))
}

/// Whole days that hold every bucket that begins in `range` and is not in fresh roll-ups.
fn stale_range(layers: &Layers, days: &BTreeMap<i64, Day>, resolution: Resolution, range: TimeRange) -> TimeRange {
    let fresh = |at: i64| days.get(&at.div_euclid(DAY)).is_some_and(|day| day.fresh);
    let spans = layers.files.iter().map(|file| (file.entry.min_ts, file.entry.max_ts));
    let memory = layers.frozen.iter().chain([&layers.active]).filter_map(|table| table.span());
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    for (from, to) in spans.filter(|(from, _)| !fresh(*from)).chain(memory) {
        (first, last) = (first.min(from), last.max(to));
    }
    let whole = |at: i64| at.div_euclid(DAY).saturating_mul(DAY);
    if first > last {
        return TimeRange::new(Timestamp(0), Timestamp(0));
    }
    // A bucket that begins in the range may have all of its samples after the range's end.
    let bucket = |at: i64| at.div_euclid(resolution.millis()).saturating_mul(resolution.millis());
    let start = bucket(first).max(range.start.0);
    let end = bucket(last).min(range.end.0.saturating_sub(1));
    if start > end {
        return TimeRange::new(Timestamp(0), Timestamp(0));
    }
    TimeRange::new(Timestamp(whole(start)), Timestamp(whole(end).saturating_add(DAY)))
}

impl RollupSelection {
    /// Keeps the series that have samples or rows: most series of an index are elsewhere in time.
    fn drop_absent(&mut self) -> Result<(), SelectError> {
        let mut stored = BTreeSet::new();
        for file in self.days.values().flat_map(|day| &day.files) {
            stored.extend(file.file.series().map_err(|err| lake_fault(&file.entry, &err))?);
        }
        let keep: Vec<bool> = (self.series.iter().zip(&self.places))
            .map(|((_, id), place)| place.is_some() || stored.contains(&id.0))
            .collect();
        let mut kept = keep.iter();
        self.series.retain(|_| *kept.next().unwrap_or(&false));
        let mut kept = keep.iter();
        self.places.retain(|_| *kept.next().unwrap_or(&false));
        Ok(())
    }

    fn stored(&self, day: &Day, id: SeriesId, out: &mut Vec<Rollup>) -> Result<(), SelectError> {
        for file in &day.files {
            let read = file.file.read_each(&[id.0], |_, rows| out.extend(self.shown(file, rows)));
            read.map_err(|err| lake_fault(&file.entry, &err))?;
        }
        Ok(())
    }

    /// The rows of a file that are asked for and not deleted.
    fn shown(&self, file: &OpenRollup, rows: Vec<RollupRow>) -> Vec<Rollup> {
        let inside = |row: &RollupRow| {
            let asked = self.range.contains(Timestamp(row.ts));
            asked && !is_deleted(&self.tombstones, &file.entry, row, self.resolution)
        };
        rows.into_iter().filter(inside).map(rollup).collect()
    }

    /// The buckets of series `i` on days that are not fresh.
    fn unsettled(&self, i: usize, out: &mut Vec<Rollup>) -> Result<(), SelectError> {
        let (labels, id) = &self.series[i];
        let mut samples = Columns::default();
        if let Some(place) = self.places[i] {
            self.samples.read(place, self.sample_range, &mut samples)?;
        }
        let mut by_day: BTreeMap<i64, Columns> = BTreeMap::new();
        for (at, value) in samples.iter() {
            by_day.entry(at.0.div_euclid(DAY)).or_default().push(at, value);
        }
        let all: BTreeSet<i64> = by_day.keys().chain(self.days.keys()).copied().collect();
        for number in all {
            let day = self.days.get(&number);
            if day.is_some_and(|day| day.fresh) {
                continue;
            }
            let before = out.len();
            let whole = match (day, by_day.contains_key(&number)) {
                (Some(day), true) => day.is_whole(*id)?,
                (_, there) => there,
            };
            if let Some(day) = day.filter(|_| !whole) {
                self.stored(day, *id, out)?;
            }
            if let Some(samples) = by_day.get(&number).filter(|_| out.len() == before) {
                self.made(labels, *id, samples, out);
            }
        }
        Ok(())
    }

    fn made(&self, labels: &Labels, id: SeriesId, samples: &Columns, out: &mut Vec<Rollup>) {
        let mut rows: Vec<RollupRow> = Vec::new();
        roll(&Arc::from(labels.metric()), id.0, samples, self.resolution, &mut rows);
        out.extend(rows.into_iter().filter(|row| self.range.contains(Timestamp(row.ts))).map(rollup));
    }
}

impl Day {
    /// Whether the day's samples of a series, as far as they are still there, are all that ever were.
    fn is_whole(&self, id: SeriesId) -> Result<bool, SelectError> {
        for file in &self.base {
            let keys = file.file.keys().map_err(|err| lake_fault(&file.entry, &err))?;
            if !keys.rows_of(id.0).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl RollupSet for RollupSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.series[i].0
    }

    fn scan(&self, some: Range<usize>, each: &mut dyn FnMut(usize, Vec<Rollup>) -> bool) -> Result<(), SelectError> {
        let places: HashMap<u64, usize> = some.clone().map(|i| (self.series[i].1.0, i)).collect();
        let ids: Vec<u64> = places.keys().copied().collect();
        for file in self.days.values().filter(|day| day.fresh).flat_map(|day| &day.files) {
            let mut more = true;
            let read = file.file.read_each(&ids, |id, rows| {
                let rows = self.shown(file, rows);
                if let Some(&i) = places.get(&id).filter(|_| more && !rows.is_empty()) {
                    more = each(i, rows);
                }
            });
            read.map_err(|err| lake_fault(&file.entry, &err))?;
            if !more {
                return Ok(());
            }
        }
        for i in some {
            let mut rows = Vec::new();
            self.unsettled(i, &mut rows)?;
            if !rows.is_empty() && !each(i, rows) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a deletion reaches into the row's bucket. Without its samples a bucket cannot be made again, so it goes as a whole.
pub(crate) fn is_deleted(tombstones: &Tombstones, made: &FileEntry, row: &RollupRow, resolution: Resolution) -> bool {
    let last = row.ts.saturating_add(resolution.millis() - 1);
    let mut newer = tombstones.list.iter().filter(|one| made.cleaned < one.number);
    newer.any(|one| one.overlaps(row.ts, last) && one.ids.contains(&row.series_id))
}

fn rollup(row: RollupRow) -> Rollup {
    Rollup {
        ts: row.ts,
        count: row.count,
        numbers: row.numbers,
        sum: row.sum,
        min: row.min,
        max: row.max,
        first: row.first,
        last: row.last,
        increase: row.increase,
        sketch: row.sketch.to_vec(),
    }
}
