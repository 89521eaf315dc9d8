//! Operators between vectors: series find each other by their matching labels.
//!
//! Labels do not change over steps but presence does, so partners are found once per label set while uniqueness, sets and
//! values are decided step by step.

use std::collections::HashMap;

use series::{Labels, METRIC_NAME};

use super::binary::compute;
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent, join_equal, without_name};
use crate::ast::{Binary, BinaryOp, MatchLabels, Side};

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
        }
        seen
    };
    // Clears the slots of `rows` where a partner's presence is `gone`; no partner counts as absent.
    let clear = |rows: &mut Vec<Row>, partners: &HashMap<Labels, Vec<bool>>, gone: bool| {
        for row in rows.iter_mut() {
            let partner = partners.get(&signature.of(row));
            for (i, value) in row.values.iter_mut().enumerate() {
                if partner.is_some_and(|slots| slots[i]) == gone {
                    *value = ABSENT;
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
pub(crate) fn join(binary: &Binary, left: &[Row], right: &[Row], n: usize) -> Result<Vec<Row>, EvalError> {
    let join = Join { binary, signature: Signature::new(&binary.matching.labels), n };
    if binary.matching.fill_left.is_some() || binary.matching.fill_right.is_some() {
        return join.filled(left, right);
    }
    let many_side = binary.matching.group.as_ref().map_or(Side::Left, |group| group.many);
    let (many, one) = if many_side == Side::Left { (left, right) } else { (right, left) };
    if many.is_empty() || one.is_empty() {
        return Ok(Vec::new());
    }
    let partners = join.signature.groups(one);
    join.check_one_side(&partners, one, many, many_side)?;
    if binary.matching.group.is_none() {
        join.check_many_side(&partners, one, many)?;
    }
    let mut out = Vec::new();
    for row in many {
        for partner in partners.get(&join.signature.of(row)).into_iter().flatten().map(|&i| &one[i]) {
            let (l, r) = if many_side == Side::Left { (row, partner) } else { (partner, row) };
            let values = join.values(&l.values, &r.values);
            if values.iter().any(|v| !is_absent(*v)) {
                let drop_name = row.drop_name || binary.returns_bool;
                out.push(Row { labels: join.labels(row, partner), drop_name, values });
            }
        }
    }
    join_equal(out)
}

struct Join<'b> {
    binary: &'b Binary,
    signature: Signature,
    n: usize,
}

impl Join<'_> {
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
    fn check_many_side(&self, partners: &Groups, one: &[Row], many: &[Row]) -> Result<(), EvalError> {
        for (group, members) in self.signature.groups(many).into_iter().filter(|(_, members)| members.len() > 1) {
            let Some(partners) = partners.get(&group) else { continue };
            for i in 0..self.n {
                let matched = partners.iter().any(|&p| one[p].is_present(i));
                if matched && members.iter().filter(|&&m| many[m].is_present(i)).count() > 1 {
                    return Err(EvalError::ManyToOne { group });
                }
            }
        }
        Ok(())
    }

    fn values(&self, left: &[f64], right: &[f64]) -> Vec<f64> {
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
        left.iter().zip(right).map(value).collect()
    }

    /// Labels of the result of a series of the "many" side and its partner.
    fn labels(&self, many: &Row, one: &Row) -> Labels {
        let matching = &self.binary.matching;
        let base = if self.binary.op.is_comparison() { many.labels.clone() } else { without_name(&many.labels) };
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

    /// With fill values: a missing partner is a series of the matching labels with that value.
    fn filled(&self, left: &[Row], right: &[Row]) -> Result<Vec<Row>, EvalError> {
        if self.binary.matching.group.is_some() {
            return Err(EvalError::Unsupported { feature: "fill together with group_left or group_right".into() });
        }
        let (lefts, rights) = (self.signature.groups(left), self.signature.groups(right));
        let mut matches: Vec<&Labels> = lefts.keys().chain(rights.keys().filter(|k| !lefts.contains_key(*k))).collect();
        matches.sort();
        let fill_left = self.binary.matching.fill_left.map(|number| number.value);
        let fill_right = self.binary.matching.fill_right.map(|number| number.value);
        let mut out = Vec::new();
        for group in matches {
            let left_row = self.merged(group, &lefts, left, "left")?;
            let right_row = self.merged(group, &rights, right, "right")?;
            let fill = |own: &Row, other: &Row, value: Option<f64>| -> Vec<f64> {
                let slot = |i: usize| match value {
                    Some(value) if !own.is_present(i) && other.is_present(i) => value,
                    _ => own.values[i],
                };
                (0..self.n).map(slot).collect()
            };
            let values = self.values(&fill(&left_row, &right_row, fill_left), &fill(&right_row, &left_row, fill_right));
            if values.iter().any(|v| !is_absent(*v)) {
                let named = if left_row.is_empty() { &right_row } else { &left_row };
                let drop_name = named.drop_name || self.binary.returns_bool;
                out.push(Row { labels: self.labels(named, named), drop_name, values });
            }
        }
        join_equal(out)
    }

    /// The members of a match as one series; two at once are refused.
    fn merged(&self, group: &Labels, groups: &Groups, rows: &[Row], side: &'static str) -> Result<Row, EvalError> {
        let mut merged = Row { labels: group.clone(), drop_name: false, values: vec![ABSENT; self.n] };
        let mut first: Option<&Row> = None;
        for row in groups.get(group).into_iter().flatten().map(|&i| &rows[i]) {
            for (slot, value) in merged.values.iter_mut().zip(&row.values).filter(|(_, v)| !is_absent(**v)) {
                if let (false, Some(first)) = (is_absent(*slot), first) {
                    let (first, second) = (first.labels.clone(), row.labels.clone());
                    return Err(EvalError::ManyToMany { group: group.clone(), side, first, second });
                }
                *slot = *value;
            }
            merged.drop_name |= row.drop_name;
            if first.is_none() {
                merged.labels = row.labels.clone();
                first = Some(row);
            }
        }
        Ok(merged)
    }
}
