//! One Delta table: its cached snapshot, its files, and reading the log.

mod commit;
mod expiry;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use crate::blocking::wait;
use crate::entry::{EncodedFile, FileEntry};
use crate::error::LakeError;
use crate::log::action::Action;
use crate::log::checkpoint::{self, CheckpointId, LastCheckpoint};
use crate::log::commit::CommitFile;
use crate::log::{self, Snapshot, schema};

pub use commit::Commit;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TableKind {
    /// Chunks of samples, partitioned by `date` (UTC day).
    Chunks,
    /// The series dictionary, without partitions.
    Series,
    /// Roll-ups of one bucket width, a row a bucket of a series, partitioned by `date` (UTC day).
    Rollup,
}

/// How long to go on when the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one request before it is given up.
    pub tries: u32,
    /// First pause; it doubles with every further try.
    pub pause: Duration,
    /// Longest pause.
    pub pause_max: Duration,
}

/// One Delta table. Shared by reference between threads; commits of one handle are made one after the other.
pub struct Table {
    store: Arc<dyn ObjectStore>,
    root: Arc<str>,
    kind: TableKind,
    retry: RetryPolicy,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held while the log is read or written. Remembers the newest commits seen: a commit that is repeated after an
    /// unknown outcome is recognised by its id.
    recent: Mutex<VecDeque<(String, u64)>>,
}

/// How many commit ids are remembered.
const RECENT_MAX: usize = 4096;

impl Default for RetryPolicy {
    /// Twelve tries, 50 ms to 2 s apart: about 14 s in all.
    fn default() -> Self {
        Self { tries: 12, pause: Duration::from_millis(50), pause_max: Duration::from_secs(2) }
    }
}

impl RetryPolicy {
    /// Pause before try `n` (from 1): doubling, and between half and all of it by `salt`, so that writers that were
    /// refused together come back apart.
    pub(crate) fn pause(&self, n: u32, salt: u128) -> Duration {
        let full = self.pause.saturating_mul(1 << n.saturating_sub(1).min(16)).min(self.pause_max);
        let mixed = (salt as u64 ^ (salt >> 64) as u64 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        full.mul_f64(0.5 + 0.5 * mixed as f64 / u64::from(u32::MAX) as f64)
    }
}

impl TableKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Series => "series",
            Self::Rollup => "rollup",
        }
    }

    /// Whether files lie in folders by UTC day.
    pub(crate) fn has_days(self) -> bool {
        self != Self::Series
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("root", &self.root).field("version", &self.snapshot().version).finish()
    }
}

impl Table {
    /// Opens the table in folder `prefix` of `store`, such as `default/chunks`, or creates it.
    ///
    /// # Errors
    /// [`LakeError::Unsupported`] for another table or a newer release's, [`LakeError::Damaged`] when neither the
    /// checkpoint nor the commits can be read, [`LakeError::Io`].
    pub fn open_or_create(store: Arc<dyn ObjectStore>, prefix: &str, kind: TableKind) -> Result<Self, LakeError> {
        Self::open_with(store, prefix, kind, RetryPolicy::default())
    }

    /// Opens the table in folder `prefix` of `store` and makes nothing; `None` when there is none.
    ///
    /// # Errors
    /// As [`Table::open_or_create`].
    pub fn open_existing(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        kind: TableKind,
    ) -> Result<Option<Self>, LakeError> {
        let (root, retry): (Arc<str>, _) = (Arc::from(Path::from(prefix).as_ref()), RetryPolicy::default());
        let log = LogReader { store: &store, root: &root, retry };
        let Some(snapshot) = log.load()? else { return Ok(None) };
        Self::of(store, root, kind, retry, snapshot).map(Some)
    }

    /// As [`Table::open_or_create`] with another patience.
    ///
    /// # Errors
    /// As [`Table::open_or_create`].
    pub fn open_with(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        kind: TableKind,
        retry: RetryPolicy,
    ) -> Result<Self, LakeError> {
        let root: Arc<str> = Arc::from(Path::from(prefix).as_ref());
        let log = LogReader { store: &store, root: &root, retry };
        let snapshot = match log.load()? {
            Some(snapshot) => snapshot,
            None => log.create(kind)?,
        };
        Self::of(store, root, kind, retry, snapshot)
    }

