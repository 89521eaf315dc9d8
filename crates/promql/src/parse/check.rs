//! Types of operands and arguments.

use super::error::ParseError;
use super::{Parser, plural};
use crate::ast::{Binary, BinaryOp, Expr, ExprKind, MatchLabels, Matching, Span, ValueType};
use crate::functions::Function;

impl Parser<'_> {
    pub(super) fn check_type(&self, expr: &Expr, wanted: ValueType, place: &str) -> Result<(), ParseError> {
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        let hint = match (wanted, found) {
            (ValueType::Matrix, ValueType::Vector) if matches!(expr.unparen().kind, ExprKind::Vector(_)) => {
                Some("add a range such as [5m]".to_owned())
            }
            (ValueType::Matrix, ValueType::Vector) => Some("make it a subquery such as [1h:5m]".to_owned()),
            (ValueType::Vector, ValueType::Matrix) => {
                Some("drop the [range] or wrap it in a function such as rate or avg_over_time".to_owned())
            }
            (ValueType::Vector, ValueType::Scalar) => Some("make it a vector with vector(…)".to_owned()),
            (ValueType::Scalar, ValueType::Vector) => Some("make it a scalar with scalar(…)".to_owned()),
            _ => None,
        };
        Err(self.fault(
            expr.span,
            format!("{place} must be {}, not {}", wanted.with_article(), found.with_article()),
            hint,
        ))
    }

    pub(super) fn check_call(&self, function: &Function, args: &[Expr], span: Span) -> Result<(), ParseError> {
        let (min, max) = (function.args_min(), function.args_max());
        if args.len() < min || max.is_some_and(|max| args.len() > max) {
            let wanted = match max {
                Some(max) if max == min => format!("{min} argument{}", plural(min)),
                Some(max) => format!("{min} to {max} arguments"),
                None => format!("at least {min} argument{}", plural(min)),
            };
            return Err(self.fault(span, format!("{} takes {wanted}, not {}", function.name, args.len()), None));
        }
        if function.name == "info" && args.len() == 2 {
            let plain = matches!(&args[1].kind, ExprKind::Vector(s) if s.offset.is_none() && s.at.is_none());
            if !plain {
                let message = "the second argument of info must be a plain selector such as {version=~\".+\"}";
                return Err(self.fault(args[1].span, message, None));
            }
        }
        for (i, arg) in args.iter().enumerate() {
            self.check_type(arg, function.arg_type(i), &format!("argument {} of {}", i + 1, function.name))?;
        }
        Ok(())
    }

    pub(super) fn check_group(
        &self,
        op: BinaryOp,
        labels: &MatchLabels,
        include: &[String],
        span: Span,
    ) -> Result<(), ParseError> {
        if op.is_set() {
            return Err(self.fault(span, format!("{} takes neither group_left nor group_right", op.symbol()), None));
        }
        if let MatchLabels::On(on) = labels
            && let Some(twice) = include.iter().find(|name| on.contains(name))
        {
            return Err(self.fault(span, format!("label {twice} must not stand in both on and group"), None));
        }
        Ok(())
    }

    pub(super) fn check_binary(&self, binary: &Binary, op_span: Span) -> Result<(), ParseError> {
        let (left, right) = (binary.left.value_type(), binary.right.value_type());
        let symbol = binary.op.symbol();
        for side in [&binary.left, &binary.right] {
            if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
                let message =
                    format!("{symbol} needs scalars or instant vectors, not {}", side.value_type().with_article());
                return Err(self.fault(side.span, message, None));
            }
        }
        if binary.op.is_set() && (left, right) != (ValueType::Vector, ValueType::Vector) {
            return Err(self.fault(op_span, format!("{symbol} needs instant vectors on both sides"), None));
        }
        let scalars = (left, right) == (ValueType::Scalar, ValueType::Scalar);
        if scalars && binary.op.is_comparison() && !binary.returns_bool {
            let hint = Some(format!("write {symbol} bool"));
            return Err(self.fault(op_span, "a comparison of two scalars must answer 0 or 1", hint));
        }
        if scalars && binary.op.is_trim() {
            let hint = Some("the left side must be native histograms".to_owned());
            return Err(self.fault(op_span, format!("{symbol} needs an instant vector on its left side"), hint));
        }
        let vectors = (left, right) == (ValueType::Vector, ValueType::Vector);
        if !vectors && binary.matching != Matching::default() {
            return Err(self.fault(op_span, "vector matching is only allowed between instant vectors", None));
        }
        let fills = binary.matching.fill_left.is_some() || binary.matching.fill_right.is_some();
        if fills && binary.op.is_set() {
            return Err(self.fault(op_span, format!("{symbol} takes no fill value"), None));
        }
        Ok(())
    }
}
