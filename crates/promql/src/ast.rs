//! The syntax tree: what [`crate::parse`] hands out and the evaluator walks.
//!
//! Every node carries its byte span in the query, for messages; equality ignores spans, so that a tree equals the one
//! parsed back from its canonical text. Durations may be expressions of `step()` and `range()` and are resolved when
//! the query's grid is known.

use series::{Matcher, Millis};

use crate::functions::Function;

/// Byte range `[start, end)` in the query's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// First byte after.
    pub end: usize,
}

/// One node with its place in the text.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What the node is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
    height: usize,
}

/// The kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `5`, `0x1f`, `NaN`, `1h30m` (5400).
    Number(Number),
    /// `"text"`.
    Text(String),
    /// `up{job="api"} offset 5m`.
    Vector(VectorSelector),
    /// `up[5m]`.
    Matrix(MatrixSelector),
    /// `expr[1h:5m]`.
    Subquery(Subquery),
    /// `rate(…)`.
    Call(Call),
    /// `sum by (job) (…)`.
    Aggregate(Aggregate),
    /// `a + b`.
    Binary(Binary),
    /// `-a`.
    Unary(Unary),
    /// `(a)`.
    Paren(Box<Expr>),
}

/// The four types of PromQL values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// One number a step.
    Scalar,
    /// A text.
    Text,
    /// At most one point per series and step.
    Vector,
    /// A window of points per series and step.
    Matrix,
}

/// A number as written; a duration literal is its seconds.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// The value.
    pub value: f64,
    /// Whether it was written as a duration (`5m`).
    pub is_duration: bool,
}

/// Matchers and when to look.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// All conditions, the metric's name included.
    pub matchers: Vec<Matcher>,
    /// Shift into the past.
    pub offset: Option<DurationExpr>,
    /// Fixed evaluation time.
    pub at: Option<At>,
    /// Extended window selection.
    pub extension: Option<Extension>,
}

/// How samples beyond the window's edges take part (Prometheus 3's extended range selectors).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// `anchored`: the last sample before the window stands at its left edge.
    Anchored,
    /// `smoothed`: values at both edges are interpolated.
    Smoothed,
}

/// A vector selector with a window.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// What to select.
    pub selector: VectorSelector,
    /// Length of the window `(t - range, t]`.
    pub range: DurationExpr,
}

/// An instant expression evaluated on a grid of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// The inner expression.
    pub expr: Box<Expr>,
    /// Length of the window.
    pub range: DurationExpr,
    /// Grid step; one minute when absent.
    pub step: Option<DurationExpr>,
    /// Shift into the past.
    pub offset: Option<DurationExpr>,
    /// Fixed evaluation time.
    pub at: Option<At>,
}

/// The `@` modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// A duration, possibly an expression; numbers are seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// `5m` or `300`.
    Literal(Number),
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `-d` or `+d`.
    Unary(UnaryOp, Box<DurationExpr>),
    /// Arithmetic of two.
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(d)`.
    Paren(Box<DurationExpr>),
}

/// Operators between durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min(a, b)`
    Min,
    /// `max(a, b)`
    Max,
}

/// A function call, arguments checked in number and type.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function's signature.
    pub function: &'static Function,
    /// Arguments in order.
    pub args: Vec<Expr>,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Operator.
    pub op: AggregateOp,
    /// `k`, `φ`, ratio or label name, for the operators that take one.
    pub param: Option<Box<Expr>>,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// Label sets of the groups.
    pub grouping: Grouping,
}

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grouping {
    /// No clause: one group.
    All,
    /// `by (…)`.
    By(Vec<String>),
    /// `without (…)`; the metric's name never takes part.
    Without(Vec<String>),
}

/// Aggregation operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    Topk,
    /// `bottomk`
    Bottomk,
    /// `quantile`
    Quantile,
    /// `count_values`
    CountValues,
    /// `limitk`
    Limitk,
    /// `limit_ratio`
    LimitRatio,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Operator.
    pub op: BinaryOp,
    /// Left operand.
    pub left: Box<Expr>,
    /// Right operand.
    pub right: Box<Expr>,
    /// A comparison that answers 0 or 1 in place of filtering.
    pub returns_bool: bool,
    /// How series of two vectors find each other.
    pub matching: Matching,
}

