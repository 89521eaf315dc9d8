//! Functions of single numbers: arithmetic, rounding, trigonometry, dates. They leave native histograms out.

use series::Labels;

use super::context::{Context, Steps};
use super::date;
use super::error::EvalError;
use super::rows::{ABSENT, Natives, Row, is_absent};
use crate::ast::Expr;

/// A series without labels.
pub(crate) fn constant(values: Vec<f64>) -> Row {
    Row::floats(Labels::empty(), false, values)
}

impl Context<'_> {
    pub(crate) fn pointwise(&self, name: &str, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        if matches!(
            name,
            "year" | "month" | "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour" | "minute"
        ) {
            return self.dates(name, args, steps);
        }
        let mut rows = self.rows(&args[0], steps)?;
        match name {
            "clamp" | "clamp_min" | "clamp_max" => self.clamp(name, &args[1..], &mut rows, steps)?,
            "round" => {
                let nearest = match args.get(1) {
                    Some(arg) => self.scalar(arg, steps)?,
                    None => vec![1.0; steps.n],
                };
                zip(&mut rows, &nearest, |value, nearest| {
                    // Multiplying by the inverse loses fewer digits than dividing by, say, 0.1.
                    let inverse = 1.0 / nearest;
                    (value * inverse + 0.5).floor() / inverse
                });
            }
            _ => {
                let Some(function) = simple(name) else {
                    return Err(EvalError::Unsupported { feature: format!("function {name}") });
                };
                rows.iter_mut().for_each(|row| row.map(function));
            }
        }
        Ok(rows)
    }

    fn dates(&self, name: &str, args: &[Expr], steps: &Steps) -> Result<Vec<Row>, EvalError> {
        let mut rows = match args.first() {
            Some(arg) => self.rows(arg, steps)?,
            None => vec![constant((0..steps.n).map(|i| steps.time(i) as f64 / 1000.0).collect())],
        };
        rows.iter_mut().for_each(|row| row.map(|seconds| date::part(name, seconds)));
        Ok(rows)
    }

    fn clamp(&self, name: &str, bounds: &[Expr], rows: &mut Vec<Row>, steps: &Steps) -> Result<(), EvalError> {
        let constant = |value: f64| vec![value; steps.n];
        let (low, high) = match (name, bounds) {
            ("clamp", [low, high]) => (self.scalar(low, steps)?, self.scalar(high, steps)?),
            ("clamp_min", [low]) => (self.scalar(low, steps)?, constant(f64::INFINITY)),
            (_, [high]) => (constant(f64::NEG_INFINITY), self.scalar(high, steps)?),
            _ => return Ok(()),
        };
        for row in rows.iter_mut() {
            row.drop_name = true;
            row.natives = Natives::default();
            for (i, value) in row.values.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
                *value = if high[i] < low[i] { ABSENT } else { max(low[i], min(high[i], *value)) };
            }
        }
        rows.retain(|row| !row.is_empty());
        Ok(())
    }
}

fn zip(rows: &mut [Row], other: &[f64], f: impl Fn(f64, f64) -> f64) {
    for row in rows {
        row.drop_name = true;
        row.natives = Natives::default();
        for (value, other) in row.values.iter_mut().zip(other).filter(|(v, _)| !is_absent(**v)) {
            *value = f(*value, *other);
        }
    }
}

/// The smaller; NaN if either is, unlike `f64::min`.
fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The larger; NaN if either is.
fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn simple(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sqrt" => f64::sqrt,
        "sgn" => |v| {
            if v > 0.0 {
                1.0
            } else if v < 0.0 {
                -1.0
            } else {
                v
            }
        },
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        _ => return None,
    })
}
