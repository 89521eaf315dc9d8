//! Text ▶ typed tree: a Pratt parser over [`lex`]'s tokens.
//!
//! ```text
//!   or < and unless < == != <= < >= > </ >/ < + - < * / % atan2 < unary + - < ^ (right) < offset @ [..] (postfix)
//! ```
//!
//! Refuses: more than [`NESTING_MAX`] levels of nesting, trees higher than [`HEIGHT_MAX`], texts above one MiB. Types are
//! checked here, so the evaluator never meets a function with wrong arguments.

mod check;
pub(crate) mod duration;
pub(crate) mod error;
mod lex;
mod selector;

#[cfg(test)]
mod tests;

use self::error::ParseError;
use self::lex::{Lexeme, Token};
use crate::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Expr, ExprKind, Extension, Group, Grouping, MatchLabels,
    Matching, MatrixSelector, Number, Side, Span, Subquery, Unary, UnaryOp, ValueType,
};
use crate::functions::{FUNCTIONS, function};
use crate::suggest::nearest;

/// Parentheses, calls, signs and brackets inside each other.
pub(crate) const NESTING_MAX: usize = 50;

/// Height of the tree: nesting plus chains such as `a + b + c`; keeps every walk within a small stack.
pub(crate) const HEIGHT_MAX: usize = 160;

/// Longest query in bytes.
const QUERY_BYTES_MAX: usize = 1 << 20;

/// Binding power of `^`, above the signs.
const POWER: u8 = 7;

/// Parses a query and checks its types.
///
/// # Errors
/// [`ParseError`] with the place, the fault and, where one is known, a way out.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("the query has {} bytes; at most {QUERY_BYTES_MAX} are taken", query.len());
        return Err(ParseError::new(query, Span::default(), message, None));
    }
    let mut parser = Parser { query, tokens: lex::lex(query)?, at: 0, depth: 0 };
    if *parser.peek() == Token::End {
        return Err(parser.fault_here("the query is empty", Some("try up or rate(http_requests_total[5m])".to_owned())));
    }
    let expr = parser.expr(0)?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Symbol("=") => Err(parser.fault_here("unexpected =", Some("compare with ==".to_owned()))),
        _ => Err(parser.unexpected("after the expression", parser.hint_after_expression())),
    }
}

/// Words that may follow an expression.
const FOLLOWERS: [&str; 10] =
    ["and", "or", "unless", "atan2", "by", "without", "offset", "bool", "anchored", "smoothed"];

/// Words that may follow an operator.
const MATCHERS: [&str; 7] = ["on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"];

pub(crate) struct Parser<'q> {
    query: &'q str,
    tokens: Vec<Lexeme>,
    at: usize,
    depth: usize,
}

