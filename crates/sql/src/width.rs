//! How long a value can become, from the plan alone, before anything runs.
//!
//! Memory pools see batches, not what a function allocates for one call, and a text that a function doubles sixty times
//! ends the process. So every text and list gets a bound: `factor` times the longest value of a table plus `constant`
//! bytes. Functions that multiply are known with what they multiply by; all others hand on at most the sum of their
//! arguments. What is not known to be bounded is refused.
//!
//! ```text
//!   scan (1, 0) ─▶ instance || ':' (1, 1) ─▶ repeat(…, 10) (10, 10) ─▶ in the limits
//!   'aaa…' (0, 10000) ─▶ replace(…, 'a', '<100 bytes>') (0, 1000000) ─▶ refused
//! ```

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, WindowFunctionDefinition};

use crate::error::SqlError;

/// Largest count that `repeat`, `lpad` and `rpad` take.
const COUNT_MAX: i64 = 10_000;
/// Bounds of one value, and of what one step of a plan adds to each row.
const VALUE_MAX: Width = Width { factor: 16, constant: 16 << 10 };
const ROW_MAX: Width = Width { factor: 64, constant: 64 << 10 };
/// Bytes of a number or a time, also as text.
const NUMBER: Width = Width { factor: 0, constant: 32 };
/// A value of a table, read as it is.
const STORED: Width = Width { factor: 1, constant: 32 };
/// All values of a group in one. The memory pool bounds it; it must not grow much on top.
const GATHERED: Width = Width { factor: 3, constant: 0 };
const GATHERERS: [&str; 2] = ["array_agg", "string_agg"];

/// `factor` times the longest value of any table, plus `constant` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Width {
    factor: u64,
    constant: u64,
}

impl Width {
    fn bytes(constant: usize) -> Self {
        Self { factor: 0, constant: constant as u64 }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            factor: self.factor.saturating_add(other.factor),
            constant: self.constant.saturating_add(other.constant),
        }
    }

    fn times(self, n: u64) -> Self {
        Self { factor: self.factor.saturating_mul(n), constant: self.constant.saturating_mul(n) }
    }

    fn max(self, other: Self) -> Self {
        Self { factor: self.factor.max(other.factor), constant: self.constant.max(other.constant) }
    }

    fn fits(self, limit: Self) -> bool {
        self.factor <= limit.factor && self.constant <= limit.constant
    }
}

/// What columns can be.
#[derive(Clone, Copy)]
struct Scope {
    /// Columns of tables.
    stored: Width,
    /// Columns of the plan's input.
    input: Width,
    /// Columns of the query around a subquery.
    outer: Width,
}

/// Refuses plans in which a value could grow beyond bounds.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    widest(plan, Scope { stored: STORED, input: STORED, outer: STORED }).map(drop)
}

/// The widest column of a plan.
fn widest(plan: &LogicalPlan, scope: Scope) -> Result<Width, SqlError> {
    if let LogicalPlan::RecursiveQuery(query) = plan {
        // A round reads what the one before said. If that does not grow, nothing ever does.
        let first = widest(&query.static_term, scope)?.max(scope.stored);
        let round = widest(&query.recursive_term, Scope { stored: first, ..scope })?;
        return if round.fits(first) {
            Ok(first)
        } else {
            Err(SqlError::Refused("WITH RECURSIVE must not build texts or lists that grow with each round".into()))
        };
    }
    let mut input = Width::default();
    for below in plan.inputs() {
        input = input.max(widest(below, scope)?);
    }
    if matches!(plan, LogicalPlan::TableScan(_)) {
        input = scope.stored;
    }
    let scope = Scope { input, ..scope };
    let (mut widest, mut added) = (Width::default(), Width::default());
    for expr in plan.expressions() {
        let width = width(&expr, scope)?;
        widest = widest.max(width);
        // A column that is handed on adds nothing.
        added = added.plus(Width { factor: width.factor.saturating_sub(1), ..width });
    }
    if !added.fits(ROW_MAX) {
        return Err(SqlError::Refused(format!(
            "texts made in one step of the query could reach {} bytes and {} times the stored values in a row, at most {} \
             and {} are taken; make fewer or shorter ones",
            added.constant, added.factor, ROW_MAX.constant, ROW_MAX.factor
        )));
    }
    Ok(match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Values(_) => widest,
        LogicalPlan::Window(_) => widest.max(input),
        _ => input,
    })
}

/// The width of an expression that is within bounds, as are all its parts.
fn width(expr: &Expr, scope: Scope) -> Result<Width, SqlError> {
    let found = match expr {
        Expr::Column(_) => scope.input,
        Expr::OuterReferenceColumn(..) => scope.outer,
        Expr::Literal(value, _) => literal(value),
        Expr::Cast(_) | Expr::TryCast(_) => parts(expr, scope)?.plus(NUMBER),
        Expr::BinaryExpr(binary) if yields_number(binary.op) => parts(expr, scope).map(|_| NUMBER)?,
        Expr::Alias(_)
        | Expr::BinaryExpr(_)
        | Expr::Unnest(_)
        | Expr::GroupingSet(_)
        | Expr::Case(_)
        | Expr::Negative(_) => parts(expr, scope)?,
        Expr::ScalarFunction(call) => multiplied(call, parts(expr, scope)?, scope)?,
        Expr::AggregateFunction(call) => {
            let arguments = parts(expr, scope)?;
            if GATHERERS.contains(&call.func.name()) { GATHERED } else { arguments }
        }
        Expr::WindowFunction(call) => windowed(call, parts(expr, scope)?)?,
        Expr::ScalarSubquery(subquery) => inner(&subquery.subquery, scope)?,
        Expr::Exists(exists) => inner(&exists.subquery.subquery, scope).map(|_| NUMBER)?,
        Expr::InSubquery(within) => {
            inner(&within.subquery.subquery, scope)?;
            parts(expr, scope).map(|_| NUMBER)?
        }
        Expr::SetComparison(comparison) => {
            inner(&comparison.subquery.subquery, scope)?;
            parts(expr, scope).map(|_| NUMBER)?
        }
        Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => {
            return Err(SqlError::Refused("functions over functions (lambdas) are not allowed".into()));
        }
        _ => parts(expr, scope).map(|_| NUMBER)?,
    };
    if found.fits(VALUE_MAX) { Ok(found) } else { Err(too_wide(expr, found)) }
}

