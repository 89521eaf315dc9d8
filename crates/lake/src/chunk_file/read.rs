//! An open chunk file.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bytes::Bytes;
use object_store::ObjectStore;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy, RowSelector};
use parquet::file::page_index::offset_index::PageLocation;

use super::{ChunkKeys, column};
use crate::entry::FileEntry;
use crate::error::LakeError;
use crate::parquet_io::{Checked, CheckedFile};
use crate::row::ChunkAggregates;

/// Rows that are decoded at once: keeps a batch of the longest blobs (512 KiB each) inside arrow's 2 GiB.
const BATCH_ROWS: usize = 1024;

/// The two blobs of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkBytes {
    /// For [`codec::decode_samples`].
    pub ts: Bytes,
    /// For [`codec::decode_samples`].
    pub values: Bytes,
}

/// A metric's name and its rows, which are neighbours.
pub type MetricRows = (Arc<str>, Range<u32>);

/// A chunk file with its footer in memory. Shared by reference between threads; holds no file handle.
pub struct ChunkFile {
    file: CheckedFile,
    rows: u32,
    keys: Mutex<Option<Arc<ChunkKeys>>>,
}

impl std::fmt::Debug for ChunkFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkFile").field("file", &self.file.key()).field("rows", &self.rows).finish()
    }
}

