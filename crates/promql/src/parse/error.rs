//! What is wrong with a query's text, and where.

use crate::ast::Span;

/// A fault in the text of a query: `1:14: unknown function rat; did you mean rate?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// Bytes the fault covers.
    pub span: Span,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>, hint: Option<String>) -> Self {
        let (line, column) = position(query, span);
        Self { span, line, column, message: message.into(), hint }
    }
}

/// Line and column, both from 1, at which `span` begins.
pub(crate) fn position(query: &str, span: Span) -> (usize, usize) {
    let mut start = span.start.min(query.len());
    while !query.is_char_boundary(start) {
        start -= 1;
    }
    let before = &query[..start];
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (before.matches('\n').count() + 1, column)
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
