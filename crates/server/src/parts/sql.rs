//! SQL as a service: a statement in, a stream of formatted bytes out.

use std::time::Instant;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::Serialize;

/// Body of an answer. An error after the first chunk cuts the connection, so that a client never takes a part for all.
pub type BytesStream = BoxStream<'static, Result<Bytes, SqlFailure>>;

/// Runs read-only SQL.
pub trait SqlService: Send + Sync {
    /// Plans and runs one statement. Dropping the future or the stream cancels it.
    fn query(&self, request: SqlRequest) -> BoxFuture<'static, Result<SqlAnswer, SqlFailure>>;

    /// Tables with their columns, sorted by name.
    fn tables(&self) -> BoxFuture<'static, Result<Vec<TableInfo>, SqlFailure>>;
}

/// One statement with its bounds.
#[derive(Debug, Clone)]
pub struct SqlRequest {
    /// The text, at most 64 KiB.
    pub sql: String,
    /// Shape of the answer.
    pub format: SqlFormat,
    /// Most rows to answer; more is [`SqlFault::TooLarge`] unless `truncate` is set.
    pub limit: usize,
    /// Whether rows beyond `limit` are left out (the caller asked for a limit) instead of refused.
    pub truncate: bool,
    /// Whether samples that cannot be read are left out instead of failing the statement.
    pub partial: bool,
    /// When to give up.
    pub deadline: Instant,
}

/// Formats of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SqlFormat {
    /// `{columns, rows, stats}`.
    #[default]
    Json,
    /// One object a line.
    Jsonl,
    /// RFC 4180 with a header row.
    Csv,
    /// Arrow IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
    /// A Markdown table.
    Markdown,
}

/// An answer on its way.
pub struct SqlAnswer {
    /// MIME type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: BytesStream,
    /// What the answer may lack, each a sentence in ASCII.
    pub warnings: Vec<String>,
}

/// Why a statement has no answer, with what an editor needs to point at the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlFailure {
    /// Kind of fault.
    pub fault: SqlFault,
    /// What is wrong; no paths, no other tenants' names.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Line of the fault, from 1.
    pub line: Option<u64>,
    /// Column of the fault, from 1.
    pub column: Option<u64>,
}

/// Kinds of faults and their HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlFault {
    /// Not SQL: 400.
    Parse,
    /// SQL that cannot be planned, or is not allowed: 400.
    Plan,
    /// Failed while running on these rows: 422.
    Execution,
    /// Over time: 408.
    Timeout,
    /// Over the row or memory limit: 413.
    TooLarge,
    /// Cancelled: 499.
    Canceled,
    /// Too many at once: 503.
    Busy,
    /// Our fault: 500.
    Internal,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableInfo {
    /// Name with its schema, as written in `FROM`.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// Its columns.
    pub columns: Vec<TableColumn>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// Name.
    pub name: String,
    /// SQL type.
    #[serde(rename = "type")]
    pub kind: String,
}

impl SqlFault {
    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Parse | Self::Plan => 400,
            Self::Execution => 422,
            Self::Timeout => 408,
            Self::TooLarge => 413,
            Self::Canceled => 499,
            Self::Busy => 503,
            Self::Internal => 500,
        }
    }

    /// The `code` of the error body.
    pub fn code(self) -> &'static str {
        match self {
            Self::Parse => "sql_parse",
            Self::Plan => "sql_plan",
            Self::Execution => "sql_execution",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Canceled => "canceled",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }
}

impl SqlFormat {
    /// By its word in `format=`.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::Jsonl,
            "csv" => Self::Csv,
            "arrow" => Self::Arrow,
            "parquet" => Self::Parquet,
            "md" | "markdown" => Self::Markdown,
            _ => return None,
        })
    }

    /// By the first known type of an `Accept` header.
    pub fn from_accept(accept: &str) -> Option<Self> {
        accept.split(',').find_map(|item| {
            let mime = item.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
            Self::ALL.into_iter().find(|format| format.mime() == mime)
        })
    }

    /// MIME type.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Markdown => "text/markdown",
        }
    }

    const ALL: [Self; 6] = [Self::Json, Self::Jsonl, Self::Csv, Self::Arrow, Self::Parquet, Self::Markdown];
}
