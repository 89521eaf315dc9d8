//! Writing Parquet with checksums, and reading nothing that was not checked.
//!
//! ```text
//!   ┌ row data ─────────────────────────────┬ page indexes, footer ───────────────────────┐
//!   │ blocks of 16 KiB: crc32c each, listed ▶ in the footer under `foretide.crc_blocks`   │
//!   └───────────────────────────────────────┴ one crc32c, in the commit's `crc_footer` ───┘
//!                                           ▲ data_len                                    ▲ size
//! ```

use std::any::Any;
use std::iter::once;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, Length};

use crate::blocking::wait;
use crate::checksum::{self, BLOCK_BYTES};
use crate::entry::FileEntry;
use crate::error::LakeError;

const BLOCKS_KEY: &str = "foretide.crc_blocks";
/// A footer beyond this is no footer of ours: 4 bytes a block and 32 a page make 2 MiB for a 1 GiB file.
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// A finished file.
pub(crate) struct Written {
    pub(crate) bytes: Bytes,
    pub(crate) data_len: u64,
    pub(crate) crc_footer: u32,
    pub(crate) crc_chunks: Vec<u32>,
}

/// Writes `batches` as one Parquet file in memory. `place` names it in errors.
pub(crate) fn write(
    place: &str,
    schema: SchemaRef,
    properties: WriterProperties,
    batches: impl IntoIterator<Item = Result<RecordBatch, LakeError>>,
) -> Result<Written, LakeError> {
    let mut file = FileWriter::new(place, schema, properties)?;
    for batch in batches {
        file.write(&batch?)?;
    }
    file.finish()
}

/// A Parquet file that grows batch by batch, in memory.
pub(crate) struct FileWriter {
    place: String,
    writer: ArrowWriter<Vec<u8>>,
}

impl FileWriter {
    /// Begins a file; `place` names it in errors.
    pub(crate) fn new(place: &str, schema: SchemaRef, properties: WriterProperties) -> Result<Self, LakeError> {
        // Without arrow's own schema the file is plain Parquet to everyone, and 1 KiB shorter.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options);
        Ok(Self { place: place.to_owned(), writer: writer.map_err(|why| LakeError::invalid(place, why))? })
    }

    /// Adds rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.writer.write(batch).map_err(|why| LakeError::invalid(&*self.place, why))
    }

    /// Ends the file with its checksums.
    pub(crate) fn finish(self) -> Result<Written, LakeError> {
        let Self { place, mut writer } = self;
        let fault = |why: ParquetError| LakeError::invalid(&*place, why);
        writer.flush().map_err(fault)?;
        writer.sync().map_err(|why| LakeError::invalid(&*place, why))?;
        let data_len = writer.inner().len();
        let crc_chunks = column_ranges(writer.flushed_row_groups().iter().flat_map(|group| group.columns()))
            .map(|range| crc32c::crc32c(&writer.inner()[range.start as usize..range.end as usize]))
            .collect();
        let blocks = checksum::to_hex(&checksum::blocks(writer.inner()));
        writer.append_key_value_metadata(KeyValue::new(BLOCKS_KEY.to_owned(), blocks));
        let bytes = Bytes::from(writer.into_inner().map_err(fault)?);
        let crc_footer = crc32c::crc32c(&bytes[data_len..]);
        Ok(Written { bytes, data_len: data_len as u64, crc_footer, crc_chunks })
    }
}

fn column_ranges<'a>(
    columns: impl Iterator<Item = &'a parquet::file::metadata::ColumnChunkMetaData>,
) -> impl Iterator<Item = Range<u64>> {
    columns.map(|column| {
        let (start, len) = column.byte_range();
        start..start + len
    })
}

/// An open file whose footer has been checked; row data is checked as it is read.
pub(crate) struct CheckedFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    key: String,
    data_len: u64,
    blocks: Vec<u32>,
    metadata: ArrowReaderMetadata,
    crc_chunks: Vec<u32>,
}

/// Checked pieces of a file, sorted by offset, not overlapping.
#[derive(Default)]
pub(crate) struct Pieces(Vec<(u64, Bytes)>);

