//! Conditions of a WHERE clause that the index and the time range can answer.
//!
//! Everything found here only narrows the scan; DataFusion filters again, so an approximation is safe as long as it
//! keeps every row that the condition keeps.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, Cast, InList};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use series::{MatchOp, Matcher, TimeRange, Timestamp};

/// Column that holds the time of a sample.
pub(crate) const TIME_COLUMN: &str = "ts";
/// Column that holds a sample's value.
pub(crate) const VALUE_COLUMN: &str = "value";
const DAY_MS: i64 = 86_400_000;
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
                if let (Some(read), Some(value)) = (read_of(left), literal_of(right)) {
                    self.compare(read, *op, value, label_of);
                } else if let (Some(value), Some(read)) = (literal_of(left), read_of(right))
                    && let Some(op) = op.swap()
                {
                    self.compare(read, op, value, label_of);
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) => {
                if let (Some(read), Some(low), Some(high)) = (read_of(expr), literal_of(low), literal_of(high)) {
                    self.compare(read, Operator::GtEq, low, label_of);
                    self.compare(read, Operator::LtEq, high, label_of);
                }
            }
            Expr::InList(InList { expr, list, negated: false }) => self.one_of(expr, list, label_of),
            Expr::IsNotNull(expr) => {
                if let Some(label) = text_column(expr).and_then(label_of) {
                    self.add(label, MatchOp::NotEqual, "");
                }
            }
            Expr::IsNull(expr) => {
                if let Some(label) = text_column(expr).and_then(label_of) {
                    self.add(label, MatchOp::Equal, "");
                }
            }
            _ => {}
        }
    }

    fn compare(
        &mut self,
        read: Read<'_>,
        op: Operator,
        value: &ScalarValue,
        label_of: &dyn Fn(&str) -> Option<String>,
    ) {
        match read {
            Read::Plain(TIME_COLUMN) | Read::Time(TIME_COLUMN) => self.bound(op, value),
            Read::Day(TIME_COLUMN) => self.bound_days(op, value),
            Read::Plain(column) | Read::Text(column) => {
                let (Some(label), Some(text)) = (label_of(column), text_of(value)) else { return };
                match op {
                    Operator::Eq => self.add(label, MatchOp::Equal, &text),
                    Operator::NotEq => self.add(label, MatchOp::NotEqual, &text),
                    Operator::RegexMatch => self.add(label, MatchOp::Regex, &format!(".*(?:{text}).*")),
                    _ => {}
                }
            }
            Read::Time(_) | Read::Day(_) => {}
        }
    }

    /// Narrows the range by `ts op value`; a finer time is rounded outwards to milliseconds.
    fn bound(&mut self, op: Operator, value: &ScalarValue) {
        let Some((floor, ceil)) = millis_of(value) else { return };
        match op {
            Operator::Gt | Operator::GtEq => self.from(floor),
            Operator::Lt | Operator::LtEq => self.until(ceil.saturating_add(1)),
            Operator::Eq => {
                self.from(floor);
                self.until(ceil.saturating_add(1));
            }
            _ => {}
        }
    }

    /// Narrows the range by `ts::date op value`: every time of a day has its date.
    fn bound_days(&mut self, op: Operator, value: &ScalarValue) {
        let ScalarValue::Date32(Some(day)) = value else { return };
        let (start, end) = (i64::from(*day) * DAY_MS, (i64::from(*day) + 1) * DAY_MS);
        match op {
            Operator::Eq => {
                self.from(start);
                self.until(end);
            }
            Operator::Gt => self.from(end),
            Operator::GtEq => self.from(start),
            Operator::Lt => self.until(start),
            Operator::LtEq => self.until(end),
            _ => {}
        }
    }

    fn from(&mut self, start: i64) {
        self.range.start = self.range.start.max(Timestamp(start));
    }

    fn until(&mut self, end: i64) {
        self.range.end = self.range.end.min(Timestamp(end));
    }

    fn one_of(&mut self, expr: &Expr, list: &[Expr], label_of: &dyn Fn(&str) -> Option<String>) {
        let Some(label) = text_column(expr).and_then(label_of) else { return };
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

/// A column, as it is or after a cast that keeps what a condition on it says about the column.
#[derive(Debug, Clone, Copy)]
enum Read<'a> {
    Plain(&'a str),
    /// As a text.
    Text(&'a str),
    /// As a time of milliseconds or finer, which is the same time.
    Time(&'a str),
    /// As the date it lies in.
    Day(&'a str),
}

/// What `expr` reads. A cast that merges values (a time cut to seconds, a text read as a number) reads nothing: what it
/// says about the cast value does not hold for the column.
fn read_of(expr: &Expr) -> Option<Read<'_>> {
    match expr {
        Expr::Column(column) => Some(Read::Plain(&column.name)),
        Expr::Alias(alias) => read_of(&alias.expr),
        Expr::Cast(Cast { expr, field, .. }) => {
            let Some(Read::Plain(column)) = read_of(expr) else { return None };
            match field.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                    Some(Read::Text(column))
                }
                DataType::Timestamp(TimeUnit::Second, _) => None,
                DataType::Timestamp(..) => Some(Read::Time(column)),
                DataType::Date32 => Some(Read::Day(column)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The column read as a text.
fn text_column(expr: &Expr) -> Option<&str> {
    match read_of(expr)? {
        Read::Plain(column) | Read::Text(column) => Some(column),
        Read::Time(_) | Read::Day(_) => None,
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
            let at = i64::from(*days) * DAY_MS;
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
    use datafusion::logical_expr::{cast, col, lit};

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

    #[test]
    fn a_cast_that_merges_times_narrows_to_all_that_it_merges_or_not_at_all() {
        let to = |data_type| cast(col("ts"), data_type);
        let day = lit(ScalarValue::Date32(Some(1)));
        let range = narrowed(&to(DataType::Date32).eq(day.clone())).range;
        assert_eq!((range.start, range.end), (Timestamp(DAY_MS), Timestamp(2 * DAY_MS)));
        assert_eq!(narrowed(&to(DataType::Date32).lt_eq(day.clone())).range.end, Timestamp(2 * DAY_MS));
        assert_eq!(narrowed(&to(DataType::Date32).gt(day)).range.start, Timestamp(2 * DAY_MS));
        let second = lit(ScalarValue::TimestampSecond(Some(5), None));
        let seconds = to(DataType::Timestamp(TimeUnit::Second, None));
        assert_eq!(narrowed(&seconds.eq(second)).range, TimeRange::ALL);
        let nano = lit(ScalarValue::TimestampNanosecond(Some(5_000_000), None));
        let nanos = to(DataType::Timestamp(TimeUnit::Nanosecond, None));
        assert_eq!(narrowed(&nanos.eq(nano)).range, TimeRange::new(Timestamp(5), Timestamp(6)));
        assert!(narrowed(&cast(col("job"), DataType::Int64).is_null()).matchers.is_empty());
        assert_eq!(narrowed(&cast(col("job"), DataType::Utf8).eq(lit("a"))).matchers.len(), 1);
    }
}
