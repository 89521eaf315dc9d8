//! What of the store cannot be read: files put aside, and chunks whose series nobody knows.
//!
//! ```text
//!   checksum fails, file gone ─▶ renamed to quarantine/, out of the layers ─▶ queries over its span fail with its name
//!   chunk of an unknown series ─▶ stays where it is; found again as soon as the series is (its sender, the log)
//! ```
//!
//! A query that may touch either is refused, unless its sender asked for what can be read: then it is told what lacks.
//! The commit log still names a file that was put aside, so nothing forgets it; moved back into place (or restored from
//! a backup) it is read again at the next start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lake::{ChunkKeys, FileEntry, LakeError};
use object_store::ObjectStore;
use series::{METRIC_NAME, MatchOp, Matcher, SelectError, SeriesId, TimeRange, Timestamp};
use wal::Storage;

use crate::index::SeriesIndex;
use crate::state::OpenFile;

/// Folder of files that were put aside, inside the data folder; below it their own paths.
pub(crate) const QUARANTINE: &str = "quarantine";

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its key, such as `default/chunks/date=2026-11-21/….parquet`.
    pub file: String,
    /// What is wrong.
    pub why: String,
    /// Where it was put, inside the data folder; `None` when it is missing or could not be moved.
    pub moved_to: Option<String>,
    /// Times its samples have.
    pub range: TimeRange,
    /// Its samples; 0 for a file of the series table.
    pub samples: u64,
}

/// Everything that cannot be read.
pub(crate) struct Damage {
    storage: Arc<dyn Storage>,
    files: RwLock<Vec<Hole>>,
    /// By series: where its chunks are.
    unknown: RwLock<BTreeMap<u64, Unknown>>,
    /// Entries of both, so that the healthy case takes no lock.
    known: AtomicUsize,
}

/// Which table a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Chunks,
    /// What it described shows as unknown series, so it stands in nobody's way itself.
    Series,
    /// Stands in the way of queries over roll-ups.
    Rollups,
}

struct Hole {
    about: DamagedFile,
    metric_min: String,
    metric_max: String,
    part: Part,
}

/// Chunks of a series that the series table lacks.
struct Unknown {
    metric: Arc<str>,
    min_ts: i64,
    max_ts: i64,
    file: String,
}

