//! The tree of a query. Every node has its place in the text.

use std::sync::Arc;

use regex::Regex;

use super::Function;
use crate::labels::{Labels, NAME};

/// A range of bytes in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first byte.
    pub begin: usize,
    /// The byte after its last.
    pub end: usize,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// The expression itself.
    pub node: Node,
    /// Its place in the text.
    pub span: Span,
}

/// The kind of an expression, with its parts.
#[derive(Clone, Debug)]
pub enum Node {
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// `name{…} offset …`: the newest sample of each series.
    Instant(Selector),
    /// `name{…}[range] offset …`: the samples of a span of time.
    Range {
        /// The series, and how far back the span ends.
        selector: Selector,
        /// The length of the span, in milliseconds.
        range_ms: i64,
    },
    /// `expr[range:step] offset …`: an expression evaluated at each step of a span of time.
    Subquery {
        /// The evaluated expression.
        inner: Box<Expr>,
        /// The length of the span, in milliseconds.
        range_ms: i64,
        /// The time between two evaluations; without it, the evaluation interval.
        step_ms: Option<i64>,
        /// How far back the span ends, in milliseconds.
        offset_ms: i64,
    },
    /// `( … )`.
    Paren(Box<Expr>),
    /// `-expr`, or `+expr`, which has the value of `expr`.
    Sign {
        /// Whether the sign is a minus.
        minus: bool,
        /// The signed expression.
        inner: Box<Expr>,
    },
    /// `left op right`.
    Binary {
        /// The operator.
        operator: Operator,
        /// Whether a comparison returns 0 or 1 instead of filtering (`bool`).
        returns_bool: bool,
        /// How the elements of both sides are matched; unused if a side is a scalar.
        matching: Matching,
        /// The left side.
        left: Box<Expr>,
        /// The right side.
        right: Box<Expr>,
    },
    /// An aggregation, such as `sum by (…) (…)`.
    Aggregate {
        /// The aggregation's operator.
        aggregation: Aggregation,
        /// The parameter of an operator that has one, such as `topk`.
        parameter: Option<Box<Expr>>,
        /// How the elements are grouped.
        grouping: Grouping,
        /// The aggregated expression.
        inner: Box<Expr>,
    },
    /// A function call.
    Call {
        /// The function.
        function: &'static Function,
        /// Its arguments; their number and kinds are checked.
        arguments: Vec<Expr>,
        /// The regular expression of a `label_replace`, compiled when the rule is loaded.
        regex: Option<Regex>,
    },
}

impl Expr {
    /// The expression without its outer parentheses.
    pub fn bare(&self) -> &Self {
        match &self.node {
            Node::Paren(inner) => inner.bare(),
            _ => self,
        }
    }

    /// The value of a string argument; the check of kinds has made sure that it is a string.
    pub fn text(&self) -> &str {
        match &self.bare().node {
            Node::Text(text) => text,
            _ => "",
        }
    }
}

/// The selection of series, and how far back to look.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Conditions on the labels. The metric's name is one of the labels.
    pub matchers: Vec<Matcher>,
    /// How far before the moment of evaluation to look, in milliseconds; negative: after it.
    pub offset_ms: i64,
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: Arc<str>,
    /// The condition.
    pub op: MatchOp,
    /// The value to compare with, as written.
    pub value: Arc<str>,
}

/// How a label's value is compared.
#[derive(Clone, Debug)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`: the expression matches the whole value.
    Regex(Regex),
    /// `!~`: the expression does not match the whole value.
    NotRegex(Regex),
}

impl Matcher {
    /// Whether a value meets the condition. A missing label is the empty value.
    pub fn matches(&self, value: &str) -> bool {
        match &self.op {
            MatchOp::Equal => *value == *self.value,
            MatchOp::NotEqual => *value != *self.value,
            MatchOp::Regex(regex) => regex.is_match(value),
            MatchOp::NotRegex(regex) => !regex.is_match(value),
        }
    }

    /// Whether a label set meets the condition.
    pub fn accepts(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }
}

/// The one metric that selectors with these matchers can select; none where they select by a pattern, or by other labels only.
pub fn only_metric(matchers: &[Matcher]) -> Option<&str> {
    let equal = |matcher: &&Matcher| *matcher.name == *NAME && matches!(matcher.op, MatchOp::Equal);
    matchers.iter().find(equal).map(|matcher| &*matcher.value)
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+ - * / % ^`
    Arithmetic(Arithmetic),
    /// `== != > < >= <=`
    Comparison(Comparison),
    /// `and or unless`
    Set(SetOperation),
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

/// A comparison: it keeps the left value where the comparison holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

/// An operator on sets of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum SetOperation {
    And,
    Or,
    Unless,
}

/// How the elements of the two sides are matched.
#[derive(Clone, Debug)]
pub struct Matching {
    /// True for `on (…)`: elements match by these labels; otherwise by all labels but these and the name.
    pub on: bool,
    /// Whether `on` or `ignoring` was written.
    pub written: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// How many elements may match one element of the other side.
    pub cardinality: Cardinality,
    /// The labels that `group_left` or `group_right` copies from the "one" side.
    pub include: Vec<Arc<str>>,
}

/// How many elements of one side may match one element of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One with one.
    OneToOne,
    /// `group_left`: many on the left with one on the right.
    ManyToOne,
    /// `group_right`: one on the left with many on the right.
    OneToMany,
}

/// The operator of an aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Aggregation {
    Sum,
    Min,
    Max,
    Avg,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Quantile,
    CountValues,
}

/// How the elements are grouped.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// True for `without`: a group's elements agree in all labels but these; otherwise they agree in these labels.
    pub without: bool,
    /// The labels.
    pub labels: Vec<Arc<str>>,
}
