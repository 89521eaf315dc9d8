//! Aggregation of groups in which some series hold native histograms.

use std::sync::Arc;

use series::Histogram;

use super::context::Context;
use super::native_windows::combined;
use super::notes::{Note, Seen};
use super::rows::{ABSENT, Row, is_absent};
use crate::ast::{AggregateOp, Span};

impl Context<'_> {
    /// Completes `row`, the aggregate of the floats of `members`, by their histograms: sums and means are theirs where no
    /// float stands beside them, counts take both, everything else leaves them out and says so.
    pub(crate) fn fold_natives(&self, (op, span): (AggregateOp, Span), members: &[&Row], row: &mut Row) {
        let seen = Seen::default();
        let n = row.values.len();
        let mut gathered: Vec<&Histogram> = Vec::with_capacity(members.len());
        let mut ignored = false;
        for i in 0..n {
            gathered.clear();
            gathered.extend(members.iter().filter_map(|member| member.natives.get(i)).map(Arc::as_ref));
            if gathered.is_empty() {
                continue;
            }
            let has_float = !is_absent(row.values[i]);
            match op {
                AggregateOp::Sum | AggregateOp::Avg if has_float => {
                    seen.add(Note::MixedGroup);
                    row.values[i] = ABSENT;
                }
                AggregateOp::Sum | AggregateOp::Avg => {
                    if let Some(histogram) = combined(&gathered, op == AggregateOp::Avg, &seen) {
                        row.natives.set(i, n, Arc::new(histogram));
                    }
                }
                AggregateOp::Count => {
                    row.values[i] = if has_float { row.values[i] } else { 0.0 } + gathered.len() as f64;
                }
                AggregateOp::Group => row.values[i] = 1.0,
                _ => ignored = true,
            }
        }
        if ignored {
            self.inform_ignored(op.name(), span);
        }
        let first = members.iter().find(|member| !member.natives.is_none());
        self.tell(&seen, first.map_or("", |member| member.labels.metric()), span);
    }
}
