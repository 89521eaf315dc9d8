//! Snapshots: all rows in order, with checksums, in a file that is either whole or not there.
//!
//! Layout: magic (8), version (4), the index summary (see `index/meta.rs`), time (8), CRC-32C of all that; then rows as
//! `key length (4), value length (4), key, value`; then two zero lengths and a CRC-32C of all row bytes.

use std::io;

use wal::{Storage, StorageFile};

use crate::change::{KEY_BYTES_MAX, VALUE_BYTES_MAX, checked_value};
use crate::error::ControlError;
use crate::index::{Doubt, Index, Meta, Row};

const MAGIC: [u8; 8] = *b"FTIDECTL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 12 + crate::index::META_BYTES + 8 + 4;
const CHUNK_BYTES: usize = 1 << 20;
/// Rows loaded in one batch.
const ROWS_BATCH: usize = 4000;

/// A snapshot whose header is sound.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) path: String,
    pub(crate) meta: Meta,
    pub(crate) taken_at: i64,
}

/// Snapshots in `dir`, newest first, and the paths of those that cannot be read. Removes what was never finished.
pub(crate) fn list(storage: &dyn Storage, dir: &str) -> Result<(Vec<Snapshot>, Vec<String>), ControlError> {
    let names = storage.list(dir).map_err(|error| ControlError::disk("list", dir, error))?;
    for unfinished in names.iter().filter(|name| name.ends_with(".tmp")) {
        // Nothing refers to it.
        let _ = storage.remove(&format!("{dir}/{unfinished}"));
    }
    find(storage, dir)
}

/// As [`list`], changing nothing.
pub(crate) fn find(storage: &dyn Storage, dir: &str) -> Result<(Vec<Snapshot>, Vec<String>), ControlError> {
    let names = match storage.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| ControlError::disk("list", dir, error))?,
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for name in names.iter().rev() {
        let path = format!("{dir}/{name}");
        if name.ends_with(".snap") {
            match header(storage, &path) {
                Ok(snapshot) => good.push(snapshot),
                Err(error) => {
                    tracing::error!(path, %error, "a control snapshot cannot be read");
                    bad.push(path);
                }
            }
        }
    }
    Ok((good, bad))
}

fn header(storage: &dyn Storage, path: &str) -> io::Result<Snapshot> {
    let bytes = storage.read_range(path, 0, HEADER_BYTES)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its header is damaged");
    let (body, crc) = bytes.split_last_chunk::<4>().filter(|_| bytes.len() == HEADER_BYTES).ok_or_else(damaged)?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c(body) || body[..8] != MAGIC {
        return Err(damaged());
    }
    if body[8..12] != VERSION.to_le_bytes() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it has another format version"));
    }
    let (meta, time) = body[12..].split_at(crate::index::META_BYTES);
    let meta = Meta::decode(meta).ok_or_else(damaged)?;
    let taken_at = time.try_into().map(i64::from_le_bytes).map_err(|_| damaged())?;
    Ok(Snapshot { path: path.to_owned(), meta, taken_at })
}

/// Why a snapshot could not be written.
enum WriteError {
    Doubt(Doubt),
    Disk(io::Error),
}

