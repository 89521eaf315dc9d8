//! PromQL: text ▶ typed tree ▶ values over any [`series::Select`].
//!
//! ```text
//!   text ──parse──▶ Expr ──instant / range──▶ Answer { value, warnings, infos, stats }
//!                     │                │
//!                     ▼                ▼ one select + one read a series for the whole step range
//!                  Display         series::Select
//! ```
//!
//! Semantics are those of Prometheus 3.12 for floats and native histograms, with delayed removal of metric names. Evaluation is
//! vectorised over steps: every operand is a column with one slot a step. Nothing here does I/O or reads a clock, except
//! that a deadline, if one is given, is compared with [`std::time::Instant::now`].

mod ast;
mod display;
mod eval;
mod functions;
mod native;
mod number;
mod parse;
mod suggest;
mod visit;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, DurationExpr, DurationOp, Expr, ExprKind, Extension, Group,
    Grouping, MatchLabels, Matching, MatrixSelector, Number, Side, Span, Subquery, Unary, UnaryOp, ValueType,
    VectorSelector,
};
pub use eval::error::{ErrorKind, EvalError};
pub use eval::{Answer, MatrixItem, Options, Point, Stats, Value, VectorItem, instant, range};
pub use functions::{Arity, FUNCTIONS, Function, function};
pub use native::{HistogramBucket, buckets};
pub use number::{format_number, format_sample};
pub use parse::duration::DurationError;
pub use parse::error::ParseError;
pub use parse::parse;
pub use visit::{selectors, walk};