impl ChunkFile {
    /// Reads and checks the footer.
    ///
    /// # Errors
    /// [`LakeError::Missing`], [`LakeError::Damaged`] or [`LakeError::Io`].
    pub fn open(store: Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<Self, LakeError> {
        let file = CheckedFile::open(store, entry)?;
        let rows = u32::try_from(file.parquet().file_metadata().num_rows())
            .map_err(|_| LakeError::damaged(file.key(), "more than 2^32 rows"))?;
        if u64::from(rows) != entry.rows {
            return Err(LakeError::damaged(file.key(), format!("{rows} rows, the commit says {}", entry.rows)));
        }
        Ok(Self { file, rows, keys: Mutex::new(None) })
    }

    /// The object's key.
    pub fn key(&self) -> &str {
        self.file.key()
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The key columns; read once, then kept until [`ChunkFile::forget_keys`].
    ///
    /// # Errors
    /// As [`ChunkFile::open`].
    pub fn keys(&self) -> Result<Arc<ChunkKeys>, LakeError> {
        // Held while reading, so that threads that come at once read the columns once.
        let mut slot = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*slot {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.read_keys()?);
        *slot = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// Drops the cached key columns.
    pub fn forget_keys(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Bytes of memory held: footer, page index and cached keys.
    pub fn memory_bytes(&self) -> usize {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.parquet().memory_size() + keys.as_ref().map_or(0, |keys| keys.memory_bytes())
    }

    /// The blobs of `rows` (strictly rising), in that order, in one pass over the pages that hold them.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] for rows that do not rise or do not exist; else as [`ChunkFile::open`].
    pub fn fetch(&self, rows: &[u32]) -> Result<Vec<ChunkBytes>, LakeError> {
        let mut chunks = Vec::with_capacity(rows.len());
        self.scan(&[column::TS_CHUNK, column::VALUE_CHUNK], Some(rows), |batch| {
            let (ts, values) = (blobs(batch.column(0)), blobs(batch.column(1)));
            chunks.extend(ts.zip(values).map(|(ts, values)| ChunkBytes { ts, values }));
        })?;
        Ok(chunks)
    }

    /// The aggregates of `rows` (strictly rising), in that order.
    ///
    /// # Errors
    /// As [`ChunkFile::fetch`].
    pub fn aggregates(&self, rows: &[u32]) -> Result<Vec<ChunkAggregates>, LakeError> {
        const COLUMNS: [&str; 8] = [
            column::COUNT,
            column::NUMBERS,
            column::SUM,
            column::MIN,
            column::MAX,
            column::FIRST,
            column::LAST,
            column::INCREASE,
        ];
        let mut all: Vec<Option<ChunkAggregates>> = Vec::with_capacity(rows.len());
        self.scan(&COLUMNS, Some(rows), |batch| {
            let int = |at: usize, i: usize| batch.column(at).as_primitive::<Int32Type>().value(i) as u32;
            let double = |at: usize, i: usize| batch.column(at).as_primitive::<Float64Type>().value(i);
            all.extend((0..batch.num_rows()).map(|i| {
                let aggregates = ChunkAggregates {
                    count: int(0, i),
                    numbers: int(1, i),
                    sum: double(2, i),
                    min: double(3, i),
                    max: double(4, i),
                    first: double(5, i),
                    last: double(6, i),
                    increase: double(7, i),
                };
                batch.column(1).is_valid(i).then_some(aggregates)
            }));
        })?;
        self.aggregate_short(rows, &mut all)?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Fills in what short chunks are stored without, from their samples.
    fn aggregate_short(&self, rows: &[u32], all: &mut [Option<ChunkAggregates>]) -> Result<(), LakeError> {
        let missing: Vec<usize> = (0..all.len()).filter(|&i| all[i].is_none()).collect();
        let short: Vec<u32> = missing.iter().map(|&i| rows[i]).collect();
        let mut values = Vec::new();
        for (i, chunk) in missing.into_iter().zip(self.fetch(&short)?) {
            values.clear();
            if codec::is_histograms(&chunk.values) {
                // No number speaks for a histogram.
                let count = self.keys()?.count[rows[i] as usize];
                all[i] = Some(ChunkAggregates { count, ..ChunkAggregates::of(&[]) });
                continue;
            }
            codec::decode_values(&chunk.values, &mut values)
                .map_err(|why| LakeError::damaged(self.file.key(), format!("values of row {}: {why}", rows[i])))?;
            all[i] = Some(ChunkAggregates::of(&values));
        }
        Ok(())
    }

    /// Metric names of the rows as runs `(name, rows)`, in file order.
    ///
    /// # Errors
    /// As [`ChunkFile::open`].
    pub fn metrics(&self) -> Result<Vec<MetricRows>, LakeError> {
        let mut runs: Vec<MetricRows> = Vec::new();
        let mut row = 0;
        self.scan(&[column::METRIC], None, |batch| {
            for name in batch.column(0).as_string::<i32>().iter() {
                let name = name.unwrap_or_default();
                match runs.last_mut() {
                    Some((last, rows)) if &**last == name => rows.end = row + 1,
                    _ => runs.push((Arc::from(name), row..row + 1)),
                }
                row += 1;
            }
        })?;
        Ok(runs)
    }

    /// Reads every byte and compares every checksum.
    ///
    /// # Errors
    /// As [`ChunkFile::open`].
    pub fn verify(&self) -> Result<(), LakeError> {
        self.file.verify()
    }

    fn read_keys(&self) -> Result<ChunkKeys, LakeError> {
        let n = self.rows as usize;
        let (mut ids, mut first, mut last) = (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
        let mut count = Vec::with_capacity(n);
        self.scan(&[column::SERIES_ID, column::MIN_TS, column::MAX_TS, column::COUNT], None, |batch| {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().map(|&id| id as u64));
            first.extend_from_slice(batch.column(1).as_primitive::<Int64Type>().values());
            last.extend_from_slice(batch.column(2).as_primitive::<Int64Type>().values());
            count.extend(batch.column(3).as_primitive::<Int32Type>().values().iter().map(|&count| count as u32));
        })?;
        Ok(ChunkKeys::new(ids, first, last, count))
    }

    /// Hands `names` of `rows` (of all rows when `None`) to `each`, batch by batch, columns in the order of `names`,
    /// which is the file's order.
    fn scan(&self, names: &[&str], rows: Option<&[u32]>, mut each: impl FnMut(&RecordBatch)) -> Result<(), LakeError> {
        if rows.is_some_and(<[u32]>::is_empty) {
            return Ok(());
        }
        let spans = match rows {
            Some(rows) => self.spans(rows)?,
            None => std::iter::once(0..u64::from(self.rows)).collect(),
        };
        let columns = self.columns(names)?;
        let groups = self.groups(&spans);
        let pieces = self.file.read(self.byte_ranges(&columns, &groups)?)?;
        let mask = ProjectionMask::leaves(self.file.metadata().parquet_schema(), columns);
        let want = spans.iter().map(|span| span.end - span.start).sum::<u64>() as usize;
        self.file.decode(|| {
            let fault = |why: &dyn std::fmt::Display| LakeError::damaged(self.file.key(), why);
            let source = Checked { pieces, size: u64::MAX };
            let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(source, self.file.metadata().clone())
                .with_projection(mask)
                .with_row_groups(groups.iter().map(|group| group.number).collect())
                .with_batch_size(BATCH_ROWS.min(want));
            if rows.is_some() {
                // A mask would decode the rows between as well, whose pages were not read.
                builder = builder
                    .with_row_selection(selection(&groups))
                    .with_row_selection_policy(RowSelectionPolicy::Selectors);
            }
            let mut got = 0;
            for batch in builder.build().map_err(|why| fault(&why))? {
                let batch = batch.map_err(|why| fault(&why))?;
                got += batch.num_rows();
                each(&batch);
            }
            if got == want { Ok(()) } else { Err(fault(&format!("{got} rows instead of {want}"))) }
        })
    }

    /// Rows as runs of neighbours.
    fn spans(&self, rows: &[u32]) -> Result<Vec<Range<u64>>, LakeError> {
        let mut spans: Vec<Range<u64>> = Vec::new();
        for &row in rows {
            let row = u64::from(row);
            match spans.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                Some(last) if last.end > row => {
                    return Err(LakeError::invalid(self.file.key(), format!("row {row} after row {}", last.end - 1)));
                }
                _ => spans.push(row..row + 1),
            }
        }
        match spans.last() {
            Some(last) if last.end > u64::from(self.rows) => {
                Err(LakeError::invalid(self.file.key(), format!("row {} of {}", last.end - 1, self.rows)))
            }
            _ => Ok(spans),
        }
    }

    fn columns(&self, names: &[&str]) -> Result<Vec<usize>, LakeError> {
        let schema = self.file.metadata().parquet_schema();
        let find = |name: &&str| schema.columns().iter().position(|column| column.name() == *name);
        names
            .iter()
            .map(|name| {
                find(name).ok_or_else(|| LakeError::damaged(self.file.key(), format!("it has no column `{name}`")))
            })
            .collect()
    }

    /// The row groups that `spans` touch, with the rows counted from each group's first.
    fn groups(&self, spans: &[Range<u64>]) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut start = 0_u64;
        for (number, group) in self.file.parquet().row_groups().iter().enumerate() {
            let rows = group.num_rows() as u64;
            let end = start + rows;
            let from = spans.partition_point(|span| span.end <= start);
            let touched = spans[from..].iter().take_while(|span| span.start < end);
            let spans: Vec<_> =
                touched.map(|span| span.start.saturating_sub(start)..span.end.min(end) - start).collect();
            if !spans.is_empty() {
                groups.push(Group { number, rows, spans });
            }
            start = end;
        }
        groups
    }

    /// Where the pages of `columns` lie that hold rows of `groups`, dictionaries included.
    fn byte_ranges(&self, columns: &[usize], groups: &[Group]) -> Result<Vec<Range<u64>>, LakeError> {
        let index = self.file.parquet().offset_index();
        let index = index.ok_or_else(|| LakeError::damaged(self.file.key(), "it has no page index"))?;
        let mut ranges = Vec::new();
        for group in groups {
            for &column in columns {
                let (start, len) = self.file.parquet().row_group(group.number).column(column).byte_range();
                let pages = index.get(group.number).and_then(|group| group.get(column));
                let pages = pages.map_or(&[][..], |pages| pages.page_locations());
                let offset = |page: Option<&PageLocation>| page.map_or(start + len, |page| page.offset as u64);
                let first = offset(pages.first());
                if first > start {
                    ranges.push(start..first);
                }
                for span in &group.spans {
                    let from = pages.partition_point(|page| page.first_row_index as u64 <= span.start);
                    let to = pages.partition_point(|page| (page.first_row_index as u64) < span.end);
                    ranges.push(offset(pages.get(from.saturating_sub(1)))..offset(pages.get(to)));
                }
            }
        }
        Ok(ranges)
    }
}

/// The wanted rows of one row group.
struct Group {
    number: usize,
    rows: u64,
    spans: Vec<Range<u64>>,
}

/// Rows to decode, counted over the groups that are read.
fn selection(groups: &[Group]) -> RowSelection {
    let mut selectors = Vec::new();
    for group in groups {
        let mut at = 0;
        for span in &group.spans {
            selectors.push(RowSelector::skip((span.start - at) as usize));
            selectors.push(RowSelector::select((span.end - span.start) as usize));
            at = span.end;
        }
        selectors.push(RowSelector::skip((group.rows - at) as usize));
    }
    RowSelection::from(selectors)
}

/// The blobs of a column without copying them: they share the batch's memory.
fn blobs(column: &ArrayRef) -> impl Iterator<Item = Bytes> + '_ {
    struct Shared(Buffer);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    let array: &BinaryArray = column.as_binary();
    let all = Bytes::from_owner(Shared(array.values().clone()));
    array.value_offsets().windows(2).map(move |two| all.slice(two[0] as usize..two[1] as usize))
}