impl From<Doubt> for WriteError {
    fn from(doubt: Doubt) -> Self {
        Self::Doubt(doubt)
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Dumps `index` into `dir`: temporary file, sync, rename, sync of the folder. The caller keeps the index still.
/// `Ok(Err(_))`: the index itself is in doubt.
pub(crate) fn write(
    storage: &dyn Storage,
    dir: &str,
    index: &Index,
    taken_at: i64,
) -> Result<Result<Snapshot, Doubt>, ControlError> {
    let meta = index.meta();
    let path = format!("{dir}/{:020}.snap", meta.applied_lsn);
    let tmp = format!("{dir}/{:020}.tmp", meta.applied_lsn);
    let _ = storage.remove(&tmp);
    let written = crate::index::careful(|| -> Result<(), WriteError> {
        let mut file = storage.create(&tmp)?;
        write_rows(&mut *file, index, &meta, taken_at)?;
        file.sync_data()?;
        storage.rename(&tmp, &path)?;
        storage.sync_dir(dir)?;
        Ok(())
    });
    match written {
        Ok(()) => Ok(Ok(Snapshot { path, meta, taken_at })),
        Err(WriteError::Doubt(doubt)) => {
            let _ = storage.remove(&tmp);
            Ok(Err(doubt))
        }
        Err(WriteError::Disk(error)) => {
            let _ = storage.remove(&tmp);
            Err(ControlError::disk("write snapshot", &path, error))
        }
    }
}

fn write_rows(file: &mut dyn StorageFile, index: &Index, meta: &Meta, taken_at: i64) -> Result<(), WriteError> {
    let mut out = Vec::with_capacity(CHUNK_BYTES + 4096);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&meta.encode());
    out.extend_from_slice(&taken_at.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    file.append(&out)?;
    out.clear();
    let mut crc = 0;
    let mut found = Meta::default();
    index.dump(|key, value| -> Result<(), WriteError> {
        found.add(key, value);
        out.extend_from_slice(&(key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        if out.len() >= CHUNK_BYTES {
            crc = crc32c::crc32c_append(crc, &out);
            file.append(&out)?;
            out.clear();
        }
        Ok(())
    })?;
    if !found.same_rows(meta) {
        return Err(Doubt("its rows changed by themselves".to_owned()).into());
    }
    crc = crc32c::crc32c_append(crc, &out);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&crc.to_le_bytes());
    file.append(&out)?;
    Ok(())
}

/// Loads a snapshot's rows into an empty index standing at its record. Reads in chunks; an error leaves a part loaded.
pub(crate) fn load(storage: &dyn Storage, snapshot: &Snapshot, index: &Index) -> Result<(), Doubt> {
    let mut reader = Reader { storage, path: &snapshot.path, offset: HEADER_BYTES as u64, chunk: Vec::new(), at: 0 };
    let mut rows: Vec<Row> = Vec::new();
    let mut crc = 0;
    loop {
        let lengths = reader.take(8)?;
        let (key_len, value_len) = (u32_of(&lengths[..4]), u32_of(&lengths[4..]));
        if rows.len() == ROWS_BATCH || key_len == 0 {
            index.load(&rows)?;
            rows.clear();
        }
        if key_len == 0 {
            break;
        }
        if key_len > KEY_BYTES_MAX + 1 || value_len > VALUE_BYTES_MAX + 4 {
            return Err(Doubt("a row of the snapshot has an impossible length".to_owned()));
        }
        crc = crc32c::crc32c_append(crc, &lengths);
        let (key, value) = (reader.take(key_len)?, reader.take(value_len)?);
        crc = crc32c::crc32c_append(crc32c::crc32c_append(crc, &key), &value);
        checked_value(&key, &value).ok_or_else(|| Doubt("a row of the snapshot is damaged".to_owned()))?;
        rows.push((key, value));
    }
    if u32_of(&reader.take(4)?) as u32 != crc || !index.meta().same_rows(&snapshot.meta) {
        return Err(Doubt("the snapshot's rows are not those it was written with".to_owned()));
    }
    Ok(())
}

/// Reads a file from front to back, a chunk at a time.
struct Reader<'a> {
    storage: &'a dyn Storage,
    path: &'a str,
    offset: u64,
    chunk: Vec<u8>,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Result<Vec<u8>, Doubt> {
        if self.chunk.len() - self.at < len {
            let fail = |error| Doubt(format!("the snapshot cannot be read: {error}"));
            let mut rest = self.chunk.split_off(self.at);
            let want = CHUNK_BYTES.max(len);
            let more = self.storage.read_range(self.path, self.offset, want).map_err(fail)?;
            self.offset += more.len() as u64;
            rest.extend_from_slice(&more);
            (self.chunk, self.at) = (rest, 0);
        }
        let end = self.at + len;
        let bytes = self.chunk.get(self.at..end).ok_or_else(|| Doubt("the snapshot ends too early".to_owned()))?;
        self.at = end;
        Ok(bytes.to_vec())
    }
}

fn u32_of(bytes: &[u8]) -> usize {
    bytes.try_into().map_or(0, u32::from_le_bytes) as usize
}
