//! Tree ▶ values, vectorised over steps.
//!
//! ```text
//!   grid of steps ─▶ eval(expr) ─▶ Operand: one number, or rows of (labels, one slot a step)
//!      selectors:  one select, one read a series, a sliding look-back or window over all steps   (parallel over series)
//!      operators:  work on whole rows; what depends on who is present is decided step by step
//!      root:       metric names marked for removal go now; equal label sets are joined or refused
//! ```
//!
//! An absent point is the stale marker's bit pattern ([`rows::ABSENT`]), which no computation yields. Native histograms
//! are a second column beside the floats, there only where a series has some ([`rows::Natives`]).

mod absent;
mod aggregate;
mod aggregate_natives;
pub(crate) mod average;
mod binary;
mod binary_natives;
mod call;
mod choose;
mod context;
mod date;
pub(crate) mod error;
mod extended;
mod hash;
mod histogram;
mod info;
mod instants;
mod labels;
mod matching;
mod native_functions;
mod native_windows;
mod notes;
mod over_time;
mod rate;
mod rows;
mod selector;
mod sort;
mod trend;
mod window;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use series::{Histogram, Labels, Millis, Select, Step, Timestamp};

use self::context::{Context, Steps};
use self::error::EvalError;
use self::rows::Row;
use crate::ast::{Expr, ExprKind, UnaryOp, ValueType};
use crate::native;

/// Limits and settings of one evaluation.
#[derive(Debug, Clone)]
pub struct Options {
    /// How far an instant selector looks back for a sample; the window is `(t - lookback, t]`.
    pub lookback: Millis,
    /// Most samples read plus points held.
    pub samples_max: u64,
    /// Most series of one selector (0: no limit).
    pub series_max: usize,
    /// Most steps of a range query.
    pub points_max: usize,
    /// When to give up.
    pub deadline: Option<Instant>,
    /// Set by the caller to stop the evaluation.
    pub cancel: Option<Arc<AtomicBool>>,
    /// Threads that read and fold series side by side; 1 keeps everything on the caller's thread.
    pub threads: usize,
    /// The text that was parsed; with it, warnings and infos end with the line and column they are about.
    pub text: Option<Arc<str>>,
    /// Whether samples that cannot be read are left out, with a warning, instead of failing the query.
    pub partial: bool,
}

impl Default for Options {
    /// Five minutes of look-back, 100 M samples, 500 k series, 11,000 points, no deadline, one thread.
    fn default() -> Self {
        Self {
            lookback: Millis::from_mins(5),
            samples_max: 100_000_000,
            series_max: 500_000,
            points_max: 11_000,
            deadline: None,
            cancel: None,
            threads: 1,
            text: None,
            partial: false,
        }
    }
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Faults in the data that change the result; sorted, without repeats.
    pub warnings: Vec<String>,
    /// Remarks that do not; sorted, without repeats.
    pub infos: Vec<String>,
    /// What it took.
    pub stats: Stats,
}

/// What an evaluation read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Series selected, over all selectors.
    pub series: u64,
    /// Samples read.
    pub samples_read: u64,
}

/// A query's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Timestamp, f64),
    /// One text.
    String(Timestamp, String),
    /// One point a series, in the order of the query's outermost sort, else by selection.
    Vector(Vec<VectorItem>),
    /// Points per series, sorted by labels.
    Matrix(Vec<MatrixItem>),
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorItem {
    /// Labels.
    pub labels: Labels,
    /// Evaluation time.
    pub at: Timestamp,
    /// Value.
    pub point: Point,
}

/// What a series has at one time.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Point {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(_) => None,
        }
    }
}

/// One series of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixItem {
    /// Labels.
    pub labels: Labels,
    /// Floats, oldest first.
    pub points: Vec<(Timestamp, f64)>,
    /// Native histograms, oldest first, at other times than the floats; one of the two lists holds something.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
}

/// Evaluates `expr` at one instant.
///
/// # Errors
/// [`EvalError`].
pub fn instant(select: &dyn Select, expr: &Expr, at: Timestamp, options: &Options) -> Result<Answer, EvalError> {
    let steps = Steps { start: at.0, step: 1, n: 1 };
    let context = Context::new(select, options, steps, Millis(0), Millis(0));
    if expr.value_type() == ValueType::Matrix {
        let series = context.matrix(expr.unparen(), &steps)?;
        return Ok(context.answer(Value::Matrix(series)));
    }
    let value = match context.eval(expr, &steps)? {
        Operand::Scalar(values) => Value::Scalar(at, values.first().copied().unwrap_or(f64::NAN)),
        Operand::Text(text) => Value::String(at, text),
        Operand::Rows(rows) => {
            let item = |row: Row| row.point(0).map(|point| VectorItem { labels: row.labels, at, point });
            let rows = rows::drop_names(rows)?;
            Value::Vector(rows.into_iter().filter_map(item).collect())
        }
    };
    Ok(context.answer(value))
}

