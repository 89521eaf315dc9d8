//! What may be asked: reading statements over our own tables, nothing else.
//!
//! Allow-lists throughout, because the engine below adds statements and plan nodes with every release and calls itself
//! no authorization boundary.

use std::collections::VecDeque;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as Ast};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{SqlError, parse_error};
use crate::width;

/// Longest statement.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Operators of a statement. Trees grow as deep as chains of operators are long, and what walks them recurses, so this
/// bounds the stack that a statement can use.
const OPERATORS_MAX: usize = 600;
/// Open parentheses at any place.
const NESTING_MAX: usize = 60;
/// Tables, subqueries and set operations of a statement.
const SELECTS_MAX: usize = 64;
/// Commas outside of brackets of one FROM and JOINs together: each multiplies what the planner looks at.
const JOINS_MAX: usize = 16;
/// The same where WITH names subqueries: each use of a name copies its plan, so names that use names double it again and
/// again.
const SELECTS_WITH_MAX: usize = 24;
const JOINS_WITH_MAX: usize = 10;

/// Parses exactly one reading statement.
pub(crate) fn parse(sql: &str) -> Result<Statement, SqlError> {
    if sql.len() > TEXT_BYTES_MAX {
        let message = format!("statement is {} bytes long; at most {TEXT_BYTES_MAX} are taken", sql.len());
        return Err(SqlError::Parse { message, line: None, column: None });
    }
    bound(sql)?;
    let mut statements: VecDeque<Statement> = DFParser::parse_sql(sql).map_err(|err| placed(err.into(), sql))?;
    let missing = |message: &str| SqlError::Parse { message: message.into(), line: None, column: None };
    let statement = statements.pop_front().ok_or_else(|| missing("no statement; write for instance SHOW TABLES"))?;
    if !statements.is_empty() {
        return Err(missing("more than one statement; send them one by one"));
    }
    if reads(&statement) { Ok(statement) } else { Err(refused(sql)) }
}

/// A fault without a place is one of the statement's end.
fn placed(fault: SqlError, sql: &str) -> SqlError {
    match fault {
        SqlError::Parse { message, line: None, column: None } if message.ends_with("EOF") => {
            let last = sql.rsplit('\n').next().unwrap_or(sql);
            let (line, column) = (sql.matches('\n').count() + 1, last.chars().count() + 1);
            SqlError::Parse { message, line: Some(line as u64), column: Some(column as u64) }
        }
        fault => fault,
    }
}

/// Counts what makes trees deep or plans wide, on the flat list of tokens, before anything recurses.
fn bound(sql: &str) -> Result<(), SqlError> {
    let fault = |message: String| SqlError::Parse { message, line: None, column: None };
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|err| parse_error(&err.to_string()))?;
    let mut counts = Counts::default();
    for token in &tokens {
        counts.add(token);
    }
    for (what, count, limit) in [
        ("operators", counts.operators, OPERATORS_MAX),
        ("levels of brackets", counts.deepest, NESTING_MAX),
        ("SELECTs and set operations", counts.selects, if counts.has_with { SELECTS_WITH_MAX } else { SELECTS_MAX }),
        ("joined tables", counts.joins, if counts.has_with { JOINS_WITH_MAX } else { JOINS_MAX }),
    ] {
        if count > limit {
            return Err(fault(format!("statement has {count} {what}; at most {limit} are taken")));
        }
    }
    Ok(())
}

/// What [`bound`] counts.
#[derive(Default)]
struct Counts {
    operators: usize,
    depth: usize,
    deepest: usize,
    selects: usize,
    joins: usize,
    has_with: bool,
    /// Depths of brackets at which a FROM list is open.
    from: Vec<usize>,
}

impl Counts {
    fn add(&mut self, token: &Token) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.from.retain(|depth| *depth < self.depth);
                self.depth = self.depth.saturating_sub(1);
            }
            Token::Comma => self.joins += usize::from(self.from.last() == Some(&self.depth)),
            Token::Word(word) => self.word(word.keyword),
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::SemiColon
            | Token::EOF => {}
            // Everything else is an operator or joins two parts like one.
            _ => self.operators += 1,
        }
    }

    fn word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::SELECT | Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::VALUES => {
                self.selects += 1;
                self.from.retain(|depth| *depth < self.depth);
            }
            Keyword::FROM => self.from.push(self.depth),
            Keyword::WHERE | Keyword::GROUP | Keyword::ORDER | Keyword::HAVING | Keyword::LIMIT | Keyword::WINDOW => {
                self.from.retain(|depth| *depth < self.depth);
            }
            Keyword::JOIN => self.joins += 1,
            Keyword::WITH => self.has_with = true,
            Keyword::AND
            | Keyword::OR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::CASE
            | Keyword::WHEN => self.operators += 1,
            _ => {}
        }
    }
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

/// Checks the plan: only nodes that read, only values of bounded size.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(plan)?;
    let mut fault = None;
    plan.apply_with_subqueries(|node| {
        if allowed(node) {
            return Ok(TreeNodeRecursion::Continue);
        }
        fault = Some(SqlError::Refused(format!("plan node {} is not allowed", node.display())));
        Ok(TreeNodeRecursion::Stop)
    })?;
    fault.map_or_else(|| width::check(plan), Err)
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

    #[test]
    fn what_would_exhaust_stack_or_planner_is_refused_before_it_is_parsed() {
        for sql in [
            format!("SELECT 1{}", "+1".repeat(2000)),
            format!("SELECT 1 WHERE 1=0{}", " OR 1=1".repeat(2000)),
            format!("SELECT 1{}", "::int".repeat(5000)),
            format!("SELECT 1{}", " IS NULL".repeat(3000)),
            format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(500)),
            format!("SELECT 1 FROM samples t{}", (0..200).map(|i| format!(", samples t{i}")).collect::<String>()),
            format!("SELECT 1 FROM samples{}", " CROSS JOIN samples".repeat(40)),
            format!(
                "WITH a AS (SELECT 1){} SELECT 1",
                (0..500).map(|i| format!(", a{i} AS (SELECT 1)")).collect::<String>()
            ),
            format!("SELECT 'a'{}", "||'a'".repeat(5000)),
            format!(
                "WITH a0 AS (SELECT 1){} SELECT * FROM a20",
                (1..21)
                    .map(|i| format!(", a{i} AS (SELECT * FROM a{0} UNION ALL SELECT * FROM a{0})", i - 1))
                    .collect::<String>()
            ),
        ] {
            assert!(parse(&sql).is_err(), "{}…", &sql[..60]);
        }
        let wide = format!("SELECT {} FROM samples WHERE value > 1 AND ts < now()", vec!["value"; 500].join(", "));
        assert!(parse(&wide).is_ok());
    }
}
