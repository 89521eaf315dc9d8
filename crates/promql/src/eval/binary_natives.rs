//! Binary operators between points of which one may be a native histogram.

use std::collections::BTreeSet;
use std::sync::Arc;

use series::{Histogram, ResetHint};

use super::Point;
use super::binary::compute;
use super::context::Context;
use super::notes::{Note, Operation, Seen};
use crate::ast::{Binary, BinaryOp, Span};
use crate::native::{self, Keep, Total};

/// One operator at work; gathers what must be said about the points it met.
pub(crate) struct Combine<'b> {
    binary: &'b Binary,
    seen: Seen,
    mismatches: BTreeSet<(&'static str, &'static str)>,
    incompatible: bool,
}

/// What an operator makes of two points.
enum Outcome {
    /// A new point.
    Made(Point),
    /// The answer of a comparison.
    Holds(bool),
    /// Nothing: the operator does not take these.
    Nothing,
}

impl<'b> Combine<'b> {
    pub(crate) fn new(binary: &'b Binary) -> Self {
        Self { binary, seen: Seen::default(), mismatches: BTreeSet::new(), incompatible: false }
    }

    /// The result of two points. A comparison that filters hands out `kept`, or the left one.
    pub(crate) fn points(&mut self, left: &Point, right: &Point, kept: Option<&Point>) -> Option<Point> {
        match self.outcome(left, right) {
            Outcome::Made(point) => Some(point),
            Outcome::Holds(holds) if self.binary.returns_bool => Some(Point::Float(f64::from(u8::from(holds)))),
            Outcome::Holds(holds) => holds.then(|| kept.unwrap_or(left).clone()),
            Outcome::Nothing => None,
        }
    }

    /// Tells what was met.
    pub(crate) fn tell(self, context: &Context<'_>, span: Span) {
        let symbol = self.binary.op.symbol();
        for (left, right) in &self.mismatches {
            context.inform_types(symbol, left, right, span);
        }
        if self.incompatible {
            context.warn(span, format!("incompatible bucket layout encountered for binary operator {symbol}"));
        }
        context.tell(&self.seen, "", span);
    }

    fn outcome(&mut self, left: &Point, right: &Point) -> Outcome {
        let op = self.binary.op;
        let made = |histogram: Histogram| Outcome::Made(Point::Histogram(Arc::new(native::compact(histogram))));
        match (left, right) {
            (Point::Float(left), Point::Float(right)) if !op.is_trim() => {
                let result = compute(op, *left, *right);
                if op.is_comparison() { Outcome::Holds(result != 0.0) } else { Outcome::Made(Point::Float(result)) }
            }
            (Point::Histogram(histogram), Point::Float(number)) => {
                let histogram = || histogram.as_ref().clone();
                match op {
                    BinaryOp::Mul => made(native::times(histogram(), *number)),
                    BinaryOp::Div => made(native::divided(histogram(), *number)),
                    BinaryOp::TrimUpper => made(native::trim(histogram(), Keep::Below, *number)),
                    BinaryOp::TrimLower => made(native::trim(histogram(), Keep::Above, *number)),
                    _ => self.mismatch("histogram", "float"),
                }
            }
            (Point::Float(number), Point::Histogram(histogram)) if op == BinaryOp::Mul => {
                made(native::times(histogram.as_ref().clone(), *number))
            }
            (Point::Histogram(left), Point::Histogram(right)) => match op {
                BinaryOp::Add => self.total(left, right, Operation::Addition),
                BinaryOp::Sub => self.total(left, right, Operation::Subtraction),
                BinaryOp::Equal => Outcome::Holds(native::same(left, right)),
                BinaryOp::NotEqual => Outcome::Holds(!native::same(left, right)),
                _ => self.mismatch("histogram", "histogram"),
            },
            (Point::Float(_), Point::Histogram(_)) => self.mismatch("float", "histogram"),
            (Point::Float(_), Point::Float(_)) => self.mismatch("float", "float"),
        }
    }

    fn mismatch(&mut self, left: &'static str, right: &'static str) -> Outcome {
        self.mismatches.insert((left, right));
        Outcome::Nothing
    }

    fn total(&mut self, left: &Histogram, right: &Histogram, operation: Operation) -> Outcome {
        let mut total = Total::new(left);
        let added = if operation == Operation::Addition { total.add(right) } else { total.subtract(right) };
        if added.is_err() {
            self.incompatible = true;
            return Outcome::Nothing;
        }
        if total.collided {
            self.seen.add(Note::collided(operation));
        }
        if total.reconciled {
            self.seen.add(Note::reconciled(operation));
        }
        let mut histogram = total.finish();
        if operation == Operation::Subtraction {
            histogram.reset = ResetHint::Gauge;
        }
        Outcome::Made(Point::Histogram(Arc::new(histogram)))
    }
}
