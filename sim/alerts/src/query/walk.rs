//! The parts of an expression: the series that it reads, and whether they have ever existed.
//!
//! A rule over series that do not exist stays silent for ever, and this is easy to overlook. So a check that a rule
//! stayed silent must also check that the rule had series to read.

use super::{Expr, Node, Operator, Selector, SetOperation, Span};
use crate::{eval::LOOK_BACK_MS, store::Store};

impl Expr {
    /// Its direct sub-expressions.
    pub fn parts(&self) -> Vec<&Expr> {
        match &self.node {
            Node::Number(_) | Node::Text(_) | Node::Instant(_) | Node::Range { .. } => Vec::new(),
            Node::Subquery { inner, .. } | Node::Paren(inner) | Node::Sign { inner, .. } => vec![inner],
            Node::Binary { left, right, .. } => vec![left, right],
            Node::Aggregate { parameter, inner, .. } => {
                parameter.as_deref().into_iter().chain([&**inner]).collect()
            }
            Node::Call { arguments, .. } => arguments.iter().collect(),
        }
    }

    /// The selectors of all series that it reads, in the order of its text.
    pub fn selectors(&self) -> Vec<&Selector> {
        match &self.node {
            Node::Instant(selector) | Node::Range { selector, .. } => vec![selector],
            _ => self.parts().into_iter().flat_map(Expr::selectors).collect(),
        }
    }

    /// All selectors it reads, each with the greatest age that a sample may have at the moment of evaluation, in milliseconds.
    pub fn looks_back(&self) -> Vec<(&Selector, i64)> {
        match &self.node {
            Node::Instant(selector) => vec![(selector, LOOK_BACK_MS + selector.offset_ms.max(0))],
            Node::Range { selector, range_ms } => vec![(selector, range_ms + selector.offset_ms.max(0))],
            // Its steps are multiples of the step length, so the first one may come up to one step before the span.
            Node::Subquery { inner, range_ms, step_ms, offset_ms } => {
                let more_ms = range_ms + offset_ms.max(&0) + step_ms.unwrap_or(0);
                inner.looks_back().into_iter().map(|(selector, ms)| (selector, ms + more_ms)).collect()
            }
            _ => self.parts().into_iter().flat_map(Expr::looks_back).collect(),
        }
    }

    /// The place of the first selector whose series the expression needs and the store has never had. Without them the
    /// expression has never had an element. `a or b` needs one of the two, `a unless b` only `a`, and `absent(a)` none.
    pub fn missing_from(&self, store: &Store) -> Option<Span> {
        match &self.node {
            Node::Instant(selector) | Node::Range { selector, .. } => {
                store.select(&selector.matchers).next().is_none().then_some(self.span)
            }
            Node::Binary { operator: Operator::Set(SetOperation::Or), left, right, .. } => {
                let missing = left.missing_from(store)?;
                right.missing_from(store).map(|_| missing)
            }
            Node::Binary { operator: Operator::Set(SetOperation::Unless), left, .. } => {
                left.missing_from(store)
            }
            Node::Call { function, .. } if function.name.starts_with("absent") => None,
            _ => self.parts().into_iter().find_map(|part| part.missing_from(store)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        labels::Labels,
        query::{Expr, parse},
        store::{STALE, Store},
    };

    #[test]
    fn what_nobody_shows_is_found() {
        let mut store = Store::default();
        store.append(&Labels::of([("__name__", "a"), ("job", "etcd")]), 0, 1.0).unwrap();
        store.append(&Labels::of([("__name__", "gone")]), 0, STALE).unwrap();
        for (text, missing) in [
            ("a > 1", None),
            ("gone", None),
            ("a / b", Some("b")),
            ("rate(b[5m]) > 1", Some("b[5m]")),
            ("sum(a{job=\"squall\"}) without (x)", Some("a{job=\"squall\"}")),
            ("a or b", None),
            ("b or c", Some("b")),
            ("a and c", Some("c")),
            ("a unless b", None),
            ("absent(b)", None),
            ("max_over_time((a + b)[5m:1m])", Some("b")),
            ("topk(3, b)", Some("b")),
        ] {
            let expr = parse(text).unwrap();
            let found = expr.missing_from(&store).map(|span| &text[span.begin..span.end]);
            assert_eq!(found, missing, "{text}");
        }
        let expr = parse("rate(a{x=\"1\"}[5m]) / on (x) b offset 5m").unwrap();
        let looks_back =
            |expr: &Expr| expr.looks_back().iter().map(|(_, ms)| ms / 60_000).collect::<Vec<_>>();
        assert_eq!(looks_back(&expr), [5, 10]);
        assert_eq!(
            looks_back(&parse("increase((a or max_over_time(b[1h:2m]))[15m:1m]) > 4").unwrap()),
            [21, 83]
        );
        let names: Vec<usize> = expr.selectors().iter().map(|selector| selector.matchers.len()).collect();
        assert_eq!(names, [2, 1]);
    }
}
