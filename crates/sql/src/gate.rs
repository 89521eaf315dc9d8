//! What may be asked: reading statements over our own tables, nothing else.
//!
//! Allow-lists throughout, because the engine below adds statements and plan nodes with every release and calls itself
//! no authorization boundary.

use std::collections::VecDeque;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as Ast};

use crate::error::SqlError;

/// Longest statement.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Largest count that `repeat`, `lpad`, `rpad` and generators take.
const COUNT_MAX: i64 = 100_000;
const COUNTED: [&str; 5] = ["repeat", "lpad", "rpad", "generate_series", "range"];

/// Parses exactly one reading statement.
pub(crate) fn parse(sql: &str) -> Result<Statement, SqlError> {
    if sql.len() > TEXT_BYTES_MAX {
        let message = format!("statement is {} bytes long; at most {TEXT_BYTES_MAX} are taken", sql.len());
        return Err(SqlError::Parse { message, line: None, column: None });
    }
    let mut statements: VecDeque<Statement> = DFParser::parse_sql(sql)?;
    let missing = |message: &str| SqlError::Parse { message: message.into(), line: None, column: None };
    let statement = statements.pop_front().ok_or_else(|| missing("no statement; write for instance SHOW TABLES"))?;
    if !statements.is_empty() {
        return Err(missing("more than one statement; send them one by one"));
    }
    if reads(&statement) { Ok(statement) } else { Err(refused(sql)) }
}

fn refused(sql: &str) -> SqlError {
    let word = sql.split_whitespace().next().unwrap_or("").to_uppercase();
    SqlError::Refused(format!(
        "{word} is not allowed: only SELECT, VALUES, SHOW, DESCRIBE and EXPLAIN are, data is read-only"
    ))
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Explain(explain) => reads(&explain.statement),
        Statement::Statement(ast) => reads_ast(ast),
        _ => false,
    }
}

fn reads_ast(ast: &Ast) -> bool {
    match ast {
        Ast::Query(query) => reads_query(query),
        Ast::Explain { statement, .. } => reads_ast(statement),
        Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowVariable { .. } => true,
        _ => false,
    }
}

fn reads_query(query: &Query) -> bool {
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
    ctes.map(|cte| &cte.query).all(|query| reads_query(query)) && reads_set(&query.body)
}

fn reads_set(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => reads_query(query),
        SetExpr::SetOperation { left, right, .. } => reads_set(left) && reads_set(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

/// Checks the plan: only nodes that read, only bounded generators.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(plan)?;
    let mut fault = None;
    plan.apply_with_subqueries(|node| {
        if !allowed(node) {
            fault = Some(SqlError::Refused(format!("plan node {} is not allowed", node.display())));
            return Ok(TreeNodeRecursion::Stop);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                fault = fault.take().or_else(|| oversized(expr));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    fault.map_or(Ok(()), Err)
}

fn allowed(node: &LogicalPlan) -> bool {
    matches!(
        node,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::RecursiveQuery(_)
    )
}

/// A memory pool does not see what one function call allocates, so counts are bounded before it runs.
fn oversized(expr: &Expr) -> Option<SqlError> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let name = call.func.name();
    if !COUNTED.contains(&name) {
        return None;
    }
    let too_large = |value: &ScalarValue| {
        let count = value.cast_to(&arrow::datatypes::DataType::Int64).ok();
        matches!(count, Some(ScalarValue::Int64(Some(count))) if count.checked_abs().is_none_or(|count| count > COUNT_MAX))
    };
    let fault = |why: &str| Some(SqlError::Refused(format!("{name}() {why}; at most {COUNT_MAX} are allowed")));
    for (i, argument) in call.args.iter().enumerate() {
        match argument {
            Expr::Literal(value, _) if too_large(value) => return fault("asks for too many"),
            Expr::Literal(..) => {}
            // A text argument may be a column; a count must be a number that can be seen here.
            _ if i == 0 && !name.contains("range") && !name.contains("series") => {}
            Expr::Negative(_) | Expr::Cast(_) => {}
            _ => return fault("needs literal counts"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_statements_pass() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW TABLES",
            "DESCRIBE samples",
            "SHOW COLUMNS FROM samples",
        ] {
            assert!(parse(sql).is_ok(), "{sql}");
        }
        for sql in [
            "COPY (SELECT 1) TO '/tmp/x.csv'",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE TABLE t AS SELECT 1",
            "CREATE VIEW v AS SELECT 1",
            "INSERT INTO samples VALUES (1)",
            "DELETE FROM samples",
            "UPDATE samples SET value = 1",
            "DROP TABLE samples",
            "SET datafusion.execution.batch_size = 1",
            "SELECT 1; SELECT 2",
            "EXPLAIN COPY (SELECT 1) TO '/tmp/x'",
            "BEGIN",
            "PREPARE p AS SELECT 1",
            "SELECT 1 INTO t",
            "TRUNCATE samples",
            "",
            "   ",
            "-- nothing",
        ] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }
}
