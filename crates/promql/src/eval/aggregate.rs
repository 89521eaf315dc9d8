//! Aggregations: groups of rows, folded step by step.

use std::collections::HashMap;

use series::{Labels, LabelsRef, METRIC_NAME, SeriesOrder};

use super::Point;
use super::average::{Mean, Sum, Variance, quantile};
use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent};
use super::selector::{Pick, RowSink};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, ExprKind, Grouping, Span, ValueType};
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
        match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                let rows = self.rows(&aggregate.expr, steps)?;
                let groups = group(&rows, &aggregate.grouping);
                self.choose((aggregate.op, span), &param, rows, &groups, steps)
            }
            AggregateOp::CountValues => {
                let rows = self.rows(&aggregate.expr, steps)?;
                if rows.is_empty() {
                    return Ok(rows);
                }
                let name = match &aggregate.param {
                    Some(param) => self.text(param)?,
                    None => String::new(),
                };
                self.count_values(&name, &rows, &aggregate.grouping, steps)
            }
            AggregateOp::Quantile => {
                let rows = self.rows(&aggregate.expr, steps)?;
                self.quantiles(aggregate.expr.span, &param, &rows, &aggregate.grouping, steps)
            }
            op => self.fold(op, aggregate, steps),
        }
    }

    /// Rows come a block at a time and are not kept: a group holds one state a step.
    fn fold(&self, op: AggregateOp, aggregate: &Aggregate, steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let span = aggregate.expr.span;
        let mut folds = Folds::new(&aggregate.grouping);
        self.blocks_of(&aggregate.expr, steps, &mut |rows| {
            let opened = folds.take(rows, || folding(op, steps.n));
            self.charge_held(opened.saturating_mul(steps.n))
        })?;
        // Rows came in an order that files decide: whoever picks among equals must not see it.
        folds.groups.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        folds.groups.into_iter().map(|group| self.folded((op, span), group)).collect()
    }

    fn folded(&self, (op, span): (AggregateOp, Span), group: FoldGroup) -> Result<Row, EvalError> {
        // The name survives where the grouping asks for it, unless it was marked before.
        let mut row = Row::floats(group.labels, group.drop_name, group.fold.values());
        if !group.natives.is_empty() {
            let members: Vec<&Row> = group.natives.iter().collect();
            self.fold_natives((op, span), &members, &mut row);
            self.charge_held(row.natives.weight())?;
        }
        Ok(row)
    }

    /// The rows of `expr` for a reader that keeps none of them and does not mind their order.
    fn blocks_of(&self, expr: &Expr, steps: &Steps, sink: &mut RowSink<'_>) -> Result<(), EvalError> {
        if !self.is_computed_once(expr, steps) {
            match &expr.kind {
                ExprKind::Paren(inner) => return self.blocks_of(inner, steps, sink),
                ExprKind::Vector(selector) => {
                    return self.vector_blocks(selector, steps, Pick::Value, SeriesOrder::Any, sink);
                }
                ExprKind::Call(call) if is_of_windows(call) => {
                    return self.windows_blocks(call.function.name, &call.args, steps, SeriesOrder::Any, sink);
                }
                _ => {}
            }
        }
        sink(self.rows(expr, steps)?)
    }

    fn quantiles(
        &self,
        span: Span,
        param: &[f64],
        rows: &[Row],
        grouping: &Grouping,
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        let groups = group(rows, grouping);
        self.charge_held(groups.len().saturating_mul(steps.n))?;
        self.each(groups.len(), rows.len() / groups.len().max(1) * steps.n, |g| {
            let members: Vec<&Row> = groups[g].members.iter().map(|&i| &rows[i]).collect();
            let values = quantile_group(param, &members, steps.n);
            let drop_name = members.iter().any(|row| row.drop_name);
            let mut row = Row::floats(groups[g].labels.clone(), drop_name, values);
            if members.iter().any(|member| !member.natives.is_none()) {
                self.fold_natives((AggregateOp::Quantile, span), &members, &mut row);
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

/// Whether a call is of a function of a range vector that [`Context::windows_blocks`] answers.
fn is_of_windows(call: &Call) -> bool {
    call.function.args.contains(&ValueType::Matrix) && call.function.name != "absent_over_time"
}

/// Groups in order of first appearance; no rows, no groups.
pub(crate) fn group(rows: &[Row], grouping: &Grouping) -> Vec<RowGroup> {
    let mut keys = Keys::new(grouping);
    let mut groups: Vec<RowGroup> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let (place, new) = keys.place(&row.labels);
        groups.extend(new.map(|labels| RowGroup { labels, members: Vec::new() }));
        groups[place].members.push(i);
    }
    groups
}

/// Finds the group of a label set.
struct Keys {
    names: Vec<String>,
    keep: bool,
    places: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
}

impl Keys {
    fn new(grouping: &Grouping) -> Self {
        let (names, keep) = match grouping {
            Grouping::All => (Vec::new(), true),
            Grouping::By(names) => (names.clone(), true),
            Grouping::Without(names) => {
                (names.iter().cloned().chain(std::iter::once(METRIC_NAME.to_owned())).collect(), false)
            }
        };
        Self { names, keep, places: HashMap::new(), key: Vec::new() }
    }

    /// The number of the group, and its labels when it is a new one.
    fn place(&mut self, labels: &Labels) -> (usize, Option<Labels>) {
        self.key.clear();
        labels.as_ref().project_into(&self.names, self.keep, &mut self.key);
        if let Some(&place) = self.places.get(&self.key) {
            return (place, None);
        }
        self.places.insert(self.key.clone(), self.places.len());
        (self.places.len() - 1, Some(LabelsRef::trusted(&self.key).to_owned()))
    }
}

/// Groups whose members are folded as they come.
struct Folds {
    keys: Keys,
    groups: Vec<FoldGroup>,
}

struct FoldGroup {
    labels: Labels,
    drop_name: bool,
    fold: Box<dyn Fold>,
    /// The members with native histograms: they are looked at together.
    natives: Vec<Row>,
}

impl Folds {
    fn new(grouping: &Grouping) -> Self {
        Self { keys: Keys::new(grouping), groups: Vec::new() }
    }

    /// Takes rows in; answers how many groups they opened.
    fn take(&mut self, rows: Vec<Row>, empty: impl Fn() -> Box<dyn Fold>) -> usize {
        let before = self.groups.len();
        for row in rows {
            let (place, new) = self.keys.place(&row.labels);
            self.groups.extend(new.map(|labels| FoldGroup {
                labels,
                drop_name: false,
                fold: empty(),
                natives: Vec::new(),
            }));
            let group = &mut self.groups[place];
            group.drop_name |= row.drop_name;
            group.fold.add(&row.values);
            if !row.natives.is_none() {
                group.natives.push(row);
            }
        }
        self.groups.len() - before
    }
}

/// A state a step, row after row, so that memory is walked in order.
trait Fold: Send {
    /// Takes a row in.
    fn add(&mut self, values: &[f64]);
    /// What it comes to.
    fn values(&self) -> Vec<f64>;
}

struct Folding<S, A, V> {
    states: Vec<S>,
    seen: Vec<bool>,
    add: A,
    value: V,
}

impl<S: Send, A: Fn(&mut S, f64) + Send, V: Fn(&S) -> f64 + Send> Fold for Folding<S, A, V> {
    fn add(&mut self, values: &[f64]) {
        for (i, point) in values.iter().enumerate().filter(|(_, v)| !is_absent(**v)) {
            self.seen[i] = true;
            (self.add)(&mut self.states[i], *point);
        }
    }

    fn values(&self) -> Vec<f64> {
        let states = self.states.iter().zip(&self.seen);
        states.map(|(state, seen)| if *seen { (self.value)(state) } else { ABSENT }).collect()
    }
}

/// The fold of an operator that needs no parameter and no list of its members' values.
fn folding(op: AggregateOp, n: usize) -> Box<dyn Fold> {
    fn of<S: Copy + Send + 'static>(
        n: usize,
        empty: S,
        add: impl Fn(&mut S, f64) + Send + 'static,
        value: impl Fn(&S) -> f64 + Send + 'static,
    ) -> Box<dyn Fold> {
        Box::new(Folding { states: vec![empty; n], seen: vec![false; n], add, value })
    }
    match op {
        AggregateOp::Sum => of(n, Sum::default(), Sum::add, Sum::value),
        AggregateOp::Avg => of(n, Mean::default(), Mean::add, Mean::value),
        AggregateOp::Stdvar => of(n, Variance::default(), Variance::add, Variance::value),
        AggregateOp::Stddev => of(n, Variance::default(), Variance::add, |v| v.value().sqrt()),
        AggregateOp::Count => of(n, 0.0, |count, _| *count += 1.0, |count| *count),
        AggregateOp::Min => of(n, f64::NAN, |old, new| keep(old, new, new < *old), |v| *v),
        AggregateOp::Max => of(n, f64::NAN, |old, new| keep(old, new, new > *old), |v| *v),
        // `group`, which says only that something is there; the others are not folded.
        _ => of(n, (), |(), _| {}, |()| 1.0),
    }
}

/// NaN gives way to any number.
fn keep(old: &mut f64, new: f64, wins: bool) {
    if wins || old.is_nan() {
        *old = new;
    }
}

fn quantile_group(param: &[f64], members: &[&Row], n: usize) -> Vec<f64> {
    let mut gathered = Vec::with_capacity(members.len());
    let at = |i: usize| {
        gathered.clear();
        gathered.extend(members.iter().map(|row| row.values[i]).filter(|v| !is_absent(*v)));
        if gathered.is_empty() { ABSENT } else { quantile(param[i], &mut gathered) }
    };
    (0..n).map(at).collect()
}
