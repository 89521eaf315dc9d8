//! The local disk as an object store whose writes survive a power cut.
//!
//! ```text
//!   put ─▶ .staging/<pid>-<n>: write, fsync ─▶ link (create) or rename (overwrite) ─▶ fsync of the folder
//! ```
//!
//! `object_store` 0.13 never syncs anything in its `LocalFileSystem`; reading, listing and deleting are left to it.
//! Creating is a hard link, which fails if the name is taken and shows the whole content or nothing. A failed sync is
//! never tried again on the same file, since the kernel may already have dropped the pages: the new name is taken away
//! and the error reported, so that what a commit then finds by reading is never an unsynced file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::error::LakeError;

const STAGING: &str = ".staging";

/// Numbers staging files of this process, whichever store they belong to.
static STAGED: AtomicU64 = AtomicU64::new(0);

/// The folder `root` (made if absent) as an object store. Every `put` is durable when it returns, with all folders above
/// it; `PutMode::Create` is atomic. Left-overs of a crashed process in `.staging` are removed.
///
/// # Errors
/// [`LakeError::Io`] when the folder cannot be made, synced or opened.
pub fn durable_local(root: &FilePath) -> std::result::Result<Arc<dyn ObjectStore>, LakeError> {
    let fault = |why: String| LakeError::Io { action: "open", file: root.display().to_string(), why };
    let root = std::path::absolute(root).map_err(|error| fault(error.to_string()))?;
    make_folders(&root).map_err(|error| fault(error.to_string()))?;
    let staging = root.join(STAGING);
    make_folders(&staging).map_err(|error| fault(error.to_string()))?;
    sweep(&staging);
    let inner = LocalFileSystem::new_with_prefix(&root).map_err(|error| fault(error.to_string()))?;
    Ok(Arc::new(DurableLocal { inner, staging, root }))
}

/// The existing folder `root` as an object store for reading: nothing is made, swept or locked, so that it may belong to
/// a running process or lie on a read-only disk.
///
/// # Errors
/// [`LakeError::Io`] when the folder cannot be opened.
pub fn local_to_read(root: &FilePath) -> std::result::Result<Arc<dyn ObjectStore>, LakeError> {
    let fault = |why: String| LakeError::Io { action: "open", file: root.display().to_string(), why };
    let root = std::path::absolute(root).map_err(|error| fault(error.to_string()))?;
    let inner = LocalFileSystem::new_with_prefix(&root).map_err(|error| fault(error.to_string()))?;
    Ok(Arc::new(inner))
}

/// See [`durable_local`].
#[derive(Debug)]
struct DurableLocal {
    inner: LocalFileSystem,
    staging: PathBuf,
    root: PathBuf,
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableLocal({})", self.root.display())
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(not_implemented("put with PutMode::Update")),
        };
        let target = self.inner.path_to_filesystem(location)?;
        let (staged, file) = stage(&self.staging).map_err(|error| put_fault(location, error))?;
        let result = put_durably(file, &staged, &target, &payload, create);
        // Linked or failed, the staged name has done its work; a left-over is swept at the next start.
        let _ = fs::remove_file(&staged);
        result.map_err(|error| put_fault(location, error))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        if let Some(folder) = target.parent() {
            make_folders(folder).map_err(|error| put_fault(location, error))?;
        }
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, target, location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        // Copies of the inner store would not be synced, and nothing here needs one.
        Err(not_implemented("copy"))
    }
}

/// A multipart upload whose end is synced.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    target: PathBuf,
    location: Path,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        self.inner.put_part(payload)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let synced = File::open(&self.target).and_then(|file| file.sync_all()).and_then(|()| sync_parent(&self.target));
        if let Err(error) = synced {
            let _ = fs::remove_file(&self.target);
            return Err(put_fault(&self.location, error));
        }
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

fn put_durably(
    mut file: File,
    staged: &FilePath,
    target: &FilePath,
    payload: &PutPayload,
    create: bool,
) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        make_folders(folder)?;
    }
    payload.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    drop(file);
    if create {
        fs::hard_link(staged, target)?
    } else {
        fs::rename(staged, target)?
    }
    sync_parent(target).inspect_err(|_| {
        let _ = fs::remove_file(target);
    })
}

