//! Signatures of the functions of PromQL 3.12: argument types, how many may be left out, result type.

use crate::ast::ValueType::{self, Matrix, Scalar, Text, Vector};

/// One function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Name as written in queries.
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// Which number of arguments fits.
    pub arity: Arity,
    /// Type of the result.
    pub returns: ValueType,
}

/// How many arguments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// All of them.
    Exact,
    /// The last may be left out.
    OptionalLast,
    /// The last may be left out or repeated.
    RepeatLast,
    /// The last may be left out or repeated, up to this many arguments in all.
    RepeatUpTo(usize),
}

impl Function {
    /// Fewest arguments.
    pub fn args_min(&self) -> usize {
        match self.arity {
            Arity::Exact => self.args.len(),
            _ => self.args.len() - 1,
        }
    }

    /// Most arguments, if bounded.
    pub fn args_max(&self) -> Option<usize> {
        match self.arity {
            Arity::Exact | Arity::OptionalLast => Some(self.args.len()),
            Arity::RepeatLast => None,
            Arity::RepeatUpTo(max) => Some(max),
        }
    }

    /// Type of argument `i`; the last type stands for repeated ones.
    pub fn arg_type(&self, i: usize) -> ValueType {
        self.args.get(i).or(self.args.last()).copied().unwrap_or(Vector)
    }
}

/// Looks a function up by its exact name; `holt_winters`, its name before 3.0, finds `double_exponential_smoothing`.
pub fn function(name: &str) -> Option<&'static Function> {
    let name = if name == "holt_winters" { "double_exponential_smoothing" } else { name };
    FUNCTIONS.iter().find(|function| function.name == name).or_else(|| {
        // `start`, `end`, `step` and `range` are keywords of the grammar and so ignore letter case.
        FUNCTIONS
            .iter()
            .find(|f| ["start", "end", "step", "range"].contains(&f.name) && f.name.eq_ignore_ascii_case(name))
    })
}

const fn exact(name: &'static str, args: &'static [ValueType], returns: ValueType) -> Function {
    Function { name, args, arity: Arity::Exact, returns }
}

const fn vector(name: &'static str) -> Function {
    exact(name, &[Vector], Vector)
}

const fn over(name: &'static str) -> Function {
    exact(name, &[Matrix], Vector)
}

const fn date(name: &'static str) -> Function {
    Function { name, args: &[Vector], arity: Arity::OptionalLast, returns: Vector }
}

/// Every function, sorted by theme.
pub static FUNCTIONS: &[Function] = &[
    vector("abs"),
    vector("ceil"),
    vector("floor"),
    vector("exp"),
    vector("ln"),
    vector("log2"),
    vector("log10"),
    vector("sqrt"),
    vector("sgn"),
    vector("sin"),
    vector("cos"),
    vector("tan"),
    vector("asin"),
    vector("acos"),
    vector("atan"),
    vector("sinh"),
    vector("cosh"),
    vector("tanh"),
    vector("asinh"),
    vector("acosh"),
    vector("atanh"),
    vector("deg"),
    vector("rad"),
    vector("absent"),
    vector("timestamp"),
    vector("sort"),
    vector("sort_desc"),
    vector("histogram_avg"),
    vector("histogram_count"),
    vector("histogram_sum"),
    vector("histogram_stddev"),
    vector("histogram_stdvar"),
    exact("clamp", &[Vector, Scalar, Scalar], Vector),
    exact("clamp_max", &[Vector, Scalar], Vector),
    exact("clamp_min", &[Vector, Scalar], Vector),
    Function { name: "round", args: &[Vector, Scalar], arity: Arity::OptionalLast, returns: Vector },
    exact("scalar", &[Vector], Scalar),
    exact("vector", &[Scalar], Vector),
    exact("time", &[], Scalar),
    exact("pi", &[], Scalar),
    exact("start", &[], Scalar),
    exact("end", &[], Scalar),
    exact("step", &[], Scalar),
    exact("range", &[], Scalar),
    date("days_in_month"),
    date("day_of_month"),
    date("day_of_week"),
    date("day_of_year"),
    date("hour"),
    date("minute"),
    date("month"),
    date("year"),
    exact("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    Function { name: "label_join", args: &[Vector, Text, Text, Text], arity: Arity::RepeatLast, returns: Vector },
    Function { name: "sort_by_label", args: &[Vector, Text], arity: Arity::RepeatLast, returns: Vector },
    Function { name: "sort_by_label_desc", args: &[Vector, Text], arity: Arity::RepeatLast, returns: Vector },
    Function { name: "info", args: &[Vector, Vector], arity: Arity::OptionalLast, returns: Vector },
    exact("histogram_quantile", &[Scalar, Vector], Vector),
    exact("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    Function {
        name: "histogram_quantiles",
        args: &[Vector, Text, Scalar, Scalar],
        arity: Arity::RepeatUpTo(12),
        returns: Vector,
    },
    over("rate"),
    over("increase"),
    over("delta"),
    over("irate"),
    over("idelta"),
    over("deriv"),
    over("changes"),
    over("resets"),
    exact("predict_linear", &[Matrix, Scalar], Vector),
    exact("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector),
    exact("quantile_over_time", &[Scalar, Matrix], Vector),
    over("avg_over_time"),
    over("count_over_time"),
    over("first_over_time"),
    over("last_over_time"),
    over("mad_over_time"),
    over("max_over_time"),
    over("min_over_time"),
    over("present_over_time"),
    over("stddev_over_time"),
    over("stdvar_over_time"),
    over("sum_over_time"),
    over("absent_over_time"),
    over("ts_of_first_over_time"),
    over("ts_of_last_over_time"),
    over("ts_of_max_over_time"),
    over("ts_of_min_over_time"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for f in FUNCTIONS {
            assert_eq!(FUNCTIONS.iter().filter(|other| other.name == f.name).count(), 1, "{}", f.name);
            assert_eq!(function(f.name).map(|found| found.name), Some(f.name));
        }
        assert!(function("Rate").is_none());
        assert_eq!(function("STEP").map(|f| f.name), Some("step"));
    }
}
