//! Walks over trees: which series an expression reads.

use series::Matcher;

use crate::ast::{Expr, ExprKind};

/// Calls `see` on `expr` and everything below, parents first.
pub fn walk<'e>(expr: &'e Expr, see: &mut impl FnMut(&'e Expr)) {
    see(expr);
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {}
        ExprKind::Subquery(subquery) => walk(&subquery.expr, see),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| walk(arg, see)),
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                walk(param, see);
            }
            walk(&aggregate.expr, see);
        }
        ExprKind::Binary(binary) => {
            walk(&binary.left, see);
            walk(&binary.right, see);
        }
        ExprKind::Unary(unary) => walk(&unary.expr, see),
        ExprKind::Paren(inner) => walk(inner, see),
    }
}

/// The matchers of each selector, left to right: what a rule or a query depends on.
pub fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut found = Vec::new();
    walk(expr, &mut |node| match &node.kind {
        ExprKind::Vector(selector) => found.push(selector.matchers.as_slice()),
        ExprKind::Matrix(matrix) => found.push(matrix.selector.matchers.as_slice()),
        _ => {}
    });
    found
}
