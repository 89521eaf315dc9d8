//! Durations inside brackets and after `offset`, with arithmetic over `step()` and `range()`.

use series::Millis;

use super::Parser;
use super::error::ParseError;
use super::lex::Token;
use crate::ast::{DurationExpr, DurationOp, Number, Span, UnaryOp};

/// Why a duration expression has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Division or modulo by zero.
    #[error("a duration is divided by zero")]
    DivisionByZero,
    /// Zero or negative where a length is needed.
    #[error("a duration must be greater than 0")]
    NotPositive,
    /// Not representable.
    #[error("a duration is out of range")]
    OutOfRange,
}

/// Longest representable duration in seconds, about 292 years as in Prometheus (nanoseconds in 64 bits).
const SECONDS_MAX: f64 = (i64::MAX / 1_000_000_000) as f64;

impl DurationExpr {
    /// The duration in milliseconds where `step()` and `range()` have these values.
    ///
    /// # Errors
    /// [`DurationError::DivisionByZero`] and [`DurationError::OutOfRange`].
    pub fn resolve(&self, step: Millis, range: Millis) -> Result<Millis, DurationError> {
        let seconds = self.seconds(step, range)?;
        if !(-SECONDS_MAX..=SECONDS_MAX).contains(&seconds) {
            return Err(DurationError::OutOfRange);
        }
        // By way of nanoseconds, so that 0.001 is one millisecond although 0.001 * 1000 may fall short of 1.
        Ok(Millis((seconds * 1e9).round() as i64 / 1_000_000))
    }

    /// Like [`DurationExpr::resolve`] for windows and steps, which must be longer than nothing.
    ///
    /// # Errors
    /// Also [`DurationError::NotPositive`].
    pub fn resolve_positive(&self, step: Millis, range: Millis) -> Result<Millis, DurationError> {
        let span = self.resolve(step, range)?;
        if span.0 > 0 { Ok(span) } else { Err(DurationError::NotPositive) }
    }

    /// Whether the value depends on the query's grid.
    pub fn depends_on_grid(&self) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Step | Self::Range => true,
            Self::Unary(_, inner) | Self::Paren(inner) => inner.depends_on_grid(),
            Self::Binary(_, left, right) => left.depends_on_grid() || right.depends_on_grid(),
        }
    }

    fn seconds(&self, step: Millis, range: Millis) -> Result<f64, DurationError> {
        Ok(match self {
            Self::Literal(number) => number.value,
            Self::Step => step.as_secs_f64(),
            Self::Range => range.as_secs_f64(),
            Self::Paren(inner) | Self::Unary(UnaryOp::Plus, inner) => inner.seconds(step, range)?,
            Self::Unary(UnaryOp::Minus, inner) => -inner.seconds(step, range)?,
            Self::Binary(op, left, right) => {
                let (left, right) = (left.seconds(step, range)?, right.seconds(step, range)?);
                if right == 0.0 && matches!(op, DurationOp::Div | DurationOp::Mod) {
                    return Err(DurationError::DivisionByZero);
                }
                match op {
                    DurationOp::Add => left + right,
                    DurationOp::Sub => left - right,
                    DurationOp::Mul => left * right,
                    DurationOp::Div => left / right,
                    DurationOp::Mod => left % right,
                    DurationOp::Pow => left.powf(right),
                    DurationOp::Min => left.min(right),
                    DurationOp::Max => left.max(right),
                }
            }
        })
    }
}

impl Parser<'_> {
    /// A length in brackets: any duration expression, positive when it is known already.
    pub(super) fn window_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let start = self.span().start;
        let duration = self.duration_expr(0)?;
        if !duration.depends_on_grid()
            && let Err(why) = duration.resolve_positive(Millis(0), Millis(0))
        {
            let span = Span { start, end: self.last_end() };
            return Err(self.fault(span, why.to_string(), None));
        }
        Ok(duration)
    }

    /// What may follow `offset`: a signed literal, call or parenthesis; an operator after it belongs to the query.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr, ParseError> {
        let start = self.span().start;
        let sign = self.sign();
        let atom = self.duration_atom()?;
        let duration = match sign {
            Some(op) => DurationExpr::Unary(op, Box::new(atom)),
            None => atom,
        };
        if !duration.depends_on_grid()
            && let Err(why) = duration.resolve(Millis(0), Millis(0))
        {
            let span = Span { start, end: self.last_end() };
            return Err(self.fault(span, why.to_string(), None));
        }
        Ok(duration)
    }

    fn sign(&mut self) -> Option<UnaryOp> {
        if self.take("-") {
            Some(UnaryOp::Minus)
        } else if self.take("+") {
            Some(UnaryOp::Plus)
        } else {
            None
        }
    }

    fn duration_expr(&mut self, min: u8) -> Result<DurationExpr, ParseError> {
        self.descend()?;
        let mut left = match self.sign() {
            Some(op) => DurationExpr::Unary(op, Box::new(self.duration_expr(3)?)),
            None => self.duration_atom()?,
        };
        let mut operators = 0;
        while let Some((op, _, next)) = self.peek_duration_op().filter(|(_, bind, _)| *bind >= min) {
            operators += 1;
            if operators > super::NESTING_MAX {
                return Err(self.fault_here("a duration has too many operators", None));
            }
            self.bump();
            let right = self.duration_expr(next)?;
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
        }
        self.ascend();
        Ok(left)
    }

    fn peek_duration_op(&self) -> Option<(DurationOp, u8, u8)> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        Some(match *symbol {
            "+" => (DurationOp::Add, 1, 2),
            "-" => (DurationOp::Sub, 1, 2),
            "*" => (DurationOp::Mul, 2, 3),
            "/" => (DurationOp::Div, 2, 3),
            "%" => (DurationOp::Mod, 2, 3),
            "^" => (DurationOp::Pow, 3, 3),
            _ => return None,
        })
    }

    fn duration_atom(&mut self) -> Result<DurationExpr, ParseError> {
        match self.peek().clone() {
            Token::Number(Number { value, is_duration }) => {
                self.bump();
                Ok(DurationExpr::Literal(Number { value, is_duration }))
            }
            Token::Symbol("(") => {
                self.bump();
                let inner = self.duration_expr(0)?;
                self.expect(")", "in a duration")?;
                Ok(DurationExpr::Paren(Box::new(inner)))
            }
            Token::Ident(name) => self.duration_call(&name),
            _ => Err(self.fault_here("a duration is expected here", Some("for instance 5m or 1h30m".to_owned()))),
        }
    }

    fn duration_call(&mut self, name: &str) -> Result<DurationExpr, ParseError> {
        let name = name.to_ascii_lowercase();
        let known = matches!(name.as_str(), "step" | "range" | "min" | "max");
        if !known || !self.next_is("(") {
            let hint = "durations know step(), range(), min(a, b) and max(a, b)".to_owned();
            return Err(self.fault_here("a duration is expected here", Some(hint)));
        }
        self.bump();
        self.bump();
        let duration = match name.as_str() {
            "step" => DurationExpr::Step,
            "range" => DurationExpr::Range,
            _ => {
                let op = if name == "min" { DurationOp::Min } else { DurationOp::Max };
                let left = self.duration_expr(0)?;
                self.expect(",", "between two durations")?;
                DurationExpr::Binary(op, Box::new(left), Box::new(self.duration_expr(0)?))
            }
        };
        self.expect(")", "after the arguments")?;
        Ok(duration)
    }
}
