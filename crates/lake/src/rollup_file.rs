//! Roll-up files: one row a bucket of a series, in plain Parquet that any engine reads.
//!
//! Rows are sorted by (metric, series, bucket). A row group holds up to 32,768 rows and a data page 1,024; a read takes the
//! pages that hold the wanted rows. Every byte that is read is checked, as in chunk files.

mod write;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bytes::Bytes;
use object_store::ObjectStore;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy, RowSelector};

use crate::entry::FileEntry;
use crate::error::LakeError;
use crate::parquet_io::{Checked, CheckedFile};

pub use write::{RollupFileWriter, encode_rollup_file};

const PLACE: &str = "a roll-up file";
const GROUP_ROWS: usize = 32_768;
const PAGE_ROWS: usize = 1024;
const BATCH_ROWS: usize = 8192;

/// Columns with their Delta types, in file order.
pub(crate) const COLUMNS: [(&str, &str); 12] = [
    ("metric", "string"),
    ("series_id", "long"),
    ("ts", "long"),
    ("count", "integer"),
    ("numbers", "integer"),
    ("sum", "double"),
    ("min", "double"),
    ("max", "double"),
    ("first", "double"),
    ("last", "double"),
    ("increase", "double"),
    ("sketch", "binary"),
];

/// What the samples of one series in one bucket come to.
#[derive(Debug, Clone, PartialEq)]
pub struct RollupRow {
    /// The series' metric name.
    pub metric: Arc<str>,
    /// The series' identity.
    pub series_id: u64,
    /// Start of the bucket, milliseconds.
    pub ts: i64,
    /// Samples, stale markers and other NaN included.
    pub count: u32,
    /// Samples that are not NaN.
    pub numbers: u32,
    /// Compensated sum of the numbers.
    pub sum: f64,
    /// Smallest number; NaN when there is none.
    pub min: f64,
    /// Largest number; NaN when there is none.
    pub max: f64,
    /// First number; NaN when there is none.
    pub first: f64,
    /// Last number; NaN when there is none.
    pub last: f64,
    /// Rise of a counter up to the last number, from the number before it on the same day; a fall is a restart from zero.
    pub increase: f64,
    /// A quantile sketch of the finite numbers; empty when there is none.
    pub sketch: Bytes,
}

/// An open roll-up file with its footer in memory. Shared by reference between threads; holds no file handle.
pub struct RollupFile {
    file: CheckedFile,
    runs: Mutex<Option<Arc<[Run]>>>,
}

/// Rows of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    series_id: u64,
    start: u32,
    end: u32,
}

impl std::fmt::Debug for RollupFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RollupFile").field("file", &self.file.key()).finish()
    }
}

