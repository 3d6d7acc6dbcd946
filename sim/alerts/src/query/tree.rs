//! The tree of a query. Every node knows where in the text it stands.

use std::sync::Arc;

use regex::Regex;

use super::Function;
use crate::labels::Labels;

/// The bytes of the text that something stands on.
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
    /// What it is.
    pub node: Node,
    /// Where it stands.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum Node {
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// `name{…} offset …`: the newest sample of each series.
    Instant(Selector),
    /// `name{…}[range] offset …`: the samples of a stretch of time.
    Range {
        /// Which series, and how far back the stretch ends.
        selector: Selector,
        /// How long the stretch is.
        range_ms: i64,
    },
    /// `expr[range:step] offset …`: an expression evaluated again and again.
    Subquery {
        /// What is evaluated.
        inner: Box<Expr>,
        /// Over how long a stretch.
        range_ms: i64,
        /// How often; where it is not said, at the evaluation interval.
        step_ms: Option<i64>,
        /// How far back the stretch ends.
        offset_ms: i64,
    },
    /// `( … )`.
    Paren(Box<Expr>),
    /// `-expr`, or `+expr`, which only says that it is one.
    Sign {
        /// Whether the sign is a minus.
        minus: bool,
        /// What it stands before.
        inner: Box<Expr>,
    },
    /// `left op right`.
    Binary {
        /// The operator.
        operator: Operator,
        /// Whether a comparison returns 0 or 1 and filters nothing.
        returns_bool: bool,
        /// Which element goes with which; of no meaning where a side is a scalar.
        matching: Matching,
        /// The left side.
        left: Box<Expr>,
        /// The right side.
        right: Box<Expr>,
    },
    /// `sum by (…) (…)` and its kind.
    Aggregate {
        /// How a group becomes one value, or keeps some of its elements.
        aggregation: Aggregation,
        /// The first argument of those that have two.
        parameter: Option<Box<Expr>>,
        /// Which elements form a group.
        grouping: Grouping,
        /// What is aggregated.
        inner: Box<Expr>,
    },
    /// A function and its arguments.
    Call {
        /// The function.
        function: &'static Function,
        /// Its arguments; their number and kinds are checked.
        arguments: Vec<Expr>,
        /// The regular expression of a `label_replace`, compiled when it was loaded.
        regex: Option<Regex>,
    },
}

impl Expr {
    /// The expression within any parentheses.
    pub fn bare(&self) -> &Self {
        match &self.node {
            Node::Paren(inner) => inner.bare(),
            _ => self,
        }
    }

    /// The string of an argument that the check of kinds has found to be one.
    pub fn text(&self) -> &str {
        match &self.bare().node {
            Node::Text(text) => text,
            _ => "",
        }
    }
}

/// Which series, and how far back.
#[derive(Clone, Debug)]
pub struct Selector {
    /// What their labels are to be. The metric's name is one of them.
    pub matchers: Vec<Matcher>,
    /// How far before the moment of evaluation to look; negative: after it.
    pub offset_ms: i64,
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: Arc<str>,
    /// The condition.
    pub op: MatchOp,
    /// What it is compared with, as written.
    pub value: Arc<str>,
}

/// How a label's value is compared.
#[derive(Clone, Debug)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, the whole value.
    Regex(Regex),
    /// `!~`, the whole value.
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

/// An operator that computes.
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

/// An operator that compares: it keeps the left value where it holds.
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

/// Which element of one side goes with which of the other.
#[derive(Clone, Debug)]
pub struct Matching {
    /// `on (…)`: by these labels; else by all but these and the name.
    pub on: bool,
    /// Whether `on` or `ignoring` was written.
    pub written: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Arc<str>>,
    /// How many may go with one.
    pub cardinality: Cardinality,
    /// The labels that `group_left` or `group_right` takes over from the side of one.
    pub include: Vec<Arc<str>>,
}

/// How many elements of a side may go with one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Each with one.
    OneToOne,
    /// `group_left`: many on the left.
    ManyToOne,
    /// `group_right`: many on the right.
    OneToMany,
}

/// How a group of elements is aggregated.
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

/// Which elements form a group.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// `without`: those that agree in all labels but these; else those that agree in these.
    pub without: bool,
    /// The labels.
    pub labels: Vec<Arc<str>>,
}
