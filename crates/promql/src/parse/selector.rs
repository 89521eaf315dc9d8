//! Metric names, matchers in braces and lists of label names.

use series::{METRIC_NAME, MatchOp, Matcher};

use super::Parser;
use super::error::ParseError;
use super::lex::Token;
use crate::ast::{Expr, ExprKind, Span, VectorSelector};

/// Most matchers of one selector; each may hold a compiled pattern.
const MATCHERS_MAX: usize = 256;

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`; the name is at hand but not taken yet.
    pub(super) fn vector_selector(&mut self, name: Option<&str>) -> Result<Expr, ParseError> {
        let start = self.span().start;
        let mut matchers = Vec::new();
        if let Some(name) = name {
            self.bump();
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        let open = self.span();
        if self.take("{") {
            self.braces(name, open, &mut matchers)?;
        }
        if !matchers.iter().any(|matcher| !matcher.matches_absent()) {
            let message = "a selector needs at least one matcher that does not match the empty text";
            let hint = Some("name a metric or write for instance {job=~\".+\"}".to_owned());
            return Err(self.fault(self.since(start), message, hint));
        }
        let selector = VectorSelector { matchers, offset: None, at: None, extension: None };
        self.node(ExprKind::Vector(selector), start)
    }

    fn braces(&mut self, name: Option<&str>, open: Span, matchers: &mut Vec<Matcher>) -> Result<(), ParseError> {
        let mut named = name.map(str::to_owned);
        while !self.take("}") {
            let span = self.span();
            let quoted = matches!(self.peek(), Token::Text(_));
            let label = self.label_name("in a selector")?;
            if quoted && (self.is(",") || self.is("}")) {
                // `{"my.metric"}`: a name in quotes.
                if let Some(before) = &named {
                    let message = format!("the metric's name is given twice: {before} and {label}");
                    return Err(self.fault(span, message, None));
                }
                matchers.push(Matcher::equal(METRIC_NAME, label.clone()));
                named = Some(label);
            } else {
                let matcher = self.matcher(label)?;
                if let (Some(before), METRIC_NAME, MatchOp::Equal) = (name, matcher.name.as_str(), matcher.op) {
                    let message = format!("the metric's name is given twice: {before} and {}", matcher.value);
                    return Err(self.fault(span, message, None));
                }
                matchers.push(matcher);
            }
            if matchers.len() > MATCHERS_MAX {
                return Err(self.fault(span, format!("more than {MATCHERS_MAX} matchers in a selector"), None));
            }
            if !self.is("}") && !self.take(",") {
                return match self.peek() {
                    Token::End => self.close("}", open, "in a selector"),
                    _ => Err(self.unexpected("in a selector", Some(", or } is expected".to_owned()))),
                };
            }
        }
        Ok(())
    }

    fn matcher(&mut self, label: String) -> Result<Matcher, ParseError> {
        let op = match self.peek() {
            Token::Symbol("=") => MatchOp::Equal,
            Token::Symbol("!=") => MatchOp::NotEqual,
            Token::Symbol("=~") => MatchOp::Regex,
            Token::Symbol("!~") => MatchOp::NotRegex,
            Token::Symbol("==") => {
                return Err(self.fault_here("unexpected == in a selector", Some("match with =".to_owned())));
            }
            Token::Symbol("-" | ":" | "/" | "@") => {
                let hint = "label names with such characters go in quotes: {\"my-label\"=\"value\"}";
                return Err(self.unexpected("in a selector", Some(hint.to_owned())));
            }
            _ => return Err(self.unexpected("in a selector", Some("=, !=, =~ or !~ is expected".to_owned()))),
        };
        self.bump();
        let span = self.span();
        let Token::Text(value) = self.peek().clone() else {
            let hint = match self.peek() {
                Token::Ident(value) => format!("write the value in quotes: \"{value}\""),
                _ => "write the value in quotes".to_owned(),
            };
            return Err(self.unexpected("in a selector", Some(hint)));
        };
        self.bump();
        Matcher::new(label, op, value).map_err(|why| self.fault(span, why.to_string(), None))
    }

    fn label_name(&mut self, place: &str) -> Result<String, ParseError> {
        let name = match self.peek().clone() {
            Token::Ident(name) if !name.contains(':') => name,
            Token::Text(name) if !name.is_empty() => name,
            _ => return Err(self.unexpected(place, Some("a label name is expected".to_owned()))),
        };
        self.bump();
        Ok(name)
    }

    /// `(a, b, "c.d",)`.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect("(", "before a list of labels")?;
        let mut names = Vec::new();
        while !self.take(")") {
            names.push(self.label_name("in a list of labels")?);
            if !self.is(")") {
                self.expect(",", "in a list of labels")?;
            }
        }
        Ok(names)
    }
}