/// Evaluates `expr` at `start`, `start + step`, … up to and including `end`.
///
/// # Errors
/// [`EvalError`].
pub fn range(
    select: &dyn Select,
    expr: &Expr,
    start: Timestamp,
    end: Timestamp,
    step: Step,
    options: &Options,
) -> Result<Answer, EvalError> {
    let found = expr.value_type();
    if !matches!(found, ValueType::Scalar | ValueType::Vector) {
        return Err(EvalError::WrongType { found });
    }
    if end < start {
        return Err(EvalError::EndBeforeStart);
    }
    let span = Millis(end.0.saturating_sub(start.0));
    let points = (span.0 / step.millis()) as u64 + 1;
    if points > options.points_max as u64 {
        return Err(EvalError::TooManyPoints { points, limit: options.points_max as u64 });
    }
    let steps = Steps { start: start.0, step: step.millis(), n: points as usize };
    let context = Context::new(select, options, steps, Millis(step.millis()), span);
    let rows = match context.eval(expr, &steps)? {
        Operand::Scalar(values) => vec![Row::floats(Labels::empty(), false, values)],
        Operand::Text(_) => return Err(EvalError::WrongType { found: ValueType::Text }),
        Operand::Rows(rows) => rows::drop_names(rows)?,
    };
    let mut items: Vec<MatrixItem> = rows.into_iter().filter_map(|row| row.into_item(&steps)).collect();
    items.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(context.answer(Value::Matrix(items)))
}

/// An evaluated expression: every number has one slot a step.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    /// A number a step.
    Scalar(Vec<f64>),
    /// A text.
    Text(String),
    /// Series.
    Rows(Vec<Row>),
}

impl Context<'_> {
    pub(crate) fn eval(&self, expr: &Expr, steps: &Steps) -> Result<Operand, EvalError> {
        self.check()?;
        if self.is_computed_once(expr, steps) {
            let once = Steps { n: 1, ..*steps };
            return Ok(self.eval_node(expr, &once)?.repeat(steps.n));
        }
        self.eval_node(expr, steps)
    }

    /// Whether every step has the same answer, so that one is computed.
    pub(crate) fn is_computed_once(&self, expr: &Expr, steps: &Steps) -> bool {
        steps.n > 1 && is_fixed(expr) && reads_series(expr)
    }

    fn eval_node(&self, expr: &Expr, steps: &Steps) -> Result<Operand, EvalError> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Operand::Scalar(vec![number.value; steps.n])),
            ExprKind::Text(text) => Ok(Operand::Text(text.clone())),
            ExprKind::Vector(selector) => self.vector(selector, steps, selector::Pick::Value).map(Operand::Rows),
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => Err(EvalError::WrongType { found: ValueType::Matrix }),
            ExprKind::Call(call) => self.call(call, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, steps).map(Operand::Rows),
            ExprKind::Binary(binary) => self.binary(binary, expr.span, steps),
            ExprKind::Unary(unary) => {
                let operand = self.eval(&unary.expr, steps)?;
                Ok(if unary.op == UnaryOp::Minus { operand.negate() } else { operand })
            }
            ExprKind::Paren(inner) => self.eval(inner, steps),
        }
    }

    pub(crate) fn rows(&self, expr: &Expr, steps: &Steps) -> Result<Vec<Row>, EvalError> {
        match self.eval(expr, steps)? {
            Operand::Rows(rows) => Ok(rows),
            _ => Err(EvalError::WrongType { found: expr.value_type() }),
        }
    }

    pub(crate) fn scalar(&self, expr: &Expr, steps: &Steps) -> Result<Vec<f64>, EvalError> {
        match self.eval(expr, steps)? {
            Operand::Scalar(values) => Ok(values),
            _ => Err(EvalError::WrongType { found: expr.value_type() }),
        }
    }

    pub(crate) fn text(&self, expr: &Expr) -> Result<String, EvalError> {
        match &expr.unparen().kind {
            ExprKind::Text(text) => Ok(text.clone()),
            _ => Err(EvalError::WrongType { found: expr.value_type() }),
        }
    }
}

impl Operand {
    fn negate(self) -> Self {
        match self {
            Self::Scalar(values) => Self::Scalar(values.into_iter().map(|v| -v).collect()),
            Self::Text(text) => Self::Text(text),
            Self::Rows(mut rows) => {
                for row in &mut rows {
                    let mut natives = std::mem::take(&mut row.natives);
                    natives.map(|_, histogram| Some(Arc::new(native::times(histogram.as_ref().clone(), -1.0))));
                    row.map(|v| -v);
                    row.natives = natives;
                }
                Self::Rows(rows)
            }
        }
    }

    /// The one step's value at `n` steps.
    fn repeat(self, n: usize) -> Self {
        let spread = |values: Vec<f64>| vec![values.first().copied().unwrap_or(f64::NAN); n];
        match self {
            Self::Scalar(values) => Self::Scalar(spread(values)),
            Self::Text(text) => Self::Text(text),
            Self::Rows(rows) => {
                let row = |row: Row| Row { natives: row.natives.spread(n), values: spread(row.values), ..row };
                Self::Rows(rows.into_iter().map(row).collect())
            }
        }
    }
}

fn reads_series(expr: &Expr) -> bool {
    let mut found = false;
    crate::visit::walk(expr, &mut |node| found |= matches!(node.kind, ExprKind::Vector(_) | ExprKind::Matrix(_)));
    found
}

/// Whether the value is the same at every step: all selectors stand at a fixed time and nothing asks for the present.
fn is_fixed(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Text(_) => true,
        ExprKind::Vector(selector) => selector.at.is_some(),
        ExprKind::Matrix(matrix) => matrix.selector.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.at.is_some(),
        ExprKind::Call(call) => {
            let asks_for_now = matches!(call.function.name, "time" | "timestamp" | "predict_linear")
                || (call.args.is_empty() && call.function.args_min() == 0 && call.function.args_max() != Some(0));
            !asks_for_now && call.args.iter().all(is_fixed)
        }
        _ => expr.children().into_iter().all(is_fixed),
    }
}