    fn of(
        store: Arc<dyn ObjectStore>,
        root: Arc<str>,
        kind: TableKind,
        retry: RetryPolicy,
        snapshot: Snapshot,
    ) -> Result<Self, LakeError> {
        if let Some(why) = schema::refusal(kind, &snapshot.protocol, &snapshot.metadata) {
            return Err(LakeError::Unsupported { table: root.to_string(), why });
        }
        let snapshot = RwLock::new(Arc::new(snapshot));
        Ok(Self { store, root, kind, retry, snapshot, recent: Mutex::new(VecDeque::new()) })
    }

    /// The newest snapshot that this handle knows; no I/O.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads commits made by others since.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] or [`LakeError::Io`]; the snapshot then stays at the last good version.
    pub fn refresh(&self) -> Result<Arc<Snapshot>, LakeError> {
        let mut recent = self.lock();
        self.catch_up(&mut recent)?;
        Ok(self.snapshot())
    }

    /// The store that holds the files.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The table's folder.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Writes a data file under its final key, durably; no reader sees it before a commit names it. `date` is the UTC day
    /// (partitioned tables only); `uuid` must be new for every file.
    ///
    /// # Errors
    /// [`LakeError::Invalid`] for a date where none belongs, a missing one, or odd characters; [`LakeError::Io`].
    #[expect(clippy::too_many_arguments, reason = "each is a field of the file's name or entry, named at the call")]
    pub fn put_file(
        &self,
        date: Option<&str>,
        level: u8,
        min_ts: i64,
        uuid: u128,
        file: EncodedFile,
        lsn_lo: u64,
        lsn_hi: u64,
    ) -> Result<FileEntry, LakeError> {
        let name = format!("{level}-{min_ts}-{}.parquet", log::uuid_text(uuid));
        let path = match (self.kind, date) {
            (kind, Some(date)) if kind.has_days() && is_day(date) => format!("date={date}/{name}"),
            (TableKind::Series, None) => name,
            (kind, date) => {
                let why = format!("a file of {} with the date {date:?}; write it as 2026-11-21", kind.name());
                return Err(LakeError::invalid(&*self.root, why));
            }
        };
        let entry = FileEntry {
            root: Arc::clone(&self.root),
            path,
            size: file.bytes.len() as u64,
            date: date.map(str::to_owned),
            min_ts: file.min_ts,
            max_ts: file.max_ts,
            rows: file.rows,
            samples: file.samples,
            level,
            lsn_lo,
            lsn_hi,
            metric_min: file.metric_min,
            metric_max: file.metric_max,
            data_len: file.data_len,
            crc_footer: file.crc_footer,
            crc_chunks: file.crc_chunks,
            cleaned: 0,
            committed_at: 0,
        };
        self.put_once(&entry.key(), &file.bytes, uuid)?;
        Ok(entry)
    }

    /// Puts bytes that nobody else puts: an object that is already there must be the echo of our own lost answer.
    fn put_once(&self, key: &str, bytes: &Bytes, salt: u128) -> Result<(), LakeError> {
        let path = Path::from(key);
        let mut why = String::new();
        for n in 1..=self.retry.tries {
            let put = self.store.put_opts(&path, PutPayload::from(bytes.clone()), PutMode::Create.into());
            match wait(put) {
                Ok(_) => return Ok(()),
                Err(StoreError::AlreadyExists { .. }) => match get(&*self.store, key) {
                    Ok(Some(found)) if found == *bytes => return Ok(()),
                    Ok(Some(_)) => return Err(LakeError::invalid(key, "another file has this name; use a new uuid")),
                    Ok(None) => why = "the store says that it exists and that it does not".to_owned(),
                    Err(error) => why = error.to_string(),
                },
                Err(error) => why = error.to_string(),
            }
            if n < self.retry.tries {
                thread::sleep(self.retry.pause(n, salt));
            }
        }
        Err(LakeError::Io { action: "write", file: key.to_owned(), why })
    }

