//! Operators between vectors: series find each other by their matching labels.
//!
//! Labels do not change over steps but presence does, so partners are found once per label set while uniqueness, sets and
//! values are decided step by step.

use std::cell::RefCell;
use std::collections::HashMap;

use series::{Labels, METRIC_NAME};

use super::binary::compute;
use super::binary_natives::Combine;
use super::context::Context;
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent, join_equal, without_name};
use crate::ast::{Binary, BinaryOp, MatchLabels, Side, Span};

type Groups = HashMap<Labels, Vec<usize>>;

/// Labels that a match compares.
struct Signature {
    names: Vec<String>,
    keep: bool,
}

impl Signature {
    fn new(labels: &MatchLabels) -> Self {
        match labels {
            MatchLabels::On(names) => Self { names: names.clone(), keep: true },
            MatchLabels::Ignoring(names) => {
                let names = names.iter().cloned().chain(std::iter::once(METRIC_NAME.to_owned())).collect();
                Self { names, keep: false }
            }
        }
    }

    fn of(&self, row: &Row) -> Labels {
        row.labels.project(&self.names, self.keep)
    }

    fn groups(&self, rows: &[Row]) -> Groups {
        let mut groups = Groups::new();
        for (i, row) in rows.iter().enumerate() {
            groups.entry(self.of(row)).or_default().push(i);
        }
        groups
    }
}

/// `and`, `or`, `unless`.
pub(crate) fn set(binary: &Binary, mut left: Vec<Row>, mut right: Vec<Row>, n: usize) -> Vec<Row> {
    let signature = Signature::new(&binary.matching.labels);
    let presence = |rows: &[Row]| -> HashMap<Labels, Vec<bool>> {
        let mut seen: HashMap<Labels, Vec<bool>> = HashMap::new();
        for row in rows {
            let slots = seen.entry(signature.of(row)).or_insert_with(|| vec![false; n]);
            slots.iter_mut().zip(&row.values).for_each(|(slot, value)| *slot |= !is_absent(*value));
            row.natives.iter().for_each(|(i, _)| slots[i] = true);
        }
        seen
    };
    // Clears the slots of `rows` where a partner's presence is `gone`; no partner counts as absent.
    let clear = |rows: &mut Vec<Row>, partners: &HashMap<Labels, Vec<bool>>, gone: bool| {
        for row in rows.iter_mut() {
            let partner = partners.get(&signature.of(row));
            for i in 0..n {
                if partner.is_some_and(|slots| slots[i]) == gone {
                    row.clear(i);
                }
            }
        }
        rows.retain(|row| !row.is_empty());
    };
    match binary.op {
        BinaryOp::And => clear(&mut left, &presence(&right), false),
        BinaryOp::Unless => clear(&mut left, &presence(&right), true),
        _ => {
            clear(&mut right, &presence(&left), true);
            left.append(&mut right);
        }
    }
    left
}

/// Arithmetic and comparisons.
pub(crate) fn join(
    context: &Context<'_>,
    (binary, span): (&Binary, Span),
    left: &[Row],
    right: &[Row],
    n: usize,
) -> Result<Vec<Row>, EvalError> {
    let combine = RefCell::new(Combine::new(binary));
    let join = Join { binary, signature: Signature::new(&binary.matching.labels), n, combine };
    let rows = join.rows(left, right);
    join.combine.into_inner().tell(context, span);
    rows
}

struct Join<'b> {
    binary: &'b Binary,
    signature: Signature,
    n: usize,
    combine: RefCell<Combine<'b>>,
}

