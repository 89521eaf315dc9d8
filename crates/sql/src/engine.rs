//! Runs one statement under limits and streams the answer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use series::Select;

use crate::catalog::{CATALOG, Catalog, MAIN, Sources};
use crate::error::SqlError;
use crate::format::{Format, Writer};
use crate::system::SystemRows;
use crate::{functions, gate, sketches};

/// Bounds of every query.
#[derive(Debug, Clone)]
pub struct SqlLimits {
    /// Rows of an answer.
    pub rows_max: usize,
    /// Series of one scan.
    pub series_max: usize,
    /// Memory of all running queries together, bytes.
    pub memory_bytes: usize,
    /// Time of one query.
    pub timeout: Duration,
    /// Partitions of a scan; 0 takes one a core.
    pub threads: usize,
}

impl Default for SqlLimits {
    fn default() -> Self {
        let timeout = Duration::from_secs(60);
        Self { rows_max: 1_000_000, series_max: 500_000, memory_bytes: 2 << 30, timeout, threads: 0 }
    }
}

/// A statement with what is wanted of its answer.
#[derive(Debug, Clone)]
pub struct SqlRequest {
    /// One statement.
    pub sql: String,
    /// Form of the answer.
    pub format: Format,
    /// Rows wanted at most; never above [`SqlLimits::rows_max`].
    pub rows_max: Option<usize>,
    /// Whether rows beyond that are left out instead of refused.
    pub truncate: bool,
    /// Time wanted at most; never above [`SqlLimits::timeout`].
    pub timeout: Option<Duration>,
}

/// An answer on its way.
pub struct SqlAnswer {
    /// Media type of the chunks.
    pub content_type: &'static str,
    /// The body; an error inside ends it.
    pub chunks: BoxStream<'static, Result<Bytes, SqlError>>,
}

/// SQL over a store and the application's tables. Cheap to clone.
#[derive(Clone)]
pub struct SqlEngine {
    context: SessionContext,
    limits: SqlLimits,
    threads: Arc<Threads>,
}

impl SqlEngine {
    /// An engine over `select` and `system`.
    ///
    /// # Errors
    /// [`SqlError::Execution`] when the engine's runtime cannot be made.
    pub fn new(select: Arc<dyn Select>, system: Arc<dyn SystemRows>, limits: SqlLimits) -> Result<Self, SqlError> {
        let threads = match limits.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, MAIN)
            .with_create_default_catalog_and_schema(false);
        // Places of names, for messages.
        config.options_mut().sql_parser.collect_spans = true;
        let top = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), top);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
        let state = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
        let context = SessionContext::new_with_state(state.build());
        functions::restrict(&context);
        context.register_udaf(sketches::quantile());
        let sources = Sources { select, system, series_max: limits.series_max };
        context.register_catalog(CATALOG, Arc::new(Catalog::new(sources)));
        Ok(Self { context, limits, threads: Arc::new(Threads::new(threads)?) })
    }

    /// The same engine (threads, memory, limits) over another `select`.
    #[must_use]
    pub fn over(&self, select: Arc<dyn Select>, system: Arc<dyn SystemRows>) -> Self {
        let context = SessionContext::new_with_state(
            SessionStateBuilder::new_from_existing(self.context.state())
                .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
                .build(),
        );
        let sources = Sources { select, system, series_max: self.limits.series_max };
        context.register_catalog(CATALOG, Arc::new(Catalog::new(sources)));
        Self { context, limits: self.limits.clone(), threads: Arc::clone(&self.threads) }
    }

    /// Runs a statement. Errors before the first batch are returned here; later ones end the body.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn query(&self, request: SqlRequest) -> Result<SqlAnswer, SqlError> {
        let limit = request.timeout.unwrap_or(self.limits.timeout).min(self.limits.timeout);
        let deadline = Deadline { at: Instant::now() + limit, limit };
        let rows_max = request.rows_max.unwrap_or(self.limits.rows_max).min(self.limits.rows_max);
        let (schema, stream) = self.start(request.sql, deadline).await?;
        let beyond = if request.truncate { Beyond::Cut } else { Beyond::Refuse };
        let mut batches = Box::pin(bounded(stream, rows_max, beyond, deadline));
        let first = batches.next().await.transpose()?;
        let writer = Writer::new(request.format, &schema, Instant::now())?;
        let batches = futures::stream::iter(first.map(Ok)).chain(batches).boxed();
        Ok(SqlAnswer { content_type: request.format.content_type(), chunks: encode(writer, batches) })
    }

    /// Runs `work` on the engine's own threads and waits for it.
    pub(crate) async fn on_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        let (send, answer) = tokio::sync::oneshot::channel();
        let _work = self.threads.spawn(async move { drop(send.send(work.await)) });
        answer
            .await
            .map_err(|_| SqlError::Execution("the work ended without an answer; see the server's log".into()))?
    }

    /// Runs a statement and collects its batches.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn collect(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
        let limit = self.limits.timeout;
        let deadline = Deadline { at: Instant::now() + limit, limit };
        let (schema, stream) = self.start(sql.to_owned(), deadline).await?;
        let mut batches = Box::pin(bounded(stream, self.limits.rows_max, Beyond::Refuse, deadline));
        let mut all = Vec::new();
        while let Some(batch) = batches.next().await {
            all.push(batch?);
        }
        Ok((schema, all))
    }

    pub(crate) fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Plans and runs a statement on the engine's own threads; batches come over a bounded channel. Dropping the stream
    /// ends the work at its next pause.
    async fn start(&self, sql: String, deadline: Deadline) -> Result<(SchemaRef, Batches), SqlError> {
        let (send_schema, schema) = tokio::sync::oneshot::channel();
        let (send, batches) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
        let context = self.context.clone();
        let work = self.threads.spawn(async move {
            let mut stream = match plan(&context, &sql).await {
                Ok(stream) => stream,
                Err(err) => return drop(send_schema.send(Err(err))),
            };
            if send_schema.send(Ok(stream.schema())).is_err() {
                return;
            }
            while let Some(batch) = stream.next().await {
                if send.send(batch.map_err(SqlError::from)).await.is_err() {
                    return;
                }
            }
        });
        let ended = || SqlError::Execution("the query ended without an answer; see the server's log".into());
        let schema = deadline.bound(schema).await?.map_err(|_| ended())??;
        Ok((schema, Batches { batches, _work: work }))
    }
}

