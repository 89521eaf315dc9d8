//! Deletions: samples that are gone for readers at once and from the files when their days are written again.
//!
//! ```text
//!   delete ─▶ flush up to log position L ─▶ tombstone { L, series, range } durable ─▶ seen by readers ─▶ answer
//!   file f is cut by tombstone t:  f.lsn_hi ≤ t.lsn  and  f.cleaned < t.number
//! ```
//!
//! A deletion flushes first, so everything it speaks of lies in files of positions up to L. What is written later, also for
//! the same series and times, has higher positions and is not touched; neither memory nor the log's replay need to know
//! about deletions. The flush lock is held meanwhile: a file that exists before the tombstone is seen is then of a position
//! up to L, so a compaction that did not see the tombstone writes a file that it still cuts.
//!
//! The list lies in one file, replaced as a whole, with a checksum. A damaged list stops the start: read as none, it would
//! bring deleted samples back.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use lake::FileEntry;
use serde::{Deserialize, Serialize};
use series::{Columns, HistogramSample, MatchOp, Matcher, TimeRange, Timestamp};
use wal::Storage;

use crate::error::StoreError;

const FILE: &str = "default/tombstones.json";
/// Deletions that may wait for compaction.
pub(crate) const TOMBSTONES_MAX: usize = 10_000;

/// One deletion.
#[derive(Debug, Clone)]
pub(crate) struct Tombstone {
    /// Rising by one a deletion; files carry the newest that was applied to them.
    pub(crate) number: u64,
    /// Samples of later log positions are not touched.
    pub(crate) lsn: u64,
    /// Samples of these times.
    pub(crate) range: TimeRange,
    /// Series that match all of any of these.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// Their identities, as far as they had samples.
    pub(crate) ids: Arc<BTreeSet<u64>>,
}

/// Every deletion that some file may still have to be cleaned of, by rising number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tombstones {
    pub(crate) list: Vec<Tombstone>,
    /// Number of the next deletion.
    pub(crate) next: u64,
}

impl Tombstone {
    /// Whether samples of `file` may be cut.
    pub(crate) fn cuts(&self, file: &FileEntry) -> bool {
        file.lsn_hi <= self.lsn && file.cleaned < self.number && self.overlaps(file.min_ts, file.max_ts)
    }

    /// Whether the closed span of times has a part in the deletion.
    pub(crate) fn overlaps(&self, first: i64, last: i64) -> bool {
        self.range.overlaps(Timestamp(first), Timestamp(last))
    }
}

impl Tombstones {
    /// The ranges in which samples of series `id` in `file` are gone.
    pub(crate) fn ranges_of(&self, file: &FileEntry, id: u64) -> Vec<TimeRange> {
        self.list.iter().filter(|one| one.cuts(file) && one.ids.contains(&id)).map(|one| one.range).collect()
    }

    /// Number of the newest deletion; 0 when there was none.
    pub(crate) fn newest(&self) -> u64 {
        self.next.saturating_sub(1)
    }
}

/// Takes the samples inside `ranges` out of `run[from..]`, which is sorted.
pub(crate) fn cut(run: &mut Columns, from: usize, ranges: &[TimeRange]) {
    for range in ranges {
        let tail = &run.timestamps[from..];
        let start = from + tail.partition_point(|&at| at < range.start.0);
        let end = (from + tail.partition_point(|&at| at < range.end.0)).max(start);
        run.timestamps.drain(start..end);
        run.values.drain(start..end);
    }
}

/// As [`cut`] for native histograms.
pub(crate) fn cut_histograms(run: &mut Vec<HistogramSample>, ranges: &[TimeRange]) {
    if !ranges.is_empty() {
        run.retain(|sample| !ranges.iter().any(|range| range.contains(sample.at)));
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    next: u64,
    deletions: Vec<Stored>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    number: u64,
    lsn: u64,
    start: i64,
    end: i64,
    /// Per selector: name, comparison, value.
    selectors: Vec<Vec<(String, String, String)>>,
}

/// Reads the list; `resolve` answers the identities of the series that a selector matches.
pub(crate) fn read(
    storage: &dyn Storage,
    resolve: impl Fn(&[Vec<Matcher>]) -> BTreeSet<u64>,
) -> Result<Tombstones, StoreError> {
    let bytes = match storage.read(FILE) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Tombstones { list: Vec::new(), next: 1 }),
        Err(source) => return Err(StoreError::Folder { path: FILE.into(), source }),
    };
    let damaged = |why: String| StoreError::Deletions { file: FILE.into(), why };
    let document = parse(&bytes).map_err(damaged)?;
    let mut list = Vec::with_capacity(document.deletions.len());
    for stored in document.deletions {
        let selectors = stored.selectors.into_iter().map(matchers).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let range = TimeRange::new(Timestamp(stored.start), Timestamp(stored.end));
        let ids = Arc::new(resolve(&selectors));
        list.push(Tombstone { number: stored.number, lsn: stored.lsn, range, selectors, ids });
    }
    Ok(Tombstones { list, next: document.next })
}

