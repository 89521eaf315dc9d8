//! Functions of single native histograms: figures, quantiles and fractions.

use std::sync::Arc;

use series::Histogram;

use super::context::{Context, Hints, Steps};
use super::error::EvalError;
use super::notes::of_metric;
use super::rows::{ABSENT, Row};
use crate::ast::{Expr, Span};
use crate::native::{self, Doubt};

impl Context<'_> {
    /// `histogram_count` and its kin: floats are left out.
    pub(crate) fn histogram_figures(&self, name: &str, arg: &Expr, steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let figure: fn(&Histogram) -> f64 = match name {
            "histogram_count" => |histogram| histogram.count,
            "histogram_sum" => |histogram| histogram.sum,
            "histogram_avg" => |histogram| histogram.sum / histogram.count,
            "histogram_stddev" => |histogram| native::variance(histogram).sqrt(),
            _ => native::variance,
        };
        let derives = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
        let hints = if derives { Hints::Derived } else { self.hints() };
        let rows = self.with_hints(hints, || self.rows(arg, steps))?;
        let mut out: Vec<Row> =
            rows.into_iter().filter_map(|row| of_natives(&row, steps.n, |_, h| figure(h))).collect();
        out.retain(|row| !row.is_empty());
        Ok(out)
    }

    /// Tells what was doubtful about the histograms of a metric.
    fn tell_doubts(&self, doubts: &[Option<Doubt>], metric: &str, span: Span) {
        let text = |doubt| match doubt {
            Doubt::NoQuantile => "input to histogram_quantile has NaN observations, result is NaN",
            Doubt::SkewedQuantile => "input to histogram_quantile has NaN observations, result is skewed higher",
            Doubt::LeftOut => "input to histogram_fraction has NaN observations, which are excluded from all fractions",
        };
        for doubt in [Doubt::NoQuantile, Doubt::SkewedQuantile, Doubt::LeftOut] {
            if doubts.contains(&Some(doubt)) {
                self.inform(span, format!("{}{}", text(doubt), of_metric(metric)));
            }
        }
    }

    /// An estimate from each of a row's histograms.
    pub(crate) fn estimates(
        &self,
        (row, span): (&Row, Span),
        n: usize,
        estimate: impl Fn(usize, &Histogram) -> (f64, Option<Doubt>),
    ) -> Option<Row> {
        let doubts = std::cell::RefCell::new(Vec::new());
        let out = of_natives(row, n, |i, histogram| {
            let (value, doubt) = estimate(i, histogram);
            if doubt.is_some() && !doubts.borrow().contains(&doubt) {
                doubts.borrow_mut().push(doubt);
            }
            value
        });
        self.tell_doubts(&doubts.into_inner(), row.labels.metric(), span);
        out
    }
}

/// A row of floats made of a row's histograms; `None` without any.
fn of_natives(row: &Row, n: usize, f: impl Fn(usize, &Histogram) -> f64) -> Option<Row> {
    if row.natives.is_none() {
        return None;
    }
    let mut values = vec![ABSENT; n];
    for (i, histogram) in row.natives.iter() {
        values[i] = f(i, Arc::as_ref(histogram));
    }
    Some(Row::floats(row.labels.clone(), true, values))
}