impl RollupFile {
    /// Reads and checks the footer.
    ///
    /// # Errors
    /// [`LakeError::Missing`], [`LakeError::Damaged`] or [`LakeError::Io`].
    pub fn open(store: Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<Self, LakeError> {
        let file = CheckedFile::open(store, entry)?;
        let rows = file.parquet().file_metadata().num_rows();
        if u64::try_from(rows) != Ok(entry.rows) {
            return Err(LakeError::damaged(file.key(), format!("{rows} rows, the commit says {}", entry.rows)));
        }
        Ok(Self { file, runs: Mutex::new(None) })
    }

    /// The object's key.
    pub fn key(&self) -> &str {
        self.file.key()
    }

    /// Identities of the series inside, rising.
    ///
    /// # Errors
    /// As [`RollupFile::open`].
    pub fn series(&self) -> Result<Vec<u64>, LakeError> {
        Ok(self.runs()?.iter().map(|run| run.series_id).collect())
    }

    /// Appends the rows of `series_id`, by rising bucket.
    ///
    /// # Errors
    /// As [`RollupFile::open`].
    pub fn read(&self, series_id: u64, out: &mut Vec<RollupRow>) -> Result<(), LakeError> {
        self.read_each(&[series_id], |_, rows| out.extend(rows))
    }

    /// Hands the rows of each of `series` that is here to `each`, in file order; neighbours are read together.
    ///
    /// # Errors
    /// As [`RollupFile::open`].
    pub fn read_each(&self, series: &[u64], mut each: impl FnMut(u64, Vec<RollupRow>)) -> Result<(), LakeError> {
        let runs = self.runs()?;
        let find = |id: &u64| runs.binary_search_by_key(id, |run| run.series_id).ok().map(|at| runs[at]);
        let mut wanted: Vec<Run> = series.iter().filter_map(find).collect();
        wanted.sort_unstable_by_key(|run| run.start);
        let mut rest = &wanted[..];
        while let Some(first) = rest.first() {
            let near = |n: &usize| {
                rest[*n].start <= rest[*n - 1].end + PAGE_ROWS as u32 && rest[*n].end - first.start <= GROUP_ROWS as u32
            };
            let n = (1..rest.len()).take_while(near).last().map_or(1, |last| last + 1);
            let (some, after) = rest.split_at(n);
            let mut rows = Vec::new();
            self.rows(first.start..some[n - 1].end, &mut rows)?;
            let (mut rows, mut at) = (rows.into_iter(), first.start);
            for run in some {
                let own = rows.by_ref().skip((run.start - at) as usize).take((run.end - run.start) as usize);
                each(run.series_id, own.collect());
                at = run.end;
            }
            rest = after;
        }
        Ok(())
    }

    /// Drops what is kept in memory of where each series lies; it is read again when needed.
    pub fn forget(&self) {
        *self.runs.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Reads every byte and compares every checksum.
    ///
    /// # Errors
    /// As [`RollupFile::open`].
    pub fn verify(&self) -> Result<(), LakeError> {
        self.file.verify()
    }

    fn runs(&self) -> Result<Arc<[Run]>, LakeError> {
        // Held while reading, so that threads that come at once read the column once.
        let mut slot = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = &*slot {
            return Ok(Arc::clone(runs));
        }
        let (mut runs, mut row) = (Vec::<Run>::new(), 0);
        for group in 0..self.file.parquet().num_row_groups() {
            let rows = 0..self.group_rows(group)?;
            self.scan(group, rows, &[1], |batch| {
                for &id in batch.column(0).as_primitive::<Int64Type>().values() {
                    match runs.last_mut() {
                        Some(run) if run.series_id == id as u64 => run.end = row + 1,
                        _ => runs.push(Run { series_id: id as u64, start: row, end: row + 1 }),
                    }
                    row += 1;
                }
            })?;
        }
        runs.sort_unstable_by_key(|run| run.series_id);
        let runs: Arc<[Run]> = Arc::from(runs);
        *slot = Some(Arc::clone(&runs));
        Ok(runs)
    }

    fn rows(&self, wanted: Range<u32>, out: &mut Vec<RollupRow>) -> Result<(), LakeError> {
        let (mut at, end) = (wanted.start as usize, wanted.end as usize);
        let columns: Vec<usize> = (0..COLUMNS.len()).collect();
        while at < end {
            let group = at / GROUP_ROWS;
            let first = group * GROUP_ROWS;
            let stop = end.min(first + GROUP_ROWS);
            self.scan(group, at - first..stop - first, &columns, |batch| {
                out.extend((0..batch.num_rows()).map(|i| decode_row(batch, i)));
            })?;
            at = stop;
        }
        Ok(())
    }

    fn group_rows(&self, group: usize) -> Result<usize, LakeError> {
        let missing = || LakeError::damaged(self.file.key(), format!("it has no row group {group}"));
        self.file.parquet().row_groups().get(group).map(|group| group.num_rows() as usize).ok_or_else(missing)
    }

    /// Hands the `rows` (counted in their row group) of `columns` to `each`, reading only the pages that hold them.
    fn scan(
        &self,
        group: usize,
        rows: Range<usize>,
        columns: &[usize],
        mut each: impl FnMut(&RecordBatch),
    ) -> Result<(), LakeError> {
        let fault = |why: &dyn std::fmt::Display| LakeError::damaged(self.file.key(), why);
        let in_group = self.group_rows(group)?;
        if rows.end > in_group {
            return Err(fault(&format!("row group {group} has {in_group} rows where {} are expected", rows.end)));
        }
        let pieces = self.file.read(self.pages(group, &rows, columns))?;
        let mask = ProjectionMask::leaves(self.file.metadata().parquet_schema(), columns.iter().copied());
        self.file.decode(|| {
            let source = Checked { pieces, size: u64::MAX };
            let selection = vec![
                RowSelector::skip(rows.start),
                RowSelector::select(rows.len()),
                RowSelector::skip(in_group - rows.end),
            ];
            // A mask would decode the rows between as well, whose pages were not read.
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, self.file.metadata().clone())
                .with_projection(mask)
                .with_row_groups(vec![group])
                .with_row_selection(RowSelection::from(selection))
                .with_row_selection_policy(RowSelectionPolicy::Selectors)
                .with_batch_size(BATCH_ROWS.min(rows.len().max(1)))
                .build()
                .map_err(|why| fault(&why))?;
            let mut got = 0;
            for batch in reader {
                let batch = batch.map_err(|why| fault(&why))?;
                got += batch.num_rows();
                each(&batch);
            }
            if got == rows.len() { Ok(()) } else { Err(fault(&format!("{got} rows instead of {}", rows.len()))) }
        })
    }

    /// Bytes of the pages that hold `rows`, dictionaries included.
    fn pages(&self, group: usize, rows: &Range<usize>, columns: &[usize]) -> Vec<Range<u64>> {
        let parquet = self.file.parquet();
        let mut ranges = Vec::with_capacity(columns.len() * 2);
        for &column in columns {
            let (start, len) = parquet.row_group(group).column(column).byte_range();
            let pages = parquet.offset_index().and_then(|index| index.get(group)?.get(column));
            let pages = pages.map_or(&[][..], |pages| pages.page_locations());
            let offset = |at: usize| pages.get(at).map_or(start + len, |page| page.offset as u64);
            let from = pages.partition_point(|page| page.first_row_index as usize <= rows.start).saturating_sub(1);
            let to = pages.partition_point(|page| (page.first_row_index as usize) < rows.end);
            ranges.extend([start..offset(0), offset(from)..offset(to)]);
        }
        ranges.retain(|range| range.start < range.end);
        ranges
    }
}

fn decode_row(batch: &RecordBatch, i: usize) -> RollupRow {
    let int = |at: usize| batch.column(at).as_primitive::<Int32Type>().value(i) as u32;
    let long = |at: usize| batch.column(at).as_primitive::<Int64Type>().value(i);
    let double = |at: usize| batch.column(at).as_primitive::<Float64Type>().value(i);
    RollupRow {
        metric: Arc::from(batch.column(0).as_string::<i32>().value(i)),
        series_id: long(1) as u64,
        ts: long(2),
        count: int(3),
        numbers: int(4),
        sum: double(5),
        min: double(6),
        max: double(7),
        first: double(8),
        last: double(9),
        increase: double(10),
        sketch: Bytes::copy_from_slice(batch.column(11).as_binary::<i32>().value(i)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::wait;
    use crate::{Table, TableKind};
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload};

    fn rows(n_series: u64, buckets: i64) -> Vec<RollupRow> {
        let row = |id: u64, ts: i64| RollupRow {
            metric: Arc::from(if id < n_series / 2 { "a" } else { "b" }),
            series_id: u64::MAX - n_series + id,
            ts: ts * 300_000,
            count: 20,
            numbers: 19,
            sum: ts as f64,
            min: -0.0,
            max: f64::INFINITY,
            first: 1.5,
            last: 2.5,
            increase: 1.0,
            sketch: Bytes::from(vec![ts as u8; (ts % 5) as usize]),
        };
        (0..n_series).flat_map(|id| (0..buckets).map(move |ts| row(id, ts))).collect()
    }

    #[test]
    fn the_rows_of_a_series_come_back_and_damage_is_found() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let table = Table::open_or_create(Arc::clone(&store), "t/rollup_5m", TableKind::Rollup).expect("created");
        // Two row groups, so that a series crosses their border.
        let all = rows(150, 288);
        assert!(all.len() > GROUP_ROWS);
        let file = encode_rollup_file(&all).expect("encodes");
        let entry = table.put_file(Some("1970-01-01"), 2, 0, 7, file, 1, 2).expect("written");
        let file = RollupFile::open(Arc::clone(&store), &entry).expect("opens");
        assert_eq!(file.series().expect("read").len(), 150);
        for i in [0_u64, 113, 114, 149] {
            let mut out = Vec::new();
            file.read(u64::MAX - 150 + i, &mut out).expect("read");
            assert_eq!(out, all[i as usize * 288..(i as usize + 1) * 288]);
        }
        let ids: Vec<u64> = [149, 3, 4, 0, 90].map(|i| u64::MAX - 150 + i).into();
        let mut seen = Vec::new();
        let each = |id: u64, rows: Vec<RollupRow>| {
            let i = (id - (u64::MAX - 150)) as usize;
            assert_eq!(rows, all[i * 288..(i + 1) * 288]);
            seen.push(i);
        };
        file.read_each(&ids, each).expect("read");
        assert_eq!(seen, [0, 3, 4, 90, 149]);
        let mut none = Vec::new();
        file.read(1, &mut none).expect("read");
        assert!(none.is_empty());
        file.verify().expect("sound");

        let path = Path::from(entry.key());
        let mut bytes = wait(async { store.get(&path).await?.bytes().await }).expect("is there").to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        wait(store.put(&path, PutPayload::from(bytes))).expect("written");
        assert!(matches!(file.verify(), Err(LakeError::Damaged { .. })));
    }

    #[test]
    fn rows_out_of_order_and_no_rows_are_refused() {
        assert!(matches!(encode_rollup_file(&[]), Err(LakeError::Invalid { .. })));
        let mut two = rows(1, 2);
        two.swap(0, 1);
        assert!(matches!(encode_rollup_file(&two), Err(LakeError::Invalid { .. })));
    }
}