/// Makes `folder` and those above it; each new one is entered durably in its parent.
fn make_folders(folder: &FilePath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync_parent(folder),
        // Another thread was faster; it may not have synced yet, so sync as well.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => sync_parent(folder),
        Err(error) => Err(error),
    }
}

fn sync_parent(path: &FilePath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// A new file in the staging folder. Never through an old name: after a crash between link and unlink that is the same
/// file as a committed one.
fn stage(staging: &FilePath) -> io::Result<(PathBuf, File)> {
    loop {
        let staged = staging.join(format!("{}-{}", std::process::id(), STAGED.fetch_add(1, Ordering::Relaxed)));
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (staged, file)),
        }
    }
}

/// Removes what earlier processes staged; the folder's lock keeps others away. One that cannot be removed does no harm.
fn sweep(staging: &FilePath) {
    for entry in fs::read_dir(staging).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}

fn put_fault(location: &Path, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: location.to_string(), source: error.into() },
        _ => Error::Generic { store: "DurableLocal", source: error.into() },
    }
}

fn not_implemented(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "DurableLocal".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::wait;
    use object_store::ObjectStoreExt;

    fn put(store: &dyn ObjectStore, key: &str, text: &str, mode: PutMode) -> Result<PutResult> {
        wait(store.put_opts(&Path::from(key), PutPayload::from(text.to_owned()), mode.into()))
    }

    #[test]
    fn create_refuses_a_taken_name_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = durable_local(&folder.path().join("new/root")).expect("opens");
        put(&*store, "a/b/c.txt", "one", PutMode::Create).expect("first");
        let second = put(&*store, "a/b/c.txt", "two", PutMode::Create);
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        put(&*store, "a/b/d.txt", "one", PutMode::Overwrite).expect("new");
        put(&*store, "a/b/d.txt", "two", PutMode::Overwrite).expect("replaced");
        let text = |key: &str| wait(async { store.get(&Path::from(key)).await?.bytes().await }).expect("is there");
        assert_eq!((&text("a/b/c.txt")[..], &text("a/b/d.txt")[..]), (&b"one"[..], &b"two"[..]));
        let staged = fs::read_dir(folder.path().join("new/root/.staging")).expect("a folder").count();
        assert_eq!(staged, 0);
    }

    #[test]
    fn left_overs_are_swept_whoever_left_them() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(STAGING)).expect("made");
        for name in ["0-17".to_owned(), format!("{}-17", std::process::id())] {
            fs::write(folder.path().join(STAGING).join(name), b"half").expect("written");
        }
        durable_local(folder.path()).expect("opens");
        assert_eq!(fs::read_dir(folder.path().join(STAGING)).expect("a folder").count(), 0);
    }

    #[test]
    fn a_staged_name_that_is_still_linked_is_never_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = durable_local(folder.path()).expect("opens");
        put(&*store, "a/committed", "one", PutMode::Create).expect("first");
        // As after a crash between link and unlink, in a container whose process always has the same number.
        let upcoming = STAGED.load(Ordering::Relaxed)..STAGED.load(Ordering::Relaxed) + 50;
        for n in upcoming {
            let name = folder.path().join(STAGING).join(format!("{}-{n}", std::process::id()));
            fs::hard_link(folder.path().join("a/committed"), name).expect("linked");
        }
        put(&*store, "a/next", "two", PutMode::Create).expect("second");
        assert_eq!(fs::read(folder.path().join("a/committed")).expect("is there"), b"one");
        assert_eq!(fs::read(folder.path().join("a/next")).expect("is there"), b"two");
    }

    #[test]
    fn multipart_uploads_and_updates_behave() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = durable_local(folder.path()).expect("opens");
        let mut upload = wait(store.put_multipart(&Path::from("x/y"))).expect("starts");
        wait(upload.put_part("ab".into())).expect("part");
        wait(upload.complete()).expect("done");
        assert_eq!(fs::read(folder.path().join("x/y")).expect("is there"), b"ab");
        let update = PutMode::Update(object_store::UpdateVersion { e_tag: None, version: None });
        assert!(matches!(put(&*store, "x/y", "z", update), Err(Error::NotImplemented { .. })));
    }
}