impl Join<'_> {
    fn rows(&self, left: &[Row], right: &[Row]) -> Result<Vec<Row>, EvalError> {
        let matching = &self.binary.matching;
        let many_side = matching.group.as_ref().map_or(Side::Left, |group| group.many);
        let (many, one) = if many_side == Side::Left { (left, right) } else { (right, left) };
        // What stands for a missing partner of the other side.
        let (fill_many, fill_one) = if many_side == Side::Left {
            (matching.fill_left, matching.fill_right)
        } else {
            (matching.fill_right, matching.fill_left)
        };
        let (fill_many, fill_one) = (fill_many.map(|fill| fill.value), fill_one.map(|fill| fill.value));
        if (many.is_empty() && fill_many.is_none()) || (one.is_empty() && fill_one.is_none()) {
            return Ok(Vec::new());
        }
        let partners = self.signature.groups(one);
        self.check_one_side(&partners, one, many, many_side)?;
        if matching.group.is_none() {
            self.check_many_side(&partners, one, many, fill_one.is_some())?;
        }
        let mut out = Vec::new();
        let mut push = |many: &Row, one: &Row| {
            let (left, right) = if many_side == Side::Left { (many, one) } else { (one, many) };
            let mut row = self.combined(left, right);
            if !row.is_empty() {
                row.labels = self.labels(many, one);
                row.drop_name = many.drop_name || self.binary.returns_bool;
                out.push(row);
            }
        };
        for row in many {
            let group = self.signature.of(row);
            let found = partners.get(&group).map_or(&[][..], Vec::as_slice);
            found.iter().for_each(|&i| push(row, &one[i]));
            if let Some(value) = fill_one {
                push(row, &self.filler(group, value, found.iter().map(|&i| &one[i])));
            }
        }
        if let Some(value) = fill_many {
            let groups = self.signature.groups(many);
            for row in one {
                let group = self.signature.of(row);
                let found = groups.get(&group).map_or(&[][..], Vec::as_slice);
                push(&self.filler(group, value, found.iter().map(|&i| &many[i])), row);
            }
        }
        join_equal(out)
    }

    /// A series of the matching labels with `value` wherever none of `found` has a point.
    fn filler<'r>(&self, group: Labels, value: f64, found: impl Iterator<Item = &'r Row> + Clone) -> Row {
        let slot = |i: usize| if found.clone().any(|row| row.is_present(i)) { ABSENT } else { value };
        Row::floats(group, false, (0..self.n).map(slot).collect())
    }

    /// At most one series a match on the "one" side at every step that has something to match.
    fn check_one_side(&self, groups: &Groups, one: &[Row], many: &[Row], many_side: Side) -> Result<(), EvalError> {
        for (group, members) in groups.iter().filter(|(_, members)| members.len() > 1) {
            for i in 0..self.n {
                let mut present = members.iter().map(|&m| &one[m]).filter(|row| row.is_present(i));
                if let (Some(first), Some(second)) = (present.next(), present.next())
                    && many.iter().any(|row| row.is_present(i))
                {
                    return Err(EvalError::ManyToMany {
                        group: group.clone(),
                        side: if many_side == Side::Left { "right" } else { "left" },
                        first: first.labels.clone(),
                        second: second.labels.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// One to one: no second series may match the same partner at the same step.
    fn check_many_side(&self, partners: &Groups, one: &[Row], many: &[Row], filled: bool) -> Result<(), EvalError> {
        for (group, members) in self.signature.groups(many).into_iter().filter(|(_, members)| members.len() > 1) {
            let partners = partners.get(&group).map_or(&[][..], Vec::as_slice);
            for i in 0..self.n {
                let matched = filled || partners.iter().any(|&p| one[p].is_present(i));
                if matched && members.iter().filter(|&&m| many[m].is_present(i)).count() > 1 {
                    return Err(EvalError::ManyToOne { group });
                }
            }
        }
        Ok(())
    }

    /// The operator at every step where both sides have a point.
    fn combined(&self, left: &Row, right: &Row) -> Row {
        if self.binary.op.is_trim() || !left.natives.is_none() || !right.natives.is_none() {
            let mut row = Row::floats(Labels::empty(), false, vec![ABSENT; self.n]);
            let mut combine = self.combine.borrow_mut();
            for i in 0..self.n {
                if let (Some(left), Some(right)) = (left.point(i), right.point(i)) {
                    row.put(i, combine.points(&left, &right, None));
                }
            }
            return row;
        }
        let filters = self.binary.op.is_comparison() && !self.binary.returns_bool;
        let value = |(left, right): (&f64, &f64)| {
            if is_absent(*left) || is_absent(*right) {
                return ABSENT;
            }
            let result = compute(self.binary.op, *left, *right);
            match (filters, result == 0.0) {
                (false, _) => result,
                (true, true) => ABSENT,
                (true, false) => *left,
            }
        };
        Row::floats(Labels::empty(), false, left.values.iter().zip(&right.values).map(value).collect())
    }

    /// Labels of the result of a series of the "many" side and its partner.
    fn labels(&self, many: &Row, one: &Row) -> Labels {
        let matching = &self.binary.matching;
        let base = if self.binary.op.keeps_name() { many.labels.clone() } else { without_name(&many.labels) };
        let Some(group) = &matching.group else {
            return match &matching.labels {
                MatchLabels::On(names) => base.project(names, true),
                MatchLabels::Ignoring(names) if names.is_empty() => base,
                MatchLabels::Ignoring(names) => base.project(names, false),
            };
        };
        if group.include.is_empty() {
            return base;
        }
        let mut builder = base.to_builder();
        for name in &group.include {
            builder.set(name, one.labels.get(name).unwrap_or(""));
        }
        builder.build()
    }
}
