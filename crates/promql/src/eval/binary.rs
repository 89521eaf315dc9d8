//! Binary operators with scalars; those between vectors are in [`super::matching`].

use super::binary_natives::Combine;
use super::context::{Context, Steps};
use super::error::EvalError;
use super::rows::{ABSENT, Row, is_absent};
use super::{Operand, Point, matching};
use crate::ast::{Binary, BinaryOp, Side, Span, ValueType};

impl Context<'_> {
    pub(crate) fn binary(&self, binary: &Binary, span: Span, steps: &Steps) -> Result<Operand, EvalError> {
        let left = self.eval(&binary.left, steps)?;
        let right = self.eval(&binary.right, steps)?;
        match (left, right) {
            (Operand::Scalar(left), Operand::Scalar(right)) => {
                let values = left.iter().zip(&right).map(|(l, r)| compute(binary.op, *l, *r)).collect();
                Ok(Operand::Scalar(values))
            }
            (Operand::Rows(rows), Operand::Scalar(numbers)) => {
                Ok(Operand::Rows(self.with_scalar((binary, span), rows, &numbers, Side::Left)))
            }
            (Operand::Scalar(numbers), Operand::Rows(rows)) => {
                Ok(Operand::Rows(self.with_scalar((binary, span), rows, &numbers, Side::Right)))
            }
            (Operand::Rows(left), Operand::Rows(right)) => {
                let rows = if binary.op.is_set() {
                    matching::set(binary, left, right, steps.n)
                } else {
                    matching::join(self, (binary, span), &left, &right, steps.n)?
                };
                self.charge_held(rows.iter().map(Row::weight).sum())?;
                Ok(Operand::Rows(rows))
            }
            _ => Err(EvalError::WrongType { found: ValueType::Text }),
        }
    }

    /// The vector stands on `side`.
    fn with_scalar(
        &self,
        (binary, span): (&Binary, Span),
        mut rows: Vec<Row>,
        numbers: &[f64],
        side: Side,
    ) -> Vec<Row> {
        let filters = binary.op.is_comparison() && !binary.returns_bool;
        let mut combine = Combine::new(binary);
        for row in &mut rows {
            row.drop_name |= !binary.op.keeps_name() || binary.returns_bool;
            if binary.op.is_trim() || !row.natives.is_none() {
                for (i, number) in numbers.iter().enumerate() {
                    let Some(own) = row.point(i) else { continue };
                    let number = Point::Float(*number);
                    let (left, right) = if side == Side::Left { (&own, &number) } else { (&number, &own) };
                    // A comparison hands out the element of the vector, on whichever side it stands.
                    let kept = if filters { Some(&own) } else { None };
                    let result = combine.points(left, right, kept);
                    row.clear(i);
                    row.put(i, result);
                }
                continue;
            }
            for (value, number) in row.values.iter_mut().zip(numbers).filter(|(v, _)| !is_absent(**v)) {
                let (left, right) = if side == Side::Left { (*value, *number) } else { (*number, *value) };
                let result = compute(binary.op, left, right);
                if !filters {
                    *value = result;
                } else if result == 0.0 {
                    *value = ABSENT;
                }
            }
        }
        combine.tell(self, span);
        rows.retain(|row| !row.is_empty());
        rows
    }
}

/// A number, or 1 and 0 for a comparison.
pub(crate) fn compute(op: BinaryOp, left: f64, right: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Equal => truth(left == right),
        BinaryOp::NotEqual => truth(left != right),
        BinaryOp::Greater => truth(left > right),
        BinaryOp::Less => truth(left < right),
        BinaryOp::GreaterEqual => truth(left >= right),
        BinaryOp::LessEqual => truth(left <= right),
        // Sets of series have no numbers and cutting takes a histogram; neither comes here.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => f64::NAN,
    }
}