fn inner(plan: &LogicalPlan, scope: Scope) -> Result<Width, SqlError> {
    widest(plan, Scope { outer: scope.input.max(scope.outer), ..scope })
}

/// The widths of the parts of an expression, added.
fn parts(expr: &Expr, scope: Scope) -> Result<Width, SqlError> {
    let (mut sum, mut fault) = (Width::default(), None);
    expr.apply_children(|part| match width(part, scope) {
        Ok(width) => {
            sum = sum.plus(width);
            Ok(TreeNodeRecursion::Continue)
        }
        Err(err) => {
            fault = Some(err);
            Ok(TreeNodeRecursion::Stop)
        }
    })?;
    fault.map_or(Ok(sum), Err)
}

fn literal(value: &ScalarValue) -> Width {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            Width::bytes(text.as_ref().map_or(0, String::len))
        }
        ScalarValue::Dictionary(_, value) => literal(value),
        value if value.data_type().is_nested() => Width::bytes(value.size()),
        ScalarValue::Binary(bytes) | ScalarValue::LargeBinary(bytes) | ScalarValue::BinaryView(bytes) => {
            Width::bytes(bytes.as_ref().map_or(0, Vec::len))
        }
        _ => NUMBER,
    }
}

fn yields_number(op: Operator) -> bool {
    op.is_numerical_operators() || op.supports_propagation() || op.is_logic_operator()
}

/// What a function makes of arguments of together `sum`.
fn multiplied(call: &ScalarFunction, sum: Width, scope: Scope) -> Result<Width, SqlError> {
    let (name, args) = (call.func.name(), &call.args);
    let fault = |why: &str| Err(SqlError::Refused(format!("{name}() {why}")));
    let of = |i: usize| args.get(i).map_or(Ok(Width::default()), |arg| width(arg, scope));
    Ok(match name {
        "repeat" => match args.get(1).and_then(count) {
            Some(n) => of(0)?.times(n),
            None => return fault(&format!("needs a literal count of at most {COUNT_MAX}")),
        },
        "lpad" | "rpad" => match args.get(1).and_then(count) {
            Some(n) => of(0)?.max(Width::bytes(4 * n as usize)),
            None => return fault(&format!("needs a literal count of at most {COUNT_MAX}")),
        },
        "replace" | "regexp_replace" | "array_replace" | "array_replace_n" | "array_replace_all" => {
            let (text, by) = (of(0)?, of(2)?);
            if by.factor > 0 {
                return fault("needs a literal replacement");
            }
            let found = args.get(1).map_or(0, |found| if name == "replace" { text_bytes(found) } else { 0 }) as u64;
            match (found, by.constant) {
                // Not longer than what it replaces.
                (found, by) if by <= found => text,
                (0, by) => text.plus(Width::bytes(1)).times(by + 1),
                (found, by) => text.times(by.div_ceil(found)),
            }
        }
        "array_to_string" => {
            let between = of(1)?.plus(of(2)?);
            if between.factor > 0 {
                return fault("needs a literal delimiter");
            }
            // An element takes four bytes at least; as a number it can become four times as long.
            of(0)?.times(4 + between.constant.div_ceil(4))
        }
        "concat_ws" => sum.plus(of(0)?.times(args.len() as u64)),
        "string_to_array" => sum.times(8),
        "to_char" => sum.times(20),
        "encode" | "translate" => sum.times(4),
        // An element has an offset beside it.
        "make_array" => sum.plus(Width::bytes(4 * args.len())),
        _ => sum,
    })
}

fn windowed(call: &WindowFunction, arguments: Width) -> Result<Width, SqlError> {
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) if GATHERERS.contains(&function.name()) => {
            // Each row would hold all rows before it.
            Err(SqlError::Refused(format!("{}() OVER is not allowed; use it with GROUP BY", function.name())))
        }
        _ => Ok(arguments),
    }
}

fn count(expr: &Expr) -> Option<u64> {
    let Expr::Literal(count, _) = expr else { return None };
    match count.cast_to(&arrow::datatypes::DataType::Int64).ok()? {
        ScalarValue::Int64(Some(count)) if (0..=COUNT_MAX).contains(&count) => Some(count as u64),
        _ => None,
    }
}

/// Bytes of a literal text; 0 for everything else.
fn text_bytes(expr: &Expr) -> usize {
    match expr {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => text.len(),
        _ => 0,
    }
}

fn too_wide(expr: &Expr, found: Width) -> SqlError {
    let shown: String = expr.to_string().chars().take(80).collect();
    SqlError::Refused(format!(
        "{shown}… could make a value of {} bytes and {} times a stored one; at most {} and {} are taken",
        found.constant, found.factor, VALUE_MAX.constant, VALUE_MAX.factor
    ))
}
