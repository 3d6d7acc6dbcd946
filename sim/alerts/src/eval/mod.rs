//! The evaluator: a query's tree and a store to a value at one moment, exactly as Prometheus 2.42 computes it.
//!
//! Prometheus evaluates whole ranges of steps at once; here every moment is evaluated on its own, and a subquery evaluates
//! its inner expression at each of its steps. The values are the same. Two things may differ, and both only where
//! Prometheus itself leaves them open: the order of elements in a sum (a rounding in the last digit), and which of two
//! equal values `topk` keeps. One is stricter there: in a subquery, Prometheus refuses two series that become one without
//! their names even where they never meet in one step.
//!
//! Transcendental functions (`exp`, `ln`, `log2`, `log10`, `^`) are the platform's and may differ from Go's in the last digit.
//!
//! Source: promql/engine.go, functions.go, quantile.go at v2.42.0.

mod aggregate;
mod binary;
mod histogram;
mod instants;
mod memo;
mod ranges;

use std::{cell::Cell, collections::BTreeSet, sync::Arc};

pub use memo::Memo;

use crate::{
    labels::{Labels, have_one_name},
    query::{Expr, Kind, Node, Selector},
    store::{Sample, Series, Store, is_stale},
};
use memo::{Place, Selection};

/// How far back a selector looks for a sample, as Prometheus does where nothing else is said.
pub const LOOK_BACK_MS: i64 = 5 * 60_000;

/// One evaluation takes this many steps of subqueries at most: `x[1y:1ms]` would never end. Prometheus limits samples.
const MOST_STEPS: u64 = 2_000_000;

/// Why an expression that was understood has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub(crate) String);

/// What an expression evaluates to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(f64),
    /// A string.
    Text(String),
    /// An element for each series.
    Vector(Vec<Element>),
}

/// An element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// The labels.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// The samples of one series over a stretch of time; never empty.
struct Stretch {
    labels: Labels,
    samples: Vec<Sample>,
}

/// The samples of stretches of time, without stale marks.
#[derive(Default)]
struct Live {
    kept: Vec<Sample>,
}

impl Live {
    /// Those of one series, both ends included.
    fn of<'a>(&'a mut self, series: &'a Series, from_ms: i64, to_ms: i64) -> &'a [Sample] {
        let samples = series.between(from_ms, to_ms);
        if !samples.iter().any(|sample| is_stale(sample.value)) {
            return samples;
        }
        self.kept.clear();
        self.kept.extend(samples.iter().filter(|sample| !is_stale(sample.value)));
        &self.kept
    }
}

/// What an evaluation needs besides the expression and the moment.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The series.
    pub store: &'a Store,
    /// How far back a selector looks.
    pub look_back_ms: i64,
    /// The step of a subquery that names none.
    pub default_step_ms: i64,
    /// What earlier evaluations of the same expression over the same store have found out.
    pub memo: Option<&'a Memo>,
}

impl<'a> Context<'a> {
    /// Over a store, with Prometheus' look-back and one minute for a subquery that names no step.
    pub fn new(store: &'a Store) -> Self {
        Self { store, look_back_ms: LOOK_BACK_MS, default_step_ms: 60_000, memo: None }
    }

    /// The value of an expression at a moment.
    pub fn value(&self, expr: &Expr, at_ms: i64) -> Result<Value, EvalError> {
        let steps_left = Cell::new(MOST_STEPS);
        Moment { context: *self, at_ms, steps_left: &steps_left }.value(expr)
    }

    /// The value as a rule takes it: a scalar is a vector of one element without labels.
    pub fn vector(&self, expr: &Expr, at_ms: i64) -> Result<Vec<Element>, EvalError> {
        match self.value(expr, at_ms)? {
            Value::Vector(elements) => Ok(elements),
            Value::Scalar(value) => Ok(vec![Element { labels: Labels::default(), value }]),
            Value::Text(_) => Err(EvalError("the result is a string, not a vector or a scalar".to_owned())),
        }
    }
}

/// An evaluation at one moment.
#[derive(Clone, Copy)]
struct Moment<'a> {
    context: Context<'a>,
    at_ms: i64,
    /// How many steps of subqueries the evaluation may still take.
    steps_left: &'a Cell<u64>,
}

