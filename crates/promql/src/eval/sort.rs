//! Order of an instant vector. A range query's result is sorted by labels, so there nothing is to be done.

use std::cmp::Ordering;

use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{Natives, Row};
use crate::ast::Expr;

impl Context<'_> {
    pub(crate) fn sort(&self, name: &str, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let labels = args[1..].iter().map(|arg| self.text(arg)).collect::<Result<Vec<_>, _>>()?;
        let mut rows = self.rows(&args[0], steps)?;
        if matches!(name, "sort" | "sort_desc") {
            // Histograms have no order.
            rows.iter_mut().for_each(|row| row.natives = Natives::default());
        }
        if !self.is_instant() {
            self.warn(args[0].span, "sort is ineffective for range queries since results are always ordered by labels");
        }
        if steps.n > 1 {
            return Ok(rows);
        }
        rows.retain(|row| row.is_present(0));
        match name {
            "sort" => rows.sort_by(|a, b| by_value(a.values[0], b.values[0])),
            "sort_desc" => rows.sort_by(|a, b| by_value_desc(a.values[0], b.values[0])),
            "sort_by_label" => rows.sort_by(|a, b| by_labels(a, b, &labels)),
            _ => rows.sort_by(|a, b| by_labels(b, a, &labels)),
        }
        Ok(rows)
    }
}

/// Rising, NaN last.
fn by_value(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(Ordering::Equal))
}

/// Falling, NaN last.
pub(crate) fn by_value_desc(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(b.partial_cmp(&a).unwrap_or(Ordering::Equal))
}

fn by_labels(a: &Row, b: &Row, names: &[String]) -> Ordering {
    for name in names {
        let order = natural(a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or(""));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.labels.cmp(&b.labels)
}

/// Runs of digits compare as numbers, so that `cpu2` comes before `cpu10`; other runs as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let (run_a, run_b) = (run(a), run(b));
        let order = match (is_number(run_a), is_number(run_b)) {
            (true, true) => {
                let (x, y) = (run_a.trim_start_matches('0'), run_b.trim_start_matches('0'));
                x.len().cmp(&y.len()).then(x.cmp(y)).then(run_b.len().cmp(&run_a.len()))
            }
            _ => run_a.cmp(run_b),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[run_a.len()..], &b[run_b.len()..]);
    }
    a.len().cmp(&b.len())
}

fn is_number(run: &str) -> bool {
    run.starts_with(|c: char| c.is_ascii_digit())
}

/// The leading run of digits or of anything else.
fn run(text: &str) -> &str {
    let digits = is_number(text);
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_inside_texts_count() {
        let mut names = ["cpu10", "cpu2", "cpu", "4m600", "4m1000", "a"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["4m600", "4m1000", "a", "cpu", "cpu2", "cpu10"]);
    }
}
