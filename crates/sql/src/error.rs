//! Why a statement is not answered, in words a person can act on.

use datafusion::common::Location;
use datafusion::error::DataFusionError;

/// Why a statement is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The text is not SQL.
    #[error("{message}")]
    Parse {
        /// What is wrong, as the parser says it.
        message: String,
        /// Line, from 1, when known.
        line: Option<u64>,
        /// Column, from 1, when known.
        column: Option<u64>,
    },
    /// The statement may not be run here.
    #[error("{0}")]
    Refused(String),
    /// Names or types do not fit.
    #[error("{message}")]
    Plan {
        /// What is wrong.
        message: String,
        /// What to try.
        hint: Option<String>,
        /// Line, from 1, when known.
        line: Option<u64>,
        /// Column, from 1, when known.
        column: Option<u64>,
    },
    /// Out of time.
    #[error("query took longer than its limit of {limit_ms} ms; narrow the time range or raise timeout")]
    Timeout {
        /// The limit.
        limit_ms: u64,
    },
    /// More rows than allowed.
    #[error("answer has more than {limit} rows; add a LIMIT or aggregate, or raise limit")]
    TooManyRows {
        /// The limit.
        limit: usize,
    },
    /// The query's memory budget is spent.
    #[error("query needs more memory than its budget: {0}; aggregate earlier or narrow the time range")]
    Memory(String),
    /// Running failed.
    #[error("{0}")]
    Execution(String),
}

impl SqlError {
    /// A fault of names or types whose place is not known.
    pub(crate) fn plan(message: impl Into<String>) -> Self {
        Self::Plan { message: message.into(), hint: None, line: None, column: None }
    }

    /// Line and column of the fault, from 1, as far as known.
    pub fn place(&self) -> (Option<u64>, Option<u64>) {
        match self {
            Self::Parse { line, column, .. } | Self::Plan { line, column, .. } => (*line, *column),
            _ => (None, None),
        }
    }

    /// What to try next, when there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Plan { hint, .. } => hint.clone(),
            Self::Parse { .. } => {
                Some("only one statement at a time; names with dots or capitals need \"quotes\"".into())
            }
            _ => None,
        }
    }
}

impl From<DataFusionError> for SqlError {
    fn from(err: DataFusionError) -> Self {
        let place = err.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
        match err.find_root() {
            DataFusionError::SQL(parser, _) => parse_error(&parser.to_string()),
            DataFusionError::ResourcesExhausted(why) => Self::Memory(first_line(why)),
            DataFusionError::Plan(why) => plan_error(why, place),
            DataFusionError::SchemaError(why, _) => plan_error(&why.to_string(), place),
            DataFusionError::NotImplemented(why) => plan_error(&format!("not supported: {why}"), place),
            DataFusionError::External(why) => match why.downcast_ref::<Self>() {
                Some(own) => own.clone(),
                None => Self::Execution(why.to_string()),
            },
            other => Self::Execution(first_line(&other.strip_backtrace())),
        }
    }
}

pub(crate) fn parse_error(text: &str) -> SqlError {
    let number = |word: &str| {
        let after = &text[text.find(word)? + word.len()..];
        after.trim_start_matches([':', ' ']).split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let message = text.strip_prefix("sql parser error: ").unwrap_or(text).to_owned();
    SqlError::Parse { message, line: number("Line"), column: number("Column") }
}

fn plan_error(why: &str, place: Option<Location>) -> SqlError {
    let message = first_line(why);
    let hint = if message.contains("table") && message.contains("not found") {
        Some("metrics are tables of schema metrics: SELECT * FROM metrics.\"up\"; SHOW TABLES lists all".into())
    } else {
        None
    };
    // Line 0 stands for a part of the plan that no text stands for.
    let place = place.filter(|place| place.line > 0);
    SqlError::Plan { message, hint, line: place.map(|place| place.line), column: place.map(|place| place.column) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or(text).to_owned()
}
