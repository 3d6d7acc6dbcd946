//! Parses tokens into a tree, by recursive descent and operator precedence.
//!
//! From weakest to strongest: `or`; `and unless`; comparisons; `+ -`; `* / %` and signs; `^`, which groups to the
//! right; `offset` and brackets, which belong to the value before them.

use std::sync::Arc;

use regex::Regex;

use super::{
    Aggregation, Arithmetic, Cardinality, Comparison, Expr, Function, Grouping, MatchOp, Matcher, Matching,
    Node, Operator, QueryError, Selector, SetOperation, Span, check,
    functions::LEFT_OUT,
    lexer::{Token, tokens},
};
use crate::labels::{self, Labels, NAME};

/// How deep parentheses and signs may nest. Without a limit, an expression could overflow the stack.
const DEEPEST: usize = 200;

/// The checked tree of an expression.
pub fn parse(text: &str) -> Result<Expr, QueryError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    if *parser.peek() == Token::End {
        return Err(parser.refuse("an empty expression".to_owned()));
    }
    let mut expr = parser.expression(0)?;
    parser.expect_end()?;
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// The labels of a series as written: `name{label="value"}`.
pub fn metric(text: &str) -> Result<Labels, QueryError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let labels = parser.metric()?;
    parser.expect_end()?;
    Ok(labels)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, Span)>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].0
    }

    fn span(&self) -> Span {
        self.tokens[self.next].1
    }

    fn take(&mut self) -> (Token, Span) {
        let taken = self.tokens[self.next].clone();
        // The last token is `End`, which is never passed.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        taken
    }

    /// The byte at which the previous token ends.
    fn last_end(&self) -> usize {
        self.next.checked_sub(1).map_or(0, |last| self.tokens[last].1.end)
    }

    fn refuse(&self, what: String) -> QueryError {
        QueryError { text: self.text.to_owned(), at: self.span().begin, what }
    }

    fn expected<T>(&self, what: &str) -> Result<T, QueryError> {
        Err(self.refuse(format!("expected {what}")))
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(have) if *have == sign)
    }

    /// Takes the next token if it is this sign, and says whether it was.
    fn skip(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        if is {
            self.take();
        }
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), QueryError> {
        if self.skip(sign) { Ok(()) } else { self.expected(&format!("`{sign}`")) }
    }

    fn expect_end(&self) -> Result<(), QueryError> {
        if *self.peek() == Token::End { Ok(()) } else { self.expected("an operator or the end") }
    }

    /// The next token in lower case, if it is a word: keywords may be written in any case.
    fn keyword(&self) -> Option<String> {
        match self.peek() {
            Token::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn skip_keyword(&mut self, wanted: &str) -> bool {
        let is = self.keyword().as_deref() == Some(wanted);
        if is {
            self.take();
        }
        is
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, QueryError>) -> Result<T, QueryError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.refuse(format!("an expression nested more than {DEEPEST} deep")));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// An expression whose operators all bind at least as strongly as `least`.
    fn expression(&mut self, least: u8) -> Result<Expr, QueryError> {
        let mut left = self.deeper(Self::operand)?;
        while let Some((operator, strength)) = self.operator()? {
            if strength < least {
                break;
            }
            self.take();
            let returns_bool = self.skip_keyword("bool");
            let matching = self.matching()?;
            // Only `^` is right-associative.
            let right_least = if strength == POWER { strength } else { strength + 1 };
            let right = self.deeper(|parser| parser.expression(right_least))?;
            let span = Span { begin: left.span.begin, end: right.span.end };
            let (left_side, right_side) = (Box::new(left), Box::new(right));
            left = Expr {
                node: Node::Binary { operator, returns_bool, matching, left: left_side, right: right_side },
                span,
            };
        }
        Ok(left)
    }

    /// The operator that comes next, and its strength of binding.
    fn operator(&self) -> Result<Option<(Operator, u8)>, QueryError> {
        let operator = match self.peek() {
            Token::Sign(sign) => match *sign {
                "+" => (Operator::Arithmetic(Arithmetic::Add), 4),
                "-" => (Operator::Arithmetic(Arithmetic::Subtract), 4),
                "*" => (Operator::Arithmetic(Arithmetic::Multiply), TIMES),
                "/" => (Operator::Arithmetic(Arithmetic::Divide), TIMES),
                "%" => (Operator::Arithmetic(Arithmetic::Modulo), TIMES),
                "^" => (Operator::Arithmetic(Arithmetic::Power), POWER),
                "==" => (Operator::Comparison(Comparison::Equal), 3),
                "!=" => (Operator::Comparison(Comparison::NotEqual), 3),
                ">" => (Operator::Comparison(Comparison::Greater), 3),
                "<" => (Operator::Comparison(Comparison::Less), 3),
                ">=" => (Operator::Comparison(Comparison::GreaterOrEqual), 3),
                "<=" => (Operator::Comparison(Comparison::LessOrEqual), 3),
                _ => return Ok(None),
            },
            _ => match self.keyword().as_deref() {
                Some("and") => (Operator::Set(SetOperation::And), 2),
                Some("unless") => (Operator::Set(SetOperation::Unless), 2),
                Some("or") => (Operator::Set(SetOperation::Or), 1),
                Some("atan2") => return Err(self.refuse("the operator atan2 is not supported".to_owned())),
                _ => return Ok(None),
            },
        };
        Ok(Some(operator))
    }

    /// `on` or `ignoring`, with `group_left` or `group_right`, if any of them comes next.
    fn matching(&mut self) -> Result<Matching, QueryError> {
        let mut matching = Matching {
            on: false,
            written: false,
            labels: Vec::new(),
            cardinality: Cardinality::OneToOne,
            include: Vec::new(),
        };
        let on = match self.keyword().as_deref() {
            Some("on") => true,
            Some("ignoring") => false,
            Some("group_left" | "group_right") => {
                return self.expected("`on` or `ignoring` before a group modifier");
            }
            _ => return Ok(matching),
        };
        // Without a parenthesis the word is the name of a metric.
        if !matches!(self.tokens.get(self.next + 1), Some((Token::Sign("("), _))) {
            return Ok(matching);
        }
        self.take();
        (matching.on, matching.written, matching.labels) = (on, true, self.label_names()?);
        for (word, cardinality) in
            [("group_left", Cardinality::ManyToOne), ("group_right", Cardinality::OneToMany)]
        {
            if self.skip_keyword(word) {
                matching.cardinality = cardinality;
                matching.include = if self.is("(") { self.label_names()? } else { Vec::new() };
                break;
            }
        }
        Ok(matching)
    }

    /// `(a, b)`.
    fn label_names(&mut self) -> Result<Vec<Arc<str>>, QueryError> {
        self.expect("(")?;
        let mut names = Vec::new();
        while !self.skip(")") {
            match self.peek().clone() {
                Token::Word(word) if labels::is_label_name(&word) => names.push(word.into()),
                _ => return self.expected("a label's name or `)`"),
            }
            self.take();
            if !self.skip(",") && !self.is(")") {
                return self.expected("`,` or `)`");
            }
        }
        Ok(names)
    }

    /// An operand of an operator: a sign with its own operand, or a value with its brackets and offsets.
    fn operand(&mut self) -> Result<Expr, QueryError> {
        let begin = self.span().begin;
        if self.is("-") || self.is("+") {
            let minus = self.is("-");
            self.take();
            // A sign binds as strongly as `*`: its operand may contain a power, but no weaker operator.
            let inner = self.expression(TIMES + 1)?;
            let span = Span { begin, end: inner.span.end };
            if let Node::Number(number) = inner.node {
                return Ok(Expr { node: Node::Number(if minus { -number } else { number }), span });
            }
            return Ok(Expr { node: Node::Sign { minus, inner: Box::new(inner) }, span });
        }
        let mut value = self.value()?;
        loop {
            if self.is("[") {
                value = self.brackets(value)?;
            } else if self.keyword().as_deref() == Some("offset") {
                self.offset(&mut value)?;
            } else if self.is("@") {
                return Err(self.refuse("the @ modifier is not supported".to_owned()));
            } else {
                return Ok(value);
            }
            value.span.end = self.last_end();
        }
    }

    fn brackets(&mut self, before: Expr) -> Result<Expr, QueryError> {
        let span = before.span;
        let at_bracket = self.span().begin;
        self.expect("[")?;
        let Token::Duration(range_ms) = *self.peek() else { return self.expected("a duration") };
        self.take();
        if self.skip(":") {
            let step_ms = match *self.peek() {
                Token::Duration(ms) => {
                    self.take();
                    Some(ms)
                }
                _ => None,
            };
            self.expect("]")?;
            return Ok(Expr {
                node: Node::Subquery { inner: Box::new(before), range_ms, step_ms, offset_ms: 0 },
                span,
            });
        }
        if !self.is("]") {
            return self.expected("`:` or `]`");
        }
        self.take();
        let refuse = |what: &str| {
            Err(QueryError { text: self.text.to_owned(), at: at_bracket, what: what.to_owned() })
        };
        match before.node {
            Node::Instant(selector) if selector.offset_ms == 0 => {
                Ok(Expr { node: Node::Range { selector, range_ms }, span })
            }
            Node::Instant(_) => refuse("an offset goes after the range, not before it"),
            _ => refuse("a range goes only with a selector; a subquery has a colon: [5m:]"),
        }
    }

    fn offset(&mut self, before: &mut Expr) -> Result<(), QueryError> {
        let refused = self.refuse(String::new());
        self.take();
        let back = if self.skip("-") { -1 } else { 1 };
        let Token::Duration(ms) = *self.peek() else { return self.expected("a duration") };
        self.take();
        let place = match &mut before.node {
            Node::Instant(selector) | Node::Range { selector, .. } => &mut selector.offset_ms,
            Node::Subquery { offset_ms, .. } => offset_ms,
            _ => {
                return Err(QueryError {
                    what: "an offset goes only with a selector, a range or a subquery".to_owned(),
                    ..refused
                });
            }
        };
        if *place != 0 {
            return Err(QueryError { what: "a second offset".to_owned(), ..refused });
        }
        *place = back * ms;
        Ok(())
    }

    /// A number, a string, a selector, a call, an aggregation, or something in parentheses.
    fn value(&mut self) -> Result<Expr, QueryError> {
        let span = self.span();
        let node = match self.peek().clone() {
            Token::Number(number) => {
                self.take();
                Node::Number(number)
            }
            Token::Text(text) => {
                self.take();
                Node::Text(text)
            }
            Token::Sign("(") => {
                self.take();
                let inner = self.deeper(|parser| parser.expression(0))?;
                self.expect(")")?;
                Node::Paren(Box::new(inner))
            }
            Token::Sign("{") => Node::Instant(self.selector(None)?),
            Token::Word(word) => self.word(&word)?,
            _ => return self.expected("a value"),
        };
        Ok(Expr { node, span: Span { begin: span.begin, end: self.last_end() } })
    }

    fn word(&mut self, word: &str) -> Result<Node, QueryError> {
        let lower = word.to_ascii_lowercase();
        let after = self.tokens.get(self.next + 1).map(|(token, _)| token);
        let called = matches!(after, Some(Token::Sign("(")));
        let grouped = matches!(after, Some(Token::Word(next))
            if next.eq_ignore_ascii_case("by") || next.eq_ignore_ascii_case("without"));
        if let Some(aggregation) = aggregation(&lower)
            && (called || grouped)
        {
            return self.aggregate(aggregation);
        }
        if called {
            return self.call(word);
        }
        match lower.as_str() {
            "inf" => {
                self.take();
                Ok(Node::Number(f64::INFINITY))
            }
            "nan" => {
                self.take();
                Ok(Node::Number(f64::NAN))
            }
            "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2" => self.expected("a value"),
            _ => {
                self.take();
                Ok(Node::Instant(self.selector(Some(word))?))
            }
        }
    }

    fn aggregate(&mut self, aggregation: Aggregation) -> Result<Node, QueryError> {
        let refused = self.refuse(String::new());
        let (name, _) = self.take();
        let mut grouping = self.grouping()?;
        let mut arguments = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let wanted = if aggregation.has_parameter() { 2 } else { 1 };
        if arguments.len() != wanted {
            let Token::Word(name) = name else { return self.expected("an aggregation") };
            let what = format!("{name} takes {wanted} argument(s), not {}", arguments.len());
            return Err(QueryError { what, ..refused });
        }
        let inner = Box::new(arguments.remove(wanted - 1));
        let parameter = arguments.pop().map(Box::new);
        let grouping = grouping.unwrap_or(Grouping { without: false, labels: Vec::new() });
        Ok(Node::Aggregate { aggregation, parameter, grouping, inner })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, QueryError> {
        let without = match self.keyword().as_deref() {
            Some("by") => false,
            Some("without") => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(Grouping { without, labels: self.label_names()? }))
    }

    fn call(&mut self, name: &str) -> Result<Node, QueryError> {
        let Some(function) = Function::named(name) else {
            let known = LEFT_OUT.contains(&name);
            let what = if known { "is not supported" } else { "is not known" };
            return Err(self.refuse(format!("the function {name} {what}")));
        };
        self.take();
        Ok(Node::Call { function, arguments: self.arguments()?, regex: None })
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, QueryError> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        if self.skip(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.deeper(|parser| parser.expression(0))?);
            if self.skip(")") {
                return Ok(arguments);
            }
            if !self.is(",") {
                return self.expected("`,` or `)`");
            }
            self.take();
        }
    }

    fn selector(&mut self, name: Option<&str>) -> Result<Selector, QueryError> {
        let at = self.next;
        let mut matchers = Vec::new();
        if self.skip("{") {
            while !self.skip("}") {
                matchers.push(self.matcher()?);
                if !self.skip(",") && !self.is("}") {
                    return self.expected("`,` or `}`");
                }
            }
        }
        if let Some(name) = name {
            if matchers.iter().any(|matcher| *matcher.name == *NAME) {
                self.next = at;
                return Err(self.refuse("the metric's name is set twice".to_owned()));
            }
            matchers.push(Matcher { name: NAME.into(), op: MatchOp::Equal, value: name.into() });
        } else if matchers.iter().all(|matcher| matcher.matches("")) {
            self.next = at;
            return Err(self.refuse("at least one matcher must refuse the empty value".to_owned()));
        }
        Ok(Selector { matchers, offset_ms: 0 })
    }

    fn matcher(&mut self) -> Result<Matcher, QueryError> {
        let name = match self.peek().clone() {
            Token::Word(word) if labels::is_label_name(&word) => word,
            _ => return self.expected("a label's name or `}`"),
        };
        self.take();
        let Token::Sign(sign @ ("=" | "!=" | "=~" | "!~")) = *self.peek() else {
            return self.expected("one of = != =~ !~");
        };
        self.take();
        let Token::Text(value) = self.peek().clone() else { return self.expected("a string") };
        let regex = || {
            anchored(&value)
                .map_err(|error| self.refuse(format!("{value:?} is no regular expression: {error}")))
        };
        let op = match sign {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex(regex()?),
            _ => MatchOp::NotRegex(regex()?),
        };
        self.take();
        Ok(Matcher { name: name.into(), op, value: value.into() })
    }

    fn metric(&mut self) -> Result<Labels, QueryError> {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        if let Token::Word(name) = self.peek().clone() {
            self.take();
            pairs.push((NAME.into(), name.into()));
        } else if !self.is("{") {
            return self.expected("a series: name{label=\"value\"}");
        }
        if self.skip("{") {
            while !self.skip("}") {
                let matcher = self.matcher()?;
                if !matches!(matcher.op, MatchOp::Equal) {
                    return self.expected("only = in a series");
                }
                pairs.push((matcher.name, matcher.value));
                if !self.skip(",") && !self.is("}") {
                    return self.expected("`,` or `}`");
                }
            }
        }
        Ok(Labels::of(pairs))
    }
}

/// How strongly `* / %` and signs bind.
const TIMES: u8 = 5;
/// How strongly `^` binds.
const POWER: u8 = 6;

/// Compiles a regular expression so that it must match a whole value.
pub fn anchored(pattern: &str) -> Result<Regex, String> {
    // It is compiled alone first, so that an error shows the pattern as written, and an unbalanced parenthesis cannot
    // end the anchors' group.
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
        .map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
}

fn aggregation(word: &str) -> Option<Aggregation> {
    Some(match word {
        "sum" => Aggregation::Sum,
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "avg" => Aggregation::Avg,
        "count" => Aggregation::Count,
        "group" => Aggregation::Group,
        "stddev" => Aggregation::Stddev,
        "stdvar" => Aggregation::Stdvar,
        "topk" => Aggregation::Topk,
        "bottomk" => Aggregation::Bottomk,
        "quantile" => Aggregation::Quantile,
        "count_values" => Aggregation::CountValues,
        _ => return None,
    })
}

impl Aggregation {
    /// Whether it takes a number or a string before the expression that it aggregates.
    pub fn has_parameter(self) -> bool {
        matches!(self, Self::Topk | Self::Bottomk | Self::Quantile | Self::CountValues)
    }
}
