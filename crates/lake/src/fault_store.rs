//! An object store that loses answers, for tests: every put or get may fail before or after it took effect.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How many of 100 requests go wrong, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Puts that land while the answer is lost.
    pub(crate) lost: u64,
    /// Puts that land while the answer says that the object exists.
    pub(crate) echo: u64,
    /// Puts that do not land and say 503.
    pub(crate) refused: u64,
    /// Gets that fail.
    pub(crate) get: u64,
}

#[derive(Debug)]
pub(crate) struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
    state: AtomicU64,
}

impl FaultStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, faults: Faults, seed: u64) -> Self {
        Self { inner, faults, state: AtomicU64::new(seed) }
    }

    /// splitmix64, in percent.
    fn roll(&self) -> u64 {
        let mut z = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % 100
    }
}

fn fault(text: &'static str) -> Error {
    Error::Generic { store: "FaultStore", source: text.into() }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let Faults { lost, echo, refused, .. } = self.faults;
        let roll = self.roll();
        if roll < refused {
            return Err(fault("503 SlowDown"));
        }
        let result = self.inner.put_opts(location, payload, opts).await;
        if roll < refused + lost {
            return Err(fault("connection reset after the request"));
        }
        if roll < refused + lost + echo {
            return Err(Error::AlreadyExists { path: location.to_string(), source: "409 Conflict".into() });
        }
        result
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.roll() < self.faults.get {
            Err(fault("time-out"))
        } else {
            self.inner.get_opts(location, options).await
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if self.roll() < self.faults.get {
            Err(fault("time-out"))
        } else {
            self.inner.get_ranges(location, ranges).await
        }
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

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