impl CheckedFile {
    /// Reads and checks the footer: one ranged read of a few KiB.
    pub(crate) fn open(store: Arc<dyn ObjectStore>, entry: &FileEntry) -> Result<Self, LakeError> {
        let key = entry.key();
        let footer_len = entry.size.checked_sub(entry.data_len).filter(|len| (12..=FOOTER_BYTES_MAX).contains(len));
        if footer_len.is_none() {
            let why = format!("the commit says {} bytes of which {} are rows", entry.size, entry.data_len);
            return Err(LakeError::damaged(key, why));
        }
        let path = Path::from(key.as_str());
        let tail = read_exact(&*store, &path, &key, entry.data_len..entry.size)?;
        let crc = crc32c::crc32c(&tail);
        if crc != entry.crc_footer {
            let why = format!("its footer has crc32c {crc:08x}, the commit says {:08x}", entry.crc_footer);
            return Err(LakeError::damaged(key, why));
        }
        let (metadata, blocks) = parse_footer(&key, tail, entry)?;
        let crc_chunks = entry.crc_chunks.clone();
        Ok(Self { store, path, key, data_len: entry.data_len, blocks, metadata, crc_chunks })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    pub(crate) fn parquet(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Reads `ranges` (in any order), each widened to whole blocks, and checks every block.
    pub(crate) fn read(&self, ranges: impl IntoIterator<Item = Range<u64>>) -> Result<Pieces, LakeError> {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        for range in &mut ranges {
            if range.start > range.end || range.end > self.data_len {
                let why = format!("bytes {}..{} of {} were asked for", range.start, range.end, self.data_len);
                return Err(LakeError::damaged(&self.key, why));
            }
            range.start -= range.start % BLOCK_BYTES;
            range.end = range.end.next_multiple_of(BLOCK_BYTES).min(self.data_len);
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let merged = merge(ranges);
        let parts =
            wait(self.store.get_ranges(&self.path, &merged)).map_err(|error| LakeError::read(&self.key, error))?;
        if parts.len() != merged.len() {
            return Err(LakeError::damaged(&self.key, "the store answered with fewer ranges than asked for"));
        }
        for (range, bytes) in merged.iter().zip(&parts) {
            self.check(range, bytes)?;
        }
        Ok(Pieces(merged.iter().map(|range| range.start).zip(parts).collect()))
    }

    fn check(&self, range: &Range<u64>, bytes: &Bytes) -> Result<(), LakeError> {
        if bytes.len() as u64 != range.end - range.start {
            let why =
                format!("{} bytes at {} where {} are expected", bytes.len(), range.start, range.end - range.start);
            return Err(LakeError::damaged(&self.key, why));
        }
        let first = (range.start / BLOCK_BYTES) as usize;
        for (i, block) in bytes.chunks(BLOCK_BYTES as usize).enumerate() {
            if self.blocks.get(first + i) != Some(&crc32c::crc32c(block)) {
                let at = range.start + i as u64 * BLOCK_BYTES;
                return Err(LakeError::damaged(&self.key, format!("block at byte {at} fails its checksum")));
            }
        }
        Ok(())
    }

    /// Reads the whole file once, 4 MiB at a time, and compares every checksum: blocks and column chunks.
    pub(crate) fn verify(&self) -> Result<(), LakeError> {
        const STRIDE: u64 = 256 * BLOCK_BYTES;
        let ranges: Vec<_> =
            column_ranges(self.parquet().row_groups().iter().flat_map(|group| group.columns())).collect();
        if ranges.len() != self.crc_chunks.len() {
            let why = format!("{} column chunks, the commit knows {}", ranges.len(), self.crc_chunks.len());
            return Err(LakeError::damaged(&self.key, why));
        }
        self.read(once(0..ranges.first().map_or(self.data_len, |first| first.start)))?;
        for (number, (range, want)) in ranges.into_iter().zip(&self.crc_chunks).enumerate() {
            let mut crc = 0;
            for start in (range.start..range.end).step_by(STRIDE as usize) {
                let part = start..range.end.min(start + STRIDE);
                let piece = self.read(once(part.clone()))?;
                let len = (part.end - part.start) as usize;
                let bytes = piece.get(part.start, len).map_err(|why| LakeError::damaged(&self.key, why))?;
                crc = crc32c::crc32c_append(crc, &bytes);
            }
            if crc != *want {
                return Err(LakeError::damaged(&self.key, format!("column chunk {number} fails its checksum")));
            }
        }
        Ok(())
    }

    /// Runs a decoder over checked bytes: a fault or a panic in it means that the file was written wrongly.
    pub(crate) fn decode<T>(&self, decoder: impl FnOnce() -> Result<T, LakeError>) -> Result<T, LakeError> {
        guard(&self.key, decoder)
    }
}

/// Turns a panic of a third-party decoder into an error that names the file.
pub(crate) fn guard<T>(file: &str, decoder: impl FnOnce() -> Result<T, LakeError>) -> Result<T, LakeError> {
    // The closures own or only read what they touch, so nothing half-changed survives a panic.
    catch_unwind(AssertUnwindSafe(decoder))
        .unwrap_or_else(|panic| Err(LakeError::damaged(file, format!("the decoder panicked: {}", message(&*panic)))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn parse_footer(key: &str, tail: Bytes, entry: &FileEntry) -> Result<(ArrowReaderMetadata, Vec<u32>), LakeError> {
    guard(key, || {
        let fault = |why: ParquetError| LakeError::damaged(key, why);
        let pieces = Pieces(vec![(entry.data_len, tail)]);
        let metadata = ParquetMetaDataReader::new()
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&Checked { pieces, size: entry.size })
            .map_err(fault)?;
        let pairs = metadata.file_metadata().key_value_metadata();
        let blocks = pairs
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == BLOCKS_KEY))
            .and_then(|pair| checksum::from_hex(pair.value.as_deref()?))
            .filter(|blocks| blocks.len() as u64 == entry.data_len.div_ceil(BLOCK_BYTES))
            .ok_or_else(|| LakeError::damaged(key, "its footer has no list of block checksums"))?;
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(fault)?;
        Ok((metadata, blocks))
    })
}

fn read_exact(store: &dyn ObjectStore, path: &Path, key: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
    let (want, size) = (range.end - range.start, range.end);
    // A shortened file may answer with an error or with fewer bytes, depending on the store: both are damage.
    let bytes = match wait(store.get_range(path, range)) {
        Ok(bytes) => bytes,
        Err(object_store::Error::NotFound { .. }) => return Err(LakeError::Missing { file: key.to_owned() }),
        Err(error) => return Err(shortened(store, path, key, size).unwrap_or_else(|| LakeError::read(key, error))),
    };
    if bytes.len() as u64 != want {
        return Err(LakeError::damaged(key, format!("its footer has {} bytes instead of {want}", bytes.len())));
    }
    Ok(bytes)
}

fn shortened(store: &dyn ObjectStore, path: &Path, key: &str, want: u64) -> Option<LakeError> {
    let size = wait(store.head(path)).ok()?.size;
    (size < want).then(|| LakeError::damaged(key, format!("it has {size} of {want} bytes")))
}

fn merge(sorted: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted.into_iter().filter(|range| range.start < range.end) {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

impl Pieces {
    fn get(&self, start: u64, len: usize) -> Result<Bytes, ParquetError> {
        let at = self.0.partition_point(|piece| piece.0 <= start);
        let (offset, bytes) = at
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .ok_or_else(|| ParquetError::General(format!("byte {start} was not read")))?;
        let from = (start - offset) as usize;
        match from.checked_add(len).filter(|end| *end <= bytes.len()) {
            Some(end) => Ok(bytes.slice(from..end)),
            None => Err(ParquetError::General(format!("bytes {start}+{len} were not read"))),
        }
    }

    /// Everything behind `start` in its piece.
    fn rest(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = self.0.partition_point(|piece| piece.0 <= start);
        let piece = at.checked_sub(1).and_then(|at| self.0.get(at));
        piece
            .and_then(|(offset, bytes)| {
                let from = (start - offset) as usize;
                (from < bytes.len()).then(|| bytes.slice(from..))
            })
            .ok_or_else(|| ParquetError::General(format!("byte {start} was not read")))
    }
}

/// Checked pieces in the shape that Parquet readers take.
pub(crate) struct Checked {
    pub(crate) pieces: Pieces,
    pub(crate) size: u64,
}

impl Length for Checked {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Checked {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        use bytes::Buf as _;
        Ok(self.pieces.rest(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.pieces.get(start, length)
    }
}