    fn log(&self) -> LogReader<'_> {
        LogReader { store: &self.store, root: &self.root, retry: self.retry }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, u64)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies every commit after the cached version.
    fn catch_up(&self, recent: &mut VecDeque<(String, u64)>) -> Result<(), LakeError> {
        let log = self.log();
        loop {
            let version = self.snapshot().version + 1;
            let Some(commit) = log.commit(version)? else { return Ok(()) };
            self.adopt(recent, commit)?;
        }
    }

    fn adopt(&self, recent: &mut VecDeque<(String, u64)>, commit: CommitFile) -> Result<(), LakeError> {
        let (id, version) = (commit.id.clone(), commit.version);
        let mut slot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        // Copies only while a query still holds the old snapshot.
        Arc::make_mut(&mut slot).apply(&self.root, &log::commit_key(&self.root, version), commit)?;
        recent.push_back((id, version));
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        Ok(())
    }

    /// Writes the checkpoint of the cached snapshot. Without one the log is only longer, so a failure is a warning.
    fn checkpoint(&self) {
        let snapshot = self.snapshot();
        if let Err(error) = self.try_checkpoint(&snapshot) {
            tracing::warn!(table = &*self.root, version = snapshot.version, %error, "checkpoint failed");
        }
    }

    fn try_checkpoint(&self, snapshot: &Snapshot) -> Result<(), LakeError> {
        let key = log::checkpoint_key(&self.root, snapshot.version);
        let (bytes, newest) = checkpoint::encode(&key, snapshot)?;
        let log = self.log();
        let ft_previous = log.pointer().ok().flatten().map(|last| last.newest).filter(|id| id.version < newest.version);
        let put = |key: String, payload: PutPayload| {
            wait(self.store.put_opts(&Path::from(key.as_str()), payload, PutMode::Overwrite.into()))
                .map_err(|error| LakeError::Io { action: "write", file: key, why: error.to_string() })
        };
        put(key.clone(), PutPayload::from(bytes))?;
        let pointer = LastCheckpoint { newest, ft_previous }.encode().map_err(|why| LakeError::invalid(key, why))?;
        put(log::last_checkpoint_key(&self.root), PutPayload::from(pointer))?;
        Ok(())
    }
}

/// The characters of a day; years beyond four digits are welcome.
fn is_day(date: &str) -> bool {
    (8..=24).contains(&date.len()) && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// The whole object, or `None` when it does not exist.
fn get(store: &dyn ObjectStore, key: &str) -> Result<Option<Bytes>, LakeError> {
    let path = Path::from(key);
    match wait(async { store.get(&path).await?.bytes().await }) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(LakeError::read(key, error)),
    }
}

/// Reads the log of one table.
struct LogReader<'a> {
    store: &'a Arc<dyn ObjectStore>,
    root: &'a Arc<str>,
    retry: RetryPolicy,
}