/// Vector matching; the default matches on all labels, one to one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// Labels compared.
    pub labels: MatchLabels,
    /// Which side may have several series a match.
    pub group: Option<Group>,
    /// Values that stand for a missing partner on the left side.
    pub fill_left: Option<Number>,
    /// Values that stand for a missing partner on the right side.
    pub fill_right: Option<Number>,
}

/// Labels that two series must share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchLabels {
    /// `on (…)`.
    On(Vec<String>),
    /// `ignoring (…)`; the metric's name is always ignored.
    Ignoring(Vec<String>),
}

/// `group_left` or `group_right` with the labels copied from the "one" side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The side with many series.
    pub many: Side,
    /// Labels taken from the other side.
    pub include: Vec<String>,
}

/// A side of a binary operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left operand.
    Left,
    /// Right operand.
    Right,
}

/// Binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`
    GreaterEqual,
    /// `<=`
    LessEqual,
    /// `</`: the observations of a native histogram below a number.
    TrimUpper,
    /// `>/`: the observations of a native histogram above a number.
    TrimLower,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

/// Sign operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// A sign and its operand.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// Sign.
    pub op: UnaryOp,
    /// Operand.
    pub expr: Box<Expr>,
}

impl Expr {
    pub(crate) fn new(kind: ExprKind, span: Span) -> Self {
        let height = 1 + kind.children().iter().map(|child| child.height).max().unwrap_or(0);
        Self { kind, span, height }
    }

    /// Levels of the tree below and including this node; bounded by the parser.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The type of the value this expression has.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::Text,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Binary(binary) => {
                let both_scalar =
                    [&binary.left, &binary.right].iter().all(|side| side.value_type() == ValueType::Scalar);
                if both_scalar { ValueType::Scalar } else { ValueType::Vector }
            }
            ExprKind::Unary(unary) => unary.expr.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression inside any number of parentheses.
    pub fn unparen(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// Direct children, left to right.
    pub fn children(&self) -> Vec<&Self> {
        self.kind.children()
    }
}

impl ExprKind {
    fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Vector(_) | Self::Matrix(_) => Vec::new(),
            Self::Subquery(subquery) => vec![&subquery.expr],
            Self::Call(call) => call.args.iter().collect(),
            Self::Aggregate(aggregate) => {
                aggregate.param.iter().map(|param| &**param).chain(std::iter::once(&*aggregate.expr)).collect()
            }
            Self::Binary(binary) => vec![&binary.left, &binary.right],
            Self::Unary(unary) => vec![&unary.expr],
            Self::Paren(inner) => vec![inner],
        }
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        (self.value.to_bits(), self.is_duration) == (other.value.to_bits(), other.is_duration)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && self.args == other.args
    }
}

impl Default for MatchLabels {
    fn default() -> Self {
        Self::Ignoring(Vec::new())
    }
}

impl AggregateOp {
    /// Every operator with its name.
    pub const ALL: [(&'static str, Self); 14] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("quantile", Self::Quantile),
        ("count_values", Self::CountValues),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// By name, letter case ignored.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, op)| *op)
    }

    /// The canonical name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// Type of the leading parameter, for the operators that take one.
    pub fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => Some(ValueType::Scalar),
            Self::CountValues => Some(ValueType::Text),
            _ => None,
        }
    }
}

impl BinaryOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether it compares.
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Greater | Self::Less | Self::GreaterEqual | Self::LessEqual)
    }

    /// Whether it cuts observations off a native histogram.
    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Whether its results mean what the left operand means, so that they keep its name.
    pub fn keeps_name(self) -> bool {
        self.is_comparison() || self.is_trim()
    }

    /// Whether it works on sets of series.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

impl DurationExpr {
    /// A literal of whole milliseconds.
    pub fn from_millis(span: Millis) -> Self {
        Self::Literal(Number { value: span.as_secs_f64(), is_duration: true })
    }
}

impl ValueType {
    /// For messages: `a scalar`, `an instant vector`.
    pub(crate) fn with_article(self) -> String {
        format!("{} {self}", if self == Self::Vector { "an" } else { "a" })
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        })
    }
}
