//! Runs one statement under limits and streams the answer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
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
use crate::gate;
use crate::system::SystemRows;

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
        let config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, MAIN)
            .with_create_default_catalog_and_schema(false);
        let top = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
        let pool = TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), top);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
        let state = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
        let context = SessionContext::new_with_state(state.build());
        // Generators as tables would allocate what their arguments say, past every memory pool.
        for generator in ["generate_series", "range"] {
            context.deregister_udtf(generator);
        }
        let sources = Sources { select, system, series_max: limits.series_max };
        context.register_catalog(CATALOG, Arc::new(Catalog::new(sources)));
        Ok(Self { context, limits })
    }

    /// Runs a statement. Errors before the first batch are returned here; later ones end the body.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn query(&self, request: SqlRequest) -> Result<SqlAnswer, SqlError> {
        let limit = request.timeout.unwrap_or(self.limits.timeout).min(self.limits.timeout);
        let deadline = Deadline { at: Instant::now() + limit, limit };
        let rows_max = request.rows_max.unwrap_or(self.limits.rows_max).min(self.limits.rows_max);
        let stream = deadline.bound(self.start(&request.sql)).await??;
        let schema = stream.schema();
        let beyond = if request.truncate { Beyond::Cut } else { Beyond::Refuse };
        let mut batches = Box::pin(bounded(stream, rows_max, beyond, deadline));
        let first = batches.next().await.transpose()?;
        let writer = Writer::new(request.format, &schema, Instant::now())?;
        let batches = futures::stream::iter(first.map(Ok)).chain(batches).boxed();
        Ok(SqlAnswer { content_type: request.format.content_type(), chunks: encode(writer, batches) })
    }

    /// Runs a statement and collects its batches.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn collect(&self, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), SqlError> {
        let limit = self.limits.timeout;
        let deadline = Deadline { at: Instant::now() + limit, limit };
        let stream = deadline.bound(self.start(sql)).await??;
        let schema = stream.schema();
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

    async fn start(&self, sql: &str) -> Result<SendableRecordBatchStream, SqlError> {
        let statement = gate::parse(sql)?;
        let state = self.context.state();
        let plan = state.statement_to_plan(statement).await?;
        gate::check(&plan)?;
        Ok(self.context.execute_logical_plan(plan).await?.execute_stream().await?)
    }
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
    stream: SendableRecordBatchStream,
    rows_max: usize,
    beyond: Beyond,
    deadline: Deadline,
) -> impl Stream<Item = Result<RecordBatch, SqlError>> + Send {
    futures::stream::try_unfold((stream, rows_max), move |(mut stream, left)| async move {
        if left == 0 && beyond == Beyond::Cut {
            return Ok(None);
        }
        let Some(batch) = deadline.bound(stream.next()).await? else { return Ok(None) };
        let batch = batch.map_err(SqlError::from)?;
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