impl LogReader<'_> {
    /// The newest snapshot, or `None` when there is no commit.
    fn load(&self) -> Result<Option<Snapshot>, LakeError> {
        let newest = self.newest_version()?;
        let start = match self.load_checkpoint() {
            Ok(snapshot) => snapshot,
            Err(error) if newest.is_some() => {
                tracing::warn!(table = &**self.root, %error, "checkpoint unusable, reading every commit");
                None
            }
            Err(error) => return Err(error),
        };
        let mut snapshot = match start {
            Some(snapshot) => snapshot,
            None => match self.commit(0)? {
                Some(first) => Snapshot::first(self.root, &log::commit_key(self.root, 0), first)?,
                None if newest.is_none() => return Ok(None),
                None => return Err(LakeError::Missing { file: log::commit_key(self.root, 0) }),
            },
        };
        while let Some(commit) = self.commit(snapshot.version + 1)? {
            snapshot.apply(self.root, &log::commit_key(self.root, commit.version), commit)?;
        }
        // A hole in the log must not hide what is behind it.
        if newest.is_some_and(|newest| newest > snapshot.version) {
            return Err(LakeError::Missing { file: log::commit_key(self.root, snapshot.version + 1) });
        }
        Ok(Some(snapshot))
    }

    /// Commits the first version, or takes over what another process has just committed.
    fn create(&self, kind: TableKind) -> Result<Snapshot, LakeError> {
        let actions = vec![Action::Protocol(schema::PROTOCOL), Action::MetaData(schema::metadata(kind, self.root))];
        let first = CommitFile { version: 0, id: "create".to_owned(), at: 0, actions };
        let body = first.encode("CREATE TABLE").map_err(|why| LakeError::invalid(&**self.root, why))?;
        let path = Path::from(log::commit_key(self.root, 0).as_str());
        let mut why = String::new();
        for n in 1..=self.retry.tries {
            // Whatever the answer, what counts is what can be read: two creators write the same bytes.
            let put = self.store.put_opts(&path, PutPayload::from(body.clone()), PutMode::Create.into());
            if let Err(error) = wait(put) {
                why = error.to_string();
            }
            match self.load() {
                Ok(Some(snapshot)) => return Ok(snapshot),
                Ok(None) => {}
                Err(error) if error.is_transient() => why = error.to_string(),
                Err(error) => return Err(error),
            }
            thread::sleep(self.retry.pause(n, u128::from(n)));
        }
        Err(LakeError::Io { action: "write", file: path.to_string(), why })
    }

    fn commit(&self, version: u64) -> Result<Option<CommitFile>, LakeError> {
        let key = log::commit_key(self.root, version);
        self.get(&key)?.map(|bytes| CommitFile::decode(&key, version, &bytes)).transpose()
    }

    /// The newest checkpoint, or the one before when the newest is damaged.
    fn load_checkpoint(&self) -> Result<Option<Snapshot>, LakeError> {
        let Some(last) = self.pointer()? else { return Ok(None) };
        match (self.read_checkpoint(&last.newest), last.ft_previous) {
            (Err(error), Some(previous)) => {
                tracing::warn!(table = &**self.root, %error, "newest checkpoint unusable, taking the one before");
                self.read_checkpoint(&previous).map(Some)
            }
            (newest, _) => newest.map(Some),
        }
    }

    fn read_checkpoint(&self, id: &CheckpointId) -> Result<Snapshot, LakeError> {
        let key = log::checkpoint_key(self.root, id.version);
        let bytes = self.get(&key)?.ok_or_else(|| LakeError::Missing { file: key.clone() })?;
        checkpoint::decode(self.root, &key, id, bytes)
    }

    fn pointer(&self) -> Result<Option<LastCheckpoint>, LakeError> {
        let key = log::last_checkpoint_key(self.root);
        self.get(&key)?.map(|bytes| LastCheckpoint::decode(&key, &bytes)).transpose()
    }

    /// Every object in the log's folder.
    fn objects(&self) -> Result<Vec<ObjectMeta>, LakeError> {
        let folder = Path::from(format!("{}/_delta_log", self.root));
        let fault =
            |error: StoreError| LakeError::Io { action: "list", file: folder.to_string(), why: error.to_string() };
        self.retried(|| wait(self.store.list(Some(&folder)).try_collect()).map_err(fault))
    }

    fn newest_version(&self) -> Result<Option<u64>, LakeError> {
        let objects = self.objects()?;
        Ok(objects.iter().filter_map(|object| log::version_of(object.location.filename()?)).max())
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, LakeError> {
        self.retried(|| get(&**self.store, key))
    }

    fn retried<T>(&self, mut request: impl FnMut() -> Result<T, LakeError>) -> Result<T, LakeError> {
        let mut n = 1;
        loop {
            match request() {
                Err(error) if error.is_transient() && n < self.retry.tries => {
                    thread::sleep(self.retry.pause(n, u128::from(n)));
                    n += 1;
                }
                answer => return answer,
            }
        }
    }
}
