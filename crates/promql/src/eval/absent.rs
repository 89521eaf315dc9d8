//! `absent` and `absent_over_time`: one where nothing is.

use std::collections::BTreeMap;

use series::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::context::{Context, Steps};
use super::rows::{ABSENT, Row};
use crate::ast::{Expr, ExprKind};

impl Context<'_> {
    /// One at each step where none of `rows` has a point.
    pub(crate) fn absent_rows(&self, arg: &Expr, rows: Vec<Row>, steps: &Steps) -> Vec<Row> {
        let gap = |i: usize| if rows.iter().any(|row| row.is_present(i)) { ABSENT } else { 1.0 };
        let row = Row::floats(expected_labels(arg), false, (0..steps.n).map(gap).collect());
        if row.is_empty() { Vec::new() } else { vec![row] }
    }
}

/// Labels that the missing series would surely have: those pinned by `=`, unless a further matcher of the label follows.
fn expected_labels(arg: &Expr) -> Labels {
    let matchers: &[Matcher] = match &arg.unparen().kind {
        ExprKind::Vector(selector) => &selector.matchers,
        ExprKind::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut pinned: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for matcher in matchers.iter().filter(|m| m.name != METRIC_NAME) {
        if matcher.op == MatchOp::Equal && !pinned.contains_key(matcher.name.as_str()) {
            pinned.insert(&matcher.name, Some(&matcher.value));
        } else {
            // Only what an `=` had pinned counts as given twice.
            pinned.entry(&matcher.name).and_modify(|value| *value = None);
        }
    }
    let mut builder = LabelsBuilder::default();
    for (name, value) in pinned {
        if let Some(value) = value {
            builder.set(name, value);
        }
    }
    builder.build()
}
