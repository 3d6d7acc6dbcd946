//! The query language: it parses a text into a checked tree.
//!
//! The grammar is Prometheus 2.42's (promql/parser: `lex.go`, `generated_parser.y`, `parse.go`), without the parts that
//! no rule here needs: the `@` modifier, `atan2`, native histograms, dates and trigonometry. An expression that uses
//! them is refused when its rule is loaded, with the place in the expression.
//!
//! The crate `promql-parser` was considered and not used: it brings some forty crates (an LR parser and its generator,
//! bincode twice in the tree) for a grammar of four hundred lines, and its tree keeps no positions.

mod check;
mod functions;
mod lexer;
mod parser;
mod tree;
mod walk;

pub use functions::{Function, Kind};
pub use parser::{metric, parse};
pub use tree::{
    Aggregation, Arithmetic, Cardinality, Comparison, Expr, Grouping, MatchOp, Matcher, Matching, Node,
    Operator, Selector, SetOperation, Span, only_metric,
};

/// Why an expression is refused, and where: a byte offset into its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", place(.text, .at))]
pub struct QueryError {
    /// The expression.
    pub text: String,
    /// The byte at which the refused part begins.
    pub at: usize,
    /// What was found and what was expected.
    pub what: String,
}

/// The line and column of the place, both from 1, and the text from there on.
fn place(text: &str, at: &usize) -> String {
    let before = text.get(..*at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let rest: String =
        text.get(*at..).unwrap_or_default().lines().next().unwrap_or_default().chars().take(40).collect();
    if rest.is_empty() {
        format!("{line}:{column} (the end)")
    } else {
        format!("{line}:{column} at `{rest}`")
    }
}
