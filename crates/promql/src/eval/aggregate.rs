//! Aggregations: groups of rows, folded step by step.

use std::collections::HashMap;

use series::{Labels, METRIC_NAME};

use super::Point;
use super::average::{Mean, Sum, Variance, quantile};
use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent};
use crate::ast::{Aggregate, AggregateOp, Grouping, Span};
use crate::native::describe;
use crate::number::format_number;

/// Rows that share their grouping labels.
pub(crate) struct RowGroup {
    pub(crate) labels: Labels,
    pub(crate) members: Vec<usize>,
}

impl Context<'_> {
    pub(crate) fn aggregate(&self, aggregate: &Aggregate, span: Span, steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let param = match (&aggregate.param, aggregate.op) {
            (Some(param), op) if op != AggregateOp::CountValues => self.scalar(param, steps)?,
            _ => Vec::new(),
        };
        // Parameters are judged before data are, and also without any.
        let param_span = aggregate.param.as_ref().map_or(span, |param| param.span);
        match aggregate.op {
            AggregateOp::Quantile => self.doubt_quantiles(&param, param_span),
            op => self.check_choice(op, &param, param_span)?,
        }
        let rows = self.rows(&aggregate.expr, steps)?;
        if rows.is_empty() {
            return Ok(rows);
        }
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                let groups = group(&rows, &aggregate.grouping);
                self.choose((aggregate.op, span), &param, rows, &groups, steps)
            }
            AggregateOp::CountValues => {
                let name = match &aggregate.param {
                    Some(param) => self.text(param)?,
                    None => String::new(),
                };
                self.count_values(&name, &rows, &aggregate.grouping, steps)
            }
            op => self.fold((op, aggregate.expr.span), &param, &rows, &aggregate.grouping, steps),
        }
    }

    fn fold(
        &self,
        (op, span): (AggregateOp, Span),
        param: &[f64],
        rows: &[Row],
        grouping: &Grouping,
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        let groups = group(rows, grouping);
        self.charge_held(groups.len().saturating_mul(steps.n))?;
        self.each(groups.len(), rows.len() / groups.len().max(1) * steps.n, |g| {
            let members: Vec<&Row> = groups[g].members.iter().map(|&i| &rows[i]).collect();
            let values = fold_group(op, param, &members, steps.n);
            // The name survives where the grouping asks for it, unless it was marked before.
            let drop_name = members.iter().any(|row| row.drop_name);
            let mut row = Row::floats(groups[g].labels.clone(), drop_name, values);
            if members.iter().any(|member| !member.natives.is_none()) {
                self.fold_natives((op, span), &members, &mut row);
                self.charge_held(row.natives.weight())?;
            }
            Ok(row)
        })
    }

    fn count_values(
        &self,
        name: &str,
        rows: &[Row],
        grouping: &Grouping,
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        if name.is_empty() {
            return Err(EvalError::BadLabelName { found: name.to_owned() });
        }
        // A label that is grouped away does not show the value either.
        let shown = !matches!(grouping, Grouping::Without(names) if names.iter().any(|without| without == name));
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut out: Vec<Row> = Vec::new();
        for group in group(rows, grouping) {
            for row in group.members.iter().map(|&i| &rows[i]) {
                for (i, point) in (0..steps.n).filter_map(|i| row.point(i).map(|point| (i, point))) {
                    let text = match point {
                        Point::Float(value) => format_number(value),
                        Point::Histogram(histogram) => describe(&histogram),
                    };
                    let labels = match shown {
                        true => group.labels.to_builder().set(name, &text).build(),
                        false => group.labels.clone(),
                    };
                    let place = match places.get(&labels) {
                        Some(place) => *place,
                        None => {
                            self.charge_held(steps.n)?;
                            places.insert(labels.clone(), out.len());
                            let drop_name = row.drop_name && name != METRIC_NAME;
                            out.push(Row::floats(labels, drop_name, vec![ABSENT; steps.n]));
                            out.len() - 1
                        }
                    };
                    let slot = &mut out[place].values[i];
                    *slot = if is_absent(*slot) { 1.0 } else { *slot + 1.0 };
                }
            }
        }
        Ok(out)
    }
}

/// Groups in order of first appearance.
pub(crate) fn group(rows: &[Row], grouping: &Grouping) -> Vec<RowGroup> {
    if *grouping == Grouping::All {
        return vec![RowGroup { labels: Labels::empty(), members: (0..rows.len()).collect() }];
    }
    let (names, keep) = match grouping {
        Grouping::All => (Vec::new(), true),
        Grouping::By(names) => (names.clone(), true),
        Grouping::Without(names) => {
            (names.iter().cloned().chain(std::iter::once(METRIC_NAME.to_owned())).collect(), false)
        }
    };
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<RowGroup> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let labels = row.labels.project(&names, keep);
        let place = *places.entry(labels.clone()).or_insert_with(|| {
            groups.push(RowGroup { labels, members: Vec::new() });
            groups.len() - 1
        });
        groups[place].members.push(i);
    }
    groups
}

/// One slot a step; row after row, so that memory is walked in order.
fn fold_group(op: AggregateOp, param: &[f64], members: &[&Row], n: usize) -> Vec<f64> {
    match op {
        AggregateOp::Sum => fold(members, n, Sum::default(), Sum::add, Sum::value),
        AggregateOp::Avg => fold(members, n, Mean::default(), Mean::add, Mean::value),
        AggregateOp::Stdvar => fold(members, n, Variance::default(), Variance::add, Variance::value),
        AggregateOp::Stddev => fold(members, n, Variance::default(), Variance::add, |v| v.value().sqrt()),
        AggregateOp::Count => fold(members, n, 0.0, |count, _| *count += 1.0, |count| *count),
        AggregateOp::Group => fold(members, n, 1.0, |_, _| {}, |one| *one),
        AggregateOp::Min => fold(members, n, f64::NAN, |old, new| keep(old, new, new < *old), |v| *v),
        AggregateOp::Max => fold(members, n, f64::NAN, |old, new| keep(old, new, new > *old), |v| *v),
        _ => {
            let mut gathered = Vec::with_capacity(members.len());
            let at = |i: usize| {
                gathered.clear();
                gathered.extend(members.iter().map(|row| row.values[i]).filter(|v| !is_absent(*v)));
                if gathered.is_empty() { ABSENT } else { quantile(param[i], &mut gathered) }
            };
            (0..n).map(at).collect()
        }
    }
}

/// NaN gives way to any number.
fn keep(old: &mut f64, new: f64, wins: bool) {
    if wins || old.is_nan() {
        *old = new;
    }
}

fn fold<S: Copy>(
    members: &[&Row],
    n: usize,
    empty: S,
    add: impl Fn(&mut S, f64),
    value: impl Fn(&S) -> f64,
) -> Vec<f64> {
    let mut states = vec![empty; n];
    let mut seen = vec![false; n];
    for row in members {
        for (i, point) in row.values.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            seen[i] = true;
            add(&mut states[i], *point);
        }
    }
    states.iter().zip(seen).map(|(state, seen)| if seen { value(state) } else { ABSENT }).collect()
}