impl Moment<'_> {
    fn value(&self, expr: &Expr) -> Result<Value, EvalError> {
        match &expr.node {
            Node::Number(number) => Ok(Value::Scalar(*number)),
            Node::Text(text) => Ok(Value::Text(text.clone())),
            Node::Paren(inner) => self.value(inner),
            Node::Instant(selector) => Ok(Value::Vector(self.instant(expr, selector, |sample| sample.value))),
            Node::Sign { minus, inner } => match self.value(inner)? {
                Value::Scalar(value) if *minus => Ok(Value::Scalar(-value)),
                Value::Vector(elements) if *minus => Ok(Value::Vector(mapped(elements, |value| -value)?)),
                other => Ok(other),
            },
            Node::Binary { operator, returns_bool, matching, left, right } => {
                binary::apply(*operator, *returns_bool, matching, self.value(left)?, self.value(right)?)
            }
            Node::Aggregate { aggregation, parameter, grouping, inner } => {
                let parameter = parameter.as_ref().map(|parameter| self.value(parameter)).transpose()?;
                let elements = self.elements(inner)?;
                aggregate::apply(*aggregation, parameter, grouping, elements, self.place(expr))
                    .map(Value::Vector)
            }
            Node::Call { function, arguments, regex } => {
                let over = arguments.iter().position(|argument| {
                    matches!(argument.bare().node, Node::Range { .. } | Node::Subquery { .. })
                });
                match over {
                    Some(over) => self.call_over_range(function.name, arguments, over).map(Value::Vector),
                    None if function.returns == Kind::Scalar => self.scalar_call(function.name, arguments),
                    None => instants::call(self, function.name, arguments, regex.as_ref(), self.place(expr))
                        .map(Value::Vector),
                }
            }
            // The check of kinds leaves ranges only where a call takes them, and a query is no range.
            Node::Range { .. } | Node::Subquery { .. } => {
                Err(EvalError("a range vector has no value at a moment".to_owned()))
            }
        }
    }

    /// The elements of an expression that the check of kinds has found to be an instant vector.
    fn elements(&self, expr: &Expr) -> Result<Vec<Element>, EvalError> {
        match self.value(expr)? {
            Value::Vector(elements) => Ok(elements),
            _ => Err(EvalError("expected an instant vector".to_owned())),
        }
    }

    /// The number of an expression that the check of kinds has found to be a scalar.
    fn scalar(&self, expr: &Expr) -> Result<f64, EvalError> {
        match self.value(expr)? {
            Value::Scalar(value) => Ok(value),
            _ => Err(EvalError("expected a scalar".to_owned())),
        }
    }

    /// Where what is found out about a node is remembered.
    fn place(&self, expr: &Expr) -> Place<'_> {
        self.context.memo.map(|memo| (memo, expr.span))
    }

    /// The series that the selector of a node names.
    fn selection(&self, expr: &Expr, selector: &Selector) -> Arc<Selection> {
        memo::selection(self.place(expr), self.context.store, &selector.matchers)
    }

    /// An element for each series that the selector of a node names, with a value by its newest sample.
    fn instant(&self, expr: &Expr, selector: &Selector, value: impl Fn(Sample) -> f64) -> Vec<Element> {
        let at_ms = self.at_ms - selector.offset_ms;
        let found = self.selection(expr, selector);
        let series = found.series(self.context.store).zip(&found.labels);
        series
            .filter_map(|(series, labels)| {
                let sample = series.newest(at_ms, self.context.look_back_ms)?;
                Some(Element { labels: labels.clone(), value: value(sample) })
            })
            .collect()
    }

    fn scalar_call(&self, name: &str, arguments: &[Expr]) -> Result<Value, EvalError> {
        if name == "time" {
            return Ok(Value::Scalar(self.at_ms as f64 / 1000.0));
        }
        let elements = self.elements(&arguments[0])?;
        Ok(Value::Scalar(if let [only] = &elements[..] { only.value } else { f64::NAN }))
    }

    fn call_over_range(
        &self,
        name: &str,
        arguments: &[Expr],
        over: usize,
    ) -> Result<Vec<Element>, EvalError> {
        let other = match arguments.iter().enumerate().find(|(at, _)| *at != over) {
            Some((_, argument)) => self.scalar(argument)?,
            None => 0.0,
        };
        let range = arguments[over].bare();
        if name == "absent_over_time" {
            let present = self.any_sample(range)?;
            let labels = instants::labels_of_absence(range);
            return Ok(if present { Vec::new() } else { vec![Element { labels, value: 1.0 }] });
        }
        let (range_ms, offset_ms) = match &range.node {
            Node::Range { selector, range_ms } => (*range_ms, selector.offset_ms),
            Node::Subquery { range_ms, offset_ms, .. } => (*range_ms, *offset_ms),
            _ => return Err(EvalError("expected a range vector".to_owned())),
        };
        let window = ranges::Window { at_ms: self.at_ms, range_ms, offset_ms };
        let function = ranges::function(name).ok_or_else(|| EvalError(format!("{name} takes no range")))?;
        let keeps_name = name == "last_over_time";
        let of_constant = ranges::of_constant(name);
        match &range.node {
            Node::Range { selector, .. } => {
                let found = self.selection(range, selector);
                let labels = if keeps_name { &found.labels } else { &found.nameless };
                let mut elements = Vec::with_capacity(labels.len());
                let mut live = Live::default();
                for (series, labels) in found.series(self.context.store).zip(labels) {
                    if let Some(value) = of_constant
                        && series.is_constant(window.begin_ms(), window.end_ms())
                    {
                        elements.push(Element { labels: labels.clone(), value });
                        continue;
                    }
                    let samples = live.of(series, window.begin_ms(), window.end_ms());
                    if !samples.is_empty()
                        && let Some(value) = function(&window, samples, other)
                    {
                        elements.push(Element { labels: labels.clone(), value });
                    }
                }
                if keeps_name || found.one_name { Ok(elements) } else { unique(elements) }
            }
            _ => {
                let stretches = self.stretches(range)?.into_iter();
                let elements = stretches
                    .filter_map(|Stretch { labels, samples }| {
                        let value = function(&window, &samples, other)?;
                        Some(Element { labels, value })
                    })
                    .collect();
                if keeps_name { unique(elements) } else { without_names(elements) }
            }
        }
    }

    /// Whether any series of a range vector has a sample.
    fn any_sample(&self, range: &Expr) -> Result<bool, EvalError> {
        let Node::Range { selector, range_ms } = &range.node else {
            return Ok(!self.stretches(range)?.is_empty());
        };
        let to_ms = self.at_ms - selector.offset_ms;
        let found = self.selection(range, selector);
        let mut live = Live::default();
        Ok(found
            .series(self.context.store)
            .any(|series| !live.of(series, to_ms - range_ms, to_ms).is_empty()))
    }

    /// The series of a subquery.
    fn stretches(&self, range: &Expr) -> Result<Vec<Stretch>, EvalError> {
        let Node::Subquery { inner, range_ms, step_ms, offset_ms } = &range.node else {
            return Err(EvalError("expected a range vector".to_owned()));
        };
        let step_ms = step_ms.unwrap_or(self.context.default_step_ms).max(1);
        self.steps(inner, *range_ms, step_ms, *offset_ms)
    }

    /// A subquery's samples: steps lie on multiples of the step's length, whatever the moment.
    fn steps(
        &self,
        inner: &Expr,
        range_ms: i64,
        step_ms: i64,
        offset_ms: i64,
    ) -> Result<Vec<Stretch>, EvalError> {
        let to_ms = self.at_ms - offset_ms;
        let from_ms = to_ms - range_ms;
        // Toward zero, as Go divides, so a moment before the epoch needs a step back up no less than one after it.
        let mut at_ms = step_ms * (from_ms / step_ms);
        if at_ms < from_ms {
            at_ms += step_ms;
        }
        let mut found: Vec<Stretch> = Vec::new();
        while at_ms <= to_ms {
            let Some(left) = self.steps_left.get().checked_sub(1) else {
                return Err(EvalError(format!("the subqueries take more than {MOST_STEPS} steps")));
            };
            self.steps_left.set(left);
            let elements = Moment { at_ms, ..*self }.elements(inner)?;
            // Most often the same series in the same order as at the step before.
            for (at, element) in elements.into_iter().enumerate() {
                let sample = Sample { at_ms, value: element.value };
                let known = match found.get(at) {
                    Some(stretch) if stretch.labels == element.labels => Some(at),
                    _ => found.iter().position(|stretch| stretch.labels == element.labels),
                };
                match known {
                    Some(known) => found[known].samples.push(sample),
                    None => found.push(Stretch { labels: element.labels, samples: vec![sample] }),
                }
            }
            at_ms += step_ms;
        }
        Ok(found)
    }
}

/// The elements with their values changed and their names dropped.
fn mapped(elements: Vec<Element>, change: impl Fn(f64) -> f64) -> Result<Vec<Element>, EvalError> {
    without_names(
        elements
            .into_iter()
            .map(|Element { labels, value }| Element { labels, value: change(value) })
            .collect(),
    )
}

/// The elements without their metrics' names.
fn without_names(mut elements: Vec<Element>) -> Result<Vec<Element>, EvalError> {
    // Elements of one metric are the common case, and the check for equal ones costs a sort.
    let one_name = have_one_name(elements.iter().map(|element| &element.labels));
    for element in &mut elements {
        element.labels = element.labels.without_name();
    }
    if one_name { Ok(elements) } else { unique(elements) }
}

/// The elements, if no two have the same labels.
fn unique(elements: Vec<Element>) -> Result<Vec<Element>, EvalError> {
    let mut seen = BTreeSet::new();
    match elements.iter().find(|element| !seen.insert(&element.labels)) {
        None => Ok(elements),
        Some(twice) => {
            Err(EvalError(format!("vector cannot contain metrics with the same labelset: {}", twice.labels)))
        }
    }
}