/// Replaces the list durably.
pub(crate) fn write(storage: &dyn Storage, tombstones: &Tombstones) -> Result<(), StoreError> {
    let fault = |source| StoreError::Folder { path: FILE.into(), source };
    let stored = |one: &Tombstone| Stored {
        number: one.number,
        lsn: one.lsn,
        start: one.range.start.0,
        end: one.range.end.0,
        selectors: one.selectors.iter().map(|all| all.iter().map(triple).collect()).collect(),
    };
    let document = Document { next: tombstones.next, deletions: tombstones.list.iter().map(stored).collect() };
    let mut bytes = serde_json::to_vec(&document).map_err(|err| fault(err.into()))?;
    bytes.extend_from_slice(format!("\n{:08x}\n", crc32c::crc32c(&bytes)).as_bytes());
    wal::replace_file(storage, FILE, &bytes).map_err(fault)
}

fn parse(bytes: &[u8]) -> Result<Document, String> {
    let text = bytes.strip_suffix(b"\n").ok_or("it has no end")?;
    let split = text.iter().rposition(|&byte| byte == b'\n').ok_or("it has no checksum")?;
    let (body, seal) = (&text[..split], &text[split + 1..]);
    let crc = format!("{:08x}", crc32c::crc32c(body));
    if crc.as_bytes() != seal {
        return Err(format!("its checksum is {crc}, it says {}", String::from_utf8_lossy(seal)));
    }
    serde_json::from_slice(body).map_err(|err| err.to_string())
}

fn triple(matcher: &Matcher) -> (String, String, String) {
    let op = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    (matcher.name.clone(), op.to_owned(), matcher.value.clone())
}

fn matchers(triples: Vec<(String, String, String)>) -> Result<Vec<Matcher>, String> {
    let one = |(name, op, value): (String, String, String)| {
        let op = match op.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            other => return Err(format!("comparison {other:?}")),
        };
        Matcher::new(name, op, value).map_err(|err| err.to_string())
    };
    triples.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(number: u64, lsn: u64) -> Tombstone {
        let range = TimeRange::new(Timestamp(10), Timestamp(20));
        let regex = Matcher::new("host", MatchOp::NotRegex, "a\"|b").expect("valid");
        let selectors = vec![vec![Matcher::equal("__name__", "up"), regex], vec![Matcher::equal("é", "")]];
        Tombstone { number, lsn, range, selectors, ids: Arc::new(BTreeSet::from([7])) }
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("default")).expect("made");
        let storage = wal::LocalStorage::open(folder.path()).expect("storage");
        let resolve = |selectors: &[Vec<Matcher>]| BTreeSet::from([selectors.len() as u64]);
        assert_eq!(read(&storage, resolve).expect("none yet").next, 1);
        let list = Tombstones { list: vec![deletion(3, 50), deletion(4, 60)], next: 5 };
        for _ in 0..2 {
            write(&storage, &list).expect("written");
            let back = read(&storage, resolve).expect("read");
            assert_eq!((back.next, back.list.len(), back.newest()), (5, 2, 4));
            assert_eq!((back.list[1].number, back.list[1].lsn, back.list[1].range), (4, 60, list.list[1].range));
            assert_eq!(back.list[0].selectors, list.list[0].selectors);
            assert_eq!(*back.list[0].ids, BTreeSet::from([2]));
        }
        let path = folder.path().join(FILE);
        let sound = std::fs::read(&path).expect("is there");
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("damaged");
            assert!(matches!(read(&storage, resolve), Err(StoreError::Deletions { .. })), "byte {at}");
        }
    }

    #[test]
    fn ranges_are_cut_out_of_a_run() {
        let range = |a, b| TimeRange::new(Timestamp(a), Timestamp(b));
        let mut run = Columns { timestamps: (0..10).collect(), values: (0..10).map(f64::from).collect() };
        cut(&mut run, 0, &[range(2, 4), range(3, 6), range(9, 100), range(5, 1)]);
        assert_eq!(run.timestamps, [0, 1, 6, 7, 8]);
        assert_eq!(run.values, [0.0, 1.0, 6.0, 7.0, 8.0]);
        cut(&mut run, 3, &[range(0, 8)]);
        assert_eq!(run.timestamps, [0, 1, 6, 8], "what stands before is of another file");
    }
}
