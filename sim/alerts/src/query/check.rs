//! The checks that the grammar cannot express: the kinds of values, and rules that concern a whole expression.

use super::{
    Aggregation, Cardinality, Expr, Function, Kind, Matching, Node, Operator, QueryError, Span,
    parser::anchored,
};
use crate::labels;

/// Checks the kinds of values in a tree, and compiles the regular expressions of its calls.
pub fn check(text: &str, expr: &mut Expr) -> Result<Kind, QueryError> {
    Check { text }.expr(expr)
}

struct Check<'a> {
    text: &'a str,
}

impl Check<'_> {
    fn refuse<T>(&self, span: Span, what: impl Into<String>) -> Result<T, QueryError> {
        Err(QueryError { text: self.text.to_owned(), at: span.begin, what: what.into() })
    }

    fn expr(&self, expr: &mut Expr) -> Result<Kind, QueryError> {
        let span = expr.span;
        match &mut expr.node {
            Node::Number(_) => Ok(Kind::Scalar),
            Node::Text(_) => Ok(Kind::Text),
            Node::Instant(_) => Ok(Kind::Instant),
            Node::Range { .. } => Ok(Kind::Range),
            Node::Paren(inner) => self.expr(inner),
            Node::Subquery { inner, .. } => {
                self.expect(inner, Kind::Instant, "a subquery")?;
                Ok(Kind::Range)
            }
            Node::Sign { inner, .. } => match self.expr(inner)? {
                kind @ (Kind::Scalar | Kind::Instant) => Ok(kind),
                kind => self.refuse(span, format!("a sign goes with numbers, not with a {}", kind.word())),
            },
            Node::Binary { operator, returns_bool, matching, left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.binary(span, *operator, *returns_bool, matching, left, right)
            }
            Node::Aggregate { aggregation, parameter, inner, .. } => {
                self.expect(inner, Kind::Instant, "an aggregation")?;
                if let Some(parameter) = parameter {
                    let counts = *aggregation == Aggregation::CountValues;
                    let kind = if counts { Kind::Text } else { Kind::Scalar };
                    self.expect(parameter, kind, "an aggregation's parameter")?;
                    if counts && !labels::is_label_name(parameter.text()) {
                        return self.refuse(parameter.span, "count_values needs a label's name");
                    }
                }
                Ok(Kind::Instant)
            }
            Node::Call { function, arguments, regex } => {
                self.call(span, function, arguments)?;
                if function.name == "label_replace" {
                    let pattern = &arguments[4];
                    match anchored(pattern.text()) {
                        Ok(compiled) => *regex = Some(compiled),
                        Err(error) => {
                            let what = format!("{:?} is no regular expression: {error}", pattern.text());
                            return self.refuse(pattern.span, what);
                        }
                    }
                }
                Ok(function.returns)
            }
        }
    }

    fn expect(&self, expr: &mut Expr, wanted: Kind, of: &str) -> Result<(), QueryError> {
        let kind = self.expr(expr)?;
        if kind == wanted {
            return Ok(());
        }
        self.refuse(expr.span, format!("{of} needs a {}, not a {}", wanted.word(), kind.word()))
    }

    fn binary(
        &self,
        span: Span,
        operator: Operator,
        returns_bool: bool,
        matching: &Matching,
        left: Kind,
        right: Kind,
    ) -> Result<Kind, QueryError> {
        for kind in [left, right] {
            if !matches!(kind, Kind::Scalar | Kind::Instant) {
                let what =
                    format!("an operator goes with scalars and instant vectors, not with a {}", kind.word());
                return self.refuse(span, what);
            }
        }
        let compares = matches!(operator, Operator::Comparison(_));
        let is_set = matches!(operator, Operator::Set(_));
        let scalars = (left == Kind::Scalar, right == Kind::Scalar);
        if returns_bool && !compares {
            return self.refuse(span, "`bool` goes only with comparisons");
        }
        if compares && !returns_bool && scalars == (true, true) {
            return self.refuse(span, "a comparison of two scalars needs `bool`");
        }
        if is_set && scalars != (false, false) {
            return self.refuse(span, "and, or and unless go only with instant vectors");
        }
        if is_set && matching.cardinality != Cardinality::OneToOne {
            return self.refuse(span, "and, or and unless take no group_left or group_right");
        }
        if scalars != (false, false) && matching.written && !matching.labels.is_empty() {
            return self.refuse(span, "on and ignoring go only between two instant vectors");
        }
        if matching.on
            && let Some(twice) = matching.labels.iter().find(|label| matching.include.contains(label))
        {
            return self
                .refuse(span, format!("the label {twice} stands both in on and in the group modifier"));
        }
        Ok(if scalars == (true, true) { Kind::Scalar } else { Kind::Instant })
    }

    fn call(&self, span: Span, function: &Function, arguments: &mut [Expr]) -> Result<(), QueryError> {
        let (least, most) = (function.least, function.takes.len());
        let count = arguments.len();
        if count < least || (count > most && !function.repeats) {
            let wanted = match () {
                () if function.repeats => format!("at least {least}"),
                () if least == most => format!("{most}"),
                () => format!("{least} to {most}"),
            };
            return self.refuse(span, format!("{} takes {wanted} argument(s), not {count}", function.name));
        }
        for (at, argument) in arguments.iter_mut().enumerate() {
            let wanted = function.takes[at.min(most - 1)];
            self.expect(argument, wanted, function.name)?;
        }
        // Prometheus reports these errors at the first evaluation; here they are reported at once.
        let names: &[Expr] = match function.name {
            "label_replace" => &arguments[1..2],
            "label_join" => {
                self.label_name(&arguments[1])?;
                &arguments[3..]
            }
            _ => &[],
        };
        names.iter().try_for_each(|name| self.label_name(name))
    }

    fn label_name(&self, argument: &Expr) -> Result<(), QueryError> {
        if labels::is_label_name(argument.text()) {
            return Ok(());
        }
        self.refuse(argument.span, format!("{:?} is no label's name", argument.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn what_is_not_supported_or_makes_no_sense_is_refused_with_its_place() {
        for (query, place, words) in [
            ("", "1:1", "empty"),
            ("a + ", "1:5", "expected a value"),
            ("up @ 5", "1:4", "@ modifier"),
            ("sum(\n  hour(up))", "2:3", "function hour is not supported"),
            ("foo(up)", "1:1", "function foo is not known"),
            ("rate(up)", "1:6", "range vector"),
            ("rate(up[5m]", "1:12", "`,` or `)`"),
            ("up[5m] offset 1m offset 1m", "1:18", "second offset"),
            ("up offset 5m [5m]", "1:14", "after the range"),
            ("sum(up)[5m]", "1:8", "subquery has a colon"),
            ("1 == 2", "1:1", "needs `bool`"),
            ("up and 1", "1:1", "only with instant vectors"),
            ("up == on(a) group_left(a) up", "1:1", "stands both"),
            ("up and on(a) group_left up", "1:1", "take no group_left"),
            ("{a=~\".*\"}", "1:1", "refuse the empty value"),
            ("up{__name__=\"x\"}", "1:3", "set twice"),
            ("up{a=~\"(\"}", "1:7", "no regular expression"),
            ("up{a=~\")(\"}", "1:7", "no regular expression"),
            ("topk(up)", "1:1", "takes 2 argument"),
            ("topk(up, up)", "1:6", "needs a scalar"),
            ("count_values(\"a b\", up)", "1:14", "a label's name"),
            ("label_replace(up, \"a b\", \"\", \"\", \"\")", "1:19", "no label's name"),
            ("label_replace(up, \"a\", \"\", \"\", \"(\")", "1:32", "no regular expression"),
            ("up atan2 up", "1:4", "atan2 is not supported"),
            ("\"a\" + 1", "1:1", "not with a string"),
            ("up up", "1:4", "an operator or the end"),
            ("sum by (a b) (up)", "1:11", "`,` or `)`"),
            ("up + group_left up", "1:6", "before a group modifier"),
        ] {
            let error = parse(query).expect_err(query).to_string();
            assert!(error.starts_with(place) && error.contains(words), "{query}: {error}");
        }
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&deep).expect_err("deep").to_string().contains("nested"));
        let signs = format!("{}1", "-".repeat(5000));
        assert!(parse(&signs).expect_err("deep").to_string().contains("nested"));
    }

    #[test]
    fn keywords_may_name_metrics_and_labels() {
        for query in [
            "sum",
            "by + on",
            "offset offset 5m",
            "a{by=\"x\", sum=\"y\"}",
            "sum by (by) (sum)",
            "max(group)",
        ] {
            if query == "by + on" {
                assert!(parse(query).is_err(), "{query}");
            } else {
                parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            }
        }
    }
}
