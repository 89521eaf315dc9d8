//! Where a pass writes: files of bounded size, put as they fill, named by a commit at the very end.

use std::sync::Arc;

use lake::{ChunkFileWriter, ChunkRow, Commit, EncodedFile, FileEntry, LakeError, RollupFileWriter, RollupRow, Table};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::error::StoreError;
use crate::rows::date_of;
use crate::store::Shared;

/// Blobs of a file, before it is put: what bounds a pass's memory, beside one block of samples.
const FILE_BYTES: usize = 32 << 20;
/// What a row takes beside its blobs.
const ROW_BYTES: usize = 32;

/// What the files of a pass have in common.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) day: i64,
    pub(crate) level: u8,
    pub(crate) lsns: (u64, u64),
    pub(crate) cleaned: u64,
}

/// A file that grows row by row.
pub(crate) trait Growing: Default {
    type Row;
    /// Adds a row behind the others and answers about how many bytes it takes.
    fn push(&mut self, row: Self::Row) -> Result<usize, LakeError>;
    fn finish(self) -> Result<EncodedFile, LakeError>;
}

impl Growing for ChunkFileWriter {
    type Row = ChunkRow;

    fn push(&mut self, row: ChunkRow) -> Result<usize, LakeError> {
        let bytes = row.ts_chunk.len() + row.value_chunk.len() + ROW_BYTES;
        self.push(row).map(|()| bytes)
    }

    fn finish(self) -> Result<EncodedFile, LakeError> {
        self.finish()
    }
}

impl Growing for RollupFileWriter {
    type Row = RollupRow;

    fn push(&mut self, row: RollupRow) -> Result<usize, LakeError> {
        let bytes = row.sketch.len() + ROW_BYTES;
        self.push(row).map(|()| bytes)
    }

    fn finish(self) -> Result<EncodedFile, LakeError> {
        self.finish()
    }
}

/// Rows on their way into files of one table. Files that no commit named are deleted when the sink is dropped.
pub(crate) struct Sink<'a, F: Growing> {
    shared: &'a Shared,
    table: Arc<Table>,
    stamp: Stamp,
    file: Option<F>,
    bytes: usize,
    put: Vec<FileEntry>,
}

impl<'a, F: Growing> Sink<'a, F> {
    pub(crate) fn new(shared: &'a Shared, table: &Arc<Table>, stamp: Stamp) -> Self {
        Self { shared, table: Arc::clone(table), stamp, file: None, bytes: 0, put: Vec::new() }
    }

    /// Takes rows of one series, which follow all rows before them in file order.
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = F::Row>) -> Result<(), StoreError> {
        for row in rows {
            self.bytes += self.file.get_or_insert_default().push(row)?;
        }
        if self.bytes >= FILE_BYTES { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<(), StoreError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.bytes = 0;
        let file = file.finish()?;
        let Stamp { day, level, lsns, cleaned } = self.stamp;
        let (date, id, min_ts) = (date_of(day), self.shared.ids.next(), file.min_ts);
        let mut entry = self.table.put_file(Some(&date), level, min_ts, id, file, lsns.0, lsns.1)?;
        (entry.cleaned, entry.committed_at) = (cleaned, self.shared.clock.now().0);
        self.put.push(entry);
        Ok(())
    }

    /// Puts what is left and answers the files so far; [`Sink::commit`] names them.
    pub(crate) fn files(&mut self) -> Result<Vec<FileEntry>, StoreError> {
        self.put()?;
        Ok(self.put.clone())
    }

    /// Names the files in place of `removes`, in one commit; none is made when nothing changes.
    pub(crate) fn commit(mut self, removes: Vec<String>, operation: &'static str) -> Result<(), StoreError> {
        let adds = std::mem::take(&mut self.put);
        if adds.is_empty() && removes.is_empty() {
            return Ok(());
        }
        commit(self.shared, &self.table, adds, removes, operation)
    }
}

impl<F: Growing> Drop for Sink<'_, F> {
    fn drop(&mut self) {
        for entry in &self.put {
            // What stays is an orphan that is collected later.
            let key = Path::from(entry.key().as_str());
            if let Err(err) = futures::executor::block_on(self.table.store().delete(&key)) {
                tracing::warn!(file = %entry.path, %err, "unfinished file not deleted yet");
            }
        }
    }
}

/// Commits; an unknown outcome is asked again with the same id until it is known.
pub(crate) fn commit(
    shared: &Shared,
    table: &Table,
    adds: Vec<FileEntry>,
    removes: Vec<String>,
    operation: &'static str,
) -> Result<(), StoreError> {
    const TRIES: usize = 5;
    let (at, id) = (shared.clock.now().0, shared.ids.next());
    let commit = Commit { data_change: operation != "OPTIMIZE", txns: Vec::new(), adds, removes, operation, at, id };
    let mut last = table.commit(commit.clone());
    for _ in 1..TRIES {
        match last {
            Err(LakeError::Unknown { .. }) => last = table.commit(commit.clone()),
            _ => break,
        }
    }
    last.map(drop).map_err(StoreError::from)
}