/// Batches that may wait for a slow reader.
const BATCHES_AHEAD: usize = 4;
/// Stack of a thread: planners recurse as deep as statements nest, which the gate bounds (see `gate`).
const STACK_BYTES: usize = 64 << 20;

async fn plan(context: &SessionContext, sql: &str) -> Result<SendableRecordBatchStream, SqlError> {
    let statement = gate::parse(sql)?;
    let plan = context.state().statement_to_plan(statement).await?;
    gate::check(&plan)?;
    Ok(context.execute_logical_plan(plan).await?.execute_stream().await?)
}

/// Threads of queries, apart from those that serve connections: a busy query must not keep a health check waiting.
struct Threads(Option<tokio::runtime::Runtime>);

impl Threads {
    fn new(threads: usize) -> Result<Self, SqlError> {
        let built = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("sql")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        built
            .map(|runtime| Self(Some(runtime)))
            .map_err(|err| SqlError::Execution(format!("start query threads: {err}")))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Work {
        Work(self.0.as_ref().map(|runtime| runtime.spawn(work).abort_handle()))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // In the background, because the last owner may be a thread that must not block.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Running work; ended when dropped.
struct Work(Option<tokio::task::AbortHandle>);

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(work) = &self.0 {
            work.abort();
        }
    }
}

/// Batches on their way from the engine's threads.
struct Batches {
    batches: tokio::sync::mpsc::Receiver<Result<RecordBatch, SqlError>>,
    _work: Work,
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, SqlError> {
        let late = SqlError::Timeout { limit_ms: self.limit.as_millis() as u64 };
        tokio::time::timeout_at(self.at.into(), work).await.map_err(|_| late)
    }
}

/// What becomes of rows beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Refuse,
    Cut,
}

/// The batches of `stream`, ended with an error at the deadline and, as asked, at `rows_max` rows.
fn bounded(
    stream: Batches,
    rows_max: usize,
    beyond: Beyond,
    deadline: Deadline,
) -> impl Stream<Item = Result<RecordBatch, SqlError>> + Send {
    futures::stream::try_unfold((stream, rows_max), move |(mut stream, left)| async move {
        if left == 0 && beyond == Beyond::Cut {
            return Ok(None);
        }
        let Some(batch) = deadline.bound(stream.batches.recv()).await? else { return Ok(None) };
        let batch = batch?;
        if batch.num_rows() <= left {
            let left = left - batch.num_rows();
            return Ok(Some((batch, (stream, left))));
        }
        match beyond {
            Beyond::Refuse => Err(SqlError::TooManyRows { limit: rows_max }),
            Beyond::Cut => Ok(Some((batch.slice(0, left), (stream, 0)))),
        }
    })
}

fn encode(
    writer: Writer,
    batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
) -> BoxStream<'static, Result<Bytes, SqlError>> {
    futures::stream::try_unfold(Some((writer, batches)), |state| async move {
        let Some((mut writer, mut batches)) = state else { return Ok(None) };
        match batches.next().await {
            Some(batch) => {
                let chunk = writer.batch(&batch?)?;
                Ok(Some((chunk, Some((writer, batches)))))
            }
            None => Ok(Some((writer.finish()?, None))),
        }
    })
    .filter(|chunk| std::future::ready(!matches!(chunk, Ok(bytes) if bytes.is_empty())))
    .boxed()
}

#[cfg(test)]
mod tests;
