//! Tree ▶ canonical text; parsing it gives the same tree back.

use std::fmt::{self, Display, Formatter, Write};

use series::{METRIC_NAME, MatchOp, Matcher, Millis};

use crate::ast::{
    Aggregate, At, Binary, DurationExpr, DurationOp, Expr, ExprKind, Extension, Grouping, MatchLabels, Number, Side,
    UnaryOp, VectorSelector,
};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::Text(text) => quote(f, text),
            ExprKind::Vector(selector) => {
                write_matchers(f, selector)?;
                write_modifiers(f, selector.at, selector.offset.as_ref(), selector.extension)
            }
            ExprKind::Matrix(matrix) => {
                write_matchers(f, &matrix.selector)?;
                write!(f, "[{}]", matrix.range)?;
                let selector = &matrix.selector;
                write_modifiers(f, selector.at, selector.offset.as_ref(), selector.extension)
            }
            ExprKind::Subquery(subquery) => {
                write!(f, "{}[{}:", subquery.expr, subquery.range)?;
                if let Some(step) = &subquery.step {
                    step.fmt(f)?;
                }
                f.write_char(']')?;
                write_modifiers(f, subquery.at, subquery.offset.as_ref(), None)
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                separated(f, &call.args)?;
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => write_aggregate(f, aggregate),
            ExprKind::Binary(binary) => write_binary(f, binary),
            ExprKind::Unary(unary) => write!(f, "{}{}", sign(unary.op), unary.expr),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            Millis((self.value * 1000.0).round() as i64).fmt(f)
        } else if self.value.is_nan() {
            f.write_str("NaN")
        } else if self.value.is_infinite() {
            f.write_str(if self.value > 0.0 { "Inf" } else { "-Inf" })
        } else {
            write!(f, "{}", self.value)
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(number) => number.fmt(f),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Unary(op, inner) => write!(f, "{}{inner}", sign(*op)),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Binary(DurationOp::Min, left, right) => write!(f, "min({left}, {right})"),
            Self::Binary(DurationOp::Max, left, right) => write!(f, "max({left}, {right})"),
            Self::Binary(op, left, right) => write!(f, "{left} {} {right}", duration_symbol(*op)),
        }
    }
}

fn duration_symbol(op: DurationOp) -> &'static str {
    match op {
        DurationOp::Add => "+",
        DurationOp::Sub => "-",
        DurationOp::Mul => "*",
        DurationOp::Div => "/",
        DurationOp::Mod => "%",
        DurationOp::Pow => "^",
        DurationOp::Min => "min",
        DurationOp::Max => "max",
    }
}

fn sign(op: UnaryOp) -> char {
    match op {
        UnaryOp::Plus => '+',
        UnaryOp::Minus => '-',
    }
}

/// Letters, digits, `_`, and `:` in metric names: names that need no quotes.
fn is_plain(name: &str, colon: bool) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Words that a metric of the same name would be mistaken for.
fn is_number_word(name: &str) -> bool {
    name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("nan")
}

/// Double quotes with escapes that the lexer takes back.
fn quote(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if (c as u32) < 0x20 || c == '\u{7f}' => write!(f, "\\x{:02x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

fn write_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let mut matchers = selector.matchers.as_slice();
    // The name stands in front only where the parser put it from there: first, plain, and not compared twice.
    let first = matchers.first().filter(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
    let names = matchers.iter().filter(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal).count();
    if let Some(name) = first.filter(|m| names == 1 && is_plain(&m.value, true) && !is_number_word(&m.value)) {
        f.write_str(&name.value)?;
        matchers = &matchers[1..];
        if matchers.is_empty() {
            return Ok(());
        }
    }
    f.write_char('{')?;
    for (i, matcher) in matchers.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write_matcher(f, matcher)?;
    }
    f.write_char('}')
}

fn write_matcher(f: &mut Formatter<'_>, matcher: &Matcher) -> fmt::Result {
    label(f, &matcher.name)?;
    f.write_str(match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    })?;
    quote(f, &matcher.value)
}

fn label(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if is_plain(name, false) { f.write_str(name) } else { quote(f, name) }
}

fn write_modifiers(
    f: &mut Formatter<'_>,
    at: Option<At>,
    offset: Option<&DurationExpr>,
    extension: Option<Extension>,
) -> fmt::Result {
    match at {
        Some(At::Time(millis)) => {
            let (sign, rest) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
            write!(f, " @ {sign}{}.{:03}", rest / 1000, rest % 1000)?;
        }
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        None => {}
    }
    if let Some(offset) = offset {
        write!(f, " offset {offset}")?;
    }
    match extension {
        Some(Extension::Anchored) => f.write_str(" anchored"),
        Some(Extension::Smoothed) => f.write_str(" smoothed"),
        None => Ok(()),
    }
}

fn separated(f: &mut Formatter<'_>, args: &[Expr]) -> fmt::Result {
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        arg.fmt(f)?;
    }
    Ok(())
}

fn labels(f: &mut Formatter<'_>, names: &[String]) -> fmt::Result {
    f.write_char('(')?;
    for (i, name) in names.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        label(f, name)?;
    }
    f.write_char(')')
}

fn write_aggregate(f: &mut Formatter<'_>, aggregate: &Aggregate) -> fmt::Result {
    f.write_str(aggregate.op.name())?;
    match &aggregate.grouping {
        Grouping::All => {}
        Grouping::By(names) => {
            f.write_str(" by ")?;
            labels(f, names)?;
            f.write_char(' ')?;
        }
        Grouping::Without(names) => {
            f.write_str(" without ")?;
            labels(f, names)?;
            f.write_char(' ')?;
        }
    }
    f.write_char('(')?;
    if let Some(param) = &aggregate.param {
        write!(f, "{param}, ")?;
    }
    write!(f, "{})", aggregate.expr)
}

fn write_binary(f: &mut Formatter<'_>, binary: &Binary) -> fmt::Result {
    write!(f, "{} {}", binary.left, binary.op.symbol())?;
    if binary.returns_bool {
        f.write_str(" bool")?;
    }
    match &binary.matching.labels {
        MatchLabels::On(names) => {
            f.write_str(" on ")?;
            labels(f, names)?;
        }
        MatchLabels::Ignoring(names) if !names.is_empty() || binary.matching.group.is_some() => {
            f.write_str(" ignoring ")?;
            labels(f, names)?;
        }
        MatchLabels::Ignoring(_) => {}
    }
    if let Some(group) = &binary.matching.group {
        f.write_str(if group.many == Side::Left { " group_left " } else { " group_right " })?;
        labels(f, &group.include)?;
    }
    if let Some(fill) = &binary.matching.fill_left {
        write!(f, " fill_left ({fill})")?;
    }
    if let Some(fill) = &binary.matching.fill_right {
        write!(f, " fill_right ({fill})")?;
    }
    write!(f, " {}", binary.right)
}
