//! Aggregations that keep whole series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;

use super::aggregate::RowGroup;
use super::context::{Context, Steps};
use super::error::EvalError;
use super::hash;
use super::rows::{ABSENT, Natives, Row};
use super::sort::by_value_desc;
use crate::ast::{AggregateOp, Span};
use crate::number::format_number;

impl Context<'_> {
    pub(crate) fn choose(
        &self,
        (op, span): (AggregateOp, Span),
        param: &[f64],
        mut rows: Vec<Row>,
        groups: &[RowGroup],
        steps: &Steps,
    ) -> Result<Vec<Row>, EvalError> {
        if op == AggregateOp::LimitRatio {
            sample(&mut rows, param);
            rows.retain(|row| !row.is_empty());
            return Ok(rows);
        }
        let ranks = op != AggregateOp::Limitk;
        if ranks && rows.iter().any(|row| row.natives.iter().next().is_some()) {
            // Histograms have no order.
            if param.iter().any(|k| *k >= 1.0) {
                self.inform_ignored(op.name(), span);
            }
            rows.iter_mut().for_each(|row| row.natives = Natives::default());
        }
        let mut kept: Vec<Row> =
            rows.iter().map(|row| Row::floats(row.labels.clone(), row.drop_name, vec![ABSENT; steps.n])).collect();
        let mut order: Vec<usize> = Vec::new();
        for group in groups {
            self.check()?;
            for (i, k) in param.iter().enumerate() {
                let mut present: Vec<usize> =
                    group.members.iter().copied().filter(|&r| rows[r].is_present(i)).collect();
                let value = |r: usize| rows[r].values[i];
                // Stable sorts: among equals the first selected wins.
                match op {
                    AggregateOp::Topk => present.sort_by(|&a, &b| by_value_desc(value(a), value(b))),
                    AggregateOp::Bottomk => present.sort_by(|&a, &b| rising(value(a), value(b))),
                    _ => {}
                }
                let k = if *k < 1.0 { 0 } else { *k as usize };
                for &r in present.iter().take(k) {
                    kept[r].copy(i, &rows[r]);
                }
                if steps.n == 1 {
                    order.extend(present.into_iter().take(k));
                }
            }
        }
        if steps.n == 1 {
            // An instant answer shows the ranking.
            return Ok(order.into_iter().map(|r| kept[r].clone()).collect());
        }
        kept.retain(|row| !row.is_empty());
        Ok(kept)
    }

    /// Judges the parameter of an operator that chooses series; others have none to judge.
    pub(crate) fn check_choice(&self, op: AggregateOp, param: &[f64], span: Span) -> Result<(), EvalError> {
        let is_ratio = op == AggregateOp::LimitRatio;
        let place = match op {
            AggregateOp::Topk => "k of topk",
            AggregateOp::Bottomk => "k of bottomk",
            AggregateOp::Limitk => "k of limitk",
            AggregateOp::LimitRatio => "ratio of limit_ratio",
            _ => return Ok(()),
        };
        if !is_ratio && param.iter().all(|k| *k < 1.0) {
            // Nothing is chosen, however little is asked for.
            return Ok(());
        }
        for &found in param {
            if found.is_nan() {
                return Err(EvalError::BadParameter { place, wanted: "a number", found });
            }
            if !is_ratio && (found >= i64::MAX as f64 || found <= i64::MIN as f64) {
                return Err(EvalError::BadParameter { place, wanted: "within 64 bits", found });
            }
            if is_ratio && !(-1.0..=1.0).contains(&found) {
                let capped = found.clamp(-1.0, 1.0);
                self.warn(
                    span,
                    format!(
                        "ratio value should be between -1 and 1, got {}, capping to {}",
                        format_number(found),
                        format_number(capped)
                    ),
                );
            }
        }
        Ok(())
    }
}

/// Rising, NaN last.
fn rising(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// Keeps the series whose hash falls below the ratio; a negative ratio keeps the complement of `1 + ratio`.
fn sample(rows: &mut [Row], ratios: &[f64]) {
    for row in rows {
        let place = hash::ratio(&row.labels);
        for (i, ratio) in ratios.iter().enumerate() {
            let ratio = ratio.clamp(-1.0, 1.0);
            let kept = if ratio >= 0.0 { ratio == 1.0 || place < ratio } else { place >= 1.0 + ratio };
            if !kept {
                row.clear(i);
            }
        }
    }
}