// Tokens and faults.
impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |lexeme| &lexeme.token)
    }

    fn next_is(&self, symbol: &str) -> bool {
        matches!(self.tokens.get(self.at + 1).map(|l| &l.token), Some(Token::Symbol(s)) if *s == symbol)
    }

    fn next_keyword(&self) -> Option<&str> {
        match self.tokens.get(self.at + 1).map(|l| &l.token) {
            Some(Token::Ident(name)) => Some(name),
            _ => None,
        }
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or(Span::default(), |lexeme| lexeme.span)
    }

    fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |lexeme| lexeme.span.end)
    }

    fn since(&self, start: usize) -> Span {
        Span { start, end: self.last_end() }
    }

    fn bump(&mut self) {
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(s) if *s == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.bump();
        }
        found
    }

    fn keyword(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Ident(name) if name.eq_ignore_ascii_case(word))
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.keyword(word);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, symbol: &str, place: &str) -> Result<(), ParseError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(place, Some(format!("{symbol} is expected")))) }
    }

    fn fault(&self, span: Span, message: impl Into<String>, hint: Option<String>) -> ParseError {
        ParseError::new(self.query, span, message, hint)
    }

    fn fault_here(&self, message: impl Into<String>, hint: Option<String>) -> ParseError {
        self.fault(self.span(), message, hint)
    }

    fn unexpected(&self, place: &str, hint: Option<String>) -> ParseError {
        let found = match self.peek() {
            Token::End => "end of the query".to_owned(),
            _ => {
                let span = self.span();
                self.query.get(span.start..span.end).unwrap_or("").to_owned()
            }
        };
        self.fault_here(format!("unexpected {found} {place}"), hint)
    }

    /// What may be meant by a token that cannot follow an expression.
    fn hint_after_expression(&self) -> Option<String> {
        match self.peek() {
            Token::Ident(word) if MATCHERS.iter().any(|known| known.eq_ignore_ascii_case(word)) => {
                Some(format!("{word} stands behind an operator, as in a / {word}(…) b"))
            }
            Token::Ident(word) if ["by", "without"].iter().any(|known| known.eq_ignore_ascii_case(word)) => {
                Some(format!("{word} belongs to an aggregation, as in sum {word} (job) (…)"))
            }
            // One or two letters are near to too much.
            Token::Ident(word) => nearest(word, FOLLOWERS.into_iter().chain(MATCHERS))
                .filter(|_| word.len() > 2)
                .map(|near| format!("did you mean {near}?"))
                .or_else(|| Some("an operator is missing".to_owned())),
            Token::Number(_) | Token::Text(_) | Token::Symbol("(") => Some("an operator is missing".to_owned()),
            Token::Symbol(")" | "]" | "}") => Some("nothing is open that it could close".to_owned()),
            Token::Symbol("{") => Some("put all matchers into one pair of braces".to_owned()),
            Token::Symbol(",") => Some("a query is one expression; join two with or".to_owned()),
            _ => None,
        }
    }

    /// Takes the end of what `open` began.
    fn close(&mut self, symbol: &str, open: Span, place: &str) -> Result<(), ParseError> {
        if *self.peek() == Token::End {
            let begun = self.fault(open, "", None);
            let opening = self.query.get(open.start..open.end).unwrap_or_default();
            let hint = format!("{opening} at {}:{} is not closed", begun.line, begun.column);
            return Err(self.unexpected(place, Some(hint)));
        }
        self.expect(symbol, place)
    }

    fn descend(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(self.fault_here(format!("nested more than {NESTING_MAX} levels deep"), None));
        }
        Ok(())
    }

    fn ascend(&mut self) {
        self.depth -= 1;
    }

    fn node(&self, kind: ExprKind, start: usize) -> Result<Expr, ParseError> {
        let span = self.since(start);
        let expr = Expr::new(kind, span);
        if expr.height() > HEIGHT_MAX {
            let hint = Some("split it, for instance with a recording rule".to_owned());
            return Err(self.fault(span, format!("the expression is more than {HEIGHT_MAX} operations high"), hint));
        }
        Ok(expr)
    }
}