impl Damage {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, files: RwLock::default(), unknown: RwLock::default(), known: AtomicUsize::new(0) }
    }

    /// Opens a chunk file with its keys; one that cannot be read is put aside and noted.
    pub(crate) fn open_file(
        &self,
        disk: &Arc<dyn ObjectStore>,
        entry: &FileEntry,
    ) -> Option<(Arc<OpenFile>, Arc<ChunkKeys>)> {
        let opened = OpenFile::open(disk, entry.clone()).and_then(|file| {
            let keys = file.file.keys()?;
            Ok((file, keys))
        });
        opened.inspect_err(|err| self.put_aside(entry, err, Part::Chunks)).ok()
    }

    /// Notes a file that cannot be read, and moves it to the quarantine unless it is only out of reach.
    pub(crate) fn put_aside(&self, entry: &FileEntry, err: &LakeError, part: Part) {
        let file = entry.key();
        let target = format!("{QUARANTINE}/{file}");
        let moved_to = match err {
            LakeError::Missing { .. } => self.storage.len(&target).is_ok().then(|| target.clone()),
            LakeError::Io { .. } => None,
            // What lies in the second store is not ours to rename.
            _ if entry.is_far() => None,
            _ => self.rename(&file, &target),
        };
        let why = match (err, &moved_to) {
            (LakeError::Missing { .. }, Some(_)) => "it was put into quarantine at an earlier time".to_owned(),
            (LakeError::Missing { .. }, None) => "it is missing".to_owned(),
            (LakeError::Damaged { why, .. }, _) => why.clone(),
            (err, _) => err.to_string(),
        };
        tracing::error!(
            file,
            why,
            moved_to,
            samples = entry.samples,
            "a file cannot be read; queries over its time are refused"
        );
        let range = TimeRange::new(Timestamp(entry.min_ts), Timestamp(entry.max_ts.saturating_add(1)));
        let hole = Hole {
            about: DamagedFile { file, why, moved_to, range, samples: entry.samples },
            metric_min: entry.metric_min.clone(),
            metric_max: entry.metric_max.clone(),
            part,
        };
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.iter().all(|known| known.about.file != hole.about.file) {
            files.push(hole);
            self.known.fetch_add(1, Ordering::Release);
        }
    }

    fn rename(&self, file: &str, target: &str) -> Option<String> {
        let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
        let moved = self.storage.create_dir_all(&folder(target)).and_then(|()| {
            self.storage.rename(file, target)?;
            self.storage.sync_dir(&folder(target))?;
            self.storage.sync_dir(&folder(file))
        });
        match moved {
            Ok(()) => Some(target.to_owned()),
            Err(err) => {
                tracing::warn!(file, %err, "the file could not be put aside; it stays where it is");
                None
            }
        }
    }

    /// Widens the series of an opened file to its chunks, and notes those that the index does not know.
    pub(crate) fn introduce(&self, file: &OpenFile, keys: &ChunkKeys, index: &SeriesIndex) {
        let mut lost = Vec::new();
        for (row, &id) in keys.series_id.iter().enumerate() {
            match index.find_id(SeriesId(id)) {
                Some(number) => index.entry(number).widen(keys.min_ts[row], keys.max_ts[row]),
                None => lost.push((row, id)),
            }
        }
        if lost.is_empty() {
            return;
        }
        let metrics = file.file.metrics().unwrap_or_default();
        let metric_of = |row: usize| {
            let of = metrics.iter().find(|(_, rows)| rows.contains(&(row as u32)));
            of.map_or_else(|| Arc::from(""), |(metric, _)| Arc::clone(metric))
        };
        let mut unknown = self.unknown.write().unwrap_or_else(PoisonError::into_inner);
        let before = unknown.len();
        for (row, id) in lost {
            let (min_ts, max_ts) = (keys.min_ts[row], keys.max_ts[row]);
            let about = unknown.entry(id).or_insert_with(|| Unknown {
                metric: metric_of(row),
                min_ts,
                max_ts,
                file: file.entry.key(),
            });
            (about.min_ts, about.max_ts) = (about.min_ts.min(min_ts), about.max_ts.max(max_ts));
        }
        self.known.fetch_add(unknown.len() - before, Ordering::Release);
        tracing::error!(
            file = file.entry.key(),
            series = unknown.len(),
            "chunks of series that the series table lacks"
        );
    }

    /// Series that became known since get their span back.
    pub(crate) fn find_again(&self, index: &SeriesIndex) {
        if self.is_none() {
            return;
        }
        let mut unknown = self.unknown.write().unwrap_or_else(PoisonError::into_inner);
        let before = unknown.len();
        unknown.retain(|&id, about| match index.find_id(SeriesId(id)) {
            Some(number) => {
                index.entry(number).widen(about.min_ts, about.max_ts);
                false
            }
            None => true,
        });
        self.known.fetch_sub(before - unknown.len(), Ordering::Release);
    }

    /// What a query with these conditions may lack.
    pub(crate) fn lacking(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SelectError> {
        if self.is_none() {
            return Vec::new();
        }
        let on_name: Vec<&Matcher> = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).collect();
        let mut lacking = self.lacking_files(Part::Chunks, &on_name, range);
        let overlaps = |first: i64, last: i64| first < range.end.0 && range.start.0 <= last;
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
        let touched = unknown.iter().filter(|(_, about)| {
            overlaps(about.min_ts, about.max_ts) && on_name.iter().all(|matcher| matcher.matches(&about.metric))
        });
        let touched: Vec<_> = touched.collect();
        if let Some((id, about)) = touched.first() {
            let why = format!(
                "{} series in it are not in the series table (first {id:016x}, metric {:?}); they come back when their senders send again",
                touched.len(),
                about.metric
            );
            lacking.push(SelectError::Damaged { file: about.file.clone(), why });
        }
        lacking
    }

    /// What a query over roll-ups with these conditions may lack.
    pub(crate) fn lacking_rollups(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SelectError> {
        if self.is_none() {
            return Vec::new();
        }
        let on_name: Vec<&Matcher> = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).collect();
        self.lacking_files(Part::Rollups, &on_name, range)
    }

    fn lacking_files(&self, part: Part, on_name: &[&Matcher], range: TimeRange) -> Vec<SelectError> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let touches = |hole: &&Hole| {
            let outside = |matcher: &&Matcher| {
                matcher.op == MatchOp::Equal && (matcher.value < hole.metric_min || matcher.value > hole.metric_max)
            };
            let span = hole.about.range;
            let overlaps = span.start.0 < range.end.0 && range.start.0 < span.end.0;
            hole.part == part && overlaps && !on_name.iter().any(outside)
        };
        let of = |hole: &Hole| SelectError::Damaged { file: hole.about.file.clone(), why: hole.about.why.clone() };
        files.iter().filter(touches).map(of).collect()
    }

    /// The metric of a series that the series table lacks; empty when not even that is known.
    pub(crate) fn metric_of(&self, id: SeriesId) -> Arc<str> {
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
        unknown.get(&id.0).map_or_else(|| Arc::from(""), |about| Arc::clone(&about.metric))
    }

    /// Files that cannot be read, in the order in which they were found.
    pub(crate) fn files(&self) -> Vec<DamagedFile> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.iter().map(|hole| hole.about.clone()).collect()
    }

    /// Series whose labels are lost.
    pub(crate) fn unknown_series(&self) -> u64 {
        self.unknown.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn is_none(&self) -> bool {
        self.known.load(Ordering::Acquire) == 0
    }
}
