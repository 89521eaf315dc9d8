//! Conditions of a WHERE clause that the index and the time range can answer.
//!
//! Everything found here only narrows the scan; DataFusion filters again, so an approximation is safe as long as it
//! keeps every row that the condition keeps.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use series::{MatchOp, Matcher, TimeRange, Timestamp};

/// Column that holds the time of a sample.
pub(crate) const TIME_COLUMN: &str = "ts";
/// Column that holds a sample's value.
pub(crate) const VALUE_COLUMN: &str = "value";
/// Lists longer than this are left to the filter above the scan: their pattern would cost more than it saves.
const LIST_MAX: usize = 200;

/// What a scan needs to read.
#[derive(Debug, Clone)]
pub(crate) struct Narrowed {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
}

impl Narrowed {
    /// Starts with everything of `matchers`.
    pub(crate) fn new(matchers: Vec<Matcher>) -> Self {
        Self { matchers, range: TimeRange::ALL }
    }

    /// Takes from `filter` what narrows; `label_of` maps a column to its label.
    pub(crate) fn narrow(&mut self, filter: &Expr, label_of: &dyn Fn(&str) -> Option<String>) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(left, label_of);
                self.narrow(right, label_of);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if let (Some(column), Some(value)) = (column_of(left), literal_of(right)) {
                    self.compare(column, *op, value, label_of);
                } else if let (Some(value), Some(column)) = (literal_of(left), column_of(right))
                    && let Some(op) = op.swap()
                {
                    self.compare(column, op, value, label_of);
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                if let (Some(column), Some(low), Some(high)) = (column_of(expr), literal_of(low), literal_of(high)) {
                    self.compare(column, Operator::GtEq, low, label_of);
                    self.compare(column, Operator::LtEq, high, label_of);
                }
            }
            Expr::InList(InList { expr, list, negated: false }) => self.one_of(expr, list, label_of),
            Expr::IsNotNull(expr) => {
                if let Some(label) = column_of(expr).and_then(label_of) {
                    self.add(label, MatchOp::NotEqual, "");
                }
            }
            Expr::IsNull(expr) => {
                if let Some(label) = column_of(expr).and_then(label_of) {
                    self.add(label, MatchOp::Equal, "");
                }
            }
            _ => {}
        }
    }

    fn compare(&mut self, column: &str, op: Operator, value: &ScalarValue, label_of: &dyn Fn(&str) -> Option<String>) {
        if column == TIME_COLUMN {
            self.bound(op, value);
        } else if let (Some(label), Some(text)) = (label_of(column), text_of(value)) {
            match op {
                Operator::Eq => self.add(label, MatchOp::Equal, &text),
                Operator::NotEq => self.add(label, MatchOp::NotEqual, &text),
                Operator::RegexMatch => self.add(label, MatchOp::Regex, &format!(".*(?:{text}).*")),
                _ => {}
            }
        }
    }

    /// Narrows the range by `ts op value`; a finer time is rounded outwards to milliseconds.
    fn bound(&mut self, op: Operator, value: &ScalarValue) {
        let Some((floor, ceil)) = millis_of(value) else { return };
        let after = |at: i64| Timestamp(at.saturating_add(1));
        match op {
            Operator::Gt | Operator::GtEq => self.range.start = self.range.start.max(Timestamp(floor)),
            Operator::Lt | Operator::LtEq => self.range.end = self.range.end.min(after(ceil)),
            Operator::Eq => {
                self.range.start = self.range.start.max(Timestamp(floor));
                self.range.end = self.range.end.min(after(ceil));
            }
            _ => {}
        }
    }

    fn one_of(&mut self, expr: &Expr, list: &[Expr], label_of: &dyn Fn(&str) -> Option<String>) {
        let Some(label) = column_of(expr).and_then(label_of) else { return };
        let texts: Option<Vec<_>> = list.iter().map(|item| text_of(literal_of(item)?)).collect();
        if let Some(texts) = texts.filter(|texts| texts.len() <= LIST_MAX) {
            let alternatives: Vec<_> = texts.iter().map(|text| regex_escape(text)).collect();
            self.add(label, MatchOp::Regex, &alternatives.join("|"));
        }
    }

    /// A pattern that does not compile narrows nothing; the filter above will say what is wrong with it.
    fn add(&mut self, label: String, op: MatchOp, value: &str) {
        self.matchers.extend(Matcher::new(label, op, value).ok());
    }
}

/// Whether `filter` narrows anything at all.
pub(crate) fn narrows(filter: &Expr, label_of: &dyn Fn(&str) -> Option<String>) -> bool {
    let mut probe = Narrowed::new(Vec::new());
    probe.narrow(filter, label_of);
    !probe.matchers.is_empty() || probe.range != TimeRange::ALL
}

fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(Cast { expr, .. }) => column_of(expr),
        Expr::Alias(alias) => column_of(&alias.expr),
        _ => None,
    }
}

fn literal_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn text_of(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.clone(),
        ScalarValue::Dictionary(_, value) => text_of(value),
        _ => None,
    }
}

/// Milliseconds at and just after a time.
fn millis_of(value: &ScalarValue) -> Option<(i64, i64)> {
    let fine = |at: i64, per_milli: i64| {
        (at.div_euclid(per_milli), at.div_euclid(per_milli) + i64::from(at.rem_euclid(per_milli) != 0))
    };
    match value {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1000).map(|at| (at, at)),
        ScalarValue::TimestampMillisecond(Some(at), _) => Some((*at, *at)),
        ScalarValue::TimestampMicrosecond(Some(at), _) => Some(fine(*at, 1000)),
        ScalarValue::TimestampNanosecond(Some(at), _) => Some(fine(*at, 1_000_000)),
        ScalarValue::Date32(Some(days)) => {
            let at = i64::from(*days) * 86_400_000;
            Some((at, at))
        }
        _ => None,
    }
}

fn regex_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{col, lit};

    fn narrowed(filter: &Expr) -> Narrowed {
        let mut found = Narrowed::new(Vec::new());
        found.narrow(filter, &|column| (column != "value").then(|| column.to_owned()));
        found
    }

    #[test]
    fn conditions_on_labels_become_matchers() {
        let filter = col("job").eq(lit("api")).and(col("zone").in_list(vec![lit("a.b"), lit("c")], false));
        let texts: Vec<_> = narrowed(&filter).matchers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["job=\"api\"", "zone=~\"a\\\\.b|c\""]);
        assert!(narrowed(&col("value").gt(lit(1.0))).matchers.is_empty());
        assert!(narrowed(&col("job").eq(lit("a")).or(col("job").eq(lit("b")))).matchers.is_empty());
    }

    #[test]
    fn conditions_on_time_bound_the_range_from_both_sides() {
        let at = |ms| lit(ScalarValue::TimestampMillisecond(Some(ms), None));
        let range = narrowed(&col("ts").gt_eq(at(1000)).and(at(2000).gt(col("ts")))).range;
        assert_eq!((range.start, range.end), (Timestamp(1000), Timestamp(2001)));
        let fine = lit(ScalarValue::TimestampNanosecond(Some(1_500_000), None));
        assert_eq!(narrowed(&col("ts").lt(fine)).range.end, Timestamp(3));
    }
}