// Expressions.
impl Parser<'_> {
    fn expr(&mut self, min: u8) -> Result<Expr, ParseError> {
        self.descend()?;
        let start = self.span().start;
        let mut left = self.prefix()?;
        while let Some((op, bind)) = self.peek_binary().filter(|(_, bind)| *bind >= min) {
            let op_span = self.span();
            self.bump();
            let (returns_bool, matching) = self.modifiers(op)?;
            // `^` alone groups from the right.
            let right = self.expr(if op == BinaryOp::Pow { bind } else { bind + 1 })?;
            let binary = Binary { op, left: Box::new(left), right: Box::new(right), returns_bool, matching };
            self.check_binary(&binary, op_span)?;
            left = self.node(ExprKind::Binary(binary), start)?;
        }
        self.ascend();
        Ok(left)
    }

    fn peek_binary(&self) -> Option<(BinaryOp, u8)> {
        Some(match self.peek() {
            Token::Symbol("+") => (BinaryOp::Add, 4),
            Token::Symbol("-") => (BinaryOp::Sub, 4),
            Token::Symbol("*") => (BinaryOp::Mul, 5),
            Token::Symbol("/") => (BinaryOp::Div, 5),
            Token::Symbol("%") => (BinaryOp::Mod, 5),
            Token::Symbol("^") => (BinaryOp::Pow, POWER),
            Token::Symbol("==") => (BinaryOp::Equal, 3),
            Token::Symbol("!=") => (BinaryOp::NotEqual, 3),
            Token::Symbol(">") => (BinaryOp::Greater, 3),
            Token::Symbol("<") => (BinaryOp::Less, 3),
            Token::Symbol(">=") => (BinaryOp::GreaterEqual, 3),
            Token::Symbol("<=") => (BinaryOp::LessEqual, 3),
            Token::Symbol("</") => (BinaryOp::TrimUpper, 3),
            Token::Symbol(">/") => (BinaryOp::TrimLower, 3),
            Token::Ident(word) => match word.to_ascii_lowercase().as_str() {
                "and" => (BinaryOp::And, 2),
                "unless" => (BinaryOp::Unless, 2),
                "or" => (BinaryOp::Or, 1),
                "atan2" => (BinaryOp::Atan2, 5),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn modifiers(&mut self, op: BinaryOp) -> Result<(bool, Matching), ParseError> {
        let at = self.span();
        let returns_bool = self.take_keyword("bool");
        if returns_bool && !op.is_comparison() {
            return Err(self.fault(at, "bool is only allowed on comparisons", None));
        }
        let mut matching = Matching::default();
        // `on` and `ignoring` without a list are metrics of that name.
        if self.next_is("(") && self.take_keyword("on") {
            matching.labels = MatchLabels::On(self.label_list()?);
        } else if self.next_is("(") && self.take_keyword("ignoring") {
            matching.labels = MatchLabels::Ignoring(self.label_list()?);
        } else {
            self.fills(&mut matching)?;
            return Ok((returns_bool, matching));
        }
        let group_span = self.span();
        let many = match self.peek() {
            Token::Ident(word) if word.eq_ignore_ascii_case("group_left") => Some(Side::Left),
            Token::Ident(word) if word.eq_ignore_ascii_case("group_right") => Some(Side::Right),
            _ => None,
        };
        if let Some(many) = many {
            self.bump();
            let include = if self.is("(") { self.label_list()? } else { Vec::new() };
            self.check_group(op, &matching.labels, &include, group_span)?;
            matching.group = Some(Group { many, include });
        }
        self.fills(&mut matching)?;
        Ok((returns_bool, matching))
    }

    /// `fill(v)`, `fill_left(v)`, `fill_right(v)` after the matching clause.
    fn fills(&mut self, matching: &mut Matching) -> Result<(), ParseError> {
        while self.next_is("(") {
            let Token::Ident(word) = self.peek() else { return Ok(()) };
            let (left, right) = match word.to_ascii_lowercase().as_str() {
                "fill" => (true, true),
                "fill_left" => (true, false),
                "fill_right" => (false, true),
                _ => return Ok(()),
            };
            self.bump();
            self.bump();
            let value = self.signed_number()?;
            self.expect(")", "after the fill value")?;
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
        Ok(())
    }

    fn signed_number(&mut self) -> Result<Number, ParseError> {
        let negative = self.take("-");
        if !negative {
            self.take("+");
        }
        let number = match self.peek() {
            Token::Number(number) => *number,
            Token::Ident(word) => match special_number(word) {
                Some(number) => number,
                None => return Err(self.unexpected("where a number is expected", None)),
            },
            _ => return Err(self.unexpected("where a number is expected", None)),
        };
        self.bump();
        Ok(if negative { Number { value: -number.value, ..number } } else { number })
    }

    fn prefix(&mut self) -> Result<Expr, ParseError> {
        let span = self.span();
        let op = match self.peek() {
            Token::Symbol("-") => UnaryOp::Minus,
            Token::Symbol("+") => UnaryOp::Plus,
            _ => return self.postfix(),
        };
        self.bump();
        let expr = self.expr(POWER)?;
        if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
            let message =
                format!("a sign needs a scalar or an instant vector, not {}", expr.value_type().with_article());
            return Err(self.fault(self.since(span.start), message, None));
        }
        self.node(ExprKind::Unary(Unary { op, expr: Box::new(expr) }), span.start)
    }

    fn postfix(&mut self) -> Result<Expr, ParseError> {
        let start = self.span().start;
        let mut expr = self.primary()?;
        let mut rounds = 0;
        loop {
            rounds += 1;
            if rounds > NESTING_MAX {
                return Err(self.fault_here(format!("more than {NESTING_MAX} modifiers"), None));
            }
            let extension = match self.peek() {
                Token::Ident(word) if word.eq_ignore_ascii_case("anchored") => Some(Extension::Anchored),
                Token::Ident(word) if word.eq_ignore_ascii_case("smoothed") => Some(Extension::Smoothed),
                _ => None,
            };
            if self.is("[") {
                expr = self.brackets(expr, start)?;
            } else if self.keyword("offset") {
                self.offset(&mut expr)?;
            } else if self.is("@") {
                self.at_modifier(&mut expr)?;
            } else if let Some(extension) = extension {
                self.extension(&mut expr, extension)?;
            } else {
                return Ok(expr);
            }
            expr.span = self.since(start);
        }
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        let start = self.span().start;
        match self.peek().clone() {
            Token::Number(number) => {
                self.bump();
                self.node(ExprKind::Number(number), start)
            }
            Token::Text(text) => {
                self.bump();
                self.node(ExprKind::Text(text), start)
            }
            Token::Symbol("(") => {
                let open = self.span();
                self.bump();
                let inner = self.expr(0)?;
                self.close(")", open, "in a parenthesis")?;
                self.node(ExprKind::Paren(Box::new(inner)), start)
            }
            Token::Symbol("{") => self.vector_selector(None),
            Token::Ident(name) => self.named(&name),
            Token::Symbol("!") => {
                let hint = "there is no negation; compare with == 0, or leave series out with unless";
                Err(self.unexpected("where an expression is expected", Some(hint.to_owned())))
            }
            _ => Err(self.unexpected("where an expression is expected", None)),
        }
    }

    /// A number in words, an aggregation, a call, or a metric.
    fn named(&mut self, name: &str) -> Result<Expr, ParseError> {
        let start = self.span().start;
        if let Some(number) = special_number(name) {
            self.bump();
            return self.node(ExprKind::Number(number), start);
        }
        if let Some(op) = AggregateOp::from_name(name) {
            let clause = self
                .next_keyword()
                .is_some_and(|word| word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"));
            if clause || self.next_is("(") {
                return self.aggregate(op);
            }
        }
        if self.next_is("(") { self.call(name) } else { self.vector_selector(Some(name)) }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Expr, ParseError> {
        let start = self.span().start;
        self.bump();
        let before = self.grouping()?;
        self.expect("(", "after an aggregation")?;
        let mut args = self.args()?;
        let after = if before.is_none() { self.grouping()? } else { None };
        let wanted = if op.param_type().is_some() { 2 } else { 1 };
        if args.len() != wanted {
            let message = format!("{} takes {wanted} argument{}, not {}", op.name(), plural(wanted), args.len());
            return Err(self.fault(self.since(start), message, None));
        }
        let expr = args.pop().map(Box::new);
        let param = args.pop().map(Box::new);
        let Some(expr) = expr else { return Err(self.unexpected("in an aggregation", None)) };
        if let (Some(param), Some(wanted)) = (&param, op.param_type()) {
            self.check_type(param, wanted, &format!("parameter of {}", op.name()))?;
        }
        self.check_type(&expr, ValueType::Vector, &format!("argument of {}", op.name()))?;
        let grouping = before.or(after).unwrap_or(Grouping::All);
        self.node(ExprKind::Aggregate(Aggregate { op, param, expr, grouping }), start)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        if self.take_keyword("by") {
            Ok(Some(Grouping::By(self.label_list()?)))
        } else if self.take_keyword("without") {
            Ok(Some(Grouping::Without(self.label_list()?)))
        } else {
            Ok(None)
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr, ParseError> {
        let span = self.span();
        let Some(function) = function(name) else {
            let known = FUNCTIONS.iter().map(|f| f.name).chain(AggregateOp::ALL.iter().map(|(name, _)| *name));
            let hint = nearest(name, known).map(|near| format!("did you mean {near}?"));
            return Err(self.fault(span, format!("unknown function {name}"), hint));
        };
        self.bump();
        self.bump();
        let args = self.args()?;
        self.check_call(function, &args, self.since(span.start))?;
        self.node(ExprKind::Call(Call { function, args }), span.start)
    }

    /// Arguments up to and including the closing parenthesis; the opening one is taken already.
    fn args(&mut self) -> Result<Vec<Expr>, ParseError> {
        let open = self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(self.span(), |token| token.span);
        let mut args = Vec::new();
        if self.take(")") {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            if self.take(")") {
                return Ok(args);
            }
            let comma = self.span();
            if !self.take(",") {
                let place = "between arguments";
                return match self.peek() {
                    Token::End => self.close(")", open, place).map(|()| args),
                    Token::Ident(_) => Err(self.unexpected(place, self.hint_after_expression())),
                    _ => Err(self.unexpected(place, Some(", or ) is expected".to_owned()))),
                };
            }
            if self.is(")") {
                return Err(self.fault(comma, "a comma after the last argument", Some("leave it out".to_owned())));
            }
        }
    }

    fn at_modifier(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        let at_span = self.span();
        self.bump();
        let at = match self.peek() {
            Token::Ident(word) if self.next_is("(") && word.eq_ignore_ascii_case("start") => At::Start,
            Token::Ident(word) if self.next_is("(") && word.eq_ignore_ascii_case("end") => At::End,
            _ => {
                let number = self.signed_number()?;
                let millis = number.value * 1000.0;
                if !millis.is_finite() || millis.abs() >= i64::MAX as f64 {
                    return Err(self.fault(at_span, "the time after @ is out of range", None));
                }
                At::Time(millis.round() as i64)
            }
        };
        if matches!(at, At::Start | At::End) {
            self.bump();
            self.bump();
            self.expect(")", "after @ start( or end(")?;
        }
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.at,
            ExprKind::Matrix(matrix) => &mut matrix.selector.at,
            ExprKind::Subquery(subquery) => &mut subquery.at,
            _ => {
                let message = "@ must follow a selector or a subquery";
                return Err(self.fault(at_span, message, None));
            }
        };
        if slot.replace(at).is_some() {
            return Err(self.fault(at_span, "@ may be given once only", None));
        }
        Ok(())
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<(), ParseError> {
        let span = self.span();
        self.bump();
        let offset = self.offset_duration()?;
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.offset,
            ExprKind::Matrix(matrix) => &mut matrix.selector.offset,
            ExprKind::Subquery(subquery) => &mut subquery.offset,
            _ => {
                let message = "offset must follow a selector or a subquery";
                return Err(self.fault(span, message, Some("put it directly behind the metric or its [range]".into())));
            }
        };
        if slot.replace(offset).is_some() {
            return Err(self.fault(span, "offset may be given once only", None));
        }
        Ok(())
    }

    fn extension(&mut self, expr: &mut Expr, extension: Extension) -> Result<(), ParseError> {
        let span = self.span();
        self.bump();
        let slot = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.extension,
            ExprKind::Matrix(matrix) => &mut matrix.selector.extension,
            _ => return Err(self.fault(span, "anchored and smoothed must follow a selector", None)),
        };
        if slot.replace(extension).is_some() {
            return Err(self.fault(span, "only one of anchored and smoothed may be given, once", None));
        }
        Ok(())
    }

    /// `[5m]` or `[1h:5m]` behind `inner`.
    fn brackets(&mut self, inner: Expr, start: usize) -> Result<Expr, ParseError> {
        let open = self.span();
        self.bump();
        let range = self.window_duration()?;
        if self.take(":") {
            let step = if self.is("]") { None } else { Some(self.window_duration()?) };
            self.close("]", open, "in a subquery")?;
            if inner.value_type() != ValueType::Vector {
                let message = format!("a subquery needs an instant vector, not {}", inner.value_type().with_article());
                return Err(self.fault(inner.span, message, None));
            }
            let subquery = Subquery { expr: Box::new(inner), range, step, offset: None, at: None };
            return self.node(ExprKind::Subquery(subquery), start);
        }
        self.close("]", open, "in a range")?;
        let ExprKind::Vector(selector) = inner.kind else {
            let hint = Some("for a window over an expression write a subquery: expr[1h:5m]".to_owned());
            return Err(self.fault(open, "a range must directly follow a selector", hint));
        };
        if selector.offset.is_some() || selector.at.is_some() || selector.extension.is_some() {
            return Err(self.fault(open, "write the range before offset, @, anchored and smoothed", None));
        }
        self.node(ExprKind::Matrix(MatrixSelector { selector, range }), start)
    }
}

/// `inf` and `nan` in any letter case.
fn special_number(word: &str) -> Option<Number> {
    let value = match word.to_ascii_lowercase().as_str() {
        "inf" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => return None,
    };
    Some(Number { value, is_duration: false })
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
